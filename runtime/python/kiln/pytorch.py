"""Releases as PyTorch operators: tensors in, tensors out, no copies; on a GPU on the caller's stream.

    import kiln.pytorch
    fast = kiln.pytorch.load("/var/lib/kiln/releases/encoder/current")   # an Operator, for a CPU or for a GPU
    y = fast(x)                                                           # tensors of the shapes it was tuned for

    model.encoder = kiln.pytorch.DropIn(model.encoder, fast)              # falls back for other shapes, once loudly

Each operator is registered with torch.library, with the shapes of its outputs, so torch.compile keeps it as one node of
its graph and does not break the graph on it. On a GPU a call puts the plan's launches on the current stream and
returns; it allocates only its outputs, so a CUDA graph may record it. On a CPU it returns when they are there.
"""

import ctypes
import itertools
import threading
import warnings
import weakref

import torch

from . import KilnError, _check, _Release, _target

# In the order of kiln_dtype.
_DTYPES = [getattr(torch, name, None) for name in (
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16",
    "uint8", "bool")]
_ALIGNMENT = 16  # bytes, which kiln_enqueue() asks of every buffer
_numbers = itertools.count()


def prepare_device():
    """Makes PyTorch's context of its current device current on this thread: libkiln loads into the caller's context."""
    if not torch.cuda.is_available():
        raise KilnError("device", "cannot load a release for a GPU: PyTorch finds no CUDA device")
    torch.cuda.init()
    torch.empty(1, device="cuda")


def load(path, threads=0, verify=True):
    """Opens the release directory `path` as an Operator. threads=0: of a CPU, as many as it was tuned for."""
    if _target(path) == "cpu":
        return Operator(_Release(path, threads, verify), torch.device("cpu"))
    prepare_device()
    return Operator(_Release(path, threads, verify), torch.device("cuda", torch.cuda.current_device()))


def _raw_stream(index):
    return torch.cuda.current_stream(index).cuda_stream


# The same in a tenth of the time, in every PyTorch since 1.13; the code that torch.compile writes calls it too.
_raw_stream = getattr(torch._C, "_cuda_getCurrentRawStream", _raw_stream)


def _copied(tensor):
    return tensor.clone(memory_format=torch.contiguous_format)


def _described(value):
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    return f"{value.dtype}{list(value.shape)} on {value.device}"


