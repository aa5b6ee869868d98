#!/usr/bin/env python3
"""`kctl promote` against a server over its socket: what it refuses, with which status, and what it then says."""

import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from node import Node

NOT_FASTER = 7  # kctl(1), EXIT STATUS


class Promote(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)
        self.slower, self.tuned = self.node.facts["slower"], self.node.facts["tuned"]

    def kctl(self, *arguments):
        done = subprocess.run([os.environ["KILN_KCTL"], "--socket", self.node.socket, *arguments],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        return done.returncode, done.stdout, done.stderr

    def current(self):
        return [r["id"] for r in json.loads(self.kctl("releases", "--json")[1]) if r["current"]]

    def test_what_was_not_found_faster_needs_force(self):
        status, out, err = self.kctl("promote", self.slower[:10])
        self.assertEqual((status, out), (NOT_FASTER, ""))
        self.assertIn("was not found faster than what ran; its job found it slower", err)
        self.assertIn("--force", err)
        self.assertEqual(self.current(), [self.tuned])
        status, out, err = self.kctl("promote", self.slower[:10], "--force")
        self.assertEqual(status, 0, err)
        self.assertIn("version 3 (tuned) is current", out)
        self.assertIn("warning: this release was not found faster", err)
        self.assertEqual(self.current(), [self.slower])

    def test_what_was_found_faster_and_what_ran_before_need_none(self):
        for name in ("baseline", "tuned"):
            status, _, err = self.kctl("promote", self.node.facts[name])
            self.assertEqual((status, err), (0, ""))
            self.assertEqual(self.current(), [self.node.facts[name]])

    def test_a_release_that_is_not_there_is_not_found(self):
        self.assertEqual(self.kctl("promote", "f" * 64)[0], 5)

    def test_releases_show_their_verdict(self):
        rows = [line.split()[:4] for line in self.kctl("releases")[1].splitlines()[1:]]
        self.assertEqual([row[2:] for row in rows[1:]], [["tuned", "faster"], ["tuned", "slower"]])


if __name__ == "__main__":
    unittest.main()
