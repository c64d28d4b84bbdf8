"""Every layout of a product's operands through every row: the paths that few rows, transposed views and batches take, at sizes around their borders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accelnn import _C
from accelnn.core.dtypes import DType
from accelnn.core.registry import KERNELS, OPS
from accelnn.ops.matmul import gamma

OP = OPS["matmul"]
LAYOUTS = {"plain": (0, False), "padded": (5, False), "transposed": (0, True), "transposed, padded": (3, True)}
# (M, N, K): few rows over a large and a small b, with tails in all three; one column; more than one block of k; the direct and the packed tiles
SIZES = ((1, 700, 150), (2, 321, 400), (3, 1365, 90), (4, 333, 311), (5, 700, 150), (13, 530, 201), (32, 129, 800), (33, 70, 1500), (3, 40, 50), (20, 33, 70),
         (9, 31, 2070), (300, 1, 65), (40, 1, 3), (100, 127, 60), (15, 100, 1030))  # fmt: skip
BATCHES = ((7, (3,)), (17, (2, 5)), (64, (18,)))


def matrix(rng: Any, batch: tuple[int, ...], rows: int, columns: int, layout: str) -> tuple[np.ndarray, Any]:
    """Numbers between NaNs that belong to nobody, as an array and as a View that does not begin at a multiple of a vector."""
    pad, transposed = LAYOUTS[layout]
    shape = (*batch, columns, rows + pad) if transposed else (*batch, rows, columns + pad)
    flat = np.full(int(np.prod(shape)) + 20, np.nan, np.float32)
    array = flat[3 : 3 + int(np.prod(shape))].reshape(shape)
    array = array[..., :rows].swapaxes(-1, -2) if transposed else array[..., :columns]
    array[...] = rng.standard_normal(array.shape)
    return array, _C.View.share(flat, DType.float32).strided(array.shape, tuple(s // 4 for s in array.strides), 3)


def check(rng: Any, a: Any, b: Any, m: int, n: int, k: int, counts: tuple[int, ...] = (1, 2, 3)) -> None:
    (x, view_x), (w, view_w) = a, b
    bias = rng.standard_normal(n).astype(np.float32)
    want = (x.astype(np.float64) @ w) * 0.5 + bias
    allowed = gamma(k + 4) * (0.5 * (np.abs(x).astype(np.float64) @ np.abs(w)) + np.abs(bias))
    ran = 0
    for row in (r for r in KERNELS["matmul"]["rows"] if r["dtype"] == "f32"):
        if row["isa"] & _C.machine()["detected"] != row["isa"]:
            continue
        found = set()
        for threads in counts:
            _C.set_threads(threads)
            memory = np.full(want.size + 64, 7, np.float32)
            out = memory[32:-32].reshape(want.shape)
            out[...] = np.nan
            operands = (view_x, view_w, _C.View.share(bias, DType.float32))
            assert _C.run_row(OP.number, row["name"], operands, OP.packed({"scale": 0.5}, 3), (_C.View.share(out, DType.float32),)) is None
            assert (memory[:32] == 7).all() and (memory[-32:] == 7).all(), f"{row['name']} wrote outside"
            assert (np.abs(out - want) <= allowed).all(), row["name"]
            found.add(out.tobytes())
        assert len(found) == 1, f"{row['name']}: threads change bits"
        ran += 1
    assert ran >= 2


@pytest.mark.parametrize("b_layout", LAYOUTS)
@pytest.mark.parametrize("a_layout", LAYOUTS)
def test_layouts(a_layout: str, b_layout: str) -> None:
    rng = np.random.default_rng(0)
    before = _C.machine()["threads"]
    try:
        for m, n, k in SIZES:
            check(rng, matrix(rng, (), m, k, a_layout), matrix(rng, (), k, n, b_layout), m, n, k)
        for n, batch in BATCHES:
            check(rng, matrix(rng, batch, n, 19, a_layout), matrix(rng, batch, 19, n, b_layout), n, n, 19)
    finally:
        _C.set_threads(before)


@pytest.mark.parametrize("a_layout", LAYOUTS)
def test_many_rows_share_panels(a_layout: str) -> None:
    """More rows than stay in L2: the parts pack b for each other, with fewer and more threads than there are row blocks; a in place (K = 1000) and copied."""
    rng = np.random.default_rng(2)
    before = _C.machine()["threads"]
    try:
        for (m, n, k), b_layout in (((345, 130, 1024), "plain"), ((400, 270, 1000), "transposed, padded"), ((341, 1030, 100), "padded")):
            check(rng, matrix(rng, (), m, k, a_layout), matrix(rng, (), k, n, b_layout), m, n, k, (1, 2, 5))
    finally:
        _C.set_threads(before)


def test_few_rows_of_a_large_matrix() -> None:
    """Parts of k: b is too large for the caches, and k no multiple of anything."""
    rng = np.random.default_rng(8)
    b = matrix(rng, (), 517, 8190, "padded")
    before = _C.machine()["threads"]
    try:
        for m in (1, 3):
            check(rng, matrix(rng, (), m, 517, "plain"), b, m, 8190, 517)
    finally:
        _C.set_threads(before)


def test_packed_panels_give_the_same_sums() -> None:
    rng = np.random.default_rng(1)
    pack = OPS["matmul_pack"]
    for m, n, k in SIZES:
        (x, view_x), (w, view_w) = matrix(rng, (), m, k, "plain"), matrix(rng, (), k, n, "transposed")
        panels = _C.View.share(np.empty(((n + 15) // 16, k, 16), np.float32), DType.float32)
        _C.call_into(pack.number, (view_w,), pack.packed({}, 1), (panels,))
        for row in (r for r in KERNELS["matmul"]["rows"] if r["dtype"] == "f32"):
            if row["isa"] & _C.machine()["detected"] == row["isa"]:
                out = np.full((m, n), np.nan, np.float32)
                _C.run_row(OP.number, row["name"], (view_x, panels), OP.packed({"packed": 1}, 2), (_C.View.share(out, DType.float32),))
                assert (np.abs(out - x.astype(np.float64) @ w) <= gamma(k + 1) * (np.abs(x) @ np.abs(w)) + 1e-30).all(), (row["name"], m, n, k)
