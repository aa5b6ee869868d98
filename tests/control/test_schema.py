#!/usr/bin/env python3
"""Calls every operation of openapi.json and validates every answer against the schema that the document gives."""

import hashlib
import json
import os
import sys
import unittest

import jsonschema

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from node import OPENAPI, Node

called = set()


class Schemas(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node()

    @classmethod
    def tearDownClass(cls):
        cls.node.close()
        missing = {(m, p) for p, ops in OPENAPI["paths"].items() for m in ops} - called
        assert not missing, f"operations that no test called: {sorted(missing)}"

    def validate(self, schema, value):
        resolver = jsonschema.RefResolver("", OPENAPI)
        jsonschema.Draft202012Validator(schema, resolver=resolver).validate(value)

    def call(self, method, pattern, body=None, query="", expect=None, **parameters):
        """One operation; returns the parsed answer after validating it."""
        operation = OPENAPI["paths"][pattern][method]
        called.add((method, pattern))
        path = pattern
        for key, value in parameters.items():
            path = path.replace("{" + key + "}", value)
        raw = body if isinstance(body, (bytes, type(None))) else json.dumps(body)
        status, headers, data = self.node.request(method.upper(), path + query, raw)
        documented = next(s for s in operation["responses"] if s != "default")
        expect = expect or int(documented)
        self.assertEqual(status, expect, data)
        kind = headers["Content-Type"].split(";")[0]
        if str(status) != documented:
            error = json.loads(data)
            self.validate(OPENAPI["components"]["schemas"]["Error"], error)
            return error["error"]
        content = operation["responses"][documented]["content"]
        self.assertIn(kind if "*/*" not in content else "*/*", content)
        value = json.loads(data) if kind.endswith("json") else data.decode()
        self.validate(content[kind if kind in content else "*/*"]["schema"], value)
        if isinstance(body, dict) and "requestBody" in operation:
            self.validate(operation["requestBody"]["content"]["application/json"]["schema"], body)
        return value

    def test_node(self):
        status = self.call("get", "/v1/status")
        self.assertEqual(status["role"], "admin")
        self.assertEqual(status["state"], "ready")
        self.assertEqual(status["last_event"], 3)
        for pattern, operations in OPENAPI["paths"].items():
            for method in operations:
                self.assertIn(f"{method.upper()} {pattern}", status["capabilities"])
        self.call("get", "/v1/node")
        self.assertTrue(self.call("get", "/v1/health")["healthy"])
        self.call("get", "/v1/doctor")
        self.assertTrue(self.call("post", "/v1/golden/run")["passed"])
        blob = self.call("post", "/v1/blobs", b"a bundle")["sha256"]
        self.assertEqual(self.call("post", "/v1/objects", {"bundle": blob, "keys": ["a key"]})["added"], 1)
        self.assertEqual(self.call("get", "/v1/openapi.json"), OPENAPI)
        self.call("get", "/v1/key")

    def test_metrics(self):
        text = self.call("get", "/metrics")
        samples = {}
        for line in text.splitlines():
            if line.startswith("#"):
                self.assertRegex(line, r"^# (HELP|TYPE) [a-z_:]+ .+$")
            else:
                self.assertRegex(line, r'^[a-z_:]+(\{[a-z]+="[^"]*"\})? -?[0-9.e+]+$')
                name, value = line.rsplit(" ", 1)
                self.assertNotIn(name, samples)
                samples[name] = float(value)
        self.assertEqual(samples['kiln_jobs{state="done"}'], 1)
        self.assertEqual(samples["kiln_releases"], 3)
        self.assertEqual([v for k, v in samples.items() if k.startswith("kiln_speed_up_ratio")], [1.5])

    def test_blobs_and_workloads(self):
        data = os.urandom(700_001)
        blob = self.call("post", "/v1/blobs", data)
        self.assertEqual(blob, {"sha256": hashlib.sha256(data).hexdigest(), "bytes": 700_001})
        self.assertEqual(self.call("post", "/v1/blobs", b"")["sha256"], hashlib.sha256(b"").hexdigest())
        row = self.call("post", "/v1/workloads", {"name": "other", "model": blob["sha256"], "file_name": "o.onnx",
                                                  "dimensions": {"batch": 2}})
        self.assertEqual(row["name"], "other")
        self.assertIn(row, self.call("get", "/v1/workloads")["workloads"])
        self.assertEqual(self.call("get", "/v1/workloads/{id}", id="other"), row)
        self.assertEqual(self.call("get", "/v1/workloads/{id}/graph", id=self.node.facts["workload"]), {"nodes": []})
        needy = self.call("post", "/v1/blobs", b"needs weights.bin")["sha256"]
        error = self.call("post", "/v1/workloads", {"name": "needy", "model": needy}, expect=404)
        self.assertEqual(error["remedy"], "upload: weights.bin")

    def test_jobs(self):
        done = self.node.facts["job"]
        job = self.call("post", "/v1/jobs", {"workload": "minilm", "seed": 7, "budget_seconds": 5})
        self.assertEqual(job["spec"], {"seed": 7, "budget_seconds": 5})
        self.assertIn(job["id"], [j["id"] for j in self.call("get", "/v1/jobs")["jobs"]])
        self.assertEqual(self.call("post", "/v1/jobs/{id}/cancel", id=job["id"])["state"], "cancelled")
        self.assertEqual(self.call("post", "/v1/jobs/{id}/resume", body={}, id=job["id"])["state"], "queued")
        self.assertEqual(self.call("post", "/v1/jobs/{id}/cancel", id=done, expect=409)["code"], "conflict")
        self.assertEqual(self.call("post", "/v1/jobs/{id}/cancel", id="j-999", expect=404)["code"], "not_found")
        self.assertEqual(self.call("get", "/v1/jobs/{id}", id=done)["state"], "done")
        self.assertTrue(self.call("post", "/v1/jobs/{id}/replay", id=done)["identical"])
        self.assertEqual(self.call("post", "/v1/jobs/{id}/replay", id=job["id"], expect=409)["code"], "diverged")
        entries = self.call("get", "/v1/jobs/{id}/entries", id=done)["entries"]
        self.assertEqual([e["kind"] for e in entries], ["clock"])
        self.assertEqual(self.call("get", "/v1/jobs/{id}/entries", query="?after=0", id=done)["entries"], [])
        self.assertEqual(self.call("get", "/v1/jobs/{id}/entries/{sequence}", id=done, sequence="0"), {"ns": 1})
        self.assertEqual(self.call("get", "/v1/jobs/{id}/candidates", id=done), [{"template": "matmul/packed"}])
        self.assertEqual(self.call("get", "/v1/jobs/{id}/candidates", id=job["id"], expect=409)["code"], "conflict")
        names = [a["name"] for a in self.call("get", "/v1/jobs/{id}/artifacts", id=done)["artifacts"]]
        self.assertEqual(sorted(names), ["bench_results.csv", "candidate_variants.json"])
        self.assertEqual(self.call("get", "/v1/jobs/{id}/artifacts/{name}", id=done, name="bench_results.csv"),
                         "region,ns\nr0,1\n")
        self.call("get", "/v1/jobs/{id}/artifacts/{name}", id=done, name="..%2f..%2fkiln.db", expect=404)

    def test_reports(self):
        job = self.node.facts["job"]
        self.call("get", "/v1/reports/{job}", job=job)
        self.assertTrue(self.call("get", "/v1/reports/{job}/sshsig",
                                  job=job).startswith("-----BEGIN SSH SIGNATURE-----"))
        self.call("get", "/v1/reports/{job}/statement", job=job)
        self.call("get", "/v1/reports/{job}/html", job=job)

    def test_releases(self):
        base, tuned, slower = (self.node.facts[name] for name in ("baseline", "tuned", "slower"))
        rows = self.call("get", "/v1/releases", query="?workload=minilm")["releases"]
        self.assertEqual([(r["id"], r["version"], r["verdict"]) for r in rows],
                         [(base, 1, "none"), (tuned, 2, "faster"), (slower, 3, "slower")])
        self.assertTrue(self.call("get", "/v1/releases/{id}", id=tuned[:12])["current"])
        self.assertTrue(self.call("get", "/v1/releases/{id}", id=tuned)["manifest"]["files"])
        diff = self.call("get", "/v1/releases/{id}/diff/{other}", id=base, other=tuned)
        self.assertEqual(diff["figures"], [{"figure": "threads", "from": 1, "to": 2}])
        self.assertEqual(self.call("post", "/v1/workloads/{id}/rollback", id="minilm")["id"], base)
        self.assertEqual(self.call("post", "/v1/workloads/{id}/rollback", id="minilm", expect=409)["code"], "conflict")
        promote = "/v1/releases/{id}/promote"
        self.assertTrue(self.call("post", promote, id=tuned)["current"])
        self.assertEqual(self.call("post", promote, {"force": False}, id=slower, expect=409)["code"], "conflict")
        self.assertEqual(self.call("post", promote, {"force": 1}, id=slower, expect=400)["code"], "invalid_input")
        self.assertEqual(self.call("post", promote, {"forced": True}, id=slower, expect=400)["code"], "invalid_input")
        self.assertTrue(self.call("get", "/v1/releases/{id}", id=tuned)["current"])
        self.assertTrue(self.call("post", promote, {"force": True}, id=slower)["current"])
        self.assertTrue(self.call("post", promote, {}, id=tuned)["current"])

    def test_corpus_and_policies(self):
        self.assertEqual(len(self.call("get", "/v1/corpus")["templates"]), 1)
        self.call("get", "/v1/corpus/{family}/{name}", family="matmul", name="packed")
        self.call("get", "/v1/corpus/{family}/{name}", family="matmul", name="none", expect=404)
        text = self.call("get", "/v1/policies")["default"]["text"]
        good = self.call("post", "/v1/policies/check", {"toml": text, "file_name": "same.toml"})
        self.assertEqual((good["valid"], good["changes"]), (True, []))
        bad = self.call("post", "/v1/policies/check", {"toml": "[searhc]\nx = 1\n"})
        self.assertFalse(bad["valid"])
        self.assertIn("line 2", bad["message"])

    def test_templates_of_the_site(self):
        toml = ('format = 1\nsummary = "s"\ntarget = "cpu"\nanchor = "gather"\ndtypes = ["f32"]\n'
                'precision_class = "fp32"\nsource = "k.cpp"\n')
        before = self.call("get", "/v1/corpus")["digest"]
        good = {"name": "mine", "files": {"template.toml": toml, "k.cpp": "// right"}}
        wrong = {"name": "other", "files": {"template.toml": toml, "k.cpp": "// wrong"}}
        refused = self.call("post", "/v1/corpus", wrong)
        self.assertEqual((refused["accepted"], refused["corpus"]), (False, before))
        added = self.call("post", "/v1/corpus", good)
        self.assertEqual((added["accepted"], added["template"]), (True, "gather/mine"))
        corpus = self.call("get", "/v1/corpus")
        self.assertEqual([(t["name"], t["site"]) for t in corpus["templates"]], [("packed", False), ("mine", True)])
        self.assertEqual(corpus["digest"], added["corpus"])
        self.assertEqual(self.call("get", "/v1/corpus/{family}/{name}", family="gather", name="mine")["files"],
                         good["files"])
        self.assertEqual(self.call("post", "/v1/corpus", good, expect=409)["code"], "conflict")
        bad = {"name": "bad", "files": {"template.toml": toml.replace("summary", "sumary"), "k.cpp": ""}}
        self.assertIn("line 2, column", self.call("post", "/v1/corpus", bad, expect=400)["message"])
        remove = "/v1/corpus/{family}/{name}/remove"
        self.assertEqual(self.call("post", remove, family="matmul", name="packed", expect=409)["code"], "conflict")
        self.assertEqual(self.call("post", remove, family="gather", name="mine")["corpus"], before)
        self.assertEqual(self.call("post", remove, family="gather", name="mine", expect=404)["code"], "not_found")
        rows = [(r["object"], r["status"]) for r in self.call("get", "/v1/audit")["audit"]
                if r["action"].startswith("POST /v1/corpus")]
        for row in [("gather/other refused", 200), ("gather/mine", 200), ("matmul packed", 409)]:
            self.assertIn(row, rows)

    def test_ledger_and_audit(self):
        self.node.request("POST", "/v1/jobs/j-999/cancel")
        rows = self.call("get", "/v1/audit")["audit"]
        mine = [r for r in rows if r["action"] == "POST /v1/jobs/{id}/cancel" and r["object"] == "j-999"]
        self.assertEqual((mine[-1]["status"], mine[-1]["uid"], mine[-1]["role"]), (404, os.getuid(), "admin"))
        after = self.call("get", "/v1/audit", query=f"?after={rows[0]['ledger']}&limit=1")["audit"]
        self.assertTrue(all(r["ledger"] > rows[0]["ledger"] for r in after) and len(after) <= 1)
        head = self.call("get", "/v1/ledger")
        self.assertGreaterEqual(self.call("post", "/v1/ledger/verify")["entries"], head["size"])

    def test_wrong_requests(self):
        for method, path, body, status, code in [
            ("GET", "/v1/nothing", None, 404, "not_found"),
            ("DELETE", "/v1/jobs", None, 405, "invalid_input"),
            ("GET", "/v1/jobs?x=1", None, 400, "invalid_input"),
            ("GET", "/v1/audit?limit=0", None, 400, "invalid_input"),
            ("GET", "/v1/audit?limit=1&limit=2", None, 400, "invalid_input"),
            ("GET", "/v1/jobs/%00", None, 400, "invalid_input"),
            ("GET", "/v1/jobs/%zz", None, 400, "invalid_input"),
            ("GET", "/v1/status", "x", 413, "limit"),
            ("POST", "/v1/jobs", "{", 400, "invalid_input"),
            ("POST", "/v1/jobs", "[]", 400, "invalid_input"),
            ("POST", "/v1/jobs", '{"workload":"minilm","extra":1}', 400, "invalid_input"),
            ("POST", "/v1/jobs", '{"workload":"minilm","workload":"x"}', 400, "invalid_input"),
            ("POST", "/v1/jobs", '{"workload":"minilm","seed":-1}', 400, "invalid_input"),
            ("POST", "/v1/jobs", '{"workload":"minilm","budget_seconds":0}', 400, "invalid_input"),
            ("POST", "/v1/jobs", '{"workload":"absent"}', 404, "not_found"),
            ("POST", "/v1/jobs/j-1/cancel", '{"force":true}', 400, "invalid_input"),
            ("POST", "/v1/jobs", "[" * 100 + "]" * 100, 400, "invalid_input"),
            ("POST", "/v1/workloads", json.dumps({"name": "Upper", "model": "0" * 64}), 400, "invalid_input"),
            ("POST", "/v1/workloads", json.dumps({"name": "a", "model": "../../etc/passwd"}), 400, "invalid_input"),
            ("POST", "/v1/workloads", json.dumps({"name": "a", "model": "0" * 64}), 404, "not_found"),
        ]:
            with self.subTest(f"{method} {path} {body}"):
                got, headers, data = self.node.request(method, path, body)
                self.assertEqual(got, status, data)
                error = json.loads(data)
                self.validate(OPENAPI["components"]["schemas"]["Error"], error)
                self.assertEqual(error["error"]["code"], code)
                if status == 405:
                    self.assertEqual(headers["Allow"], "POST, GET")
        called.add(("get", "/v1/events"))  # test_events.py holds its answer to Event


if __name__ == "__main__":
    unittest.main()
