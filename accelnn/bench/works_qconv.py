"""Byte convolutions as a compiled network runs them: weights packed; images as they come (NCHW), or channels last."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.tensor import apply
from ..ops.conv import geometry
from ..ops.qconv import TO_LAST, pack_conv
from .arrays import empty, placed
from .works import CONV, Call, Inputs, Work, _conv2d, add


def _qconv(last: int) -> Any:
    def draw(rng: np.random.Generator, text: str) -> Inputs:
        plain = _conv2d(rng, text)
        g, image, weights = plain.note, plain.arrays[0].shape, plain.arrays[1].shape
        x, w = empty(image, np.uint8), empty(weights, np.int8)
        x[...], w[...] = rng.integers(0, 256, image), np.clip(np.rint(plain.arrays[1] * 32), -127, 127)
        spread = float(74 * 32 * np.sqrt(np.prod(weights[1:])))               # of the sums: results fill the bytes
        scale = (rng.uniform(0.5, 1, weights[0]) * 40 / spread).astype(np.float32)
        attrs = {**geometry(**g), "kernel_h": weights[2], "kernel_w": weights[3], "relu": 0, "x_last": last, "y_last": last, "out": "uint8"}
        packed = placed(pack_conv(w, g["groups"], g["dilation"]).numpy())
        x = placed(x.transpose(TO_LAST)) if last else x
        return Inputs([x, np.array(128, np.uint8), packed, scale, None, np.array(120, np.uint8)], attrs, {**g, "w": w, "last": last})

    return draw


def _call(x: Inputs) -> Call:
    tensors, attrs = x.tensors(), x.attrs
    return lambda: apply("qconv2d_packed", *tensors, **attrs)


def _cost(x: Inputs) -> tuple[float, float]:
    image, weights, g = x.arrays[0].shape, x.note["w"].shape, x.note
    h, w = image[1:3] if g["last"] else image[2:]
    oh, ow = (out_size(n, k, g) for n, k in zip((h, w), weights[2:]))
    return 2.0 * image[0] * oh * ow * float(np.prod(weights)), float(np.prod(image) + np.prod(weights) + image[0] * oh * ow * weights[0])


def out_size(size: int, kernel: int, g: dict[str, int]) -> int:
    return int((size + 2 * g["padding"] - g["dilation"] * (kernel - 1) - 1) // g["stride"] + 1)


for _name, _last in (("qconv2d_packed", 0), ("qconv2d_last", 1)):
    add(Work(_name, "qconv2d_packed", _qconv(_last), _call, CONV, peak="int8", cost=_cost, dtype="i8"))
