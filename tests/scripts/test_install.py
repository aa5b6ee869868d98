#!/usr/bin/env python3
"""`cmake --install` into a folder, and what lies there at work: the daemon, the unit, the system user, Python."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

SOURCE = pathlib.Path(os.environ["KILN_SOURCE_DIR"])
BINARY = pathlib.Path(os.environ["KILN_BINARY_DIR"])
CMAKE = os.environ.get("KILN_CMAKE", "cmake")

# Each file of a component, below /usr unless it begins with a slash; LIB is the library folder of the system.
COMPONENTS = {
    "kiln": """bin/kctl sbin/kilnd libexec/kiln/kiln-worker share/kiln/corpus.db include/kiln/runtime/kernel_abi.h
        share/kiln/policies/default.toml share/kiln/policies/explore.toml share/kiln/policies/strict.toml
        share/kiln/nodes/sm_90a.json
        share/bash-completion/completions/kctl share/man/man1/kctl.1 share/man/man5/kiln-policy.5
        share/man/man5/kilnd.toml.5 share/man/man8/kilnd.8 lib/systemd/system/kilnd.service
        lib/systemd/system/kilnd.socket lib/systemd/catalog/kiln.catalog lib/sysusers.d/kiln.conf
        lib/tmpfiles.d/kiln.conf share/doc/kiln/README.md /etc/kiln/kilnd.toml""".split()
            + [f"share/doc/kiln/docs/{page.name}" for page in (SOURCE / "docs").iterdir()],
    "library": ["LIB/libkiln.so.0", "LIB/libkiln.so.0.1.0"],
    "development": ["LIB/libkiln.so", "include/kiln.h", "share/man/man3/libkiln.3"],
    "python": ["lib/python3/dist-packages/kiln/__init__.py", "lib/python3/dist-packages/kiln/pytorch.py"],
}


def install(root, *options):
    subprocess.run([CMAKE, "--install", BINARY, "--prefix", "/usr", *options], env={**os.environ, "DESTDIR": str(root)},
                   check=True, stdout=subprocess.DEVNULL)


def files(root):
    found = [path for path in root.rglob("*") if path.is_symlink() or path.is_file()]
    return {re.sub(r"^/usr/", "", "/" + str(path.relative_to(root))) for path in found}


class Files(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="kiln-install-"))
        self.addCleanup(shutil.rmtree, self.root)

    def test_each_component_holds_its_files_and_no_other(self):
        for component, names in COMPONENTS.items():
            root = self.root / component
            install(root, "--component", component)
            found = {re.sub(r"^lib(/[^/]+-linux-gnu)?/libkiln", "LIB/libkiln", name) for name in files(root)}
            self.assertEqual(found, set(names), component)

    def test_a_configuration_that_is_there_is_kept(self):
        configuration = self.root / "etc/kiln/kilnd.toml"
        configuration.parent.mkdir(parents=True)
        configuration.write_text("[log]\nlevel = 'debug'\n")
        install(self.root)
        self.assertEqual(configuration.read_text(), "[log]\nlevel = 'debug'\n")

    def test_another_prefix_has_its_configuration_below_it(self):
        prefix = self.root / "opt/kiln"
        subprocess.run([CMAKE, "--install", BINARY, "--prefix", prefix, "--component", "kiln"], check=True,
                       stdout=subprocess.DEVNULL)
        self.assertTrue((prefix / "etc/kiln/kilnd.toml").exists())
        unit = (prefix / "lib/systemd/system/kilnd.service").read_text()
        self.assertIn(f"\nExecStart={prefix}/sbin/kilnd --config {prefix}/etc/kiln/kilnd.toml\n", unit)


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="kiln-install-"))
        cls.addClassCleanup(shutil.rmtree, cls.root)
        install(cls.root)
        cls.usr = cls.root / "usr"

    def run_tool(self, *command):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def kctl(self, *arguments):
        done = subprocess.run([self.usr / "bin/kctl", "--socket", self.socket, "--json", *arguments],
                              capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def start(self):
        """The installed daemon on a state of its own; nothing of the build folder is named to it."""
        home = pathlib.Path(tempfile.mkdtemp(prefix="kiln-home-"))
        self.addCleanup(shutil.rmtree, home)
        self.socket = home / "control.sock"
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
        with open(home / "log", "wb") as log:
            daemon = subprocess.Popen([self.usr / "sbin/kilnd", "--user", "--foreground", "--socket", self.socket],
                                      stderr=log, env=environment)
        self.addCleanup(lambda: daemon.poll() is None and (daemon.kill(), daemon.wait()))
        deadline = time.monotonic() + 120  # a busy machine takes its time
        while self.kctl("status")[0] != 0:
            self.assertTrue(daemon.poll() is None and time.monotonic() < deadline, (home / "log").read_text())
            time.sleep(0.05)
        return daemon

    def test_daemon_answers_and_its_doctor_finds_what_was_installed(self):
        daemon = self.start()
        status, out, err = self.kctl("status")
        self.assertEqual((status, json.loads(out)["pid"]), (0, daemon.pid), err)
        status, out, err = self.kctl("doctor")
        checks = {check["check"]: check for check in json.loads(out)["checks"]}
        self.assertEqual(status, 0, out + err)
        manual = (SOURCE / "packaging/man/kctl.1").read_text()
        self.assertEqual(list(checks), re.findall(r"^\.It Li (\w+)$", manual, re.M))
        for name in ("toolchain", "store", "corpus", "golden"):  # the compiler with the installed header, corpus.db
            self.assertEqual(checks[name]["result"], "PASS", checks[name])
        daemon.send_signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(timeout=60), 0)

    def test_python_package_finds_the_library(self):
        library = next(self.usr.glob("lib/**/libkiln.so.0"))
        environment = {**os.environ, "PYTHONPATH": str(self.usr / "lib/python3/dist-packages"),
                       "LD_LIBRARY_PATH": str(library.parent)}
        environment.pop("KILN_LIBRARY", None)
        done = subprocess.run(["/usr/bin/python3", "-B", "-c", "import kiln; print(kiln.version())"], env=environment,
                              capture_output=True, text=True, check=False)
        version = re.search(r"project\(kiln VERSION ([0-9.]+)", (SOURCE / "CMakeLists.txt").read_text()).group(1)
        self.assertEqual(done.stdout, version + "\n", done.stderr)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd-analyze")
    def test_units_are_valid(self):
        folder = self.root / "units"
        folder.mkdir()
        for unit in (self.usr / "lib/systemd/system").iterdir():  # as if the root were the machine's
            (folder / unit.name).write_text(unit.read_text().replace("=/usr/sbin/", f"={self.usr}/sbin/"))
        said = self.run_tool("systemd-analyze", "verify", "--man=no", folder / "kilnd.service", folder / "kilnd.socket")
        self.assertEqual(said, "")

    @unittest.skipUnless(shutil.which("systemd-sysusers") and os.geteuid() == 0, "no systemd-sysusers, or not root")
    def test_user_and_folders(self):
        (self.root / "etc").mkdir(exist_ok=True)
        self.run_tool("systemd-sysusers", f"--root={self.root}", "kiln.conf")
        user = next(line for line in (self.root / "etc/passwd").read_text().splitlines() if line.startswith("kiln:"))
        self.assertEqual(user.split(":")[5:], ["/var/lib/kiln", "/usr/sbin/nologin"])
        groups = {line.split(":")[0] for line in (self.root / "etc/group").read_text().splitlines()}
        self.assertLessEqual({"kiln", "kiln-operator", "kiln-admin"}, groups)
        self.run_tool("systemd-tmpfiles", "--create", f"--root={self.root}", "kiln.conf")
        made = (self.root / "run/kiln").stat()
        self.assertEqual((made.st_mode & 0o777, str(made.st_uid)),
                         (0o755, user.split(":")[2]))  # or the unit would chown it

    @unittest.skipUnless(shutil.which("journalctl"), "no journalctl")
    def test_catalog_is_one(self):
        (self.root / "var/lib/systemd/catalog").mkdir(parents=True)
        said = self.run_tool("journalctl", f"--root={self.root}", "--update-catalog")
        self.assertNotIn("Failed", said)
        self.assertIn(b"Subject: kilnd is ready", (self.root / "var/lib/systemd/catalog/database").read_bytes())


if __name__ == "__main__":
    unittest.main()
