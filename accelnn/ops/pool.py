"""Pooling over two dimensions, NCHW. Maximum pooling keeps the place of each maximum, so that its gradient and the gradient's gradient are gathers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dims import AnySize
from ..core.dtypes import DType
from ..core.errors import DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply
from .conv import columns, out_size, pair

NAMES = ("kernel_h", "kernel_w", "stride_h", "stride_w", "pad_top", "pad_left", "pad_bottom", "pad_right")


def window(kernel: Any, stride: Any = None, padding: Any = 0) -> dict[str, int]:
    """Torch's arguments as the op's attributes."""
    (kh, kw), (ph, pw) = pair(kernel), pair(padding)
    sh, sw = pair(kernel if stride is None else stride)
    if min(kh, kw, sh, sw) < 1 or not (0 <= 2 * ph <= kh and 0 <= 2 * pw <= kw):
        raise ShapeError(f"pooling: kernel {kernel}, stride {stride}, padding {padding} (at most half the kernel)")
    return dict(zip(NAMES, (kh, kw, sh, sw, ph, pw, ph, pw)))


def _pooled(name: str, x: Spec, w: dict[str, int], dtypes: tuple[DType, ...]) -> tuple[AnySize, ...]:
    if len(x.shape) != 4:
        raise ShapeError(f"{name}: x[N,C,H,W] expected, not {x}")
    if x.dtype not in dtypes:
        raise DTypeError(f"{name}: {' or '.join(d.name for d in dtypes)} expected, not {x.dtype.name}")
    oh = out_size(x.shape[2], w["kernel_h"], w["stride_h"], 1, w["pad_top"], w["pad_bottom"])
    ow = out_size(x.shape[3], w["kernel_w"], w["stride_w"], 1, w["pad_left"], w["pad_right"])
    if oh < 1 or ow < 1:
        raise ShapeError(f"{name}: a window of {w['kernel_h']} x {w['kernel_w']} does not fit into {x}")
    return (*x.shape[:2], oh, ow)


def _geometry(w: dict[str, int]) -> dict[str, int]:
    return {k: v for k, v in w.items() if not k.startswith("kernel")} | {"dilation_h": 1, "dilation_w": 1}


def _windows(x: Any, w: dict[str, int], fill: Any) -> Any:
    """[N,C,R*S,OH,OW]."""
    cols = columns(x, w["kernel_h"], w["kernel_w"], _geometry(w), fill)
    return cols.reshape(*x.shape[:2], w["kernel_h"] * w["kernel_w"], *cols.shape[4:])


def _max_reference(x: Any, **w: int) -> Any:
    n, c, h, width = x.shape
    low = 0 if x.dtype == np.uint8 else -np.inf
    inside = _windows(np.ones((1, 1, h, width)), w, 0)
    cols = np.where(inside > 0, _windows(x, w, low).astype(np.float64), -np.inf)
    where = np.broadcast_to(np.arange(h * width).reshape(1, 1, h, width), (n, c, h, width))
    best = cols.argmax(2)[:, :, None]
    return np.take_along_axis(cols, best, 2)[:, :, 0], np.take_along_axis(_windows(where, w, -1), best, 2)[:, :, 0].astype(np.int32)


_CASES = (((1, 1, 4, 4), (2, None, 0)), ((2, 6, 28, 28), (2, 2, 0)), ((2, 3, 7, 9), (3, 2, 1)),
          ((1, 2, 6, 5), ((2, 3), (1, 2), (0, 1))), ((0, 1, 4, 4), (2, 2, 0)), ((1, 2, 6, 548), (3, 2, (1, 0))))


def _samples(*dtypes: type) -> Any:
    def samples() -> Any:
        rng = np.random.default_rng(0)
        return [((rng.permutation(int(np.prod(s))).reshape(s).astype(d),), window(*a)) for d in dtypes for s, a in _CASES]

    return samples


max_pool2d_op = Op("max_pool2d", lambda x, **w: (Spec(_pooled("max_pool2d", x, w, (DType.float32, DType.uint8)), x.dtype),
                                                 Spec(_pooled("max_pool2d", x, w, (DType.float32, DType.uint8)), DType.int32)),
                   _max_reference, samples=_samples(np.float32, np.uint8))  # fmt: skip


def _scatter_reference(dy: Any, idx: Any, in_h: int, in_w: int, **w: int) -> Any:
    dx = np.zeros((*dy.shape[:2], in_h * in_w), dy.dtype)
    n, c = np.indices(dy.shape)[:2]
    np.add.at(dx, (n.ravel(), c.ravel(), np.asarray(idx, np.int64).ravel()), dy.ravel())
    return dx.reshape(*dy.shape[:2], in_h, in_w)


def _gather_reference(g: Any, idx: Any, **w: int) -> Any:
    flat = np.asarray(idx, np.int64).reshape(*idx.shape[:2], idx.shape[2] * idx.shape[3])
    return np.take_along_axis(g.reshape(*g.shape[:2], g.shape[2] * g.shape[3]), flat, 2).reshape(idx.shape)


def _index_samples(forward: bool) -> Any:
    def samples() -> Any:
        rng = np.random.default_rng(0)
        found = []
        for (x,), w in _samples(np.float32)():
            y, idx = _max_reference(x, **w)
            given = rng.normal(size=x.shape if forward else y.shape).astype(np.float32)
            found.append(((given, idx), w if forward else {**w, "in_h": x.shape[2], "in_w": x.shape[3]}))
        return found

    return samples


max_pool2d_grad = Op("max_pool2d_grad", lambda dy, idx, in_h, in_w, **w: Spec((*dy.shape[:2], in_h, in_w), DType.float32), _scatter_reference,
                     samples=_index_samples(False))  # fmt: skip
max_pool2d_gather = Op("max_pool2d_gather", lambda g, idx, **w: Spec(idx.shape, DType.float32), _gather_reference, samples=_index_samples(True))


@max_pool2d_op.vjp
def _(dy: Tensor, didx: None, x: Tensor, y: Tensor, idx: Tensor, **w: int) -> Any:
    return apply("max_pool2d_grad", dy, idx, in_h=x.shape[2], in_w=x.shape[3], **w)


@max_pool2d_grad.vjp
def _(g: Tensor, dy: Tensor, idx: Tensor, dx: Tensor, in_h: int, in_w: int, **w: int) -> Any:
    return apply("max_pool2d_gather", g, idx, **w), None


@max_pool2d_gather.vjp
def _(dy: Tensor, g: Tensor, idx: Tensor, y: Tensor, **w: int) -> Any:
    return apply("max_pool2d_grad", dy, idx, in_h=g.shape[2], in_w=g.shape[3], **w), None


def span(i: Any, n: int, m: int) -> tuple[Any, Any]:
    """Which of n elements the i-th of m adaptive windows sees: [begin, end)."""
    return i * n // m, -(-(i + 1) * n // m)


def _adaptive_shape(x: Spec, out_h: int, out_w: int) -> tuple[Spec, Spec]:
    if len(x.shape) != 4:
        raise ShapeError(f"adaptive_max_pool2d: x[N,C,H,W] expected, not {x}")
    if x.dtype != DType.float32:
        raise DTypeError(f"adaptive_max_pool2d: float32 expected, not {x.dtype.name}")
    shape = (*x.shape[:2], out_h, out_w)
    return Spec(shape, x.dtype), Spec(shape, DType.int32)


def _adaptive_reference(x: Any, out_h: int, out_w: int) -> Any:
    n, c, h, w = x.shape
    y, index = np.zeros((n, c, out_h, out_w)), np.zeros((n, c, out_h, out_w), np.int32)
    for i, j in np.ndindex(out_h, out_w):
        (top, low), (left, right) = span(i, h, out_h), span(j, w, out_w)
        seen = x[:, :, top:low, left:right].reshape(n, c, (low - top) * (right - left)).astype(np.float64)
        at = seen.argmax(2)
        y[:, :, i, j] = np.take_along_axis(seen, at[..., None], 2)[..., 0]
        index[:, :, i, j] = (top + at // (right - left)) * w + left + at % (right - left)
    return y, index


def _adaptive_samples() -> Any:
    rng = np.random.default_rng(0)
    cases = (((1, 1, 1, 1), 1, 1), ((2, 3, 7, 9), 3, 4), ((1, 2, 5, 37), 2, 7), ((0, 2, 5, 5), 2, 2), ((1, 1, 4, 6), 4, 4))
    return [((rng.permutation(int(np.prod(s))).reshape(s).astype(np.float32),), {"out_h": h, "out_w": w}) for s, h, w in cases]


adaptive_max_pool2d_op = Op("adaptive_max_pool2d", _adaptive_shape, _adaptive_reference, samples=_adaptive_samples)


@adaptive_max_pool2d_op.vjp
def _(dy: Tensor, didx: None, x: Tensor, y: Tensor, idx: Tensor, out_h: int, out_w: int) -> Any:
    # Places are in planes, whatever window they came from: one that slides by 1 has as many outputs.
    h, w = x.shape[2:]
    return apply("max_pool2d_grad", dy, idx, in_h=h, in_w=w, **window((h - out_h + 1, w - out_w + 1), 1))


def _average_weights(shape: tuple[int, ...], w: dict[str, int], count_include_pad: int) -> Any:
    inside = _windows(np.ones((1, 1, *shape[2:])), w, 0).sum(2)
    return 1.0 / (w["kernel_h"] * w["kernel_w"] + 0 * inside if count_include_pad else np.maximum(inside, 1))


def _average_reference(x: Any, count_include_pad: int = 1, **w: int) -> Any:
    return _windows(x, w, 0).sum(2) * _average_weights(x.shape, w, count_include_pad)


def _average_grad_reference(dy: Any, in_h: int, in_w: int, count_include_pad: int = 1, **w: int) -> Any:
    where = np.arange(in_h * in_w).reshape(1, 1, in_h, in_w)
    spread = dy * _average_weights((1, 1, in_h, in_w), w, count_include_pad)
    dx = np.zeros((*dy.shape[:2], in_h * in_w + 1), dy.dtype)
    for places in _windows(where, w, in_h * in_w)[0, 0]:
        n, c = np.indices(dy.shape)[:2]
        np.add.at(dx, (n, c, np.broadcast_to(places, dy.shape)), spread)
    return dx[:, :, :-1].reshape(*dy.shape[:2], in_h, in_w)


def _average_samples(forward: bool) -> Any:
    def samples() -> Any:
        rng = np.random.default_rng(0)
        found = []
        for (x,), w in _samples(np.float32)():
            for include in (0, 1):
                y = _average_reference(x, include, **w)
                given = rng.normal(size=x.shape if forward else y.shape).astype(np.float32)
                found.append(((given,), {**w, "count_include_pad": include, **({} if forward else {"in_h": x.shape[2], "in_w": x.shape[3]})}))
        return found

    return samples


avg_pool2d_op = Op("avg_pool2d", lambda x, count_include_pad=1, **w: Spec(_pooled("avg_pool2d", x, w, (DType.float32,)), DType.float32), _average_reference,
                   samples=_average_samples(True))  # fmt: skip
avg_pool2d_grad = Op("avg_pool2d_grad", lambda dy, in_h, in_w, **w: Spec((*dy.shape[:2], in_h, in_w), DType.float32), _average_grad_reference,
                     samples=_average_samples(False))  # fmt: skip


@avg_pool2d_op.vjp
def _(dy: Tensor, x: Tensor, y: Tensor, **w: int) -> Any:
    return apply("avg_pool2d_grad", dy, in_h=x.shape[2], in_w=x.shape[3], **w)


@avg_pool2d_grad.vjp
def _(g: Tensor, dy: Tensor, dx: Tensor, in_h: int, in_w: int, **w: int) -> Any:
    return apply("avg_pool2d", g, **w)
