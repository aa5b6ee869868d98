#!/usr/bin/env python3
"""packaging/install-packages with programs of its own on PATH: what is installed, and what is only asked for."""
import os
import pathlib
import subprocess
import tempfile
import unittest

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../packaging/install-packages")

LIST = """# package when reason
alpha   build  one
beta    both   two
gamma   run    three
delta   test   four
"""


class InstallPackages(unittest.TestCase):
    def install(self, installed, *uses):
        """(status, what apt-get was asked to install, standard error)"""
        with tempfile.TemporaryDirectory() as folder:
            asked = os.path.join(folder, "asked")
            self.program(folder, "dpkg-query", 'case " $KILN_TEST_INSTALLED " in *" ${@: -1} "*) echo -n installed;; '
                                               '*) exit 1;; esac')
            self.program(folder, "apt-get", f'echo "$@" >>{asked}')
            self.program(folder, "sudo", '"$@"')
            listed = os.path.join(folder, "list.txt")
            with open(listed, "w", encoding="utf-8") as file:
                file.write(LIST)
            environment = {"PATH": folder + ":/usr/bin:/bin", "KILN_PACKAGE_LIST": listed,
                           "KILN_TEST_INSTALLED": " ".join(installed)}
            done = subprocess.run([SCRIPT, *uses], env=environment, capture_output=True, text=True, check=False)
            lines = pathlib.Path(asked).read_text(encoding="utf-8").splitlines() if os.path.exists(asked) else []
            packages = [word for line in lines if line.startswith("install") for word in line.split()[1:]
                        if not word.startswith("-")]
            return done.returncode, packages, done.stderr

    @staticmethod
    def program(folder, name, body):
        path = os.path.join(folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/bash\n" + body + "\n")
        os.chmod(path, 0o755)

    def test_nothing_is_asked_for_when_all_is_there(self):
        self.assertEqual(self.install(["alpha", "beta", "gamma", "delta"]), (0, [], ""))

    def test_only_what_is_missing(self):
        self.assertEqual(self.install(["alpha", "gamma"])[:2], (0, ["beta", "delta"]))

    def test_only_what_is_needed_now(self):
        self.assertEqual(self.install([], "build", "run")[:2], (0, ["alpha", "beta", "gamma"]))
        self.assertEqual(self.install([], "test")[:2], (0, ["delta"]))


if __name__ == "__main__":
    unittest.main()
