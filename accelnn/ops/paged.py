"""Attention of a few queries against a cache that lies in pages, as servers of language models keep it: sequences grow and go, and share one memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dims import product
from ..core.dtypes import DType, to_bfloat16
from ..core.errors import DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply
from .attention import ALL, LOWER_RIGHT
from .decode import CACHES, _bound as decode_bound, _reference as decode_reference


def _shape(q: Spec, k: Spec, v: Spec, pages: Spec, lengths: Spec, k_scale: Spec | None = None, v_scale: Spec | None = None, causal: int = 0,
           scale: float = 0.0) -> Spec:  # fmt: skip
    if q.dtype != DType.float32 or k.dtype not in CACHES or v.dtype != k.dtype:
        raise DTypeError(f"attention_paged: a float32 query and two caches of float32, bfloat16 or int8 expected, not {q}, {k}, {v}")
    if len(q.shape) != 4 or len(k.shape) != 4 or len(v.shape) != 4 or k.shape[:3] != v.shape[:3] or q.shape[3] != k.shape[3]:
        raise ShapeError(f"attention_paged: {q}, {k}, {v}: q[B,H,L,E], k[P,N,G,E], v[P,N,G,D] expected")
    heads: Any = q.shape[1]
    groups: Any = k.shape[2]
    if heads != groups and (groups == 0 or heads % groups != 0):
        raise ShapeError(f"attention_paged: {heads} heads of queries do not divide over {groups} heads of keys")
    if pages.dtype != DType.int64 or len(pages.shape) != 2 or pages.shape[0] != q.shape[0]:
        raise ShapeError(f"attention_paged: block tables are {pages}, expected int64[{q.shape[0]}, M]")
    if lengths != Spec((q.shape[0],), DType.int64):
        raise ShapeError(f"attention_paged: lengths are {lengths}, expected int64[{q.shape[0]}]")
    for name, s in (("key_scale", k_scale), ("value_scale", v_scale)):
        if s is not None and (s.dtype != DType.float32 or len(s.shape) != 3 or any(a not in (1, b) for a, b in zip(s.shape, k.shape))):
            raise ShapeError(f"attention_paged: {name} is {s}; float32 with 3 dimensions, each 1 or that of {k.shape[:3]}, expected")
    return Spec((*q.shape[:3], v.shape[3]), DType.float32)


def _together(cache: Any, pages: Any, lengths: Any) -> Any:
    """A cache, or its scales, [P, N, G, ...] as [B, G, M N, ...]: pages beyond a length are nobody's, and stand as zeros."""
    size, (batch, each) = cache.shape[1], pages.shape
    used = np.arange(each) * size < np.asarray(lengths, np.int64)[:, None]
    found = cache[np.where(used, pages, 0)] if len(cache) else np.zeros((batch, each, *cache.shape[1:]), cache.dtype)
    found = np.where(used.reshape(batch, each, *(1,) * (cache.ndim - 1)), found, cache.dtype.type(0))
    return np.moveaxis(found.reshape(batch, each * size, *cache.shape[2:]), 2, 1)


def _contiguous(q: Any, k: Any, v: Any, pages: Any, lengths: Any, k_scale: Any, v_scale: Any) -> Any:
    """The operands of attention_decode that mean the same."""
    scales = [None if s is None else _together(np.broadcast_to(s, k.shape[:3]), pages, lengths) for s in (k_scale, v_scale)]
    return (q, _together(k, pages, lengths), _together(v, pages, lengths), lengths, *scales)


def _reference(q: Any, k: Any, v: Any, pages: Any, lengths: Any, k_scale: Any = None, v_scale: Any = None, causal: int = 0, scale: float = 0.0) -> Any:
    _, k, v, _, k_scale, v_scale = _contiguous(q, k, v, pages, lengths, k_scale, v_scale)
    return decode_reference(q, k, v, lengths, k_scale, v_scale, causal, scale)


def _bound(q: Any, k: Any, v: Any, pages: Any, lengths: Any, k_scale: Any = None, v_scale: Any = None, causal: int = 0, scale: float = 0.0) -> Any:
    _, k, v, _, k_scale, v_scale = _contiguous(q, k, v, pages, lengths, k_scale, v_scale)
    return decode_bound(q, k, v, lengths, k_scale, v_scale, causal, scale)


