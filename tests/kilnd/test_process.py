#!/usr/bin/env python3
"""The process kilnd: start, readiness, reload, a second daemon, the end; with a stand-in for systemd's two sockets."""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

PATIENCE_S = 60  # with what comes at once, however slow the machine; only a failure takes as long
KILND = pathlib.Path(os.environ["KILN_BINARY_DIR"]) / "bin/kilnd"
SANITIZED = b"__asan_init" in KILND.read_bytes()


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("kiln", timeout=PATIENCE_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(self.path)


class Process(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kiln-kilnd-"))
        self.state, self.path = self.folder / "state", str(self.folder / "control.sock")
        self.running = []
        self.bus = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.bus.bind(str(self.folder / "notify"))
        self.bus.settimeout(PATIENCE_S)

    def tearDown(self):
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.communicate()
        self.bus.close()
        shutil.rmtree(self.folder)

    def start(self, *more, wait=True, env=None, **options):
        process = subprocess.Popen([KILND, "--user", "--foreground", "--state", self.state, "--socket", self.path,
                                    *more],
                                   stderr=subprocess.PIPE, text=True, env={**os.environ,
                                                                           "NOTIFY_SOCKET": str(self.folder / "notify"),
                                                                            **(env or {})}, **options)
        self.running.append(process)
        if wait:
            self.hear("READY=1")
        return process

    def hear(self, word):
        """The next message from the daemon that holds the word."""
        while True:
            text = self.bus.recv(4096).decode()
            if word in text.split("\n"):
                return text

    def get(self, path):
        connection = Connection(self.path)
        connection.request("GET", path)
        data = json.loads(connection.getresponse().read())
        connection.close()
        return data

    def end(self, process, code=0):
        process.send_signal(signal.SIGTERM)
        self.hear("STOPPING=1")
        _, log = process.communicate(timeout=PATIENCE_S)
        self.assertEqual(process.returncode, code, log)
        return log

    @staticmethod
    def processor_seconds(process):
        # After the name, which may hold anything but ") ", user and system time are the 12th and 13th field: proc(5).
        fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @staticmethod
    def switches(process):
        """How often each thread went to sleep or was made to wait."""
        return {task.name: sum(int(line.split()[1]) for line in (task / "status").read_text().splitlines()
                               if "ctxt_switches" in line)
                for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir()}

    def test_start_and_stop(self):
        first = self.start()
        self.end(first)
        second = self.start()
        if not SANITIZED:  # what it waits for, a disk above all, is not its own
            self.assertLess(self.processor_seconds(second), 0.3)
        self.assertEqual(self.get("/v1/status")["pid"], second.pid)
        self.assertEqual(oct(os.stat(self.path).st_mode & 0o777), "0o600")
        self.assertEqual(oct(os.stat(self.state).st_mode & 0o777), "0o700")
        log = self.end(second)
        self.assertFalse(os.path.exists(self.path))
        self.assertIn("stopped", log)

    def test_memory_and_idleness(self):
        process = self.start()
        self.get("/v1/status")
        stat = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        resident = int(next(l for l in stat.splitlines() if l.startswith("VmRSS")).split()[1])
        if not SANITIZED:
            self.assertLess(resident, 40 * 1024)

        # Beside it one that has nothing to do at all: who stops and continues the whole group, or freezes its
        # container, wakes every thread alike, which is not the daemon's doing.
        idle = subprocess.Popen(["sleep", "infinity"], stderr=subprocess.PIPE)
        self.running.append(idle)

        # Two seconds in which nothing else woke it; a slow disk may keep it busy with its start before they begin.
        end, woken = time.monotonic() + PATIENCE_S, True
        while woken and time.monotonic() < end:
            most, before = sum(self.switches(idle).values()), self.switches(process)
            time.sleep(2)
            after = self.switches(process)
            most = sum(self.switches(idle).values()) - most
            woken = {thread: count - before.get(thread, 0) for thread, count in after.items()
                     if count - before.get(thread, 0) > most}
        self.assertEqual(woken, {}, "threads of an idle daemon wake up")
        self.end(process)

    def test_second_daemon(self):
        self.start()
        other = self.start(wait=False)
        _, log = other.communicate(timeout=PATIENCE_S)
        self.assertEqual(other.returncode, 4)
        self.assertIn("uses it", log)
        other = subprocess.run([KILND, "--user", "--foreground", "--state", self.folder / "state2", "--socket",
                                self.path],
                               capture_output=True, text=True, timeout=PATIENCE_S)
        self.assertEqual(other.returncode, 4)
        self.assertIn("another daemon answers there", other.stderr)
        self.assertEqual(self.get("/v1/status")["name"], "kilnd")

    def test_killed_daemon_leaves_nothing_in_the_way(self):
        first = self.start()
        first.kill()
        first.wait()
        self.assertTrue(os.path.exists(self.path))
        self.end(self.start())

    def test_reload(self):
        config = self.folder / "kilnd.toml"
        config.write_text("[limits]\nclients = 50\n")
        process = self.start("--config", str(config))
        config.write_text("[limits]\nclients = 60\n[log]\nlevel = 'debug'\n")
        process.send_signal(signal.SIGHUP)
        self.assertIn("MONOTONIC_USEC=", self.hear("RELOADING=1"))
        self.hear("READY=1")
        config.write_text("[limits]\nclients = 'many'\n")
        process.send_signal(signal.SIGHUP)
        self.hear("READY=1")
        log = self.end(process)
        self.assertIn("limits.clients was '50', is '60'", log)
        self.assertIn("kept the configuration as it was: cannot load configuration", log)
        self.assertIn("line 2, column 11: 'limits.clients': an integer is needed", log)

    def test_wrong_configuration(self):
        config = self.folder / "kilnd.toml"
        config.write_text("[pahts]\n")
        for more in ([], ["--check-config"]):
            run = subprocess.run([KILND, "--user", "--config", config, "--state", self.state, "--socket", self.path,
                                  *more],
                                 capture_output=True, text=True, timeout=PATIENCE_S)
            self.assertEqual(run.returncode, 3, run.stderr)
            self.assertIn("unknown section 'pahts'", run.stderr)
        self.assertFalse(self.state.exists())

    def test_socket_from_systemd(self):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(self.path)
        listener.listen()
        # The child gets the socket as descriptor 3 and its own pid in LISTEN_PID, as sd_listen_fds(3) wants it.
        command = f'exec 3<&{listener.fileno()}; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'
        process = subprocess.Popen(["sh", "-c", command, "sh", KILND, "--user", "--foreground", "--state", self.state],
                                   pass_fds=[listener.fileno()], stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify"),
                                        "XDG_RUNTIME_DIR": str(self.folder)})
        self.running.append(process)
        self.hear("READY=1")
        self.assertEqual(self.get("/v1/status")["pid"], process.pid)
        self.end(process)
        self.assertTrue(os.path.exists(self.path), "a socket of systemd is not ours to remove")
        listener.close()

    def test_watchdog(self):
        process = subprocess.Popen(["sh", "-c", 'export WATCHDOG_PID=$$; exec "$@"', "sh", KILND, "--user",
                                    "--foreground", "--state", self.state, "--socket", self.path],
                                   stderr=subprocess.PIPE, text=True, env={**os.environ,
                                                                           "NOTIFY_SOCKET": str(self.folder / "notify"),
                                                                            "WATCHDOG_USEC": "400000"})
        self.running.append(process)
        self.hear("READY=1")
        heard = []
        for _ in range(6):
            self.hear("WATCHDOG=1")
            heard.append(time.monotonic())
        # The least of the pauses: others are longer where the machine has no time for it.
        self.assertLess(min(b - a for a, b in zip(heard, heard[1:])), 0.4)
        self.end(process)


if __name__ == "__main__":
    unittest.main()
