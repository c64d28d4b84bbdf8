"""Attention: what no sample of the contract tests can say: states, caches, Plans, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an


def drawn(*shape: int, seed: int = 0) -> Any:
    return an.tensor(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def test_dropout_is_the_same_in_a_plan_and_moves_on() -> None:
    """Eager and Plan draw the same mask, forward and backward; the next call another one."""
    q, k, v = (drawn(2, 2, 7, 8, seed=i) for i in range(3))
    w = drawn(2, 2, 7, 8, seed=5)

    def loss(q: Any, k: Any, v: Any) -> Any:
        return (an.scaled_dot_product_attention(q, k, v, dropout_p=0.3) * w).sum()

    def both(q: Any, k: Any, v: Any) -> Any:
        y = loss(q, k, v)
        return y, *an.grad_of(y, [q, k, v])

    an.seed(7)
    leaves = [an.tensor(x.numpy(), requires_grad=True) for x in (q, k, v)]
    first = both(*leaves)
    second = both(*leaves)
    assert first[0].item() != second[0].item()
    an.seed(7)
    plan = an.compile(both)
    for want in (first, second):
        for a, b in zip(want, plan(q, k, v)):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_dropout_drops_the_share_it_should() -> None:
    an.seed(1)
    ones = an.ones(1, 2, 64, 64)
    y = an.scaled_dot_product_attention(drawn(1, 2, 64, 64), drawn(1, 2, 64, 64), ones, dropout_p=0.25).numpy()
    assert y.mean() == pytest.approx(1.0, abs=0.05) and y.std() > 0.01


def test_padding_beyond_the_lengths_is_never_read() -> None:
    """NaN in a cache that is not filled yet reaches nothing, forward or backward."""
    q, k, v = (drawn(2, 2, 5, 8, seed=i).numpy() for i in range(3))
    lengths = np.array([5, 2])
    bad = [np.array(x) for x in (k, v)]
    for x in bad:
        x[1, :, 2:] = np.nan
    results = []
    for keys, values in ((k, v), bad):
        leaves = [an.tensor(x, requires_grad=True) for x in (q, keys, values)]
        y = an.scaled_dot_product_attention(*leaves, lengths=an.tensor(lengths))
        y.sum().backward()
        results.append([y.numpy(), *(x.grad.numpy() for x in leaves)])
    for a, b in zip(*results):
        np.testing.assert_array_equal(a, b)
    assert (results[0][2][1, :, 2:] == 0).all()


def test_one_step_with_a_cache_is_the_last_row_of_the_whole() -> None:
    q, k, v = (drawn(2, 4, 11, 16, seed=i) for i in range(3))
    whole = an.scaled_dot_product_attention(q, k, v, is_causal=True).numpy()
    for n in (1, 3):
        some = an.scaled_dot_product_attention(q[:, :, 11 - n :], k, v, is_causal=True, lower_right=True).numpy()
        np.testing.assert_allclose(some, whole[:, :, 11 - n :], rtol=1e-5, atol=1e-6)


def test_lse_joins_two_halves_of_the_keys() -> None:
    q, k, v = (drawn(1, 2, 9, 16, seed=i) for i in range(3))
    y, lse = an.scaled_dot_product_attention(q, k, v, return_lse=True)
    parts = [an.scaled_dot_product_attention(q, k[:, :, s], v[:, :, s], return_lse=True) for s in (slice(0, 4), slice(4, 9))]
    shares = [np.exp(p[1].numpy() - lse.numpy())[..., None] for p in parts]
    np.testing.assert_allclose(sum(s * p[0].numpy() for s, p in zip(shares, parts)), y.numpy(), rtol=1e-5, atol=1e-6)


def test_bfloat16_is_computed_in_float32() -> None:
    q, k, v = (drawn(1, 2, 9, 16, seed=i).to(an.bfloat16) for i in range(3))
    y = an.scaled_dot_product_attention(q, k, v)
    want = an.scaled_dot_product_attention(q.float(), k.float(), v.float())
    assert y.dtype == an.bfloat16
    np.testing.assert_array_equal(y.numpy(), want.to(an.bfloat16).numpy())


def test_nan_reaches_its_query_and_no_other() -> None:
    q, k, v = (drawn(1, 1, 20, 8, seed=i).numpy() for i in range(3))
    q[0, 0, 3, 0] = np.nan
    y = an.scaled_dot_product_attention(an.tensor(q), an.tensor(k), an.tensor(v)).numpy()
    assert np.isnan(y[0, 0, 3]).all() and np.isfinite(np.delete(y, 3, 2)).all()
    every_bit = np.array(0xFFFFFFFF, np.uint32).view(np.float32)      # a NaN whose payload would survive a sum of exponent bits
    q[0, 0, 3] = every_bit
    assert np.isnan(an.scaled_dot_product_attention(an.tensor(q), an.tensor(k), an.tensor(v)).numpy()[0, 0, 3]).all()


def test_memory_grows_with_the_length() -> None:
    """Forward and backward at 16384 x 16384: the scores alone would take 1 GiB a head."""
    import resource

    q, k, v = (an.tensor(np.zeros((1, 1, 16384, 16), np.float32), requires_grad=True) for _ in range(3))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    an.scaled_dot_product_attention(q, k, v, is_causal=True).sum().backward()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024      # KiB


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_decoding_against_a_cache_that_is_not_full(dtype: str) -> None:
    """The same answer as attention over the filled part; what is behind it may be anything. A slice of a cache is used as it lies."""
    q, k, v = drawn(2, 6, 1, 32), drawn(2, 2, 700, 32, seed=1), drawn(2, 2, 700, 16, seed=2)
    lengths = an.tensor(np.array([700, 123]))
    scales: dict[str, Any] = {}
    if dtype == "int8":
        (keys, ks), (values, vs) = an.quantize_cache(k), an.quantize_cache(v)
        k, v = (x.to(an.float32) * s.unsqueeze(-1) for x, s in ((keys, ks), (values, vs)))
        scales = {"key_scale": ks, "value_scale": vs}
    else:
        keys, values = k.to(getattr(an, dtype)), v.to(getattr(an, dtype))
        k, v = keys.float(), values.float()
    y = an.attention_decode(q, keys, values, lengths, **scales).numpy()
    want = an.scaled_dot_product_attention(q, k, v, lengths=lengths, enable_gqa=True).numpy()
    np.testing.assert_allclose(y, want, rtol=2e-5, atol=2e-6)
    part = an.attention_decode(q, keys[:, :, :500], values[:, :, :500], **{n: s[:, :, :500] for n, s in scales.items()}).numpy()
    np.testing.assert_allclose(part, an.scaled_dot_product_attention(q, k[:, :, :500], v[:, :, :500], enable_gqa=True).numpy(), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("keys", [4100, 8300])
def test_decoding_against_a_long_cache(keys: int) -> None:
    """Parts of 1024 and 2048 keys, the last one short; the largest score in the last part."""
    q, k, v = drawn(1, 2, 1, 64), drawn(1, 1, keys, 64, seed=1), drawn(1, 1, keys, 80, seed=2)
    k = an.tensor(np.concatenate([k.numpy()[:, :, :-1], 2 * q.numpy()[:, :1]], 2))
    got = an.attention_decode(q, k, v).numpy()
    s = np.einsum("bhie,bgje->bhij", q.numpy().astype(np.float64), k.numpy().astype(np.float64)) / 8
    w = np.exp(s - s.max(-1, keepdims=True))
    np.testing.assert_allclose(got, w / w.sum(-1, keepdims=True) @ v.numpy().astype(np.float64), rtol=1e-4, atol=1e-5)


def test_quantize_cache_is_within_half_a_step() -> None:
    x = drawn(2, 3, 40, 16)
    q, s = an.quantize_cache(x)
    assert (np.abs(q.numpy() * s.numpy()[..., None] - x.numpy()) <= 0.5001 * s.numpy()[..., None]).all()


def test_few_queries_and_many_agree() -> None:
    """16 queries go row by row over the keys, 17 in tiles; grouped heads count as queries."""
    k, v = drawn(1, 2, 900, 40, seed=1), drawn(1, 2, 900, 24, seed=2)
    q = drawn(1, 2, 40, 40)
    whole = an.scaled_dot_product_attention(q, k, v, is_causal=True).numpy()
    for n in (1, 5, 16):
        np.testing.assert_allclose(an.scaled_dot_product_attention(q[:, :, :n], k, v, is_causal=True).numpy(), whole[:, :, :n], rtol=1e-5, atol=1e-6)


def test_rope_is_the_complex_product() -> None:
    x = drawn(2, 3, 7, 12)
    cos, sin = an.rope_tables(50, 8, base=100.0)
    ids = np.random.default_rng(0).integers(0, 50, (2, 7))
    angles = np.outer(np.arange(50), 100.0 ** (-np.arange(4) / 4))[ids][:, None]
    for interleaved in (False, True):
        y = an.rope(x, cos, sin, an.tensor(ids), interleaved=interleaved).numpy()
        a, b = (x.numpy()[..., 0:8:2], x.numpy()[..., 1:8:2]) if interleaved else (x.numpy()[..., :4], x.numpy()[..., 4:8])
        want = (a + 1j * b) * np.exp(1j * angles)
        got = y[..., 0:8:2] + 1j * y[..., 1:8:2] if interleaved else y[..., :4] + 1j * y[..., 4:8]
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(y[..., 8:], x.numpy()[..., 8:])


def test_rope_of_rows_with_all_heads_and_of_places_beyond_the_table() -> None:
    x = drawn(2, 5, 24)
    cos, sin = an.rope_tables(9, 8)
    heads = x.reshape(2, 5, 3, 8).permute(0, 2, 1, 3)
    want = an.rope(heads, cos, sin).permute(0, 2, 1, 3).reshape(2, 5, 24)
    np.testing.assert_array_equal(an.rope(x, cos, sin, num_heads=3).numpy(), want.numpy())
    with pytest.raises(an.Error, match="position 9"):
        an.rope(heads, cos, sin, an.tensor(np.full((2, 5), 9)))
    with pytest.raises(an.Error, match="num_heads"):
        an.rope(x, cos, sin)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: f(drawn(1, 2, 3, 8), drawn(1, 1, 3, 8), drawn(1, 1, 3, 8)), "enable_gqa"),
        (lambda f: f(drawn(1, 3, 3, 8), drawn(1, 2, 3, 8), drawn(1, 2, 3, 8), enable_gqa=True), "3 heads"),
        (lambda f: f(drawn(1, 2, 3, 8), drawn(1, 2, 3, 9), drawn(1, 2, 3, 8)), "expected"),
        (lambda f: f(drawn(1, 2, 3, 8), drawn(1, 2, 3, 8), drawn(1, 2, 4, 8)), "expected"),
        (lambda f: f(drawn(8), drawn(8), drawn(8)), "expected"),
        (lambda f: f(*[drawn(1, 2, 3, 8)] * 3, attn_mask=an.tensor(np.ones((4, 3), bool))), "mask"),
        (lambda f: f(*[drawn(1, 2, 3, 8)] * 3, attn_mask=an.tensor(np.ones((3, 3), np.int64))), "mask"),
        (lambda f: f(*[drawn(1, 2, 3, 8)] * 3, dropout_p=1.0), "dropout"),
        (lambda f: f(*[drawn(1, 2, 3, 8)] * 3, lower_right=True), "is_causal"),
        (lambda f: f(*[drawn(1, 2, 3, 8)] * 3, lengths=an.tensor(np.array([1, 2]))), "lengths"),
        (lambda f: f(*[drawn(1, 1, 3, 1025)] * 3), "1025"),
        (lambda f: an.nn.MultiheadAttention(10, 3), "heads"),
        (lambda f: an.nn.MultiheadAttention(8, 2)(*[drawn(3, 2, 9)] * 3), "features"),
        (lambda f: an.nn.MultiheadAttention(8, 2)(*[drawn(3, 2, 8)] * 3, attn_mask=an.tensor(np.ones((2, 3), bool))), "attn_mask"),
        (lambda f: an.nn.TransformerEncoderLayer(8, 2, activation="swish"), "swish"),
    ],
)
def test_errors_say_what_is_wrong(make: Any, message: str) -> None:
    with pytest.raises(an.Error, match=message):
        make(an.scaled_dot_product_attention)
