"""Normalizations, softmax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .... import ops
from ....core.dims import product
from ....core.dtypes import DType
from ....core.tensor import Tensor, apply
from ....ops.arithmetic import calculate
from ..call import Call, axis_of, register
from ..exact import reduced

MOST_CHANNELS = 4096  # that a local response norm sums


@register("BatchNormalization", widened=True)
def _(c: Call, x: Any, scale: Any, bias: Any, mean: Any, var: Any) -> Any:
    x, scale, bias, mean, var = (c.tensor(v) for v in (x, scale, bias, mean, var))
    c.ignore("consumed_inputs")
    eps, momentum = float(c.get("epsilon", 1e-5)), float(c.get("momentum", 0.9))
    if not c.get("training_mode", 0):
        return apply("batch_norm_infer", x, mean, var, scale, bias, eps=eps)
    axes = tuple(d for d in range(x.ndim) if d != 1)
    wide = [-1 if d == 1 else 1 for d in range(x.ndim)]
    m, v = x.mean(axes), ops.var(x, axes, 0)
    y = (x - m.reshape(*wide)) / (v.reshape(*wide) + eps).sqrt() * scale.reshape(*wide) + bias.reshape(*wide)
    return y, mean * momentum + m * (1 - momentum), var * momentum + v * (1 - momentum)


@register("LayerNormalization", widened=True)
def _(c: Call, x: Any, scale: Any, bias: Any = None) -> Any:
    x = c.tensor(x)
    axis, eps = axis_of(c, c.get("axis", -1), x.ndim), float(c.get("epsilon", 1e-5))
    c.ignore("stash_type")  # all of it is in float32
    shape = x.shape[axis:]
    scale, bias = c.tensor(scale), None if bias is None else c.tensor(bias)
    plain = scale.shape == shape and (bias is None or bias.shape == shape)
    y = ops.layer_norm(x, shape, scale if plain else None, bias if plain else None, eps)
    if not plain:
        y = y * scale if bias is None else y * scale + bias
    if not c.wants(1) and not c.wants(2):
        return y
    axes = tuple(range(axis, x.ndim))
    mean = x.mean(axes, True)
    return y, mean, (ops.var(x, axes, 0, True) + eps).sqrt().reciprocal()


@register("SimplifiedLayerNormalization", widened=True)
@register("RMSNormalization", widened=True)
def _(c: Call, x: Any, scale: Any) -> Any:
    x, scale = c.tensor(x), c.tensor(scale)
    c.ignore("stash_type")
    axis = axis_of(c, c.get("axis", -1), x.ndim)
    shape = x.shape[axis:]
    y = ops.rms_norm(x, shape, scale if scale.shape == shape else None, float(c.get("epsilon", 1e-5)))
    return y if scale.shape == shape else y * scale


@register("SkipLayerNormalization", "com.microsoft", widened=True)
def _(c: Call, x: Any, skip: Any, gamma: Any, beta: Any = None, bias: Any = None) -> Any:
    total = c.tensor(x) + c.tensor(skip)
    if bias is not None:
        total = total + c.tensor(bias)
    width: Any = (total.shape[-1],)
    y = ops.layer_norm(total, width, c.tensor(gamma), None if beta is None else c.tensor(beta), float(c.get("epsilon", 1e-5)))
    return (y, None, None, total) if c.wants(3) else y


@register("GroupNormalization", widened=True)
def _(c: Call, x: Any, scale: Any, bias: Any) -> Any:
    x, scale, bias = c.tensor(x), c.tensor(scale), c.tensor(bias)
    c.ignore("stash_type")
    groups, eps = int(c.get("num_groups")), float(c.get("epsilon", 1e-5))
    if c.opset >= 21:
        return ops.group_norm(x, groups, scale, bias, eps)
    y = ops.group_norm(x, groups, None, None, eps).reshape(x.shape[0], groups, -1, *x.shape[2:])
    affine = [t.reshape(1, groups, 1, *[1] * (x.ndim - 2)) for t in (scale, bias)]
    return (y * affine[0] + affine[1]).reshape(*x.shape)


@register("InstanceNormalization", widened=True)
def _(c: Call, x: Any, scale: Any, bias: Any) -> Any:
    c.ignore("consumed_inputs")
    return ops.instance_norm(c.tensor(x), weight=c.tensor(scale), bias=c.tensor(bias), eps=float(c.get("epsilon", 1e-5)))


@register("MeanVarianceNormalization", widened=True)
def _(c: Call, x: Any) -> Any:
    x = c.tensor(x)
    axes = c.ints("axes", (0, 2, 3))
    mean = x.mean(axes, True)
    return (x - mean) / (ops.var(x, axes, 0, True).sqrt() + 1e-9)


@register("LpNormalization", widened=True)
def _(c: Call, x: Any) -> Any:
    x, p = c.tensor(x), int(c.get("p", 2))
    norm = ops.norm(x, float(p), axis_of(c, c.get("axis", -1), x.ndim), True)
    return ops.where(norm == 0.0, 0.0, x / norm)


@register("LRN", widened=True)
def _(c: Call, x: Any) -> Any:
    size = int(c.get("size"))
    if not 0 < size <= MOST_CHANNELS:
        raise c.bad(f"size {size}")
    if size % 2 == 0:  # ONNX looks further ahead than back where torch looks further back
        x = c.tensor(x)
        front, behind = (size - 1) // 2, size - 1 - (size - 1) // 2
        rank = x.ndim
        low, high = [0] * rank, [0] * rank
        low[1], high[1] = front, behind
        squares = apply("pad", x * x, low=tuple(low), high=tuple(high), step=(), mode=0, value=0.0)
        total: Tensor | None = None
        for i in range(size):
            part = apply("slice", squares, axis=1, start=i, length=x.shape[1], step=1)
            total = part if total is None else total + part
        assert total is not None
        base = total * (float(c.get("alpha", 1e-4)) / size) + float(c.get("bias", 1.0))
        return x / apply("pow", base, c.tensor(np.asarray(c.get("beta", 0.75), np.float32)))
    return ops.local_response_norm(c.tensor(x), size, float(c.get("alpha", 1e-4)), float(c.get("beta", 0.75)), float(c.get("bias", 1.0)))


def _softmax_of_float64(log: bool) -> Callable[[Tensor, int], Tensor]:
    def f(x: Tensor, axis: int) -> Tensor:
        shifted = calculate("sub", x, reduced(x, (axis,), True, "max"))
        powers = calculate("exp", shifted)
        total = reduced(powers, (axis,), True, "sum")
        return calculate("sub", shifted, calculate("log", total)) if log else calculate("div", powers, total)

    return f


def _softmax(name: str, log: bool) -> None:
    @register(name, widened=True)
    def _(c: Call, x: Any) -> Any:
        x = c.tensor(x)
        f = (_softmax_of_float64(log) if x.dtype == DType.float64 else ops.log_softmax if log else ops.softmax)
        if c.opset >= 13:
            return f(x, axis_of(c, c.get("axis", -1), x.ndim))
        axis = axis_of(c, c.get("axis", 1), x.ndim) if x.ndim else 0
        if axis == x.ndim - 1:
            return f(x, axis)
        return f(x.reshape(product(x.shape[:axis]), product(x.shape[axis:])), 1).reshape(*x.shape)


_softmax("Softmax", False)
_softmax("LogSoftmax", True)


@register("Hardmax", widened=True)
def _(c: Call, x: Any) -> Any:
    x = c.tensor(x)
    axis = axis_of(c, c.get("axis", -1 if c.opset >= 13 else 1), x.ndim)
    shape = x.shape
    if c.opset < 13:
        x, axis = x.reshape(product(shape[:axis]), product(shape[axis:])), 1
    first = ops.argmax(x, axis, True).float()
    n: Any = x.shape[axis]
    places = np.arange(n, dtype=np.float32).reshape([-1 if d == axis else 1 for d in range(x.ndim)])
    return ops.where(first == c.tensor(places), 1.0, 0.0).reshape(*shape)


@register("NegativeLogLikelihoodLoss", widened=True)
def _(c: Call, x: Any, target: Any, weight: Any = None) -> Any:
    return _nll(c, c.tensor(x), target, weight)


@register("SoftmaxCrossEntropyLoss", widened=True)
def _(c: Call, x: Any, target: Any, weight: Any = None) -> Any:
    log = ops.log_softmax(c.tensor(x), 1)
    loss = _nll(c, log, target, weight)
    return (loss, log) if c.wants(1) else loss


def _nll(c: Call, log: Tensor, target: Any, weight: Any) -> Tensor:
    ignore = c.get("ignore_index", None)
    return ops.nll_loss(log, c.tensor(target), None if weight is None else c.tensor(weight), -(1 << 40) if ignore is None else int(ignore),
                        c.get("reduction", "mean"))  # fmt: skip
