#!/usr/bin/env python3
"""Row operators of language models in bfloat16, Kiln's releases against PyTorch's eager and compiled ones.

    tests/bench/llm_rows.py RESULTS.jsonl [--tokens 1,16,...] [--widths 4096,...] [--only rmsnorm,swiglu/16x4096]
                            [--budget SECONDS] [--jobs N] [--seconds N] [--target cpu]
    OUT/walk rows RESULTS.jsonl --jobs 8 --seconds 520          the same out of the folder that tests/cuda/bundle made

RMSNorm, the sum of two with its RMSNorm, LayerNorm, softmax, SwiGLU, GELU and rotary embedding (heads of 128): each
exported by PyTorch, tuned by a private daemon, loaded, compared with double precision over the same inputs, and timed
(row_clock.py; what that meets in memory is tuned with cold caches). On a GPU every contender's calls are recorded into
a CUDA graph, so nobody's host time counts; "compile" is the fastest of torch.compile's modes: default, and up to
--fastest tokens max-autotune too. Modes that record their own graphs (--modes default,reduce-overhead) are called one
by one.

One JSON line per case is appended to RESULTS; cases that stand there without a failure are skipped. The table is
printed at the end, and alone by --table. Of copy: every input, weight and output once, over the time, over the node's
measured copy bandwidth. A case is right when its outputs err at most twice as much as eager's.

--jobs N builds for up to N cases ahead, as tests/kernelbench/run.py does. --plan-only PROGRAM, with the build's
device_plan, says what kernels each case's plan has and runs none.
"""
import argparse
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE, HERE.parent / "kernelbench", HERE.parent / "e2e", HERE.parents[1] / "runtime/python",
               HERE.parent / "python"):
    sys.path.insert(0, str(folder))

import ahead  # noqa: E402
import run  # noqa: E402
import summary  # noqa: E402

OPERATORS = ("rmsnorm", "add_rmsnorm", "layernorm", "softmax", "swiglu", "gelu", "rotary")
OWN_GRAPHS = ("reduce-overhead", "max-autotune")  # modes of torch.compile that record graphs themselves


def compiled_contenders(module, modes, recorded, of, record):
    """{"compile MODE": what runs it over `of`, the sets and how many calls}; the record tells of a mode that fails."""
    import row_clock
    import torch
    out = {}
    for mode in modes:
        torch._dynamo.reset()
        try:
            function = torch.compile(module, mode=mode, dynamic=False)
            way = row_clock.Called if mode in OWN_GRAPHS else recorded
            out[f"compile {mode}"] = way(function, *of)
        except Exception as error:  # of many kinds; the other modes are timed
            record.setdefault("compile_failed", {})[mode] = str(error).strip()[:300]
    return out


def policy_of(case, options):
    """The text of the job's policy: what is timed cold here is tuned cold."""
    import row_clock
    root = pathlib.Path(os.environ.get("KILN_SOURCE_DIR", HERE.parents[1]))
    text = pathlib.Path(options.policy or root / "policies/default.toml").read_text()
    if row_clock.sets_for(case.call_bytes()) == 1:
        return text
    return re.sub(r'(?m)^cache = "warm"', 'cache = "cold"', text)


