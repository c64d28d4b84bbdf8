"""Products with weights of four bits: a quarter of a byte's weight traffic is what few rows of activations wait for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.dims import product
from ..core.dtypes import DType
from ..core.errors import DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply, tensor
from .matmul import gamma

GROUPS = (32, 64, 128)
STRIP = 16
COMPUTE = {"float32": 0, "int8": 1}  # what becomes of the activations
LEAST = 2.0**-100  # a group whose largest activation is smaller counts as zeros (matmul_int4.h)


def _ceil(n: Any, by: int) -> Any:
    return (n + by - 1) // by


def _group_bytes(group: int, zero_points: int) -> int:
    if group not in GROUPS:
        raise ShapeError(f"int4 weights come in groups of 32, 64 or 128 along K, not {group}")
    return group * 8 + 2 * STRIP + STRIP * zero_points


def _shape(a: Spec, w: Spec, bias: Spec | None = None, columns: Any = None, group: int = 32, zero_points: int = 0, compute: int = 0) -> Spec:
    if a.dtype != DType.float32 or w.dtype != DType.uint8:
        raise DTypeError(f"matmul_int4: float32 activations and packed uint8 weights expected, not {a.dtype.name} and {w.dtype.name}")
    if len(a.shape) < 2:
        raise ShapeError(f"matmul_int4: {a}: at least two dimensions expected")
    want = (_ceil(columns, STRIP), _ceil(a.shape[-1], group), _group_bytes(group, zero_points))
    if w.shape != want:
        raise ShapeError(f"matmul_int4: {a} with {columns} columns in groups of {group} wants weights {want}, not {w}; matmul_int4_pack makes them")
    if bias is not None and bias.shape != (columns,):
        raise ShapeError(f"matmul_int4: a bias of shape {bias.shape} for {columns} columns")
    return Spec((*a.shape[:-1], columns), DType.float32)


def unpack_int4(w: Any, rows: int, columns: int, group: int, zero_points: int) -> tuple[Any, Any, Any]:
    """Values [K, N], scales [G, N] and zero points [G, N] of a packed stream."""
    w = np.asarray(w)
    strips, groups = w.shape[:2]
    body = w[..., : group * 8].reshape(strips, groups, group // 8, STRIP, 4)
    both = np.stack([body & 15, body >> 4], 3)  # [strip, group, eight, half, column, r]
    q = both.transpose(1, 2, 3, 5, 0, 4).reshape(groups * group, strips * STRIP)
    scales = w[..., group * 8 : group * 8 + 32].copy().view(np.float16).transpose(1, 0, 2).reshape(groups, strips * STRIP)
    zeros = w[..., group * 8 + 32 :].transpose(1, 0, 2).reshape(groups, strips * STRIP) if zero_points else np.full_like(scales, 8)
    return q[:rows, :columns].astype(np.int32), scales[:, :columns].astype(np.float32), zeros[:, :columns].astype(np.int32)


def dequantize_int4(w: Any, rows: int, columns: int, group: int = 32, zero_points: int = 0) -> Any:
    """float32 [K, N]; every weight is exact."""
    q, s, z = unpack_int4(w, rows, columns, group, zero_points)
    spread = np.repeat(np.arange(len(s)), group)[:rows]
    return ((q - z[spread]) * s[spread]).astype(np.float32)


def _reference(a: Any, w: Any, bias: Any = None, columns: Any = None, group: int = 32, zero_points: int = 0, compute: int = 0) -> Any:
    y = a @ dequantize_int4(w, a.shape[-1], columns, group, zero_points).astype(np.asarray(a).dtype)
    return y if bias is None else y + bias


def _bound(a: Any, w: Any, bias: Any = None, columns: Any = None, group: int = 32, zero_points: int = 0, compute: int = 0) -> Any:
    """gamma_(K+2) |A||W|, and with int8 activations half a step of the group's activations times its weights."""
    k = a.shape[-1]
    weights = np.abs(dequantize_int4(w, k, columns, group, zero_points)).astype(np.float64)
    size = np.abs(a) @ weights + (0 if bias is None else np.abs(bias))
    if not compute:
        return gamma(k + 2) * size
    step = np.zeros(a.shape, np.float64)
    for k0 in range(0, k, group):
        largest = np.abs(a[..., k0 : k0 + group]).max(-1, keepdims=True)
        step[..., k0 : k0 + group] = np.where(largest < LEAST, largest, largest / 254 * (1 + 2.0**-21))
    error = step @ weights
    return error + gamma(w.shape[1] + 4) * (size + error)


def _cost(a: Spec, w: Spec, bias: Spec | None = None, columns: Any = None, **_: Any) -> Any:
    outputs = product(a.shape[:-1]) * columns
    return 2 * outputs * a.shape[-1], 4 * product(a.shape) + product(w.shape) + 4 * outputs


