#!/usr/bin/env python3
"""The unit's hardening score and what must never be in it. Skips what this machine has no tool for."""

import os
import pathlib
import re
import shutil
import subprocess
import unittest

UNITS = pathlib.Path(os.environ["KILN_SOURCE_DIR"]) / "systemd"
MANUAL = pathlib.Path(os.environ["KILN_SOURCE_DIR"]) / "packaging/man/kilnd.8"
LOG = pathlib.Path(os.environ["KILN_SOURCE_DIR"]) / "daemon/kilnd/log.h"


class Units(unittest.TestCase):
    @unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd-analyze")
    def test_score(self):
        run = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=10",
                              str(UNITS / "kilnd.service")],
                             capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertNotIn("ignoring", run.stderr)

    def test_peer_identity_and_workers_stay_possible(self):
        text = (UNITS / "kilnd.service").read_text()
        self.assertIn("\nPrivateUsers=no\n", text)
        self.assertIn("\nRestrictNamespaces=user net ipc\n", text)
        self.assertIn("\nNoNewPrivileges=yes\n", text)
        self.assertIn("\nPrivateNetwork=yes\n", text)

    def test_catalog_and_manual_explain_every_message_id(self):
        ids = set(re.findall(r'"([0-9a-f]{32})"', LOG.read_text()))
        explained = set(re.findall(r"^-- ([0-9a-f]{32})$", (UNITS / "kiln.catalog").read_text(), re.M))
        self.assertEqual(len(ids), 3)
        self.assertEqual(ids, explained)
        self.assertEqual(ids, set(re.findall(r"^\.It Li ([0-9a-f]{32})$", MANUAL.read_text(), re.M)))


if __name__ == "__main__":
    unittest.main()
