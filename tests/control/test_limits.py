#!/usr/bin/env python3
"""What a peer cannot do: hold a connection, take memory, pass for another user."""

import hashlib
import json
import os
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from node import NEVER_MS, OPENAPI, Connection, Node, eventually, read_all

ROLES = ["none", "viewer", "operator", "admin"]


class Time(unittest.TestCase):
    """Of the limits of time each test sets one; a connection that ends was ended by it, whenever that was."""

    def serve(self, **limits):
        self.node = Node(**{"request_ms": NEVER_MS, "idle_ms": NEVER_MS, **limits})
        self.addCleanup(self.node.close)

    def assert_ends(self, sent, least_s):
        begin = time.monotonic()
        s = self.node.raw()
        s.sendall(sent)
        read_all(s)
        self.assertGreater(time.monotonic() - begin, 0.95 * least_s)

    def test_half_a_header_then_silence(self):
        self.serve(request_ms=600)
        self.assert_ends(b"GET /v1/status HTTP/1.1\r\nHo", 0.6)

    def test_half_a_body_then_silence(self):
        self.serve(request_ms=600)
        self.assert_ends(b"POST /v1/jobs HTTP/1.1\r\nHost: k\r\nContent-Length: 10\r\n\r\n{", 0.6)

    def test_half_an_upload_leaves_nothing(self):
        self.serve(request_ms=600)
        self.assert_ends(b"POST /v1/blobs HTTP/1.1\r\nHost: k\r\nContent-Length: 10\r\n\r\nabc", 0.6)
        blobs = os.path.join(os.path.dirname(self.node.socket), "state", "blobs")

        def names():
            return [f for _, _, files in os.walk(blobs) for f in files]

        # The connection ends before the back room has tidied up.
        self.assertEqual(eventually(lambda: [n for n in names() if len(n) != 64], []), [])
        self.assertNotIn(hashlib.sha256(b"abc").hexdigest(), names())

    def test_one_byte_at_a_time(self):
        self.serve(request_ms=600)
        s = self.node.raw()
        try:
            for byte in b"GET /v1/status HTTP/1.1\r\nHost: kiln\r\n\r\n":  # four seconds, if it were heard to its end
                s.sendall(bytes([byte]))
                time.sleep(0.1)
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.assertEqual(read_all(s), b"")

    def test_silence(self):
        self.serve(idle_ms=1500)
        self.assert_ends(b"", 1.5)

    def test_alive_between_requests(self):
        self.serve(request_ms=1500)
        connection = Connection(self.node.socket)
        for pause in (1.6, 0):  # longer than a request may take
            connection.request("GET", "/v1/status")
            self.assertEqual(connection.getresponse().read()[:1], b"{")
            time.sleep(pause)
        connection.close()

    def test_gone_in_mid_reply(self):
        self.serve()
        for _ in range(50):
            s = self.node.raw()
            s.sendall(b"GET /v1/openapi.json HTTP/1.1\r\nHost: k\r\n\r\n")
            s.close()
        self.assertEqual(self.node.json("GET", "/v1/status")[0], 200)


