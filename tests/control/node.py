"""Starts control_test_server and speaks HTTP to it over its Unix socket, decently or not."""

import http.client
import json
import os
import pathlib
import socket
import subprocess
import time

NEVER_MS = 3_600_000  # for a limit that a test does not reach: what ends a connection then is another one
PATIENCE_S = 60  # with what comes at once, however slow the machine; only a failure takes as long

SERVER = os.environ["KILN_TEST_SERVER"]
OPENAPI = json.loads((pathlib.Path(os.environ["KILN_SOURCE_DIR"]) / "daemon/control/openapi.json").read_text())


class Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout=PATIENCE_S):
        super().__init__("kiln", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Node:
    def __init__(self, **options):
        self.process = subprocess.Popen([SERVER] + [f"{k}={v}" for k, v in options.items()], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(self.process.stderr.read())
        self.facts = json.loads(line)
        self.socket = self.facts["socket"]

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def close(self):
        """Ends the server as its input does; returns what it noticed. Fails when it does not end cleanly."""
        _, notices = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0, (self.process.returncode, notices)
        return notices

    def request(self, method, path, body=None, headers=None):
        connection = Connection(self.socket)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def json(self, method, path, body=None):
        status, _, data = self.request(method, path, None if body is None else json.dumps(body))
        return status, json.loads(data)

    def raw(self, timeout=PATIENCE_S):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(timeout)
        s.connect(self.socket)
        return s


def eventually(value, wanted):
    """The value of the function once it is what is wanted; its last value where it does not become that."""
    end = time.monotonic() + PATIENCE_S
    while (last := value()) != wanted and time.monotonic() < end:
        time.sleep(0.01)
    return last


def read_all(s):
    data = b""
    while True:
        try:
            piece = s.recv(65536)
        except ConnectionResetError:
            return data
        if not piece:
            return data
        data += piece
