#!/usr/bin/env python3
"""The manuals name what the programs have: every configuration key, policy key, command and function, and no other."""

import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAN = ROOT / "packaging/man"


def text(path):
    return (ROOT / path).read_text()


def items(page, macro):
    return set(re.findall(rf"^\.It {macro} (\S+)", (MAN / page).read_text(), re.MULTILINE))


class Manuals(unittest.TestCase):
    def test_every_key_of_the_configuration(self):
        keys = set(re.findall(r'keys\.(?:path|texts?|integer|duration)\("([a-z_.]+)"', text("daemon/kilnd/config.cpp")))
        self.assertGreater(len(keys), 10)
        self.assertEqual(items("kilnd.toml.5", "Va"), keys)

    def test_every_key_of_a_policy(self):
        source = text("policies/policy.cpp")
        keys = set(re.findall(r'reader\.\w+(?:<[^>]+>)?\("([a-z_.]+)"', source))
        self.assertGreater(len(keys), 10)
        self.assertEqual(items("kiln-policy.5", "Va"), keys)

    def test_every_command_of_kctl(self):
        # "report_show_command()" in the registry is `kctl report show`.
        commands = {name.replace("_", " ") for name in re.findall(r"(\w+)_command\(\)",
                                                                  text("daemon/kctl/registry.cpp"))}
        pages = {" ".join(words) for words in
                 (re.match(r"\.It Cm ([a-z]+(?: [a-z]+)?)", line).group(1).split()
                  for line in (MAN / "kctl.1").read_text().splitlines()
                  if re.match(r"\.It Cm [a-z]+", line))}
        self.assertGreater(len(commands), 20)
        self.assertEqual(pages, commands)

    def test_every_function_of_libkiln(self):
        declared = set(re.findall(r"KILN_API [^;(]*?\b(kiln_\w+)\(", text("runtime/kiln.h")))
        shown = set(re.findall(r"^\.Fn (kiln_\w+)", (MAN / "libkiln.3").read_text(), re.MULTILINE))
        self.assertGreater(len(declared), 12)
        self.assertEqual(shown, declared)

    def test_statuses_of_libkiln(self):
        declared = set(re.findall(r"\b(KILN_(?:OK|E_\w+)) = ", text("runtime/kiln.h")))
        self.assertEqual(items("libkiln.3", "Dv"), declared)

    def test_pages_are_well_formed(self):
        for page in sorted(MAN.iterdir()):
            run = subprocess.run(["mandoc", "-Tlint", "-W", "warning", page], capture_output=True, text=True)
            self.assertEqual(run.stdout, "", page.name)


if __name__ == "__main__":
    unittest.main(verbosity=2)
