"""The row operators of language models, in bfloat16: modules as PyTorch users write them, their inputs, their files."""

import copy
import math
from dataclasses import dataclass

import torch
from torch.nn import functional

BF16 = torch.bfloat16
HEAD = 128  # of rotary embedding: x is [tokens, width / HEAD, HEAD]
EPSILON = 1e-6


def _weight(width, mean, seed):
    """The same values wherever they are drawn: in the file, and in the module that it is compared with."""
    drawn = torch.randn(width, generator=torch.Generator().manual_seed(seed))
    return torch.nn.Parameter((mean + 0.1 * drawn).to(BF16), requires_grad=False)


class _RmsNorm(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = _weight(width, 1, 1)

    def forward(self, x):
        return functional.rms_norm(x, self.weight.shape, self.weight, EPSILON)


class _AddRmsNorm(_RmsNorm):
    """Both are read on: the sum by the next residual connection, the normed one by the next product."""

    def forward(self, x, residual):
        total = x + residual
        return total, super().forward(total)


class _LayerNorm(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight, self.bias = _weight(width, 1, 1), _weight(width, 0, 2)

    def forward(self, x):
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, EPSILON)


class _Softmax(torch.nn.Module):
    def forward(self, x):
        return torch.softmax(x, -1)


class _SwiGlu(torch.nn.Module):
    def forward(self, gate, up):
        return functional.silu(gate) * up


class _Gelu(torch.nn.Module):
    def forward(self, x):
        return functional.gelu(x)


class _Rotary(torch.nn.Module):
    def forward(self, x, cos, sin):
        low, high = x[..., :HEAD // 2], x[..., HEAD // 2:]
        return x * cos + torch.cat((-high, low), -1) * sin


# Name: its module for a width, and how many inputs of tokens x width it has.
OPERATORS = {
    "rmsnorm": (_RmsNorm, 1),
    "add_rmsnorm": (_AddRmsNorm, 2),
    "layernorm": (_LayerNorm, 1),
    "softmax": (lambda width: _Softmax(), 1),
    "swiglu": (lambda width: _SwiGlu(), 2),
    "gelu": (lambda width: _Gelu(), 1),
    "rotary": (lambda width: _Rotary(), 1),
}


@dataclass(frozen=True)
class Case:
    operator: str
    tokens: int
    width: int

    @property
    def key(self):
        return f"{self.operator}/{self.tokens}x{self.width}"

    def module(self):
        return OPERATORS[self.operator][0](self.width).eval()

    def call_bytes(self):
        """Of its large tensors: as many outputs as a module of the operator has, and its inputs."""
        outputs = 2 if self.operator == "add_rmsnorm" else 1
        return (OPERATORS[self.operator][1] + outputs) * self.tokens * self.width * 2

    def inputs(self, device, seed):
        random = torch.Generator(device).manual_seed(seed)
        if self.operator != "rotary":
            return [torch.randn(self.tokens, self.width, generator=random, device=device).to(BF16)
                    for _ in range(OPERATORS[self.operator][1])]
        x = torch.randn(self.tokens, self.width // HEAD, HEAD, generator=random, device=device)
        position = torch.arange(self.tokens, device=device, dtype=torch.float64)
        steps = torch.arange(HEAD // 2, device=device, dtype=torch.float64)
        angle = position[:, None] * torch.exp(-math.log(10000) / (HEAD // 2) * steps)
        angle = torch.cat((angle, angle), -1)[:, None]
        return [x.to(BF16), angle.cos().to(BF16), angle.sin().to(BF16)]

    def write(self, folder, leave_open=True):
        """The ONNX file, and the extents of the dimensions that it leaves open: tokens, which nothing else hangs on, so
        that a few are traced for many."""
        import export
        traced = Case(self.operator, 2, self.width) if leave_open else self
        inputs = traced.inputs("cpu", 1)
        file = folder / f"{self.key.replace('/', '-')}.onnx"
        export.export(traced.module(), inputs, file, leave_open)
        return file, {name: self.tokens for name in export.dimensions(inputs)} if leave_open else {}


def cases(operators, tokens, widths):
    """Width by width, so that a run that was stopped has all of its first ones."""
    return [Case(o, t, w) for w in widths for t in tokens for o in operators]


def exports(operators, tokens, widths):
    """{key: write} of each case, for tests/kernelbench/ahead.py."""
    def writer(case):
        return lambda folder: (*case.write(folder), "exporter, open")
    return {case.key: writer(case) for case in cases(operators, tokens, widths)}


def listed(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def errors(case, subjects, inputs, rows=512):
    """{name: [per output, the norm of its difference from double precision over the norm of that]}; `subjects`: {name:
    outputs}. The same bfloat16 inputs, in double precision from there on, `rows` tokens at a time."""
    exact = copy.deepcopy(case.module()).to(inputs[0].device).double()
    count = len(next(iter(subjects.values())))
    off, norm = {name: [0.0] * count for name in subjects}, [0.0] * count
    for begin in range(0, case.tokens, rows):
        part = slice(begin, begin + rows)
        for i, want in enumerate(listed(exact(*(x[part].double() for x in inputs)))):
            norm[i] += want.square().sum().item()
            for name, outputs in subjects.items():
                off[name][i] += (outputs[i][part].double() - want).square().sum().item()
    return {name: [math.sqrt(a / b) for a, b in zip(of, norm)] for name, of in off.items()}
