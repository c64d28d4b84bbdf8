"""Attention: forward, gradient, and one query against a cache; rotary embedding."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ...core.errors import ShapeError
from ...ops.attention import LOWER_RIGHT
from ..works import Inputs, sizes
from .numbers import Numbers
from .works import Forward, Sample, Work, add, along, draw_floats

SYNTAX, CACHE = "B x H x L x E[:causal]", "B x H x S x E[:groups=G]"
QUERIES = 32  # that are looked at


def _draw(dtype: str) -> Any:
    def draw(numbers: Numbers, text: str) -> Inputs:
        shape, _, option = text.partition(":")
        if option not in ("", "causal"):
            raise ShapeError(f"'{text}': {SYNTAX} expected")
        b, h, n, e = sizes(shape, 4, SYNTAX)
        return Inputs([draw_floats(numbers, dtype, b, h, n, e) for _ in range(3)], {"causal": int(option == "causal")})

    return draw


def _ends(x: Inputs, queries: tuple[int, ...], keys: tuple[int, ...]) -> list[tuple[Inputs, tuple[Any, ...], tuple[Any, ...]]]:
    """The first queries of the first head and the last ones of the last, each with the keys that they see: the small problem, where its queries lie, and
    where the keys lie of which no other query knows (none, if every query sees every key)."""
    b, h, n = x.arrays[queries[0]].shape[:3]
    few, causal, found = min(QUERIES, n), x.attrs["causal"], []
    for item, head, rows, seen in ((0, 0, slice(0, few), slice(0, few if causal else n)), (b - 1, h - 1, slice(n - few, n), slice(0, n))):
        where = (slice(item, item + 1), slice(head, head + 1))
        arrays = [a if a is None else np.ascontiguousarray(a[(*where, rows)]) if i in queries else np.ascontiguousarray(a[(*where, seen)])
                  for i, a in enumerate(x.arrays)]  # fmt: skip
        assert set(range(len(arrays))) == {*queries, *keys}
        small = Inputs(arrays, x.attrs | ({"causal": LOWER_RIGHT} if causal else {}))
        found.append((small, (*where, rows), (*where, rows) if causal and rows.stop == n else ()))
    return found


def _forward_samples(x: Inputs) -> list[Sample]:
    return [Sample(small, partial(_at, at)) for small, at, _ in _ends(x, (0,), (1, 2))]


def _at(place: Any, found: list[np.ndarray]) -> list[np.ndarray]:
    return [f[place] for f in found]


def _saved(x: Inputs, forward: Forward) -> Inputs:
    """dy is x's fourth operand; y and the logarithms of the sums come from the forward pass."""
    q, k, v, dy = x.arrays
    y, lse = forward("attention", [q, k, v], x.attrs)
    return Inputs([dy, q, k, v, y, lse], x.attrs)


def _draw_gradient(dtype: str) -> Any:
    def draw(numbers: Numbers, text: str) -> Inputs:
        x = _draw(dtype)(numbers, text)
        return Inputs([*x.arrays, draw_floats(numbers, dtype, *x.arrays[0].shape)], x.attrs)

    return draw


def _gradient_samples(x: Inputs) -> list[Sample]:
    found = []
    for small, at, keys in _ends(x, (0, 1, 4, 5), (2, 3)):
        found.append(Sample(small, partial(_gradients, at, keys), partial(_last, small.arrays[1].shape[2] if keys else 0)))
    return found


def _gradients(at: Any, keys: Any, found: list[np.ndarray]) -> list[np.ndarray]:
    """dq of the queries, and dk and dv of the keys that nobody else sees."""
    return [found[0][at], *([f[keys] for f in found[1:]] if keys else [])]


def _last(n: int, values: list[Any]) -> list[Any]:
    return [values[0], *([v[:, :, -n:] for v in values[1:]] if n else [])]


def _decode(dtype: str) -> Any:
    def draw(numbers: Numbers, text: str) -> Inputs:
        shape, _, option = text.partition(":groups=")
        b, h, n, e = sizes(shape, 4, CACHE)
        g = int(option or h)
        q = numbers.normal(b, h, 1, e)
        if dtype == "i8":
            return Inputs([q, numbers.signed(b, g, n, e), numbers.signed(b, g, n, e), None, *(numbers.uniform(0.01, 0.02, b, g, n) for _ in range(2))],
                          {"causal": 0})  # fmt: skip
        return Inputs([q, draw_floats(numbers, dtype, b, g, n, e), draw_floats(numbers, dtype, b, g, n, e)], {"causal": 0})

    return draw


def _turned(numbers: Numbers, text: str) -> Inputs:
    b, h, n, e = sizes(text, 4, "B x H x L x E")
    return Inputs([numbers.normal(b, h, n, e), numbers.normal(1, n, e // 2), numbers.normal(1, n, e // 2)], {"interleaved": 0, "inverse": 0})


for _dtype, _end in (("f32", ""), ("bf16", "_bf16"), ("f16", "_f16")):
    add(Work(f"attention{_end}", "attention", SYNTAX, _draw(_dtype), _forward_samples, peak=_dtype, dtype=_dtype),
        Work(f"attention_grad{_end}", "attention_grad", SYNTAX, _draw_gradient(_dtype), _gradient_samples, peak=_dtype, dtype=_dtype, complete=_saved))
for _dtype, _end in (("f32", ""), ("bf16", "_bf16"), ("i8", "_int8")):
    add(Work(f"attention_decode{_end}", "attention_decode", CACHE, _decode(_dtype), along({0: 0, 1: 0, 2: 0, 4: 0, 5: 0}, {0: 0}, 2), dtype=_dtype))
add(Work("rotary", "rotary", "B x H x L x E", _turned, along({0: 0}, {0: 0}, 1)))
