"""The problems of a KernelBench checkout, and what is known of them before anything is run."""

import pathlib
import re
from dataclasses import dataclass

# By what a problem is led by, its first costly operator: levels 1 and 2 of ScalingIntelligence/KernelBench at 423217d.
_LEVEL_1 = {
    "elementwise": [5, 12, *range(19, 23), *range(25, 33), 88],
    "softmax": [23, 24],
    "norm": range(33, 41),
    "pooling": range(41, 47),
    "reduction": [47, 48, 49, 51, 52, 53],
    "scan": range(89, 94),
    "loss": [94, 95, 96, 98, 99, 100],
    "attention": [97],
    "convolution": [50, *range(54, 88)],
}
_LEVEL_2_PRODUCTS = [9, 12, 14, 18, 22, 28, 29, 30, 33, 37, 39, 40, 41, 45, 51, 53, 55, 56, 59, 62, 63, 64, 66, 68, 70,
                     75, 76, 80, 81, 84, 86, 88, 94, 95, 97, 98, 99]
# Outputs that are constant for every input, or a main operator that collapses exactly to something far cheaper.
_DEGENERATE = {1: {12, 14, 15}, 2: {13, 14, 18, 23, 42, 44, 50, 51, 65, 72, 80, 83}}


@dataclass(frozen=True)
class Problem:
    level: int
    number: int
    name: str
    path: pathlib.Path

    @property
    def key(self):
        return f"{self.level}/{self.number}"

    @property
    def kind(self):
        if self.level == 1:
            return next((kind for kind, numbers in _LEVEL_1.items() if self.number in numbers), "matmul")
        return "matmul chain" if self.number in _LEVEL_2_PRODUCTS else "convolution chain"

    @property
    def memory_bound(self):
        """Led by none of matmul, convolution and attention."""
        return self.kind in ("elementwise", "softmax", "norm", "pooling", "reduction", "scan", "loss")

    @property
    def degenerate(self):
        return self.number in _DEGENERATE.get(self.level, ())


def find(checkout, levels):
    """The problems of `levels` in order. FileNotFoundError when `checkout` is no KernelBench."""
    out = []
    for level in levels:
        folder = pathlib.Path(checkout) / "KernelBench" / f"level{level}"
        files = [(re.fullmatch(r"(\d+)_(.+)\.py", f.name), f) for f in folder.iterdir()]
        out += sorted((Problem(level, int(m[1]), m[2].rstrip("_"), f) for m, f in files if m), key=lambda p: p.number)
    return out


def selected(problems, text):
    """The keys of those that `text` names: "1/23", or from one to another of a level, "2/52..2/64", apart by commas.
    ValueError for what names none of `problems`."""
    out = set()
    for word in filter(None, text.split(",")):
        match = re.fullmatch(r"(\d+)/(\d+)(?:\.\.(\d+)/(\d+))?", word)
        level, first, last_level, last = (int(part) if part else None for part in match.groups()) if match else (0,) * 4
        named = {p.key for p in problems if p.level == level and last_level in (None, level)
                 and first <= p.number <= (last or first)}
        if not named:
            raise ValueError(f"'{word}' names none of the problems")
        out |= named
    return out


def inputs_of(problem):
    """The inputs as the module makes them, on PyTorch's current device."""
    module = {"__name__": f"kernelbench_{problem.level}_{problem.number}"}
    exec(compile(problem.path.read_text(), str(problem.path), "exec"), module)
    return module["get_inputs"]()


class Loaded:
    """A problem's module, run: `model` in the mode that the benchmark leaves it in, and fresh inputs on demand."""

    def __init__(self, problem, device, batch_divisor=1):
        import torch
        self._torch, self._device = torch, device
        self._module = {"__name__": f"kernelbench_{problem.level}_{problem.number}"}
        exec(compile(problem.path.read_text(), str(problem.path), "exec"), self._module)
        self.changed = self._divide(batch_divisor)
        torch.manual_seed(42)
        with torch.device("cpu"):
            self.model = self._module["Model"](*self._module["get_init_inputs"]()).to(device)

    def _divide(self, divisor):
        """Smaller sizes, where asked for: the first of these names that the module has is divided. What changed."""
        for name in ("batch_size", "M"):
            size = self._module.get(name)
            if divisor > 1 and isinstance(size, int) and size >= divisor:
                self._module[name] = size // divisor
                return {name: [size, size // divisor]}
        return {}

    def inputs(self, seed):
        """Numbers stay numbers; tensors are on the device."""
        torch = self._torch
        torch.manual_seed(seed)
        with torch.device(self._device):  # made where they are used: a benchmark's inputs are many gigabytes
            given = self._module["get_inputs"]()
        return [x.to(self._device) if isinstance(x, torch.Tensor) else x for x in given]
