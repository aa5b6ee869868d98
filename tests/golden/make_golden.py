#!/usr/bin/env python3
"""make_golden.py DIR [--check]: writes the golden sets of store/golden, or compares them with what it would write.

The sets stand beside the functions that compute them: golden_products, golden_windows, golden_rows, golden_elements;
where their values come from says golden_case.
"""
import argparse
import pathlib
import sys

import golden_elements
import golden_products
import golden_rows
import golden_windows


def golden_sets():
    """The cases of each family."""
    return {**golden_elements.SETS, **golden_products.SETS, **golden_rows.SETS, **golden_windows.SETS}


def text_of(family, cases):
    head = f"# Written by tests/golden/make_golden.py: {family}. Inputs are exact in float32; "\
           "Kiln computed nothing here.\n"
    return head + "\n" + "\n".join(case.toml() for case in cases)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", type=pathlib.Path)
    arguments.add_argument("--check", action="store_true")
    options = arguments.parse_args()
    stale = []
    for family, cases in golden_sets().items():
        path, text = options.folder / f"{family}.toml", text_of(family, cases)
        if not options.check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(str(path))
    for path in stale:
        print(f"{path}: is not what make_golden.py writes", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
