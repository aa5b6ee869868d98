"""What the run takes in of what was built ahead, and how it counts the time in which its GPU had nothing to do."""

import pathlib
import tempfile
import unittest
from unittest import mock

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


class Builder(Daemon):
    """The daemon of the other side, whose jobs end at once."""

    def __init__(self):
        super().__init__({})

    def post(self, path, body):
        self.asked.append((path, body))
        return {"id": "w-1" if path == "/v1/workloads" else "j-1"}

    def wait(self, _job):
        return {"state": "done", "id": "j-1", "result": {"ahead": {}}}

    def request(self, _method, _path):
        return b"bundle"


class Taking(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.problems = [Problem(1, n, "p", pathlib.Path()) for n in (4, 9)]
        self.ahead = ahead.Ahead.__new__(ahead.Ahead)  # without its process
        self.ahead.folder, self.ahead.problems = pathlib.Path(folder.name), self.problems
        self.ahead._begun, self.ahead._described = 0, False
        (self.ahead.folder / "key.pem").write_text("the key")
        (self.ahead.folder / "next").write_text("0")

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

    def build(self, key, folder, daemon):
        def write(place):
            self.writes += 1
            (place / "weights").write_text("of " + key)
            file = place / "level1.onnx"
            file.write_text("model " + key)
            return file, {"n0": 3}, "exporter, open"
        asked = {"problems": [p.key for p in self.problems], "policy": None}
        description = {"gpu": {"architecture": "sm_90a"}}
        return ahead._build(daemon, key, write, description, asked, folder)

    def test_what_was_exported_to_be_built_is_not_exported_again(self):
        self.writes = 0
        own = self.ahead.folder / "own"
        own.mkdir()
        with mock.patch.dict("sys.modules", export=mock.Mock(external_data=lambda file: ["weights"])):
            self.build("1/4", self.ahead.folder, Builder())
            self.ahead.begin(self.problems[0])
            file, dimensions, how = self.ahead.exported(self.problems[0], own)
            self.assertEqual((file, dimensions, how), (own / "level1.onnx", {"n0": 3}, "exporter, open"))
            self.assertEqual(sorted(p.name for p in own.iterdir()), ["level1.onnx", "weights"])
            self.assertEqual((own / "weights").read_text(), "of 1/4")
            self.assertIsNone(self.ahead.exported(self.problems[0], own))
            self.assertEqual(self.writes, 1)
            # One that comes after the run has looked for it stays nowhere.
            self.ahead.begin(self.problems[1])
            self.assertIsNone(self.ahead.exported(self.problems[1], own))
            self.build("1/9", self.ahead.folder, Builder())
        left = sorted(p.name for p in self.ahead.folder.iterdir())
        self.assertEqual(left, ["1_4.objects", "1_9.objects", "key.pem", "next", "own"])

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
