"""Convolutions with block-sparse weights (kernels/sparse_conv/conv2d_sparse.h): blocks of 16 outputs x one channel (float32) or four (int8) of one tap."""

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
from .conv import CASES, GEOMETRY, conv_shape, correlate
from .matmul import ACTIVATIONS, EPS, _activate, gamma, slope
from .quantized import _corners, _qconv_reference, _result
from .sparse import DEPTH, STRIP, dense, find_blocks
from .window import window

TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
Conv = tuple[int, int, int, int]  # O, C, R, S


def matrix_of(w: np.ndarray) -> np.ndarray:
    """[O, C, R, S] -> [R S C', O] in the order of the blocks' indices, C' the channels in whole blocks."""
    o, c, r, s = w.shape
    depth = DEPTH[as_dtype(w.dtype)]
    full = np.zeros((o, -(-c // depth) * depth, r, s), w.dtype)
    full[:, :c] = w
    return np.ascontiguousarray(full.transpose(2, 3, 1, 0).reshape(-1, o))


def weights_of(first: Any, index: Any, values: Any, shape: Conv) -> Any:
    """What matrix_of and find_blocks did, undone: [O, C, R, S]."""
    o, c, r, s = shape
    depth = np.asarray(values).shape[1] // STRIP
    whole = -(-c // depth) * depth
    w = dense(first, index, values, r * s * whole, o)
    return w.reshape(r, s, whole, o)[:, :, :c].transpose(3, 2, 0, 1)


def _check(name: str, x: Spec, first: Spec, index: Spec, values: Spec, bias: Spec | None, weights: tuple[Any, ...], last: tuple[int, int], out: DType,
           g: dict[str, int]) -> Spec:  # fmt: skip
    each = STRIP * DEPTH[values.dtype] if values.dtype in DEPTH else 0
    if first.dtype != DType.int32 or index.dtype != DType.int32:
        raise DTypeError(f"{name}: int32 first and index expected, not {first} and {index}")
    if len(x.shape) != 4:
        raise ShapeError(f"{name}: an image of four dimensions expected, not {x}")
    if g["groups"] != 1:
        raise ShapeError(f"{name}: one group expected, not {g['groups']}: blocks of {STRIP} outputs would cross them")
    o = weights[0]
    if first.shape != ((o + STRIP - 1) // STRIP + 1,) or len(index.shape) != 1 or values.shape != (*index.shape, each):
        raise ShapeError(f"{name}: first {first}, index {index} and values {values} are no blocks of {o} outputs; pack_sparse_conv makes them")
    image = Spec(tuple(x.shape[a] for a in TO_FIRST), x.dtype) if last[0] else x
    y = conv_shape(name, image, Spec((o, image.shape[1], *weights[1:]), values.dtype), bias, g, out)
    return Spec(tuple(y.shape[a] for a in TO_LAST), y.dtype) if last[1] else y


def _shape(x: Spec, first: Spec, index: Spec, values: Spec, bias: Spec | None = None, residual: Spec | None = None, kernel_h: int = 1, kernel_w: int = 1,
           x_last: int = 0, y_last: int = 0, activation: int = 0, channels: Any = 0, **g: int) -> Spec:  # fmt: skip
    if x.dtype != DType.float32 or values.dtype != DType.float32:
        raise DTypeError(f"conv2d_sparse: float32 image and values expected, not {x} and {values}")
    weights = (channels, kernel_h, kernel_w)
    y = _check("conv2d_sparse", x, first, index, values, bias, weights, (x_last, y_last), DType.float32, {**GEOMETRY, **g})
    if residual is not None and residual != y:
        raise ShapeError(f"conv2d_sparse: a residual {residual} for a result {y}")
    return y


def _bytes_shape(x: Spec, x_zero: Spec, first: Spec, index: Spec, values: Spec, scale: Spec, sums: Spec, bias: Spec | None = None,
                 out_zero: Spec | None = None, kernel_h: int = 1, kernel_w: int = 1, x_last: int = 0, y_last: int = 0, relu: int = 0, out: str = "float32",
                 **g: int) -> Spec:  # fmt: skip
    if x.dtype != DType.uint8 or values.dtype != DType.int8:
        raise DTypeError(f"qconv2d_sparse: uint8 activations and int8 values expected, not {x} and {values}")
    if len(scale.shape) != 1 or sums.shape != scale.shape:
        raise ShapeError(f"qconv2d_sparse: a scale and a sum an output expected, not {scale} and {sums}")
    weights = (scale.shape[0], kernel_h, kernel_w)
    return _check("qconv2d_sparse", x, first, index, values, bias, weights, (x_last, y_last), _result(out, out_zero, "qconv2d_sparse"), {**GEOMETRY, **g})


def _images(x: Any, residual: Any, x_last: int, y_last: int) -> tuple[Any, Any]:
    return x.transpose(TO_FIRST) if x_last else x, residual.transpose(TO_FIRST) if y_last and residual is not None else residual


def _reference(x: Any, first: Any, index: Any, values: Any, bias: Any = None, residual: Any = None, kernel_h: int = 1, kernel_w: int = 1, x_last: int = 0,
               y_last: int = 0, activation: int = 0, channels: Any = 0, **g: int) -> Any:  # fmt: skip
    x, residual = _images(x, residual, x_last, y_last)
    y = correlate(x, weights_of(first, index, values, (channels, x.shape[1], kernel_h, kernel_w)), {**GEOMETRY, **g})
    y = y if residual is None else y + residual
    y = _activate(y if bias is None else y + bias[:, None, None], activation)
    return y.transpose(TO_LAST) if y_last else y


def _bound(x: Any, first: Any, index: Any, values: Any, bias: Any = None, residual: Any = None, kernel_h: int = 1, kernel_w: int = 1, x_last: int = 0,
           y_last: int = 0, activation: int = 0, channels: Any = 0, **g: int) -> Any:  # fmt: skip
    """gamma_(L+3) (|X| * |w| + |residual| + |bias|), L the most blocks of a strip."""
    x, residual = _images(x, residual, x_last, y_last)
    size = correlate(np.abs(x), weights_of(first, index, np.abs(values), (channels, x.shape[1], kernel_h, kernel_w)), {**GEOMETRY, **g})
    size = size + sum(np.abs(v) for v in (residual, None if bias is None else bias[:, None, None]) if v is not None)
    found = gamma(int(np.diff(first).max(initial=0)) + 3) * size * slope(activation) + (4 * EPS * np.maximum(size, 1) if activation else 0)
    return found.transpose(TO_LAST) if y_last else found


def _bytes_reference(x: Any, x_zero: Any, first: Any, index: Any, values: Any, scale: Any, sums: Any, bias: Any = None, out_zero: Any = None,
                     kernel_h: int = 1, kernel_w: int = 1, x_last: int = 0, y_last: int = 0, relu: int = 0, out: str = "float32", **g: int) -> Any:
    x = x.transpose(TO_FIRST) if x_last else x
    w = weights_of(first, index, values, (len(scale), x.shape[1], kernel_h, kernel_w))
    y = _qconv_reference(x, x_zero, w, scale, bias, out_zero, relu, out, **g)
    return y.transpose(TO_LAST) if y_last else y


def _cost(x: Spec, first: Spec, index: Spec, values: Spec, *rest: Any, **attrs: Any) -> Any:
    y = _shape(x, first, index, values, **{k: v for k, v in attrs.items()})
    pixels = product(y.shape) // max(1, attrs["channels"])
    return 2 * pixels * product(values.shape), 4 * (product(x.shape) + product(values.shape) + product(y.shape))


# Beyond conv2d's of one group: maps whose lines fill a tile alone, by twos and by fours; strides and dilations of columns; 1x1 in lines; strips and quads
# that are not full.
PAD1, PAD2 = ({f"pad_{side}": n for side in ("top", "left", "bottom", "right")} for n in (1, 2))
MORE: tuple[tuple[tuple[int, ...], tuple[int, ...], dict[str, int]], ...] = (
    ((2, 9, 14, 14), (70, 9, 3, 3), PAD1),
    ((1, 20, 7, 7), (40, 20, 3, 3), PAD1),
    ((3, 8, 5, 29), (16, 8, 3, 3), PAD1),
    ((1, 12, 3, 30), (33, 12, 3, 3), {**PAD1, "stride_w": 2}),
    ((1, 6, 15, 15), (20, 6, 5, 5), {**PAD2, "stride_h": 2, "stride_w": 2}),
    ((1, 5, 12, 13), (65, 5, 3, 3), {"dilation_w": 3, "dilation_h": 2, "stride_w": 2, "pad_left": 4}),
    ((2, 20, 9, 13), (130, 20, 1, 1), {}),
    ((1, 8, 31, 33), (20, 8, 1, 1), {}),
    ((1, 9, 31, 30), (33, 9, 1, 1), {}),
    ((1, 16, 15, 15), (48, 16, 1, 1), {"stride_h": 2, "stride_w": 2}),
    ((1, 4, 2, 3), (8, 4, 1, 1), {"pad_left": 4, "stride_w": 3, "pad_top": 2}),
)


def _drawn(rng: np.random.Generator, shape: tuple[int, ...], zeros: float, dtype: Any) -> np.ndarray:
    """Weights with strips of no blocks, of all blocks and of some."""
    o, c, r, s = shape
    depth = DEPTH[as_dtype(dtype)]
    keep = rng.random((-(-o // STRIP), -(-c // depth), r, s)) >= zeros
    keep[1::3], keep[2::3] = False, True
    w = _corners(rng, -128, 127, shape, np.int8) if dtype == np.int8 else rng.normal(size=shape)
    return np.where(keep.repeat(STRIP, 0).repeat(depth, 1)[:o, :c], w, 0).astype(dtype)


def _all_cases() -> Any:
    return [case for case in (*CASES, *MORE) if case[2].get("groups", 1) == 1]


def _samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for i, (xs, ws, g) in enumerate(_all_cases()):
        x_last, y_last = i % 2, i // 2 % 2
        blocks = find_blocks(matrix_of(_drawn(rng, ws, (0.8, 0.3)[i % 3 % 2], np.float32)))
        attrs: dict[str, Any] = {**g, "channels": ws[0], "kernel_h": ws[2], "kernel_w": ws[3], "x_last": x_last, "y_last": y_last}
        x = rng.normal(size=[xs[a] for a in TO_LAST] if x_last else xs).astype(np.float32)
        found.append(((x, *blocks), attrs))
        y = conv2d_sparse_op.specs([Spec(a.shape, as_dtype(a.dtype)) for a in (x, *blocks)], attrs)[0].shape
        bias, residual = rng.normal(size=ws[0]).astype(np.float32), rng.normal(size=[int(n) for n in y]).astype(np.float32)  # type: ignore[arg-type]
        found.append(((x, *blocks, bias, residual if i % 4 else None)[: 6 if i % 4 else 5], {**attrs, "activation": i % len(ACTIVATIONS)}))
    return found


def _bytes_samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for i, (xs, ws, g) in enumerate(_all_cases()):
        x_last, y_last = i % 2, i // 2 % 2
        x, w = _corners(rng, 0, 255, xs, np.uint8), _drawn(rng, ws, (0.8, 0.3)[i % 3 % 2], np.int8)
        x = np.ascontiguousarray(x.transpose(TO_LAST)) if x_last else x
        scale, bias = rng.uniform(1e-4, 1e-3, ws[0]).astype(np.float32), rng.integers(-5000, 5000, ws[0]).astype(np.int32)
        blocks, sums = find_blocks(matrix_of(w)), w.sum((1, 2, 3), dtype=np.int32)
        g = {**g, "kernel_h": ws[2], "kernel_w": ws[3], "x_last": x_last, "y_last": y_last}
        found += [((x, np.array(3 * i, np.uint8), *blocks, scale, sums, bias, np.array(9, np.uint8)), {**g, "out": "uint8", "relu": 1}),
                  ((x, np.array(0, np.uint8), *blocks, 900 * scale, sums, bias, np.array(200, np.uint8)), {**g, "out": "uint8", "y_last": 1 - y_last}),
                  ((x, np.array(128, np.uint8), *blocks, scale, sums), {**g, "out": "float32"}),
                  ((x, np.array(255, np.uint8), *blocks, scale, sums, bias), {**g, "out": "int32", "y_last": 1 - y_last})]  # fmt: skip
    return found


conv2d_sparse_op = Op("conv2d_sparse", _shape, _reference, samples=_samples, cost=_cost, bound=_bound)
qconv2d_sparse_op = Op("qconv2d_sparse", _bytes_shape, _bytes_reference, samples=_bytes_samples)


@dataclass(frozen=True)
class SparseConvWeight:
    """Weights [O, C, R, S] as blocks that are not zero: 16 outputs x one channel of a tap in float32, or x four channels in int8 with a scale an output."""

    first: Tensor
    index: Tensor
    values: Tensor
    shape: Conv
    scale: Tensor | None = None
    sums: Tensor | None = None

    @property
    def density(self) -> float:
        """Stored blocks over all blocks."""
        o, c, r, s = self.shape
        return len(self.index) / max(1, -(-o // STRIP) * -(-c // DEPTH[self.values.dtype]) * r * s)

    def dense(self) -> np.ndarray:
        """float32 [O, C, R, S]."""
        w: np.ndarray = weights_of(self.first.numpy(), self.index.numpy(), self.values.numpy(), self.shape).astype(np.float32)
        return w if self.scale is None else w * self.scale.numpy()[:, None, None, None]


def _weights(name: str, w: Any) -> np.ndarray:
    array = np.asarray(w.numpy() if isinstance(w, Tensor) else w)
    array = array if array.dtype == np.int8 else array.astype(np.float32)
    if array.ndim != 4:
        raise ShapeError(f"{name}: weights [O, C, R, S] expected, not {list(array.shape)}; of one group")
    if not np.isfinite(array).all():
        raise ShapeError(f"{name}: weights must be finite")
    return array


def packed_blocks(w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """first, index and values of the blocks of w [O, C, R, S] (float32 or int8) that are not all zero."""
    return find_blocks(matrix_of(w))


def block_density(w: np.ndarray) -> float:
    """The share of blocks of w [O, C, R, S] (float32 or int8) that hold something."""
    o, c, r, s = w.shape
    depth = DEPTH[as_dtype(w.dtype)]
    strips, deep = -(-o // STRIP), -(-c // depth)
    full = np.zeros((strips * STRIP, deep * depth, r, s), bool)
    full[:o, :c] = w != 0
    blocks = full.reshape(strips, STRIP, deep, depth, r, s).any((1, 3))
    return float(blocks.mean()) if blocks.size else 1.0


def sparsify_conv(w: Any, sparsity: float, block: tuple[int, int] = (4, STRIP)) -> np.ndarray:
    """Convolution weights [O, C, R, S] with the share `sparsity` of their blocks (channels of one tap x outputs) set to zero, those of the smallest sum of
    squares. Blocks of 4 x 16 suit int8 and float32 weights, of 1 x 16 float32 ones."""
    from .sparse import sparsify

    array = _weights("sparsify_conv", w).astype(np.float32)
    o, c, r, s = array.shape
    whole = -(-c // block[0]) * block[0]
    full = np.zeros((r, s, whole, o), np.float32)
    full[:, :, :c] = array.transpose(2, 3, 1, 0)
    pruned = sparsify(full.reshape(-1, o), sparsity, block)
    return np.ascontiguousarray(pruned.reshape(r, s, whole, o)[:, :, :c].transpose(3, 2, 0, 1))


def pack_sparse_conv(w: Any, dtype: Any = DType.float32) -> SparseConvWeight:
    """The blocks of w [O, C, R, S] (one group) that are not all zero; `sparsify_conv` makes such a w. dtype int8 rounds to 127 steps a side, one scale an
    output; it is worth it from about 70 % zero blocks."""
    array, dtype = _weights("pack_sparse_conv", w).astype(np.float32), as_dtype(dtype)
    if dtype not in DEPTH:
        raise DTypeError(f"pack_sparse_conv: float32 or int8 expected, not {dtype.name}")
    o, c, r, s = array.shape
    if dtype == DType.float32:
        first, index, values = map(tensor, packed_blocks(array))
        return SparseConvWeight(first, index, values, (o, c, r, s))
    if c * r * s > 32768:
        raise ShapeError(f"pack_sparse_conv: int8 sums of {c * r * s} products may not fit 32 bits; 32768 are the most")
    scale = (np.abs(array).max((1, 2, 3), initial=0) / 127).astype(np.float32)
    q = np.rint(array / np.where(scale > 0, scale, 1)[:, None, None, None]).clip(-127, 127).astype(np.int8)
    first, index, values = map(tensor, packed_blocks(q))
    return SparseConvWeight(first, index, values, (o, c, r, s), tensor(scale), tensor(q.sum((1, 2, 3), dtype=np.int32)))


def conv2d_sparse(x: Tensor, w: SparseConvWeight, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, x_scale: Any = None,
                  x_zero: Any = None) -> Tensor:  # fmt: skip
    """x[N,C,H,W] * w[O,C,R,S] + bias[O] -> float32 [N,O,OH,OW], stride, padding and dilation as of `conv2d`. With int8 weights x is uint8 and stands for
    x_scale * (x - x_zero)."""
    if len(x.shape) != 4 or x.shape[1] != w.shape[1]:
        raise ShapeError(f"conv2d_sparse: {x.spec} against weights {list(w.shape)}")
    g: dict[str, Any] = window(2, "conv2d_sparse", x.shape[2:], w.shape[2:], stride, padding, dilation, 1).attrs2d()
    g = {**{k: v for k, v in g.items() if k in GEOMETRY}, "kernel_h": w.shape[2], "kernel_w": w.shape[3]}
    if w.scale is None or w.sums is None:
        if x_scale is not None or x_zero is not None:
            raise ShapeError("conv2d_sparse: x_scale and x_zero belong to int8 weights")
        last = () if bias is None else (bias,)
        return apply("conv2d_sparse", x, w.first, w.index, w.values, *last, channels=w.shape[0], **g)
    if x_scale is None or x_zero is None:
        raise ShapeError("conv2d_sparse: int8 weights want uint8 activations with x_scale and x_zero")
    scale, zero = tensor(w.scale.numpy() * np.float32(float(x_scale))), tensor(np.array(int(x_zero), np.uint8))
    y = apply("qconv2d_sparse", x, zero, w.first, w.index, w.values, scale, w.sums, out="float32", **g)
    return y if bias is None else y + bias.reshape(-1, 1, 1)


__all__ = ["SparseConvWeight", "conv2d_sparse", "pack_sparse_conv", "sparsify_conv"]
