"""Exact elementwise arithmetic of integers and bools (kernels/integer/integer.h). Floats have programs of `pointwise`: ops/elementwise.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dims import product
from ..core.dtypes import DType
from ..core.errors import AttributeValueError, DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply
from .elementwise import broadcast

INTEGERS = (DType.int8, DType.uint8, DType.int32, DType.int64)
KINDS = ("add", "sub", "mul", "div", "mod", "fmod", "pow", "max", "min", "and", "or", "xor", "shift_left", "shift_right", "eq", "ne", "lt", "le", "gt", "ge",
         "neg", "abs", "sign", "not", "select")  # fmt: skip
UNARY, COMPARISONS = ("neg", "abs", "sign", "not"), ("eq", "ne", "lt", "le", "gt", "ge")
OF_BOOL = ("max", "min", "and", "or", "xor", "not", "select", *COMPARISONS)


def _shape(*inputs: Spec, kind: int) -> Spec:
    if not 0 <= kind < len(KINDS):
        raise AttributeValueError(f"integer: kind {kind}")
    name, a = KINDS[kind], inputs[0]
    if len(inputs) != (1 if name in UNARY else 3 if name == "select" else 2):
        raise ShapeError(f"{name}: {len(inputs)} operands")
    if a.dtype not in INTEGERS and not (a.dtype == DType.bool and name in OF_BOOL):
        raise DTypeError(f"{name}: {a.dtype.name} is no type of integers with this operation")
    if any(x.dtype != (DType.bool if i == 2 else a.dtype) for i, x in enumerate(inputs)):
        raise DTypeError(f"{name}: operands of {', '.join(x.dtype.name for x in inputs)}; integers are combined with their own type only, use .to()")
    if any(x.shape != a.shape for x in inputs):
        raise ShapeError(f"{name}: {', '.join(map(repr, inputs))} are not of one shape")
    return Spec(a.shape, DType.bool if name in COMPARISONS else a.dtype)


def _quotient(a: Any, b: Any) -> Any:
    wide = [np.asarray(x).astype(object) for x in np.broadcast_arrays(a, b)]
    return np.frompyfunc(lambda p, q: 0 if q == 0 else abs(p) // abs(q) * (1 if (p < 0) == (q < 0) else -1), 2, 1)(*wide)


def _power(p: int, q: int) -> int:
    return (p**q if q >= 0 else p if p in (1, -1) and q % 2 else 1 if p in (1, -1) else 0) & (2**64 - 1)


_EXACT: dict[str, Any] = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": _quotient,
    "mod": lambda a, b: np.frompyfunc(lambda p, q: 0 if q == 0 else p % q, 2, 1)(a, b),
    "fmod": lambda a, b: np.where(b == 0, 0, a - _quotient(a, b) * b), "pow": lambda a, b: np.frompyfunc(_power, 2, 1)(a, b),
    "max": np.maximum, "min": np.minimum,
    "and": lambda a, b: np.frompyfunc(lambda p, q: p & q, 2, 1)(a, b), "or": lambda a, b: np.frompyfunc(lambda p, q: p | q, 2, 1)(a, b),
    "xor": lambda a, b: np.frompyfunc(lambda p, q: p ^ q, 2, 1)(a, b), "neg": lambda a: -a, "abs": np.abs,
    "sign": lambda a: np.frompyfunc(lambda p: (p > 0) - (p < 0), 1, 1)(a), "not": lambda a: np.frompyfunc(lambda p: ~p, 1, 1)(a),
}  # fmt: skip


def _reference(*arrays: Any, kind: int) -> Any:
    """With Python's integers, brought back to the dtype's bits."""
    name, a = KINDS[kind], np.asarray(arrays[0])
    if name == "select":
        return np.where(arrays[2], a, arrays[1])
    if name in COMPARISONS:
        return {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal}[name](*arrays)
    if a.dtype == np.bool_:
        return {"max": np.logical_or, "min": np.logical_and, "and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor, "not": np.logical_not}[
            name](*arrays)  # fmt: skip
    bits = 8 * a.dtype.itemsize
    if name.startswith("shift"):
        left = name == "shift_left"

        def shifted(p: int, by: int) -> int:
            return (0 if left or p >= 0 else -1) if not 0 <= by < bits else p << by if left else p >> by

        exact = np.frompyfunc(shifted, 2, 1)(*(np.asarray(x).astype(object) for x in arrays))
    else:
        exact = _EXACT[name](*(np.asarray(x).astype(object) for x in arrays))
    low = np.asarray(np.frompyfunc(lambda p: int(p) & (2**bits - 1), 1, 1)(exact)).astype(np.uint64)
    return low.astype(f"u{a.dtype.itemsize}").view(a.dtype).reshape(np.shape(exact))


def _samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for kind, name in enumerate(KINDS):
        for i, dtype in enumerate((np.int8, np.uint8, np.int32, np.int64, np.bool_)):
            if dtype == np.bool_ and name not in OF_BOOL:
                continue
            shape = ((3, 5), (1500,), (2, 4, 3), (0, 3), ())[(kind + i) % 5]
            low, high = (0, 2) if dtype == np.bool_ else (np.iinfo(dtype).min, np.iinfo(dtype).max)
            a, b = (rng.integers(low, high, shape, dtype if dtype != np.bool_ else np.int64, endpoint=dtype != np.bool_) for _ in range(2))
            a, b = (np.asarray(x).astype(dtype) for x in (a, b))
            if dtype != np.bool_:
                a, b = np.where(rng.random(shape) < 0.5, a % 7, a).astype(dtype), np.where(rng.random(shape) < 0.7, b % 9, b).astype(dtype)
            arrays = (a, b, np.asarray(rng.random(shape) < 0.5))[: 1 if name in UNARY else 3 if name == "select" else 2]
            found.append((arrays, {"kind": kind}))
    return found


def _cost(*x: Spec, kind: int) -> tuple[Any, Any]:
    n: Any = product(x[0].shape)
    return n, (len(x) + 1) * x[0].dtype.itemsize * n


integer_op = Op("integer", _shape, _reference, strided=True, samples=_samples,
                cost=_cost)  # fmt: skip


def integer(kind: str, *operands: Tensor) -> Tensor:
    """Elementwise arithmetic of integer (some: bool) tensors of one dtype, by name: add, sub, mul, div (towards zero), mod (sign of the divisor), fmod
    (of the dividend), pow, max, min, and, or, xor, not, shift_left, shift_right, eq, ne, lt, le, gt, ge, neg, abs, sign, select(a, b, condition).
    Modulo 2^bits; x / 0 is 0."""
    if kind not in KINDS:
        raise AttributeValueError(f"integer: kind {kind!r}; there are {', '.join(KINDS)}")
    shape = broadcast(kind, *(x.shape for x in operands))
    return apply("integer", *(x if x.shape == shape else x.expand(*shape) for x in operands), kind=KINDS.index(kind))


def operator(name: str, a: Tensor, b: Tensor) -> Tensor:
    """A Python operator of which an operand is int32 or int64: exact between integers, in the wider of their types; float32 beside floats and for /."""
    if name == "div" or a.dtype.is_float or b.dtype.is_float:
        return apply(name, *(x if x.dtype.is_float else x.float() for x in (a, b)))
    common = DType.int64 if DType.int64 in (a.dtype, b.dtype) else DType.int32
    return integer(name, a.to(common), b.to(common))


__all__ = ["integer"]
