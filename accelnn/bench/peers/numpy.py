"""numpy, and the BLAS that it brings."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import empty
from ..works import Inputs
from . import Make, Prepared


def about(threads: int) -> str:
    blas = np.show_config("dicts")["Build Dependencies"]["blas"]
    return f"{np.__version__}, {blas['name']} {blas.get('version', '')}{_openblas(threads)}"


def _openblas(threads: int) -> str:
    """Kernels and threads of the OpenBLAS that is loaded, asked of the library itself."""
    np.dot(np.ones((2, 2)), np.ones((2, 2)))
    with open("/proc/self/maps") as maps:
        path = next((line.split()[-1] for line in maps if "openblas" in os.path.basename(line.split()[-1])), None)
    if path is None:
        return ""
    library = ctypes.CDLL(path)
    for prefix in ("scipy_openblas", "openblas"):
        for suffix in ("64_", ""):
            core = getattr(library, f"{prefix}_get_corename{suffix}", None)
            number = getattr(library, f"{prefix}_get_num_threads{suffix}", None)
            if core and number:
                core.restype = ctypes.c_char_p
                return f" ({core().decode()} kernels), {number()} thread{'s' * (number() != 1)}"
    return ""


def _into(function: Callable[..., Any]) -> Make:
    """f(*inputs, out=)."""
    def make(x: Inputs, threads: int) -> Prepared:
        first = np.asarray(function(*x.arrays))
        arrays, out = x.arrays, empty(first.shape, first.dtype)
        return Prepared(lambda: function(*arrays, out=out), lambda: [out])

    return make


def _reduced(function: Callable[..., Any]) -> Make:
    def make(x: Inputs, threads: int) -> Prepared:
        a, axes, keep = x.arrays[0], tuple(x.attrs["axes"]), bool(x.attrs["keepdim"])
        first = np.asarray(function(a, axis=axes, keepdims=keep))
        out = empty(first.shape, first.dtype)
        return Prepared(lambda: function(a, axis=axes, keepdims=keep, out=out), lambda: [out])

    return make


def _copy(x: Inputs, threads: int) -> Prepared:
    a, out = x.arrays[0], empty(x.arrays[0].shape, x.arrays[0].dtype)
    return Prepared(lambda: np.copyto(out, a), lambda: [out])


WORKS: dict[str, dict[str, Make]] = {
    "matmul": {"np.matmul": _into(np.matmul), "np.dot": _into(np.dot)},
    "matmul_packed": {"np.matmul": _into(np.matmul), "np.dot": _into(np.dot)},
    "copy": {"numpy": _copy},
    **{name: {"numpy": _into(function)} for name, function in (
        ("add", np.add), ("sub", np.subtract), ("mul", np.multiply), ("div", np.divide), ("neg", np.negative), ("abs", np.absolute), ("exp", np.exp),
        ("log", np.log), ("sqrt", np.sqrt), ("tanh", np.tanh), ("maximum", np.maximum), ("minimum", np.minimum), ("pow", np.power))},
    **{name: {"numpy": _reduced(function)} for name, function in (("sum", np.sum), ("mean", np.mean), ("max", np.max), ("min", np.min))},
}  # fmt: skip
