"""A golden case: a graph, values that are the same in every run, and how both are written.

Expected values come from Python's exact fractions and its math module in double precision, and share no code with Kiln.
Inputs are exact in float32. Sums are exact (fractions) before the one rounding to double.
"""
import json
import math
import random
import struct
import textwrap
from fractions import Fraction

PYTHON = "Python: exact fractions, and math in double precision"
ROUNDED = 1e-12  # of results that are not exact: some roundings of a double of about one


def f32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def bits(value):
    return struct.pack(">d", value).hex()


def product(shape):
    return math.prod(shape)


def exact_sum(values):
    return float(sum(map(Fraction, values), Fraction(0)))


class Draw:
    """Values of a case, the same in every run."""

    def __init__(self, name):
        self.random = random.Random(name)

    def normal(self, shape):
        return [f32(self.random.gauss(0, 1)) for _ in range(product(shape))]

    def integers(self, shape):
        return [float(self.random.randint(-8, 8)) for _ in range(product(shape))]


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


def rows(values, length):
    return [values[i:i + length] for i in range(0, len(values), length)]
