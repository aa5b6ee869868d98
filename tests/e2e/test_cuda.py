"""A whole job for target cuda without a GPU: the driver and the compiler are those of tests/simt, which run kernels on
the CPU. Everything above them is what runs on a GPU node: probe, build, check against the oracle, measure, decide,
release, libkiln."""

import json
import sys
import unittest

import node as private
from onnx_file import model, node

FAKE = private.BINARY / "fake"


class CudaJob(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = private.Node()
        cls.addClassCleanup(cls.node.close)
        config = cls.node.folder / "kilnd.toml"
        config.write_text(f'[paths]\ngpu_libraries = "{FAKE}"\n')
        cls.node.arguments = ["--config", config]
        cls.node.start()
        cls.file = cls.node.folder / "norm.onnx"
        cls.file.write_bytes(model(
            [node("Add", ["x", "y"], ["s"]), node("Softmax", ["s"], ["p"], axis=1), node("Mul", ["p", "x"], ["m"]),
             node("Tanh", ["m"], ["z"])],
            {"x": [24, 96], "y": [24, 96]}, {"z": [24, 96]}))

    def test_a_model_is_tuned_and_released_for_a_gpu(self):
        workload = self.node.post("/v1/workloads",
                                  {"name": "norm", "model": self.node.upload(self.file), "file_name": "norm.onnx",
                                                    "external": {}, "dimensions": {}})
        job = self.node.post("/v1/jobs", {"workload": workload["id"], "budget_seconds": 20, "target": "cuda"})
        row = self.node.wait(job["id"])
        self.assertEqual(row["state"], "done", row)
        releases = self.node.get("/v1/releases")["releases"]
        self.assertGreaterEqual(len(releases), 1)
        for release in releases:
            folder = self.node.state / "releases" / "norm" / str(release["version"])
            plan = json.loads((folder / "plan.json").read_text())
            self.assertEqual(plan["target"], "cuda")
            self.assertEqual(plan["architecture"], "sm_90a")
            self.assertTrue(all(launch["grid"]["block_threads"] >= 1 for launch in plan["run"]))
            self.assertTrue(all((folder / "objects" / f"{digest}.cubin").exists() for digest in plan["objects"]))
        facts = self.node.get("/v1/node")
        self.assertEqual(facts["gpu"]["name"], "GPU of the fake driver")

    def test_the_other_target_is_the_default_and_an_unknown_one_is_refused(self):
        with self.assertRaises(private.Refused) as refused:
            self.node.post("/v1/jobs", {"workload": "norm", "target": "abacus"})
        self.assertEqual(refused.exception.status, 400)


class AnotherGpu(unittest.TestCase):
    def test_one_that_the_node_does_not_have_is_refused_with_how_many_it_has(self):
        single = private.Node()
        self.addCleanup(single.close)
        config = single.folder / "kilnd.toml"
        config.write_text(f'[paths]\ngpu_libraries = "{FAKE}"\n[gpu]\ndevice = 1\n')
        single.arguments = ["--config", config]
        single.start()
        workload = single.import_block()
        job = single.post("/v1/jobs", {"workload": workload["id"], "budget_seconds": 5, "target": "cuda"})
        row = single.wait(job["id"])
        self.assertEqual(row["state"], "failed")
        self.assertIn("cannot use GPU 1: the node has 1", row["error"])


class NoGpu(unittest.TestCase):
    def test_a_node_without_a_driver_says_so_and_goes_on(self):
        try:
            import ctypes
            ctypes.CDLL("libcuda.so.1")
            self.skipTest("this node has a driver")
        except OSError:
            pass
        lonely = private.Node()
        self.addCleanup(lonely.close)
        lonely.start()
        workload = lonely.import_block()
        job = lonely.post("/v1/jobs", {"workload": workload["id"], "budget_seconds": 5, "target": "cuda"})
        row = lonely.wait(job["id"])
        self.assertEqual(row["state"], "failed")
        self.assertIn("no CUDA device", row["error"])
        self.assertIn("state", lonely.get("/v1/node") | {"state": ""})


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
