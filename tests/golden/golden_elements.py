"""Golden sets of single elements, computed or moved: pointwise, gather, concat, scatter."""
import math

from golden_case import PYTHON, ROUNDED, Case, Draw, Expr, Graph


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


def transposed(name, down, across):
    g, x = Graph(), Draw(name).normal([across, down])
    view = g.node("transpose", [g.input("x", [across, down])], "t", [down, across], permutation=[1, 0])
    e = Expr()
    out = g.node("pointwise", [view], "y", [down, across], expr=e.json(e.operand(0)))
    y = [x[a * down + d] for d in range(down) for a in range(across)]
    return Case(name, PYTHON, g, [out], {"x": ([across, down], x), "y": ([down, across], y)})


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


SETS = {
    "pointwise": [
        pointwise("relu_of_sum", [3, 7], lambda e, a, b: e.add("max", e.add("add", a, b), e.constant(0.0)),
                  lambda a, b: max(a + b, 0.0), 2, 0.0, integers=True),
        pointwise("gelu", [5, 13], gelu, lambda x: 0.5 * x * (1 + math.erf(x * math.sqrt(0.5)))),
        pointwise("silu", [67], lambda e, x: e.add("mul", x, e.add("sigmoid", x)),
                  lambda x: x / (1 + math.exp(-x))),
        pointwise("tanh", [33], lambda e, x: e.add("tanh", x), math.tanh),
        transposed("transposed", 9, 21),
    ],
    "gather": [gather("rows", 7, 11, [6, 0, 3, 3, -1, -7])],
    "concat": [concat("two_parts", [3, 4], 9)],
    "scatter": [added_rows("added_rows", 7, 6, [3, -1, 3, 0, 3])],
}
