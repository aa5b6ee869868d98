#!/usr/bin/env python3
"""Whole models on the CPU: Kiln's tuned release, oneDNN op by op, and PyTorch, eager and compiled, where it is
installed.

  cpu_models.py [--models FOLDER | --networks FOLDER] [--only NAME]... [--budget SECONDS] [--reuse STATE]
                [--rounds N] [--json FILE] [--profile] [--require]

For each model and batch a private kilnd imports and tunes the ONNX file. Its first release is the baseline: one
oneDNN primitive per operator on libkiln's threads, made once, weights packed once into oneDNN's own layouts, and
Kiln's plain kernels for the few operators that oneDNN has no fast code for. Then every subject is a process of its
own; they take turns in rotating order and never run at once, so that no subject's waiting threads disturb another.
Warm, medians of N rounds with quartiles.
--models holds minilm.onnx and gpt2.onnx from tests/models/export.py; models that are absent are skipped and said to
be. --networks holds what tests/models/networks.py wrote: every NAME-bBATCH-torchscript.onnx there is a model.
torch.compile needs a C++ compiler; a model that it cannot compile has no such column, and the cause is printed.
--reuse keeps the daemon's state in STATE and tunes only what it does not hold. --profile prints where the time goes,
launch by launch. --require ends with status 1 when a bar is missed: geometric means of 1.15 over oneDNN and 1.2 over
PyTorch (networks: 1.2, 1.3, and 1.0 over torch.compile), and no model slower than its baseline. Run it with the
interpreter that has torch; without torch that column is left out.
"""
import argparse
import ctypes
import importlib.util
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("KILN_BINARY_DIR", SOURCE / "build/release")).resolve()
os.environ.setdefault("KILN_BINARY_DIR", str(BINARY))
os.environ.setdefault("KILN_LIBRARY", str(BINARY / "lib/libkiln.so"))
sys.path[:0] = [str(SOURCE / "runtime/python"), str(SOURCE / "tests/e2e"), str(SOURCE / "tests/models")]
BARS = {"oneDNN": 1.15, "PyTorch": 1.2}
NETWORK_BARS = {"oneDNN": 1.2, "PyTorch": 1.3, "compiled": 1.0}
CASES = [("block", 8), ("minilm", 1), ("minilm", 8), ("gpt2", 1), ("gpt2", 8)]


# ---- one subject, in a process of its own: reads "N", runs N times, answers with nanoseconds

def inputs_for(tensors, numpy):
    random = numpy.random.default_rng(17)
    out = []
    for name, shape, kind in tensors:
        if name == "input_ids":
            out.append(random.integers(1000, 20000, shape).astype(kind))
        elif name == "attention_mask":  # sentences of different lengths
            out.append((numpy.arange(shape[1]) < random.integers(shape[1] // 2, shape[1] + 1,
                                                                 (shape[0], 1))).astype(kind))
        elif numpy.issubdtype(numpy.dtype(kind), numpy.integer):
            out.append(numpy.zeros(shape, kind))
        else:
            out.append(random.standard_normal(shape).astype(kind))
    return out


def torch_module(name, batch):
    """As it was exported: a network's weights come from its seed."""
    import export
    import networks
    import torch
    if name in networks.NETWORKS:
        torch.manual_seed(networks.seed_of(batch))
        return networks.settle(networks.NETWORKS[name][0]())
    return export.minilm("sdpa") if name == "minilm" else getattr(export, name)()


