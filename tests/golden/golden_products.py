"""Golden sets of what multiplies and adds: matmul, convolution."""
import itertools
from fractions import Fraction

from golden_case import PYTHON, ROUNDED, Case, Draw, Graph, exact_sum, product
from golden_windows import flat, places, steps


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


SETS = {
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
}
