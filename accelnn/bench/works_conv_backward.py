"""Both gradients of a convolution, as a training step asks for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import accelnn as an

from ..core.registry import OPS
from ..core.tensor import apply
from .arrays import normal
from .check import Truth, float64
from .works import CONV, Call, Inputs, Work, add, work_named

Attrs = dict[str, int]


def _draw(rng: np.random.Generator, text: str) -> Inputs:
    """Operands of conv2d as its own work draws them, weights of the size that keeps a signal's, and dy."""
    x = work_named("conv2d").draw(rng, text)
    x.arrays[1] /= np.float32(np.sqrt(np.prod(x.arrays[1].shape[1:])))
    y = OPS["conv2d"].specs(x.specs(), x.attrs)[0]
    x.note["dy"] = normal(rng, *(int(n) for n in y.shape))  # type: ignore[arg-type]
    return x


def _both(x: Inputs) -> tuple[Attrs, Attrs]:
    """Attributes of dgrad and of wgrad."""
    (_, _, h, w), (_, _, r, s) = x.arrays[0].shape, x.arrays[1].shape
    return {**x.attrs, "in_h": h, "in_w": w}, {**x.attrs, "kernel_h": r, "kernel_w": s}


def _call(x: Inputs) -> Call:
    (image, weight), dy = x.tensors(), an.asarray(x.note["dy"])
    for_x, for_w = _both(x)
    return lambda: (apply("conv2d_dgrad", dy, weight, **for_x), apply("conv2d_wgrad", dy, image, **for_w))


def _truth(x: Inputs) -> Truth:
    image, weight = map(float64, x.arrays)
    dy = x.note["dy"].astype(np.float64)
    ops: list[tuple[Any, tuple[Any, Any], Attrs]] = [(OPS[name], (dy, other), attrs) for name, other, attrs in zip(
        ("conv2d_dgrad", "conv2d_wgrad"), (weight, image), _both(x))]  # fmt: skip
    bounds: list[Callable[..., Any]] = [op.bound for op, _, _ in ops if op.bound]
    return Truth([op.reference(*arrays, **attrs) for op, arrays, attrs in ops],
                 [bound(*arrays, **attrs) for bound, (_, arrays, attrs) in zip(bounds, ops, strict=True)])  # fmt: skip


def _cost(x: Inputs) -> tuple[float, float]:
    image, weight, dy = (a.size for a in (*x.arrays, x.note["dy"]))
    flops = 4.0 * dy * weight / x.arrays[1].shape[0]
    return flops, 4.0 * (2 * dy + 2 * image + 2 * weight)


add(Work("conv2d_backward", "conv2d", _draw, _call, f"{CONV}, both gradients", truth=_truth, cost=_cost, plain=False, eager=False))
