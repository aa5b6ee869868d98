#!/usr/bin/env python3
"""check_includes.py against includes that the architecture forbids, and those that it allows."""
import os
import tempfile
import unittest

import check_includes as rooms


def faults(path, *includes):
    return rooms.check_file(path, "".join(f"#include {i}\n" for i in includes))


class Rooms(unittest.TestCase):
    def test_the_longest_room_wins(self):
        self.assertEqual(rooms.room_of("runtime/base/json.h"), "runtime/base")
        self.assertEqual(rooms.room_of("runtime/kiln.h"), "runtime")
        self.assertEqual(rooms.room_of("agents/graph/onnx/import.cpp"), "agents/graph")
        self.assertEqual(rooms.room_of("agents/graphics/x.cpp"), "agents")
        self.assertIsNone(rooms.room_of("docs/x.h"))

    def test_base_includes_nothing_of_kiln(self):
        self.assertEqual(faults("runtime/base/a.cpp", '"runtime/base/json.h"', "<vector>"), [])
        self.assertEqual(len(faults("runtime/base/a.cpp", '"runtime/kiln.h"')), 1)

    def test_agents_may_not_reach_the_database_or_the_daemon(self):
        self.assertEqual(faults("agents/search/a.cpp", '"store/corpus/corpus.h"', '"policies/policy.h"',
                                '"agents/graph/graph.h"'), [])
        for header in ("store/store.h", "daemon/worker/pool.h", "runtime/kiln.h", "store/signing/signing.h"):
            self.assertEqual(len(faults("agents/search/a.cpp", f'"{header}"')), 1, header)

    def test_the_graph_knows_no_agent(self):
        self.assertEqual(len(faults("agents/graph/a.cpp", '"agents/region/region.h"')), 1)

    def test_the_worker_sees_artifacts_but_not_the_store(self):
        self.assertEqual(faults("daemon/worker/a.cpp", '"agents/artifacts/plan.h"', '"agents/workbench.h"',
                                '"daemon/targets/cpu/detect.h"'), [])
        self.assertEqual(len(faults("daemon/worker/a.cpp", '"store/store.h"', '"agents/conductor/conductor.h"')), 2)

    def test_the_tool_sees_signatures_but_not_the_store(self):
        self.assertEqual(faults("daemon/kctl/a.cpp", '"store/signing/signing.h"', '"policies/policy.h"'), [])
        self.assertEqual(len(faults("daemon/kctl/a.cpp", '"store/store.h"', '"daemon/kilnd/config.h"')), 2)

    def test_system_headers_have_their_rooms(self):
        self.assertEqual(faults("store/db/a.cpp", "<sqlite3.h>"), [])
        self.assertEqual(len(faults("agents/writer/a.cpp", "<sqlite3.h>")), 1)
        self.assertEqual(faults("daemon/kctl/a.cpp", "<boost/asio/io_context.hpp>", "<sys/socket.h>"), [])
        self.assertEqual(len(faults("store/a.cpp", "<sys/socket.h>")), 1)
        self.assertEqual(faults("daemon/targets/cuda/a.cpp", "<cuda.h>"), [])
        self.assertEqual(len(faults("agents/profiler/a.cpp", "<cuda_runtime.h>", "<hip/hip_runtime.h>")), 2)

    def test_a_relative_include_is_refused(self):
        self.assertEqual(len(faults("store/a.cpp", '"store.h"')), 1)
        self.assertEqual(len(faults("store/a.cpp", '"../policies/policy.h"')), 1)

    def test_the_fault_names_file_line_and_rule(self):
        text = "// a comment\n\n#include \"daemon/control/server.h\"\n"
        self.assertEqual(rooms.check_file("policies/a.cpp", text), [
            "policies/a.cpp:3: cannot include \"daemon/control/server.h\" from room 'policies': "
            "room 'daemon/control' is not among what it may include"])

    def test_tests_may_include_all(self):
        self.assertEqual(faults("tests/agents/a_test.cpp", "<sqlite3.h>", '"store/store.h"',
                                '"daemon/kilnd/config.h"'), [])

    def test_eight_hundred_lines_are_the_end(self):
        self.assertEqual(rooms.check_file("store/a.cpp", "\n" * 800), [])
        self.assertEqual(len(rooms.check_file("store/a.cpp", "\n" * 801)), 1)

    def test_a_room_that_the_documentation_forgot(self):
        whole = " ".join(f"`{room}/`" for room in rooms.ROOMS)
        self.assertEqual(rooms.check_docs(whole), [])
        self.assertEqual(len(rooms.check_docs(whole.replace("`policies/`", ""))), 1)

    def test_a_tree_is_walked_and_build_folders_are_not(self):
        with tempfile.TemporaryDirectory() as root:
            for path in ("docs", "store", "build"):
                os.mkdir(os.path.join(root, path))
            with open(os.path.join(root, "docs/architecture.md"), "w", encoding="utf-8") as file:
                file.write(" ".join(f"`{room}/`" for room in rooms.ROOMS))
            for path in ("store/a.cpp", "build/a.cpp"):
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write('#include "agents/workbench.h"\n')
            self.assertEqual([fault.split(":")[0] for fault in rooms.check_tree(root)], ["store/a.cpp"])


if __name__ == "__main__":
    unittest.main()
