#!/usr/bin/env python3
"""Runs a release once on normal inputs through libkiln's C ABI (runtime/kiln.h) and checks that its outputs are finite.

Usage: run_release.py RELEASE_DIRECTORY; KILN_LIBRARY names libkiln.so.
"""
import ctypes
import os
import sys

import numpy

DTYPES = ["float64", "float32", "float16", None, "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16",
          "uint8", "bool"]


class TensorInfo(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("dtype", ctypes.c_int), ("rank", ctypes.c_int32),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("bytes", ctypes.c_int64)]


def load():
    library = ctypes.CDLL(os.environ.get("KILN_LIBRARY", "libkiln.so.0"))
    library.kiln_last_error.restype = ctypes.c_char_p
    library.kiln_open.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)]
    library.kiln_close.argtypes = [ctypes.c_void_p]
    for side in ("input", "output"):
        getattr(library, f"kiln_{side}_count").argtypes = [ctypes.c_void_p]
        getattr(library, f"kiln_{side}_info").argtypes = [ctypes.c_void_p, ctypes.c_int32, ctypes.POINTER(TensorInfo)]
    library.kiln_session_create.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)]
    library.kiln_session_destroy.argtypes = [ctypes.c_void_p]
    library.kiln_run.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_void_p)]
    return library


def check(library, status, what):
    if status != 0:
        sys.exit(f"cannot {what}: {library.kiln_last_error().decode()}")


def arrays(library, release, side, rng):
    """One array per input (random) or output (NaN, so that what is not written shows)."""
    out = []
    for index in range(getattr(library, f"kiln_{side}_count")(release)):
        info = TensorInfo()
        check(library, getattr(library, f"kiln_{side}_info")(release, index, ctypes.byref(info)),
              f"describe {side} {index}")
        shape = tuple(info.shape[i] for i in range(info.rank))
        dtype = DTYPES[info.dtype]
        if dtype is None:
            sys.exit(f"cannot make {side} '{info.name.decode()}': NumPy has no bfloat16")
        if not dtype.startswith("float"):
            array = numpy.zeros(shape, dtype)
        elif side == "input":
            array = rng.standard_normal(shape).astype(dtype)
        else:
            array = numpy.full(shape, numpy.nan, dtype)
        if array.nbytes != info.bytes:
            sys.exit(f"cannot use {side} '{info.name.decode()}': {array.nbytes} bytes by its shape, "
                     f"{info.bytes} by the release")
        print(f"{side} {info.name.decode()} {dtype} {list(shape)}")
        out.append(array)
    return out


def pointers(tensors):
    return (ctypes.c_void_p * len(tensors))(*[tensor.ctypes.data for tensor in tensors])


def main(directory):
    library = load()
    release, session = ctypes.c_void_p(), ctypes.c_void_p()
    check(library, library.kiln_open(os.fsencode(directory), None, ctypes.byref(release)),
          f"open release '{directory}'")
    rng = numpy.random.default_rng(1)
    inputs = arrays(library, release, "input", rng)
    outputs = arrays(library, release, "output", rng)
    check(library, library.kiln_session_create(release, ctypes.byref(session)), "make a session")
    check(library, library.kiln_run(session, pointers(inputs), pointers(outputs)), "run the release")
    library.kiln_session_destroy(session)
    library.kiln_close(release)
    for index, output in enumerate(outputs):
        if not numpy.isfinite(output.astype("float64")).all():
            sys.exit(f"cannot accept output {index}: it is not finite everywhere")
    print(f"{len(outputs)} outputs, all finite")


if __name__ == "__main__":
    main(*sys.argv[1:])
