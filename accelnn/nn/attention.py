"""Multi-head attention with torch's arguments and parameter names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.dtypes import DType
from ..core.errors import AttributeValueError, ShapeError
from ..core.tensor import Tensor, apply, as_tensor
from ..ops import cat, linear, scaled_dot_product_attention
from . import init
from .layers import Linear
from .module import Module, Parameter


class MultiheadAttention(Module):
    """Attention over `num_heads` heads of projected queries, keys and values (Vaswani et al. 2017, arXiv 1706.03762).

    forward(query, key, value, key_padding_mask=None, need_weights=True, attn_mask=None, average_attn_weights=True, is_causal=False) -> (output, weights)

    query[L, N, E], key[S, N, kdim], value[S, N, vdim]; [N, L, E] ... with batch_first; without N for one sequence. key_padding_mask[N, S] and
    attn_mask[L, S] or [N * num_heads, L, S]: bool (True is hidden, the opposite of scaled_dot_product_attention, as in torch) or float (added).
    is_causal: query i sees keys 0..i, and attn_mask, which in torch must then be that mask, is not read. weights[N, L, S] are the mean over the heads, or
    [N, num_heads, L, S], before dropout; None with need_weights=False, which saves the memory of all scores.
    A query whose keys are all hidden gives the output of 0 (torch: NaN where weights are asked for).
    add_bias_kv: one more key and value, learned, which every query sees; add_zero_attn: one more of zeros."""

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, add_bias_kv: bool = False, add_zero_attn: bool = False,
                 kdim: int | None = None, vdim: int | None = None, batch_first: bool = False) -> None:  # fmt: skip
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise AttributeValueError(f"MultiheadAttention: {embed_dim} dimensions do not divide into {num_heads} heads")
        if not 0.0 <= dropout < 1.0:
            raise AttributeValueError(f"MultiheadAttention: dropout {dropout} is not in [0, 1)")
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim, self.vdim = kdim if kdim is not None else embed_dim, vdim if vdim is not None else embed_dim
        self.dropout, self.batch_first = dropout, batch_first
        self.in_proj_weight: Tensor | None = None
        self.q_proj_weight: Tensor | None = None
        self.k_proj_weight: Tensor | None = None
        self.v_proj_weight: Tensor | None = None
        if self.kdim == self.vdim == embed_dim:
            self.in_proj_weight = _xavier(3 * embed_dim, embed_dim)
        else:
            self.q_proj_weight, self.k_proj_weight, self.v_proj_weight = (_xavier(embed_dim, n) for n in (embed_dim, self.kdim, self.vdim))
        self.in_proj_bias = Parameter(np.zeros(3 * embed_dim, np.float32)) if bias else None
        self.bias_k, self.bias_v = (Parameter(init.normal_array((1, 1, embed_dim), 0.0, math.sqrt(2.0 / (embed_dim + 1)))) if add_bias_kv else None
                                    for _ in range(2))  # fmt: skip
        self.add_zero_attn = add_zero_attn
        self.out_proj = Linear(embed_dim, embed_dim, bias)
        if bias:
            self.out_proj.bias = Parameter(np.zeros(embed_dim, np.float32))

    def forward(self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None, need_weights: bool = True,
                attn_mask: Tensor | None = None, average_attn_weights: bool = True, is_causal: bool = False) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        if query.ndim not in (2, 3) or key.ndim != query.ndim or value.ndim != query.ndim:
            raise ShapeError(f"MultiheadAttention: query {query.spec}, key {key.spec}, value {value.spec}: all with 3 dimensions, or 2 for one sequence")
        single = query.ndim == 2
        q, k, v = (self._heads(x, i, single) for i, x in enumerate((query, key, value)))
        hidden, padding = (None if m is None else as_tensor(m) for m in (None if is_causal else attn_mask, key_padding_mask))
        mask = _mask(hidden, padding, q, k)
        if self.bias_k is not None or self.add_zero_attn:
            k, v, mask = self._beyond(k, v, _causal(mask, q, k) if is_causal else mask)
            is_causal = False
        y, lse = scaled_dot_product_attention(q, k, v, mask, self.dropout if self.training else 0.0, is_causal, return_lse=True)
        back = (0, 2, 1, 3) if self.batch_first or single else (2, 0, 1, 3)
        together = y.permute(back)
        out = self.out_proj(together.reshape(*together.shape[:2], self.embed_dim))
        weights = None
        if need_weights:
            weights = _weights(q, k, lse, mask, is_causal)
            weights = weights.mean(1) if average_attn_weights else weights
        if single:
            return out.squeeze(0), None if weights is None else weights.squeeze(0)
        return out, weights

    def _beyond(self, k: Tensor, v: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Keys and values behind the sequence, which no mask hides."""
        own = (k.shape[0], self.num_heads, 1, self.head_dim)
        added = [(self.bias_k, self.bias_v)] if self.bias_k is not None else []
        for pair in [*added, (None, None)] if self.add_zero_attn else added:
            k, v = (cat([t, as_tensor(0.0).expand(*own) if b is None else b.reshape(1, self.num_heads, 1, self.head_dim).expand(*own)], 2)
                    for t, b in zip((k, v), pair))  # fmt: skip
            if mask is not None:
                mask = cat([mask, as_tensor(mask.dtype == DType.bool, mask.dtype).expand(*mask.shape[:-1], 1)], 3)
        return k, v, mask

    def _heads(self, x: Tensor, which: int, single: bool) -> Tensor:
        """The projection of the queries (0), keys (1) or values (2): [N, heads, length, head_dim], a view of what the product wrote."""
        e = self.embed_dim
        own = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)[which]
        if self.in_proj_weight is not None:
            own = self.in_proj_weight[which * e : (which + 1) * e]
        assert own is not None
        if x.shape[-1] != own.shape[1]:
            raise ShapeError(f"MultiheadAttention: {('query', 'key', 'value')[which]} {x.spec}, but {own.shape[1]} features were declared")
        y = linear(x, own, None if self.in_proj_bias is None else self.in_proj_bias[which * e : (which + 1) * e])
        if single:
            y = y.unsqueeze(0)
        y = y.reshape(*y.shape[:2], self.num_heads, self.head_dim)
        return y.permute(0, 2, 1, 3) if self.batch_first or single else y.permute(1, 2, 0, 3)

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, {self.num_heads}, batch_first={self.batch_first}"


