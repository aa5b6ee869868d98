"""kill -9 of the daemon while a job records its steps: it resumes, keeps every recorded entry, and replays."""

import time
import unittest

from node import QUICK_POLICY, Node


class Kill(unittest.TestCase):
    def test_daemon_killed_after_each_new_entry(self):
        node = Node()
        try:
            node.start()
            node.import_classifier()
            job = node.tune("classifier", policy=QUICK_POLICY, seconds=20)["id"]
            kept, kills = [], 0
            while kills < 1000:
                entries = node.get(f"/v1/jobs/{job}/entries")
                entries = entries if isinstance(entries, list) else entries["entries"]
                digests = [(e["kind"], e["content"]) for e in entries]
                self.assertEqual(digests[:len(kept)], kept, "an acknowledged entry was lost or changed")
                if node.job(job)["state"] not in ("queued", "running", "paused"):
                    break
                if len(digests) > len(kept):
                    kept = digests
                    node.kill()
                    kills += 1
                    node.start()
                time.sleep(0.005)
            row = node.wait(job)
            self.assertEqual(row["state"], "done", row["error"])
            self.assertGreater(kills, 10)
            self.assertTrue(node.post(f"/v1/jobs/{job}/replay")["identical"])
            self.assertGreater(node.post("/v1/ledger/verify")["entries"], 0)
            print(f"{kills} kills, {len(kept)} entries kept")
        finally:
            node.close()

    def test_workers_killed_while_a_job_runs(self):
        node = Node()
        try:
            node.start()
            node.import_classifier()
            job, kills, seen = node.tune("classifier", policy=QUICK_POLICY, seconds=20)["id"], 0, 0
            while node.job(job)["state"] in ("queued", "running"):
                entries = node.get(f"/v1/jobs/{job}/entries")
                count = len(entries if isinstance(entries, list) else entries["entries"])
                if count >= seen + 4:
                    seen = count
                    kills += node.kill_a_worker(kills)
                time.sleep(0.005)
            row = node.wait(job)
            self.assertEqual(row["state"], "done", row["error"])
            self.assertGreater(kills, 5)
            self.assertTrue(node.post(f"/v1/jobs/{job}/replay")["identical"])
            print(f"{kills} workers killed")
        finally:
            node.close()

    def test_promote_and_rollback_under_kill_leave_one_whole_release(self):
        node = Node()
        try:
            node.start()
            node.import_classifier()
            row = node.wait(node.tune("classifier", policy=QUICK_POLICY, seconds=15)["id"])
            self.assertEqual(row["state"], "done", row["error"])
            tuned, baseline = row["result"]["releases"]["tuned"], row["result"]["releases"]["baseline"]
            import hashlib
            import socket
            import threading
            for i in range(20):
                path = f"/v1/releases/{tuned}/promote" if i % 2 == 0 else f"/v1/releases/{baseline}/promote"
                sender = threading.Thread(target=lambda: self.quietly(node, path))
                sender.start()
                time.sleep(0.001 * (i % 10))
                node.kill()
                sender.join()
                node.start()
                manifest = (node.state / "releases/classifier/current/manifest.json").read_bytes()
                current = hashlib.sha256(manifest).hexdigest()
                self.assertIn(current, (tuned, baseline))
                rows = node.get("/v1/releases")
                rows = rows if isinstance(rows, list) else rows["releases"]
                self.assertEqual([r["id"] for r in rows if r["current"]], [current])
        finally:
            node.close()

    @staticmethod
    def quietly(node, path):
        try:
            node.post(path, {"force": True} if path.endswith("/promote") else None)
        except Exception:  # the daemon dies while it answers: that is the test
            pass


if __name__ == "__main__":
    unittest.main(verbosity=2)
