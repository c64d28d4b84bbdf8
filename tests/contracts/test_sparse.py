"""Block-sparse products: the integer path bit for bit, corrupt blocks refused by every row, packing and pruning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn import _C
from accelnn.core.dtypes import as_dtype
from accelnn.core.errors import DTypeError, Error, GraphError, ShapeError
from accelnn.core.registry import KERNELS, OPS
from accelnn.ops.dynamic import exact
from accelnn.ops.sparse import dense, find_blocks, pack_sparse, sparsify

DETECTED = _C.machine()["detected"]
ROWS = [(op, r["name"]) for op in ("matmul_sparse", "matmul_sparse_int8") for r in KERNELS[op]["rows"] if r["isa"] & ~DETECTED == 0]
INT8 = [name for op, name in ROWS if op == "matmul_sparse_int8"]


def run_row(op: str, row: str, *arrays: np.ndarray, columns: int) -> np.ndarray:
    views = [_C.View.share(np.ascontiguousarray(a), as_dtype(a.dtype)) for a in arrays]
    out = _C.View.empty((*arrays[0].shape[:-1], columns), 0)
    out.numpy()[...] = np.nan
    why = _C.run_row(OPS[op].number, row, tuple(views), OPS[op].packed({"columns": columns}, len(views)), (out,))
    assert why is None, why
    return np.array(out.numpy())


def blocks_of(rng: np.random.Generator, k: int, n: int, zeros: float, dtype: Any) -> np.ndarray:
    depth = 4 if dtype == np.int8 else 1
    keep = (rng.random((-(-k // depth), -(-n // 16))) >= zeros).repeat(depth, 0).repeat(16, 1)[:k, :n]
    w = rng.choice([-127, 127, *range(-127, 128)], (k, n)) if dtype == np.int8 else rng.normal(size=(k, n))
    return np.where(keep, w, 0).astype(dtype)


def integer_reference(a: np.ndarray, w: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The contract's formula: what dynamic_qmatmul gives with the same weights."""
    found: np.ndarray = exact(a, w, scale)
    return found


@pytest.mark.parametrize("row", INT8)
@pytest.mark.parametrize(("m", "n", "k"), [(1, 16, 64), (1, 40, 300), (2, 17, 63), (3, 16, 129), (5, 33, 1), (24, 16, 256), (29, 20, 96), (57, 48, 512)])
def test_int8_bit_for_bit(row: str, m: int, n: int, k: int) -> None:
    rng = np.random.default_rng(m * 1000 + k)
    for zeros in (0.0, 0.8, 1.0):
        w, scale = blocks_of(rng, k, n, zeros, np.int8), rng.uniform(0.001, 0.1, n).astype(np.float32)
        a = (rng.normal(size=(m, k)) * 10.0 ** rng.integers(-6, 6, (m, 1)) + rng.integers(-2, 3, (m, 1))).astype(np.float32)
        got = run_row("matmul_sparse_int8", row, a, *find_blocks(w), scale, w.sum(0, dtype=np.int32), columns=n)
        assert np.array_equal(got, integer_reference(a, w, scale))


@pytest.mark.parametrize("row", INT8)
def test_int8_corners(row: str) -> None:
    """Every byte at the end of its range, rows of one sign, ties, and activations that are zero, tiny, huge, infinite or undefined."""
    rng = np.random.default_rng(0)
    w, scale = rng.choice([-127, 127], (256, 16)).astype(np.int8), np.full(16, 2.0**-20, np.float32)
    w[:, 0], w[:, 1] = 127, -127
    a = np.where(rng.random((11, 256)) < 0.5, np.float32(1), np.float32(-1))
    a[0], a[1], a[2], a[3] = 1, -1, 0, np.float32(1e-38)
    a[4] *= np.float32(3e38)
    a[5, 7], a[6, 200], a[7, 255], a[8, 0] = np.inf, -np.inf, np.nan, 1e-31
    a[9], a[10] = np.linspace(0, 255, 256), np.linspace(-101.5, 153.5, 256)
    got = run_row("matmul_sparse_int8", row, a, *find_blocks(w), scale, w.sum(0, dtype=np.int32), columns=16)
    assert np.array_equal(got, integer_reference(a, w, scale), equal_nan=True)
    assert np.isnan(got[5:8]).all() and np.isfinite(np.delete(got, [5, 6, 7], 0)).all() and (got[2] == 0).all()


