#!/usr/bin/env python3
"""Runs each folder beside this file that holds `cmd`: arguments of kctl, one line of shell words.

Files of a case: `cmd`; `rc`, the exit status; `out`, the whole of standard output (absent: not compared); `err`, lines
each of which stands in standard error. It runs in its folder, so that `cmd` may name files beside it.
"""
import os
import shlex
import subprocess
import sys


def read(folder, name):
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        return file.read()


def faults(program, folder):
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "KILN_SOCKET": "/nonexistent/control.sock"}
    done = subprocess.run([program, *shlex.split(read(folder, "cmd"))], cwd=folder, env=environment,
                          capture_output=True, text=True,
                          timeout=60, check=False, stdin=subprocess.DEVNULL)
    out = []
    if done.returncode != int(read(folder, "rc")):
        out.append(f"status {done.returncode} instead of {read(folder, 'rc').strip()}; {done.stderr.strip()}")
    expected = read(folder, "out")
    if expected is not None and done.stdout != expected:
        out.append(f"standard output is\n{done.stdout}\ninstead of\n{expected}")
    out += [f"standard error lacks '{line}': {done.stderr}" for line in (read(folder, "err") or "").splitlines()
            if line not in done.stderr]
    return out


def main(program):
    here = os.path.dirname(os.path.abspath(__file__))
    cases = sorted(name for name in os.listdir(here) if os.path.exists(os.path.join(here, name, "cmd")))
    failed = 0
    for name in cases:
        found = faults(os.path.abspath(program), os.path.join(here, name))
        failed += bool(found)
        print("\n".join([f"{name}: failed"] + found) if found else f"{name}: ok")
    print(f"{len(cases) - failed} of {len(cases)} cases")
    return 1 if failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
