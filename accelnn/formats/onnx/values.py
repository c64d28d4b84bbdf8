"""What the importer knows of a value: numbers (a numpy array), or a traced Tensor.

Exporters compute shapes with the ops of the network: Shape, Gather, Mul, Concat, Reshape. Here those run at once, on numpy arrays, and nothing of them
reaches the graph. An array of objects holds sizes of named dimensions beside integers: the same functions work on both, since a Size adds and
multiplies as an integer does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ...core.dims import Size

Numbers = np.ndarray


def numbers(x: Any) -> Numbers | None:
    """The array, where the value is known."""
    return x if isinstance(x, np.ndarray) else None


def vector(sizes: Iterable[Any]) -> Numbers:
    """int64[n], or objects where a size is not known yet."""
    return settled(_objects(list(sizes)))


def _objects(sizes: list[Any]) -> Numbers:
    found = np.empty(len(sizes), object)
    found[:] = sizes
    return found


def settled(x: Any) -> Numbers:
    """Arrays of objects without a Size become int64 or bool."""
    x = np.asarray(x)
    if x.dtype != object:
        return x
    flat = x.ravel().tolist()
    if any(isinstance(s, Size) for s in flat):
        return x
    return np.asarray(flat, bool if flat and all(isinstance(s, (bool, np.bool_)) for s in flat) else np.int64).reshape(x.shape)


def symbolic(x: Numbers) -> bool:
    return x.dtype == object and any(isinstance(s, Size) for s in x.ravel().tolist())


def quotient(a: Numbers, b: Numbers) -> Numbers:
    """ONNX Div: integers towards zero."""
    if a.dtype == object or b.dtype == object:
        return a // b
    if a.dtype.kind in "iu":
        if not np.all(b):
            raise ZeroDivisionError("an integer is divided by zero")
        return (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)
    return a / b


def remainder(a: Numbers, b: Numbers) -> Numbers:
    return a % b if a.dtype == object or b.dtype == object else np.mod(a, b)


def power(a: Numbers, b: Numbers) -> Numbers:
    return np.power(a.astype(np.float64), b).astype(a.dtype)


# Elementwise functions of known numbers. Comparisons of sizes that are not known are not here: their answer would hold for the example only.
EXACT: dict[str, Callable[..., Any]] = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": quotient, "Neg": np.negative, "Mod": remainder, "Equal": np.equal,
}  # fmt: skip
PLAIN: dict[str, Callable[..., Any]] = {
    **EXACT, "Abs": np.abs, "Floor": np.floor, "Ceil": np.ceil, "Round": np.rint, "Sqrt": np.sqrt, "Exp": np.exp, "Log": np.log, "Pow": power,
    "Less": np.less, "LessOrEqual": np.less_equal, "Greater": np.greater, "GreaterOrEqual": np.greater_equal,
    "And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor, "Not": np.logical_not, "Sign": np.sign, "Reciprocal": np.reciprocal,
    "BitwiseAnd": np.bitwise_and, "BitwiseOr": np.bitwise_or, "BitwiseXor": np.bitwise_xor, "BitwiseNot": np.invert,
    "Sin": np.sin, "Cos": np.cos, "IsNaN": np.isnan,
}  # fmt: skip
