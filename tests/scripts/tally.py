#!/usr/bin/env python3
"""Adds up ctest's JUnit files into the one line 'N passed, N failed'; fails when anything failed or nothing ran.

A doctest program counts by its test cases, anything else as one. A test that failed without a failed case (a crash, a
sanitizer's report, a time limit) counts as one failure, and so does a test that did not run and a missing file. One
that ran and said by its status that this machine lacks what it needs counts as neither, and is named.
"""
import re
import sys
import xml.etree.ElementTree as ElementTree

CASES = re.compile(r"\[doctest\] test cases:\s*\d+\s*\|\s*(\d+) passed\s*\|\s*(\d+) failed")


def skipped(test):
    """Why the test left itself out; None if it did not."""
    found = test.find("skipped")
    if found is None or not found.get("message", "").startswith("SKIP_RETURN_CODE="):
        return None
    return (test.findtext("system-out") or "").strip()


def count(test):
    """(passed, failed) of one <testcase>."""
    succeeded = test.get("status") == "run"
    passed = failed = 0
    for match in CASES.finditer(test.findtext("system-out") or ""):
        passed += int(match.group(1))
        failed += int(match.group(2))
    if succeeded:
        return (passed or 1, failed)
    return (passed, failed or 1)


def tally(paths):
    passed = failed = 0
    for path in paths:
        try:
            tests = list(ElementTree.parse(path).getroot().iter("testcase"))
        except (OSError, ElementTree.ParseError) as error:
            print(f"cannot read test results on '{path}': {error}", file=sys.stderr)
            failed += 1
            continue
        for test in tests:
            why = skipped(test)
            if why is not None:
                print(f"skipped: {test.get('name')} ({path}): {why}")
                continue
            p, f = count(test)
            passed += p
            failed += f
            if f:
                print(f"failed: {test.get('name')} ({path})")
    return passed, failed


def main(paths):
    passed, failed = tally(paths)
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
