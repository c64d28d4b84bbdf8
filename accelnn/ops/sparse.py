"""Products with block-sparse weights: only the 64-byte blocks that hold something are stored, read and multiplied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.dims import product
from ..core.dtypes import DType, as_dtype
from ..core.errors import DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply, tensor
from .dynamic import SMALLEST
from .matmul import EPS, gamma

STRIP = 16  # columns of a block
DEPTH = {DType.float32: 1, DType.int8: 4}  # rows of a block: 64 bytes


def _check(name: str, a: Spec, first: Spec, index: Spec, values: Spec, dtype: DType, columns: Any, bias: Spec | None) -> Spec:
    if a.dtype != DType.float32 or first.dtype != DType.int32 or index.dtype != DType.int32 or values.dtype != dtype:
        raise DTypeError(f"{name}: float32 activations, int32 first and index, {dtype.name} values expected, not {a}, {first}, {index}, {values}")
    if len(a.shape) < 2:
        raise ShapeError(f"{name}: {a}: at least two dimensions expected")
    if first.shape != ((columns + STRIP - 1) // STRIP + 1,) or len(index.shape) != 1 or values.shape != (*index.shape, STRIP * DEPTH[dtype]):
        raise ShapeError(f"{name}: first {first}, index {index} and values {values} are no blocks of {columns} columns; pack_sparse makes them")
    if bias is not None and bias.shape != (columns,):
        raise ShapeError(f"{name}: a bias of shape {bias.shape} for {columns} columns")
    return Spec((*a.shape[:-1], columns), DType.float32)


def _shape(a: Spec, first: Spec, index: Spec, values: Spec, bias: Spec | None = None, columns: Any = None) -> Spec:
    return _check("matmul_sparse", a, first, index, values, DType.float32, columns, bias)


def _shape_int8(a: Spec, first: Spec, index: Spec, values: Spec, scale: Spec, sums: Spec, bias: Spec | None = None, columns: Any = None) -> Spec:
    if scale.shape != (columns,) or sums.shape != (columns,):
        raise ShapeError(f"matmul_sparse_int8: {columns} scales and sums expected, not {scale} and {sums}")
    return _check("matmul_sparse_int8", a, first, index, values, DType.int8, columns, bias)


def dense(first: Any, index: Any, values: Any, rows: int, columns: int) -> Any:
    """The matrix [K, N] of some blocks; those at the same place add up."""
    first, index, values = np.asarray(first), np.asarray(index), np.asarray(values)
    depth = values.shape[1] // STRIP
    strips = len(first) - 1
    wide = np.int32 if values.dtype == np.int8 else values.dtype
    blocks = np.zeros((strips, -(-rows // depth), STRIP, depth), wide)
    strip = np.repeat(np.arange(strips), np.diff(first))
    used = slice(first[0], first[-1])
    np.add.at(blocks, (strip, index[used]), values[used].reshape(-1, STRIP, depth).astype(wide))
    return blocks.transpose(1, 3, 0, 2).reshape(blocks.shape[1] * depth, strips * STRIP)[:rows, :columns]


def _reference(a: Any, first: Any, index: Any, values: Any, bias: Any = None, columns: Any = None) -> Any:
    y = a @ dense(first, index, values, a.shape[-1], columns)
    return y if bias is None else y + bias


def _bound(a: Any, first: Any, index: Any, values: Any, bias: Any = None, columns: Any = None) -> Any:
    size = np.abs(a) @ dense(first, index, np.abs(values), a.shape[-1], columns) + (0 if bias is None else np.abs(bias))
    return gamma(int(np.diff(first).max(initial=0)) + 1) * size


def _reference_int8(a: Any, first: Any, index: Any, values: Any, scale: Any, sums: Any, bias: Any = None, columns: Any = None) -> Any:
    y = a @ (dense(first, index, values, a.shape[-1], columns) * scale)
    return y if bias is None else y + bias


def _bound_int8(a: Any, first: Any, index: Any, values: Any, scale: Any, sums: Any, bias: Any = None, columns: Any = None) -> Any:
    """As of dynamic_qmatmul: half a step of the row's activations times |W|, four roundings, and one of scale * step that may be a denormal's."""
    sizes = np.abs(dense(first, index, values, a.shape[-1], columns)).astype(np.float64)
    weights = sizes * np.abs(scale)
    span = (np.maximum(a.max(-1, initial=0), 0) - np.minimum(a.min(-1, initial=0), 0))[..., None]
    step = np.maximum(span / 255, SMALLEST) * (1 + 2 * EPS)
    error = step * (0.5 + 2.0**-12) * weights.sum(0)
    return error + gamma(5) * (np.abs(a) @ weights + error + (0 if bias is None else np.abs(bias))) + 2.0**-149 * 255 * sizes.sum(0)


def _cost(a: Spec, first: Spec, index: Spec, values: Spec, *_: Any, columns: Any = None) -> Any:
    rows = product(a.shape[:-1])
    return 2 * rows * product(values.shape), 4 * product(a.shape) + values.dtype.itemsize * product(values.shape) + 4 * rows * columns


def find_blocks(w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """first, index and values of the blocks of w [K, N] (float32 or int8) that are not all zero."""
    k, n = w.shape
    depth, strips = DEPTH[as_dtype(w.dtype)], -(-n // STRIP)
    deep = -(-k // depth)
    full = np.zeros((deep * depth, strips * STRIP), w.dtype)
    full[:k, :n] = w
    blocks = full.reshape(deep, depth, strips, STRIP).transpose(2, 0, 3, 1)
    keep = (blocks != 0).any((2, 3))
    first = np.concatenate([[0], keep.sum(1).cumsum()]).astype(np.int32)
    return first, np.nonzero(keep)[1].astype(np.int32), np.ascontiguousarray(blocks[keep].reshape(-1, STRIP * depth))


_SIZES = ((1, 16, 16), (2, 17, 33), (3, 48, 64), (4, 31, 5), (7, 16, 100), (28, 20, 64), (29, 64, 31), (61, 33, 130), (0, 4, 4), (3, 0, 5), (2, 5, 0),
          (1, 64, 512))  # fmt: skip


def _draw(rng: np.random.Generator, k: int, n: int, zeros: float, dtype: Any) -> Any:
    """Blocks with zero strips, full strips and everything between."""
    deep, strips, depth = -(-k // DEPTH[as_dtype(dtype)]), -(-n // STRIP), DEPTH[as_dtype(dtype)]
    keep = rng.random((deep, strips)) >= zeros
    keep[:, 1::3] = False
    keep[:, 2::3] = True
    w = rng.normal(size=(k, n)) if dtype == np.float32 else rng.choice([-127, 127, *range(-127, 128)], (k, n))
    return np.where(keep.repeat(depth, 0).repeat(STRIP, 1)[:k, :n], w, 0).astype(dtype)


def _samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for i, (m, n, k) in enumerate(_SIZES):
        bias = (rng.normal(size=n).astype(np.float32),) if i % 2 else ()
        found.append(((rng.normal(size=(m, k)).astype(np.float32), *find_blocks(_draw(rng, k, n, (0.8, 0.0)[i % 2], np.float32)), *bias), {"columns": n}))
    return [*found, ((rng.normal(size=(2, 3, 4, 8)).astype(np.float32), *find_blocks(_draw(rng, 8, 20, 0.5, np.float32))), {"columns": 20})]


def _samples_int8() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for i, (m, n, k) in enumerate(_SIZES):
        w = _draw(rng, k, n, (0.8, 0.0)[i % 2], np.int8)
        bias = (rng.normal(size=n).astype(np.float32),) if i % 2 else ()
        a = (rng.normal(size=(m, k)) * np.float32(10.0) ** rng.integers(-3, 4, (m, 1)) + (i % 3 - 1)).astype(np.float32)
        operands = (a, *find_blocks(w), rng.uniform(0.001, 0.1, n).astype(np.float32), w.astype(np.int32).sum(0, dtype=np.int32), *bias)
        found.append((operands, {"columns": n}))
    return found


matmul_sparse_op = Op("matmul_sparse", _shape, _reference, samples=_samples, cost=_cost, bound=_bound)
matmul_sparse_int8_op = Op("matmul_sparse_int8", _shape_int8, _reference_int8, samples=_samples_int8, cost=_cost, bound=_bound_int8)


@dataclass(frozen=True)
class SparseWeight:
    """The right operand [K, N] of a product as blocks that are not zero: 16 columns x 1 k of float32, or x 4 k of int8 with a scale for each column."""

    first: Tensor
    index: Tensor
    values: Tensor
    shape: tuple[int, int]  # K, N
    scale: Tensor | None = None
    sums: Tensor | None = None

    @property
    def density(self) -> float:
        """Stored blocks over all blocks."""
        depth = DEPTH[self.values.dtype]
        return len(self.index) / max(1, -(-self.shape[0] // depth) * (len(self.first) - 1))

    def dense(self) -> np.ndarray:
        """float32 [K, N]."""
        w: np.ndarray = dense(self.first.numpy(), self.index.numpy(), self.values.numpy(), *self.shape).astype(np.float32)
        return w if self.scale is None else w * self.scale.numpy()


def _matrix(w: Any, name: str) -> np.ndarray:
    array = np.asarray(w.numpy() if isinstance(w, Tensor) else w, np.float32)
    if array.ndim != 2:
        raise ShapeError(f"{name}: a matrix [K, N] expected, not {array.shape}")
    if not np.isfinite(array).all():
        raise ShapeError(f"{name}: weights must be finite")
    return array


def sparsify(w: Any, sparsity: float, block: tuple[int, int] = (4, STRIP)) -> np.ndarray:
    """w [K, N] with the share `sparsity` of its blocks (rows x columns) set to zero, those of the smallest sum of squares. Blocks of 4 x 16 suit int8
    and float32 weights, of 1 x 16 float32 ones."""
    if not 0 <= sparsity <= 1:
        raise ShapeError(f"sparsify: a share from 0 to 1 expected, not {sparsity}")
    array = _matrix(w, "sparsify")
    (k, n), (deep, wide) = array.shape, block
    full = np.zeros((-(-k // deep) * deep, -(-n // wide) * wide), np.float64)
    full[:k, :n] = array
    weight = np.square(full).reshape(-1, deep, full.shape[1] // wide if wide else 0, wide).sum((1, 3)) if full.size else np.zeros((0, 0))
    drop = np.zeros(weight.size, bool)
    drop[np.argsort(weight, axis=None, kind="stable")[: round(sparsity * weight.size)]] = True
    mask = drop.reshape(weight.shape).repeat(deep, 0).repeat(wide, 1)[:k, :n]
    return np.where(mask, np.float32(0), array) if array.size else array


def pack_sparse(w: Any, dtype: Any = DType.float32) -> SparseWeight:
    """The blocks of w [K, N] that are not all zero (`sparsify` makes such a w). dtype int8 rounds to 127 steps a side, one scale a column."""
    array, dtype = _matrix(w, "pack_sparse"), as_dtype(dtype)
    if dtype not in DEPTH:
        raise DTypeError(f"pack_sparse: float32 or int8 expected, not {dtype.name}")
    if dtype == DType.float32:
        first, index, values = map(tensor, find_blocks(array))
        return SparseWeight(first, index, values, array.shape)
    if array.shape[0] > 66000:
        raise ShapeError(f"pack_sparse: int8 sums of {array.shape[0]} products may not fit 32 bits; 66000 are the most")
    scale = (np.abs(array).max(0, initial=0) / 127).astype(np.float32)
    q = np.rint(array / np.where(scale > 0, scale, 1)).clip(-127, 127).astype(np.int8)
    first, index, values = map(tensor, find_blocks(q))
    return SparseWeight(first, index, values, array.shape, tensor(scale), tensor(q.sum(0, dtype=np.int32)))


def matmul_sparse(x: Tensor, w: SparseWeight, bias: Tensor | None = None) -> Tensor:
    """x[..., M, K] @ w[K, N] + bias; with int8 weights the activations are rounded to uint8, a scale and zero point for each row."""
    if x.shape[-1] != w.shape[0]:
        raise ShapeError(f"matmul_sparse: {x.spec} against weights of {w.shape[0]} rows")
    last = () if bias is None else (bias,)
    if w.scale is None or w.sums is None:
        return apply("matmul_sparse", x, w.first, w.index, w.values, *last, columns=w.shape[1])
    return apply("matmul_sparse_int8", x, w.first, w.index, w.values, w.scale, w.sums, *last, columns=w.shape[1])


__all__ = ["SparseWeight", "matmul_sparse", "pack_sparse", "sparsify"]
