"""Both gradients of a convolution, and of a transposed one, as a training step asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import accelnn as an

from ..core.registry import OPS
from ..core.tensor import apply
from ..ops.conv import convolved
from .arrays import normal
from .check import Truth, float64
from .works import CONV, Call, Inputs, Work, add, work_named

Attrs = dict[str, int]


def _drawn(op: str) -> Callable[[np.random.Generator, str], Inputs]:
    def draw(rng: np.random.Generator, text: str) -> Inputs:
        """Operands as conv2d's work draws them, weights of the size that keeps a signal's, and dy."""
        x = work_named("conv2d").draw(rng, text)
        x.arrays[1] /= np.float32(np.sqrt(np.prod(x.arrays[1].shape[1:])))
        y = OPS[op].specs(x.specs(), x.attrs)[0]
        x.note["dy"] = normal(rng, *(int(n) for n in y.shape))  # type: ignore[arg-type]
        return x

    return draw


def _both(x: Inputs) -> tuple[Attrs, Attrs]:
    """Attributes of dgrad and of wgrad."""
    (_, _, h, w), (_, _, r, s) = x.arrays[0].shape, x.arrays[1].shape
    return {**x.attrs, "in_h": h, "in_w": w}, {**x.attrs, "kernel_h": r, "kernel_w": s}


def _call(x: Inputs) -> Call:
    (image, weight), dy = x.tensors(), an.asarray(x.note["dy"])
    for_x, for_w = _both(x)
    return lambda: (apply("conv2d_dgrad", dy, weight, **for_x), apply("conv2d_wgrad", dy, image, **for_w))


def _call_transposed(x: Inputs) -> Call:
    (image, weight), dy = x.tensors(), an.asarray(x.note["dy"])
    attrs = x.attrs
    for_w = {**attrs, "kernel_h": weight.shape[2], "kernel_w": weight.shape[3]}
    return lambda: (convolved(dy, weight, None, attrs), apply("conv2d_wgrad", image, dy, **for_w))


def _true(parts: Iterable[tuple[str, tuple[Any, Any], Attrs]]) -> Truth:
    """What several ops with a bound give."""
    ops = [(OPS[name], arrays, attrs) for name, arrays, attrs in parts]
    bounds: list[Callable[..., Any]] = [op.bound for op, _, _ in ops if op.bound]
    return Truth([op.reference(*arrays, **attrs) for op, arrays, attrs in ops],
                 [bound(*arrays, **attrs) for bound, (_, arrays, attrs) in zip(bounds, ops, strict=True)])  # fmt: skip


def _truth(x: Inputs) -> Truth:
    image, weight, dy = map(float64, (*x.arrays, x.note["dy"]))
    for_x, for_w = _both(x)
    return _true((("conv2d_dgrad", (dy, weight), for_x), ("conv2d_wgrad", (dy, image), for_w)))


def _truth_transposed(x: Inputs) -> Truth:
    image, weight, dy = map(float64, (*x.arrays, x.note["dy"]))
    return _true((("conv2d", (dy, weight), x.attrs), ("conv2d_wgrad", (image, dy), {**x.attrs, "kernel_h": weight.shape[2], "kernel_w": weight.shape[3]})))


def _cost(side: str) -> Callable[[Inputs], tuple[float, float]]:
    """`side`: whose pixels meet every weight, dy's or, of a transposed convolution, x's."""
    def cost(x: Inputs) -> tuple[float, float]:
        image, weight, dy = (a.size for a in (*x.arrays, x.note["dy"]))
        flops = 4.0 * {"dy": dy, "x": image}[side] * weight / x.arrays[1].shape[0]
        return flops, 4.0 * (2 * dy + 2 * image + 2 * weight)

    return cost


add(Work("conv2d_backward", "conv2d", _drawn("conv2d"), _call, f"{CONV}, both gradients", truth=_truth, cost=_cost("dy"), plain=False, eager=False),
    Work("conv_transpose2d_backward", "conv_transpose2d", _drawn("conv_transpose2d"), _call_transposed, "NxCxHxW:CxOxRxS[:stride=2][:padding=1]",
         truth=_truth_transposed, cost=_cost("x"), plain=False, eager=False))  # fmt: skip
