#!/usr/bin/env python3
"""Kiln on KernelBench: each problem exported, imported, tuned, loaded into PyTorch, judged and timed.

    tests/kernelbench/run.py CHECKOUT RESULTS.jsonl [--levels 1,2] [--only 1/23,2/52..2/64] [--target cuda]
                             [--budget SECONDS]

CHECKOUT is a clone of ScalingIntelligence/KernelBench, which is not bundled. One JSON line per problem is appended to
RESULTS; problems that stand there are skipped, so that a run which was stopped goes on. The table is printed at the
end, and by summary.py. Three verdicts stand side by side: strict, by Kiln's own oracle in double precision; and whether
the outputs are within the benchmark's tolerance of eager's, now 1e-4 and formerly 1e-2. Times are medians in
milliseconds of interleaved trials, by the benchmark's method; "seconds" and "facts" say what each stage and each kind
of fact took. Needs PyTorch and onnx; KILN_BINARY_DIR names the build, or the folder that tests/cuda/bundle made.

A problem whose Dropout is in training mode draws numbers: a plan has them as further inputs, drawn in each of its timed
calls as PyTorch draws them ("drawn": how many), and is compared with eager from the same state of the generator.

The node's state lies in TMPDIR. Where that is a disk, weights of gigabytes take as long as it needs to have written
them; a tmpfs measures Kiln alone.

--state FOLDER keeps the node's state: a later run with other RESULTS has its priors and its code objects.

--jobs N builds for up to N problems ahead on the CPU, in a process of its own, while the present one is measured
(ahead.py); "ahead" says what a problem found built, "exported_ahead" whether it found its file. "gpu_idle_seconds",
with or without --jobs, is how long the GPU had nothing to do for it.

--batch-divisor N runs smaller problems: the module's batch_size (or M) divided by N. Such lines say so and are no
KernelBench results; they show how kernels compare where the whole size does not fit the time or the machine.

--plan-only PROGRAM runs nothing and needs no GPU: with the build's device_plan as PROGRAM it says of each problem
whether it is exported, imported, planned and compiled, and which of its operators no CUDA template computes.
"""
import argparse
import json
import os
import pathlib
import signal
import statistics
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE, HERE.parent / "e2e", HERE.parent.parent / "runtime/python", HERE.parent / "python"):
    sys.path.insert(0, str(folder))

import ahead  # noqa: E402
import problems  # noqa: E402
import summary  # noqa: E402


class Stages:
    """Seconds of each stage of one problem, in record["seconds"]: a stage ends where the next begins."""

    def __init__(self, record):
        self._seconds = record.setdefault("seconds", {})
        self._name, self._since = None, 0.0

    def begin(self, name):
        now = time.monotonic()
        if self._name:
            self._seconds[self._name] = round(now - self._since, 2)
        self._name, self._since = name, now


