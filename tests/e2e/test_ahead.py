"""Objects built ahead: a node without a GPU builds for one that has it (the fake driver of tests/simt), which takes the
bundle in and compiles none of it again."""

import hashlib
import json
import pathlib
import sys
import unittest

import node as private
from onnx_file import model, node

FAKE = private.BINARY / "fake"
ARCHITECTURE = "sm_90a"


def write_model(path):
    path.write_bytes(model(
        [node("Add", ["x", "y"], ["s"]), node("Softmax", ["s"], ["p"], axis=1), node("Mul", ["p", "x"], ["m"]),
         node("Tanh", ["m"], ["z"])],
        {"x": [24, 96], "y": [24, 96]}, {"z": [24, 96]}))


def write_other_model(path):
    path.write_bytes(model([node("Tanh", ["x"], ["z"])], {"x": [8, 16]}, {"z": [8, 16]}))


def builds(the_node, job):
    """The build facts of a job, in the order in which it asked for them."""
    out = []
    for entry in the_node.get(f"/v1/jobs/{job}/entries")["entries"]:
        if entry["kind"] == "build":
            out += json.loads(the_node.request("GET", f"/v1/jobs/{job}/entries/{entry['sequence']}"))
    return out


def has_blob_of(the_node, file):
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return (the_node.state / "blobs" / digest[:2] / digest).exists()


def newest(the_node):
    return max(the_node.get("/v1/jobs")["jobs"], key=lambda job: job["created_ns"])


def a_node(libraries):
    made = private.Node()
    config = made.folder / "kilnd.toml"
    config.write_text(f'[paths]\ngpu_libraries = "{libraries}"\n')
    made.arguments = ["--config", config]
    made.start()
    return made


