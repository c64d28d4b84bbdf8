"""Integer arithmetic: uint8 activations, int8 weights, int32 sums, and the way back.

out = clamp(zero + rint(float(acc) * scale), 0, 255), halves to even; a float32 output is float(acc) * scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dims import product
from ..core.dtypes import DType
from ..core.errors import DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply
from .conv import CASES, GEOMETRY, conv_shape, correlate

QUANTIZED = {DType.uint8: (0, 255), DType.int8: (-128, 127)}


def _scaled(x: Spec, scale: Spec, zero: Spec | None, axis: int, name: str) -> None:
    if scale.shape not in ((), (x.shape[axis],) if len(x.shape) > axis else ()) or (zero is not None and zero.shape != scale.shape):
        raise ShapeError(f"{name}: one scale and zero point, or one for each index of dimension {axis}, expected; got {scale}, {zero} for {x}")


def _quantize_shape(x: Spec, scale: Spec, zero: Spec, axis: int = 1) -> Spec:
    _scaled(x, scale, zero, axis, "quantize_linear")
    if zero.dtype not in QUANTIZED:
        raise DTypeError(f"quantize_linear: a uint8 or int8 zero point expected, not {zero.dtype.name}")
    return Spec(x.shape, zero.dtype)


def _dequantize_shape(q: Spec, scale: Spec, zero: Spec | None = None, axis: int = 1) -> Spec:
    _scaled(q, scale, zero, axis, "dequantize_linear")
    return Spec(q.shape, DType.float32)


def _along(s: Any, ndim: int, axis: int) -> Any:
    return s if np.ndim(s) == 0 else np.reshape(s, [-1 if i == axis else 1 for i in range(ndim)])


def _quantize_reference(x: Any, scale: Any, zero: Any, axis: int = 1) -> Any:
    low, high = (0, 255) if np.asarray(zero).dtype == np.uint8 else (-128, 127)
    quotient = (np.asarray(x, np.float32) / _along(np.asarray(scale, np.float32), np.ndim(x), axis)).astype(np.float32)
    return np.clip(np.rint(quotient) + _along(zero, np.ndim(x), axis).astype(np.float64), low, high).astype(np.asarray(zero).dtype)


def _dequantize_reference(q: Any, scale: Any, zero: Any = None, axis: int = 1) -> Any:
    shifted = np.asarray(q, np.int64) - (0 if zero is None else _along(np.asarray(zero, np.int64), np.ndim(q), axis))
    return shifted.astype(np.float32) * _along(np.asarray(scale, np.float32), np.ndim(q), axis)


def _quantize_samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for dtype, zero in ((np.uint8, 128), (np.int8, -3)):
        for shape in ((7,), (3, 17), (2, 3, 5, 5), (0, 4), (65,)):
            x = (rng.normal(size=shape) * 3).astype(np.float32)
            found.append(((x, np.float32(0.05), np.array(zero, dtype)), {}))
            if len(shape) > 1:
                found.append(((x, rng.uniform(0.01, 0.1, shape[1]).astype(np.float32), np.full(shape[1], zero, dtype)), {"axis": 1}))
    return found


def _dequantize_samples() -> Any:
    rng = np.random.default_rng(0)
    q = rng.integers(0, 256, (3, 17)).astype(np.uint8)
    return [((q, np.float32(0.03), np.array(128, np.uint8)), {}),
            ((rng.integers(-9999, 9999, (4, 5)).astype(np.int32), rng.uniform(0.01, 1, 5).astype(np.float32)), {"axis": 1}),
            ((q.astype(np.int8), rng.uniform(0.01, 1, 3).astype(np.float32), np.zeros(3, np.int8)), {"axis": 0})]  # fmt: skip


quantize_linear = Op("quantize_linear", _quantize_shape, _quantize_reference, samples=_quantize_samples)
dequantize_linear = Op("dequantize_linear", _dequantize_shape, _dequantize_reference, samples=_dequantize_samples)


def _dynamic_shape(x: Spec) -> tuple[Spec, ...]:
    if x.dtype != DType.float32:
        raise DTypeError(f"dynamic_quantize: float32 expected, not {x}")
    return Spec(x.shape, DType.uint8), Spec((), DType.float32), Spec((), DType.uint8)


def step_of(x: Any) -> tuple[Any, Any]:
    """The step and zero point of an array's bytes, exactly as every kernel makes them: 0 is among them, NaN where x is not finite."""
    x = np.asarray(x, np.float32)
    if not np.isfinite(x).all():
        return np.float32(np.nan), np.uint8(0)
    low, high = x.min(initial=0.0), x.max(initial=0.0)
    half, tiny = np.float32(0.5), np.finfo(np.float32).tiny
    step = np.float32(1) if high == low else np.maximum((half * high - half * low) / np.float32(127.5), tiny)
    return step, np.uint8(np.rint(min(-low / step, np.float32(255))))


