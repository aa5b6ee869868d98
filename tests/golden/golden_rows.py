"""Golden sets of what goes along rows: row, attention, line, recurrent."""
import itertools
import math
from fractions import Fraction

from golden_case import PYTHON, ROUNDED, Case, Draw, Expr, Graph, bits, exact_sum, f32, rows


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


SETS = {
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
    "line": [running_sum("running_sum", 5, 23), first_largest("first_largest", 4, 61)],
    "recurrent": [recurrent("rnn", "rnn", 4, 3, 5, [4, 2, 3]), recurrent("lstm", "lstm", 3, 2, 6, [3, 2])],
}
