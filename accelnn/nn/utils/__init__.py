"""torch.nn.utils: gradients kept short, parameters as one vector; sequences of different lengths in `rnn`."""

from __future__ import annotations

from collections.abc import Iterable

from ...core.errors import AttributeValueError, ShapeError
from ...core.tensor import Tensor, as_tensor, no_grad
from ...ops import cat, clip, isfinite, minimum
from ...ops.functions import norm
from . import rnn


def _with_gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [p for p in ([parameters] if isinstance(parameters, Tensor) else parameters) if p.grad is not None]


def clip_grad_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False) -> Tensor:
    """Scales the gradients of all parameters together so that their norm is at most max_norm; returns the norm before. Between backward() and step(), in a
    compiled step too."""
    found = _with_gradients(parameters)
    with no_grad():
        if not found:
            return as_tensor(0.0)
        lengths = cat([norm(p.grad, norm_type).reshape(1) for p in found if p.grad is not None])
        total = norm(lengths, norm_type)
        if error_if_nonfinite and not total.is_traced and not isfinite(total):
            raise AttributeValueError(f"clip_grad_norm_: the gradients' norm is {total.item()}")
        share = minimum(max_norm / (total + 1e-6), 1.0)
        for p in found:
            p.grad = p.grad * share if p.grad is not None else None
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Every element of the gradients between -clip_value and clip_value."""
    with no_grad():
        for p in _with_gradients(parameters):
            p.grad = clip(p.grad, -float(clip_value), float(clip_value)) if p.grad is not None else None


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements one after the other."""
    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Writes what parameters_to_vector has joined back into the parameters."""
    listed = list(parameters)
    if vec.shape != (sum(p.numel() for p in listed),):
        raise ShapeError(f"vector_to_parameters: {vec.spec} for {sum(p.numel() for p in listed)} elements")
    at = 0
    with no_grad():
        for p in listed:
            p.assign(vec[at : at + p.numel()].reshape(*p.shape))
            at += p.numel()


__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "rnn", "vector_to_parameters"]