def _xavier(rows: int, columns: int) -> Tensor:
    return Parameter(init.xavier_uniform_array((rows, columns), columns, rows))


def _shown(mask: Tensor) -> Tensor:
    """Torch's bool mask (True is hidden) as ours."""
    return apply("eq", mask, 0.0)


def _mask(attn_mask: Tensor | None, key_padding_mask: Tensor | None, q: Tensor, k: Tensor) -> Tensor | None:
    """Both masks as one that broadcasts to [N, heads, L, S]: bool where both are, else float."""
    (n, heads, queries, _), keys = q.shape, k.shape[2]
    found = []
    if attn_mask is not None:
        if attn_mask.shape not in ((queries, keys), (n * heads, queries, keys)):
            raise ShapeError(f"MultiheadAttention: attn_mask {attn_mask.spec}; [{queries}, {keys}] or [{n * heads}, {queries}, {keys}] expected")
        found.append(attn_mask.reshape(1, 1, queries, keys) if attn_mask.ndim == 2 else attn_mask.reshape(n, heads, queries, keys))
    if key_padding_mask is not None:
        if key_padding_mask.shape not in ((n, keys), (keys,)) or (key_padding_mask.ndim == 1 and n != 1):
            raise ShapeError(f"MultiheadAttention: key_padding_mask {key_padding_mask.spec}; [{n}, {keys}] expected")
        found.append(key_padding_mask.reshape(n, 1, 1, keys))
    if not found:
        return None
    for m in found:
        if m.dtype not in (DType.bool, DType.float32):
            raise ShapeError(f"MultiheadAttention: masks are bool or float32, not {m.dtype.name}")
    if all(m.dtype == DType.bool for m in found):
        return _shown(found[0] if len(found) == 1 else apply("add", *found))
    floats = [apply("where", m, float("-inf"), 0.0) if m.dtype == DType.bool else m for m in found]
    return floats[0] if len(floats) == 1 else floats[0] + floats[1]


def _causal(mask: Tensor | None, q: Tensor, k: Tensor) -> Tensor:
    """The mask, as floats, which also hides the keys behind each query."""
    sizes: Any = (1, 1, q.shape[2], k.shape[2])
    behind = as_tensor(np.triu(np.full(sizes, -np.inf, np.float32), 1))
    return behind if mask is None else behind + (apply("where", mask, 0.0, float("-inf")) if mask.dtype == DType.bool else mask)


def _weights(q: Tensor, k: Tensor, lse: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
    """softmax of the scores, in memory, from the log of its denominator."""
    s = (q @ k.mT) * (1.0 / float(q.shape[-1]) ** 0.5) - apply("where", lse > -3e38, lse, 0.0).unsqueeze(-1)  # type: ignore[arg-type]
    if mask is not None and mask.dtype == DType.float32:
        s = s + mask
    seen: Any = mask if mask is not None and mask.dtype == DType.bool else None
    if is_causal:
        lower = np.tri(q.shape[2], k.shape[2], dtype=np.float32)  # type: ignore[arg-type]
        seen = lower if seen is None else apply("mul", seen, lower)
    return s.exp() if seen is None else apply("where", seen, apply("where", seen, s, 0.0).exp(), 0.0)


__all__ = ["MultiheadAttention"]
