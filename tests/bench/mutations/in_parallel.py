#!/usr/bin/env python3
"""A campaign of mutations on every core: as many processes, each with rounds, mutants and inputs of its own.

  in_parallel.py [--processes N] [--folder FOLDER] [arguments of mutations, such as --minutes 8 --right 95]

Prints the tables over all processes' records, which FOLDER (mutations in the build folder) keeps: run again with
the same FOLDER it goes on. The exit status is that of `mutations` over all records: 1 when fewer than 99.9 % of what is
wrong was caught or a right variant was refused. --count and --right are per process.
"""
import argparse
import os
import pathlib
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[3]
BINARY = pathlib.Path(os.environ.get("KILN_BINARY_DIR", SOURCE / "build/release"))
ROUNDS = 1000  # more than a process gets through


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--folder", type=pathlib.Path, default=BINARY / "mutations")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first-round", type=int, default=1)
    options, rest = parser.parse_known_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    program = [str(BINARY / "bin/mutations")]
    records = [options.folder / f"{i}.jsonl" for i in range(options.processes)]
    running = []
    for i, file in enumerate(records):
        with open(file.with_suffix(".log"), "w", encoding="utf-8") as log:
            running.append(subprocess.Popen(
                program + ["--quiet", "--seed", str(options.seed + i), "--records", str(file),
                           "--first-round", str(options.first_round + i * ROUNDS)] + rest, stdout=log, stderr=log))
    for process in running:
        process.wait()
    together = options.folder / "all.jsonl"
    together.write_text("".join(f.read_text(encoding="utf-8") for f in records if f.exists()), encoding="utf-8")
    return subprocess.call(program + ["--quiet", "--count", "0", "--right", "0", "--records", str(together)])


if __name__ == "__main__":
    sys.exit(main())
