"""One model from import to a verified, reversible release, and what may go wrong on the way."""

import base64
import hashlib
import json
import pathlib
import subprocess
import unittest

import numpy
import onnx
import onnx.numpy_helper

from node import BINARY, BLOCK, PATIENCE_S, QUICK_POLICY, SOURCE, NodeTest, Refused


class Job(NodeTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.node.import_block()
        cls.job = cls.node.wait(cls.node.tune(policy=QUICK_POLICY)["id"])

    def test_1_job_is_done_with_a_winner_per_region(self):
        self.assertEqual(self.job["state"], "done", self.job["error"])
        self.assertGreater(len(self.job["result"]["summary"]), 2)
        for row in self.job["result"]["summary"]:
            self.assertNotEqual(row["variant"], "none")
            self.assertLess(row["error"], 1e-4)

    def test_2_replay_reaches_the_same_decisions(self):
        answer = self.node.post(f"/v1/jobs/{self.job['id']}/replay")
        self.assertTrue(answer["identical"])
        self.assertGreater(answer["decisions"], 3)
        self.assertEqual(self.node.kctl("replay", self.job["id"]).returncode, 0)

    def test_3_promote_rollback_promote(self):
        node, releases = self.node, self.job["result"]["releases"]
        tuned, baseline = releases["tuned"], releases["baseline"]
        current = lambda: [r["id"] for r in node.get("/v1/releases")
                           if r["current"]] if isinstance(node.get("/v1/releases"), list) \
            else [r["id"] for r in node.get("/v1/releases")["releases"] if r["current"]]
        self.assertEqual(current(), [baseline])
        node.kctl("promote", tuned, "--force")  # the budget is too short to be sure of a gain
        self.assertEqual(current(), [tuned])
        manifest = (node.state / "releases/block/current/manifest.json").read_bytes()
        self.assertEqual(hashlib.sha256(manifest).hexdigest(), tuned)
        shapes = json.loads(manifest)["about"]["shapes"]
        inputs = json.loads((node.state / "releases/block/current/plan.json").read_bytes())["inputs"]
        self.assertEqual(shapes, {"inputs": [{k: t[k] for k in ("name", "dtype", "shape")} for t in inputs],
                                  "others": "refused"})
        node.kctl("rollback", "block")
        self.assertEqual(current(), [baseline])
        node.kctl("promote", tuned, "--force")
        self.assertEqual(current(), [tuned])
        node.kctl("diff", baseline, tuned)

    def test_4_report_verifies_with_stock_tools_and_not_after_one_flip(self):
        out = self.node.folder / "report"
        self.node.kctl("export", self.job["id"], out)
        subprocess.run(["./verify.sh"], cwd=out, check=True, capture_output=True)
        report = out / "report.dsse.json"
        good = report.read_bytes()
        key = out / "node-key.pem"
        verify = lambda: self.node.kctl("report", "verify", report, "--key", key, check=False).returncode
        self.assertEqual(verify(), 0)
        payload = json.loads(good)["payload"].encode()
        begin = good.index(payload[:40])
        for at in range(begin + 8, begin + len(payload) - 8, max(1, len(payload) // 40)):
            bad = bytearray(good)
            bad[at] = ord("A") if bad[at] != ord("A") else ord("B")
            report.write_bytes(bytes(bad))
            self.assertEqual(verify(), 6, f"byte {at}")
        self.assertNotEqual(subprocess.run(["./verify.sh"], cwd=out, capture_output=True).returncode, 0)
        report.write_bytes(good)
        self.openssl_alone(out, json.loads(good), key)

    def openssl_alone(self, out, envelope, key):
        """What `kctl report show` prints: the command, and DSSE's pre-authentication encoding that it verifies."""
        shown = self.node.kctl("report", "show", self.job["id"]).stdout
        self.assertIn("openssl pkeyutl -verify -pubin -inkey node-key.pem -rawin -in pae.bin -sigfile sig.bin", shown)
        payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
        whole = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
        signature = base64.b64decode(envelope["signatures"][0]["sig"])

        def accepted(pae, sig):
            (out / "pae.bin").write_bytes(pae)
            (out / "sig.bin").write_bytes(sig)
            return subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", key, "-rawin", "-in",
                                   out / "pae.bin",
                                   "-sigfile", out / "sig.bin"], capture_output=True).returncode == 0

        def flipped(data, at):
            return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]

        self.assertTrue(accepted(whole, signature))
        for at in range(0, len(whole), max(1, len(whole) // 60)):
            self.assertFalse(accepted(flipped(whole, at), signature), f"byte {at} of the statement")
        for at in range(len(signature)):
            self.assertFalse(accepted(whole, flipped(signature, at)), f"byte {at} of the signature")

    def test_5_a_process_that_knows_nothing_of_the_daemon_runs_the_release(self):
        script = SOURCE / "packaging/run_release.py"
        subprocess.run(["/usr/bin/python3", "-B", script, self.node.state / "releases/block/current"], check=True,
                       env={"PYTHONPATH": str(SOURCE / "runtime/python"),
                            "KILN_LIBRARY": str(BINARY / "lib/libkiln.so")})

    def test_6_a_second_job_competes_with_the_current_release(self):
        tuned = self.job["result"]["releases"]["tuned"]
        self.node.kctl("promote", tuned, "--force")
        second = self.node.wait(self.node.tune(policy=QUICK_POLICY, seed=2)["id"])
        self.assertEqual(second["state"], "done", second["error"])
        self.assertEqual(second["spec"]["incumbent"], tuned)
        self.assertTrue(self.node.post(f"/v1/jobs/{second['id']}/replay")["identical"])
        self.assertNotIn("baseline", second["result"]["releases"])

    def test_7_the_ledger_is_whole(self):
        self.node.kctl("ledger", "verify")


class BadInput(NodeTest):
    def refused(self, body, *words):
        with self.assertRaises(Refused) as caught:
            self.node.post("/v1/workloads", body)
        for word in words:
            self.assertIn(word, caught.exception.body)
        workloads = self.node.get("/v1/workloads")
        self.assertFalse(workloads if isinstance(workloads, list) else workloads["workloads"])

    def test_cut_model_leaves_nothing_behind(self):
        whole = BLOCK.read_bytes()
        for n in [0, 1, 7, 100, len(whole) // 2, len(whole) - 1]:
            cut = self.node.folder / "cut.onnx"
            cut.write_bytes(whole[:n])
            if n == 0:
                continue
            self.refused({"name": "cut", "model": self.node.upload(cut), "file_name": "cut.onnx", "external": {},
                          "dimensions": {"batch": 1}}, "cut.onnx")

    def test_unbound_dimension_is_named_with_its_cure(self):
        self.refused({"name": "free", "model": self.node.upload(BLOCK), "file_name": "block.onnx", "external": {},
                      "dimensions": {}},
                     "batch", "--shape")

    def model(self, nodes, initializers=(), name="made.onnx"):
        x, y = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [2, 3]) for n in "xy")
        graph = onnx.helper.make_graph(nodes, "made", [x], [y], list(initializers))
        made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
        path = self.node.folder / name
        path.write_bytes(made.SerializeToString())
        return path

    def test_a_model_cut_at_every_byte(self):
        weight = onnx.numpy_helper.from_array(numpy.ones((2, 3), numpy.float32), "w")
        whole = self.model([onnx.helper.make_node("Add", ["x", "w"], ["y"], name="sum")], [weight]).read_bytes()
        for n in range(1, len(whole)):
            cut = self.node.folder / "cut.onnx"
            cut.write_bytes(whole[:n])
            self.refused({"name": "cut", "model": self.node.upload(cut), "file_name": "cut.onnx", "external": {},
                          "dimensions": {}}, "cut.onnx")

    def test_unknown_operator_is_named(self):
        path = self.model([onnx.helper.make_node("Frobnicate", ["x"], ["y"], name="middle")])
        self.refused({"name": "odd", "model": self.node.upload(path), "file_name": "made.onnx", "external": {},
                      "dimensions": {}},
                     "made.onnx", "Frobnicate", "middle")

    def test_external_data_outside_the_folder_of_the_model(self):
        for location in ["../secret.bin", "/etc/passwd", "sub/../../secret.bin"]:
            weight = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [2, 3], [0.0] * 6)
            weight.ClearField("float_data")
            weight.data_location = onnx.TensorProto.EXTERNAL
            weight.external_data.add(key="location", value=location)
            path = self.model([onnx.helper.make_node("Add", ["x", "w"], ["y"])], [weight])
            self.refused({"name": "outside", "model": self.node.upload(path), "file_name": "made.onnx", "external": {},
                          "dimensions": {}},
                         "made.onnx", location)
            run = self.node.kctl("import", path, check=False)
            self.assertNotEqual(run.returncode, 0)
            self.assertIn(location, run.stdout + run.stderr)

    def test_bad_configuration_names_file_place_and_cause(self):
        for text, words in [("[limits]\nclinets = 3\n", ["clinets", "2"]), ("[limits\n", ["1"]),
                            ("[limits]\nclients = \"many\"\n", ["clients", "2"])]:
            path = self.node.folder / "kilnd.toml"
            path.write_text(text)
            run = subprocess.run([BINARY / "bin/kilnd", "--user", "--foreground", "--config", path, "--state",
                                  self.node.folder / "other",
                                  "--socket", self.node.folder / "other.sock"], capture_output=True, text=True,
                                 timeout=PATIENCE_S)
            self.assertNotEqual(run.returncode, 0)
            for word in ["kilnd.toml", *words]:
                self.assertIn(word, run.stderr + run.stdout)
            self.assertFalse((self.node.folder / "other").exists(), "a refused start left a state folder behind")

    def test_contradicting_policy(self):
        bad = self.node.folder / "bad.toml"
        bad.write_text((SOURCE / "policies/default.toml").read_text().replace("confidence = 0.95", "confidence = 1.95"))
        run = self.node.kctl("policy", "check", bad, check=False)
        self.assertNotEqual(run.returncode, 0)
        self.assertIn("confidence", run.stdout + run.stderr)

    def test_half_a_request_does_not_hold_the_daemon(self):
        import socket
        waiting = socket.socket(socket.AF_UNIX)
        waiting.connect(self.node.socket)
        waiting.sendall(b"GET /v1/status HTTP/1.1\r\nHost: ki")
        self.node.get("/v1/status")
        with self.assertRaises(BlockingIOError):  # it is still waited for
            waiting.recv(100, socket.MSG_DONTWAIT)
        waiting.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
