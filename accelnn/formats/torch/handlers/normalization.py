"""Normalizations, softmax."""

from __future__ import annotations

from typing import Any

from .... import ops
from ....core.tensor import Tensor, apply
from ..call import Call, axis_of, register


def _inferred(c: Call, x: Any, weight: Any, bias: Any, mean: Any, var: Any, eps: float) -> Tensor:
    return apply("batch_norm_infer", x, mean, var, weight, bias, eps=float(eps))


def _of_batch(x: Tensor, weight: Any, bias: Any, eps: float) -> Tensor:
    """Over what is there, as a layer without running statistics does it."""
    axes = tuple(d for d in range(x.ndim) if d != 1)
    wide = [-1 if d == 1 else 1 for d in range(x.ndim)]
    d = x - x.mean(axes, True)
    y = d / ((d * d).mean(axes, True) + float(eps)).sqrt()
    y = y if weight is None else y * weight.reshape(*wide)
    return y if bias is None else y + bias.reshape(*wide)


@register("aten.batch_norm")
def _(c: Call, input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float, eps: float) -> Any:
    if training:
        return _of_batch(input, weight, bias, eps)
    return _inferred(c, input, weight, bias, running_mean, running_var, eps)


@register("aten._native_batch_norm_legit_no_training")
def _(c: Call, input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, momentum: float, eps: float) -> Any:
    return _inferred(c, input, weight, bias, running_mean, running_var, eps), None, None


@register("aten._native_batch_norm_legit.no_stats")
def _(c: Call, input: Any, weight: Any, bias: Any, training: bool, momentum: float, eps: float) -> Any:
    return _of_batch(input, weight, bias, eps), None, None


@register("aten.layer_norm")
def _(c: Call, input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    return ops.layer_norm(input, tuple(normalized_shape), weight, bias, float(eps))


@register("aten.native_layer_norm")
def _(c: Call, input: Any, normalized_shape: Any, weight: Any, bias: Any, eps: float) -> Any:
    return ops.layer_norm(input, tuple(normalized_shape), weight, bias, float(eps)), None, None


@register("aten.rms_norm")
def _(c: Call, input: Any, normalized_shape: Any, weight: Any = None, eps: Any = None) -> Any:
    return ops.rms_norm(input, tuple(normalized_shape), weight, None if eps is None else float(eps))


@register("aten._fused_rms_norm")
def _(c: Call, input: Any, normalized_shape: Any, weight: Any, eps: Any) -> Any:
    return ops.rms_norm(input, tuple(normalized_shape), weight, None if eps is None else float(eps)), None


@register("aten.group_norm")
def _(c: Call, input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    return ops.group_norm(input, num_groups, weight, bias, float(eps))


@register("aten.native_group_norm")
def _(c: Call, input: Any, weight: Any, bias: Any, N: Any, C: Any, HxW: Any, group: int, eps: float) -> Any:  # noqa: N803 (torch's names)
    return ops.group_norm(input, group, weight, bias, float(eps)), None, None


@register("aten.instance_norm")
def _(c: Call, input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, use_input_stats: bool, momentum: float, eps: float) -> Any:
    if not use_input_stats:
        return _inferred(c, input, weight, bias, running_mean, running_var, eps)
    return ops.instance_norm(input, weight=weight, bias=bias, eps=float(eps))


def _softmax(c: Call, x: Tensor, dim: int, log: bool) -> Tensor:
    x = x.to(c.dtype)
    if x.ndim == 0:
        return (ops.log_softmax if log else ops.softmax)(x.reshape(1), 0).reshape(())
    return (ops.log_softmax if log else ops.softmax)(x, axis_of(c, dim, x.ndim))


@register("aten.softmax.int", "aten._softmax", "aten._safe_softmax")
def _(c: Call, self: Any, dim: int, half_to_float: bool = False, dtype: Any = None) -> Any:
    return _softmax(c, self, dim, False)


@register("aten.log_softmax.int", "aten._log_softmax")
def _(c: Call, self: Any, dim: int, half_to_float: bool = False, dtype: Any = None) -> Any:
    return _softmax(c, self, dim, True)
