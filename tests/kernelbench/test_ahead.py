"""What the run takes in of what was built ahead, and how it counts the time in which its GPU had nothing to do."""

import pathlib
import tempfile
import unittest

import ahead
from problems import Problem


class Daemon:
    """The answers of one, and what it was asked."""

    def __init__(self, facts):
        self.facts, self.asked = facts, []

    def get(self, _path):
        return self.facts

    def upload(self, path):
        return pathlib.Path(path).read_text()

    def post(self, path, body):
        self.asked.append((path, body))
        return {"objects": 7, "added": 5, "same_compiler": True}


class Taking(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.problems = [Problem(1, n, "p", pathlib.Path()) for n in (4, 9)]
        self.ahead = ahead.Ahead.__new__(ahead.Ahead)  # without its process
        self.ahead.folder, self.ahead.problems = pathlib.Path(folder.name), self.problems
        self.ahead._begun, self.ahead._described = 0, False
        (self.ahead.folder / "key.pem").write_text("the key")

    def test_a_bundle_is_taken_once_and_the_other_side_hears_how_far_the_run_is(self):
        daemon = Daemon({})
        self.assertEqual(self.ahead.take(daemon, self.problems[0]), {})
        self.assertEqual(ahead._begun(self.ahead.folder), 1)
        self.assertEqual(daemon.asked, [])
        (self.ahead.folder / "1_9.objects").write_text("bundle")
        told = self.ahead.take(daemon, self.problems[1])
        self.assertEqual((told["objects"], told["added"]), (7, 5))
        self.assertEqual(daemon.asked, [("/v1/objects", {"bundle": "bundle", "keys": ["the key"]})])
        self.assertEqual(ahead._begun(self.ahead.folder), 2)
        self.assertEqual(self.ahead.take(daemon, self.problems[1]), {})

    def test_the_node_is_described_once_it_knows_its_gpu(self):
        self.ahead.describe(Daemon({"state": "not probed yet"}))
        self.assertFalse((self.ahead.folder / "node.json").exists())
        self.ahead.describe(Daemon({"gpu": {"architecture": "sm_90a"}}))
        self.assertIn("sm_90a", (self.ahead.folder / "node.json").read_text())
        self.ahead.describe(Daemon({"gpu": {"architecture": "sm_80"}}))
        self.assertIn("sm_90a", (self.ahead.folder / "node.json").read_text())


class Idle(unittest.TestCase):
    def test_what_is_neither_probe_check_measurement_comparison_nor_timing(self):
        record = {"seconds": {"load": 1, "export": 2, "tune": 30, "load release": 1, "compare": 4, "time": 6},
                  "facts": {"node": 3, "build": 9, "check": 8, "measure": 7, "clock": 0.2}}
        self.assertEqual(ahead.idle_seconds(record), 44 - 3 - 8 - 7 - 4 - 6)
        self.assertEqual(ahead.idle_seconds({}), 0)


if __name__ == "__main__":
    unittest.main()