class Operator:
    """A release that can be called with tensors of `device`. `inputs` and `outputs` describe its tensors."""

    def __init__(self, release, device):
        self._release = release
        self._library = release.library
        self._session = ctypes.c_void_p()
        self._busy = threading.Lock()
        self.device = device
        self.inputs = release.tensors(self._library.kiln_input_count, self._library.kiln_input_info)
        self.outputs = release.tensors(self._library.kiln_output_count, self._library.kiln_output_info)
        for tensor in self.inputs + self.outputs:
            if _DTYPES[tensor.code] is None:
                raise KilnError("target", f"cannot run {tensor}: this PyTorch has no such type")
        _check(self._library.kiln_session_create(release.handle, ctypes.byref(self._session)))
        # What a call needs is made once: it takes a few microseconds, as much as a small kernel.
        self._taken = [(torch.Size(t.shape), _DTYPES[t.code]) for t in self.inputs]
        self._given = [(torch.Size(t.shape), _DTYPES[t.code]) for t in self.outputs]
        self._pointers = [(ctypes.c_void_p * max(1, len(a)))() for a in (self.inputs, self.outputs)]  # while _busy
        self._operation = self._register()

    def __del__(self):
        if getattr(self, "_session", None):
            self._library.kiln_session_destroy(self._session)

    @property
    def id(self):
        """SHA-256 of the release's manifest."""
        return self._library.kiln_release_id(self._release.handle).decode()

    def covers(self, *tensors):
        """Whether the release was tuned for tensors like these."""
        if len(tensors) != len(self._taken):
            return False
        for given, (shape, dtype) in zip(tensors, self._taken):
            if not (isinstance(given, torch.Tensor) and given.dtype is dtype and given.shape == shape
                    and given.device == self.device):
                return False
        return True

    def __call__(self, *tensors):
        """One tensor, or a tuple of them in the order of `outputs`. KilnError("argument") for other shapes or types."""
        if not self.covers(*tensors):
            given = ", ".join(map(_described, tensors))
            raise KilnError("argument", f"cannot run ({given}): the release takes {self.inputs} on {self.device}")
        # The dispatcher costs some 20 us a call; what it is for is torch.compile.
        results = self._operation(list(tensors)) if torch.compiler.is_compiling() else self._run(tensors)
        return results[0] if len(results) == 1 else tuple(results)

    def _empty_outputs(self):
        return [torch.empty(shape, dtype=dtype, device=self.device) for shape, dtype in self._given]

    def _register(self):
        """As torch.ops.kiln.release_<n>: `Tensor[] -> Tensor[]`, whose shapes torch.compile can ask for."""
        name = f"release_{next(_numbers)}"
        itself = weakref.ref(self)  # PyTorch keeps what is registered for good; the release goes with its Operator

        @torch.library.custom_op(f"kiln::{name}", mutates_args=())
        def run(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
            operator = itself()
            if operator is None or not operator.covers(*tensors):  # a graph that was compiled for others
                raise KilnError("argument", f"cannot run kiln::{name}: the release takes "
                                + (str(operator.inputs) if operator else "nothing any more: it was closed"))
            return operator._run(tensors)

        run.register_fake(lambda tensors: itself()._empty_outputs())
        return getattr(torch.ops.kiln, name)

    def _run(self, tensors):
        # A view is copied, since the plan reads dense memory; what was dense stays where it is. As for any operator of
        # PyTorch, a tensor that another stream allocated is the caller's to record.
        dense = [t if t.is_contiguous() and t.data_ptr() % _ALIGNMENT == 0 else _copied(t) for t in tensors]
        outputs = self._empty_outputs()
        with self._busy:
            of_inputs, of_outputs = self._pointers
            for i, t in enumerate(dense):
                of_inputs[i] = t.data_ptr()
            for i, t in enumerate(outputs):
                of_outputs[i] = t.data_ptr()
            if self.device.type == "cpu":
                status = self._library.kiln_run(self._session, of_inputs, of_outputs)
            else:
                stream = _raw_stream(self.device.index)
                status = self._library.kiln_enqueue(self._session, of_inputs, of_outputs, stream)
            _check(status)
        return outputs


class DropIn(torch.nn.Module):
    """`module`, run by `operator` wherever that covers the arguments and by itself elsewhere, and while autograd
    records, since gradients are the module's own. `hits` and `misses` count the calls that no compiled graph makes; the
    first miss of each shape warns."""

    def __init__(self, module, operator):
        super().__init__()
        self.module = module
        self.operator = operator
        self.hits = 0
        self.misses = 0
        self._warned = set()

    def forward(self, *tensors):
        counts = not torch.compiler.is_compiling()  # torch.compile compiles anew where a counter has another value
        if not torch.is_grad_enabled() and self.operator.covers(*tensors):
            if counts:
                self.hits += 1
            return self.operator(*tensors)
        if counts:
            self.misses += 1
        self._warn(tuple(tuple(t.shape) if isinstance(t, torch.Tensor) else type(t).__name__ for t in tensors))
        return self.module(*tensors)

    @torch.compiler.assume_constant_result  # while torch.compile traces it warns then, and breaks no graph
    def _warn(self, shapes):
        if shapes in self._warned:
            return
        self._warned.add(shapes)
        why = "autograd is recording" if torch.is_grad_enabled() else f"the release takes {self.operator.inputs}"
        warnings.warn(f"kiln: fell back to the original module for {shapes}: {why}", stacklevel=3)
