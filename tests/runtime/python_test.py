"""The Python loader over a release made by hand: y = 2 x + 1 over [4, 3], and z, its sum, as int64."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import unittest

try:
    import numpy
except ImportError:
    print("no NumPy: skipped")
    sys.exit(77)

import kiln

SOURCE = """
#include "runtime/kernel_abi.h"
extern "C" void affine(void* const* a, const kiln_task* t) {
  const float* x = static_cast<const float*>(a[0]);
  float* y = static_cast<float*>(a[1]);
  long long* z = static_cast<long long*>(a[2]);
  (void)t;
  *z = 0;
  for (int i = 0; i < 12; ++i) { y[i] = 2 * x[i] + 1; *z += static_cast<long long>(y[i]); }
}
"""
ROOT = pathlib.Path(__file__).resolve().parents[2]


def make_release(folder):
    source = folder / "k.cpp"
    source.write_text(SOURCE)
    built = folder / "k.so"
    subprocess.run(["c++", "-std=c++20", "-O1", "-fPIC", "-shared", f"-I{ROOT}", "-o", built, source], check=True)
    digest = hashlib.sha256(built.read_bytes()).hexdigest()
    (folder / "objects").mkdir()
    built.rename(folder / "objects" / f"{digest}.so")
    plan = {
        "format": "kiln-plan/1", "name": "affine", "target": "cpu", "cpu_features": [], "threads": 1,
        "inputs": [{"name": "x", "dtype": "f32", "shape": [4, 3], "buffer": 0}],
        "outputs": [{"name": "y", "dtype": "f32", "shape": [4, 3], "buffer": 1},
                    {"name": "z", "dtype": "i64", "shape": [], "buffer": 2}],
        "buffers": [{"kind": "input", "bytes": 48, "offset": 0, "index": 0},
                    {"kind": "output", "bytes": 48, "offset": 0, "index": 0},
                    {"kind": "output", "bytes": 8, "offset": 0, "index": 1}],
        "objects": [digest], "constants": "", "constants_bytes": 0, "prepared_bytes": 0, "temporary_bytes": 0,
        "prepare": [],
        "run": [{"object": 0, "symbol": "affine", "args": [0, 1, 2], "tasks": 1, "scratch_bytes": 0, "has_state": False,
                 "instance": 0, "label": "affine"}],
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    files = [{"path": str(p.relative_to(folder)), "bytes": p.stat().st_size,
              "sha256": hashlib.sha256(p.read_bytes()).hexdigest()}
             for p in [folder / "plan.json", folder / "objects" / f"{digest}.so"]]
    (folder / "manifest.json").write_text(json.dumps({"format": "kiln-release/1", "plan": "plan.json", "files": files,
                                                      "about": {}}))


class Loader(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name)
        make_release(self.path)

    def tearDown(self):
        self.folder.cleanup()

    def assert_fails(self, status, text, call):
        with self.assertRaises(kiln.KilnError) as caught:
            call()
        self.assertEqual(caught.exception.status, status)
        self.assertIn(text, str(caught.exception))

    def test_positional_and_named(self):
        model = kiln.load(self.path)
        x = numpy.arange(12, dtype=numpy.float32).reshape(4, 3)
        y, z = model(x)
        numpy.testing.assert_array_equal(y, 2 * x + 1)
        self.assertEqual(z.shape, ())
        self.assertEqual(int(z), 2 * 66 + 12)
        named = model.run(x=x)
        self.assertEqual(list(named), ["y", "z"])
        numpy.testing.assert_array_equal(named["y"], y)

    def test_views_are_made_contiguous(self):
        model = kiln.load(str(self.path))
        wide = numpy.arange(24, dtype=numpy.float32).reshape(4, 6)
        numpy.testing.assert_array_equal(model(wide[:, ::2])[0], 2 * wide[:, ::2] + 1)

    def test_what_it_says_of_itself(self):
        model = kiln.load(self.path)
        self.assertEqual(model.id, hashlib.sha256((self.path / "manifest.json").read_bytes()).hexdigest())
        self.assertEqual([(t.name, t.shape, t.dtype) for t in model.inputs], [("x", (4, 3), numpy.float32)])
        self.assertEqual(model.peak_bytes, 0)
        self.assertTrue(kiln.version())

    def test_wake_reaches_the_threads_of_the_session(self):
        before = set(os.listdir("/proc/self/task"))
        model = kiln.load(self.path, threads=3)
        threads = set(os.listdir("/proc/self/task")) - before
        self.assertEqual(len(threads), 2)  # the caller is the third

        def asleep():
            """How often each thread of the session has gone to sleep, once all of them sleep."""
            while True:
                status = [pathlib.Path(f"/proc/self/task/{t}/status").read_text() for t in threads]
                if all("\nState:\tS" in text for text in status):
                    return [int(text.split("\nvoluntary_ctxt_switches:")[1].split()[0]) for text in status]
                time.sleep(0.01)

        before = asleep()
        model.wake()
        end = time.monotonic() + 60
        while not all(now > then for now, then in zip(asleep(), before)) and time.monotonic() < end:
            time.sleep(0.01)
        self.assertTrue(all(now > then for now, then in zip(asleep(), before)), "a thread slept through wake()")
        self.assertEqual(model(numpy.ones((4, 3), numpy.float32))[0][0, 0], 3)

    def test_wrong_arguments(self):
        model = kiln.load(self.path)
        x = numpy.zeros((4, 3), numpy.float32)
        self.assert_fails("argument", "shape", lambda: model(x.reshape(3, 4)))
        self.assert_fails("argument", "float64", lambda: model(x.astype(numpy.float64)))
        self.assert_fails("argument", "missing inputs ['x']", lambda: model())
        self.assert_fails("argument", "unknown inputs ['w']", lambda: model(x, w=x))
        self.assert_fails("argument", "twice", lambda: model(x, x=x))
        self.assert_fails("argument", "2 arrays for 1", lambda: model(x, x))

    def test_broken_releases(self):
        self.assert_fails("io", "nowhere", lambda: kiln.load(self.path / "nowhere"))
        plan = self.path / "plan.json"
        plan.write_text(plan.read_text().replace("affine", "affinf"))
        self.assert_fails("digest", "plan.json", lambda: kiln.load(self.path))
        (self.path / "manifest.json").write_text("{")
        self.assert_fails("format", "manifest", lambda: kiln.load(self.path))

    def test_threads_with_sessions_of_their_own(self):
        model = kiln.load(self.path)
        wrong = []

        def work(seed):
            mine = model.session()
            x = numpy.full((4, 3), seed, numpy.float32)
            for _ in range(50):
                if not (mine(x)[0] == 2 * seed + 1).all():
                    wrong.append(seed)

        threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(wrong, [])

    def test_library_that_is_not_there(self):
        code = "import kiln\ntry:\n  kiln.version()\nexcept kiln.KilnError as e:\n  print(e.status)"
        env = dict(os.environ, KILN_LIBRARY="/nonexistent/libkiln.so")
        out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        self.assertEqual(out.stdout.strip(), "load")


if __name__ == "__main__":
    unittest.main()
