"""Products and attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from .... import ops
from ....core.dtypes import DType
from ....core.tensor import Tensor
from ....ops.elementwise import broadcast
from ...onnx import call as onnx
from ...onnx.call import HANDLERS as ONNX, literal
from ...onnx.handlers.network import product_of
from ..call import Call, register


@register("aten.linear")
def _(c: Call, input: Any, weight: Any, bias: Any = None) -> Any:
    flat = input.ndim == 1
    y = ops.linear(input.unsqueeze(0) if flat else input, weight, bias)
    return y.squeeze(0) if flat else y


def product(c: Call, a: Tensor, b: Tensor) -> Tensor:
    if not a.dtype.is_float:
        raise c.refuse(f"products of {a.dtype.name}")
    return product_of(a, b)


class _Scope:
    """What the ONNX handler of Einsum asks of the graph around it."""

    @staticmethod
    def constant(array: np.ndarray, dtype: Any = None) -> Tensor:
        return literal(array, dtype)


@register("aten.einsum")
def _(c: Call, equation: str, tensors: Any, path: Any = None) -> Any:
    if any(not t.dtype.is_float for t in tensors):
        raise c.refuse("products of integers")
    return ONNX["", "Einsum"](onnx.Call("Einsum", "", 17, {"equation": equation}, ("y",), c.path, _Scope()), *tensors)  # type: ignore[arg-type]


@register("aten.matmul")
def _(c: Call, self: Any, other: Any) -> Any:
    return product(c, self, other)


@register("aten.mm", "aten.bmm")
def _(c: Call, self: Any, mat2: Any) -> Any:
    return product(c, self, mat2)


@register("aten.mv")
def _(c: Call, self: Any, vec: Any) -> Any:
    return product(c, self, vec)


@register("aten.dot")
def _(c: Call, self: Any, tensor: Any) -> Any:
    return product(c, self, tensor)


def _sum(c: Call, first: Tensor, y: Tensor, beta: Any, alpha: Any) -> Tensor:
    y = y if alpha == 1 else y * float(alpha)
    return y if beta == 0 else y + (first if beta == 1 else first * float(beta))


@register("aten.addmm")
def _(c: Call, self: Any, mat1: Any, mat2: Any, beta: Any = 1, alpha: Any = 1) -> Any:
    return _sum(c, self, product(c, mat1, mat2), beta, alpha)


@register("aten.baddbmm")
def _(c: Call, self: Any, batch1: Any, batch2: Any, beta: Any = 1, alpha: Any = 1) -> Any:
    return _sum(c, self, product(c, batch1, batch2), beta, alpha)


@register("aten.addmv")
def _(c: Call, self: Any, mat: Any, vec: Any, beta: Any = 1, alpha: Any = 1) -> Any:
    return _sum(c, self, product(c, mat, vec), beta, alpha)


@register("aten.bilinear")
def _(c: Call, input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    return ops.bilinear(input1, input2, weight, bias)


@register("aten.scaled_dot_product_attention")
def _(c: Call, query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False, scale: Any = None,
      enable_gqa: bool = False) -> Any:  # fmt: skip
    if dropout_p:
        raise c.refuse("random numbers of training mode")
    rank = max(query.ndim, key.ndim)
    if query.ndim != key.ndim or (query.shape[:-2] != key.shape[:-2] and not enable_gqa):
        lead = broadcast("attention", query.shape[:-2], key.shape[:-2])
        query, key, value = (t.expand(*lead, *t.shape[-2:]) for t in (query, key, value))
    if attn_mask is not None and attn_mask.dtype not in (DType.bool, DType.float32):
        attn_mask = attn_mask.float()
    if rank > 4:
        raise c.refuse(f"{rank} dimensions")
    return ops.scaled_dot_product_attention(query, key, value, attn_mask, 0.0, is_causal, None if scale is None else float(scale), enable_gqa)


@register("aten.cosine_similarity")
def _(c: Call, x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    return ops.cosine_similarity(x1, x2, dim, eps)


@register("aten.pairwise_distance")
def _(c: Call, x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    return ops.pairwise_distance(x1, x2, p, eps, keepdim)
