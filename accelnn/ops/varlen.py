"""Attention of sequences that lie behind each other, without padding."""

from __future__ import annotations

from typing import Any

from ..core.dtypes import DType
from ..core.errors import ShapeError, UnsupportedError
from ..core.tensor import Tensor, apply_all
from .attention import ALL, LOWER_RIGHT, _next_state

WINDOWS = {(-1, -1): ALL, (-1, 0): LOWER_RIGHT}


def varlen_attn(query: Tensor, key: Tensor, value: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor | None = None, max_q: int | None = None,
                max_k: int | None = None, *, scale: float | None = None, window_size: tuple[int, int] = (-1, -1), enable_gqa: bool = False,
                dropout_p: float = 0.0, return_lse: bool = False) -> Any:  # fmt: skip
    """Attention of N sequences packed into one, torch.nn.attention.varlen.varlen_attn (and flash_attn_varlen_func): forward, backward, no padding read.

    query[Tq, H, E], key[Tk, G, E], value[Tk, G, D] -> [Tq, H, D]; float32, or bfloat16 and float16, computed in float32. cu_seq_q, cu_seq_k: int32 or
    int64[N + 1], where the sequences begin, and where the last one ends; cu_seq_q for both if cu_seq_k is None. Queries of sequence n see the keys of
    sequence n. window_size (-1, -1): all of them; (-1, 0): causal, the last query sees the last key. enable_gqa: G divides H. dropout_p acts on the weights.
    max_q and max_k are taken for torch's sake: nothing here needs them. return_lse=True: also log sum exp of the scores, [H, Tq].

    A query without keys gives 0, one of no sequence too. Errors: ShapeError, DTypeError, BoundError (starts that fall, or leave the rows that are there)."""
    name = "varlen_attn"
    if any(t.ndim != 3 for t in (query, key, value)):
        raise ShapeError(f"{name}: query {query.spec}, key {key.spec}, value {value.spec}: [Tq, H, E], [Tk, G, E], [Tk, G, D] expected")
    causal = WINDOWS.get((window_size[0], window_size[1]))
    if causal is None:
        raise UnsupportedError(f"{name}: window_size {window_size}: (-1, -1), all keys, or (-1, 0), causal, expected")
    if not enable_gqa and key.shape[1] != query.shape[1]:
        raise ShapeError(f"{name}: key {key.spec} has other heads than query {query.spec}; fewer heads of keys need enable_gqa=True")
    starts = [s.to(DType.int64) for s in (cu_seq_q, cu_seq_q if cu_seq_k is None else cu_seq_k)]
    q, k, v = (t.float().permute(1, 0, 2).unsqueeze(0) for t in (query, key, value))
    y, lse = apply_all("attention", q, k, v, None, None, _next_state(q.device) if dropout_p else None, *starts, causal=causal,
                       scale=0.0 if scale is None else float(scale) or 1e-37, dropout=float(dropout_p))  # fmt: skip
    y = y.squeeze(0).permute(1, 0, 2)
    y = y if query.dtype == DType.float32 else y.to(query.dtype)
    return (y, lse.squeeze(0)) if return_lse else y


__all__ = ["varlen_attn"]