class Bench:
    """A private daemon that tunes for one target, and the GPU that it has as the only one that this process sees."""

    def __init__(self, options):
        import node
        os.environ.pop("CUDA_DEVICE_ORDER", None)  # which workers do not have: all count alike
        os.environ["CUDA_VISIBLE_DEVICES"] = str(options.gpu)  # PyTorch and libkiln have not opened the driver yet
        os.environ.setdefault("KILN_LIBRARY", str(node.BINARY / "lib/libkiln.so"))
        self.options = options
        self.ahead = None
        self.node = node.Node()
        if options.state:
            options.state.mkdir(parents=True, exist_ok=True)
            self.node.state = options.state.resolve()
        config = self.node.folder / "kilnd.toml"
        config.write_text(f'[paths]\ngpu_libraries = "{options.gpu_libraries}"\n[gpu]\ndevice = {options.gpu}\n')
        self.node.arguments = ["--config", config]
        self.node.start()

    def tune(self, problem, file, dimensions, record, policy=None):
        """(job row, the release that is to be judged); record["facts"]: what the job's time went to. `dimensions`:
        the extents of those that the file leaves open. `policy`: its text; that of the options without it."""
        import export
        import fact_times
        external = {}
        for location in export.external_data(file):
            external[location] = self.node.upload(file.parent / location)
            (file.parent / location).unlink()
        model = self.node.upload(file)
        workload = self.node.post("/v1/workloads", {"name": export.workload_name(model, external, dimensions),
                                                    "model": model, "file_name": file.name, "external": external,
                                                    "dimensions": dimensions})
        if self.ahead:
            record["ahead"] = self.ahead.take(self.node, problem)
        body = {"workload": workload["id"], "budget_seconds": self.options.budget, "target": self.options.target}
        if policy is None and self.options.policy:
            policy = pathlib.Path(self.options.policy).read_text()
        if policy is not None:
            body["policy_text"] = policy
        job = self.node.post("/v1/jobs", body)
        try:
            job = self.node.wait(job["id"], seconds=self.options.budget * 4 + 300)
        except RuntimeError:
            self.node.post(f"/v1/jobs/{job['id']}/cancel")  # or the next problem's would wait behind it
            raise
        record["facts"] = fact_times.totals(self.node.state, job["id"])
        record["slowest"] = fact_times.slowest(self.node.state, job["id"])
        if self.ahead:
            self.ahead.describe(self.node)
        if job["state"] == "done":
            tried = self.node.get(f"/v1/jobs/{job['id']}/candidates")
            record["candidates"] = len(tried)
            record["tried"] = [[c["variant"], c["why"], c["verdict"], c["median_ns"]] for c in tried]
            record["failures"] = [f"{c['region']} {c['verdict']}: {c['reason']}" for c in tried
                                  if c["verdict"] not in ("ok", "slower")][:8]
        if job["state"] != "done":
            raise RuntimeError(job["error"])
        made = [r for r in self.node.get("/v1/releases")["releases"] if r["workload"] == workload["id"]]
        made = [r for r in made if r["job"] == job["id"]] or made  # an earlier job may have released the incumbent
        faster = [r for r in made if r["kind"] == "tuned" and r["verdict"] == "faster"]
        return job, (faster or made)[-1]

    def bandwidth(self):
        return self.node.get("/v1/node").get("bandwidth", {}).get("memory_copy")


