#!/usr/bin/env python3
"""Every network, batch and exporter from the ONNX file to a release, held to what PyTorch computed.

  sweep.py NETWORKS [--only NAME[-bBATCH[-EXPORTER]]]... [--budget SECONDS] [--json FILE] [--again]
           [--state FOLDER]

NETWORKS holds what networks.py wrote. A private kilnd imports each NAME-bBATCH-EXPORTER.onnx there, tunes it and makes
its releases; the baseline and the tuned one then run on the stored input. A row says how many operators the file has,
how many launches and distinct regions the plan has, whether the job found its plan right (verified), how far the
releases are from PyTorch's output at most (root of the mean square of the differences, of that of the output), and the
memory of intermediate results: the plan's, scratch of all threads included, and the most that PyTorch's would be at
once when each is freed after its last reader.
--only gives an order too. --json keeps the rows in FILE after each network; those that succeeded there are not done
again (--again does them all), and --state keeps the daemon's state for the next call, compiled kernels with it.
Networks whose exporters lead to different plans are listed last. Exit status 1 when a network fails a step or is
further than 1e-4 from PyTorch.
"""
import argparse
import collections
import json
import math
import os
import pathlib
import sys
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("KILN_BINARY_DIR", SOURCE / "build/release")).resolve()
os.environ.setdefault("KILN_BINARY_DIR", str(BINARY))
os.environ.setdefault("KILN_LIBRARY", str(BINARY / "lib/libkiln.so"))
sys.path[:0] = [str(SOURCE / "runtime/python"), str(SOURCE / "tests/e2e")]
TOLERANCE = 1e-4
STEPS = ["imported", "tuned", "verified", "agrees"]


def operators(path):
    import onnx
    graph = onnx.load(path, load_external_data=False).graph
    return len([node for node in graph.node if node.op_type not in ("Constant", "Identity")])


def difference(release, path):
    """Of the release's output from the stored one, relative to its root mean square."""
    import kiln
    import numpy
    model = kiln.load(str(release))
    read = lambda suffix, tensor: numpy.fromfile(str(path)[:-len(".onnx")] + suffix, tensor.dtype).reshape(tensor.shape)
    want = read(".output.bin", model.outputs[0]).astype("float64")
    got = model(read(".input.bin", model.inputs[0]))[0].astype("float64")
    if not numpy.isfinite(got).all():
        return math.inf
    return float(math.sqrt(((got - want) ** 2).sum() / max((want ** 2).sum(), 1e-300)))


def listed(node, what, query=""):
    answer = node.get(f"/v1/{what}{query}")
    return answer if isinstance(answer, list) else answer[what]


def kinds(summary):
    """How many launches each kind of region has: what a label begins with."""
    count = collections.Counter()
    for region in summary:
        count[region["label"].split()[0]] += region["occurrences"]
    return dict(sorted(count.items()))


def swept(node, path, budget):
    """The row of one file; its "failed" names the step, with the cause."""
    name = path.stem
    row = {"network": name, "operators": operators(path), "budget_s": budget}
    begin = time.monotonic()
    try:
        if name not in [workload["name"] for workload in listed(node, "workloads")]:
            step = node.kctl("import", path, "--name", name, check=False)
            row["imported"] = step.returncode == 0
            if not row["imported"]:
                return {**row, "failed": step.stderr.strip()}
            row["import_s"] = time.monotonic() - begin
        row["imported"] = True
        job = node.tune(name, budget)["id"]
        done = node.wait(job, 3600)
        row["tuned"] = done["state"] == "done"
        row["seconds"] = time.monotonic() - begin
        if not row["tuned"]:
            return {**row, "failed": str(done.get("error"))}
        result = done["result"]
        row["decision"], row["memory"] = result["decision"], result["memory"]
        row["regions"] = len(result["summary"])
        row["launches"] = sum(region["occurrences"] for region in result["summary"])
        row["kinds"] = kinds(result["summary"])
        row["summary"] = result["summary"]
        row["difference"] = {release["kind"]: difference(node.state / "releases" / name / str(release["version"]), path)
                             for release in listed(node, "releases", f"?workload={name}")}
        row["verified"] = "tuned" in row["difference"] and "baseline" in row["difference"]
        row["agrees"] = max(row["difference"].values()) <= TOLERANCE
        if not row["verified"]:
            row["failed"] = f"no tuned release: {json.dumps(result['decision'])}"
        elif not row["agrees"]:
            row["failed"] = "the output is not PyTorch's"
    except Exception as error:  # of any step: the next network does not depend on it
        row["failed"] = f"{type(error).__name__}: {error}"
    return row


def print_row(row):
    yes = lambda step: {True: "yes", False: "NO"}.get(row.get(step), "-")
    mib = lambda name, *parts: f"{sum(row['memory'][name][p] for p in parts) / 2**20:.1f}" if "memory" in row else "-"
    eager = f"{row['memory']['eager'] / 2**20:.1f}" if "memory" in row else "-"
    worst = max(row["difference"].values()) if row.get("difference") else math.nan
    print(f"{row['network']:31} {row['operators']:5} {yes('imported'):>8} {row.get('launches', '-'):>8} "
          f"{row.get('regions', '-'):>8} {yes('tuned'):>5} {yes('verified'):>8} {worst:10.1e} "
          f"{mib('tuned', 'working'):>8} {eager:>8} {row.get('seconds', 0):7.0f}"
          + (f"  {row['failed']}" if "failed" in row else ""), flush=True)


def print_table(rows):
    print(f"{'network':31} {'ops':>5} {'imported':>8} {'launches':>8} {'distinct':>8} {'tuned':>5} {'verified':>8} "
          f"{'difference':>10} {'plan MiB':>8} {'eager':>8} {'seconds':>7}")
    for row in rows:
        print_row(row)


def unlike(rows):
    """Networks whose two exporters lead to plans of different launches."""
    pairs = collections.defaultdict(dict)
    for row in rows:
        network, _, exporter = row["network"].rpartition("-")
        pairs[network][exporter] = {what: row.get(what) for what in ("launches", "regions", "kinds")}
    return {network: plans for network, plans in pairs.items() if len({str(p) for p in plans.values()}) > 1}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", type=pathlib.Path)
    parser.add_argument("--only", action="append", help="the beginning of a file's name, up to a -")
    parser.add_argument("--budget", type=int, default=15)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--state", type=pathlib.Path)
    o = parser.parse_args()
    from node import Node
    place = lambda name: next((i for i, only in enumerate(o.only or [""])
                               if f"{name}-".startswith(only and f"{only}-")), None)
    paths = sorted((place(path.stem), path) for path in o.networks.glob("*-b*-*.onnx") if place(path.stem) is not None)
    known = json.loads(o.json.read_text())["rows"] if o.json and o.json.exists() else []
    rows = {row["network"]: row for row in known}
    node = Node()
    if o.state:
        o.state.mkdir(parents=True, exist_ok=True)
        node.state = o.state.resolve()
    try:
        node.start()
        print_table([])
        for _, path in paths:
            if o.again or path.stem not in rows or "failed" in rows[path.stem]:
                rows[path.stem] = swept(node, path, o.budget)
                if o.json:
                    o.json.write_text(json.dumps({"rows": list(rows.values())}, indent=1) + "\n")
            print_row(rows[path.stem])
    finally:
        node.close()
    done = [rows[path.stem] for _, path in paths]
    for network, plans in unlike(done).items():
        print(f"{network}: the exporters' plans differ: {json.dumps(plans)}")
    failed = [row for row in done if "failed" in row]
    print(f"{len(done)} networks, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
