#!/usr/bin/env python3
"""GET /v1/events: order, resumption, filters, heartbeats, slow readers and the end."""

import json
import os
import re
import sys
import time
import unittest

import jsonschema

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from node import NEVER_MS, OPENAPI, PATIENCE_S, Connection, Node, eventually, read_all


class Events(unittest.TestCase):
    def setUp(self):
        self.open = []
        self.serve(heartbeat_ms=NEVER_MS, slow_ms=NEVER_MS)

    def serve(self, **limits):
        self.node = Node(**limits)

    def tearDown(self):
        for connection in self.open:
            connection.close()
        if self.node.process.poll() is None:
            self.node.close()

    def stream(self, query="", headers=None):
        connection = Connection(self.node.socket)
        connection.request("GET", "/v1/events" + query, headers=headers or {})
        answer = connection.getresponse()
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "text/event-stream"))
        self.open.append(answer)  # "Connection: close" has made it the socket's owner
        return answer

    def take(self, answer, count):
        """The next events, each {"id", "event", "data"}; comments are skipped."""
        out, fields = [], {}
        while len(out) < count:
            line = answer.readline().decode().rstrip("\n")
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif not line and fields:
                out.append(fields)
                fields = {}
        return out

    def test_all_from_the_beginning_and_then_live(self):
        answer = self.stream()
        events = self.take(answer, 3)
        self.assertEqual([e["id"] for e in events], ["1", "2", "3"])
        self.assertEqual([e["event"] for e in events], ["job.state", "job.state", "release.added"])
        for e in events:
            data = json.loads(e["data"])
            resolver = jsonschema.RefResolver("", OPENAPI)
            jsonschema.Draft202012Validator(OPENAPI["components"]["schemas"]["Event"], resolver=resolver).validate(data)
            self.assertEqual((str(data["serial"]), data["kind"]), (e["id"], e["event"]))
        self.node.tell("fresh")
        self.assertEqual(self.take(answer, 1)[0]["event"], "fresh")  # at once: no heartbeat will take it along

    def test_resumes_without_loss_or_repetition(self):
        first = self.stream()
        self.assertEqual(len(self.take(first, 2)), 2)
        self.open.pop().close()
        self.node.tell("while-away")
        again = self.stream("?after=0", {"Last-Event-ID": "2"})
        self.assertEqual([(e["id"], e["event"]) for e in self.take(again, 2)],
                         [("3", "release.added"), ("4", "while-away")])
        self.assertEqual(self.take(self.stream("?after=3"), 1)[0]["id"], "4")

    def test_filter(self):
        job = self.node.facts["job"]
        events = self.take(self.stream(f"?job={job}"), 2)
        self.assertEqual([e["id"] for e in events], ["1", "3"])  # its own, and one that names it in its detail

    def test_heartbeat(self):
        self.node.close()
        self.serve(heartbeat_ms=300)
        begin = time.monotonic()
        answer = self.stream("?after=3")
        self.assertEqual(answer.readline(), b": kiln events\n")
        for _ in range(2):
            self.assertEqual(answer.readline(), b"\n")
            self.assertEqual(answer.readline(), b": heartbeat\n")
        self.assertGreater(time.monotonic() - begin, 0.95 * 2 * 0.3)

    def test_wrong_serial(self):
        for headers, query in [({"Last-Event-ID": "x"}, ""), ({}, "?after=-1"), ({"Last-Event-ID": "-1"}, "")]:
            self.assertEqual(self.node.request("GET", "/v1/events" + query, headers=headers)[0], 400)

    def test_slow_reader_is_dropped_and_others_are_not(self):
        self.node.close()
        self.serve(slow_ms=1500)
        slow = self.node.raw()
        slow.sendall(b"GET /v1/events?after=3 HTTP/1.1\r\nHost: k\r\n\r\n")
        quick = self.stream("?after=3")
        self.node.tell("flood 60")
        self.assertEqual(len(self.take(quick, 60)), 60)
        dropped = re.compile(rb"^kiln_event_readers_dropped_total (\d+)$", re.M)
        self.assertEqual(eventually(lambda: dropped.search(self.node.request("GET", "/metrics")[2])[1], b"1"), b"1")
        self.open.pop().close()
        self.assertLess(len(read_all(slow)), 60 * 60_000)
        self.assertIn("dropped an event reader of uid", self.node.close())

    def test_a_reader_that_leaves_frees_its_seat(self):
        self.stream()
        self.assertEqual(self.node.json("GET", "/v1/status")[1]["clients"], 2)
        self.open.pop().close()
        self.assertEqual(eventually(lambda: self.node.json("GET", "/v1/status")[1]["clients"], 1), 1)

    def test_goodbye(self):
        answer = self.stream("?after=3")
        self.node.process.stdin.close()
        self.node.process.stdin = None
        self.assertEqual(self.take(answer, 1)[0]["event"], "bye")
        self.assertEqual(answer.read(), b"")
        self.assertEqual(self.node.process.wait(timeout=PATIENCE_S), 0)


if __name__ == "__main__":
    unittest.main()
