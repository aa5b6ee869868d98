"""What a run would meet without running it: each problem exported and imported, and what its plan for a GPU lacks."""

import json
import subprocess

# Elements of the largest input that is traced: the exporter runs the model on this machine. Extents of the batch
# decide no template.
MOST_ELEMENTS = 1 << 22


def divisor(problems, problem):
    """What the batch is divided by so that the largest input has at most MOST_ELEMENTS, by powers of two."""
    import torch
    with torch.device("meta"):
        sizes = [x.numel() for x in problems.inputs_of(problem) if isinstance(x, torch.Tensor)]
    out = 1
    while max(sizes, default=0) > out * MOST_ELEMENTS:
        out *= 2
    return out


def plan(problems, problem, folder, program):
    """{"stage": "export" | "import" | "template" | "build" | "planned", "why"}; `program` is device_plan of the build.
    """
    import export
    record = {"level": problem.level, "number": problem.number, "name": problem.name, "kind": problem.kind,
              "memory_bound": problem.memory_bound}
    file = folder / f"level{problem.level}_{problem.number}.onnx"
    try:
        loaded = problems.Loaded(problem, "cpu", divisor(problems, problem))
        record["changed"] = loaded.changed
        record["export"] = export.export(loaded.model, loaded.inputs(42), file)
        del loaded
    except Exception as error:  # the exporter has many kinds; one problem's failure is a result
        return record | {"stage": "export", "why": str(error).strip().splitlines()[0][:300]}
    told = json.loads(subprocess.run([program, "--build", file], capture_output=True, text=True, check=True).stdout)
    file.unlink()
    if "refused" in told:
        return record | {"stage": "import", "why": told["refused"]}
    lacking = told["uncomputed"] + [r["label"] for r in told["regions"] if not r["templates"]]
    if told.get("unbuilt"):
        return record | {"stage": "build", "why": "; ".join(told["unbuilt"])}
    record["regions"] = told["regions"]
    return record | {"stage": "template" if lacking else "planned", "why": "; ".join(lacking)}


def passes(regions):
    """How often a plan goes over the data of a chain, a run of kernels between those that a product, a convolution or
    attention leads: its launches but for those that move less than an eighth of what its largest does, which fold what
    is per row or per channel. Of the chain that has most."""
    chains = {}
    for region in regions:
        for chain in region["runs"]:
            if not region["led"]:
                chains.setdefault(chain, []).append(region["bytes"])
    return max((sum(b * 8 >= max(moved) for b in moved) for moved in chains.values()), default=0)


def chains(records):
    """Of the problems that such a kernel leads, how many plans have none, one and more passes over a chain."""
    led = [passes(r["regions"]) for r in records if r["stage"] == "planned" and any(x["led"] for x in r["regions"])]
    return f"beside products and convolutions: none {led.count(0)}, one pass {led.count(1)}, " \
           f"more {sum(n > 1 for n in led)}"


def table(records):
    lines = [f"{r['level']}/{r['number']:<4} {r['kind']:18} {r['stage']:9} {r['name']}: "
             f"{r['why'] or ', '.join(x['label'] for x in r['regions'])}" for r in records]
    for level in sorted({r["level"] for r in records}):
        of = [r for r in records if r["level"] == level]
        led = [r for r in of if r["memory_bound"]]
        count = sum(r["stage"] == "planned" for r in of)
        lines.append(f"level {level}: {count} of {len(of)} planned; memory-bound "
                     f"{sum(r['stage'] == 'planned' for r in led)} of {len(led)}; {chains(of)}")
    return "\n".join(lines)
