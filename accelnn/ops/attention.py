"""Scaled dot-product attention and its gradient. Scores exist a tile at a time (kernels/attention): memory grows with the length, not with its square."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.dims import product
from ..core.dtypes import DType
from ..core.errors import AttributeValueError, DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply, apply_all, no_grad
from .conv import needs_gradient
from .matmul import EPS, gamma
from .random import _philox, position_on

ALL, UPPER_LEFT, LOWER_RIGHT = 0, 1, 2  # attribute `causal`


def _check(name: str, q: Spec, k: Spec, v: Spec, mask: Spec | None, lengths: Spec | None, state: Spec | None, starts: tuple[Spec | None, ...],
           dropout: float) -> None:  # fmt: skip
    for s in (q, k, v):
        if s.dtype != DType.float32 or len(s.shape) != 4:
            raise DTypeError(f"{name}: float32 q[B,H,L,E], k[B,G,S,E], v[B,G,S,D] expected, not {q}, {k}, {v}")
    if k.shape[:3] != v.shape[:3] or q.shape[0] != k.shape[0] or q.shape[3] != k.shape[3]:
        raise ShapeError(f"{name}: {q}, {k}, {v}: q[B,H,L,E], k[B,G,S,E], v[B,G,S,D] expected")
    heads: Any = q.shape[1]
    groups: Any = k.shape[1]
    if heads != groups and (groups == 0 or heads % groups != 0):
        raise ShapeError(f"{name}: {heads} heads of queries do not divide over {groups} heads of keys")
    if mask is not None:
        if mask.dtype not in (DType.float32, DType.bool):
            raise DTypeError(f"{name}: a bool or float32 mask expected, not {mask.dtype.name}")
        scores = (q.shape[0], heads, q.shape[2], k.shape[2])
        if len(mask.shape) != 4 or any(m not in (1, s) for m, s in zip(mask.shape, scores)):
            raise ShapeError(f"{name}: a mask of shape {mask.shape} for scores of shape {scores}")
    if lengths is not None and lengths != Spec((q.shape[0],), DType.int64):
        raise ShapeError(f"{name}: lengths are {lengths}, expected int64[{q.shape[0]}]")
    if starts != (None, None):
        if starts[0] != starts[1] or starts[0] is None or len(starts[0].shape) != 1 or starts[0].dtype != DType.int64 or starts[0].shape[0] == 0:
            raise ShapeError(f"{name}: starts of sequences {starts[0]} and {starts[1]}: twice int64[N + 1] expected")
        if q.shape[0] != 1 or lengths is not None:
            raise ShapeError(f"{name}: starts of sequences go with a batch of 1 and no lengths, not with {q}")
    if not 0.0 <= dropout < 1.0:
        raise AttributeValueError(f"{name}: dropout {dropout} is not in [0, 1)")
    if dropout and state != Spec((2,), DType.int64):
        raise ShapeError(f"{name}: dropout needs a state int64[2], not {state}")


def _shape(q: Spec, k: Spec, v: Spec, mask: Spec | None = None, lengths: Spec | None = None, state: Spec | None = None, q_starts: Spec | None = None,
           k_starts: Spec | None = None, causal: int = 0, scale: float = 0.0, dropout: float = 0.0) -> tuple[Spec, Spec]:  # fmt: skip
    _check("attention", q, k, v, mask, lengths, state, (q_starts, k_starts), dropout)
    return Spec((*q.shape[:3], v.shape[3]), DType.float32), Spec(q.shape[:3], DType.float32)


def _blocks(starts: Any, queries: int, keys: int) -> list[tuple[slice, slice]]:
    """Queries and keys of every sequence."""
    if starts[0] is None:
        return [(slice(0, queries), slice(0, keys))]
    q, k = (np.asarray(s, np.int64) for s in starts)
    return [(slice(q[n], q[n + 1]), slice(k[n], k[n + 1])) for n in range(len(q) - 1)]


def _keep(scores: tuple[int, ...], state: Any, dropout: float, starts: Any = (None, None)) -> Any:
    """0 or 1 / (1 - p): a row of scores takes whole blocks of four numbers, from its sequence's first key on."""
    rows, keys = int(np.prod(scores[:3])), scores[3]
    padded = -(-keys // 4) * 4
    u = _philox(np.asarray(state, np.int64), rows * padded).reshape(rows, padded)[:, :keys].reshape(scores)
    kept, found = np.where(u >= np.float32(dropout), 1 / (1 - dropout), 0.0), np.zeros(scores)
    for i, j in _blocks(starts, scores[2], keys):
        found[:, :, i, j] = kept[:, :, i, : j.stop - j.start]
    return found


def _scores(q: Any, k: Any, mask: Any, lengths: Any, causal: int, scale: float, starts: Any = (None, None)) -> Any:
    """scale q k^T + mask, -inf where a query does not see a key; k has as many heads as q."""
    with np.errstate(invalid="ignore"):
        s = np.einsum("bhie,bhje->bhij", q, k) * q.dtype.type(scale or 1 / math.sqrt(q.shape[3]))
        if mask is not None:
            s = np.where(mask != 0, s, -np.inf) if np.asarray(mask).dtype == bool else s + mask
    (b, _, queries, _), keys = q.shape, k.shape[2]
    n = np.full(b, keys) if lengths is None else np.clip(np.asarray(lengths, np.int64), 0, keys)
    seen = np.zeros((b, queries, keys), bool)
    for rows, columns in _blocks(starts, queries, keys):
        i, j = np.arange(rows.stop - rows.start)[:, None], np.arange(columns.stop - columns.start)
        here = n if starts[0] is None else np.array([j.size])
        inside = j < here[:, None, None]
        if causal:
            inside = inside & (j < i + 1 + ((here - i.size)[:, None, None] if causal == LOWER_RIGHT else 0))
        seen[:, rows, columns] = inside
    return np.where(seen[:, None], s, -np.inf).astype(q.dtype)


def _repeat(x: Any, heads: int) -> Any:
    return np.repeat(x, heads // x.shape[1], 1) if x.shape[1] and x.shape[1] != heads else x


def _softmax(s: Any) -> tuple[Any, Any]:
    """Weights and log-sum-exp; a row without keys has weights 0 and -inf."""
    with np.errstate(invalid="ignore", divide="ignore"):
        top = s.max(-1, keepdims=True, initial=-np.inf)
        top = np.where(top == -np.inf, 0, top)
        e = np.exp(s - top)
        total = e.sum(-1, keepdims=True)
        return np.where(total == 0, 0, e / np.where(total == 0, 1, total)), (top + np.log(total))[..., 0]


def _reference(q: Any, k: Any, v: Any, mask: Any = None, lengths: Any = None, state: Any = None, q_starts: Any = None, k_starts: Any = None,
               causal: int = 0, scale: float = 0.0, dropout: float = 0.0) -> Any:
    starts = q_starts, k_starts
    w, lse = _softmax(_scores(q, _repeat(k, q.shape[1]), mask, lengths, causal, scale, starts))
    w = w * _keep(w.shape, state, dropout, starts) if dropout else w
    return np.einsum("bhij,bhjd->bhid", w, _repeat(v, q.shape[1])).astype(q.dtype), lse.astype(q.dtype)


def _exponent_errors(q: Any, k: Any, s: Any, scale: float, against: Any) -> Any:
    """r_j of kernels/attention/attention.h: the relative error of one weight before it is normalized."""
    size = np.einsum("bhie,bhje->bhij", np.abs(q), np.abs(k)) * abs(scale or 1 / math.sqrt(q.shape[3]))
    finite = np.where(np.isfinite(s), np.abs(s), 0)
    return np.expm1(gamma(q.shape[3] + 5) * size + 2 * EPS * (finite + np.abs(against)) + 2.0**-21)


def _bound(q: Any, k: Any, v: Any, mask: Any = None, lengths: Any = None, state: Any = None, q_starts: Any = None, k_starts: Any = None,
           causal: int = 0, scale: float = 0.0, dropout: float = 0.0) -> tuple[Any, Any]:
    k, v, starts = _repeat(k, q.shape[1]), _repeat(v, q.shape[1]), (q_starts, k_starts)
    s = _scores(q, k, mask, lengths, causal, scale, starts)
    w, lse = _softmax(s)
    r = _exponent_errors(q, k, s, scale, np.where(np.isfinite(s), np.abs(s), 0).max(-1, keepdims=True, initial=0))
    mean = (w * r).sum(-1, keepdims=True)
    kept = w * _keep(w.shape, state, dropout, starts) if dropout else w
    y = np.einsum("bhij,bhjd->bhid", kept * (r + mean + gamma(s.shape[-1] + 6)), np.abs(v))
    return y, mean[..., 0] + gamma(s.shape[-1] + 6) + 4 * EPS * np.where(np.isfinite(lse), np.abs(lse) + 1, 0)


def _draw(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


# B, H, G, L, S, E, D, attributes, mask (its shape, bool or float), lengths (or both kinds of starts)
_CASES: tuple[Any, ...] = (
    ((1, 1, 1, 1, 1, 1, 1), {}, None, None),
    ((2, 2, 2, 5, 7, 8, 8), {}, None, None),
    ((1, 2, 2, 33, 33, 16, 16), {"causal": 1}, None, None),
    ((1, 1, 1, 17, 30, 24, 40), {"causal": 2, "scale": 0.3}, None, None),
    ((2, 4, 2, 6, 9, 8, 5), {}, ((1, 1, 6, 9), bool), None),
    ((2, 2, 1, 6, 9, 4, 8), {"causal": 1}, ((2, 1, 1, 9), bool), None),
    ((2, 2, 2, 4, 6, 4, 4), {}, ((2, 2, 4, 6), float), None),
    ((1, 2, 2, 4, 6, 4, 4), {}, ((1, 1, 1, 6), float), None),
    ((3, 2, 1, 5, 8, 4, 4), {}, None, (8, 3, 0)),
    ((3, 2, 2, 4, 9, 4, 4), {"causal": 2}, None, (9, 2, 5)),
    ((1, 2, 1, 5, 7, 4, 4), {"dropout": 0.4}, None, None),
    ((2, 2, 2, 6, 10, 4, 4), {"dropout": 0.25, "causal": 1}, ((2, 1, 6, 10), bool), (10, 7)),
    ((2, 1, 1, 0, 4, 8, 8), {}, None, None),
    ((2, 2, 2, 3, 0, 8, 8), {}, None, None),
    ((0, 2, 2, 3, 4, 8, 8), {}, None, None),
    ((1, 1, 1, 130, 1100, 32, 32), {}, None, None),
    ((1, 2, 1, 150, 600, 64, 33), {"causal": 2}, None, None),
    ((1, 1, 1, 20, 1050, 40, 72), {"dropout": 0.1}, ((1, 1, 20, 1050), float), None),
    ((1, 1, 1, 9, 70, 200, 256), {"causal": 1}, None, None),
    ((17, 1, 1, 3, 5, 16, 16), {}, None, None),
    ((17, 1, 1, 18, 19, 16, 16), {}, None, None),
    ((2, 2, 1, 40, 50, 24, 24), {"causal": 2}, ((2, 1, 1, 50), bool), (50, 31)),
    ((1, 2, 2, 35, 600, 16, 16), {}, ((1, 2, 35, 600), bool), None),
    ((1, 2, 1, 33, 40, 8, 8), {"causal": 1}, ((1, 1, 33, 40), float), None),
    ((1, 2, 1, 9, 11, 8, 8), {}, None, ((0, 4, 4, 9), (0, 3, 6, 11))),
    ((1, 4, 2, 20, 25, 8, 12), {"causal": 2, "dropout": 0.25}, ((1, 4, 20, 25), bool), ((1, 2, 9, 18), (2, 8, 10, 24))),
    ((1, 8, 8, 150, 90, 16, 16), {"causal": 1}, None, ((0, 0, 130, 140, 150), (0, 20, 85, 90, 90))),
    ((1, 2, 2, 5, 6, 4, 4), {}, ((1, 1, 5, 6), float), ((5,), (0,))),
)


def _cases() -> Any:
    for n, ((b, h, g, queries, keys, e, d), attrs, mask, lengths) in enumerate(_CASES):
        rng = np.random.default_rng(n)
        operands: list[Any] = [_draw(rng, b, h, queries, e), _draw(rng, b, g, keys, e), _draw(rng, b, g, keys, d)]
        drawn = None if mask is None else rng.random(mask[0]) < 0.7 if mask[1] is bool else _draw(rng, *mask[0])
        if drawn is not None and mask[1] is bool and mask[0][2] > 1:
            drawn[0, 0, 1] = False  # a query that sees nothing
        starts = [np.array(s, np.int64) for s in lengths] if lengths is not None and isinstance(lengths[0], tuple) else []
        own = None if lengths is None or starts else np.array(lengths, np.int64)
        extra = [drawn, own, np.array([n, 3], np.int64) if attrs.get("dropout") else None, *starts]
        while extra and extra[-1] is None:
            extra.pop()
        yield rng, operands, extra, attrs


def _samples() -> Any:
    return [((*operands, *extra), attrs) for _, operands, extra, attrs in _cases()]


def _cost(q: Spec, k: Spec, v: Spec, *rest: Spec | None, causal: int = 0, **_: Any) -> Any:
    """Half of the scores where the square is causal."""
    scores = product(q.shape[:3]) * k.shape[2]
    flops = 2 * scores * (q.shape[3] + v.shape[3]) // (2 if causal else 1)
    return flops, 4 * (product(q.shape) + product(k.shape) + product(v.shape) + product(q.shape[:3]) * v.shape[3])


attention_op = Op("attention", _shape, _reference, strided=True, samples=_samples, cost=_cost, bound=_bound)


def _grad_shape(dy: Spec, q: Spec, k: Spec, v: Spec, y: Spec, lse: Spec, mask: Spec | None = None, lengths: Spec | None = None, state: Spec | None = None,
                dlse: Spec | None = None, q_starts: Spec | None = None, k_starts: Spec | None = None, causal: int = 0, scale: float = 0.0,
                dropout: float = 0.0) -> tuple[Spec, Spec, Spec]:  # fmt: skip
    _check("attention_grad", q, k, v, mask, lengths, state, (q_starts, k_starts), dropout)
    rows = Spec(q.shape[:3], DType.float32)
    if dy != Spec((*q.shape[:3], v.shape[3]), DType.float32) or y != dy or lse != rows or dlse not in (None, rows):
        raise ShapeError(f"attention_grad: dy {dy}, y {y}, lse {lse}, dlse {dlse} for q {q} and v {v}")
    return q, k, v


def _group_sum(x: Any, groups: int) -> Any:
    return x.reshape(x.shape[0], groups, -1 if groups else 1, *x.shape[2:]).sum(2) if x.size and x.shape[1] != groups else x


def _grad_parts(dy: Any, q: Any, k: Any, v: Any, y: Any, lse: Any, mask: Any, lengths: Any, state: Any, dlse: Any, starts: Any, causal: int,
                scale: float, dropout: float) -> Any:
    """Weights, those after dropout, their cotangents less delta, delta."""
    s = _scores(q, k, mask, lengths, causal, scale, starts)
    with np.errstate(invalid="ignore"):
        w = np.where(np.isneginf(lse)[..., None] | np.isneginf(s), 0, np.exp(s - lse[..., None]))
    keep = _keep(w.shape, state, dropout, starts) if dropout else 1.0
    delta = (dy * y).sum(-1) - (0 if dlse is None else dlse)
    return s, w, keep, np.einsum("bhid,bhjd->bhij", dy, v), delta[..., None]


def _grad_reference(dy: Any, q: Any, k: Any, v: Any, y: Any, lse: Any, mask: Any = None, lengths: Any = None, state: Any = None, dlse: Any = None,
                    q_starts: Any = None, k_starts: Any = None, causal: int = 0, scale: float = 0.0, dropout: float = 0.0) -> Any:
    groups, kk, vv = k.shape[1], _repeat(k, q.shape[1]), _repeat(v, q.shape[1])
    _, w, keep, dp, delta = _grad_parts(dy, q, kk, vv, y, lse, mask, lengths, state, dlse, (q_starts, k_starts), causal, scale, dropout)
    ds = w * (dp * keep - delta) * (scale or 1 / math.sqrt(q.shape[3]))
    found = (np.einsum("bhij,bhje->bhie", ds, kk), _group_sum(np.einsum("bhij,bhie->bhje", ds, q), groups),
             _group_sum(np.einsum("bhij,bhid->bhjd", w * keep, dy), groups))  # fmt: skip
    return tuple(x.astype(q.dtype) for x in found)


def _grad_bound(dy: Any, q: Any, k: Any, v: Any, y: Any, lse: Any, mask: Any = None, lengths: Any = None, state: Any = None, dlse: Any = None,
                q_starts: Any = None, k_starts: Any = None, causal: int = 0, scale: float = 0.0, dropout: float = 0.0) -> Any:
    """With r the error of a weight: |err dv| <= (w (r + gamma))^T |dy|; |err ds| <= w (r |dp - delta| + gamma (|dy||v| + |dy||y| + |dlse|)), carried on by
    the products that follow."""
    groups, (_, heads, queries, depth), keys, width = k.shape[1], q.shape, k.shape[2], v.shape[3]
    kk, vv, factor = _repeat(k, heads), _repeat(v, heads), abs(scale or 1 / math.sqrt(depth))
    s, w, keep, dp, delta = _grad_parts(dy, q, kk, vv, y, lse, mask, lengths, state, dlse, (q_starts, k_starts), causal, scale, dropout)
    r = _exponent_errors(q, kk, s, scale, np.where(np.isfinite(lse), lse, 0)[..., None])
    sizes = np.einsum("bhid,bhjd->bhij", np.abs(dy), np.abs(vv)) * keep
    sizes = sizes + (np.abs(dy * y).sum(-1) + (0 if dlse is None else np.abs(dlse)))[..., None]
    ds, error = np.abs(w * (dp * keep - delta)) * factor, w * (r * np.abs(dp * keep - delta) + (1 + r) * gamma(width + 8) * sizes) * factor
    rows = queries * max(heads // max(groups, 1), 1)
    return (np.einsum("bhij,bhje->bhie", error + gamma(keys + 8) * ds, np.abs(kk)),
            _group_sum(np.einsum("bhij,bhie->bhje", error + gamma(rows + 8) * ds, np.abs(q)), groups),
            _group_sum(np.einsum("bhij,bhid->bhjd", w * keep * (r + gamma(rows + 8)), np.abs(dy)), groups))  # fmt: skip


def _grad_samples() -> Any:
    found: list[Any] = []
    for rng, (q, k, v), extra, attrs in _cases():
        extra, starts = (*extra, None, None, None)[:3], extra[3:]
        y, lse = _reference(*(x.astype(np.float64) for x in (q, k, v)), *extra, *starts, **attrs)
        dlse = _draw(rng, *lse.shape) if len(found) % 3 == 1 else None
        found.append(((_draw(rng, *y.shape), q, k, v, y.astype(np.float32), lse.astype(np.float32), *extra, dlse, *starts), attrs))
    return found


def _grad_cost(dy: Spec, q: Spec, k: Spec, v: Spec, *rest: Spec | None, causal: int = 0, **_: Any) -> Any:
    scores = product(q.shape[:3]) * k.shape[2]
    flops = 2 * scores * (3 * q.shape[3] + 2 * v.shape[3]) // (2 if causal else 1)
    return flops, 4 * (2 * product(q.shape) + 2 * product(k.shape) + 2 * product(v.shape) + 2 * product(dy.shape))


def _repeated(x: Tensor, heads: int) -> Tensor:
    b, g, n, e = x.shape
    return x if g == heads else x.reshape(b, g, 1, n, e).expand(b, g, heads // g, n, e).reshape(b, heads, n, e)


def _sequences(starts: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of rows 0..n-1, each a float32[n]: how many starts are at or before it, where its sequence begins, where it ends."""
    at = starts.float().reshape(1, -1)
    behind = apply("le", at, np.arange(n, dtype=np.float32)[:, None])
    begin, end = apply("where", behind, at, -1.0).max(1), apply("where", behind, float(2**24), at).min(1)
    return apply("where", behind, 1.0, 0.0).sum(1), begin, end


def _same_sequence(queries: int, keys: int, q_starts: Tensor, k_starts: Tensor, causal: int) -> Tensor:
    """0 where query and key are of different sequences, or of none, or the causal limit of the sequence hides the key: [1, 1, L, S]."""
    (q, q_begin, q_end), (k, k_begin, k_end) = _sequences(q_starts, queries), _sequences(k_starts, keys)
    q_none = apply("where", apply("mul", q_begin >= 0, q_end < float(2**24)), q, -1.0)
    seen: Tensor = apply("eq", q_none.reshape(-1, 1), k)
    if causal:
        i, j = np.arange(queries, dtype=np.float32), np.arange(keys, dtype=np.float32)
        (row, column) = (i - q_end, j - k_end) if causal == LOWER_RIGHT else (i - q_begin, j - k_begin)
        seen = apply("mul", seen, apply("le", column, row.reshape(-1, 1)))
    return seen.reshape(1, 1, queries, keys)


def _visible(queries: int, keys: int, lengths: Tensor | None, mask: Tensor | None, causal: int, starts: tuple[Tensor | None, Tensor | None]) -> Any:
    """0 where a score is hidden, broadcasting to [B, H, L, S]; None where nothing is."""
    i, j = np.arange(queries)[:, None], np.arange(keys)
    place = (np.where(j < i + 1, j, 2**30) if causal == UPPER_LEFT else j - i - 1 + queries if causal else j[None]).astype(np.float32)
    seen: Any = None
    if starts[0] is not None and starts[1] is not None:
        seen = _same_sequence(queries, keys, starts[0], starts[1], causal)
    elif lengths is not None:
        seen = apply("lt", place, apply("minimum", lengths.float(), float(keys)).reshape(-1, 1, 1, 1))
    elif causal:
        seen = (place < keys).astype(np.float32)
    if mask is not None and mask.dtype == DType.bool:
        seen = mask if seen is None else apply("mul", mask, seen)
    return seen


def _composed(dy: Tensor, q: Tensor, k: Tensor, v: Tensor, y: Tensor, lse: Tensor, mask: Tensor | None = None, lengths: Tensor | None = None,
              state: Tensor | None = None, dlse: Tensor | None = None, q_starts: Tensor | None = None, k_starts: Tensor | None = None, causal: int = 0,
              scale: float = 0.0, dropout: float = 0.0) -> Any:
    """dq, dk, dv and the cotangent of the scores in plain ops, with all scores in memory: for second derivatives and for masks that learn."""
    (b, heads, queries, depth), groups, keys = q.shape, k.shape[1], k.shape[2]
    scale = scale or 1 / math.sqrt(depth)  # type: ignore[arg-type]
    kk, vv = _repeated(k, heads), _repeated(v, heads)  # type: ignore[arg-type]
    # A row that sees nothing has lse = -inf, a hidden score may exceed lse: neither may reach exp, whose derivative would make NaN of it.
    z = (q @ kk.mT) * scale - apply("where", lse > -3e38, lse, 0.0).unsqueeze(-1)
    if mask is not None and mask.dtype == DType.float32:
        z = z + mask
    seen = _visible(queries, keys, lengths, mask, causal, (q_starts, k_starts))  # type: ignore[arg-type]
    w = z.exp() if seen is None else apply("where", seen, apply("where", seen, z, 0.0).exp(), 0.0)
    delta = (dy * y).sum(-1, keepdim=True)
    delta = delta if dlse is None else delta - dlse.unsqueeze(-1)
    dp, kept = dy @ vv.mT, w
    if dropout:
        padded = -(-keys // 4) * 4
        u = apply_all("random_uniform", state, shape=(b * heads * queries, padded))[0][:, :keys].reshape(b, heads, queries, keys)
        if k_starts is not None:  # a row's numbers begin at its sequence's first key
            begin = _sequences(k_starts, keys)[1]  # type: ignore[arg-type]
            own = apply("maximum", np.arange(keys, dtype=np.float32) - begin, 0.0).to(DType.int64)  # type: ignore[arg-type]
            u = apply("gather", u, own.reshape(1, 1, 1, keys).expand(b, heads, queries, keys), axis=3)
        keep = apply("where", u >= dropout, 1 / (1 - dropout), 0.0)
        dp, kept = dp * keep, w * keep
    score = w * (dp - delta)
    ds = score * scale

    def over_heads(x: Tensor) -> Tensor:
        return x if groups == heads else x.reshape(b, groups, heads // groups, *x.shape[2:]).sum(2)

    return ds @ kk, over_heads(ds.mT @ q), over_heads(kept.mT @ dy), score


attention_grad = Op("attention_grad", _grad_shape, _grad_reference, strided=True, samples=_grad_samples, cost=_grad_cost, bound=_grad_bound,
                    composition=lambda *inputs, **attrs: _composed(*inputs, **attrs)[:3])  # fmt: skip


@attention_op.vjp
def _(dy: Tensor | None, dlse: Tensor | None, q: Tensor, k: Tensor, v: Tensor, *rest: Any, **attrs: Any) -> Any:
    *extra, y, lse = rest
    mask, lengths, state, q_starts, k_starts = (*extra, *(None,) * 5)[:5]
    given = (y * 0.0 if dy is None else dy, q, k, v, y, lse, mask, lengths, state, dlse, *(() if q_starts is None else (q_starts, k_starts)))
    dmask = _composed(*given, **attrs)[3] if mask is not None and mask.dtype.is_float and needs_gradient(mask) else None
    return (*apply_all("attention_grad", *given, **attrs), dmask, None, None, None, None)


def _next_state(device: str) -> Tensor:
    """(seed, call number) of this call, copied: backward reads it after the device's position has moved on."""
    with no_grad():
        position = position_on(device)
        here = apply("copy", position)
        position.assign(apply_all("random_uniform", position, shape=(0,))[1])
    return here


def _mask4(mask: Tensor, lead: tuple[Any, ...], queries: Any, keys: Any) -> Tensor:
    """A mask that broadcasts to [*lead, L, S] as one of rank 4."""
    full = (*lead, queries, keys)
    if mask.ndim > len(full):
        raise ShapeError(f"scaled_dot_product_attention: a mask {mask.spec} for scores of shape {full}")
    shape = (1,) * (len(full) - mask.ndim) + mask.shape
    if len(lead) == 1:
        shape = (shape[0], 1, *shape[1:])
    elif len(lead) > 2:
        if any(s != 1 for s in shape[: len(lead) - 1]):
            mask, shape = mask.expand(*lead[:-1], *shape[len(lead) - 1 :]), (product(lead[:-1]), *shape[len(lead) - 1 :])
        else:
            shape = (1, *shape[len(lead) - 1 :])
    elif not lead:
        shape = (1, 1, *shape)
    return mask if mask.shape == shape else mask.reshape(*shape)


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0, is_causal: bool = False,
                                 scale: float | None = None, enable_gqa: bool = False, *, lengths: Tensor | None = None, lower_right: bool = False,
                                 return_lse: bool = False) -> Any:  # fmt: skip
    """softmax(scale query key^T + attn_mask) value, torch's function of that name, without the scores in memory (forward or backward).

    query[..., H, L, E], key[..., H, S, E], value[..., H, S, D] -> [..., H, L, D]; without the dimension of heads, too. float32; bfloat16 and float16 are
    computed in float32. attn_mask broadcasts to [..., H, L, S]: bool (True takes part) or float (added to the scores); it may learn, but its gradient is
    computed with all scores in memory. is_causal: query i sees keys 0..i; with lower_right=True the last query sees the last key (decoding against a
    cache). scale: 1 / sqrt(E) if None. enable_gqa: key and value may have fewer heads, each read by H / G heads of query. dropout_p acts on the weights
    (always: pass 0 when not training). lengths: int64[batch], the number of keys that are there; the others are never read.
    return_lse=True: also log sum exp of the scores, [..., H, L].

    A query that sees no key gives 0 (torch since 2.5, too). Errors: ShapeError, DTypeError, AttributeValueError.
    Source: Vaswani et al. 2017 (arXiv 1706.03762); tiles after Dao et al. 2022 (arXiv 2205.14135)."""
    name = "scaled_dot_product_attention"
    if query.ndim < 2 or key.ndim != query.ndim or value.ndim != query.ndim:
        raise ShapeError(f"{name}: query {query.spec}, key {key.spec}, value {value.spec}: [..., L, E], [..., S, E], [..., S, D] expected")
    if lower_right and not is_causal:
        raise AttributeValueError(f"{name}: lower_right=True says where a causal limit lies; it needs is_causal=True")
    if query.dtype in (DType.bfloat16, DType.float16):
        found = scaled_dot_product_attention(query.float(), key.float(), value.float(), attn_mask, dropout_p, is_causal, scale, enable_gqa, lengths=lengths,
                                             lower_right=lower_right, return_lse=return_lse)  # fmt: skip
        return (found[0].to(query.dtype), found[1]) if return_lse else found.to(query.dtype)
    lead = query.shape[:-2]
    if not enable_gqa and key.shape[:-2] != lead:
        raise ShapeError(f"{name}: key {key.spec} has other leading dimensions than query {query.spec}; fewer heads of keys need enable_gqa=True")
    q, k, v = (query, key, value) if query.ndim == 4 else map(_rank4, (query, key, value))
    if attn_mask is not None:
        attn_mask = _mask4(attn_mask, lead, query.shape[-2], key.shape[-2])
    causal = (LOWER_RIGHT if lower_right else UPPER_LEFT) if is_causal else ALL
    # As many operands as are there: a call with fewer is a quicker call.
    operands = [q, k, v, attn_mask, lengths, _next_state(q.device) if dropout_p else None]
    while operands[-1] is None:
        operands.pop()
    y, lse = apply_all("attention", *operands, causal=causal, scale=0.0 if scale is None else float(scale) or 1e-37, dropout=float(dropout_p))
    if query.ndim != 4:
        y, lse = y.reshape(*lead, *y.shape[-2:]), lse.reshape(*lead, lse.shape[-1])
    return (y, lse) if return_lse else y


def _rank4(x: Tensor) -> Tensor:
    lead = x.shape[:-2]
    return x.reshape(*((1, 1) if not lead else (lead[0], 1) if len(lead) == 1 else (product(lead[:-1]), lead[-1])), *x.shape[-2:])


__all__ = ["scaled_dot_product_attention"]
