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

    def output(self, name, shape, dtype="f32"):
        """One more of the last node."""
        self.values.append({"name": name, "dtype": dtype, "shape": list(shape)})
        self.nodes[-1]["outputs"].append(len(self.values) - 1)
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
    """Lines of at most 120 columns; neither names nor numbers have blanks. TOML ends no line before a closing brace."""
    lines = textwrap.fill(text.replace("] }", "]\u00a0}"), 120, break_long_words=False, break_on_hyphens=False)
    return lines.replace("\u00a0", " ")


class Case:
    def __init__(self, name, origin, graph, outputs, tensors, tolerance=0.0):
        self.name, self.origin, self.graph = name, origin, graph.text(outputs)
        self.tensors, self.tolerance, self.weights = tensors, tolerance, []

    def of_weights(self, *names):
        """The same with these inputs as constants, which a kernel may pack once."""
        self.weights = list(names)
        return self

    def toml(self):
        lines = [f"[{self.name}]", f'origin = "{self.origin}"', f"graph = \'\'\'\n{wrapped(self.graph)}\'\'\'"]
        if self.weights:
            lines.append(f"weights = {json.dumps(self.weights)}")
        if self.tolerance:
            lines.append(f"tolerance = {self.tolerance!r}")
        for name, (shape, values) in self.tensors.items():
            numbers = ", ".join(str(int(v)) if v == int(v) and abs(v) < 2**53 else repr(v) for v in values)
            lines.append(wrapped(f"{name} = {{ shape = {list(shape)}, values = [{numbers}] }}"))
        return "\n".join(lines) + "\n"


PYTHON = "Python: exact fractions, and math in double precision"
ROUNDED = 1e-12  # of results that are not exact: some roundings of a double of about one


def matmul(name, batch, m, n, k, transposed=False, integers=True, origin=PYTHON, types=("f32", "f32", "f32")):
    draw, g = Draw(name), Graph()
    values = draw.integers if integers else draw.normal
    lead = [batch] if batch > 1 else []
    a_shape, b_shape = lead + [m, k], lead + ([n, k] if transposed else [k, n])
    a, b = values(a_shape), values(b_shape)
    if types[0] == "u8":
        a = [abs(v) for v in a]
    out = g.node("matmul", [g.input("a", a_shape, types[0]), g.input("b", b_shape, types[1])], "c", lead + [m, n],
                 types[2], transpose_a=False, transpose_b=transposed)
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
    top = max(row, default=0)
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


def attention(name, heads, s, t, d, causal, **guarded):
    draw, g, scale = Draw(name), Graph(), 1 / math.sqrt(d)
    shapes = {"q": [heads, s, d], "k": [heads, t, d], "v": [heads, t, d]}
    x = {n: draw.normal(shape) for n, shape in shapes.items()}
    out = g.node("attention", [g.input(n, shape) for n, shape in shapes.items()], "y", [heads, s, d],
                 scale=bits(scale), causal=causal, **guarded)
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


def steps(strides, dilations, before, after):
    return {"strides": strides, "dilations": dilations, "before": before, "after": after}


def places(extents):
    return itertools.product(*(range(extent) for extent in extents))


def flat(index, shape):
    at = 0
    for i, extent in zip(index, shape):
        at = at * extent + i
    return at


def convolution(name, x_shape, w_shape, s, groups, out, is_transposed=False, types=("f32", "f32", "f32")):
    """Every product of an element of x with one of w, added where it falls; integers, so that sums are exact."""
    draw, g = Draw(name), Graph()
    x, w = draw.integers(x_shape), draw.integers(w_shape)
    if types[0] == "u8":
        x = [abs(v) for v in x]
    inputs = [g.input("x", x_shape, types[0]), g.input("w", w_shape, types[1])]
    y_shape = [x_shape[0], out[0], *out[1:]]
    y = [0.0] * product(y_shape)
    c, m = x_shape[1] // groups, out[0] // groups
    moved, kernel = (x_shape if is_transposed else y_shape)[2:], w_shape[2:]
    for n, group, i, o in places([x_shape[0], groups, c, m]):
        for at, tap in itertools.product(places(moved), places(kernel)):
            there = [a * s["strides"][d] + t * s["dilations"][d] - s["before"][d]
                     for d, (a, t) in enumerate(zip(at, tap))]
            target = y_shape[2:] if is_transposed else x_shape[2:]
            if any(p < 0 or p >= extent for p, extent in zip(there, target)):
                continue
            of_x, of_y = (at, there) if is_transposed else (there, at)
            weight = [group * c + i, o] if is_transposed else [group * m + o, i]
            y[flat([n, group * m + o, *of_y], y_shape)] += (x[flat([n, group * c + i, *of_x], x_shape)] *
                                                            w[flat([*weight, *tap], w_shape)])
    node = g.node("convolution", inputs, "y", y_shape, types[2], steps=s, groups=groups, transposed=is_transposed,
                  extra=[0] * len(kernel))
    return Case(name, PYTHON, g, [node], {"x": (x_shape, x), "w": (w_shape, w), "y": (y_shape, y)})