class Ahead(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.gpu = a_node(FAKE)
        cls.addClassCleanup(cls.gpu.close)
        compiler_only = cls.gpu.folder / "compiler"
        compiler_only.mkdir()
        for library in FAKE.glob("libnvrtc*"):
            (compiler_only / library.name).symlink_to(library)
        cls.builder = a_node(compiler_only)
        cls.addClassCleanup(cls.builder.close)
        # The node's description is what its newest job found, and not what one for its CPU found before it.
        write_other_model(cls.gpu.folder / "other.onnx")
        cls.gpu.kctl("tune", cls.gpu.folder / "other.onnx", "--budget", "1s")
        cls.gpu.kctl("tune", cls.gpu.folder / "other.onnx", "--target", "cuda", "--budget", "2s")
        cls.description = cls.gpu.folder / "node.json"
        cls.description.write_text(cls.gpu.kctl("--json", "node").stdout)
        cls.file = cls.gpu.folder / "norm.onnx"
        write_model(cls.file)
        cls.bundle = cls.gpu.folder / "norm.objects"
        cls.said = cls.builder.kctl("tune", cls.file, "--build-only", "--target", ARCHITECTURE, "--node",
                                    cls.description, "--output", cls.bundle)
        cls.job = newest(cls.builder)
        cls.builder.kctl("export", cls.job["id"], cls.gpu.folder / "export")
        cls.key = cls.gpu.folder / "export/node-key.pem"

    def test_1_what_was_built_is_told_and_signed(self):
        ahead = self.job["result"]["ahead"]
        self.assertIn(f"{ahead['kernels']} kernels for {ahead['regions']} regions", self.said.stdout)
        self.assertIn("build: 0 of", self.said.stderr)
        self.assertGreater(ahead["built"], 4)
        self.assertEqual(ahead["built"] + ahead["from_cache"], ahead["kernels"])
        exported = pathlib.Path(self.gpu.folder / "export/bundle.objects").read_bytes()
        self.assertEqual(exported, self.bundle.read_bytes())
        self.assertTrue(exported.startswith(b"kiln-objects/1 "))

    def test_2_the_record_of_a_job_that_only_builds_replays(self):
        self.builder.kctl("replay", self.job["id"])
        # It told nothing of the machine that it ran on.
        self.assertNotIn("gpu", self.builder.get("/v1/node"))

    def test_3_built_again_all_of_it_comes_from_the_cache(self):
        again = self.builder.post("/v1/jobs", {"workload": "norm", "build_only": {
            "architecture": ARCHITECTURE, "node": json.loads(self.description.read_text())}})
        ahead = self.builder.wait(again["id"])["result"]["ahead"]
        self.assertEqual(ahead["built"], ahead["failed"])
        self.assertEqual(ahead["kernels"], self.job["result"]["ahead"]["kernels"])

    def test_4_a_bundle_that_is_not_what_a_trusted_node_signed_leaves_nothing(self):
        before = self.gpu.get("/v1/status")["objects"]
        whole = self.bundle.read_bytes()
        damaged = self.gpu.folder / "damaged.objects"
        for bytes_ in (whole[:-1], whole[:len(whole) // 2], whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:], b""):
            damaged.write_bytes(bytes_)
            refused = self.gpu.kctl("objects", "import", damaged, "--key", self.key, check=False)
            self.assertNotEqual(refused.returncode, 0)
            self.assertFalse(has_blob_of(self.gpu, damaged))
        self.assertNotEqual(self.gpu.kctl("objects", "import", self.bundle, check=False).returncode, 0)
        self.assertFalse(has_blob_of(self.gpu, self.bundle))
        self.assertEqual(self.gpu.get("/v1/status")["objects"], before)

    def test_5_after_the_import_a_job_builds_nothing_that_the_bundle_had(self):
        told = json.loads(self.gpu.kctl("--json", "objects", "import", self.bundle, "--key", self.key).stdout)
        self.assertTrue(told["same_compiler"], told)
        self.assertGreater(told["added"], 4)
        bundled = {f["recipe"] for f in builds(self.builder, self.job["id"]) if f["verdict"] == "ok"}
        self.assertEqual(told["objects"], len(bundled))
        self.assertIn("0 of them new", self.gpu.kctl("objects", "import", self.bundle, "--key", self.key).stdout)
        self.assertFalse(has_blob_of(self.gpu, self.bundle))  # once for the cache is enough
        imports = [self.gpu.kctl_process("objects", "import", self.bundle, "--key", self.key) for _ in range(4)]
        for one in imports:
            said = one.communicate()
            self.assertEqual(one.returncode, 0, said)
        self.assertFalse(has_blob_of(self.gpu, self.bundle))
        self.builder.kctl("objects", "import", self.bundle)
        self.assertTrue(has_blob_of(self.builder, self.bundle))  # where it is an artifact of a job

        self.gpu.kctl("tune", self.file, "--target", "cuda", "--budget", "20s")
        job = newest(self.gpu)
        self.assertEqual(job["state"], "done", job)
        asked = builds(self.gpu, job["id"])
        self.assertFalse([f for f in asked if f["recipe"] in bundled and f.get("origin") != "cache"])
        taken = {f["recipe"] for f in asked if f.get("origin") == "cache"}
        # Its baseline and the first round of each region: nothing that compiles was left to compile there.
        rounds = [f for f in asked if f["verdict"] == "ok"]
        self.assertEqual({f["recipe"] for f in rounds[:len(taken)]}, taken)
        self.assertGreaterEqual(len(taken), 5)
        # They were checked and measured like any other: the job ends with a plan that its oracle and libkiln agreed on.
        self.assertEqual(job["result"]["objects"]["from_cache"], len(taken))
        candidates = json.loads(self.gpu.request("GET", f"/v1/jobs/{job['id']}/candidates"))
        self.assertTrue(any(c["median_ns"] > 0 for c in candidates))

    def test_6_a_description_that_does_not_fit_is_refused(self):
        described = json.loads(self.description.read_text())
        for build_only, word in (({"architecture": "sm_12"}, "no description"), ({"architecture": "abacus"}, "sm_90a"),
                                 ({"architecture": "../sm_90a"}, "sm_90a"),
                                 ({"architecture": "sm_80", "node": described}, "described"),
                                 ({"architecture": ARCHITECTURE, "node": {"cores": 1}}, ""),
                                 ({"architecture": ARCHITECTURE, "candidates": 0}, "candidates"),
                                 ({"architecture": ARCHITECTURE, "speed": 1}, "unknown")):
            with self.assertRaises(private.Refused) as refused:
                self.builder.post("/v1/jobs", {"workload": "norm", "build_only": build_only})
            self.assertEqual(refused.exception.status, 400)
            self.assertIn(word, refused.exception.body)

    def test_7_without_a_description_kiln_s_own_is_taken(self):
        job = self.builder.post("/v1/jobs", {"workload": "norm",
                                             "build_only": {"architecture": ARCHITECTURE, "candidates": 2}})
        row = self.builder.wait(job["id"])
        self.assertEqual(row["state"], "done", row)
        self.assertEqual(row["spec"]["build_only"]["node"]["gpu"]["name"], "NVIDIA H200")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
