"""A private kilnd for the end-to-end tests: its own state folder and socket, and plain HTTP over that socket."""

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

import onnx_file

SOURCE = pathlib.Path(os.environ.get("KILN_SOURCE_DIR", pathlib.Path(__file__).parents[2]))
BINARY = pathlib.Path(os.environ.get("KILN_BINARY_DIR", SOURCE / "build/release"))
PATIENCE_S = 60  # with what comes at once, however slow the machine; only a failure takes as long
BLOCK = SOURCE / "tests/models/block.onnx"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=PATIENCE_S):
        super().__init__("kiln", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__(f"{status}: {body}")
        self.status, self.body = status, body


class Node:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kiln-e2e-"))
        self.state = self.folder / "state"
        self.socket = str(self.folder / "control.sock")
        self.process = None
        self.arguments = []  # of kilnd, beside those below

    def start(self):
        with open(self.folder / "kilnd.log", "ab") as log:
            self.process = subprocess.Popen(
                [BINARY / "bin/kilnd", "--user", "--foreground", "--state", self.state, "--socket", self.socket,
                 *self.arguments],
                stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                return self.get("/v1/status")
            except OSError:
                if self.process.poll() is not None:
                    raise RuntimeError("kilnd ended: " + self.log())
                time.sleep(0.02)
        raise RuntimeError("kilnd does not answer: " + self.log())

    def log(self):
        return (self.folder / "kilnd.log").read_text(errors="replace")[-3000:]

    def kill(self):
        """SIGKILL: no chance to tidy up."""
        self.process.kill()
        self.process.wait()

    def kill_a_worker(self, turn):
        """SIGKILL to one of the daemon's worker processes, another one each turn; how many were there to kill."""
        workers = [int(p) for p in subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True,
                                                  text=True).stdout.split()]
        for pid in workers[turn % len(workers):][:1] if workers else []:
            try:
                os.kill(pid, signal.SIGKILL)
                return 1
            except ProcessLookupError:
                pass
        return 0

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            return self.process.wait(timeout=PATIENCE_S)
        return None

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def request(self, method, path, body=None, kind="application/json"):
        connection = UnixConnection(self.socket, timeout=120)
        try:
            headers = {"Content-Type": kind} if body is not None else {}
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            data = answer.read()
            if answer.status >= 300:
                raise Refused(answer.status, data.decode(errors="replace"))
            return data
        finally:
            connection.close()

    def get(self, path):
        return json.loads(self.request("GET", path))

    def post(self, path, body=None):
        return json.loads(self.request("POST", path, json.dumps(body or {})))

    def upload(self, path):
        return json.loads(self.request("POST", "/v1/blobs", pathlib.Path(path).read_bytes(),
                                       "application/octet-stream"))["sha256"]

    def import_model(self, path, name, dimensions):
        """A model in one file; `dimensions` binds the symbolic ones by name."""
        body = {"name": name, "model": self.upload(path), "file_name": pathlib.Path(path).name, "external": {},
                "dimensions": dimensions}
        return self.post("/v1/workloads", body)

    def import_block(self):
        return self.import_model(BLOCK, "block", {"batch": 1})

    def import_classifier(self):
        """Two regions, a matmul with its activation and a softmax: for tests that run each step of a job many times."""
        path = self.folder / "classifier.onnx"
        path.write_bytes(onnx_file.model(
            [onnx_file.node("MatMul", ["x", "w"], ["s"]), onnx_file.node("Tanh", ["s"], ["t"]),
             onnx_file.node("Softmax", ["t"], ["classes"], axis=1)],
            {"x": [32, 64], "w": [64, 128]}, {"classes": [32, 128]}))
        return self.import_model(path, "classifier", {})

    def tune(self, workload="block", seconds=8, policy=None, seed=1):
        """A job: whatever its budget, it looks for two right kernels of each region."""
        body = {"workload": workload, "budget_seconds": seconds, "seed": seed}
        if policy:
            body["policy_text"] = policy
        return self.post("/v1/jobs", body)

    def job(self, job):
        return self.get(f"/v1/jobs/{job}")

    def wait(self, job, seconds=500):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            row = self.job(job)
            if row["state"] in ("done", "failed", "cancelled"):
                return row
            time.sleep(0.1)
        raise RuntimeError(f"job {job} did not end in {seconds} s: {row['state']}, {row['progress']}")

    def kctl(self, *arguments, check=True):
        run = subprocess.run([BINARY / "bin/kctl", "--socket", self.socket, *map(str, arguments)],
                             stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if check and run.returncode != 0:
            raise AssertionError(f"kctl {arguments} gave {run.returncode}: {run.stdout}{run.stderr}")
        return run

    def kctl_process(self, *arguments):
        """The same, under way."""
        return subprocess.Popen([BINARY / "bin/kctl", "--socket", self.socket, *map(str, arguments)],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


QUICK_POLICY = (SOURCE / "policies/default.toml").read_text().replace(
    "max_candidates_per_region = 64", "max_candidates_per_region = 8")


class NodeTest(unittest.TestCase):
    """Tests that share a node."""

    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.addClassCleanup(cls.node.close)
        cls.node.start()