def _dynamic_reference(x: Any) -> Any:
    step, zero = step_of(x)
    if np.isnan(step):
        return np.zeros(np.shape(x), np.uint8), np.asarray(step), np.asarray(zero)
    q = np.rint((np.asarray(x, np.float32) / step).astype(np.float32)) + np.float64(zero)
    return np.clip(q, 0, 255).astype(np.uint8), np.asarray(step), np.asarray(zero)


def _dynamic_samples() -> Any:
    rng = np.random.default_rng(0)
    found = [(rng.normal(size=s) * 3 + m).astype(np.float32) for s, m in (((), 1), ((1,), -2), ((15,), 0), ((16,), 5), ((3, 17), -9), ((0, 4), 0),
                                                                         ((2, 3, 50, 70), 1), ((65, 1031), 0))]  # fmt: skip
    return [((x,), {}) for x in (*found, np.zeros((3, 5), np.float32), (rng.normal(size=40) * 1e-41).astype(np.float32))]


dynamic_quantize = Op("dynamic_quantize", _dynamic_shape, _dynamic_reference, samples=_dynamic_samples)


def _quantize_by(p: Any, x: int, scale: float, zero: int) -> int:
    return int(p.clamp(p.add(p.rint(p.div(x, p.const(scale))), p.const(zero)), p.const(0.0), p.const(255.0)))


def _by_samples(draw: Any) -> Any:
    def samples() -> Any:
        rng = np.random.default_rng(0)
        return [((draw(rng, s),), {"scale": 0.03125, "zero": z}) for s, z in (((0,), 0), ((7,), 128), ((3, 17), 255), ((600,), 5))]

    return samples


# The two with known steps, as pointwise functions: passes make chains of them (passes/qdq.py). NaN gives 0.
Op("dequantize_by", lambda q, scale, zero: Spec(q.shape, DType.float32),
   lambda q, scale, zero: ((q.astype(np.float32) - np.float32(zero)) * np.float32(scale)).astype(np.float32),
   program=lambda p, q, scale, zero: p.mul(p.sub(q, p.const(zero)), p.const(scale)),
   samples=_by_samples(lambda rng, s: rng.integers(0, 256, s).astype(np.uint8)))  # fmt: skip
Op("quantize_by", lambda x, scale, zero: Spec(x.shape, DType.uint8),
   lambda x, scale, zero: np.clip(np.rint((np.asarray(x, np.float32) / np.float32(scale)).astype(np.float32)) + zero, 0, 255).astype(np.uint8),
   program=_quantize_by, samples=_by_samples(lambda rng, s: (rng.normal(size=s) * 4).astype(np.float32)))  # fmt: skip


def _table_shape(x: Spec, table: Spec) -> Spec:
    if x.dtype != DType.uint8 or table != Spec((256,), DType.uint8):
        raise ShapeError(f"byte_table: uint8 and a table uint8[256] expected, not {x} and {table}")
    return x


def _table_samples() -> Any:
    rng = np.random.default_rng(0)
    return [((rng.integers(0, 256, s).astype(np.uint8), rng.permutation(256).astype(np.uint8)), {}) for s in ((), (0,), (63,), (64,), (3, 65), (2, 1000))]


byte_table = Op("byte_table", _table_shape, lambda x, table: np.asarray(table)[np.asarray(x, np.int64)], samples=_table_samples)


def _requantize(acc: Any, scale: Any, zero: Any, relu: int, out: str) -> Any:
    acc = np.maximum(acc, 0) if relu else acc
    if out == "int32":
        return acc
    scaled = acc.astype(np.float32) * scale.astype(np.float32)
    return scaled if out == "float32" else np.clip(int(zero) + np.rint(scaled), 0, 255).astype(np.uint8)


def _result(out: str, zero: Spec | None, name: str) -> DType:
    if (out == "uint8") != (zero is not None):
        raise ShapeError(f"{name}: a zero point of the output belongs to uint8 results, and only to them")
    return DType[out]


