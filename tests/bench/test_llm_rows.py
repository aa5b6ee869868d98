"""The table of the row operators, out of lines as a run writes them."""

import inspect
import pathlib
import re
import unittest

import llm_rows

KERNELS = [{"label": "normalise", "variant": "row/device", "speed_up": 2, "error": 0}]


def record(case, us, **more):
    operator, size = case.split("/")
    return {"case": case, "operator": operator, "tokens": int(size.split("x")[0]), "bytes": 4_000_000, "right": True,
            "release": "tuned", "kernels": KERNELS, "us": us, "copy_bytes_per_second": 4e12, **more}


class Table(unittest.TestCase):
    def line(self, text, begin):
        return next(line for line in text.splitlines() if line.startswith(begin))

    def test_the_fastest_mode_of_compile_is_the_opponent(self):
        text = llm_rows.table([record("gelu/16x4096", {"kiln": 2.0, "eager": 6.0, "compile default": 5.0,
                                                       "compile max-autotune-no-cudagraphs": 3.0})])
        line = self.line(text, "gelu/16x4096").split()
        # 4 MB in 2 us are 2 TB/s, half of a copy's 4.
        self.assertEqual(line[1:9], ["2.00", "6.00", "3.00", "2000", "50.0", "%", "3.00x", "1.50x"])
        self.assertIn("max-autotune-no-cudagraphs", line[9])
        self.assertIn("1.50x compile (least 1.50x, 0 below 1), 50.0 % of copy", self.line(text, "16 tokens"))

    def test_a_case_that_failed_and_ran_again_stands_once(self):
        text = llm_rows.table([{"case": "gelu/1x128", "tokens": 1, "failed": "no GPU"},
                               record("gelu/1x128", {"kiln": 2.0, "eager": 1.0})])
        self.assertNotIn("no GPU", text)
        self.assertIn("0.50x", self.line(text, "gelu/1x128"))

    def test_what_is_wrong_says_so(self):
        text = llm_rows.table([record("gelu/1x128", {"kiln": 2.0, "eager": 1.0, "compile default": 1.0}, right=False)])
        self.assertIn("WRONG", self.line(text, "gelu/1x128"))

    def test_geometric_means_go_by_tokens(self):
        text = llm_rows.table([record("gelu/1x128", {"kiln": 1.0, "eager": 2.0, "compile default": 4.0}),
                               record("softmax/1x128", {"kiln": 1.0, "eager": 8.0, "compile default": 0.25})])
        self.assertIn("1 tokens, 2 cases: 4.00x eager, 1.00x compile (least 0.25x, 1 below 1)", text)


class Options(unittest.TestCase):
    def test_what_it_borrows_finds_its_options(self):
        given = llm_rows.parse(["results.jsonl"])
        self.assertEqual(given.results, pathlib.Path("results.jsonl"))
        for borrowed in (llm_rows.run.Bench, llm_rows.ahead.Ahead):
            asked = set(re.findall(r"options\.([a-z_]+)", inspect.getsource(borrowed)))
            self.assertGreater(len(asked), 0)
            self.assertEqual({name for name in asked if not hasattr(given, name)}, set())


if __name__ == "__main__":
    unittest.main()
