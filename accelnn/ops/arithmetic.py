"""Elementwise arithmetic in the operands' own type: integers, bool, float64 (kernels/arithmetic/arithmetic.h). Floats of up to 32 bits have programs of
`pointwise`: ops/elementwise.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dims import product
from ..core.dtypes import SELDOM, DType, as_dtype
from ..core.errors import AttributeValueError, DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply
from .elementwise import broadcast

INTEGERS = (DType.int8, DType.uint8, DType.int32, DType.int64, *(d for d in SELDOM if d != DType.float64))
KINDS = ("add", "sub", "mul", "div", "mod", "fmod", "pow", "max", "min", "and", "or", "xor", "shift_left", "shift_right", "eq", "ne", "lt", "le", "gt", "ge",
         "neg", "abs", "sign", "not", "select", "sqrt", "exp", "log", "floor", "ceil", "round")  # fmt: skip
OF_REALS_ALONE = ("sqrt", "exp", "log", "floor", "ceil", "round")
UNARY, COMPARISONS = ("neg", "abs", "sign", "not", *OF_REALS_ALONE), ("eq", "ne", "lt", "le", "gt", "ge")
OF_BOOL = ("max", "min", "and", "or", "xor", "not", "select", *COMPARISONS)
OF_INTEGERS_ALONE = ("pow", "and", "or", "xor", "not", "shift_left", "shift_right")


def has(dtype: DType, name: str) -> bool:
    """Whether the kernel computes this kind of this dtype."""
    if dtype in INTEGERS:
        return name not in OF_REALS_ALONE
    return name not in OF_INTEGERS_ALONE if dtype == DType.float64 else dtype == DType.bool and name in OF_BOOL


def _shape(*inputs: Spec, kind: int) -> Spec:
    if not 0 <= kind < len(KINDS):
        raise AttributeValueError(f"arithmetic: kind {kind}")
    name, a = KINDS[kind], inputs[0]
    if len(inputs) != (1 if name in UNARY else 3 if name == "select" else 2):
        raise ShapeError(f"{name}: {len(inputs)} operands")
    if not has(a.dtype, name):
        raise DTypeError(f"{name}: {a.dtype.name} has no exact arithmetic of this kind")
    if any(x.dtype != (DType.bool if i == 2 else a.dtype) for i, x in enumerate(inputs)):
        raise DTypeError(f"{name}: operands of {', '.join(x.dtype.name for x in inputs)}; they are combined with their own type only, use .to()")
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


_REAL: dict[str, Any] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "mod": np.mod, "fmod": np.fmod, "max": np.maximum, "min": np.minimum,
    "neg": np.negative, "abs": np.abs, "sign": np.sign, "sqrt": np.sqrt, "exp": np.exp, "log": np.log, "floor": np.floor, "ceil": np.ceil, "round": np.rint,
}  # fmt: skip


def _reference(*arrays: Any, kind: int) -> Any:
    """With Python's integers, brought back to the dtype's bits; reals as numpy has them."""
    name, a = KINDS[kind], np.asarray(arrays[0])
    if a.dtype.kind == "f" and name in _REAL:
        with np.errstate(all="ignore"):
            return _REAL[name](*arrays)
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
        pair = (np.int16, np.uint64) if kind % 2 else (np.uint16, np.uint32)      # two of these four a kind: they share their code with the others
        for i, dtype in enumerate((np.int8, np.uint8, np.int32, np.int64, np.bool_, np.float64, *pair)):
            if not has(as_dtype(dtype), name):
                continue
            shape = ((3, 5), (1500,), (2, 4, 3), (0, 3), ())[(kind + i) % 5]
            if dtype == np.float64:
                a, b = rng.normal(size=shape) * 10, rng.integers(-3, 4, shape).astype(dtype)
                a = np.where(rng.random(shape) < 0.2, b, a)
            else:
                low, high = (0, 2) if dtype == np.bool_ else (np.iinfo(dtype).min, np.iinfo(dtype).max)
                a, b = (rng.integers(low, high, shape, dtype if dtype != np.bool_ else np.int64, endpoint=dtype != np.bool_) for _ in range(2))
                a, b = (np.asarray(x).astype(dtype) for x in (a, b))
            if dtype not in (np.bool_, np.float64):
                a, b = np.where(rng.random(shape) < 0.5, a % 7, a).astype(dtype), np.where(rng.random(shape) < 0.7, b % 9, b).astype(dtype)
            if name in ("sqrt", "log"):
                a = np.abs(a) + 1e-3
            if name in ("div", "mod", "fmod") and dtype == np.float64:
                b = b + 0.25
            arrays = (np.asarray(a), np.asarray(b), np.asarray(rng.random(shape) < 0.5))[: 1 if name in UNARY else 3 if name == "select" else 2]
            found.append((arrays, {"kind": kind}))
    return found


def _bound(*arrays: Any, kind: int) -> Any:
    """float64 is rounded correctly; exp and log 4 ulp."""
    y = np.abs(_reference(*arrays, kind=kind).astype(np.float64))
    return y * 2.0**-50 if KINDS[kind] in ("exp", "log") else 0 * y


def _cost(*x: Spec, kind: int) -> tuple[Any, Any]:
    n: Any = product(x[0].shape)
    return n, (len(x) + 1) * x[0].dtype.itemsize * n


arithmetic_op = Op("arithmetic", _shape, _reference, strided=True, samples=_samples, bound=_bound, cost=_cost)


def calculate(kind: str, *operands: Tensor) -> Tensor:
    """Elementwise arithmetic of tensors of one dtype, integers, float64 (some: bool), by name: add, sub, mul, div (of integers: towards zero), mod (sign
    of the divisor), fmod (of the dividend), pow, max, min, and, or, xor, not, shift_left, shift_right, eq, ne, lt, le, gt, ge, neg, abs, sign,
    select(a, b, condition), sqrt, exp, log, floor, ceil, round. Integers: modulo 2^bits; x / 0 is 0."""
    if kind not in KINDS:
        raise AttributeValueError(f"calculate: kind {kind!r}; there are {', '.join(KINDS)}")
    shape = broadcast(kind, *(x.shape for x in operands))
    return apply("arithmetic", *(x if x.shape == shape else x.expand(*shape) for x in operands), kind=KINDS.index(kind))


def operator(name: str, a: Tensor, b: Tensor) -> Tensor:
    """A Python operator of which an operand is an integer of 16 bits or more, or float64: exact, in the type that numpy gives the two; float32 for
    integers beside narrower floats and for their /."""
    if DType.float64 in (a.dtype, b.dtype):
        common = DType.float64
    elif name == "div" or a.dtype.is_float or b.dtype.is_float:
        return apply(name, *(x if x.dtype.is_float else x.float() for x in (a, b)))
    else:
        common = as_dtype(np.promote_types(a.dtype.storage, b.dtype.storage))
    return calculate(name, a.to(common), b.to(common))


__all__ = ["calculate"]
