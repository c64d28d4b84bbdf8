"""torch's normalizations, softmax and cross-entropy, and their gradients: the functions that its modules and its autograd call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..works import Inputs

aten = torch.ops.aten
Prepare = Callable[..., Any]


def _layer_norm(x: Inputs, a: Any, w: Any, b: Any) -> Any:
    return lambda: torch.nn.functional.layer_norm(a, a.shape[-1:], w, b, 1e-5)  # its result alone: what is saved, torch keeps in other shapes


def _layer_norm_grad(x: Inputs, dy: Any, a: Any, rstd: Any, mean: Any, w: Any) -> Any:
    lead = (*a.shape[:-1], 1)
    mean, rstd, b = mean.reshape(lead), rstd.reshape(lead), torch.zeros_like(w)
    return lambda: aten.native_layer_norm_backward(dy, a, a.shape[-1:], mean, rstd, w, b, [True] * 3)


def _rms_norm(x: Inputs, a: Any, w: Any) -> Any:
    return lambda: torch.nn.functional.rms_norm(a, a.shape[-1:], w, 1e-5)


def _batch_norm(x: Inputs, a: Any, w: Any, b: Any) -> Any:
    return lambda: torch.native_batch_norm(a, w, b, None, None, True, 0.1, 1e-5)[:1]


def _batch_norm_infer(x: Inputs, a: Any, mean: Any, var: Any, w: Any, b: Any) -> Any:
    return lambda: torch.native_batch_norm(a, w, b, mean, var, False, 0.1, 1e-5)[:1]


def _batch_norm_grad(x: Inputs, dy: Any, a: Any, rstd: Any, mean: Any, w: Any) -> Any:
    return lambda: aten.native_batch_norm_backward(dy, a, w, None, None, mean, rstd, True, 1e-5, [True] * 3)


def _places(a: Any) -> tuple[int, int, int]:
    return a.shape[0], a.shape[1], a[0, 0].numel()


def _group_norm(x: Inputs, a: Any, w: Any, b: Any) -> Any:
    return lambda: torch.native_group_norm(a, w, b, *_places(a), x.attrs["groups"], 1e-5)[:1]


def _group_norm_grad(x: Inputs, dy: Any, a: Any, rstd: Any, mean: Any, w: Any) -> Any:
    return lambda: aten.native_group_norm_backward(dy, a, mean, rstd, w, *_places(a), x.attrs["groups"], [True] * 3)


def _softmax_grad(x: Inputs, dy: Any, y: Any) -> Any:
    return lambda: aten._softmax_backward_data(dy, y, -1, torch.float32)


def _log_softmax_grad(x: Inputs, dy: Any, y: Any) -> Any:
    return lambda: aten._log_softmax_backward_data(dy, y, -1, torch.float32)


def _softmax_axis(x: Inputs, a: Any) -> Any:
    return lambda: torch.softmax(a, 1)


def _cross_entropy(x: Inputs, a: Any, labels: Any, *weight: Any) -> Any:
    return lambda: torch.nn.functional.cross_entropy(a, labels)


def _cross_entropy_grad(x: Inputs, a: Any, labels: Any, *saved: Any) -> Any:
    a = a.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(a, labels)
    return lambda: torch.autograd.grad(loss, a, retain_graph=True)


PREPARE: dict[str, Prepare] = {name[1:]: function for name, function in list(globals().items()) if name.startswith("_") and name[1:] in (
    "layer_norm", "layer_norm_grad", "rms_norm", "batch_norm", "batch_norm_infer", "batch_norm_grad", "group_norm", "group_norm_grad", "softmax_grad",
    "log_softmax_grad", "softmax_axis", "cross_entropy", "cross_entropy_grad")}  # fmt: skip