def _qmatmul_shape(a: Spec, a_zero: Spec, b: Spec, scale: Spec, bias: Spec | None = None, out_zero: Spec | None = None, packed: int = 0, relu: int = 0,
                   out: str = "float32") -> Spec:  # fmt: skip
    if a.dtype != DType.uint8 or b.dtype != DType.int8 or len(a.shape) != 2:
        raise DTypeError(f"qmatmul: uint8[M,K] and int8 weights expected, not {a} and {b}")
    n = scale.shape[0]
    if (packed and (b.shape[0] != (n + 15) // 16 or b.shape[1] != (a.shape[1] + 3) // 4 + 1)) or (not packed and b.shape != (a.shape[1], n)):
        raise ShapeError(f"qmatmul: {a} @ {b} with {n} scales")
    return Spec((a.shape[0], n), _result(out, out_zero, "qmatmul"))


def _qmatmul_reference(a: Any, a_zero: Any, b: Any, scale: Any, bias: Any = None, out_zero: Any = None, packed: int = 0, relu: int = 0,
                       out: str = "float32") -> Any:
    acc = (a.astype(np.int64) - int(a_zero)) @ b.astype(np.int64) + (0 if bias is None else bias.astype(np.int64))
    return _requantize(acc, scale, out_zero, relu, out)


def _corners(rng: np.random.Generator, low: int, high: int, shape: Any, dtype: Any) -> np.ndarray:
    """Half of the numbers at the ends of the range: where 16-bit shortcuts overflow."""
    x = rng.integers(low, high + 1, shape)
    return np.where(rng.random(shape) < 0.25, low, np.where(rng.random(shape) < 0.33, high, x)).astype(dtype)


def _qmatmul_samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for m, n, k in ((1, 1, 1), (3, 17, 5), (2, 84, 120), (64, 10, 84), (17, 33, 64), (0, 4, 4), (5, 6, 0)):
        a, b = _corners(rng, 0, 255, (m, k), np.uint8), _corners(rng, -128, 127, (k, n), np.int8)
        scale = rng.uniform(1e-4, 1e-3, n).astype(np.float32)
        bias = rng.integers(-5000, 5000, n).astype(np.int32)
        found += [((a, np.array(7, np.uint8), b, scale, bias, np.array(11, np.uint8)), {"out": "uint8", "relu": 1}),
                  ((a, np.array(0, np.uint8), b, scale), {"out": "float32"}), ((a, np.array(255, np.uint8), b, scale, bias), {"out": "int32"})]  # fmt: skip
    return found


def _moved(x: Spec, w: Spec, y: Spec) -> int:
    return int(product(x.shape) + product(w.shape) + product(y.shape) * y.dtype.itemsize)  # type: ignore[arg-type]


def _qmatmul_cost(a: Spec, a_zero: Spec, b: Spec, scale: Spec, *rest: Any, **attrs: Any) -> Any:
    y = _qmatmul_shape(a, a_zero, b, scale, *rest, **attrs)
    return 2 * product(y.shape) * a.shape[1], _moved(a, b, y)


qmatmul = Op("qmatmul", _qmatmul_shape, _qmatmul_reference, strided=True, samples=_qmatmul_samples, cost=_qmatmul_cost)


def _qconv_shape(x: Spec, x_zero: Spec, w: Spec, scale: Spec, bias: Spec | None = None, out_zero: Spec | None = None, relu: int = 0, out: str = "float32",
                 **g: int) -> Spec:  # fmt: skip
    if x.dtype != DType.uint8 or w.dtype != DType.int8:
        raise DTypeError(f"qconv2d: uint8 activations and int8 weights expected, not {x} and {w}")
    if scale.shape != w.shape[:1]:
        raise ShapeError(f"qconv2d: {w.shape[0]} scales expected, not {scale}")
    return conv_shape("qconv2d", x, w, bias, {**GEOMETRY, **g}, _result(out, out_zero, "qconv2d"))


def _qconv_reference(x: Any, x_zero: Any, w: Any, scale: Any, bias: Any = None, out_zero: Any = None, relu: int = 0, out: str = "float32", **g: int) -> Any:
    acc = correlate(x.astype(np.int64) - int(x_zero), w.astype(np.int64), {**GEOMETRY, **g})
    acc = acc + (0 if bias is None else bias.astype(np.int64)[None, :, None, None])
    return _requantize(acc, scale[None, :, None, None], out_zero, relu, out)


def _qconv_samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for i, (xs, ws, g) in enumerate(CASES):
        x, w = _corners(rng, 0, 255, xs, np.uint8), _corners(rng, -128, 127, ws, np.int8)
        scale, bias = rng.uniform(1e-4, 1e-3, ws[0]).astype(np.float32), rng.integers(-5000, 5000, ws[0]).astype(np.int32)
        found += [((x, np.array(3 * i, np.uint8), w, scale, bias, np.array(9, np.uint8)), {**g, "out": "uint8", "relu": 1}),
                  ((x, np.array(128, np.uint8), w, scale), {**g, "out": "float32"}),
                  ((x, np.array(255, np.uint8), w, scale, bias), {**g, "out": "int32"})]  # fmt: skip
    return found


def _qconv_cost(x: Spec, x_zero: Spec, w: Spec, scale: Spec, *rest: Any, **attrs: Any) -> Any:
    y = _qconv_shape(x, x_zero, w, scale, *rest, **attrs)
    return 2 * product(y.shape) * product(w.shape[1:]), _moved(x, w, y)


qconv2d = Op("qconv2d", _qconv_shape, _qconv_reference, samples=_qconv_samples, cost=_qconv_cost)


def quantize(x: Tensor, scale: Tensor, zero: Tensor, axis: int = 1) -> Tensor:
    """clamp(rint(x / scale) + zero) in the zero point's dtype (uint8, int8)."""
    return apply("quantize_linear", x, scale, zero, axis=axis)


def dequantize(q: Tensor, scale: Tensor, zero: Tensor | None = None, axis: int = 1) -> Tensor:
    """(q - zero) * scale."""
    return apply("dequantize_linear", q, scale, axis=axis) if zero is None else apply("dequantize_linear", q, scale, zero, axis=axis)


__all__ = ["dequantize", "quantize"]
