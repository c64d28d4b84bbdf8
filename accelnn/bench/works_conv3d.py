"""A convolution over three dimensions, and both of its gradients and of a transposed one's through the tape: what a training step pays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import accelnn as an

from ..core.autograd import grad_of
from ..core.errors import ShapeError
from ..core.registry import OPS
from ..ops.conv import geometry
from ..ops.conv_volume import attrs3d
from ..ops.matmul import gamma
from ..ops.window import Window
from .arrays import normal
from .check import Truth, float64
from .works import Call, Inputs, Work, add, sizes

SYNTAX = "NxCxDxHxW:OxCxTxTxT[:stride=2][:padding=1]"


def _out(size: int, kernel: int, g: dict[str, int], transposed: bool) -> int:
    return (size - 1) * g["stride"] - 2 * g["padding"] + kernel if transposed else (size + 2 * g["padding"] - kernel) // g["stride"] + 1


def _drawn(transposed: bool) -> Callable[[np.random.Generator, str], Inputs]:
    def draw(rng: np.random.Generator, text: str) -> Inputs:
        image, weights, *rest = text.split(":")
        x, w = sizes(image, 5, SYNTAX), sizes(weights, 5, SYNTAX)
        if x[1] != w[0 if transposed else 1]:
            raise ShapeError(f"'{text}': the weights are for another number of channels; expected {SYNTAX}")
        g = {"stride": 1, "padding": 0} | {k: int(v) for k, _, v in (part.partition("=") for part in rest)}
        dy = (x[0], w[1] if transposed else w[0], *(_out(s, k, g, transposed) for s, k in zip(x[2:], w[2:])))
        return Inputs([normal(rng, *x), normal(rng, *w) / np.float32(np.sqrt(np.prod(w[1:])))], {}, {**g, "dilation": 1, "groups": 1, "dy": normal(rng, *dy)})

    return draw


def _drawn_forward(rng: np.random.Generator, text: str) -> Inputs:
    x = _drawn(False)(rng, text)
    g = x.note
    return Inputs(x.arrays, attrs3d(Window((0,) * 3, (g["stride"],) * 3, (g["padding"],) * 3, (g["padding"],) * 3, (1,) * 3, 1)), g)


def _call_forward(x: Inputs) -> Call:
    (image, weight), g = x.tensors(), x.note
    return lambda: an.ops.conv3d(image, weight, None, stride=g["stride"], padding=g["padding"])


def _call(transposed: bool) -> Callable[[Inputs], Call]:
    def ours(x: Inputs) -> Call:
        (image, weight), dy, g = x.tensors(), an.asarray(x.note["dy"]), x.note
        image.requires_grad = weight.requires_grad = True
        function = an.ops.conv_transpose3d if transposed else an.ops.conv3d
        y = function(image, weight, None, stride=g["stride"], padding=g["padding"])
        return lambda: grad_of(y, (image, weight), [dy])

    return ours


def _truth(transposed: bool) -> Callable[[Inputs], Truth]:
    """By way of slabs of planes (ops/conv_nd.py), with the bounds of the two-dimensional gradients."""

    def truth(x: Inputs) -> Truth:
        image, weight, dy = map(float64, (*x.arrays, x.note["dy"]))
        t, g = weight.shape[2], geometry(x.note["stride"], x.note["padding"])
        depth = {"kernel": t, "stride": x.note["stride"], "front": x.note["padding"], "back": x.note["padding"]}
        seen, small = (dy, image) if transposed else (image, dy)                 # what windows walk over, and what they meet
        n, c, d, h, width = seen.shape
        planes = small.transpose(0, 2, 1, 3, 4).reshape(-1, small.shape[1], *small.shape[3:])
        slabs = OPS["unfold_planes"].reference(seen.reshape(n, c, d, h * width), **depth).reshape(len(planes), c * t, h, width)
        flat = weight.reshape(weight.shape[0], c * t, *weight.shape[3:])

        def both(name: str, *arrays: Any, **attrs: Any) -> list[Any]:
            op = OPS[name]
            assert op.bound
            return [op.reference(*arrays, **g, **attrs), op.bound(*arrays, **g, **attrs)]

        dw, dw_bound = (v.reshape(weight.shape) for v in both("conv2d_wgrad", planes, slabs, kernel_h=weight.shape[3], kernel_w=weight.shape[4]))
        if transposed:
            dx, bound = (v.reshape(n, -1, *v.shape[1:]).transpose(0, 2, 1, 3, 4) for v in both("conv2d", slabs, flat))
        else:
            parts, part_bound = both("conv2d_dgrad", planes, flat, in_h=h, in_w=width)
            dx, bound = (OPS["fold_planes"].reference(v.reshape(n, -1, c, t, h * width), size=d, **depth).reshape(seen.shape)
                         for v in (parts, part_bound * (1 + gamma(t)) + gamma(t) * np.abs(parts)))  # fmt: skip
        return Truth([dx, dw], [bound, dw_bound])

    return truth


def _cost(transposed: bool) -> Callable[[Inputs], tuple[float, float]]:
    def cost(x: Inputs) -> tuple[float, float]:
        image, weight, dy = (a.size for a in (*x.arrays, x.note["dy"]))
        return 4.0 * (image if transposed else dy) * weight / x.arrays[1].shape[0], 8.0 * (dy + image + weight)

    return cost


add(*(Work(f"{name}_backward", op, _drawn(flag), _call(flag), SYNTAX, truth=_truth(flag), cost=_cost(flag), plain=False, eager=False)
      for name, op, flag in (("conv3d", "fold_planes", False), ("conv_transpose3d", "unfold_planes", True))))  # fmt: skip
add(Work("conv3d", "conv3d", _drawn_forward, _call_forward, SYNTAX, plain=False, eager=False))
