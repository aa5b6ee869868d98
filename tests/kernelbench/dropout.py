"""Dropout in training mode: what it draws is an input of the plan, drawn as PyTorch draws it, the rest the plan's."""

import contextlib

import torch


class Drawn:
    """What the Dropout modules of a model draw in one call, in the order in which it meets them."""

    def __init__(self, model, inputs):
        self._met = []  # (module, what its input is like)
        drawing = [m for m in model.modules() if isinstance(m, torch.nn.Dropout) and m.training and m.p > 0]
        if not drawing:
            return

        def note(module, given, _result):
            self._met.append((module, {"size": given[0].shape, "dtype": given[0].dtype, "device": given[0].device}))
        hooks = [module.register_forward_hook(note) for module in drawing]
        with torch.no_grad():
            model(*inputs)
        for hook in hooks:
            hook.remove()

    def __len__(self):
        return len(self._met)

    def masks(self):
        """0 or 1 / (1 - p), as PyTorch's Dropout multiplies: the same from the same state of its generator."""
        return [torch.nn.functional.dropout(torch.ones(**like), module.p, training=True) for module, like in self._met]

    @contextlib.contextmanager
    def given(self, masks):
        """Within it the modules multiply by `masks` and draw nothing."""
        left = iter(masks)
        for module, _ in self._met:
            module.forward = lambda x: x * next(left)
        try:
            yield
        finally:
            for module in {module for module, _ in self._met}:
                del module.forward
