"""A site's own template: proved before jobs use it, refused with its cause, kept over kill -9, named in reports."""

import base64
import json
import os
import shutil
import subprocess
import unittest

from node import BINARY, PATIENCE_S, QUICK_POLICY, SOURCE, NodeTest, Refused

TEMPLATES = SOURCE / "store/corpus/templates"


class SiteTemplate(NodeTest):
    def folder(self, of, name, changes=()):
        """A copy of one of Kiln's templates with some text changed."""
        path = self.node.folder / "templates" / name
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(TEMPLATES / of, path)
        for file, what, by in changes:
            text = (path / file).read_text()
            self.assertIn(what, text)
            (path / file).write_text(text.replace(what, by))
        return path

    def site_templates(self):
        return [t["family"] + "/" + t["name"] for t in self.node.get("/v1/corpus")["templates"] if t["site"]]

    def refused(self, path, *words):
        before = self.node.get("/v1/corpus")
        run = self.node.kctl("corpus", "add", path, check=False)
        self.assertEqual(run.returncode, 1, run.stdout + run.stderr)
        for word in words:
            self.assertIn(word, run.stdout + run.stderr)
        self.assertEqual(self.node.get("/v1/corpus"), before)
        self.assertEqual(list((self.node.state / "staging").glob("bench-corpus/*")), [])

    def test_1_a_wrong_template_is_refused_with_case_evidence_and_cause(self):
        wrong = self.folder("concat/copy", "skips_a_row", [("kernel.cpp", "row < last", "row + 1 < last")])
        self.refused(wrong, "concat/two_parts: concat/skips_a_row", "wrong", "not written", "cause: leaves elements",
                     "REFUSED")
        one_value = self.folder("concat/copy", "one_value", [
            ("kernel.cpp", "row < last", "row + (kTaskFactor == 8 ? 1 : 0) < last")])
        self.refused(one_value, "task_factor=8", "REFUSED")
        audit = [r["object"] for r in self.node.get("/v1/audit")["audit"] if r["action"] == "POST /v1/corpus"]
        self.assertIn("concat/one_value refused", audit)

    def test_2_what_is_no_template_is_refused_with_its_place(self):
        for name, changes, words in [
                ("unknown_key", [("template.toml", "summary", "sumary")], ["template.toml", "line 2, column"]),
                ("bad_figure", [("template.toml", "threads *", "thraeds *")], ["line 26 of template.toml", "thraeds"]),
                ("does_not_compile", [("kernel.cpp", "(args, row)", "(args, rov)")], ["line 10 of kernel.cpp", "rov"]),
                ("vendor", [("template.toml", "libraries = []", 'libraries = ["dnnl"]')], ["links no library"]),
                ("copy", [], ["has one of that name"])]:
            with self.subTest(name):
                self.refused(self.folder("concat/copy", name, changes), *words)
        linked = self.folder("concat/copy", "linked")
        (linked / "secret").symlink_to("/etc/passwd")
        self.refused(linked, "'secret' is not a file")
        binary = self.folder("concat/copy", "binary")
        (binary / "kernel.cpp").write_bytes(b"\xff\xfe")
        self.refused(binary, "kernel.cpp")

    def test_3_a_right_one_is_in_reports_and_replays_and_a_job_keeps_it(self):
        node = self.node
        mine = self.folder("row/fused", "mine", [("template.toml", "values = [1, 2, 4]", "values = [2]"),
                                                 ("template.toml", "values = [0, 1]", "values = [1]")])
        node.kctl("corpus", "add", mine)
        self.assertEqual(self.site_templates(), ["row/mine"])
        self.assertIn("mine (site)", node.kctl("corpus", "list").stdout)
        digest = node.get("/v1/corpus/row/mine")["digest"]
        node.kill()
        node.start()
        self.assertEqual(node.get("/v1/corpus/row/mine")["digest"], digest)

        node.import_classifier()
        with self.assertRaises(Refused) as caught:
            node.tune("classifier", policy=QUICK_POLICY.replace("families = []", 'families = ["matmull"]'))
        self.assertIn("'matmull', which is neither a family nor a template", caught.exception.body)
        policy = QUICK_POLICY.replace("families = []", 'families = ["matmul", "row/mine"]').replace(
            "share = 1.0", "share = 0.5")
        job = node.wait(node.tune("classifier", policy=policy, seconds=8)["id"])
        self.assertEqual(job["state"], "done", job["error"])
        tried = node.get(f"/v1/jobs/{job['id']}/candidates")
        of_rows = {c["variant"]["template_digest"] for c in tried if c["variant"]["family"] == "row"}
        self.assertEqual(of_rows, {digest})  # the policy allows no other
        statement = json.loads(base64.b64decode(node.get(f"/v1/reports/{job['id']}")["payload"]))
        report = statement["predicate"]
        self.assertEqual(report["site_templates"], [{"template": "row/mine", "digest": digest}])
        self.assertEqual(report["node"]["cores"], max(1, len(os.sched_getaffinity(0)) // 2))
        self.assertEqual(report["corpus"], node.get("/v1/corpus")["digest"])

        node.kctl("corpus", "remove", "row/mine")
        self.assertEqual(self.site_templates(), [])
        self.assertTrue(node.post(f"/v1/jobs/{job['id']}/replay")["identical"])
        node.kctl("ledger", "verify")

    def test_4_a_daemon_killed_while_it_proves_has_not_added(self):
        mine, before = self.folder("concat/copy", "cut_off"), self.site_templates()
        staging = self.node.state / "staging/bench-corpus"
        for _ in range(10):  # until the daemon is killed before it is through
            sender = subprocess.Popen([BINARY / "bin/kctl", "--socket", self.node.socket, "corpus", "add", mine],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while not staging.exists() and sender.poll() is None:
                pass
            self.node.kill()
            cut_off = sender.wait(timeout=PATIENCE_S) != 0
            self.node.start()
            if cut_off:
                break
            self.node.kctl("corpus", "remove", "concat/cut_off")
        self.assertTrue(cut_off)
        self.assertEqual(self.site_templates(), before)
        self.assertFalse(staging.exists())
        self.node.kctl("corpus", "add", mine)
        self.assertEqual(self.site_templates(), sorted([*before, "concat/cut_off"]))


if __name__ == "__main__":
    unittest.main(verbosity=2)