def judged(bench, case, options, record):
    """Fills `record`, stage by stage: what stands in it when something fails is what was reached."""
    stages = run.Stages(record)
    stages.begin("export")
    import kiln.pytorch
    import row_clock
    import row_operators
    import torch
    file, dimensions = case.write(bench.node.folder)
    stages.begin("tune")
    job, release = bench.tune(case, file, dimensions, record, policy_of(case, options))
    file.unlink()
    stages.begin("compare")
    record["strict"] = "ok"  # what the oracle does not find right is no release, and a wrong baseline ends its job
    record["release"] = release["kind"]
    record["decision"] = job["result"]["decision"]["reason"]
    told = ("label", "variant", "speed_up", "error")
    record["kernels"] = [{key: row[key] for key in told} for row in job["result"]["summary"]]
    device = "cuda" if options.target == "cuda" else "cpu"
    fast = kiln.pytorch.load(release["directory"])
    module = case.module().to(device)
    first = case.inputs(device, 42)
    outputs = {"kiln": row_operators.listed(fast(*first)), "eager": row_operators.listed(module(*first))}
    record["errors"] = row_operators.errors(case, outputs, first)
    record["right"] = all(a <= 2 * b for a, b in zip(record["errors"]["kiln"], record["errors"]["eager"]))
    moved = [*first, *module.parameters(), *outputs["eager"]]
    record["bytes"] = sum(t.numel() * t.element_size() for t in moved)
    del outputs, moved
    stages.begin("compile")
    count = row_clock.sets_for(record["bytes"])
    sets = [first] + [case.inputs(device, 43 + i) for i in range(count - 1)]
    calls = row_clock.calls_for(record["bytes"], count)
    recorded = row_clock.Recorded if device == "cuda" else row_clock.Called
    modes = list(options.modes)
    if device == "cuda" and case.tokens <= options.fastest and "max-autotune-no-cudagraphs" not in modes:
        modes.append("max-autotune-no-cudagraphs")
    with torch.no_grad():
        contenders = {"kiln": recorded(fast, sets, calls), "eager": recorded(module, sets, calls)}
        contenders |= compiled_contenders(module, modes, recorded, (sets, calls), record)
        stages.begin("time")
        times = row_clock.interleaved(contenders, device, options.rounds)
    record["cold"], record["calls"] = count > 1 or record["bytes"] > row_clock.WARM_BYTES, calls
    record["us"] = {name: round(1e3 * statistics.median(of), 4) for name, of in times.items()}
    record["quartiles_us"] = {name: [round(1e3 * of[len(of) * i // 4], 4) for i in (1, 3)]
                              for name, of in times.items()}
    if bandwidth := bench.bandwidth():
        record["copy_bytes_per_second"] = bandwidth
    stages.begin("")


def _ratios(record):
    """Over eager, and over the fastest of torch.compile's modes, with its name."""
    us = record["us"]
    compiled = {name.removeprefix("compile "): t for name, t in us.items() if name.startswith("compile ")}
    best = min(compiled, key=compiled.get) if compiled else None
    return us["eager"] / us["kiln"], compiled[best] / us["kiln"] if best else math.nan, best


def _geomean(values):
    values = [v for v in values if v == v]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def table(records):
    """Of each case its newest line."""
    latest = {r["case"]: r for r in records}.values()
    lines = [f"{'case':24} {'Kiln us':>9} {'eager':>9} {'compile':>9} {'GB/s':>6} {'of copy':>8} {'eager':>7} "
             f"{'compile':>8}  kernel"]
    timed = [r for r in latest if r.get("us")]
    for r in latest:
        if "us" not in r:
            lines.append(f"{r['case']:24} {r.get('failed') or r.get('plan')}")
            continue
        over_eager, over_compile, mode = _ratios(r)
        us, rate = r["us"], r["bytes"] / r["us"]["kiln"] * 1e6
        of_copy = f"{100 * rate / r['copy_bytes_per_second']:6.1f} %" if r.get("copy_bytes_per_second") else ""
        kernels = "; ".join(k["variant"] for k in r["kernels"])
        note = "" if r["right"] else "WRONG "
        lines.append(f"{r['case']:24} {us['kiln']:9.2f} {us['eager']:9.2f} {over_compile * us['kiln']:9.2f} "
                     f"{rate / 1e9:6.0f} {of_copy:>8} {over_eager:6.2f}x {over_compile:7.2f}x  "
                     f"{note}{mode}; {kernels} ({r['release']})")
    for tokens in sorted({r["tokens"] for r in timed}):
        of = [r for r in timed if r["tokens"] == tokens]
        ratios = [_ratios(r) for r in of]
        share = [r["bytes"] / r["us"]["kiln"] * 1e6 / r["copy_bytes_per_second"] for r in of
                 if r.get("copy_bytes_per_second")]
        lines.append(f"{tokens} tokens, {len(of)} cases: {_geomean([x[0] for x in ratios]):.2f}x eager, "
                     f"{_geomean([x[1] for x in ratios]):.2f}x compile (least "
                     f"{min(x[1] for x in ratios):.2f}x, {sum(x[1] < 1 for x in ratios)} below 1), "
                     f"{100 * _geomean(share):.1f} % of copy (least {100 * min(share, default=math.nan):.1f} %)")
    return "\n".join(lines)


def plan(case, program):
    """What device_plan says of the case's fused plan, in a line."""
    with tempfile.TemporaryDirectory() as folder:
        file, _ = case.write(pathlib.Path(folder), leave_open=False)
        told = json.loads(subprocess.run([program, file], capture_output=True, text=True, check=True).stdout)
    if "refused" in told:
        return told["refused"]
    regions = "; ".join(f"{r['label']} [{', '.join(r['templates'])}]" for r in told["regions"])
    return f"{told['launches']} launches, {told['bytes'] / 1e6:.3f} MB: {regions} {' '.join(told['uncomputed'])}"


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=pathlib.Path)
    numbers = lambda text: [int(x) for x in text.split(",")]
    names = lambda text: [x for x in text.split(",") if x]
    parser.add_argument("--operators", type=names, default=list(OPERATORS))
    parser.add_argument("--tokens", type=numbers, default=[1, 16, 128, 2048, 16384])
    parser.add_argument("--widths", type=numbers, default=[4096, 8192, 12288], help="multiples of 128")
    parser.add_argument("--only", type=names, default=[], help="operators or cases, such as rmsnorm,swiglu/16x4096")
    parser.add_argument("--modes", type=names, default=["default"], help="of torch.compile; none leave it out")
    parser.add_argument("--fastest", type=int, default=1, metavar="TOKENS",
                        help="up to so many tokens max-autotune is a contender too")
    run.add_node_arguments(parser, "case", budget=3, rounds=30)
    parser.add_argument("--table", action="store_true", help="print the table of RESULTS and run nothing")
    return parser.parse_args(arguments)


def chosen_cases(options, done):
    import row_operators
    return [c for c in row_operators.cases(options.operators, options.tokens, options.widths)
            if c.key not in done and (not options.only or c.key in options.only or c.operator in options.only)]


def begun(case, options):
    return {"case": case.key, "operator": case.operator, "tokens": case.tokens, "width": case.width,
            "target": options.target}


def kept(options, record):
    with open(options.results, "a") as out:
        out.write(json.dumps(record) + "\n")
    print(f"{record['case']}: {record.get('failed') or record.get('plan') or record['us']} "
          f"{record.get('seconds', '')}", flush=True)


def measured(options, chosen):
    begin = time.monotonic()
    bench = run.Bench(options)
    try:
        if options.jobs > 0 and options.target == "cuda":
            arguments = {"operators": options.operators, "tokens": options.tokens, "widths": options.widths}
            bench.ahead = ahead.Ahead(bench.node.folder / "ahead", options, chosen, options.jobs,
                                      ("row_operators", HERE, arguments))
        for case in chosen:
            if time.monotonic() - begin > options.seconds:
                break
            record = begun(case, options)
            try:
                judged(bench, case, options, record)
            except Exception as error:  # one case's failure is a result; the next is tried
                record["failed"] = f"{type(error).__name__}: {str(error).strip()[:500]}"
                record["where"] = traceback.format_exc(limit=-1).splitlines()[1].strip()
            kept(options, record)
            if options.target == "cuda":
                import torch
                torch.cuda.empty_cache()
    finally:
        if bench.ahead:
            bench.ahead.close()
        bench.node.close()


def main(arguments):
    options = parse(arguments)
    done = {r["case"] for r in summary.load(options.results) if "failed" not in r}
    chosen = [] if options.table else chosen_cases(options, done)
    if options.plan_only:
        for case in chosen:
            kept(options, begun(case, options) | {"plan": plan(case, options.plan_only)})
    elif chosen:
        measured(options, chosen)
    print(table(summary.load(options.results)))


if __name__ == "__main__":
    main(sys.argv[1:])
