#!/usr/bin/env python3
"""Every command and option that kctl's help names stands in kctl(1) and in the completion, and the manuals lint
clean."""
import os
import re
import subprocess
import sys


def help_of(program, *words):
    return subprocess.run([program, *words, "--help"], capture_output=True, text=True, check=True).stdout


def commands_of(text):
    """Names in the list under 'Subcommands:'."""
    _, _, listed = text.partition("Subcommands:")
    return re.findall(r"^  ([a-z]+)\b", listed, re.MULTILINE)


def main(program, root):
    with open(os.path.join(root, "packaging/man/kctl.1"), encoding="utf-8") as file:
        manual = file.read()
    with open(os.path.join(root, "packaging/completions/kctl.bash"), encoding="utf-8") as file:
        completion = file.read()
    faults = []
    names = commands_of(help_of(program))
    if len(names) < 15:
        faults.append(f"the help names only {names}")
    for name in names:
        nested = commands_of(help_of(program, name))
        for words in [[name]] + [[name, n] for n in nested]:
            if nested and len(words) == 1:
                continue
            if ".It Nm kctl Cm " + " ".join(words) not in manual and ".It Cm " + " ".join(words) not in manual:
                faults.append(f"kctl(1) has no entry for '{' '.join(words)}'")
            for option in set(re.findall(r"--([a-z]+)", help_of(program, *words))) - {"help", "version"}:
                if f"Fl -{option}" not in manual:
                    faults.append(f"kctl(1) does not name --{option} of '{' '.join(words)}'")
                if f"--{option}" not in completion:
                    faults.append(f"the completion does not name --{option} of '{' '.join(words)}'")
            faults += [f"the completion does not name '{word}'" for word in words
                       if not re.search(rf"\b{word}\b", completion)]
    pages = sorted(os.listdir(os.path.join(root, "packaging/man")))
    lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *pages], cwd=os.path.join(root, "packaging/man"),
                          capture_output=True, text=True, check=False)
    faults += (lint.stdout + lint.stderr).splitlines()
    print("\n".join(faults) if faults else f"{len(names)} commands, {len(pages)} manuals")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
