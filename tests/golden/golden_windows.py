"""Golden sets of what looks at neighbours of a place: window, pad."""
import itertools

from golden_case import PYTHON, Case, Draw, Graph


def steps(strides, dilations, before, after):
    return {"strides": strides, "dilations": dilations, "before": before, "after": after}


def places(extents):
    return itertools.product(*(range(extent) for extent in extents))


def flat(index, shape):
    at = 0
    for i, extent in zip(index, shape):
        at = at * extent + i
    return at


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


SETS = {
    "window": [maximum_of_windows("maximum", [3, 9, 21], [3, 2], steps([2, 1], [1, 2], [1, 1], [1, 1]), [5, 21])],
    "pad": [padded("both_sides", [3, 4, 5], [1, 0, 2], [0, 2, 1])],
}
