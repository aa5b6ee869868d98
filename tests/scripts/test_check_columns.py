#!/usr/bin/env python3
"""check_columns.py finds a long line in every kind of source, and only there."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECK = pathlib.Path(__file__).with_name("check_columns.py")


class Columns(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def put(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")

    def found(self):
        """The status, and what stands before the columns in each line."""
        run = subprocess.run([sys.executable, CHECK, self.root], capture_output=True, text=True)
        self.assertEqual(run.stderr, "")
        return run.returncode, [line.rpartition(": ")[0] for line in run.stdout.splitlines() if ": " in line]

    def test_a_long_line_of_any_source_is_named(self):
        names = ["a/unit.cpp", "a/unit.h", "a/kernel.cu", "check", "deep/er/CMakeLists.txt", "tool.py"]
        for name in names:
            self.put(name, "short\n" + 121 * "x")
        self.assertEqual(self.found(), (1, sorted(f"{name}:2" for name in names)))

    def test_120_columns_are_not_too_many_whatever_their_bytes(self):
        self.put("unit.cpp", 120 * "ä")
        self.assertEqual(self.found(), (0, []))

    def test_what_nobody_could_break_or_reads_beside_code_is_left_out(self):
        for name in ["README.md", "build/unit.cpp", "golden/values.toml", "001.sql"]:
            self.put(name, 200 * "x")
        self.put("template.toml", f'meaning = "{200 * "x"}"\nall = [\n  "{200 * "y"}",\n]')
        self.assertEqual(self.found(), (0, []))
        self.put("template.toml", f"values = [{70 * '1, '}]")
        self.assertEqual(self.found(), (1, ["template.toml:1"]))


if __name__ == "__main__":
    unittest.main()
