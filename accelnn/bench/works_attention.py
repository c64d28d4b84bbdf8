"""Attention: forward, gradient, and one query against a cache."""

from __future__ import annotations

from typing import Any

import numpy as np

import accelnn as an

from ..core.dtypes import DType, from_bfloat16, to_bfloat16
from ..core.errors import ShapeError
from ..core.registry import OPS
from ..core.tensor import apply
from .arrays import empty, normal, placed
from .check import Truth, float64, truth_of
from .works import Call, Inputs, Work, add, sizes

SYNTAX = "B x H x L x E[:causal]"
CACHE = "B x H x S x E[:groups=G]"


def _draw(rng: np.random.Generator, text: str) -> Inputs:
    shape, _, option = text.partition(":")
    if option not in ("", "causal"):
        raise ShapeError(f"'{text}': {SYNTAX} expected")
    b, h, n, e = sizes(shape, 4, SYNTAX)
    return Inputs([normal(rng, b, h, n, e) for _ in range(3)], {"causal": int(option == "causal")})


def _forward(x: Inputs) -> Call:
    (q, k, v), causal = x.tensors(), bool(x.attrs["causal"])
    return lambda: an.scaled_dot_product_attention(q, k, v, is_causal=causal)


def _forward_truth(x: Inputs) -> Truth:
    """The output alone: peers give nothing else. Heads by themselves: all scores in float64 would not fit."""
    op, (b, h), parts = OPS["attention"], x.arrays[0].shape[:2], []
    for i in range(b):
        for j in range(h):
            parts.append(truth_of(op, [a[i : i + 1, j : j + 1] for a in x.arrays], x.attrs, [DType.float32] * 2))

    def whole(pieces: list[Any]) -> Any:
        return np.concatenate([np.concatenate(pieces[i * h : (i + 1) * h], 1) for i in range(b)], 0)

    return Truth([whole([p.values[0] for p in parts])], [whole([p.allowed[0] for p in parts])])


def _draw_dy(rng: np.random.Generator, text: str) -> Inputs:
    x = _draw(rng, text)
    x.note["dy"] = normal(rng, *x.arrays[0].shape)
    return x


def _backward(x: Inputs) -> Call:
    q, k, v = leaves = [t.requires_grad_() for t in x.tensors()]
    dy = an.asarray(x.note["dy"])
    y = an.scaled_dot_product_attention(q, k, v, is_causal=bool(x.attrs["causal"]))
    return lambda: an.grad_of(y, leaves, [dy])


def _backward_truth(x: Inputs) -> Truth:
    op, forward = OPS["attention_grad"], OPS["attention"]
    assert op.bound is not None
    b, h = x.arrays[0].shape[:2]
    values: list[list[Any]] = [[], [], []]
    allowed: list[list[Any]] = [[], [], []]
    for i in range(b):
        for j in range(h):
            q, k, v, dy = (float64(a[i : i + 1, j : j + 1]) for a in (*x.arrays, x.note["dy"]))
            y, lse = forward.reference(q, k, v, **x.attrs)
            # y and lse come from the float32 forward pass: their errors, of the size of the gradient's own, are allowed for by a factor of two.
            for to, found in ((values, op.reference(dy, q, k, v, y, lse, **x.attrs)), (allowed, op.bound(dy, q, k, v, y, lse, **x.attrs))):
                for n, part in enumerate(found):
                    to[n].append(part * (1 if to is values else 2))

    def whole(pieces: list[Any]) -> Any:
        return np.concatenate([np.concatenate(pieces[i * h : (i + 1) * h], 1) for i in range(b)], 0)

    return Truth([whole(p) for p in values], [whole(p) for p in allowed])


def _backward_cost(x: Inputs) -> tuple[float, float]:
    q = x.arrays[0]
    return 10.0 * q.size * q.shape[2] / (2 if x.attrs["causal"] else 1), 4.0 * 8 * q.size


def _cache(dtype: DType) -> Any:
    def draw(rng: np.random.Generator, text: str) -> Inputs:
        shape, _, option = text.partition(":groups=")
        b, h, n, e = sizes(shape, 4, CACHE)
        g = int(option or h)
        q = normal(rng, b, h, 1, e)
        if dtype == DType.int8:
            caches: list[Any] = []
            for _ in range(2):
                c = empty((b, g, n, e), np.int8)
                c[...] = rng.integers(-127, 128, c.shape)
                caches.append(c)
            return Inputs([q, *caches, None, *(placed(rng.uniform(0.01, 0.02, (b, g, n)).astype(np.float32)) for _ in range(2))], {"causal": 0})
        caches = [normal(rng, b, g, n, e) for _ in range(2)]
        return Inputs([q, *(placed(to_bfloat16(c)) if dtype == DType.bfloat16 else c for c in caches)], {"causal": 0})

    return draw


def _decode(x: Inputs) -> Call:
    tensors, attrs = x.tensors(), x.attrs
    return lambda: apply("attention_decode", *tensors, **attrs)


def _decode_truth(x: Inputs) -> Truth:
    op = OPS["attention_decode"]
    assert op.bound is not None
    operands = [None if a is None else from_bfloat16(a).astype(np.float64) if a.dtype.itemsize == 2 else float64(a) for a in x.arrays]
    return Truth([op.reference(*operands, **x.attrs)], [op.bound(*operands, **x.attrs)])


add(Work("attention", "attention", _draw, _forward, SYNTAX, truth=_forward_truth, plain=False),
    Work("attention_backward", "attention_grad", _draw_dy, _backward, SYNTAX, truth=_backward_truth, cost=_backward_cost, plain=False, eager=False),
    Work("attention_decode", "attention_decode", _cache(DType.float32), _decode, CACHE, truth=_decode_truth),
    Work("attention_decode_bf16", "attention_decode", _cache(DType.bfloat16), _decode, CACHE, truth=_decode_truth, dtype="bf16"),
    Work("attention_decode_int8", "attention_decode", _cache(DType.int8), _decode, CACHE, truth=_decode_truth, dtype="i8"))  # fmt: skip
