"""What a job's time went to, out of a daemon's state folder: python3 fact_times.py STATE [JOB]

The seconds of each fact and decision on record, which is what passed since the one before; of the newest job where none
is named (j-3).
"""

import json
import pathlib
import sqlite3
import sys


def entries(state, job=None):
    """[(seconds, kind, what the fact says of itself)] in the order of the record."""
    state = pathlib.Path(state)
    rows = sqlite3.connect(f"file:{state}/kiln.db?mode=ro", uri=True)
    number = int(job.removeprefix("j-")) if job else rows.execute("SELECT max(job) FROM entries").fetchone()[0]
    out, last = [], None
    for kind, at, digest in rows.execute(
            "SELECT kind, recorded_ns, content FROM entries WHERE job = ? ORDER BY sequence", (number,)):
        told = json.loads((state / "blobs" / digest[:2] / digest).read_text())
        told = told if isinstance(told, dict) else {}
        subjects = [f"{s.get('verdict', '')} x {len(s.get('ns', []))}" for s in told.get("subjects", [])
                    if isinstance(s, dict)]
        said = " ".join([str(told.get("verdict", "")), str(told.get("evidence", ""))[:200], *subjects])
        out.append((0.0 if last is None else (at - last) / 1e9, kind, said))
        last = at
    rows.close()
    return out


def totals(state, job):
    """{kind: seconds} of a job, of what took a tenth of a second."""
    out = {}
    for seconds, kind, _ in entries(state, job):
        out[kind] = out.get(kind, 0.0) + seconds
    return {kind: round(seconds, 2) for kind, seconds in out.items() if seconds >= 0.1}


def slowest(state, job, count=8):
    """The facts of a job that took longest: ["seconds kind what it says", ...]."""
    facts = sorted(entries(state, job), key=lambda fact: -fact[0])[:count]
    return [f"{seconds:.2f} {kind} {said[:160]}" for seconds, kind, said in facts]


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    for seconds, kind, said in entries(sys.argv[1], *sys.argv[2:]):
        print(f"{seconds:8.2f} s  {kind}  {said}")