def judged(bench, problem, options, record):
    """Fills `record`, stage by stage: what stands in it when something fails is what was reached."""
    import dropout
    import export
    import kiln
    import measure
    import torch
    stages = Stages(record)
    stages.begin("load")
    device = "cuda" if options.target == "cuda" else "cpu"
    loaded = problems.Loaded(problem, device, options.batch_divisor)
    if loaded.changed:
        record["changed"] = loaded.changed
    inputs = loaded.inputs(42)
    stages.begin("export")
    found = None
    if bench.ahead:
        bench.ahead.begin(problem)
        found = bench.ahead.exported(problem, bench.node.folder)
        record["exported_ahead"] = found is not None
    file, dimensions, record["export"] = found or export.written(problem, loaded.model, inputs, bench.node.folder)
    del inputs  # many gigabytes, which the job needs
    if device == "cuda":
        torch.cuda.empty_cache()
    stages.begin("tune")
    job, release = bench.tune(problem, file, dimensions, record)
    file.unlink()
    stages.begin("load release")
    # A plan that the oracle does not find right is no release, and a wrong baseline ends its job.
    record["strict"] = "ok"
    record["release"] = release["kind"]
    record["decision"] = job["result"]["decision"]["reason"]
    told = ("label", "variant", "speed_up", "error")
    record["kernels"] = [{key: row[key] for key in told} for row in job["result"]["summary"]]

    fast = kiln.load(release["directory"])
    inputs = loaded.inputs(42)
    drawn = dropout.Drawn(loaded.model, inputs)
    record["drawn"] = len(drawn)

    def run(given):
        tensors = [x for x in given if isinstance(x, torch.Tensor)] + drawn.masks()
        if device == "cpu":
            return [torch.from_numpy(a) for a in fast(*(x.numpy() for x in tensors))]
        return fast(*tensors)
    stages.begin("compare")
    record["close"], record["largest_difference"] = measure.verdicts(run, loaded.model, loaded.inputs, options.trials)
    stages.begin("time")
    contenders = {"kiln": lambda: run(inputs), "eager": lambda: loaded.model(*inputs)}
    if options.compile:
        compiled = torch.compile(loaded.model)
        contenders["compile"] = lambda: compiled(*inputs)
    times = measure.interleaved(contenders, device, options.rounds)
    record["ms"] = {name: round(statistics.median(of), 5) for name, of in times.items()}
    record["quartiles_ms"] = {name: [of[len(of) // 4], of[3 * len(of) // 4]] for name, of in times.items()}
    with torch.no_grad():
        record["bytes"] = measure.bytes_once(inputs, loaded.model, measure.tensors_of(loaded.model(*inputs)))
    if bandwidth := bench.bandwidth():
        record["floor_ms"] = 1e3 * record["bytes"] / bandwidth
    stages.begin("")


def plan_only(options, chosen):
    """A JSON line for each problem, and the table."""
    import dry
    with tempfile.TemporaryDirectory() as folder:
        for problem in chosen:
            record = dry.plan(problems, problem, pathlib.Path(folder), options.plan_only)
            with open(options.results, "a") as out:
                out.write(json.dumps(record) + "\n")
            print(f"{problem.key} {problem.name}: {record['stage']} {record['why']}", flush=True)
    print(dry.table(summary.load(options.results)))


def add_node_arguments(parser, each, budget, rounds):
    """What Bench and Ahead ask of their options. `each`: what a job is for, in a word."""
    parser.add_argument("--target", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--budget", type=int, default=budget, help=f"seconds of search per {each}")
    parser.add_argument("--policy", help="policy file of the jobs")
    parser.add_argument("--rounds", type=int, default=rounds, help="timed samples of each contender")
    parser.add_argument("--jobs", type=int, default=0, help=f"{each}s whose kernels are built ahead, for cuda")
    parser.add_argument("--seconds", type=float, default=float("inf"), help=f"begin no {each} after this long")
    parser.add_argument("--gpu", type=int, default=0, metavar="N", help="which GPU, by the driver's count")
    parser.add_argument("--gpu-libraries", default=os.environ.get("LD_LIBRARY_PATH", ""),
                        help="folders of the driver and NVRTC")
    parser.add_argument("--state", type=pathlib.Path, help="the node's state, kept: what earlier runs learned is there")
    parser.add_argument("--plan-only", metavar="PROGRAM", help="device_plan of the build: plans are made, not run")


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=pathlib.Path)
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("--levels", default="1,2")
    parser.add_argument("--only", default="", help="problems, such as 1/23,2/52..2/64")
    parser.add_argument("--memory-bound", action="store_true", help="none led by matmul, convolution, attention")
    parser.add_argument("--trials", type=int, default=5, help="fresh inputs for the benchmark's verdicts")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="leave torch.compile out")
    parser.add_argument("--batch-divisor", type=int, default=1)
    add_node_arguments(parser, "problem", budget=30, rounds=100)
    return parser.parse_args(arguments)


def main(arguments):
    options = parse(arguments)
    done = {(r["level"], r["number"]) for r in summary.load(options.results)}
    found = problems.find(options.checkout, [int(x) for x in options.levels.split(",")])
    try:
        only = problems.selected(found, options.only)
    except ValueError as error:
        sys.exit(f"cannot run --only {options.only}: {error}")
    chosen = [p for p in found
              if (p.level, p.number) not in done and (not only or p.key in only)
              and (not options.memory_bound or p.memory_bound)]
    if options.plan_only:
        return plan_only(options, chosen)
    begin = time.monotonic()
    bench = Bench(options)
    try:
        if options.jobs > 0 and options.target == "cuda":
            arguments = {"checkout": str(options.checkout), "levels": sorted({p.level for p in chosen}),
                         "batch_divisor": options.batch_divisor}
            bench.ahead = ahead.Ahead(bench.node.folder / "ahead", options, chosen, options.jobs,
                                      ("export", HERE, arguments))
        for problem in chosen:
            if time.monotonic() - begin > options.seconds:
                break
            record = {"level": problem.level, "number": problem.number, "name": problem.name, "kind": problem.kind,
                      "memory_bound": problem.memory_bound, "degenerate": problem.degenerate, "target": options.target}
            try:
                judged(bench, problem, options, record)
            except Exception as error:  # one problem's failure is a result; the next is tried
                record["failed"] = f"{type(error).__name__}: {str(error).strip()[:500]}"
                record["where"] = traceback.format_exc(limit=-1).splitlines()[1].strip()
            record["gpu_idle_seconds"] = ahead.idle_seconds(record)
            with open(options.results, "a") as out:
                out.write(json.dumps(record) + "\n")
            print(f"{problem.key} {problem.name}: {record.get('failed') or record.get('ms')}", flush=True)
            if options.target == "cuda":
                import torch
                torch.cuda.empty_cache()
    finally:
        if bench.ahead:
            bench.ahead.close()
        bench.node.close()
    print(summary.table(summary.load(options.results)))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that its daemons are ended too
    main(sys.argv[1:])