def serve(subject, tensors, threads):
    import numpy
    values = inputs_for(tensors, numpy)
    kind, _, model = subject.partition(":")
    if kind in ("eager", "compiled"):
        import torch
        torch.set_num_threads(threads)
        name, _, batch = model.rpartition("-b")
        module = torch_module(name, int(batch))
        if kind == "compiled":
            module = torch.compile(module)
        given = [torch.from_numpy(v) for v in values]

        def call():
            with torch.no_grad() if kind == "compiled" else torch.inference_mode():
                return module(*given)

        result = call().numpy()
    else:
        import kiln
        model = kiln.load(subject, threads=threads)

        def call():
            return model(*values)

        result = call()[0]
    print(json.dumps(numpy.asarray(result, dtype="float64").ravel()[::max(1, result.size // 5000)].tolist()),
          flush=True)
    for line in sys.stdin:
        times = []
        for i in range(int(line) + 1):
            begin = time.perf_counter_ns()
            call()
            times.append(time.perf_counter_ns() - begin)
        print(json.dumps(times[1:]), flush=True)  # the first warms up


class Subject:
    def __init__(self, name, what, tensors, threads):
        self.name, self.ns = name, []
        self.process = subprocess.Popen([sys.executable, __file__, "--serve", what, "--tensors", json.dumps(tensors),
                                         "--threads", str(threads)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{name} did not start: {self.process.stderr.read()[-800:]}")
        self.result = json.loads(line)

    def run(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        times = json.loads(self.process.stdout.readline())
        self.ns += times
        return times

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


# ---- tuning

def tuned(node, name, batch, path, budget):
    """The folders of a workload's baseline release and of its current one, tuned now when it has not been: the same
    folder where a job found nothing faster."""
    workload = f"{name}-b{batch}"
    known = node.get("/v1/workloads")
    known = known if isinstance(known, list) else known["workloads"]
    if workload not in [w["name"] for w in known]:
        shape = [] if path.stem.endswith("-torchscript") else ["--shape", f"batch={batch}"]
        node.kctl("import", path, "--name", workload, *shape)
    rows = releases(node, workload)
    if not rows:
        print(f"{workload}: tuning for {budget} s", file=sys.stderr, flush=True)
        begin = time.monotonic()
        run = node.kctl("tune", workload, "--budget", f"{budget}s", check=False)
        if run.returncode != 0:
            raise RuntimeError(f"{workload}: {run.stdout[-600:]}{run.stderr[-600:]}")
        print(f"{workload}: tuned in {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
        rows = releases(node, workload)
        for row in rows:  # as an operator does; it is refused where the job did not find it faster
            if row["kind"] == "tuned":
                node.kctl("promote", row["id"], check=False)
    baseline = max(r["version"] for r in rows if r["kind"] == "baseline")
    folder = node.state / "releases" / workload
    best = int(os.readlink(folder / "current"))
    if best == baseline:
        print(f"{workload}: the job found nothing faster than its baseline", file=sys.stderr, flush=True)
    return folder / str(baseline), folder / str(best)


def releases(node, workload):
    rows = node.get(f"/v1/releases?workload={workload}")
    return rows if isinstance(rows, list) else rows["releases"]


# ---- measuring

def quartiles(ns):
    q1, _, q3 = statistics.quantiles(ns, n=4)
    return {"median_ms": statistics.median(ns) / 1e6, "q1_ms": q1 / 1e6, "q3_ms": q3 / 1e6}


def compare(name, batch, baseline, best, rounds, threads, with_torch):
    import kiln
    tensors = [(t.name, list(t.shape), str(t.dtype)) for t in kiln.load(str(best)).inputs]
    subjects = [Subject("Kiln", str(best), tensors, threads)]
    if best != baseline:
        subjects.append(Subject("oneDNN", str(baseline), tensors, threads))
    if with_torch:
        subjects.append(Subject("PyTorch", f"eager:{name}-b{batch}", tensors, threads))
        try:
            subjects.append(Subject("compiled", f"compiled:{name}-b{batch}", tensors, threads))
        except RuntimeError as error:
            print(f"{name}-b{batch}: no compiled column: {str(error).splitlines()[-1]}", file=sys.stderr)
    judge = next((s for s in subjects if s.name == "PyTorch"), subjects[-1])
    scale = math.sqrt(sum(x * x for x in judge.result)) or 1
    row = {"model": name, "batch": batch, "threads": threads, "rounds": rounds, "rounding": {}}
    for s in subjects:
        if s is not judge:
            row["rounding"][s.name] = math.sqrt(sum((a - b) ** 2 for a, b in zip(s.result, judge.result))) / scale
    calls = max(1, min(20, int(0.05e9 / max(min(subjects[0].run(3)), 1))))
    for s in subjects:
        s.run(2)
        s.ns.clear()
    for turn in range(rounds):
        for i in range(len(subjects)):
            times = subjects[(i + turn) % len(subjects)]
            before = len(times.ns)
            times.run(calls)
            times.ns[before:] = [statistics.median(times.ns[before:])]
            time.sleep(0.02)  # whoever waits by spinning has gone to sleep
    for s in subjects:
        row[s.name] = quartiles(s.ns)
        s.close()
    for other in subjects[1:]:
        pairs = [b / a for a, b in zip(subjects[0].ns, other.ns)]
        row[f"over {other.name}"] = statistics.median(pairs)
    if best == baseline:  # nothing was faster than what ran before
        row["oneDNN"], row["over oneDNN"] = row["Kiln"], 1.0
    return row


def profile(folder, threads):
    """Medians of each launch, added up by label: what kiln_run_timed says."""
    import numpy
    import kiln
    model = kiln.load(str(folder), threads=threads)
    library = ctypes.CDLL(os.environ["KILN_LIBRARY"])
    del model
    handle, session = ctypes.c_void_p(), ctypes.c_void_p()
    assert library.kiln_open(str(folder).encode(), None, ctypes.byref(handle)) == 0
    assert library.kiln_session_create(handle, ctypes.byref(session)) == 0
    plan = kiln.load(str(folder))
    values = inputs_for([(t.name, list(t.shape), str(t.dtype)) for t in plan.inputs], numpy)
    outputs = [numpy.empty(t.shape, t.dtype) for t in plan.outputs]
    pointers = lambda arrays: (ctypes.c_void_p * len(arrays))(*[a.ctypes.data for a in arrays])
    count = library.kiln_launch_count(handle)
    library.kiln_launch_label.restype = ctypes.c_char_p
    samples = (ctypes.c_double * count)()
    runs = []
    for _ in range(15):
        assert library.kiln_run_timed(session, pointers(values), pointers(outputs), samples) == 0
        runs.append(list(samples))
    table = {}
    for i in range(count):
        label = library.kiln_launch_label(handle, i).decode()
        total, times = table.get(label, (0, 0))
        table[label] = (total + statistics.median(run[i] for run in runs[3:]), times + 1)
    library.kiln_session_destroy(session)
    library.kiln_close(handle)
    whole = sum(total for total, _ in table.values())
    for label, (total, times) in sorted(table.items(), key=lambda item: -item[1][0])[:14]:
        print(f"    {total / 1e3:10.1f} us {100 * total / whole:5.1f} %  x{times:<3} {label}")


def ranking(folder, pairs_file, threads):
    """Whether the release ranks the sentence pairs as PyTorch did when they were exported; pairs whose places
    differ."""
    import numpy
    import kiln
    pairs = json.loads(pairs_file.read_text())["pairs"]
    model = kiln.load(str(folder), threads=threads)
    batch = model.inputs[0].shape[0]

    def embed(side):
        rows = []
        for begin in range(0, len(pairs), batch):
            part = [pairs[min(i, len(pairs) - 1)] for i in range(begin, begin + batch)]
            ids, mask = (numpy.array([p[f"{side}_{what}"] for p in part], dtype="int64") for what in ("ids", "mask"))
            rows.append(model(ids, mask, numpy.zeros_like(ids))[0].copy())
        return numpy.concatenate(rows)[:len(pairs)].astype("float64")

    cosine = (embed("a") * embed("b")).sum(1)
    ours = sorted(range(len(pairs)), key=lambda i: -cosine[i])
    theirs = sorted(range(len(pairs)), key=lambda i: -pairs[i]["cosine"])
    return {"identical": ours == theirs, "largest_difference": max(abs(c - p["cosine"]) for c, p in zip(cosine, pairs)),
            "differ": [i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b]}


def cases(o):
    """Name, batch and file of each model."""
    if not o.networks:
        return [(name, batch, SOURCE / "tests/models/block.onnx" if name == "block" else o.models / f"{name}.onnx")
                for name, batch in CASES]
    parts = lambda path: path.stem.removesuffix("-torchscript").rpartition("-b")
    return [(parts(path)[0], int(parts(path)[2]), path) for path in sorted(o.networks.glob("*-b*-torchscript.onnx"))]


# ---- the table

def print_table(rows):
    print(f"{'model':15} {'batch':>5} {'Kiln ms':>18} {'oneDNN ms':>18} {'PyTorch ms':>18} {'compiled ms':>18} "
          f"{'/oneDNN':>8} {'/PyTorch':>8} {'/compiled':>9} {'rounding':>9}")
    for r in rows:
        cell = lambda s: f"{r[s]['median_ms']:8.2f} [{r[s]['q1_ms']:.2f} {r[s]['q3_ms']:.2f}]" if s in r else "-"
        over = lambda s: f"{r['over ' + s]:7.2f}x" if f"over {s}" in r else "-"
        print(f"{r['model']:15} {r['batch']:5} {cell('Kiln'):>18} {cell('oneDNN'):>18} {cell('PyTorch'):>18} "
              f"{cell('compiled'):>18} {over('oneDNN'):>8} {over('PyTorch'):>8} {over('compiled'):>9} "
              f"{r['rounding'].get('Kiln', 0):9.1e}")


def summary(rows, bars):
    out, missed = {}, []
    for other, bar in bars.items():
        ratios = [r[f"over {other}"] for r in rows if f"over {other}" in r]
        if not ratios:
            continue
        out[other] = math.exp(sum(math.log(x) for x in ratios) / len(ratios))
        print(f"geometric mean over {other}: {out[other]:.3f}x (bar {bar}x), least {min(ratios):.3f}x")
        if out[other] < bar:
            missed.append(f"geometric mean over {other}")
        if other == "oneDNN" and min(ratios) < 1:
            missed.append("a model is slower than its baseline")
    return out, missed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=pathlib.Path, default=SOURCE / "build/models")
    parser.add_argument("--networks", type=pathlib.Path)
    parser.add_argument("--only", action="append", help="a model's name, or name-bBATCH")
    parser.add_argument("--budget", type=int, default=150)
    parser.add_argument("--reuse", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--require", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--tensors", help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.serve:
        return serve(o.serve, json.loads(o.tensors), o.threads)

    from node import Node
    with_torch = importlib.util.find_spec("torch") is not None
    if not with_torch:
        print("torch is not installed for this interpreter: that column is left out", file=sys.stderr)
    node = Node()
    if o.reuse:
        o.reuse.mkdir(parents=True, exist_ok=True)
        node.state = o.reuse.resolve()
    rows = []
    try:
        node.start()
        places, failed = [], []
        for name, batch, path in cases(o):
            if o.only and name not in o.only and f"{name}-b{batch}" not in o.only:
                continue
            if not path.exists():
                print(f"{path} is not there: skipped (tests/models/export.py writes it)", file=sys.stderr)
                continue
            try:
                places.append((name, batch, *tuned(node, name, batch, path, o.budget)))
            except RuntimeError as error:  # the others go on
                failed.append(str(error))
                print(error, file=sys.stderr, flush=True)
        node.stop()  # nothing but the subjects runs while they are timed
        for name, batch, baseline, best in places:
            row = compare(name, batch, baseline, best, o.rounds, o.threads, with_torch)
            rows.append(row)
            print_table([row])
            if name == "minilm" and (o.models / "minilm_pairs.json").exists():
                row["ranking"] = ranking(best, o.models / "minilm_pairs.json", o.threads)
                ranked = 'identical' if row['ranking']['identical'] else row['ranking']['differ']
                print(f"    sentence pairs ranked as PyTorch ranks them: {ranked}; "
                      f"cosine differs by {row['ranking']['largest_difference']:.1e} at most")
            if o.profile:
                for folder, what in {best: "Kiln", baseline: "oneDNN"}.items():
                    print(f"  {what}:")
                    profile(folder, o.threads)
            sys.stdout.flush()
    finally:
        node.close()
    print()
    print_table(rows)
    means, missed = summary(rows, NETWORK_BARS if o.networks else BARS)
    missed += failed
    missed += [f"{r['model']}-b{r['batch']}: the ranking differs" for r in rows
               if not r.get("ranking", {}).get("identical", True)]
    if o.json:
        o.json.write_text(json.dumps({"rows": rows, "geometric_means": means, "missed": missed}, indent=1) + "\n")
    for what in missed:
        print(f"missed: {what}")
    return 1 if o.require and missed else 0


if __name__ == "__main__":
    sys.exit(main())
