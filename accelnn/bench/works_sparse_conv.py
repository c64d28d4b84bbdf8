"""Convolutions with 80 % zero blocks, channels last as a compiled network runs them, beside the same convolution with all of them."""

from __future__ import annotations

from typing import Any

import numpy as np

import accelnn as an

from ..core.dtypes import DType
from ..core.errors import ShapeError
from ..core.graph import Spec
from ..core.tensor import apply
from ..ops.conv import GEOMETRY, geometry
from ..ops.conv_nhwc import ALGORITHMS, plan_of
from ..ops.qconv import TO_LAST, pack_conv
from ..ops.sparse_conv import pack_sparse_conv, sparsify_conv
from .arrays import empty, placed
from .works import CONV, Call, Inputs, Work, _conv2d, add
from .works_qconv import out_size


def _draw(dtype: DType) -> Any:
    def draw(rng: np.random.Generator, text: str) -> Inputs:
        plain = _conv2d(rng, text)
        g, (image, weights) = plain.note, plain.arrays
        if g["groups"] != 1:
            raise ShapeError(f"'{text}': block-sparse convolutions have one group")
        full = sparsify_conv(weights, 0.8)
        w = pack_sparse_conv(full, dtype)
        o, _, r, s = w.shape
        blocks = [placed(t.numpy()) for t in (w.first, w.index, w.values)]
        shape = {k: v for k, v in geometry(**g).items() if k in GEOMETRY}
        attrs: dict[str, Any] = {**shape, "kernel_h": r, "kernel_w": s, "x_last": 1, "y_last": 1}
        note = {**g, "dense": placed(full), "geometry": shape, "image": image.shape}
        if w.scale is None or w.sums is None:
            return Inputs([placed(image.transpose(TO_LAST)), *blocks], {**attrs, "channels": o}, note)
        q = np.rint(full / np.maximum(w.scale.numpy(), 1e-30)[:, None, None, None]).astype(np.int8)
        x = empty(tuple(image.shape[a] for a in TO_LAST), np.uint8)
        x[...] = rng.integers(0, 256, x.shape)
        spread = float(74 * 32 * np.sqrt(np.prod(weights.shape[1:])))
        scale = (rng.uniform(0.5, 1, o) * 40 / spread).astype(np.float32)
        operands = [x, np.array(128, np.uint8), *blocks, scale, placed(w.sums.numpy()), None, np.array(120, np.uint8)]
        return Inputs(operands, {**attrs, "out": "uint8"}, {**note, "bytes": q})

    return draw


def _call(op: str) -> Any:
    def ours(x: Inputs) -> Call:
        tensors, attrs = x.tensors(), x.attrs
        return lambda: apply(op, *tensors, **attrs)

    return ours


def _dense(exact: int) -> Any:
    """conv2d_nhwc with packed weights: directly, or by the algorithm that a compiled network takes."""

    def theirs(x: Inputs) -> Call:
        w, image, shape = x.note["dense"], x.tensors()[0], x.note["geometry"]
        algorithm = ALGORITHMS.index(plan_of(Spec(x.note["image"], DType.float32), Spec(w.shape, DType.float32), {**shape, "exact": exact}))
        packed = apply("conv2d_pack", an.asarray(w), algorithm=algorithm)
        attrs = {**shape, "channels": w.shape[0], "kernel_h": w.shape[2], "kernel_w": w.shape[3], "algorithm": algorithm}
        return lambda: apply("conv2d_nhwc", image, packed, **attrs)

    return theirs


def _dense_bytes(x: Inputs) -> Call:
    image, zero, _, _, _, scale, _, _, out_zero = x.tensors()
    packed, attrs = pack_conv(x.note["bytes"], 1, x.note["dilation"]), x.attrs
    return lambda: apply("qconv2d_packed", image, zero, packed, scale, None, out_zero, **attrs)


def _cost(x: Inputs) -> tuple[float, float]:
    (n, c, h, w), weights, g = x.note["image"], x.note["dense"].shape, x.note
    pixels = n * float(np.prod([out_size(size, k, g) for size, k in zip((h, w), weights[2:])]))
    values = next(a for a in x.arrays if a is not None and a.ndim == 2)
    return 2 * pixels * values.size, (n * c * h * w + pixels * weights[0]) * x.arrays[0].itemsize + values.size * values.itemsize


add(Work("conv2d_sparse", "conv2d_sparse", _draw(DType.float32), _call("conv2d_sparse"), CONV, cost=_cost,
         rivals={"own dense": _dense(0), "own direct": _dense(1)}),
    Work("qconv2d_sparse", "qconv2d_sparse", _draw(DType.int8), _call("qconv2d_sparse"), CONV, peak="int8", cost=_cost, dtype="i8",
         rivals={"own dense": _dense_bytes}))  # fmt: skip
