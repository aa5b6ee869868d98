"""A release as a PyTorch operator: called with tensors, compiled into a graph without a break, in place of a module."""

import gc
import pathlib
import sys
import tempfile
import unittest
import warnings
import weakref

try:
    import numpy  # noqa: F401 (kiln needs it)
    import torch
except ImportError as absent:
    print(f"no {absent.name}: skipped")
    sys.exit(77)

import kiln
import kiln.pytorch
from python_test import make_release


def affine(x):
    """What the release computes."""
    y = 2 * x + 1
    return y, y.to(torch.int64).sum()


def graphs(function, *arguments):
    """What torch.compile makes of `function`: its graphs, and what it returns. No code is generated of them."""
    seen = []

    def keep(graph, _examples):
        seen.append(graph)
        return graph.forward

    torch._dynamo.reset()
    return seen, torch.compile(function, backend=keep, fullgraph=True)(*arguments)


class Operators(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        make_release(pathlib.Path(cls.folder.name))
        cls.fast = kiln.pytorch.load(cls.folder.name)

    def assert_same(self, got, want):
        self.assertEqual(len(got), len(want))
        for a, b in zip(got, want):
            self.assertEqual((a.shape, a.dtype), (b.shape, b.dtype))
            self.assertTrue(torch.equal(a, b))

    def test_tensors_in_tensors_out(self):
        for x in (torch.randn(4, 3), torch.randn(3, 4).t(), torch.randn(13)[1:].reshape(4, 3)):
            self.assert_same(self.fast(x), affine(x))

    def test_what_it_was_not_tuned_for_is_refused(self):
        for x in (torch.randn(3, 4), torch.randn(4, 3).double(), torch.randn(4, 3, device="meta"), 1.0):
            self.assertFalse(self.fast.covers(x))
            with self.assertRaises(kiln.KilnError) as caught:
                self.fast(x)
            self.assertEqual(caught.exception.status, "argument")

    def test_a_compiled_function_keeps_it_as_one_node_of_one_graph(self):
        def around(x):
            y, z = self.fast(x * 2)
            return torch.tanh(y) + z

        x = torch.randn(4, 3)
        seen, got = graphs(around, x)
        self.assertEqual(len(seen), 1)
        called = [str(n.target) for n in seen[0].graph.nodes if n.op == "call_function"]
        self.assertEqual(len([t for t in called if t.startswith("kiln.release_")]), 1, called)
        self.assertTrue(torch.equal(got, around(x)))

    def test_it_survives_what_autograd_makes_of_a_graph(self):
        torch._dynamo.reset()
        x = torch.randn(4, 3)
        compiled = torch.compile(lambda x: self.fast(x + 1)[0] * 3, backend="aot_eager", fullgraph=True)
        self.assertTrue(torch.equal(compiled(x), affine(x + 1)[0] * 3))

    def test_shapes_are_known_without_running_it(self):
        from torch._subclasses.fake_tensor import FakeTensorMode
        operation = self.fast._operation
        with FakeTensorMode() as mode:
            y, z = operation([mode.from_tensor(torch.randn(4, 3))])
        self.assertEqual((tuple(y.shape), y.dtype), ((4, 3), torch.float32))
        self.assertEqual((tuple(z.shape), z.dtype), ((), torch.int64))
        torch.library.opcheck(operation, ([torch.randn(4, 3)],),
                              test_utils=("test_schema", "test_faketensor", "test_aot_dispatch_static"))

    def test_a_release_goes_with_its_operator(self):
        fast = kiln.pytorch.load(self.folder.name)
        operation, gone = fast._operation, weakref.ref(fast)
        del fast
        gc.collect()
        self.assertIsNone(gone())
        with self.assertRaises(kiln.KilnError):
            operation([torch.randn(4, 3)])

    def test_the_operator_itself_refuses_what_a_graph_was_not_compiled_for(self):
        with self.assertRaises(kiln.KilnError):
            self.fast._operation([torch.randn(3, 4)])


class Module(torch.nn.Module):
    def forward(self, x):
        return affine(x)


class DropIns(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        make_release(pathlib.Path(folder.name))
        self.module = kiln.pytorch.DropIn(Module(), kiln.pytorch.load(folder.name))

    def test_hits_misses_and_one_warning_a_shape(self):
        with torch.no_grad(), warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            for x in (torch.randn(4, 3), torch.randn(5, 3), torch.randn(5, 3), torch.randn(6, 3)):
                got, want = self.module(x), affine(x)
                self.assertTrue(all(torch.equal(a, b) for a, b in zip(got, want)))
        self.assertEqual((self.module.hits, self.module.misses), (1, 3))
        self.assertEqual(len(said), 2)
        self.assertIn("fell back to the original module", str(said[0].message))

    def test_gradients_are_the_module_s_own(self):
        x = torch.randn(4, 3, requires_grad=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.module(x)[0].sum().backward()
        self.assertTrue(torch.equal(x.grad, torch.full((4, 3), 2.0)))
        self.assertEqual((self.module.hits, self.module.misses), (0, 1))

    def test_a_compiled_module_is_one_graph_with_the_operator_in_it(self):
        x = torch.randn(4, 3)
        with torch.no_grad():
            seen, got = graphs(self.module, x)
        self.assertEqual(len(seen), 1)
        self.assertTrue(any("kiln.release_" in str(n.target) for n in seen[0].graph.nodes))
        self.assertTrue(torch.equal(got[0], affine(x)[0]))

    def test_a_compiled_module_falls_back_without_a_break_too(self):
        x = torch.randn(5, 3)
        with torch.no_grad(), warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            seen, got = graphs(self.module, x)
        self.assertEqual(len(seen), 1)
        self.assertEqual(len([w for w in said if "fell back" in str(w.message)]), 1)
        self.assertFalse(any("kiln.release_" in str(n.target) for n in seen[0].graph.nodes))
        self.assertTrue(torch.equal(got[0], affine(x)[0]))

    def test_a_compiled_module_is_compiled_once_however_often_it_is_called(self):
        for x in (torch.randn(4, 3), torch.randn(5, 3)):  # a hit and a miss
            seen = []
            torch._dynamo.reset()
            compiled = torch.compile(self.module, backend=lambda graph, _: seen.append(graph) or graph.forward)
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for _ in range(12):
                    self.assertTrue(torch.equal(compiled(x)[0], affine(x)[0]))
            self.assertEqual(len(seen), 1)


if __name__ == "__main__":
    unittest.main()
