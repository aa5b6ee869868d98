#!/usr/bin/env python3
"""No line of our sources is longer than 120 columns.

    check_columns.py SOURCE      exit status 1 and one line for each that is

Left out: prose in Markdown and generated values, which nobody reads beside code; migrations, which never change once
they have run somewhere; and in TOML a line that is one string, which cannot be broken without becoming another kind.
"""

import pathlib
import re
import sys

MOST = 120
SUFFIXES = {".cpp", ".h", ".cu", ".cuh", ".py", ".sh", ".cmake", ".in", ".toml", ".service", ".socket", ".bash"}
PROGRAMS = {"check", "quickstart", "run", "bundle", "install-packages", "make-debian-packages", "CMakeLists.txt"}
LEFT_OUT = {".git", "build", "install", ".cache", "golden", "__pycache__"}
ONE_STRING = re.compile(r'^\s*(\w+ = (\w+\(|\[)?)?"')


def sources(root):
    for path in sorted(root.iterdir()):
        if path.is_dir() and path.name not in LEFT_OUT:
            yield from sources(path)
        elif path.is_file() and (path.suffix in SUFFIXES or path.name in PROGRAMS):
            yield path


def long_lines(path):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if len(line) > MOST and not (path.suffix == ".toml" and ONE_STRING.match(line)):
            yield number, len(line)


def main(root):
    found = [f"{path.relative_to(root)}:{number}: {columns} columns" for path in sources(root)
             for number, columns in long_lines(path)]
    print("\n".join(found) if found else f"no line is longer than {MOST} columns")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]).resolve()))
