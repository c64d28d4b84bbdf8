"""Byte convolutions by way of F(4,3) are exact to the last of the channels that it takes, at the ends of all ranges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accelnn import _C
from accelnn.core.dtypes import DType, as_dtype
from accelnn.core.registry import KERNELS, OPS
from accelnn.ops.qconv import pack_conv

OP = OPS["qconv2d_packed"]
ROWS = [r["name"] for r in KERNELS["qconv2d_packed"]["rows"] if r["isa"] & _C.machine()["detected"] == r["isa"] and not r["name"].endswith("_ref")]


def run(row: str, x: Any, zero: int, w: Any, **attrs: Any) -> np.ndarray:
    arrays = [x, np.array(zero, np.uint8), pack_conv(w).numpy(), np.ones(len(w), np.float32)]
    views = tuple(_C.View.share(a, as_dtype(a.dtype)) for a in arrays)
    attrs = {"kernel_h": 3, "kernel_w": 3, "x_last": 1, "y_last": 1, **attrs}
    y = _C.View.empty((*x.shape[:1], x.shape[1] - 2, x.shape[2] - 2, len(w)), DType.int32)
    assert _C.run_row(OP.number, row, views, OP.packed(attrs, len(views)), (y,)) is None
    return np.array(y.numpy())


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("channels", [32, 224])
@pytest.mark.parametrize("zero", [0, 255])
def test_exact_at_the_ends(row: str, channels: int, zero: int) -> None:
    rng = np.random.default_rng(channels)
    x = np.where(rng.random((1, 30, 30, channels)) < 0.5, 0, 255).astype(np.uint8)
    w = np.where(rng.random((33, channels, 3, 3)) < 0.5, -128, 127).astype(np.int8)
    x[0, :10], x[0, 10:20, :, ::2], w[0], w[1] = 0, 255, -128, 127
    if channels == 224:
        x[0, 20:], w[2] = 255, np.where(rng.random((channels, 3, 3)) < 0.01, 127, -128)
    windows = np.lib.stride_tricks.sliding_window_view(x[0].astype(np.float64) - zero, (3, 3), (0, 1))
    want = np.tensordot(windows, w.astype(np.float64), ((2, 3, 4), (1, 2, 3)))
    assert np.array_equal(run(row, x, zero, w)[0], want.astype(np.int64))


@pytest.mark.parametrize(("channels", "size", "attrs"), [
    (96, (9, 13), {"pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}),
    (16, (5, 227), {"stride_w": 2, "pad_left": 1}),                                                 # strips
    (72, (11, 61), {"stride_h": 2, "pad_top": 2, "pad_left": 3, "pad_bottom": 5, "pad_right": 4}),     # whole lines and columns of zeros
    (40, (4, 3), {"stride_h": 2, "stride_w": 2, "pad_right": 1, "relu": 1}),
    (3, (4, 5), {}),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("last", [0, 1])
def test_depthwise_by_strips(channels: int, size: tuple[int, int], attrs: dict[str, int], last: int) -> None:
    """Channels that fill no vector lie in one several times; the rows of x end with x."""
    rng = np.random.default_rng(channels)
    x = rng.integers(0, 256, (2, channels, *size)).astype(np.uint8)
    w = rng.integers(-128, 128, (channels, 1, 3, 3)).astype(np.int8)
    arrays = [np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if last else x, np.array(201, np.uint8), pack_conv(w, channels).numpy(),
              rng.uniform(1e-3, 4e-3, channels).astype(np.float32), rng.integers(-9999, 9999, channels).astype(np.int32), np.array(120, np.uint8)]  # fmt: skip
    full = {"kernel_h": 3, "kernel_w": 3, "groups": channels, "x_last": last, "y_last": last, **attrs}
    h, v = ((n + sum(attrs.get(f"pad_{s}", 0) for s in sides) - 3) // attrs.get(stride, 1) + 1
            for n, sides, stride in zip(size, (("top", "bottom"), ("left", "right")), ("stride_h", "stride_w")))  # fmt: skip
    found = []
    for row in [*ROWS, "qconv2d_packed_u8_ref"]:
        views = tuple(_C.View.share(a, as_dtype(a.dtype)) for a in arrays)
        y = _C.View.empty((2, h, v, channels) if last else (2, channels, h, v), DType.uint8)
        assert _C.run_row(OP.number, row, views, OP.packed(full, len(views)), (y,)) is None
        found.append(np.array(y.numpy()))
    assert len(np.unique(found[-1])) > 6 and all(np.array_equal(found[-1], f) for f in found)
