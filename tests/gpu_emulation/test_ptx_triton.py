"""Triton kernels, really compiled for sm_80 and sm_90 and run as PTX, against float64. Errors are measured against bounds of the arithmetic: u is half an
ulp of the type that rounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accelnn.emulation import Violation
from accelnn.emulation.arguments import Pointer
from accelnn.emulation.narrow import round_bfloat16, widen_bfloat16

from .mode import need_compiler

need_compiler()
import triton.language as tl  # noqa: E402

from accelnn.emulation import driver  # noqa: E402
from accelnn.emulation.ptx.run import filled, forget, fresh, mark_fresh  # noqa: E402

from . import compiled as kernels  # noqa: E402

ARCH = ["sm_80", "sm_90"]
U = 2.0**-24


def bound(a: np.ndarray, b: np.ndarray, terms: int, unit: float = U) -> np.ndarray:
    """What a sum of `terms` products in float32 may be off by, in any order; unit: the operands' rounding where it is coarser."""
    return (terms + 2) * max(unit, U) * (np.abs(a) @ np.abs(b)) + 1e-30


@pytest.mark.parametrize("arch", ARCH)
@pytest.mark.parametrize("rows", [True, False], ids=["b_kn", "b_nk"])
@pytest.mark.parametrize("shape", [(100, 96, 72, 64, 64, 32), (70, 40, 150, 128, 32, 64)], ids=str)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int8"])
def test_matmul(dtype: str, shape: tuple[int, ...], rows: bool, arch: str) -> None:
    m, n, k, bm, bn, bk = shape
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((m, k)), rng.standard_normal((k, n))
    if dtype == "int8":
        a, b = (rng.integers(-128, 128, s).astype(np.int8) for s in ((m, k), (k, n)))
        c: np.ndarray = np.full((m, n), -1, np.int32)
        x, y = a, b
    elif dtype == "bfloat16":
        x, y = (round_bfloat16(v.astype(np.float32)) for v in (a, b))
        a, b = widen_bfloat16(x).astype(np.float64), widen_bfloat16(y).astype(np.float64)
        c = np.full((m, n), np.nan, np.float32)
    else:
        x, y = a.astype(dtype), b.astype(dtype)
        a, b, c = x.astype(np.float64), y.astype(np.float64), np.full((m, n), np.nan, np.float32)
    y = y if rows else np.ascontiguousarray(y.T)
    acc = tl.int32 if dtype == "int8" else tl.float32
    grid = (-(-m // bm), -(-n // bn))
    constants = dict(BM=bm, BN=bn, BK=bk, ACC=acc, B_ROWS=rows)
    args = (Pointer.of(x, dtype), Pointer.of(np.ascontiguousarray(y), dtype), Pointer.of(c), m, n, k)
    driver.launch(kernels.matmul, grid, args, constants, warps=4, stages=3, arch=arch)
    want = a.astype(np.float64) @ b.astype(np.float64)
    if dtype == "int8":
        assert (c == want).all()
    else:
        # float32 operands are cut to tf32's 10 bits of mantissa on both sides
        unit = 2.0**-9 / (k + 2) if dtype == "float32" else U
        assert (np.abs(c - want) <= bound(a, b, k, unit) + bound(a, b, k)).all()


@pytest.mark.parametrize("arch", ARCH)
@pytest.mark.parametrize("warps", [1, 4, 8])
def test_softmax(arch: str, warps: int) -> None:
    x = np.random.default_rng(0).standard_normal((5, 1000)).astype(np.float32)
    y = np.full_like(x, np.nan)
    driver.launch(kernels.softmax, (5,), (Pointer.of(x), Pointer.of(y), 1000), {"BLOCK": 1024}, warps, 2, arch)
    e = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
    want = e / e.sum(1, keepdims=True)
    # exp2 of a rounded product: its argument is below 2^4, so one ulp of it is 2^-20; then a sum of 10 levels and a quotient
    assert (np.abs(y - want) <= 2.0**-17 * want).all()


@pytest.mark.parametrize("arch", ARCH)
@pytest.mark.parametrize("seed", [None, 1], ids=["in_order", "random"])
def test_causal_attention(arch: str, seed: int | None) -> None:
    rng = np.random.default_rng(0)
    h, n, d = 2, 100, 64
    q, k, v = (rng.standard_normal((h, n, d)).astype(np.float16) for _ in range(3))
    o = np.full((h, n, d), np.nan, np.float16)
    args = [Pointer.of(t) for t in (q, k, v, o)]
    driver.launch(kernels.attention, (2, h), (*args, d**-0.5, n), dict(D=d, BM=64, BN=32), 4, 2, arch, seed=seed)
    score = np.einsum("hid,hjd->hij", q.astype(np.float64), k.astype(np.float64)) * d**-0.5
    score = np.where(np.tri(n, dtype=bool), score, -np.inf)
    p = np.exp(score - score.max(2, keepdims=True))
    p /= p.sum(2, keepdims=True)
    want = p @ v.astype(np.float64)
    # p rounds to float16 before the second product, the result once more
    assert (np.abs(o - want) <= 2.0**-11 * (p @ np.abs(v.astype(np.float64)) + np.abs(want)) + 2.0**-14).all()


@pytest.mark.parametrize("arch", ARCH)
def test_scan_and_sort(arch: str) -> None:
    x = np.random.default_rng(0).standard_normal(256).astype(np.float32)
    y, z = np.zeros_like(x), np.zeros_like(x)
    driver.launch(kernels.scan_and_sort, (1,), (Pointer.of(x), Pointer.of(y), Pointer.of(z)), {"BLOCK": 256}, 4, 2, arch)
    assert (np.abs(y - np.cumsum(x.astype(np.float64))) <= 256 * U * np.cumsum(np.abs(x))).all()
    assert (z == np.sort(x)).all()


@pytest.mark.parametrize("arch", ARCH)
def test_atomics(arch: str) -> None:
    x = np.arange(300, dtype=np.float32)
    total, counters = np.zeros(1, np.float32), np.zeros(3, np.int32)
    driver.launch(kernels.atomics, (3,), (Pointer.of(x), Pointer.of(total), Pointer.of(counters), 300), {"BLOCK": 128}, 4, 2, arch)
    assert total[0] == 300 * 299 / 2 and counters.tolist() == [299, 150, 150]


CASTS: list[tuple[str, Any]] = [("float16", np.float16), ("bfloat16", None), ("int32", np.int32), ("int8", np.int8), ("float64", np.float64)]


@pytest.mark.parametrize("arch", ARCH)
@pytest.mark.parametrize("to, numpy_type", CASTS, ids=[c[0] for c in CASTS])
def test_casts_of_float32(to: str, numpy_type: Any, arch: str) -> None:
    x = np.array([0, -0.0, 1, -1, 1.5, 2.5, 100.7, -100.7, 65504, 3e-5, 1 / 3, 120.99], np.float32)
    y = np.zeros(len(x), numpy_type or np.uint16)
    driver.launch(kernels.casts, (1,), (Pointer.of(x), Pointer.of(y, to), len(x)), {"BLOCK": 32}, 1, 2, arch)
    if to == "int8":
        x, y = x[:8], y[:8]  # beyond, C leaves the result open
    want = round_bfloat16(x) if to == "bfloat16" else x.astype(numpy_type)
    assert y.tobytes() == want.tobytes()


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_float8_goes_there_and_back(dtype: str) -> None:
    arch = "sm_90"  # conversions to these types came with sm_89
    codes = np.array([c for c in range(256) if c & 0x7F < (0x7F if dtype == "float8_e4m3fn" else 0x7C)], np.uint8)
    wide, back = np.zeros(len(codes), np.float32), np.zeros(len(codes), np.uint8)
    driver.launch(kernels.casts, (1,), (Pointer.of(codes, dtype), Pointer.of(wide), len(codes)), {"BLOCK": 256}, 4, 2, arch)
    driver.launch(kernels.casts, (1,), (Pointer.of(wide), Pointer.of(back, dtype), len(codes)), {"BLOCK": 256}, 4, 2, arch)
    assert (back == codes).all() and len(set(wide.tolist())) == len(codes) - 1  # two zeros


@pytest.mark.parametrize("arch", ARCH)
def test_column_sums(arch: str) -> None:
    x = np.random.default_rng(0).standard_normal((50, 70)).astype(np.float32)
    y = np.full(70, np.nan, np.float32)
    driver.launch(kernels.column_sums, (3,), (Pointer.of(x), Pointer.of(y), 50, 70), dict(R=16, C=32), 4, 2, arch)
    assert (np.abs(y - x.astype(np.float64).sum(0)) <= 50 * U * np.abs(x).sum(0)).all()


@pytest.mark.parametrize("arch", ARCH)
@pytest.mark.parametrize("k", [64, 144])
def test_descriptors_made_in_the_kernel(arch: str, k: int) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((s, k)).astype(np.float16) for s in (100, 96))
    c = np.full((100, 96), np.nan, np.float32)
    args = (Pointer.of(a), Pointer.of(b), Pointer.of(c), 100, 96, k)
    driver.launch(kernels.descriptors_made_inside, (2, 2), args, dict(BM=64, BN=64, BK=64), 4, 3, arch)
    x, y = a.astype(np.float64), b.astype(np.float64).T
    assert (np.abs(c - x @ y) <= bound(x, y, k)).all()


@pytest.mark.parametrize("arch", ARCH)
@pytest.mark.parametrize("block", [16, 32, 64], ids=lambda b: f"rows_of_{2 * b}_bytes")
def test_descriptors_from_the_host(arch: str, block: int) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((s, 144)).astype(np.float16) for s in (100, 96))
    c = np.full((100, 96), np.nan, np.float16)
    descriptors = [kernels.descriptor(t, s) for t, s in ((a, [64, block]), (b, [64, block]), (c, [64, 64]))]
    driver.launch(kernels.descriptor_matmul, (2, 2), (*descriptors, 144), dict(BM=64, BN=64, BK=block), 4, 3, arch)
    x, y = a.astype(np.float64), b.astype(np.float64).T
    assert (np.abs(c.astype(np.float64) - x @ y) <= bound(x, y, 144) + 2.0**-11 * np.abs(x @ y)).all()


