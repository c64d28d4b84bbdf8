"""Normalization. What ops keep for their gradients is written where somebody reads it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....core.dims import product
from ..step import Step, writes


def _affine(s: Step, y: str, weight: str | None, bias: str | None, shape: tuple[Any, ...] | None = None) -> str:
    for op, p in (("Mul", weight), ("Add", bias)):
        if p is not None:
            y = s.add(op, y, p if shape is None else s.reshape(p, shape))
    return y


@writes("layer_norm")
def _(s: Step, x: str, weight: str | None = None, bias: str | None = None) -> Any:
    dims = s.whole("dims")
    inner = s.spec().shape[-dims:]
    scale = weight or s.add("Expand", s.const(1.0), s.ints(*inner))
    how: dict[str, Any] = {"axis": -dims, "epsilon": float(s["eps"])}
    if not any(s.wanted[1:]):
        return s.add("LayerNormalization", x, scale, bias, **how), "", ""
    y, mean, rstd = s.add("LayerNormalization", x, scale, bias, outputs=3, **how)
    axes = s.ints(*range(-dims, 0))
    return y, s.add("Squeeze", rstd, axes), s.add("Squeeze", mean, axes)


@writes("rms_norm")
def _(s: Step, x: str, weight: str | None = None, bias: str | None = None) -> Any:
    axes = s.ints(*range(-s.whole("dims"), 0))
    size = s.add("ReduceMean", s.add("Mul", x, x), axes, keepdims=1)
    rstd = s.add("Reciprocal", s.add("Sqrt", s.add("Add", size, s.const(s["eps"]))))
    y = _affine(s, s.add("Mul", x, rstd), weight, bias)
    return y, s.add("Squeeze", rstd, axes) if s.wanted[1] else ""


def _spread(s: Step, x: str, axes: str) -> tuple[str, str, str, str]:
    """z, 1 / deviation, mean, variance, with dimensions of size 1."""
    mean = s.add("ReduceMean", x, axes, keepdims=1)
    moved = s.add("Sub", x, mean)
    variance = s.add("ReduceMean", s.add("Mul", moved, moved), axes, keepdims=1)
    rstd = s.add("Reciprocal", s.add("Sqrt", s.add("Add", variance, s.const(s["eps"]))))
    return s.add("Mul", moved, rstd), rstd, mean, variance


@writes("group_norm")
def _(s: Step, x: str, weight: str | None = None, bias: str | None = None) -> Any:
    shape, groups = s.spec().shape, s.whole("groups")
    z, rstd, mean, _ = _spread(s, s.reshape(x, (shape[0], groups, product(shape[1:]) // groups)), s.ints(2))
    y = _affine(s, s.reshape(z, shape), weight, bias, (shape[1], *[1] * (len(shape) - 2)))
    return y, *(s.add("Squeeze", v, s.ints(2)) if wanted else "" for v, wanted in zip((rstd, mean), s.wanted[1:]))


@writes("batch_norm")
def _(s: Step, x: str, weight: str | None = None, bias: str | None = None) -> Any:
    shape = s.spec().shape
    axes = [0, *range(2, len(shape))]
    z, rstd, mean, variance = _spread(s, x, s.ints(*axes))
    y = _affine(s, z, weight, bias, (shape[1], *[1] * (len(shape) - 2)))
    if s.wanted[3]:
        n = s.add("Cast", s.ints(product(tuple(shape[a] for a in axes))), to=1)
        variance = s.add("Mul", variance, s.add("Div", n, s.add("Sub", n, s.const(1.0))))
    return y, *(s.reshape(v, shape[1:2]) if wanted else "" for v, wanted in zip((rstd, mean, variance), s.wanted[1:]))


@writes("batch_norm_infer")
def _(s: Step, x: str, mean: str, variance: str, weight: str | None = None, bias: str | None = None) -> Any:
    c: Any = s.spec().shape[1]
    scale, shift = weight or s.const(np.ones(c)), bias or s.const(np.zeros(c))
    return s.add("BatchNormalization", x, scale, shift, mean, variance, epsilon=float(s["eps"]))
