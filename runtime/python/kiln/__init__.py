"""Runs Kiln releases from Python: arrays in, arrays out.

    import kiln
    model = kiln.load("/var/lib/kiln/releases/minilm/current")
    (hidden,) = model(input_ids, attention_mask)
    outputs = model.run(input_ids=ids, attention_mask=mask)   # {"name": array}

A release for a GPU is called with PyTorch's tensors instead, as one for a CPU can be (kiln.pytorch.load). A loaded
model runs one call at a time; load it again, or call session() on it, for another thread. Errors are KilnError, whose
`status` is one of the names that kiln_status_name() gives: "argument", "io", "format", "digest", "target", "load",
"memory", "device". "target" means: made for another CPU or GPU, use what you ran before.
"""

import ctypes
import json
import os
import pathlib
import threading

import numpy

__all__ = ["KilnError", "Model", "load", "version"]

# In the order of kiln_dtype. NumPy has no bfloat16: such tensors are their 16-bit patterns.
_DTYPES = ["float64", "float32", "float16", "uint16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16",
           "uint8", "bool"]


class KilnError(RuntimeError):
    """A call of libkiln that failed, or arguments that do not fit the model."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class _TensorInfo(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("dtype", ctypes.c_int), ("rank", ctypes.c_int32),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("bytes", ctypes.c_int64)]


class _Options(ctypes.Structure):
    _fields_ = [("threads", ctypes.c_int32), ("verify_digests", ctypes.c_int32),
                ("device_constants", ctypes.c_void_p)]


class _Tensor:
    def __init__(self, info):
        self.name = info.name.decode()
        self.code = info.dtype
        self.dtype = numpy.dtype(_DTYPES[info.dtype])
        self.shape = tuple(info.shape[i] for i in range(info.rank))

    def __repr__(self):
        return f"{self.name}: {self.dtype}{list(self.shape)}"


def _declare(library):
    pointer, status, i32 = ctypes.c_void_p, ctypes.c_int, ctypes.c_int32
    table = {
        "kiln_open": (status, [ctypes.c_char_p, ctypes.POINTER(_Options), ctypes.POINTER(pointer)]),
        "kiln_close": (None, [pointer]),
        "kiln_release_id": (ctypes.c_char_p, [pointer]),
        "kiln_target": (ctypes.c_char_p, [pointer]),
        "kiln_enqueue": (status, [pointer, ctypes.POINTER(pointer), ctypes.POINTER(pointer), pointer]),
        "kiln_input_count": (i32, [pointer]),
        "kiln_output_count": (i32, [pointer]),
        "kiln_input_info": (status, [pointer, i32, ctypes.POINTER(_TensorInfo)]),
        "kiln_output_info": (status, [pointer, i32, ctypes.POINTER(_TensorInfo)]),
        "kiln_session_create": (status, [pointer, ctypes.POINTER(pointer)]),
        "kiln_session_destroy": (None, [pointer]),
        "kiln_session_wake": (status, [pointer]),
        "kiln_run": (status, [pointer, ctypes.POINTER(pointer), ctypes.POINTER(pointer)]),
        "kiln_peak_bytes": (ctypes.c_int64, [pointer]),
        "kiln_status_name": (ctypes.c_char_p, [status]),
        "kiln_last_error": (ctypes.c_char_p, []),
        "kiln_version": (ctypes.c_char_p, []),
    }
    for name, (result, arguments) in table.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _find_library():
    """$KILN_LIBRARY, then beside this package, then wherever the system's loader looks."""
    named = os.environ.get("KILN_LIBRARY")
    if named:
        return ctypes.CDLL(named)
    beside = pathlib.Path(__file__).resolve().parent / "libkiln.so.0"
    if beside.exists():
        return ctypes.CDLL(str(beside))
    return ctypes.CDLL("libkiln.so.0")


_library_lock = threading.Lock()
_library_handle = None


def _library():
    global _library_handle
    with _library_lock:
        if _library_handle is None:
            try:
                _library_handle = _declare(_find_library())
            except OSError as cause:
                raise KilnError("load", f"cannot load libkiln: {cause}; set KILN_LIBRARY to its path") from cause
        return _library_handle


def _check(status):
    if status != 0:
        library = _library()
        raise KilnError(library.kiln_status_name(status).decode(), library.kiln_last_error().decode(errors="replace"))


def version():
    return _library().kiln_version().decode()


