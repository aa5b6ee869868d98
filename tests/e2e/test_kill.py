"""kill -9 of the daemon while a job records its steps: it resumes, keeps every recorded entry, and replays."""

import hashlib
import threading
import time
import unittest

from node import QUICK_POLICY, Node


RUNNING = ("queued", "running", "paused")
MOST_JOBS = 5  # until enough was killed: a job gives fewer occasions where looking at it takes long


def entries_of(node, job):
    """[(kind, digest)] of what is on record."""
    return [(e["kind"], e["content"]) for e in node.get(f"/v1/jobs/{job}/entries")["entries"]]


class Kill(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)
        self.node.start()
        self.node.import_classifier()

    def jobs(self):
        """New jobs, one after the other."""
        for seed in range(1, MOST_JOBS + 1):
            yield self.node.tune("classifier", policy=QUICK_POLICY, seconds=6, seed=seed)["id"]

    def assert_done(self, job):
        """It is, whatever was killed, and it replays."""
        row = self.node.wait(job)
        self.assertEqual(row["state"], "done", row["error"])
        self.assertTrue(self.node.post(f"/v1/jobs/{job}/replay")["identical"])

    def test_daemon_killed_after_each_new_entry(self):
        node, kills = self.node, 0
        for job in self.jobs():
            kept = []
            while True:
                entries = entries_of(node, job)
                self.assertEqual(entries[:len(kept)], kept, "an acknowledged entry was lost or changed")
                if node.job(job)["state"] not in RUNNING:
                    break
                if len(entries) > len(kept):
                    kept = entries
                    node.kill()
                    kills += 1
                    node.start()
                time.sleep(0.005)
            self.assert_done(job)
            print(f"{kills} kills, {len(kept)} entries kept")
            if kills > 10:
                break
        self.assertGreater(kills, 10)
        self.assertGreater(node.post("/v1/ledger/verify")["entries"], 0)

    def test_workers_killed_while_a_job_runs(self):
        node, kills = self.node, 0
        for job in self.jobs():
            seen = 0
            while node.job(job)["state"] in RUNNING:
                count = len(entries_of(node, job))
                if count >= seen + 4:
                    seen = count
                    kills += node.kill_a_worker(kills)
                time.sleep(0.005)
            self.assert_done(job)
            print(f"{kills} workers killed")
            if kills > 5:
                break
        self.assertGreater(kills, 5)

    def test_promote_and_rollback_under_kill_leave_one_whole_release(self):
        node = self.node
        row = node.wait(node.tune("classifier", policy=QUICK_POLICY, seconds=4)["id"])
        self.assertEqual(row["state"], "done", row["error"])
        tuned, baseline = row["result"]["releases"]["tuned"], row["result"]["releases"]["baseline"]
        for i in range(20):
            path = f"/v1/releases/{tuned}/promote" if i % 2 == 0 else f"/v1/releases/{baseline}/promote"
            sender = threading.Thread(target=self.quietly, args=(node, path))
            sender.start()
            time.sleep(0.001 * (i % 10))
            node.kill()
            sender.join()
            node.start()
            manifest = (node.state / "releases/classifier/current/manifest.json").read_bytes()
            current = hashlib.sha256(manifest).hexdigest()
            self.assertIn(current, (tuned, baseline))
            self.assertEqual([r["id"] for r in node.get("/v1/releases")["releases"] if r["current"]], [current])

    @staticmethod
    def quietly(node, path):
        try:
            node.post(path, {"force": True})
        except Exception:  # the daemon dies while it answers: that is the test
            pass


if __name__ == "__main__":
    unittest.main(verbosity=2)
