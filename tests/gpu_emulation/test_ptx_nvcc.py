"""CUDA C++ that nvcc compiled to PTX, on the emulator: right as it stands, and each planted bug found."""

from __future__ import annotations

import subprocess
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from accelnn.emulation import Violation
from accelnn.emulation.narrow import round_bfloat16, widen_bfloat16
from accelnn.emulation.ptx import TensorMap, run_ptx

from ..conftest import need_program

need_program("nvcc")

SOURCE = Path(__file__).with_name("nvcc_kernels.cu")
RNG = np.random.default_rng(0)


@lru_cache
def compiled(arch: str, bug: int) -> str:
    command = ["nvcc", "-std=c++17", f"-arch={arch}", f"-DBUG={bug}", "-ptx", "-o", "-", str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tiled(bug: int, seed: int | None = None) -> None:
    m, n, k = 40, 50, 35
    a, b = RNG.standard_normal((m, k)).astype(np.float32), RNG.standard_normal((k, n)).astype(np.float32)
    c = np.full((m, n), np.nan, np.float32)
    run_ptx(compiled("compute_80", bug), "tiled", (4, 3), (16, 16), [a, b, c, m, n, k], seed=seed)
    assert (np.abs(c - a.astype(np.float64) @ b) <= k * 2.0**-24 * (np.abs(a) @ np.abs(b))).all(), "wrong numbers"


def row_softmax(bug: int, seed: int | None = None) -> None:
    x = RNG.standard_normal((3, 500)).astype(np.float32)
    y = np.full_like(x, np.nan)
    run_ptx(compiled("compute_80", bug), "row_softmax", 3, 256, [x, y, 500], seed=seed)
    e = np.exp(x.astype(np.float64))
    want = e / e.sum(1, keepdims=True)
    assert (np.abs(y - want) <= 2.0**-18 * want).all(), "wrong numbers"  # __expf: its argument, below 2^3, rounds when it is scaled to base 2


def bfloat16(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """-> bits, values."""
    bits = round_bfloat16(RNG.standard_normal((rows, columns)).astype(np.float32))
    return bits, widen_bfloat16(bits).astype(np.float64)


def warp_mma(bug: int, seed: int | None = None) -> None:
    (a, x), (b, y) = bfloat16(32, 64), bfloat16(16, 64)
    c = np.full((32, 16), np.nan, np.float32)
    run_ptx(compiled("compute_80", bug), "warp_mma", (2, 2), 32, [a, b, c, 16, 64], seed=seed)
    assert (np.abs(c - x @ y.T) <= 66 * 2.0**-24 * (np.abs(x) @ np.abs(y.T))).all(), "wrong numbers"


def hopper(bug: int, seed: int | None = None) -> None:
    m, n, k = 128, 64, 512
    (a, x), (b, y) = bfloat16(m, k), bfloat16(n, k)
    c = np.full((m, n), np.nan, np.float32)
    maps = [TensorMap(t, 2, t.shape, t.strides[:-1], (rows, 64), swizzle=3) for t, rows in ((a, 64), (b, 32))]
    shared = 3 * (64 + 32) * 64 * 2 + 6 * 8
    run_ptx(compiled("compute_90a", bug), "hopper", (2, 2), 160, [*maps, c, n, k], shared=shared, seed=seed)
    assert (np.abs(c - x @ y.T) <= (k + 2) * 2.0**-24 * (np.abs(x) @ np.abs(y.T))).all(), "wrong numbers"


@pytest.mark.parametrize("seed", [None, 0, 1])
@pytest.mark.parametrize("kernel", [tiled, row_softmax, warp_mma, hopper])
def test_right_kernels_pass_under_any_schedule(kernel, seed) -> None:  # type: ignore[no-untyped-def]
    kernel(0, seed)


BUGS = {
    1: (tiled, "race in shared memory.*another warp wrote"),
    2: (tiled, "race in shared memory.*another warp read"),
    3: (tiled, "out of bounds in global memory"),
    4: (row_softmax, "race in shared memory.*another warp read"),
    5: (warp_mma, "wrong numbers"),
    10: (hopper, "wrong numbers"),
    11: (hopper, "race: TMA load"),
    12: (hopper, "deadlock|race|mbarrier"),
    13: (hopper, "deadlock.*mbarrier"),
    14: (hopper, "race: wgmma reads shared memory while a copy"),
    15: (hopper, "wrong numbers"),
    17: (hopper, "race: TMA load|has not been waited for"),
}


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bug_is_found(bug: int) -> None:
    kernel, said = BUGS[bug]
    with pytest.raises((Violation, AssertionError), match=said):
        kernel(bug)


def test_one_thread_that_frees_a_stage_for_four_warps_is_found() -> None:
    """Right as long as the warps run side by side: only a random schedule lets one of them, and the copies that it lets in, run ahead."""
    found = 0
    for seed in range(4):
        try:
            hopper(16, seed)
        except Violation as violation:
            assert "race: TMA load" in str(violation)
            found += 1
    assert found == 4