class _Release:
    """Owns a kiln_release; the models that share it keep it alive."""

    def __init__(self, path, threads, verify):
        self.library = _library()
        options = _Options(threads, 1 if verify else 0)
        self.handle = ctypes.c_void_p()
        _check(self.library.kiln_open(os.fsencode(path), ctypes.byref(options), ctypes.byref(self.handle)))

    def tensors(self, count, describe):
        out = []
        for index in range(count(self.handle)):
            info = _TensorInfo()
            _check(describe(self.handle, index, ctypes.byref(info)))
            out.append(_Tensor(info))
        return out

    def __del__(self):
        if getattr(self, "handle", None):
            self.library.kiln_close(self.handle)


class Model:
    """A release that can be called. `inputs` and `outputs` describe its tensors."""

    def __init__(self, release):
        self._release = release
        self._library = release.library
        self._session = ctypes.c_void_p()
        self._busy = threading.Lock()
        self.inputs = release.tensors(self._library.kiln_input_count, self._library.kiln_input_info)
        self.outputs = release.tensors(self._library.kiln_output_count, self._library.kiln_output_info)
        _check(self._library.kiln_session_create(release.handle, ctypes.byref(self._session)))

    def __del__(self):
        if getattr(self, "_session", None):
            self._library.kiln_session_destroy(self._session)

    @property
    def id(self):
        """SHA-256 of the release's manifest."""
        return self._library.kiln_release_id(self._release.handle).decode()

    @property
    def peak_bytes(self):
        return self._library.kiln_peak_bytes(self._release.handle)

    def session(self):
        """The same release for another thread: shared weights, its own temporaries."""
        return Model(self._release)

    def wake(self):
        """Wakes this session's threads ahead of a call that is known to come: asleep, they make its first launches
        late."""
        with self._busy:
            _check(self._library.kiln_session_wake(self._session))

    def _bind(self, arrays, named):
        if len(arrays) > len(self.inputs):
            raise KilnError("argument", f"cannot run: {len(arrays)} arrays for {len(self.inputs)} inputs")
        given = {t.name: a for t, a in zip(self.inputs, arrays)}
        for name, array in named.items():
            if name in given:
                raise KilnError("argument", f"cannot run: input '{name}' is given twice")
            given[name] = array
        unknown = set(given) - {t.name for t in self.inputs}
        missing = [t.name for t in self.inputs if t.name not in given]
        if unknown or missing:
            raise KilnError("argument", f"cannot run: missing inputs {missing}, unknown inputs {sorted(unknown)}")
        return [self._fit(t, given[t.name]) for t in self.inputs]

    @staticmethod
    def _fit(tensor, value):
        array = numpy.asarray(value)
        if array.shape != tensor.shape:
            raise KilnError("argument", f"cannot run: input {tensor} is given shape {list(array.shape)}")
        if array.dtype != tensor.dtype:  # a silent conversion would hide a slow or lossy copy on every call
            raise KilnError("argument", f"cannot run: input {tensor} is given {array.dtype}")
        return numpy.require(array, requirements="C")

    def run(self, *arrays, **named):
        """Inputs by position or name; returns {output name: array}."""
        inputs = self._bind(arrays, named)
        outputs = [numpy.empty(t.shape, t.dtype) for t in self.outputs]
        pointers = [(ctypes.c_void_p * max(1, len(a)))(*(x.ctypes.data for x in a)) for a in (inputs, outputs)]
        with self._busy:
            _check(self._library.kiln_run(self._session, *pointers))
        return {t.name: a for t, a in zip(self.outputs, outputs)}

    def __call__(self, *arrays, **named):
        """Like run(), but returns a tuple of arrays in the order of `outputs`."""
        return tuple(self.run(*arrays, **named).values())


def _target(path):
    """What the plan in `path` runs on, before libkiln looks for that device."""
    try:
        plan = json.loads((pathlib.Path(path) / "plan.json").read_text())
    except (OSError, ValueError):
        return "cpu"  # libkiln says what is wrong with the folder
    return plan.get("target", "cpu") if isinstance(plan, dict) else "cpu"


def load(path, threads=0, verify=True):
    """Opens the release directory `path`: a Model, or for a GPU a kiln.pytorch.Operator, called with tensors.
    threads=0: as many as it was tuned for. verify: hash every file first."""
    if _target(path) == "cpu":
        return Model(_Release(path, threads, verify))
    from . import pytorch  # here PyTorch is needed for GPUs alone
    return pytorch.load(path, threads, verify)