class Size(unittest.TestCase):
    def setUp(self):
        self.node = Node(blob_bytes=100_000, clients=20, clients_per_uid=10)

    def tearDown(self):
        self.node.close()

    def status_of(self, request):
        s = self.node.raw()
        try:
            s.sendall(request)
        except BrokenPipeError:
            pass
        return int(read_all(s).split(b" ")[1])

    def test_header(self):
        self.assertEqual(self.status_of(b"GET /v1/status HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n"), 431)
        self.assertEqual(self.status_of(b"GET /" + b"x" * 2_000_000 + b" HTTP/1.1\r\n\r\n"), 431)

    def test_body(self):
        head = b"POST /v1/jobs HTTP/1.1\r\nHost: k\r\n"
        self.assertEqual(self.status_of(head + b"Content-Length: 1048577\r\n\r\n"), 413)
        self.assertEqual(self.status_of(head + b"Content-Length: 18446744073709551615\r\n\r\n"), 413)
        self.assertEqual(self.status_of(head + b"Content-Length: -1\r\n\r\n"), 400)
        chunked = head + b"Transfer-Encoding: chunked\r\n\r\n" + b"fffff\r\n" + b"x" * 0xFFFFF + b"\r\n" + \
            b"ff\r\n" + b"x" * 255 + b"\r\n0\r\n\r\n"
        self.assertEqual(self.status_of(chunked), 413)

    def test_blob(self):
        self.assertEqual(self.node.json("POST", "/v1/status")[0], 405)
        status, _, data = self.node.request("POST", "/v1/blobs", b"x" * 100_001)
        self.assertEqual((status, json.loads(data)["error"]["code"]), (413, "limit"))
        chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
        head = b"POST /v1/blobs HTTP/1.1\r\nHost: k\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.assertEqual(self.status_of(head + chunk * 4 + b"0\r\n\r\n"), 413)
        self.assertEqual(self.status_of(head.replace(b"Host: k", b"Connection: close") + chunk * 3 + b"0\r\n\r\n"), 201)

    def test_continue(self):
        s = self.node.raw()
        s.sendall(b"POST /v1/blobs HTTP/1.1\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        self.assertEqual(s.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
        s.sendall(b"abc")
        self.assertTrue(read_all(s).startswith(b"HTTP/1.1 201 "))
        refused = b"POST /v1/blobs HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 999999\r\n\r\n"
        self.assertEqual(self.status_of(refused), 413)

    def test_pipelined(self):
        s = self.node.raw()
        one = b"GET /v1/key HTTP/1.1\r\nHost: k\r\n\r\n"
        s.sendall(one * 4 + one.replace(b"Host: k", b"Connection: close"))
        self.assertEqual(read_all(s).count(b"HTTP/1.1 200 OK"), 5)

    def test_rubbish(self):
        for junk in [b"\x00" * 100 + b"\r\n\r\n", b"GET\r\n\r\n", b"GET  HTTP/1.1\r\n\r\n",
                     b"GET /v1/status HTTP/9.9\r\n\r\n", b"\xff\xfe\r\n\r\n"]:
            self.assertEqual(self.status_of(junk), 400, junk)

    def test_connections_of_one_user(self):
        crowd = [self.node.raw() for _ in range(10)]
        late = self.node.raw()
        self.assertTrue(read_all(late).startswith(b"HTTP/1.1 503 "))
        for s in crowd:
            s.close()
        self.assertEqual(eventually(lambda: self.node.request("GET", "/v1/status")[0], 200), 200)


@unittest.skipUnless(os.geteuid() == 0, "needs root to be other users")
class Roles(unittest.TestCase):
    """Every route as every role, through the real socket: uid and groups are the kernel's word."""

    def ask_as(self, uid, groups, calls):
        """[status] of the calls, made by a child of that identity."""
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(read_end)
                os.setgroups(groups)
                os.setgid(uid)
                os.setuid(uid)
                out = [self.node.request(m, p)[0] for m, p in calls]
                os.write(write_end, json.dumps(out).encode())
            finally:
                os._exit(0)
        os.close(write_end)
        data = b""
        while piece := os.read(read_end, 65536):
            data += piece
        os.close(read_end)
        os.waitpid(child, 0)
        return json.loads(data)

    def test_matrix(self):
        self.node = Node(viewer=7001, operator=7002, admin=7003)
        try:
            operations = [(m.upper(), p.replace("{", "absent-").replace("}", ""), o["x-kiln-role"])
                          for p, ops in OPENAPI["paths"].items()
                          for m, o in ops.items() if p != "/v1/events"]
            calls = [(m, p) for m, p, _ in operations]
            people = [("none", 5000, [7999]), ("none", 5000, []), ("none", 65534, [7003]), ("viewer", 5001, [7001]),
                      ("operator", 5002, [7001, 7002]), ("admin", 5003, [7003]), ("admin", 0, [])]
            for role, uid, groups in people:
                for (method, path, needed), status in zip(operations, self.ask_as(uid, groups, calls)):
                    refused = ROLES.index(role) < ROLES.index(needed)
                    self.assertEqual(status == 403, refused, f"{method} {path} as {role} gave {status}")
            audit = self.node.json("GET", "/v1/audit")[1]["audit"]
            mutating = sum(o["x-kiln-mutates"] for ops in OPENAPI["paths"].values() for o in ops.values())
            self.assertEqual(len(audit), mutating * len(people))
            self.assertEqual({r["role"] for r in audit if r["uid"] == 5000}, {"none"})
            self.assertEqual({r["status"] for r in audit if r["uid"] in (5000, 65534)}, {403})
        finally:
            self.node.close()


class Crowd(unittest.TestCase):
    def test_hundred_at_once(self):
        node = Node()
        results = []

        def ask():
            connection = Connection(node.socket)
            for _ in range(10):
                connection.request("GET", "/v1/status")
                results.append(json.loads(connection.getresponse().read())["name"])
            connection.close()
        threads = [threading.Thread(target=ask) for _ in range(100)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(results, ["kilnd"] * 1000)
        node.close()


if __name__ == "__main__":
    unittest.main()