def pack_reference(q: Any, scales: Any, zeros: Any = None, group: int = 32) -> Any:
    """The packed stream, by numpy."""
    n, groups = scales.shape
    if q.ndim == 3:
        q = np.stack([q & 15, q >> 4], -1).reshape(n, groups * group)
    strips = _ceil(n, STRIP)
    z = np.full((strips * STRIP, groups), 8, np.uint8)
    if zeros is not None:
        z[:n] = zeros
    full = np.repeat(z, group, 1)
    full[:n, : q.shape[1]] = q
    s = np.zeros((strips * STRIP, groups), np.float16)
    with np.errstate(over="ignore"):
        s[:n] = np.asarray(scales, np.float32)
    parts = (full & 15).reshape(strips, STRIP, groups, group // 8, 2, 4).transpose(0, 2, 3, 4, 1, 5)
    body = (parts[:, :, :, 0] | parts[:, :, :, 1] << 4).reshape(strips, groups, group * 8)
    tail = [s.reshape(strips, STRIP, groups).transpose(0, 2, 1).copy().view(np.uint8)]
    tail += [] if zeros is None else [z.reshape(strips, STRIP, groups).transpose(0, 2, 1)]
    return np.concatenate([body, *tail], 2)


def _pack_shape(q: Spec, scales: Spec, zeros: Spec | None = None, group: int = 32) -> Spec:
    if q.dtype != DType.uint8 or scales.dtype != DType.float32 or (zeros is not None and zeros.dtype != DType.uint8):
        raise DTypeError("matmul_int4_pack: uint8 values, float32 scales and uint8 zero points expected")
    nibbles = len(q.shape) == 3
    if len(q.shape) not in (2, 3) or (nibbles and q.shape[2] * 2 != group):
        raise ShapeError(f"matmul_int4_pack: values [N, K] or nibbles [N, K/{group}, {group // 2}] expected, not {q}")
    groups = q.shape[1] if nibbles else _ceil(q.shape[1], group)
    if scales.shape != (q.shape[0], groups) or (zeros is not None and zeros.shape != scales.shape):
        raise ShapeError(f"matmul_int4_pack: scales and zero points of {(q.shape[0], groups)} expected, not {scales} and {zeros}")
    return Spec((_ceil(q.shape[0], STRIP), groups, _group_bytes(group, int(zeros is not None))), DType.uint8)


def _pack_samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for i, (n, k) in enumerate(((1, 1), (16, 32), (17, 100), (5, 260), (0, 40), (33, 0))):
        group = GROUPS[i % 3]
        groups = _ceil(k, group)
        scales = (rng.normal(size=(n, groups)) * np.float32(10.0) ** rng.integers(-9, 6, (n, groups))).astype(np.float32)
        zeros = rng.integers(0, 16, (n, groups)).astype(np.uint8)
        found.append(((rng.integers(0, 16, (n, k)).astype(np.uint8), scales), {"group": group}))
        found.append(((rng.integers(0, 16, (n, k)).astype(np.uint8), scales, zeros), {"group": group}))
        found.append(((rng.integers(0, 256, (n, groups, group // 2)).astype(np.uint8), scales, zeros), {"group": group}))
    ties = np.array([[65519.0, 65520.0, 1e30, 2.0**-25, 2.0**-25 * 1.0001, 3 * 2.0**-25, 6.1e-5, 1 + 2.0**-11, 1 + 3 * 2.0**-11, 0.0, 2.0**-14]], np.float32)
    found.append(((np.zeros((1, 32 * ties.size), np.uint8), ties), {"group": 32}))
    return found


def draw(rng: np.random.Generator, k: int, n: int, group: int, zero_points: int) -> Any:
    """A packed stream of random weights, the ends of the range among them."""
    groups = _ceil(k, group)
    q = rng.choice([0, 15, *range(16)], (n, k)).astype(np.uint8)
    zeros = rng.integers(0, 16, (n, groups)).astype(np.uint8) if zero_points else None
    return pack_reference(q, rng.uniform(0.001, 0.02, (n, groups)).astype(np.float32), zeros, group)


def _samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = []
    sizes = ((1, 16, 32), (1, 17, 33), (2, 31, 64), (4, 48, 200), (13, 16, 128), (14, 5, 1), (33, 40, 257), (0, 4, 4), (3, 0, 5), (2, 5, 0), (200, 33, 96))
    for i, (m, n, k) in enumerate(sizes):
        for compute in (0, 1):
            for zero_points in (0, 1):
                group = GROUPS[(i + zero_points) % 3]
                a = (rng.normal(size=(m, k)) * np.float32(10.0) ** rng.integers(-3, 4, (m, 1))).astype(np.float32)
                w = draw(rng, k, n, group, zero_points)
                bias = (rng.normal(size=n).astype(np.float32),) if i % 2 else ()
                found.append(((a, w, *bias), {"columns": n, "group": group, "zero_points": zero_points, "compute": compute}))
    a = rng.normal(size=(2, 3, 4, 40)).astype(np.float32)
    return [*found, ((a, draw(rng, 40, 20, 32, 0)), {"columns": 20, "compute": 1})]


matmul_int4_pack = Op("matmul_int4_pack", _pack_shape, pack_reference, samples=_pack_samples)
matmul_int4_op = Op("matmul_int4", _shape, _reference, samples=_samples, cost=_cost, bound=_bound)


@dataclass(frozen=True)
class Int4Weight:
    """The right operand [K, N] of a product in four bits: `packed` as the kernels read it, and what its bytes mean."""

    packed: Tensor
    shape: tuple[int, int]  # K, N
    group: int
    zero_points: bool

    def dequantize(self) -> np.ndarray:
        """float32 [K, N]."""
        result: np.ndarray = dequantize_int4(self.packed.numpy(), *self.shape, self.group, int(self.zero_points))
        return result

    @property
    def nbytes(self) -> int:
        return self.packed.numpy().nbytes

    @staticmethod
    def from_nbits(nibbles: Any, scales: Any, zero_points: Any = None, rows: int | None = None) -> Int4Weight:
        """From the operands of ONNX's MatMulNBits (bits=4): nibbles [N, G, group/2], scales [N, G] and zero points [N, ceil(G/2)] of two a byte or
        [N, G] of one. `rows`: K, where the last group is not full."""
        nibbles = np.ascontiguousarray(nibbles, np.uint8)
        if nibbles.ndim != 3:
            raise ShapeError(f"from_nbits: nibbles [N, G, group/2] expected, not {nibbles.shape}")
        n, groups, half = nibbles.shape
        scales = np.ascontiguousarray(scales, np.float32).reshape(n, groups)
        operands = [nibbles, scales]
        if zero_points is not None:
            z = np.asarray(zero_points, np.uint8).reshape(n, -1)
            if z.shape[1] != groups:
                z = np.stack([z & 15, z >> 4], -1).reshape(n, -1)[:, :groups]
            operands.append(np.ascontiguousarray(z))
        packed = apply("matmul_int4_pack", *map(tensor, operands), group=2 * half)
        return Int4Weight(packed, (groups * 2 * half if rows is None else rows, n), 2 * half, zero_points is not None)


def quantize_int4(w: Any, group: int = 32, symmetric: bool = True) -> Int4Weight:
    """Rounds weights [K, N] (the right operand of `x @ w`; a Linear's weight is `weight.T`) to four bits with one float16 scale for each column and
    group of rows; symmetric around zero (-8..7), or from the smallest to the largest weight with a zero point."""
    array = np.asarray(w.numpy() if isinstance(w, Tensor) else w, np.float32)
    if array.ndim != 2:
        raise ShapeError(f"quantize_int4: a matrix [K, N] expected, not {array.shape}")
    if not np.isfinite(array).all():
        raise ShapeError("quantize_int4: weights must be finite")
    _group_bytes(group, 0)
    k, n = array.shape
    groups = _ceil(k, group)
    full = np.zeros((n, groups * group), np.float32)
    full[:, :k] = array.T
    parts = full.reshape(n, groups, group)
    low, high = (np.minimum(parts.min(2), 0), np.maximum(parts.max(2), 0)) if groups else (np.zeros((n, 0)),) * 2
    zeros = None
    if symmetric:
        # -8..7: the smallest step with which neither end is cut off.
        scales = np.maximum(-low / 8, high / 7)
    else:
        scales = (high - low) / 15
    if (scales > 65504).any():
        raise ShapeError(f"quantize_int4: a scale of {scales.max():.3g} does not fit float16 (65504); scale the weights down")
    scales = scales.astype(np.float16).astype(np.float32)
    step = np.where(scales > 0, scales, 1)
    if not symmetric:
        zeros = np.clip(np.rint(-low / step), 0, 15).astype(np.uint8)
    offset = 8 if zeros is None else zeros[..., None]
    q = np.clip(np.rint(parts / step[..., None]) + offset, 0, 15).astype(np.uint8).reshape(n, -1)[:, :k]
    operands = [np.ascontiguousarray(q), scales] + ([] if zeros is None else [zeros])
    return Int4Weight(apply("matmul_int4_pack", *map(tensor, operands), group=group), (k, n), group, not symmetric)


def matmul_int4(x: Tensor, w: Int4Weight, bias: Tensor | None = None, compute: str = "float32") -> Tensor:
    """x[..., M, K] @ w[K, N] + bias. compute="int8" rounds the activations to int8 with a scale for each row and group: faster, less exact."""
    if compute not in COMPUTE:
        raise ShapeError(f"matmul_int4: compute is one of {', '.join(COMPUTE)}, not {compute!r}")
    if x.shape[-1] != w.shape[0]:
        raise ShapeError(f"matmul_int4: {x.spec} against weights of {w.shape[0]} rows")
    operands = (x, w.packed) if bias is None else (x, w.packed, bias)
    return apply("matmul_int4", *operands, columns=w.shape[1], group=w.group, zero_points=int(w.zero_points), compute=COMPUTE[compute])


__all__ = ["Int4Weight", "matmul_int4", "quantize_int4"]
