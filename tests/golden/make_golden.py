#!/usr/bin/env python3
"""make_golden.py DIR [--check]: writes the golden sets of store/golden, or compares them with what it would write.

Expected values come from Python's exact fractions and its math module in double precision, and share no code with Kiln.
Inputs are exact in float32. Sums are exact (fractions) before the one rounding to double.
"""
import argparse
import itertools
import json
import math
import pathlib
import random
import struct
import sys
import textwrap
from fractions import Fraction


def f32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def bits(value):
    return struct.pack(">d", value).hex()


def product(shape):
    return math.prod(shape)


class Draw:
    """Values of a case, the same in every run."""

    def __init__(self, name):
        self.random = random.Random(name)

    def normal(self, shape):
        return [f32(self.random.gauss(0, 1)) for _ in range(product(shape))]

    def integers(self, shape):
        return [float(self.random.randint(-8, 8)) for _ in range(product(shape))]


def exact_sum(values):
    return float(sum(map(Fraction, values), Fraction(0)))


class Graph:
    """docs/graph-format.md; values are named, and an operation appends one node."""

    def __init__(self):
        self.values, self.nodes, self.inputs = [], [], []

    def input(self, name, shape, dtype="f32"):
        self.values.append({"name": name, "dtype": dtype, "shape": list(shape)})
        self.inputs.append(len(self.values) - 1)
        return len(self.values) - 1

    def node(self, kind, inputs, output, shape, dtype="f32", **members):
        self.values.append({"name": output, "dtype": dtype, "shape": list(shape)})
        self.nodes.append({"kind": kind, **members, "inputs": inputs, "outputs": [len(self.values) - 1],
                           "origin": kind})
        return len(self.values) - 1

    def text(self, outputs):
        return json.dumps({"format": "kiln-graph/1", "name": "golden", "values": self.values, "nodes": self.nodes,
                           "inputs": self.inputs, "outputs": outputs})


class Expr:
    def __init__(self):
        self.nodes = []

    def add(self, op, *args, type="f32", **members):
        node = {"op": op, "type": type, **members}
        if args:
            node["args"] = list(args)
        self.nodes.append(node)
        return len(self.nodes) - 1

    def operand(self, index, type="f32"):
        return self.add("operand", type=type, operand=index)

    def constant(self, value):
        return self.add("constant", bits=bits(value))

    def json(self, *results):
        return {"nodes": self.nodes, "results": list(results)}


