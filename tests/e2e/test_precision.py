"""Models in bfloat16 and in 8-bit integers, from import to a release: written here, tuned, judged, replayed."""

import unittest

import numpy
import onnx.numpy_helper
from onnx import TensorProto, helper

from node import QUICK_POLICY, NodeTest

# Speed is not looked at: a few candidates of each region say that it is computed, and judged.
POLICY = QUICK_POLICY.replace("max_candidates_per_region = 8", "max_candidates_per_region = 2")


def bf16(name, values):
    """float32 values, cut to their upper halves."""
    halves = (numpy.ascontiguousarray(values, numpy.float32).view(numpy.uint32) >> 16).astype(numpy.uint16)
    return helper.make_tensor(name, TensorProto.BFLOAT16, values.shape, halves.tobytes(), raw=True)


def constant(name, values):
    return onnx.numpy_helper.from_array(numpy.asarray(values), name)


def quantised(name, values):
    """i8 weights of a scale per row, and their dequantisation."""
    scale = (numpy.abs(values).reshape(len(values), -1).max(axis=1) / 127).astype(numpy.float32)
    rows = scale.reshape(-1, *[1] * (values.ndim - 1))
    tensors = [constant(name + "_q", numpy.rint(values / rows).astype(numpy.int8)), constant(name + "_s", scale),
               constant(name + "_z", numpy.zeros(len(values), numpy.int8))]
    return tensors, helper.make_node("DequantizeLinear", [name + "_q", name + "_s", name + "_z"], [name], axis=0)


def quantise(x, y, scale, zero):
    """A tensor to u8 and back, as a quantised model has between its layers."""
    tensors = [constant(y + "_s", numpy.float32(scale)), constant(y + "_z", numpy.uint8(zero))]
    return tensors, [helper.make_node("QuantizeLinear", [x, y + "_s", y + "_z"], [y + "_q"]),
                     helper.make_node("DequantizeLinear", [y + "_q", y + "_s", y + "_z"], [y])]


class LowPrecision(NodeTest):
    def tuned(self, name, nodes, tensors, inputs, outputs):
        graph = helper.make_graph(nodes, name, inputs, outputs, tensors)
        path = self.node.folder / f"{name}.onnx"
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
        path.write_bytes(model.SerializeToString())
        self.node.import_model(path, name, {})
        job = self.node.wait(self.node.tune(name, policy=POLICY, seconds=2)["id"])
        self.assertEqual(job["state"], "done", job["error"])
        for row in job["result"]["summary"]:
            self.assertNotEqual(row["variant"], "none", row)
        self.assertTrue(self.node.post(f"/v1/jobs/{job['id']}/replay")["identical"])
        return job["result"]

    def test_bfloat16(self):
        """A convolution with its bias and relu, a maximum, a product, softmax."""
        random = numpy.random.default_rng(1)
        normal = lambda *shape: random.normal(0, 0.1, shape)
        value = lambda name, *shape: helper.make_tensor_value_info(name, TensorProto.BFLOAT16, shape)
        nodes = [helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
                 helper.make_node("Relu", ["c"], ["r"]),
                 helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
                 helper.make_node("Flatten", ["p"], ["f"]), helper.make_node("MatMul", ["f", "v"], ["m"]),
                 helper.make_node("Softmax", ["m"], ["y"], axis=1)]
        tensors = [bf16("w", normal(16, 8, 3, 3)), bf16("b", normal(16)), bf16("v", normal(16 * 6 * 6, 40))]
        self.tuned("halves", nodes, tensors, [value("x", 4, 8, 12, 12)], [value("y", 4, 40)])

    def test_integers(self):
        """A convolution and a product between quantisations, then a product that is quantised as it runs."""
        random = numpy.random.default_rng(2)
        value = lambda name, *shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        w, dequantise_w = quantised("w", random.normal(0, 0.1, (16, 8, 3, 3)).astype(numpy.float32))
        v, dequantise_v = quantised("v", random.normal(0, 0.1, (48, 16 * 12 * 12)).astype(numpy.float32))
        x, quantise_x = quantise("x", "xd", 0.05, 120)
        c, quantise_c = quantise("r", "rd", 0.02, 0)
        nodes = [*quantise_x, dequantise_w, helper.make_node("Conv", ["xd", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
                 helper.make_node("Relu", ["c"], ["r"]), *quantise_c, helper.make_node("Flatten", ["rd"], ["f"]),
                 dequantise_v, helper.make_node("Gemm", ["f", "v"], ["g"], transB=1),
                 helper.make_node("DynamicQuantizeLinear", ["g"], ["gq", "gs", "gz"]),
                 helper.make_node("MatMulInteger", ["gq", "u", "gz"], ["i"]),
                 helper.make_node("Cast", ["i"], ["if"], to=TensorProto.FLOAT),
                 helper.make_node("Mul", ["if", "gs"], ["s"]), helper.make_node("Mul", ["s", "us"], ["y"])]
        tensors = [*x, *w, *c, *v, constant("b", random.normal(0, 0.1, 16).astype(numpy.float32)),
                   constant("u", random.integers(-127, 128, (48, 24)).astype(numpy.int8)),
                   constant("us", numpy.float32(0.01))]
        result = self.tuned("bytes", nodes, tensors, [value("x", 4, 8, 12, 12)], [value("y", 4, 24)])
        rules = [line.split(":")[0] for line in result["algebraic"]["rewrites"]]
        self.assertEqual(rules, ["integer_product"] * 2)


if __name__ == "__main__":
    unittest.main()
