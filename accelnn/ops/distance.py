"""Distances, angles and products of pairs of vectors."""

from __future__ import annotations

from typing import Any

from ..core.errors import ShapeError
from ..core.tensor import Tensor
from .elementwise import maximum
from .functions import norm


def _length(x: Tensor, dim: int, eps: float) -> Tensor:
    """sqrt(sum x^2), no less than eps: bounded below the root, whose slope at 0 is infinite."""
    return maximum((x * x).sum(dim, keepdim=True), eps * eps).sqrt()


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 . x2 / (|x1| |x2|) along `dim`, the norms no less than eps; shapes broadcast."""
    a, b = x1 / _length(x1, dim, eps), x2 / _length(x2, dim, eps)
    return (a * b).sum(dim)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last dimension; shapes broadcast."""
    return norm(x1 - x2 + eps, p, -1, keepdim)


def normalize(x: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """x over its p-norm along `dim`, which is no less than eps."""
    return x / (_length(x, dim, eps) if p == 2 else maximum(norm(x, p, dim, keepdim=True), eps))


def bilinear(x1: Tensor, x2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y[..., o] = x1[..., i] weight[o, i, j] x2[..., j] + bias[o]."""
    if weight.ndim != 3 or x1.shape[:-1] != x2.shape[:-1] or (x1.shape[-1], x2.shape[-1]) != weight.shape[1:]:
        raise ShapeError(f"bilinear: {x1.spec} and {x2.spec} with weight {weight.spec}: [..., I], [..., J] and [O, I, J] expected")
    outs: Any = weight.shape[0]
    left = x1 @ weight.permute(1, 0, 2).reshape(weight.shape[1], -1)  # [..., O * J]: one product, what is left to add up is small
    y = (left.reshape(*x1.shape[:-1], outs, weight.shape[2]) * x2.unsqueeze(-2)).sum(-1)
    return y if bias is None else y + bias


# normalize is nn.functional's: here a module has its name.
__all__ = ["bilinear", "cosine_similarity", "pairwise_distance"]
