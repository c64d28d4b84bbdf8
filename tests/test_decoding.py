"""A cache that grows step by step, and sequences without padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.core.errors import UnsupportedError
from accelnn.core.graph import Spec
from accelnn.core.trace import trace
from accelnn.passes.plan_memory import schedule


def drawn(*shape: int, seed: int = 0) -> Any:
    return an.tensor(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


class Decoder(an.nn.Module):
    """Two layers of grouped attention with rotary places: what generates text, small."""

    def __init__(self, vocabulary: int = 13, width: int = 32, heads: int = 4, groups: int = 2, layers: int = 2) -> None:
        super().__init__()
        self.heads, self.groups, self.size = heads, groups, width // heads
        self.embedding = an.nn.Embedding(vocabulary, width)
        self.qkv = an.nn.ModuleList([an.nn.Linear(width, (heads + 2 * groups) * self.size) for _ in range(layers)])
        self.out = an.nn.ModuleList([an.nn.Linear(width, width) for _ in range(layers)])
        self.norm = an.nn.ModuleList([an.nn.RMSNorm(width) for _ in range(layers + 1)])
        self.head = an.nn.Linear(width, vocabulary)
        self.cos, self.sin = an.rope_tables(40, self.size)

    def forward(self, tokens: Any, places: Any, attend: Any) -> Any:
        """tokens, places int64[B, L] -> [B, L, vocabulary]; attend(layer, q, k, v) -> [B, H, L, size]."""
        x = self.embedding(tokens)
        b, n, width = x.shape
        for i in range(len(self.out)):
            y = self.qkv[i](self.norm[i](x)).reshape(b, n, self.heads + 2 * self.groups, self.size).permute(0, 2, 1, 3)
            q, k, v = y[:, : self.heads], y[:, self.heads : -self.groups], y[:, -self.groups :]
            q, k = (an.rope(t, self.cos, self.sin, places) for t in (q, k))
            x = x + self.out[i](attend(i, q, k, v).permute(0, 2, 1, 3).reshape(b, n, width))
        return self.head(self.norm[-1](x))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_generating_with_a_cache_as_one_plan_is_attention_over_all_of_it(dtype: str) -> None:
    """A prompt of two, then a token at a time. The Plan keeps caches, scales and place; nothing but a token goes in."""
    an.seed(0)
    net, layers, batch, rows, steps = Decoder(), 2, 2, 40, 20

    def whole(i: int, q: Any, k: Any, v: Any) -> Any:
        return an.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

    kind = getattr(an, dtype)
    cache = [[an.zeros(batch, net.groups, rows, net.size).to(kind) for _ in range(2)] for _ in range(layers)]
    scales = [[an.zeros(batch, net.groups, rows) for _ in range(2)] if dtype == "int8" else [None, None] for _ in range(layers)]
    place = an.tensor(np.zeros(batch, np.int64))

    def step(tokens: Any) -> Any:
        n = tokens.shape[1]
        now = (place.float() + float(n)).to(an.int64)

        def attend(i: int, q: Any, k: Any, v: Any) -> Any:
            found = [an.cache_append(c, x, place, s) for c, x, s in zip(cache[i], (k, v), scales[i])]
            (keys, ks), (values, vs) = (f if isinstance(f, tuple) else (f, None) for f in found)
            return an.attention_decode(q, keys, values, now, ks, vs)

        places = (place.float().unsqueeze(1) + an.arange(n).float()).to(an.int64)
        logits = net(tokens, places, attend)[:, -1]
        place.assign(now)
        return logits

    plan, tokens = an.compile(step), np.array([[3, 5], [1, 12]])
    with an.no_grad():
        given = tokens
        for _ in range(steps):
            logits = plan(an.tensor(given)).numpy()
            places = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape).copy()
            want = net(an.tensor(tokens), an.tensor(places), whole)[:, -1].numpy()
            size = np.abs(want).max()
            np.testing.assert_allclose(logits, want, rtol=0, atol={"float32": 2e-6, "bfloat16": 1e-2, "int8": 2e-2}[dtype] * size)
            given = want.argmax(-1)[:, None]
            tokens = np.concatenate([tokens, given], 1)
    assert (place.numpy() == steps + 1).all()


def test_a_plan_appends_where_the_cache_lies() -> None:
    """No copy of a cache in the schedule, float or int8, although its new value is read; a copy where the old value is read afterwards."""
    cache, scale, at = an.zeros(1, 2, 9, 8).to(an.int8), an.zeros(1, 2, 9), an.tensor(np.array([3]))

    def calls(f: Any) -> list[str]:
        return [c.op for c in schedule(trace(f, [Spec((1, 2, 1, 8), an.float32)])[0]).calls]

    def append(x: Any) -> Any:
        made, scales = an.cache_append(cache, x, at, scale)
        return an.attention_decode(x, made, made, None, scales, scales)

    assert calls(append) == ["cache_append", "attention_decode"]
    floats = an.zeros(1, 2, 9, 8)

    def old(x: Any) -> Any:
        before = floats + 0.0
        an.cache_append(floats, x, at)
        return an.attention_decode(x, before, floats)

    assert calls(old) == ["pointwise", "cache_append", "attention_decode"]
    traced = floats.detach()

    def late(x: Any) -> Any:
        first = an.attention_decode(x, traced, traced)
        new = an.cache_append(traced, x, at)
        return first, new

    assert "copy" in calls(late)


def test_appending_in_place_touches_nothing_else() -> None:
    """Eager: the very memory, and views of it see the rows; a full cache is refused before anything is written."""
    cache = drawn(2, 2, 6, 5)
    before, x = cache.numpy().copy(), drawn(2, 2, 2, 5, seed=1)
    assert an.cache_append(cache, x, an.tensor(np.array([4, 1]))) is cache
    before[0, :, 4:6], before[1, :, 1:3] = x.numpy()[0], x.numpy()[1]
    np.testing.assert_array_equal(cache.numpy(), before)
    for bad in (5, -1):
        with pytest.raises(an.Error, match=f"position {bad}"):
            an.cache_append(cache, x, an.tensor(np.array([0, bad])))
    np.testing.assert_array_equal(cache.numpy(), before)
    with pytest.raises(an.Error, match="scale"):
        an.cache_append(cache.to(an.int8), x, an.tensor(np.array([0, 0])))


def test_an_int8_row_is_what_quantize_cache_makes() -> None:
    x = drawn(1, 2, 3, 16)
    cache, scale = an.zeros(1, 2, 3, 16).to(an.int8), an.zeros(1, 2, 3)
    an.cache_append(cache, x, an.tensor(np.array([0])), scale)
    want, scales = an.quantize_cache(x)
    np.testing.assert_array_equal(cache.numpy(), want.numpy())
    np.testing.assert_array_equal(scale.numpy(), scales.numpy())
    bad = x.numpy().copy()
    bad[0, 0, 1, 3], bad[0, 1, 2, 0] = np.inf, np.nan
    an.cache_append(cache, an.tensor(bad), an.tensor(np.array([0])), scale)
    np.testing.assert_array_equal(np.isnan(scale.numpy())[0], [[False, True, False], [False, False, True]])


LENGTHS = (([3, 0, 130, 7], [5, 2, 40, 0]), ([4, 9], [4, 9]))


@pytest.mark.parametrize(("queries", "keys"), LENGTHS)
@pytest.mark.parametrize("causal", [False, True])
def test_packed_sequences_are_each_by_itself(queries: list[int], keys: list[int], causal: bool) -> None:
    """Outputs and gradients of grouped heads, NaN in rows that belong to no sequence."""
    starts = [np.concatenate([[1], 1 + np.cumsum(n)]).astype(np.int32) for n in (queries, keys)]
    rows, columns = sum(queries) + 3, sum(keys) + 3
    q, k, v, dy = (drawn(n, h, 12, seed=s).numpy() for s, (n, h) in enumerate(((rows, 4), (columns, 2), (columns, 2), (rows, 4))))
    for x, at in ((q, starts[0]), (k, starts[1]), (v, starts[1])):
        x[0], x[at[-1] :] = np.nan, np.nan
    leaves = [an.tensor(x, requires_grad=True) for x in (q, k, v)]
    y, lse = an.varlen_attn(*leaves, *(an.tensor(s) for s in starts), window_size=(-1, 0 if causal else -1), enable_gqa=True, return_lse=True)
    y.backward(an.tensor(dy))
    seen = [np.zeros(len(x), bool) for x in (q, k)]
    for a, b, c, d in zip(starts[0], starts[0][1:], starts[1], starts[1][1:]):
        here = slice(a, b), slice(c, d), slice(c, d)
        own = [an.tensor(np.ascontiguousarray(x[s].transpose(1, 0, 2))[None], requires_grad=True) for x, s in zip((q, k, v), here)]
        want, own_lse = an.scaled_dot_product_attention(*own, is_causal=causal, lower_right=causal, enable_gqa=True, return_lse=True)
        want.backward(an.tensor(np.ascontiguousarray(dy[a:b].transpose(1, 0, 2))[None]))
        np.testing.assert_allclose(y.numpy()[a:b], want.numpy()[0].transpose(1, 0, 2), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(lse.numpy()[:, a:b], own_lse.numpy()[0], rtol=1e-5, atol=1e-6)
        for got, one, s in zip(leaves, own, here):
            np.testing.assert_allclose(got.grad.numpy()[s], one.grad.numpy()[0].transpose(1, 0, 2), rtol=1e-4, atol=1e-5)
        seen[0][a:b], seen[1][c:d] = True, True
    assert (y.numpy()[~seen[0]] == 0).all()
    for got, inside in zip(leaves, (seen[0], seen[1], seen[1])):
        assert (got.grad.numpy()[~inside] == 0).all()


def test_errors_of_packed_sequences() -> None:
    q = drawn(5, 2, 8)
    for starts, message in (([0, 6], "start 1 is 6"), ([3, 2], "start 1 is 2"), ([-1, 3], "start 0 is -1")):
        with pytest.raises(an.Error, match=message):
            an.varlen_attn(q, q, q, an.tensor(np.array(starts)))
    with pytest.raises(UnsupportedError, match="window_size"):
        an.varlen_attn(q, q, q, an.tensor(np.array([0, 5])), window_size=(4, 0))
    with pytest.raises(an.Error, match="enable_gqa"):
        an.varlen_attn(q, q[:, :1], q[:, :1], an.tensor(np.array([0, 5])))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_pages_are_a_cache_wherever_they_lie(dtype: str) -> None:
    """Three sequences over 12 pages of 4 keys in any order, tables of int32: as one cache a sequence."""
    rng = np.random.default_rng(0)
    lengths, tables = np.array([9, 0, 17], np.int32), rng.permutation(12)[: 3 * 4].reshape(3, 4).repeat(2, 1)[:, :5].astype(np.int32)
    q, (k, v) = drawn(3, 4, 2, 8), (an.tensor(rng.normal(size=(12, 4, 2, 8)).astype(np.float32)).to(getattr(an, dtype)) for _ in range(2))
    scales = [an.tensor(rng.uniform(0.5, 1, (12, 4, 2)).astype(np.float32)) if dtype == "int8" else None for _ in range(2)]
    got = an.attention_paged(q, k, v, an.tensor(tables), an.tensor(lengths), *scales).numpy()
    for b, n in enumerate(lengths):
        together = [None if c is None else an.tensor(np.concatenate([c.float().numpy()[page] for page in tables[b]])[:n].swapaxes(0, 1)[None].copy())
                    for c in (k, v, *scales)]  # fmt: skip
        want = an.attention_decode(q[b : b + 1], *together[:2], None, *together[2:]).numpy()
        np.testing.assert_allclose(got[b : b + 1], want, rtol=1e-5, atol=1e-6)
    assert (got[1] == 0).all()


def test_errors_of_pages() -> None:
    q, k = drawn(1, 2, 1, 8), drawn(3, 4, 2, 8)
    tables, one = an.tensor(np.array([[2, 3]])), an.tensor(np.array([5]))
    with pytest.raises(an.Error, match="attention_paged: page 1 of item 0 is 3: 0 to 2 expected"):
        an.attention_paged(q, k, k, tables, one)
    an.attention_paged(q, k, k, tables, an.tensor(np.array([4])))      # nobody reads the second page
    with pytest.raises(an.Error, match="block tables are"):
        an.attention_paged(q, k, k, one, one)
    with pytest.raises(an.Error, match="do not divide over"):
        an.attention_paged(drawn(1, 3, 1, 8), k, k, tables, one)
