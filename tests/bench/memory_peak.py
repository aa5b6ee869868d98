#!/usr/bin/env python3
"""What one call of a network takes of memory at its peak: Kiln's releases beside PyTorch eager, counted, not computed.

  memory_peak.py STATE [--only NAME[-bBATCH[-EXPORTER]]]... [--threads N] [--json FILE] [--require]

STATE is the state of a daemon that tuned what tests/models/networks.py wrote (sweep.py --state); of each workload the
latest baseline and the latest tuned release are taken. Each subject is a process of its own with libmemory_count.so
preloaded, which counts malloc and its kin (PyTorch's tensors, oneDNN's and BLAS's scratch) and the pages of anonymous
mappings that were touched. In KiB, beside weights and inputs:
  plan    the arena of temporaries and all threads' scratch, as the plan says
  packed  weights in the layouts of kernels, as the plan says
  held    counted: what the loaded release has before a call: both of these, and what vendor kernels keep (packed
          weights, scratch, generated code); of PyTorch, what three calls have left
  call    counted: the most that a call has on top of that, its results included
Within the bar is a tuned release whose plan and call together are at most PyTorch's call; what libraries keep between
calls is held against neither. --require ends with status 1 when one is not.
"""
import argparse
import ctypes
import gc
import json
import os
import pathlib
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("KILN_BINARY_DIR", SOURCE / "build/release")).resolve()
os.environ.setdefault("KILN_LIBRARY", str(BINARY / "lib/libkiln.so"))
COUNT = BINARY / "lib/libmemory_count.so"
sys.path[:0] = [str(SOURCE / "runtime/python"), str(SOURCE / "tests/bench"), str(SOURCE / "tests/models")]


# ---- one subject, in a process that counts

class Count:
    def __init__(self):
        library = ctypes.CDLL(str(COUNT))
        for name in ("live", "most", "mapped"):
            function = getattr(library, f"memory_count_{name}")
            function.restype = ctypes.c_int64
            setattr(self, name, function)
        self.restart = library.memory_count_restart

    def held(self):
        gc.collect()
        return self.live() + self.mapped()


def eager(model, threads):
    import cpu_models
    import networks
    import torch
    torch.set_num_threads(threads)
    name, _, batch = model.rpartition("-b")
    module = cpu_models.torch_module(name, int(batch))
    x = networks.NETWORKS[name][1](int(batch))

    def call():
        with torch.inference_mode():
            return module(x)

    return lambda: call


def release(folder, threads):
    import kiln
    import numpy
    plan = json.loads((pathlib.Path(folder) / "plan.json").read_text())
    types = {"f32": "float32", "i64": "int64"}
    values = [numpy.zeros(t["shape"], types[t["dtype"]]) for t in plan["inputs"]]

    def load():
        model = kiln.load(folder, threads=threads)
        return lambda: model(*values)

    return load


def counted(subject, threads):
    kind, _, what = subject.partition(":")
    load = {"eager": eager, "release": release}[kind](what, threads)
    count = Count()
    before = count.held()
    call = load()
    for _ in range(3):
        call()
    held, peaks = count.held() - before, []
    for _ in range(5):
        resting = count.live()
        count.restart()
        result = call()
        peaks.append(count.most() - resting)
        del result
    return {"held": held, "call": max(peaks)}


# ---- the table

def measured(subject, threads):
    run = subprocess.run([sys.executable, __file__, "--count", subject, "--threads", str(threads)], text=True,
                         env={**os.environ, "LD_PRELOAD": str(COUNT), "OMP_NUM_THREADS": str(threads)},
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if run.returncode != 0:
        raise RuntimeError(f"cannot count the memory of {subject}: {run.stderr.strip()[-400:]}")
    return json.loads(run.stdout.splitlines()[-1])


def of_plan(folder):
    plan = json.loads((folder / "plan.json").read_text())
    own = max((l["scratch_bytes"] for l in plan["run"] + plan["prepare"] if "scratch_offset" not in l), default=0)
    return {"plan": plan["temporary_bytes"] + own * plan["threads"], "packed": plan["prepared_bytes"],
            "weights": plan["constants_bytes"]}


def latest(workload):
    """Of each kind of release, the folder."""
    found = {}
    for folder in sorted((f for f in workload.iterdir() if f.name.isdigit()), key=lambda f: int(f.name)):
        about = json.loads((folder / "manifest.json").read_text())["about"]
        found[about["kind"]] = folder
    return found


def row_of(workload, threads):
    network = workload.name.rsplit("-", 1)[0]
    row = {"network": workload.name, "PyTorch": measured(f"eager:{network}", threads)}
    for kind, folder in latest(workload).items():
        row[kind] = {**of_plan(folder), **measured(f"release:{folder}", threads)}
    if "tuned" in row:
        row["share"] = (row["tuned"]["plan"] + row["tuned"]["call"]) / row["PyTorch"]["call"]
    return row


def print_row(row):
    kib = lambda who, what: f"{row[who][what] / 1024:.0f}" if who in row else "-"
    figures = [kib(who, what) for who in ("tuned", "baseline") for what in ("plan", "packed", "held", "call")]
    print(f"{row['network']:31}" + "".join(f"{f:>8}" for f in figures) +
          f"{kib('PyTorch', 'call'):>10}{kib('PyTorch', 'held'):>8}"
          + (f"{100 * row['share']:7.0f} %" if "share" in row else ""), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("state", type=pathlib.Path, nargs="?")
    parser.add_argument("--only", action="append", help="the beginning of a workload's name, up to a -")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--require", action="store_true")
    parser.add_argument("--count", help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.count:
        print(json.dumps(counted(o.count, o.threads)))
        return 0
    if not o.state:
        parser.error("a daemon's state is needed")
    wanted = lambda name: not o.only or any(f"{name}-".startswith(f"{only}-") for only in o.only)
    print(f"{'KiB':31}{'Kiln':>8}{'':24}{'baseline':>8}{'':24}{'PyTorch':>10}{'':8}{'Kiln of':>9}")
    print(f"{'network':31}" + "".join(f"{f:>8}" for f in ("plan", "packed", "held", "call") * 2) +
          f"{'call':>10}{'held':>8}{'PyTorch':>9}")
    rows = []
    for workload in sorted((o.state / "releases").iterdir()):
        if wanted(workload.name):
            rows.append(row_of(workload, o.threads))
            print_row(rows[-1])
    above = [row["network"] for row in rows if row.get("share", 0) > 1]
    print(f"{len(rows)} networks, {len(above)} with a tuned plan above PyTorch's peak: {' '.join(above) or 'none'}")
    if o.json:
        o.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    return 1 if o.require and above else 0


if __name__ == "__main__":
    sys.exit(main())