@pytest.mark.parametrize("arch", ARCH)
def test_descriptor_of_three_dimensions(arch: str) -> None:
    x = np.arange(5 * 12 * 40, dtype=np.float32).reshape(5, 12, 40)
    y = np.full_like(x, -1)
    xd, yd = (kernels.descriptor(t, [2, 8, 16]) for t in (x, y))
    driver.launch(kernels.descriptor_copy, (3, 2, 3), (xd, yd), dict(A=2, B=8, C=16), 4, 2, arch)
    assert np.array_equal(x, y)


@pytest.mark.parametrize("arch", ARCH)
def test_a_store_past_the_end_is_caught(arch: str) -> None:
    x, y = np.ones((4, 100), np.float32), np.zeros(390, np.float32)
    with pytest.raises(Violation, match="store of 4 bytes out of bounds in global memory.*byte 1560 of a buffer of 1560, ptx line"):
        driver.launch(kernels.softmax, (4,), (Pointer.of(x), Pointer.of(y), 100), {"BLOCK": 128}, 1, 2, arch)


@pytest.mark.parametrize("arch", ARCH)
def test_a_missing_mask_is_caught(arch: str) -> None:
    a, b = np.ones((20, 32), np.float16), np.ones((32, 32), np.float16)
    c = np.zeros((20, 32), np.float32)
    with pytest.raises(Violation, match="matmul_without_mask.*load of .* bytes out of bounds in global memory"):
        args = (Pointer.of(a), Pointer.of(b), Pointer.of(c), 20, 32, 32)
        driver.launch(kernels.matmul_without_mask, (1, 1), args, dict(BM=32, BN=32), 4, 2, arch)