def maximum_of_windows(name, shape, kernel, s, extents):
    g, x = Graph(), Draw(name).integers(shape)
    y = []
    for row, *at in places([shape[0], *extents]):
        inside = []
        for tap in places(kernel):
            there = [a * s["strides"][d] + t * s["dilations"][d] - s["before"][d]
                     for d, (a, t) in enumerate(zip(at, tap))]
            if all(0 <= p < extent for p, extent in zip(there, shape[1:])):
                inside.append(x[flat([row, *there], shape)])
        y.append(max(inside))
    out = g.node("window", [g.input("x", shape)], "y", [shape[0], *extents], monoid="max", kernel=kernel, steps=s,
                 extents=extents, counts_padding=False, positions=False)
    return Case(name, PYTHON, g, [out], {"x": (shape, x), "y": ([shape[0], *extents], y)})


def padded(name, shape, before, after):
    draw, g = Draw(name), Graph()
    x, value = draw.normal(shape), draw.normal([])
    out = [b + extent + a for b, extent, a in zip(before, shape, after)]
    y = []
    for at in places(out):
        there = [p - b for p, b in zip(at, before)]
        y.append(x[flat(there, shape)] if all(0 <= p < e for p, e in zip(there, shape)) else value[0])
    node = g.node("pad", [g.input("x", shape), g.input("value", [])], "y", out, before=before, after=after)
    return Case(name, PYTHON, g, [node], {"x": (shape, x), "value": ([], value), "y": (out, y)})


def running_sum(name, rows, length):
    g, x = Graph(), Draw(name).integers([rows, length])
    y = [v for r in range(rows) for v in itertools.accumulate(x[r * length:][:length])]
    out = g.node("scan", [g.input("x", [rows, length])], "y", [rows, length], monoid="sum", axis=1, exclusive=False,
                 reverse=False)
    return Case(name, PYTHON, g, [out], {"x": ([rows, length], x), "y": ([rows, length], y)})


def first_largest(name, rows, length):
    """Few different values, so that the first of several equal ones has to be found."""
    g, x = Graph(), Draw(name).integers([rows, length])
    y = [float(row.index(max(row))) for row in (x[r * length:][:length] for r in range(rows))]
    out = g.node("arg", [g.input("x", [rows, length])], "y", [rows], "i64", largest=True, axis=1, keep_dims=False,
                 last=False)
    return Case(name, PYTHON, g, [out], {"x": ([rows, length], x), "y": ([rows], y)})


def logistic(x):
    return 1 / (1 + math.exp(-x))


def recurrent(name, cell, steps_, batch, hidden, lengths):
    """ONNX's RNN and LSTM (operator set 14) on x that is X W^T + Wb already; gates of an LSTM are i, o, f, c."""
    draw, g, gates = Draw(name), Graph(), 4 if cell == "lstm" else 1
    shapes = {"x": [steps_, batch, gates * hidden], "r": [gates * hidden, hidden], "bias": [gates * hidden],
              "h": [batch, hidden]}
    v = {n: draw.normal(shape) for n, shape in shapes.items()}
    inputs = [g.input(n, shape) for n, shape in shapes.items()] + [g.input("lengths", [batch], "i64")]
    if cell == "lstm":
        for n, shape in {"c": [batch, hidden], "peepholes": [3 * hidden]}.items():
            shapes[n], v[n] = shape, draw.normal(shape)
            inputs.append(g.input(n, shape))
    y, last_h, last_c = [0.0] * (steps_ * batch * hidden), list(v["h"]), list(v.get("c", []))
    for b in range(batch):
        for t in range(lengths[b]):
            before = last_h[b * hidden:][:hidden]
            gate = [exact_sum([v["x"][(t * batch + b) * gates * hidden + j], v["bias"][j],
                               *(Fraction(w) * Fraction(p) for w, p in zip(v["r"][j * hidden:][:hidden], before))])
                    for j in range(gates * hidden)]
            for j in range(hidden):
                at = b * hidden + j
                if cell == "lstm":
                    i, o, f, c = (gate[k * hidden + j] for k in range(4))
                    of_i, of_o, of_f = (v["peepholes"][k * hidden + j] for k in range(3))
                    old = last_c[at]
                    last_c[at] = logistic(f + of_f * old) * old + logistic(i + of_i * old) * math.tanh(c)
                    last_h[at] = logistic(o + of_o * last_c[at]) * math.tanh(last_c[at])
                else:
                    last_h[at] = math.tanh(gate[j])
                y[t * batch * hidden + at] = last_h[at]
    functions = []
    for function in ["sigmoid", "tanh", "tanh"] if cell == "lstm" else ["tanh"]:
        e = Expr()
        functions.append(e.json(e.add(function, e.operand(0))))
    first = g.node("recurrent", inputs, "y", [steps_, batch, hidden], cell=cell, reverse=False, reset_after=False,
                   input_forget=False, clip=bits(0.0), activations=functions)
    outputs = [first, g.output("last_h", [batch, hidden])]
    tensors = {**{n: (shapes[n], v[n]) for n in shapes}, "lengths": ([batch], [float(n) for n in lengths]),
               "y": ([steps_, batch, hidden], y), "last_h": ([batch, hidden], last_h)}
    if cell == "lstm":
        outputs.append(g.output("last_c", [batch, hidden]))
        tensors["last_c"] = ([batch, hidden], last_c)
    return Case(name, PYTHON, g, outputs, tensors, 1e-11)


