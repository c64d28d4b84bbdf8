"""Convolutions, their gradients as far as ONNX has them, pools, and dimensions sampled at other places."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....core.dims import Size, product
from ....core.dtypes import DType
from ....ops.resizing import COORDINATES, MODES, NEAREST
from ..step import Step, writes
from .pointwise import activate


def geometry(s: Step, dilated: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = {"strides": [s.whole("stride_h"), s.whole("stride_w")], "pads": [s.whole(f"pad_{p}") for p in ("top", "left", "bottom", "right")]}
    return {**found, "dilations": [s.whole("dilation_h"), s.whole("dilation_w")], "group": s.whole("groups")} if dilated else found


@writes("conv2d")
def _(s: Step, x: str, w: str, bias: str | None = None, residual: str | None = None) -> Any:
    y = s.add("Conv", x, w, bias, **geometry(s))
    return activate(s, y if residual is None else s.add("Add", y, residual), s.whole("activation"))


@writes("conv3d")
def _(s: Step, x: str, w: str, bias: str | None = None) -> Any:
    pads = [s.whole(f"pad_{p}") for p in ("front", "top", "left", "back", "bottom", "right")]
    return s.add("Conv", x, w, bias, strides=[s.whole(f"stride_{a}") for a in "dhw"], dilations=[s.whole(f"dilation_{a}") for a in "dhw"], pads=pads)


def _extra(s: Step) -> list[int]:
    """Which of the sizes that give this many results is meant."""
    found = []
    for axis, (way, before, after) in enumerate((("h", "top", "bottom"), ("w", "left", "right"))):
        out, kernel = s.spec(0).shape[2 + axis], s.spec(1).shape[2 + axis]
        least = (out - 1) * s.whole(f"stride_{way}") + s.whole(f"dilation_{way}") * (kernel - 1) + 1 - s.whole(f"pad_{before}") - s.whole(f"pad_{after}")
        extra = s.outputs[0].shape[2 + axis] - least
        if isinstance(extra, Size):
            s.refuse(f"a picture of which nobody knows how much larger it is than {least}")
        found.append(int(extra))
    return found


@writes("conv_transpose2d", "conv2d_dgrad")
def _(s: Step, x: str, w: str, bias: str | None = None) -> Any:
    return s.add("ConvTranspose", x, w, bias, output_padding=_extra(s), **geometry(s))


@writes("conv2d_wgrad")
def _(s: Step, dy: str, x: str) -> Any:
    g = geometry(s)
    if g["group"] != 1:
        s.refuse("the gradient of weights in groups")
    turned = [s.transpose(t, 1, 0, 2, 3) for t in (x, dy)]
    y = s.add("Conv", *turned, strides=g["dilations"], dilations=g["strides"], pads=g["pads"])
    for axis, size in ((2, s["kernel_h"]), (3, s["kernel_w"])):
        y = s.slice(y, axis, 0, size)
    return s.transpose(y, 1, 0, 2, 3)


def _plane(s: Step, i: int, *lead: int) -> tuple[Any, ...]:
    """The shape of operand i with its last two dimensions as one."""
    shape = s.spec(i).shape
    return (*shape[:2], product(shape[2:]))


@writes("max_pool2d")
def _(s: Step, x: str) -> Any:
    window = {"kernel_shape": [s.whole("kernel_h"), s.whole("kernel_w")], **geometry(s, False)}
    if not s.wanted[1]:
        return s.add("MaxPool", x, **window), ""
    y, at = s.add("MaxPool", x, outputs=2, **window)
    plane = s.ints(product(s.spec().shape[2:]))  # ONNX counts places through the batch and the channels
    return y, s.cast(s.add("Mod", at, plane), DType.int32)


@writes("max_pool2d_grad")
def _(s: Step, dy: str, at: str) -> Any:
    n, c, h, w = s.outputs[0].shape
    zeros = s.add("Expand", s.const(0.0), s.ints(n, c, h * w))
    flat = [s.reshape(t, _plane(s, i)) for i, t in enumerate((dy, at))]
    return s.reshape(s.add("ScatterElements", zeros, flat[1], flat[0], axis=2, reduction="add"), (n, c, h, w))


@writes("max_pool2d_gather")
def _(s: Step, g: str, at: str) -> Any:
    flat = [s.reshape(t, _plane(s, i)) for i, t in enumerate((g, at))]
    return s.reshape(s.add("GatherElements", *flat, axis=2), s.outputs[0].shape)


@writes("adaptive_max_pool2d")
def _(s: Step, x: str) -> Any:
    (h, w), wanted = s.spec().shape[2:], [s.whole("out_h"), s.whole("out_w")]
    if isinstance(h, Size) or isinstance(w, Size) or h % wanted[0] or w % wanted[1]:
        s.refuse("windows of several sizes")
    kernel = [h // wanted[0], w // wanted[1]]
    y, at = s.add("MaxPool", x, outputs=2, kernel_shape=kernel, strides=kernel)
    return y, s.cast(s.add("Mod", at, s.ints(h * w)), DType.int32)


@writes("avg_pool2d")
def _(s: Step, x: str) -> Any:
    return s.add("AveragePool", x, kernel_shape=[s.whole("kernel_h"), s.whole("kernel_w")], count_include_pad=s.whole("count_include_pad"),
                 **geometry(s, False))  # fmt: skip


@writes("unfold_planes")
def _(s: Step, x: str) -> Any:
    n, c, _, p = s.spec().shape
    slabs, kernel = s.outputs[0].shape[1], s.whole("kernel")
    if isinstance(slabs, Size):
        s.refuse("slabs of which nobody knows how many there are")
    places = np.arange(slabs)[:, None] * s.whole("stride") + np.arange(kernel) * s.whole("dilation")
    if s["front"] or s["back"]:
        x = s.add("Pad", x, s.ints(0, 0, s.whole("front"), 0, 0, 0, s.whole("back"), 0))
    return s.transpose(s.add("Gather", x, s.const(places, np.int64), axis=2), 0, 2, 1, 3, 4)


def _follows(n: Any, size: Any, scale: float) -> bool:
    """Whether a runtime that is given the scale makes as many elements."""
    if isinstance(n, Size) or isinstance(size, Size):
        return isinstance(n, Size) and float(scale).is_integer() and bool(size == n * int(scale))
    return bool(size == np.floor(np.float32(n) * np.float32(scale)))


@writes("resize")
def _(s: Step, x: str) -> Any:
    """As a picture of one column group: runtimes resize two dimensions of four."""
    shape, axis, mode = s.spec().shape, s.whole("axis"), MODES[s.whole("mode")]
    outer, inner = product(shape[:axis]), product(shape[axis + 1 :])
    if s["outside"] and mode == "linear":
        s.refuse("linear weights that leave out what is outside: runtimes have it of cubic ones only")
    if s["scale"] and not _follows(shape[axis], s["size"], s["scale"]):
        s.refuse(f"{shape[axis]} elements to {s['size']} at a scale of {s['scale']}, of which another size follows")
    how: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": COORDINATES[s.whole("coordinate")]}
    if mode == "nearest":
        how["nearest_mode"] = NEAREST[s.whole("nearest")]
    elif mode == "cubic":
        how["cubic_coeff_a"] = float(s["cubic_a"])
    if s["outside"]:
        how["exclude_outside"] = 1
    picture = s.reshape(x, (1, outer, shape[axis], inner))
    if s["scale"]:
        y = s.add("Resize", picture, None, s.const([1.0, 1.0, s["scale"], 1.0]), **how)
    else:
        y = s.add("Resize", picture, None, None, s.ints(1, outer, s["size"], inner), **how)
    return s.reshape(y, s.outputs[0].shape)