def operands(op: str) -> tuple[list[np.ndarray], int]:
    rng = np.random.default_rng(5)
    dtype = np.int8 if op.endswith("int8") else np.float32
    w = blocks_of(rng, 320, 60, 0.5, dtype)
    more = [np.ones(60, np.float32), w.sum(0, dtype=np.int32)] if dtype == np.int8 else []
    return [rng.normal(size=(3, 320)).astype(np.float32), *find_blocks(w), *more], 320 // (4 if dtype == np.int8 else 1)


@pytest.mark.parametrize(("op", "row"), ROWS)
@pytest.mark.parametrize("rows", [1, 3])
def test_corrupt_blocks_are_refused(op: str, row: str, rows: int) -> None:
    """An index or a list that leads out of bounds, anywhere, is an error before it is followed; the last valid one is not."""
    good, end = operands(op)
    good[0] = good[0][:rows]
    first, index = good[1], good[2]
    fine = index.copy()
    fine[len(index) - 1] = end - 1
    run_row(op, row, good[0], first, fine, *good[3:], columns=60)
    for at in (0, 1, 17, len(index) // 2, len(index) - 1):
        for bad in (end, -1, 2**31 - 1, -(2**31), end + 1000):
            broken = index.copy()
            broken[at] = bad
            with pytest.raises(Error, match="corrupt"):
                run_row(op, row, good[0], first, broken, *good[3:], columns=60)
    for at in range(len(first)):
        for bad in (len(index) + 1, -1, 2**31 - 1, -(2**31)):
            broken = first.copy()
            broken[at] = bad
            with pytest.raises(Error, match="corrupt"):
                run_row(op, row, good[0], broken, index, *good[3:], columns=60)
    broken = first.copy()
    broken[1], broken[2] = first[2], first[1]
    assert broken[1] > broken[2]
    with pytest.raises(Error, match="corrupt"):
        run_row(op, row, good[0], broken, index, *good[3:], columns=60)


@pytest.mark.parametrize("threads", [1, 2])
def test_corrupt_blocks_are_refused_on_any_thread(threads: int) -> None:
    before = an.get_num_threads()
    w = pack_sparse(np.ones((2048, 2048), np.float32), "int8")
    broken = w.index.clone()
    broken.numpy()[-1] = 512
    bad = an.SparseWeight(w.first, broken, w.values, w.shape, w.scale, w.sums)
    try:
        an.set_num_threads(threads)
        with pytest.raises(Error, match="corrupt"):
            an.matmul_sparse(an.tensor(np.ones((64, 2048))), bad)
    finally:
        an.set_num_threads(before)


@pytest.mark.parametrize(("op", "row"), ROWS)
def test_blocks_may_repeat_and_be_skipped(op: str, row: str) -> None:
    """Blocks at the same place add up, those outside of every list count for nothing, in any order."""
    rng = np.random.default_rng(6)
    int8 = op.endswith("int8")
    first, index = np.array([2, 5, 5, 9], np.int32), np.array([9, 9, 3, 3, 0, 7, 1, 1, 1, 4], np.int32)
    index[:2] = -1  # outside
    values = rng.integers(-127, 128, (10, 64)).astype(np.int8) if int8 else rng.normal(size=(10, 16)).astype(np.float32)
    k = 40 if int8 else 10
    a = rng.normal(size=(5, k)).astype(np.float32)
    w = dense(first, index, values, k, 40)
    more = [np.full(40, 0.01, np.float32), w.sum(0).astype(np.int32)] if int8 else []
    got = run_row(op, row, a, first, index, values, *more, columns=40)
    want = integer_reference(a, w, more[0]) if int8 else a.astype(np.float64) @ w
    assert np.array_equal(got, want) if int8 else np.abs(got - want).max() < 1e-5


def test_packing_and_pruning() -> None:
    rng = np.random.default_rng(7)
    w = rng.normal(size=(130, 50)).astype(np.float32)
    for block in ((4, 16), (1, 16)):
        pruned = sparsify(w, 0.8, block)
        kept = pruned != 0
        assert np.array_equal(pruned[kept], w[kept])
        deep, wide = -(-130 // block[0]), -(-50 // 16)
        full = np.zeros((deep * block[0], wide * 16))
        full[:130, :50] = kept
        assert full.reshape(deep, block[0], wide, 16).any((1, 3)).sum() == deep * wide - round(0.8 * deep * wide)
        packed = pack_sparse(pruned)
        assert np.array_equal(packed.dense(), pruned)
        if block[0] == 1:
            assert packed.density == pytest.approx(0.2, abs=0.005)
        small = pack_sparse(pruned, "int8")
        assert small.scale is not None
        assert (np.abs(small.dense() - pruned) <= small.scale.numpy() * 0.5001).all()
        x = rng.normal(size=(9, 130)).astype(np.float32)
        exact = x.astype(np.float64) @ pruned
        assert np.abs(an.matmul_sparse(an.tensor(x), packed).numpy() - exact).max() < 1e-4
        assert np.abs(an.matmul_sparse(an.tensor(x), small).numpy() - exact).max() < 0.02 * np.abs(exact).max() + 0.05
    assert np.array_equal(sparsify(w, 0), w) and not sparsify(w, 1).any()
    assert pack_sparse(np.zeros((64, 40))).density == 0 and pack_sparse(np.ones((64, 40)), "int8").density == 1


def test_threads_never_change_a_bit() -> None:
    rng = np.random.default_rng(8)
    before = an.get_num_threads()
    w = sparsify(rng.normal(size=(1024, 700)), 0.7)
    try:
        for m in (1, 30, 200):
            x = an.tensor(rng.normal(size=(m, 1024)))
            for dtype in ("float32", "int8"):
                packed, found = pack_sparse(w, dtype), set()
                for threads in (1, 2, 3):
                    an.set_num_threads(threads)
                    found.add(an.matmul_sparse(x, packed).numpy().tobytes())
                assert len(found) == 1
    finally:
        an.set_num_threads(before)


def test_in_a_compiled_model() -> None:
    rng = np.random.default_rng(9)
    x, bias = an.tensor(rng.normal(size=(5, 96))), an.tensor(rng.normal(size=40))
    for dtype in ("float32", "int8"):
        w = pack_sparse(sparsify(rng.normal(size=(96, 40)), 0.5), dtype)
        model = an.freeze(lambda t, w=w: an.matmul_sparse(t, w, bias).relu(), x)
        assert np.array_equal(model(x).numpy(), an.matmul_sparse(x, w, bias).relu().numpy())


def test_mistakes_are_named() -> None:
    w = pack_sparse(np.ones((64, 16)))
    with pytest.raises(ShapeError, match="rows"):
        an.matmul_sparse(an.tensor(np.ones((2, 63))), w)
    with pytest.raises(ShapeError, match="bias"):
        an.matmul_sparse(an.tensor(np.ones((2, 64))), w, an.tensor(np.ones(15)))
    with pytest.raises(ShapeError, match="share"):
        sparsify(np.ones((4, 4)), 80)
    with pytest.raises(ShapeError, match="finite"):
        pack_sparse(np.full((4, 4), np.inf))
    with pytest.raises(DTypeError, match="int8"):
        pack_sparse(np.ones((4, 4)), "uint8")
    with pytest.raises(ShapeError, match="66000"):
        pack_sparse(np.ones((66001, 1)), "int8")
    with pytest.raises(GraphError, match="no gradient"):
        an.matmul_sparse(an.tensor(np.ones((2, 64)), requires_grad=True), w).sum().backward()