def wrapped(text):
    """Lines of at most 120 columns; neither names nor numbers have blanks."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


class Case:
    def __init__(self, name, origin, graph, outputs, tensors, tolerance=0.0):
        self.name, self.origin, self.graph = name, origin, graph.text(outputs)
        self.tensors, self.tolerance = tensors, tolerance

    def toml(self):
        lines = [f"[{self.name}]", f'origin = "{self.origin}"', f"graph = \'\'\'\n{wrapped(self.graph)}\'\'\'"]
        if self.tolerance:
            lines.append(f"tolerance = {self.tolerance!r}")
        for name, (shape, values) in self.tensors.items():
            numbers = ", ".join(str(int(v)) if v == int(v) and abs(v) < 2**53 else repr(v) for v in values)
            lines.append(wrapped(f"{name} = {{ shape = {list(shape)}, values = [{numbers}] }}"))
        return "\n".join(lines) + "\n"


PYTHON = "Python: exact fractions, and math in double precision"
ROUNDED = 1e-12  # of results that are not exact: some roundings of a double of about one


def matmul(name, batch, m, n, k, transposed=False, integers=True, origin=PYTHON):
    draw, g = Draw(name), Graph()
    values = draw.integers if integers else draw.normal
    lead = [batch] if batch > 1 else []
    a_shape, b_shape = lead + [m, k], lead + ([n, k] if transposed else [k, n])
    a, b = values(a_shape), values(b_shape)
    out = g.node("matmul", [g.input("a", a_shape), g.input("b", b_shape)], "c", lead + [m, n], transpose_a=False,
                 transpose_b=transposed)
    c = []
    for p, i, j in itertools.product(range(batch), range(m), range(n)):
        at = (lambda q: b[(p * n + j) * k + q]) if transposed else (lambda q: b[(p * k + q) * n + j])
        c.append(exact_sum(Fraction(a[(p * m + i) * k + q]) * Fraction(at(q)) for q in range(k)))
    tensors = {"a": (a_shape, a), "b": (b_shape, b), "c": (lead + [m, n], c)}
    return Case(name, origin, g, [out], tensors, 0.0 if integers else ROUNDED)


def pointwise(name, shape, build, function, operands=1, tolerance=ROUNDED, integers=False):
    draw, g, e = Draw(name), Graph(), Expr()
    names = ["a", "b", "c"][:operands]
    tensors = {n: (shape, draw.integers(shape) if integers else draw.normal(shape)) for n in names}
    result = build(e, *[e.operand(i) for i in range(operands)])
    out = g.node("pointwise", [g.input(n, shape) for n in names], "y", shape, expr=e.json(result))
    y = [function(*row) for row in zip(*(tensors[n][1] for n in names))]
    return Case(name, PYTHON, g, [out], {**tensors, "y": (shape, y)}, tolerance)


def gelu(e, x):
    erf = e.add("erf", e.add("mul", x, e.constant(math.sqrt(0.5))))
    return e.add("mul", e.add("mul", x, e.constant(0.5)), e.add("add", erf, e.constant(1.0)))


def rows(values, length):
    return [values[i:i + length] for i in range(0, len(values), length)]


def softmax_of(row):
    top = max(row)
    weights = [math.exp(v - top) for v in row]
    total = math.fsum(weights)
    return [w / total for w in weights]


def softmax(name, shape, values, origin=PYTHON, tolerance=ROUNDED, log=False):
    g = Graph()
    out = g.node("softmax", [g.input("x", shape)], "y", shape, axis=1, log=log)
    y = [v for row in rows(values, shape[1]) for v in softmax_of(row)]
    return Case(name, origin, g, [out], {"x": (shape, values), "y": (shape, y)}, tolerance)


def reduce(name, shape, monoid, function):
    g, values = Graph(), Draw(name).integers(shape)
    out = g.node("reduce", [g.input("x", shape)], "y", [shape[0], 1], monoid=monoid, axes=[1], keep_dims=True)
    y = [function(row) for row in rows(values, shape[1])]
    return Case(name, PYTHON, g, [out], {"x": (shape, values), "y": ([shape[0], 1], y)})


def layer_norm(name, shape, centred, shift):
    draw, g, epsilon = Draw(name), Graph(), 1e-5
    x = [f32(v + shift) for v in draw.normal(shape)]
    scale = draw.normal([shape[1]])
    out = g.node("layer_norm", [g.input("x", shape), g.input("scale", [shape[1]])], "y", shape, axis=1,
                 epsilon=bits(epsilon), centred=centred)
    y = []
    for row in rows(x, shape[1]):
        exact = [Fraction(v) for v in row]
        mean = sum(exact) / len(exact) if centred else Fraction(0)
        variance = sum((v - mean) ** 2 for v in exact) / len(exact)
        inverse = 1 / math.sqrt(float(variance) + epsilon)
        y += [float(v - mean) * inverse * s for v, s in zip(exact, scale)]
    return Case(name, PYTHON, g, [out], {"x": (shape, x), "scale": ([shape[1]], scale), "y": (shape, y)}, 1e-11)


def attention(name, heads, s, t, d, causal):
    draw, g, scale = Draw(name), Graph(), 1 / math.sqrt(d)
    shapes = {"q": [heads, s, d], "k": [heads, t, d], "v": [heads, t, d]}
    x = {n: draw.normal(shape) for n, shape in shapes.items()}
    out = g.node("attention", [g.input(n, shape) for n, shape in shapes.items()], "y", [heads, s, d],
                 scale=bits(scale), causal=causal)
    y = []
    for h, i in itertools.product(range(heads), range(s)):
        q = x["q"][(h * s + i) * d:][:d]
        keys = [j for j in range(t) if not causal or j <= i + t - s]
        scores = [exact_sum(Fraction(a) * Fraction(b) for a, b in zip(q, x["k"][(h * t + j) * d:][:d])) for j in keys]
        weights = softmax_of([scale * score for score in scores])
        y += [math.fsum(w * x["v"][(h * t + j) * d + c] for w, j in zip(weights, keys)) for c in range(d)]
    return Case(name, PYTHON, g, [out], {**{n: (shapes[n], x[n]) for n in shapes}, "y": ([heads, s, d], y)}, ROUNDED)


def gather(name, axis, inner, at):
    g, data = Graph(), Draw(name).normal([axis, inner])
    inputs = [g.input("data", [axis, inner]), g.input("at", [len(at)], "i64")]
    out = g.node("gather", inputs, "y", [len(at), inner], axis=0)
    y = [v for i in at for v in data[(i % axis) * inner:][:inner]]
    tensors = {"data": ([axis, inner], data), "at": ([len(at)], at), "y": ([len(at), inner], y)}
    return Case(name, PYTHON, g, [out], tensors)


def concat(name, parts, inner):
    draw, g, tensors, y = Draw(name), Graph(), {}, []
    for i, extent in enumerate(parts):
        tensors["abc"[i]] = ([extent, inner], draw.normal([extent, inner]))
        y += tensors["abc"[i]][1]
    out = g.node("concat", [g.input(n, shape) for n, (shape, _) in tensors.items()], "y", [sum(parts), inner], axis=0)
    return Case(name, PYTHON, g, [out], {**tensors, "y": ([sum(parts), inner], y)})


def transposed(name, down, across):
    g, x = Graph(), Draw(name).normal([across, down])
    view = g.node("transpose", [g.input("x", [across, down])], "t", [down, across], permutation=[1, 0])
    e = Expr()
    out = g.node("pointwise", [view], "y", [down, across], expr=e.json(e.operand(0)))
    y = [x[a * down + d] for d in range(down) for a in range(across)]
    return Case(name, PYTHON, g, [out], {"x": ([across, down], x), "y": ([down, across], y)})


def sets():
    return {
        "matmul": [
            matmul("integers", 1, 7, 19, 23),
            matmul("batched_integers", 2, 5, 9, 33),
            matmul("transposed_integers", 1, 6, 17, 40, True),
            matmul("one_element", 1, 1, 1, 1),
            matmul("normal", 1, 5, 33, 21, integers=False),
        ],
        "pointwise": [
            pointwise("relu_of_sum", [3, 7], lambda e, a, b: e.add("max", e.add("add", a, b), e.constant(0.0)),
                      lambda a, b: max(a + b, 0.0), 2, 0.0, integers=True),
            pointwise("gelu", [5, 13], gelu, lambda x: 0.5 * x * (1 + math.erf(x * math.sqrt(0.5)))),
            pointwise("silu", [67], lambda e, x: e.add("mul", x, e.add("sigmoid", x)),
                      lambda x: x / (1 + math.exp(-x))),
            pointwise("tanh", [33], lambda e, x: e.add("tanh", x), math.tanh),
            transposed("transposed", 9, 21),
        ],
        "row": [
            softmax("softmax_of_equal_values", [2, 4], [3.0] * 4 + [-1.0] * 4,
                    "symmetry: four equal scores share evenly", 0.0),
            softmax("softmax", [3, 37], Draw("softmax").normal([3, 37])),
            softmax("softmax_of_large_scores", [2, 41], [f32(100 * v) for v in Draw("large").normal([2, 41])]),
            reduce("sum_of_integers", [3, 53], "sum", lambda row: float(sum(row))),
            reduce("maximum_of_integers", [3, 53], "max", max),
            layer_norm("layer_norm", [3, 29], True, 0.0),
            layer_norm("layer_norm_far_from_zero", [3, 29], True, 64.0),
            layer_norm("rms_norm", [3, 29], False, 0.0),
        ],
        "attention": [
            attention("scores", 2, 5, 9, 8, False),
            attention("causal", 1, 7, 7, 8, True),
            attention("causal_with_past", 1, 3, 19, 16, True),
        ],
        "gather": [gather("rows", 7, 11, [6, 0, 3, 3, -1, -7])],
        "concat": [concat("two_parts", [3, 4], 9)],
    }


def text_of(family, cases):
    head = f"# Written by tests/golden/make_golden.py: {family}. Inputs are exact in float32; "\
           "Kiln computed nothing here.\n"
    return head + "\n" + "\n".join(case.toml() for case in cases)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", type=pathlib.Path)
    arguments.add_argument("--check", action="store_true")
    options = arguments.parse_args()
    stale = []
    for family, cases in sets().items():
        path, text = options.folder / f"{family}.toml", text_of(family, cases)
        if not options.check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(str(path))
    for path in stale:
        print(f"{path}: is not what make_golden.py writes", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