@pytest.mark.parametrize("arch", ARCH)
def test_memory_that_nobody_has_written_is_caught(arch: str) -> None:
    x, y = np.ones((1, 100), np.float32), np.zeros((1, 100), np.float32)
    mark_fresh(x.ctypes.data, x.nbytes)
    try:
        with pytest.raises(Violation, match="global memory that nobody has written"):
            driver.launch(kernels.softmax, (1,), (Pointer.of(x), Pointer.of(y), 100), {"BLOCK": 128}, 1, 2, arch)
        driver.launch(kernels.softmax, (1,), (Pointer.of(y), Pointer.of(x), 100), {"BLOCK": 128}, 1, 2, arch)
        driver.launch(kernels.softmax, (1,), (Pointer.of(x), Pointer.of(y), 100), {"BLOCK": 128}, 1, 2, arch)
    finally:
        forget(x.ctypes.data)


def test_memory_may_go_while_other_memory_is_filled() -> None:
    """The garbage collector takes owners of memory whenever something is allocated."""

    class Shadow:
        @property
        def size(self) -> int:
            forget(second)
            return 0

    first, second = 1 << 40, 1 << 41
    fresh[first] = Shadow()  # type: ignore[assignment]
    mark_fresh(second, 8)
    try:
        filled(1 << 39, 8)
        assert second not in fresh
    finally:
        forget(first)


def test_too_much_shared_memory_is_refused() -> None:
    x = np.zeros((256, 256), np.float16)
    c = np.zeros((256, 256), np.float32)
    args = (Pointer.of(x), Pointer.of(x), Pointer.of(c), 256, 256, 256)
    with pytest.raises(Violation, match="asks for [0-9]+ bytes of shared memory; a block on sm_80 has 166912"):
        driver.launch(kernels.matmul, (1, 1), args, dict(BM=256, BN=256, BK=128, ACC=tl.float32), 8, 4, "sm_80")


def test_results_are_bitwise_the_same_for_any_schedule() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((64, 96)).astype(np.float16), rng.standard_normal((96, 64)).astype(np.float16)
    results = []
    for seed in (None, 0, 1):
        c = np.full((64, 64), np.nan, np.float32)
        args = (Pointer.of(a), Pointer.of(b), Pointer.of(c), 64, 64, 96)
        driver.launch(kernels.matmul, (1, 1), args, dict(BM=64, BN=64, BK=32, ACC=tl.float32), 8, 3, "sm_90", seed=seed)
        results.append(c.tobytes())
    assert len(set(results)) == 1
