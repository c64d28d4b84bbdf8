"""Attention and rotary embeddings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .... import ops
from ....core.dtypes import DType
from ....core.tensor import Tensor, apply
from ....ops.arithmetic import calculate
from ....ops.arrange import cut
from ..call import Call, counted, literal, measured, register


@register("RotaryEmbedding", widened=True)
def _(c: Call, x: Any, cos: Any, sin: Any, position: Any = None) -> Any:
    x, cos, sin = c.tensor(x), c.tensor(cos), c.tensor(sin)
    at, pairs, heads = None if position is None else c.tensor(position), bool(c.get("interleaved", 0)), int(c.get("num_heads", 0))
    turned = int(c.get("rotary_embedding_dim", 0))
    if not turned:
        return ops.rope(x, cos, sin, at, pairs, heads)
    flat = x.shape                                         # only the front of every head is turned
    if x.ndim == 3:
        x = x.reshape(flat[0], flat[1], heads, -1).transpose(1, 2)
    width: Any = x.shape[-1]
    y = ops.cat([ops.rope(cut(x, 3, 0, turned).contiguous(), cos, sin, at, pairs, 0), cut(x, 3, turned, width - turned)], 3)
    return y.transpose(1, 2).reshape(*flat) if len(flat) == 3 else y


@register("Attention", widened=True)
def _(c: Call, q: Any, k: Any, v: Any, mask: Any = None, past_key: Any = None, past_value: Any = None, lengths: Any = None) -> Any:
    c.ignore("softmax_precision")                          # float32 in any case
    q, k, v = (c.tensor(t) for t in (q, k, v))
    flat = q.ndim == 3
    if flat:
        heads, kv_heads = int(c.get("q_num_heads")), int(c.get("kv_num_heads"))
        q, k, v = (t.reshape(t.shape[0], t.shape[1], n, -1).transpose(1, 2) for t, n in ((q, heads), (k, kv_heads), (v, kv_heads)))
    past: Any = 0
    if past_key is not None:
        past = past_key.shape[2]
        k, v = ops.cat([c.tensor(past_key), k], 2), ops.cat([c.tensor(past_value), v], 2)
    causal, left, right = bool(c.get("is_causal", 0)), int(c.get("left_window_size", -1)), int(c.get("right_window_size", -1))
    cap, mode, scale = float(c.get("softcap", 0.0)), int(c.get("qk_matmul_output_mode", 0)), c.get("scale", None)
    given = None if mask is None else _wide_mask(c.tensor(mask), k.shape[2])
    if not (cap or c.wants(3) or lengths is not None or max(left, right) >= 0 or (causal and past_key is not None)):
        y = ops.scaled_dot_product_attention(q, k, v, given, 0.0, causal, scale, q.shape[1] != k.shape[1])
        scores = None
    else:
        before = measured(np.asarray(past, object).reshape(())) if lengths is None else _before(c.tensor(lengths), q.shape[2])
        bounds = (left, 0 if causal and right < 0 else min(right, 0) if causal else right)
        bias = _bias(c, q.shape[2], k.shape[2], given, before, bounds, None if lengths is None else c.tensor(lengths))
        y, scores = _composed(q, k, v, bias, float(scale) if scale is not None else 1 / math.sqrt(q.shape[3]), cap, mode)
    if flat:
        y = y.transpose(1, 2).reshape(y.shape[0], y.shape[2], -1)
    return (y, k, v, scores)[: max(1, len(c.outputs))]


def _wide_mask(mask: Tensor, keys: Any) -> Tensor:
    """bool or float32, and as long as there are keys: what it does not speak of is not attended to."""
    mask = mask if mask.dtype == DType.bool else mask.float()
    more = keys - mask.shape[-1]
    if isinstance(more, int) and more == 0:
        return mask
    zeros = (0,) * (mask.ndim - 1)
    return apply("pad", mask, low=(*zeros, 0), high=(*zeros, more), step=(), mode=0, value=0.0 if mask.dtype == DType.bool else -math.inf)


def _before(lengths: Tensor, queries: Any) -> Tensor:
    """int64 [B, 1, 1, 1]: the place of the first query, where the queries are the last of so many keys."""
    return calculate("sub", lengths.to(DType.int64), measured(np.asarray(queries, object).reshape(()))).reshape(-1, 1, 1, 1)


def _bias(c: Call, queries: Any, keys: Any, mask: Tensor | None, before: Tensor, bounds: tuple[int, int], lengths: Tensor | None) -> Tensor:
    """What is added to the scores: -inf where a query does not look. bounds: how many keys back and ahead it sees, -1 for all."""
    at, key = calculate("add", counted(queries).reshape(-1, 1), before), counted(keys).reshape(1, -1)
    seen: Tensor = calculate("ge", key, literal(np.zeros((), np.int64)))
    if bounds[0] >= 0:
        seen = calculate("and", seen, calculate("le", calculate("sub", at, key), literal(np.asarray(bounds[0], np.int64))))
    if bounds[1] >= 0:
        seen = calculate("and", seen, calculate("le", calculate("sub", key, at), literal(np.asarray(bounds[1], np.int64))))
    if lengths is not None:
        seen = calculate("and", seen, calculate("lt", key, lengths.to(DType.int64).reshape(-1, 1, 1, 1)))
    if mask is None or mask.dtype == DType.bool:
        return ops.where(seen if mask is None else calculate("and", seen, mask), 0.0, -math.inf)
    return ops.where(seen, mask, -math.inf)


def _composed(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, scale: float, cap: float, mode: int) -> tuple[Tensor, Tensor]:
    """(result, the scores that `mode` asks for: 0 products, 1 capped, 2 with the bias, 3 after the softmax). A query that sees nothing gives 0."""
    repeat = q.shape[1] // k.shape[1]

    def spread(t: Tensor) -> Tensor:
        b, h, n, d = t.shape
        return t if isinstance(repeat, int) and repeat == 1 else t.unsqueeze(2).expand(b, h, repeat, n, d).reshape(b, h * repeat, n, d)

    part = math.sqrt(scale)
    scores = (q * part) @ (spread(k) * part).mT
    capped = (scores / cap).tanh() * cap if cap else scores
    biased = capped + bias
    blind = bias.max(bias.ndim - 1, True) == -math.inf
    weights = ops.where(blind, 0.0, ops.softmax(biased, biased.ndim - 1))
    return weights @ spread(v), (scores, capped, biased, weights)[mode]