# B, H, G, L, E, D; pages P, keys of a page N, entries of an item M; attributes; lengths; shapes of the scales
_CASES: tuple[Any, ...] = (
    ((1, 1, 1, 1, 1, 1), (1, 1, 1), {}, (1,), None, None),
    ((2, 2, 2, 1, 64, 64), (9, 16, 4), {}, (40, 13), (9, 16, 2), (9, 16, 2)),
    ((3, 8, 2, 1, 32, 48), (70, 16, 70), {}, (1100, 0, 513), (1, 1, 2), (1, 1, 1)),
    ((2, 3, 1, 5, 20, 9), (12, 8, 9), {"causal": 2, "scale": 0.2}, (70, 3), (12, 1, 1), None),
    ((1, 2, 1, 4, 128, 256), (3, 300, 2), {"causal": 2}, (555,), None, (1, 300, 1)),
    ((1, 6, 1, 1, 24, 40), (5, 7, 5), {}, (99,), None, None),
    ((2, 2, 2, 0, 8, 8), (2, 4, 1), {}, (3, 4), None, None),
    ((2, 2, 2, 1, 8, 8), (0, 4, 0), {}, (3, 4), None, None),
)


def _samples() -> Any:
    found = []
    for n, ((b, h, g, queries, e, d), (count, size, each), attrs, lengths, k_scale, v_scale) in enumerate(_CASES):
        rng = np.random.default_rng(n)
        q = rng.normal(size=(b, h, queries, e)).astype(np.float32)
        k, v = rng.normal(size=(count, size, g, e)).astype(np.float32), rng.normal(size=(count, size, g, d)).astype(np.float32)
        own = np.array(lengths, np.int64)
        pages = rng.integers(0, max(count, 1), (b, each))
        pages[np.arange(each) * size >= own[:, None]] = -1  # nobody looks at these
        scales = [None if s is None else rng.uniform(0.01, 0.02, s).astype(np.float32) for s in (k_scale, v_scale)]
        k8, v8 = rng.integers(-127, 128, k.shape).astype(np.int8), rng.integers(-127, 128, v.shape).astype(np.int8)
        tiny = [np.full((1, 1, 1), 0.01, np.float32) if s is None else s for s in scales]
        found += [((q, k, v, pages, own), attrs), ((q, to_bfloat16(k), to_bfloat16(v), pages, own), attrs), ((q, k8, v8, pages, own, *tiny), attrs)]
    return found


def _cost(q: Spec, k: Spec, v: Spec, pages: Spec, *_: Spec | None, **__: Any) -> Any:
    """As if every entry of the block tables were used."""
    keys = pages.shape[1] * k.shape[1]
    moved = k.dtype.itemsize * product(pages.shape) * k.shape[1] * k.shape[2] * (k.shape[3] + v.shape[3])
    return 2 * product(q.shape[:3]) * keys * (q.shape[3] + v.shape[3]), moved


attention_paged_op = Op("attention_paged", _shape, _reference, samples=_samples, cost=_cost, bound=_bound)


def attention_paged(query: Tensor, key_cache: Tensor, value_cache: Tensor, block_tables: Tensor, lengths: Tensor, key_scale: Tensor | None = None,
                    value_scale: Tensor | None = None, is_causal: bool = True, scale: float | None = None) -> Tensor:  # fmt: skip
    """attention_decode against a cache in pages, as vLLM, FlashAttention and FlashInfer lay it out (NHD).

    query float32[B, H, L, E]; key_cache[P, N, G, E], value_cache[P, N, G, D]: P pages of N keys, both float32, bfloat16 or int8, H a multiple of G.
    block_tables int32 or int64[B, M]: key j of item b is row j % N of page block_tables[b, j // N]. lengths int32 or int64[B]: how many keys are there,
    at most M N; entries beyond them may be anything, the rest of a page too. key_scale, value_scale: float32, 3 dimensions, each 1 or that of [P, N, G].
    is_causal: the last query sees all keys that are there, the one before it all but the last ... -> [B, H, L, D].
    No gradient: caches are for inference. Errors: ShapeError, DTypeError, BoundError (a page that is not there)."""
    operands = [query, key_cache, value_cache, block_tables.to(DType.int64), lengths.to(DType.int64), key_scale, value_scale]
    while operands[-1] is None:
        operands.pop()
    return apply("attention_paged", *operands, causal=LOWER_RIGHT if is_causal else ALL, scale=0.0 if scale is None else float(scale) or 1e-37)


__all__ = ["attention_paged"]