def added_rows(name, rows, inner, at):
    draw, g = Draw(name), Graph()
    data, updates = draw.integers([rows, inner]), draw.integers([len(at), inner])
    y = list(data)
    for k, row in enumerate(at):
        for j in range(inner):
            y[row % rows * inner + j] += updates[k * inner + j]
    inputs = [g.input("data", [rows, inner]), g.input("at", [len(at)], "i64"), g.input("updates", [len(at), inner])]
    out = g.node("scatter", inputs, "y", [rows, inner], combine="add")
    return Case(name, PYTHON, g, [out], {"data": ([rows, inner], data), "at": ([len(at)], at),
                                         "updates": ([len(at), inner], updates), "y": ([rows, inner], y)})


def sets():
    return {
        "matmul": [
            matmul("integers", 1, 7, 19, 23),
            matmul("batched_integers", 2, 5, 9, 33),
            matmul("transposed_integers", 1, 6, 17, 40, True),
            matmul("one_element", 1, 1, 1, 1),
            matmul("normal", 1, 5, 33, 21, integers=False),
            matmul("weight", 1, 37, 40, 70, integers=False).of_weights("b"),
            matmul("bf16_integers", 1, 19, 37, 45, types=("bf16", "bf16", "bf16")),
            matmul("bytes", 1, 19, 37, 70, types=("u8", "i8", "i32")),
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
            attention("guarded", 2, 6, 4, 16, True, guarded=True),  # the first two queries see no key: zeros
        ],
        "gather": [gather("rows", 7, 11, [6, 0, 3, 3, -1, -7])],
        "concat": [concat("two_parts", [3, 4], 9)],
        "convolution": [
            convolution("padded", [1, 3, 5, 18], [4, 3, 3, 3], steps([1, 1], [1, 1], [1, 1], [1, 1]), 1, [4, 5, 18]),
            convolution("strided_grouped", [2, 4, 9, 8], [6, 2, 3, 2], steps([2, 3], [1, 2], [1, 0], [1, 1]), 2,
                        [6, 5, 3]),
            convolution("weights", [1, 4, 6, 17], [5, 4, 3, 3], steps([1, 1], [1, 1], [1, 1], [1, 1]), 1,
                        [5, 6, 17]).of_weights("w"),
            convolution("many_channels", [1, 9, 4, 5], [10, 9, 3, 3], steps([1, 1], [1, 1], [1, 1], [1, 1]), 1,
                        [10, 4, 5]).of_weights("w"),
            convolution("bf16_integers", [1, 9, 4, 5], [10, 9, 3, 3], steps([1, 1], [1, 1], [1, 1], [1, 1]), 1,
                        [10, 4, 5], types=("bf16", "bf16", "bf16")).of_weights("w"),
            convolution("bytes", [2, 11, 5, 18], [9, 11, 3, 3], steps([2, 1], [1, 1], [1, 1], [1, 1]), 1,
                        [9, 3, 18], types=("u8", "i8", "i32")).of_weights("w"),
            convolution("signed_bytes", [1, 10, 21], [10, 5, 4], steps([1], [2], [3], [2]), 2, [10, 20],
                        types=("i8", "i8", "i32")).of_weights("w"),
            convolution("of_one_dimension", [1, 5, 40], [2, 5, 4], steps([1], [3], [4], [4]), 1, [2, 39]),
            convolution("transposed", [1, 4, 5, 6], [4, 3, 3, 3], steps([2, 2], [1, 1], [1, 1], [0, 1]), 1, [3, 10, 11],
                        True),
        ],
        "window": [maximum_of_windows("maximum", [3, 9, 21], [3, 2], steps([2, 1], [1, 2], [1, 1], [1, 1]), [5, 21])],
        "pad": [padded("both_sides", [3, 4, 5], [1, 0, 2], [0, 2, 1])],
        "line": [running_sum("running_sum", 5, 23), first_largest("first_largest", 4, 61)],
        "recurrent": [recurrent("rnn", "rnn", 4, 3, 5, [4, 2, 3]), recurrent("lstm", "lstm", 3, 2, 6, [3, 2])],
        "scatter": [added_rows("added_rows", 7, 6, [3, -1, 3, 0, 3])],
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
