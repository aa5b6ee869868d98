#!/usr/bin/env python3
"""tally.py over JUnit files written by hand after ctest's documentation of --output-junit."""
import io
import os
import tempfile
import unittest
from contextlib import redirect_stderr, redirect_stdout

import tally

PASSED = ('<testcase name="a_test" status="run">'
          '<system-out>[doctest] test cases:  7 |  7 passed | 0 failed | 2 skipped</system-out></testcase>')
FAILED = ('<testcase name="b_test" status="fail"><failure message=""/>'
          '<system-out>[doctest] test cases: 5 | 3 passed | 2 failed | 0 skipped</system-out></testcase>')
CRASHED = ('<testcase name="c_test" status="fail"><failure message="SEGV"/>'
           '<system-out>AddressSanitizer</system-out></testcase>')
SCRIPT = '<testcase name="rooms" status="run"><system-out>ok</system-out></testcase>'
NOT_RUN = '<testcase name="d_test" status="notrun"><skipped message="Required file missing"/></testcase>'

SKIPPED = ('<testcase name="e_test" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/>'
           '<system-out>no torch: skipped</system-out></testcase>')


class TallyTest(unittest.TestCase):
    def tally(self, *bodies):
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for index, body in enumerate(bodies):
                paths.append(os.path.join(folder, f"{index}.xml"))
                with open(paths[-1], "w", encoding="utf-8") as file:
                    file.write(body)
            out = io.StringIO()
            with redirect_stdout(out), redirect_stderr(io.StringIO()):
                status = tally.main(paths)
            return status, out.getvalue().splitlines()[-1]

    def test_doctest_cases_and_scripts_are_added_over_files(self):
        one = f"<testsuite>{PASSED}{SCRIPT}</testsuite>"
        self.assertEqual(self.tally(one, one), (0, "16 passed, 0 failed"))

    def test_failed_cases_count_and_the_status_says_so(self):
        self.assertEqual(self.tally(f"<testsuite>{PASSED}{FAILED}</testsuite>"), (1, "10 passed, 2 failed"))

    def test_a_crash_is_one_failure(self):
        self.assertEqual(self.tally(f"<testsuite>{PASSED}{CRASHED}</testsuite>"), (1, "7 passed, 1 failed"))

    def test_what_did_not_run_is_a_failure(self):
        self.assertEqual(self.tally(f"<testsuite>{SCRIPT}{NOT_RUN}</testsuite>"), (1, "1 passed, 1 failed"))

    def test_what_says_that_it_cannot_run_here_is_neither(self):
        self.assertEqual(self.tally(f"<testsuite>{SCRIPT}{SKIPPED}</testsuite>"), (0, "1 passed, 0 failed"))
        self.assertEqual(self.tally(f"<testsuite>{SKIPPED}</testsuite>"), (1, "0 passed, 0 failed"))

    def test_nothing_ran_is_not_success(self):
        self.assertEqual(self.tally("<testsuite/>"), (1, "0 passed, 0 failed"))

    def test_a_file_cut_at_any_byte_is_a_failure(self):
        whole = f"<testsuite>{PASSED}</testsuite>"
        for end in range(len(whole)):
            status, line = self.tally(whole[:end])
            self.assertEqual((status, line), (1, "0 passed, 1 failed"))


if __name__ == "__main__":
    unittest.main()
