"""Arithmetic of the checked interpreter: what hardware rounds is rounded, once, to the nearest even number of the type; what differs on hardware
differs here (tf32), and a kernel that is wrong is so beyond the tolerance of its contract."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from .mode import need_interpreter

need_interpreter()

from accelnn.core.dtypes import to_bfloat16  # noqa: E402
from accelnn.emulation.arguments import Pointer  # noqa: E402
from accelnn.emulation.interpreter import launch  # noqa: E402
from accelnn.emulation.narrow import FLOAT8, float8_table, round_bfloat16, round_float8, widen_bfloat16  # noqa: E402

from . import planted  # noqa: E402

P = Pointer.of
M, N, K = 40, 24, 70


def product(dtype: str, precision: str = "ieee", bug: str = "") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The result, the exact one, and |A| |B|, which errors are measured by."""
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((M, K)).astype(np.float32), rng.standard_normal((K, N)).astype(np.float32)
    if dtype == "bfloat16":
        x, y, c = round_bfloat16(a), round_bfloat16(b), np.full((M, N), 0x7FC0, np.uint16)
        a, b = widen_bfloat16(x), widen_bfloat16(y)
    else:
        x, y, c = a.astype(dtype), b.astype(dtype), np.full((M, N), np.nan, dtype)
        a, b = x.astype(np.float32), y.astype(np.float32)
    launch(planted.matmul, (-(-M // 16), -(-N // 16)), [P(x, dtype), P(y, dtype), P(c, dtype), M, N, K],
           {"BM": 16, "BN": 16, "BK": 16, "PRECISION": precision, "BUG": bug})  # fmt: skip
    exact = a.astype(np.float64) @ b.astype(np.float64)
    return (widen_bfloat16(c) if dtype == "bfloat16" else c).astype(np.float64), exact, np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)


# gamma_K of float32 sums, then one rounding to the type: half a unit in the last place.
HALF_ULP = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}


def within(dtype: str, got: np.ndarray, exact: np.ndarray, size: np.ndarray) -> bool:
    gamma = K * 2.0**-24 / (1 - K * 2.0**-24)
    return bool((np.abs(got - exact) <= gamma * size + HALF_ULP[dtype] * (np.abs(exact) + gamma * size) + 2.0**-25).all())


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_products(dtype: str) -> None:
    assert within(dtype, *product(dtype))


@pytest.mark.parametrize("bug", ["swapped", "narrow accumulator", "truncated"])
def test_wrong_products_are_outside_the_tolerance(bug: str) -> None:
    got, exact, size = product("bfloat16", bug=bug)
    assert not within("bfloat16", got, exact, size)


def test_tf32_is_seen() -> None:
    """A dot that does not say "ieee" loses 13 bits of its operands on tensor cores, and here."""
    got, exact, size = product("float32", "tf32")
    assert not within("float32", got, exact, size)
    assert (np.abs(got - exact) <= 2.0**-9 * size).all(), "each operand loses at most 2^-10 of itself"


def test_integers_are_exact() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.integers(-128, 128, (M, K), np.int8), rng.integers(-128, 128, (K, N), np.int8)
    c = np.zeros((M, N), np.float32)
    launch(planted.matmul, (3, 2), [P(a.astype(np.float32)), P(b.astype(np.float32)), P(c), M, N, K],
           {"BM": 16, "BN": 16, "BK": 16, "PRECISION": "tf32", "BUG": ""})  # fmt: skip
    assert np.array_equal(c.astype(np.int32), a.astype(np.int32) @ b.astype(np.int32)), "8 bits fit into tf32"


def test_bfloat16_arithmetic_rounds_to_nearest_even() -> None:
    rng = np.random.default_rng(3)
    x, y = (to_bfloat16(rng.standard_normal(256).astype(np.float32)) for _ in range(2))
    z = np.zeros((7, 256), np.uint16)
    launch(planted.arithmetic, (1,), [P(x, "bfloat16"), P(y, "bfloat16"), P(z, "bfloat16")], {"B": 256})
    a, b = widen_bfloat16(x), widen_bfloat16(y)
    want = [a + b, a * b, a - b, np.minimum(a, b), np.maximum(a, b), -a, a / np.float32(3)]
    for got, exact in zip(z, want, strict=True):
        assert np.array_equal(got, to_bfloat16(exact).view(np.uint16))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_sums_stay_in_their_type(dtype: str) -> None:
    x = np.abs(np.random.default_rng(4).standard_normal((4, 64))).astype(np.float32)
    data: Any = to_bfloat16(x).view(np.uint16) if dtype == "bfloat16" else x.astype(dtype)
    y = np.zeros(4, data.dtype)
    launch(planted.row_sums, (1,), [P(data, dtype), P(y, dtype)], {"R": 4, "B": 64})
    wide, got = (widen_bfloat16(v) if dtype == "bfloat16" else v for v in (data, y))
    exact = wide.astype(np.float64).sum(1)
    steps = 6       # 64 numbers in pairs, log2(64) roundings on the way
    assert (np.abs(got - exact) <= exact * steps * HALF_ULP[dtype] * 1.01).all()


FROM_TORCH = {"float8_e4m3fn": "float8e4nv", "float8_e5m2": "float8e5", "float8_e4m3fnuz": "float8e4b8", "float8_e5m2fnuz": "float8e5b16"}


@pytest.mark.parametrize("name", sorted(FROM_TORCH))
def test_float8_both_ways(name: str) -> None:
    form = FROM_TORCH[name]
    bits, back, wide = np.arange(256, dtype=np.uint8), np.zeros(256, np.uint8), np.zeros(256, np.float32)
    launch(planted.cast, (1,), [P(bits, name), P(wide)], {"B": 256})
    assert np.array_equal(wide, float8_table(form), equal_nan=True)
    finite = np.isfinite(wide)
    launch(planted.cast, (1,), [P(wide), P(back, name)], {"B": 256})
    assert np.array_equal(back[finite], bits[finite])
    x = np.random.default_rng(5).standard_normal(256).astype(np.float32) * 8
    launch(planted.cast, (1,), [P(x), P(back, name)], {"B": 256})
    assert np.array_equal(back, round_float8(x, form)) and form in FLOAT8


def test_maximum_returns_the_operand_that_is_a_number() -> None:
    x, y, z = np.array([np.nan, 1, np.nan, 2], np.float32), np.array([3, np.nan, np.nan, 1], np.float32), np.zeros(4, np.float32)
    launch(planted.larger, (1,), [P(x), P(y), P(z)], {"B": 4})
    assert np.array_equal(z, np.array([3, 1, np.nan, 2], np.float32), equal_nan=True)
