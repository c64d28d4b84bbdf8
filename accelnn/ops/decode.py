"""Attention of a few queries against a cache of keys and values, in float32, bfloat16 or int8 with scales: what generating text does a token at a time."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from .. import _C
from ..core.dims import product
from ..core.dtypes import DType, from_bfloat16, to_bfloat16
from ..core.errors import DeviceError, DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply, apply_all, mode, no_grad, tensor
from .attention import ALL, LOWER_RIGHT, _bound as attention_bound, _reference as attention_reference

CACHES = (DType.float32, DType.bfloat16, DType.int8)


def _shape(q: Spec, k: Spec, v: Spec, lengths: Spec | None = None, k_scale: Spec | None = None, v_scale: Spec | None = None, causal: int = 0,
           scale: float = 0.0) -> Spec:  # fmt: skip
    if q.dtype != DType.float32 or k.dtype not in CACHES or v.dtype != k.dtype:
        raise DTypeError(f"attention_decode: a float32 query and two caches of float32, bfloat16 or int8 expected, not {q}, {k}, {v}")
    if len(q.shape) != 4 or len(k.shape) != 4 or k.shape[:3] != v.shape[:3] or len(v.shape) != 4 or q.shape[0] != k.shape[0] or q.shape[3] != k.shape[3]:
        raise ShapeError(f"attention_decode: {q}, {k}, {v}: q[B,H,L,E], k[B,G,S,E], v[B,G,S,D] expected")
    heads: Any = q.shape[1]
    groups: Any = k.shape[1]
    if heads != groups and (groups == 0 or heads % groups != 0):
        raise ShapeError(f"attention_decode: {heads} heads of queries do not divide over {groups} heads of keys")
    if lengths is not None and lengths != Spec((q.shape[0],), DType.int64):
        raise ShapeError(f"attention_decode: lengths are {lengths}, expected int64[{q.shape[0]}]")
    for name, s in (("key_scale", k_scale), ("value_scale", v_scale)):
        if s is not None and (s.dtype != DType.float32 or len(s.shape) != 3 or any(a not in (1, b) for a, b in zip(s.shape, k.shape))):
            raise ShapeError(f"attention_decode: {name} is {s}; float32 with 3 dimensions, each 1 or that of {k.shape[:3]}, expected")
    return Spec((*q.shape[:3], v.shape[3]), DType.float32)


def _meant(x: Any, scale: Any, like: Any) -> Any:
    """What a cache stands for."""
    return x.astype(like.dtype) * (1 if scale is None else np.asarray(scale)[..., None].astype(like.dtype))


def _reference(q: Any, k: Any, v: Any, lengths: Any = None, k_scale: Any = None, v_scale: Any = None, causal: int = 0, scale: float = 0.0) -> Any:
    return attention_reference(q, _meant(k, k_scale, q), _meant(v, v_scale, q), None, lengths, causal=causal, scale=scale)[0]


def _bound(q: Any, k: Any, v: Any, lengths: Any = None, k_scale: Any = None, v_scale: Any = None, causal: int = 0, scale: float = 0.0) -> Any:
    return attention_bound(q, _meant(k, k_scale, q), _meant(v, v_scale, q), None, lengths, causal=causal, scale=scale)[0] * (1 + 1e-6)


# B, H, G, L, S, E, D; attributes; lengths; shapes of the scales
_CASES: tuple[Any, ...] = (
    ((1, 1, 1, 1, 1, 1, 1), {}, None, None, None),
    ((2, 2, 2, 1, 40, 64, 64), {}, (40, 13), (2, 2, 40), (2, 2, 40)),
    ((1, 8, 2, 1, 1100, 32, 48), {}, None, (1, 2, 1), (1, 1, 1)),
    ((2, 3, 1, 5, 70, 20, 9), {"causal": 2, "scale": 0.2}, (70, 3), (2, 1, 70), None),
    ((1, 2, 1, 4, 600, 128, 256), {"causal": 2}, (555,), None, (1, 1, 600)),
    ((1, 1, 1, 1, 50, 128, 200), {}, None, (1, 1, 50), (1, 1, 50)),
    ((1, 4, 1, 1, 35, 64, 232), {}, None, None, (1, 1, 35)),
    ((1, 13, 1, 1, 33, 40, 40), {}, None, (1, 1, 33), (1, 1, 33)),
    ((2, 2, 2, 2, 0, 8, 8), {}, None, None, None),
    ((2, 2, 2, 0, 5, 8, 8), {}, None, None, None),
)


def _samples() -> Any:
    found = []
    for n, ((b, h, g, queries, keys, e, d), attrs, lengths, k_scale, v_scale) in enumerate(_CASES):
        rng = np.random.default_rng(n)
        q = rng.normal(size=(b, h, queries, e)).astype(np.float32)
        k, v = rng.normal(size=(b, g, keys, e)).astype(np.float32), rng.normal(size=(b, g, keys, d)).astype(np.float32)
        length = None if lengths is None else np.array(lengths, np.int64)
        scales = [None if s is None else rng.uniform(0.01, 0.02, s).astype(np.float32) for s in (k_scale, v_scale)]
        k8, v8 = rng.integers(-127, 128, k.shape).astype(np.int8), rng.integers(-127, 128, v.shape).astype(np.int8)
        tiny = [np.full((1, 1, 1), 0.01, np.float32) if s is None else s for s in scales]
        found += [((q, k, v, length), attrs), ((q, to_bfloat16(k), to_bfloat16(v), length), attrs), ((q, k8, v8, length, *tiny), attrs)]
    return found


def _cost(q: Spec, k: Spec, v: Spec, *rest: Spec | None, **_: Any) -> Any:
    scores = product(q.shape[:3]) * k.shape[2]
    return 2 * scores * (q.shape[3] + v.shape[3]), k.dtype.itemsize * (product(k.shape) + product(v.shape)) + sum(
        4 * product(s.shape) for s in rest if s is not None and s.dtype.is_float
    )


attention_decode_op = Op("attention_decode", _shape, _reference, strided=True, samples=_samples, cost=_cost, bound=_bound)


def attention_decode(query: Tensor, key: Tensor, value: Tensor, lengths: Tensor | None = None, key_scale: Tensor | None = None,
                     value_scale: Tensor | None = None, is_causal: bool = True, scale: float | None = None) -> Tensor:  # fmt: skip
    """softmax(scale query key^T) value for a few queries against a cache that may be larger than what is filled.

    query float32[B, H, L, E]; key[B, G, S, E], value[B, G, S, D]: both float32, bfloat16 or int8, H a multiple of G. lengths int64[B]: how many keys are
    there (S if None); the rest is never read. key_scale, value_scale: float32, 3 dimensions, each 1 or that of [B, G, S]: what a number of the cache is
    multiplied by (see quantize_cache). is_causal: the last query sees all keys that are there, the one before it all but the last ... -> [B, H, L, D].
    No gradient: caches are for inference. Errors: ShapeError, DTypeError."""
    operands = [query, key, value, lengths, key_scale, value_scale]
    while operands[-1] is None:
        operands.pop()
    return apply("attention_decode", *operands, causal=LOWER_RIGHT if is_causal else ALL, scale=0.0 if scale is None else float(scale) or 1e-37)


def _append_shape(x: Spec, cache: Spec, position: Spec, scale: Spec | None = None) -> Any:
    if x.dtype != DType.float32 or cache.dtype not in CACHES:
        raise DTypeError(f"cache_append: float32 rows and a cache of float32, bfloat16 or int8 expected, not {x} and {cache}")
    if len(x.shape) != 4 or len(cache.shape) != 4 or x.shape[:2] != cache.shape[:2] or x.shape[3] != cache.shape[3]:
        raise ShapeError(f"cache_append: {x} for a cache {cache}: [B,G,L,D] and [B,G,S,D] expected")
    if position != Spec((x.shape[0],), DType.int64):
        raise ShapeError(f"cache_append: position is {position}, expected int64[{x.shape[0]}]")
    if (scale is not None) != (cache.dtype == DType.int8) or scale not in (None, Spec(cache.shape[:3], DType.float32)):
        raise ShapeError(f"cache_append: scale is {scale} for a cache {cache}: float32[B,G,S] for int8, None for others, expected")
    return cache if scale is None else (cache, scale)


def _append_reference(x: Any, cache: Any, position: Any, scale: Any = None) -> Any:
    """In float32: every bit is known."""
    cache, scale = np.array(cache), None if scale is None else np.array(scale)
    for b, at in enumerate(np.asarray(position, np.int64)):
        rows = slice(at, at + x.shape[2])
        if scale is None:
            cache[b, :, rows] = x[b] if cache.dtype == np.float32 else to_bfloat16(x[b])
            continue
        most = np.abs(x[b]).max(-1, initial=0)
        own = scale[b, :, rows] = np.where(np.isfinite(most), np.maximum(most, np.float32(1e-30)) / np.float32(127), np.float32(np.nan))
        with np.errstate(invalid="ignore"):
            cache[b, :, rows] = np.where(np.isfinite(own)[..., None], np.rint(x[b] / own[..., None]), 0).astype(np.int8)
    return cache if scale is None else (cache, scale)


def _append_samples() -> Any:
    found: list[Any] = []
    for n, (b, g, more, keys, d, at) in enumerate(((1, 1, 1, 1, 1, (0,)), (2, 3, 1, 7, 17, (6, 2)), (2, 1, 4, 9, 64, (0, 5)), (3, 2, 0, 4, 8, (0, 4, 1)),
                                                   (0, 2, 1, 4, 8, ()), (2, 2, 3, 3, 0, (0, 0)))):  # fmt: skip
        rng = np.random.default_rng(n)
        x, cache, position = rng.normal(size=(b, g, more, d)).astype(np.float32), rng.normal(size=(b, g, keys, d)).astype(np.float32), np.array(at, np.int64)
        if more > 3:
            x[0, 0, 1] = 0
        found += [((x, cache, position), {}), ((x, to_bfloat16(cache), position), {}),
                  ((x, rng.integers(-127, 128, cache.shape).astype(np.int8), position, rng.uniform(1, 2, cache.shape[:3]).astype(np.float32)), {})]  # fmt: skip
    return found


def _append_cost(x: Spec, cache: Spec, *_: Any) -> Any:
    return 0, 4 * product(x.shape) + 2 * cache.dtype.itemsize * product(cache.shape)


cache_append_op = Op("cache_append", _append_shape, _append_reference, samples=_append_samples, cost=_append_cost, strided=True)


def cache_append(cache: Tensor, x: Tensor, position: Tensor, scale: Tensor | None = None) -> Any:
    """Writes a step's keys or values into a cache, in place: row position[b] + l of item b and head g becomes x[b, g, l].

    cache[B, G, S, D]: float32, bfloat16 (rounded) or int8; x float32[B, G, L, D]; position int64[B], with position + L <= S. An int8 cache has
    scale float32[B, G, S], of which the rows written get theirs (as quantize_cache makes them). -> the cache, or (cache, scale): what attention_decode is to
    read, with lengths position + L.

    A tensor from outside of the function that is compiled is state of the Plan, which writes its rows where they lie: a step of decoding moves
    kilobytes. A cache that the traced function was given, or made, comes back as a new value. No gradient: caches are for inference.
    Errors: ShapeError, DTypeError, BoundError (a cache that is full)."""
    targets = (cache,) if scale is None else (cache, scale)
    operands = (x.detach(), cache, position) if scale is None else (x.detach(), cache, position, scale)
    if mode.trace is not None or any(t.node is not None for t in targets):
        with no_grad():
            made = apply_all("cache_append", *operands)
        for target, new in zip(targets, made):
            if target.view is not None:
                target.assign(new)
    else:
        specs = cache_append_op.specs([t.spec for t in operands], {})
        if all(type(t.view) is _C.View for t in operands):
            views = tuple(t.view for t in operands)
            _C.call_into(cache_append_op.number, views, cache_append_op.packed({}, len(operands)), tuple(t.view for t in targets))
        else:
            from ..core.remote_call import device_of, placed, run

            device: Any = device_of([t.view for t in targets])
            if device is None:
                raise DeviceError(f"cache_append: a cache on cpu and rows on {x.device}; move one with .to(...)")
            given = [placed("cache_append", t, device) for t in operands]
            run(cache_append_op, given, {}, specs, device, cast(Any, [t.view for t in targets]))
        for target in targets:
            target.view.bump()
        made = targets
    return made[0] if scale is None else made


def quantize_cache(x: Tensor) -> tuple[Tensor, Tensor]:
    """float[..., S, E] -> int8 of that shape and its scales float32[..., S], one a row: x = int8 * scale, within half a scale."""
    rows = np.asarray(from_bfloat16(x.numpy(raw=True)) if x.dtype == DType.bfloat16 else x.numpy(), np.float32)
    scale = np.maximum(np.abs(rows).max(-1, initial=0), np.float32(1e-30)) / np.float32(127)
    return tensor(np.rint(rows / scale[..., None]).astype(np.int8)), tensor(scale)


__all__ = ["attention_decode", "cache_append", "quantize_cache"]
