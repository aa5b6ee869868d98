"""The table of a file of results: python3 tests/kernelbench/summary.py RESULTS.jsonl"""

import json
import math
import sys


def load(path):
    try:
        with open(path) as lines:
            return [json.loads(line) for line in lines if line.strip()]
    except FileNotFoundError:
        return []


def _geomean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else float("nan")


def _row(name, results):
    timed = [r for r in results if r.get("ms", {}).get("kiln")]
    eager = [r["ms"]["eager"] / r["ms"]["kiln"] for r in timed]
    best = [min(r["ms"]["eager"], r["ms"].get("compile", math.inf)) / r["ms"]["kiln"] for r in timed]
    floor = [r["floor_ms"] / r["ms"]["kiln"] for r in timed if r.get("floor_ms")]
    right = sum(r.get("strict") == "ok" for r in results)
    close = [sum(r.get("close", {}).get(t) is True for r in results) for t in ("1e-4", "1e-2")]
    slower = sum(x < 0.98 for x in eager)
    return (f"{name:28} {len(results):4} {right:7} {close[0]:6} {close[1]:6} {_geomean(eager):7.2f} "
            f"{_geomean(best):7.2f} {100 * _geomean(floor):6.0f} % {slower:7}")


_LEGEND = """strict: right against Kiln's oracle. 1e-4, 1e-2: the benchmark's tolerances against eager. eager, better:
geometric mean of the speed-up over eager, and over the better of eager and torch.compile. floor: share of the
time that every input, parameter and output once takes at the node's measured copy bandwidth.
"""


def table(results):
    lines = [f"{'':28} {'all':>4} {'strict':>7} {'1e-4':>6} {'1e-2':>6} {'eager':>7} {'better':>7} {'floor':>8} "
             f"{'<0.98x':>7}"]
    for level in sorted({r["level"] for r in results}):
        of_level = [r for r in results if r["level"] == level]
        for kind in sorted({r["kind"] for r in of_level}):
            lines.append(_row(f"level {level}: {kind}", [r for r in of_level if r["kind"] == kind]))
        lines.append(_row(f"level {level}", of_level))
        lines.append(_row(f"level {level}, not degenerate", [r for r in of_level if not r["degenerate"]]))
        lines.append(_row(f"level {level}, memory-bound", [r for r in of_level if r["memory_bound"]]))
    lines += ["", _LEGEND]
    for r in results:
        if r.get("failed"):
            lines.append(f"{r['level']}/{r['number']} {r['name']}: {r['failed']}")
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(table(load(sys.argv[1])))
