"""int4 weights: the integer path bit for bit, what the quantizer makes, and what a caller may get wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn import _C
from accelnn.core.dtypes import as_dtype
from accelnn.core.errors import DTypeError, Error, GraphError, ShapeError
from accelnn.core.registry import KERNELS, OPS
from accelnn.core.tensor import apply
from accelnn.ops.weight_only import Int4Weight, draw, pack_reference, quantize_int4, unpack_int4

ROWS = [r["name"] for r in KERNELS["matmul_int4"]["rows"] if r["isa"] & ~_C.machine()["detected"] == 0]

SIZES = [(1, 16, 32), (1, 40, 300), (2, 17, 64), (3, 16, 129), (5, 33, 128), (8, 16, 256), (13, 20, 96), (14, 16, 160), (31, 48, 512)]


def run_row(row: str, *arrays: np.ndarray, **attrs: Any) -> np.ndarray:
    views = [_C.View.share(np.ascontiguousarray(a), as_dtype(a.dtype)) for a in arrays]
    op = OPS["matmul_int4"]
    out = _C.View.empty((*arrays[0].shape[:-1], attrs["columns"]), 0)
    out.numpy()[...] = np.nan
    why = _C.run_row(op.number, row, tuple(views), op.packed(attrs, len(views)), (out,))
    assert why is None, why
    return np.array(out.numpy())


def integer_reference(a: np.ndarray, w: np.ndarray, columns: int, group: int, zero_points: int) -> np.ndarray:
    """The contract's formula: integers, and float32 operations one at a time."""
    k = a.shape[1]
    q, s, z = unpack_int4(w, k, columns, group, zero_points)
    y = np.zeros((len(a), columns), np.float32)
    for g in range(len(s)):
        part, weights = a[:, g * group : (g + 1) * group], q[g * group : (g + 1) * group] - z[g]
        t = np.abs(part).max(1)
        used = np.where(np.isfinite(t) & (t >= 2.0**-100), t, np.float32(np.inf)).astype(np.float32)
        inverse = np.where(np.isfinite(used), np.float32(127) / used, np.float32(0)).astype(np.float32)
        with np.errstate(invalid="ignore"):
            x = np.where(np.isfinite(t)[:, None], np.rint(part * inverse[:, None]), 0).astype(np.int64)
        sa = np.where(np.isfinite(used), used / np.float32(127), np.where(np.isfinite(t), np.float32(0), np.float32(np.nan))).astype(np.float32)
        y = y + (x @ weights).astype(np.float32) * (sa[:, None] * s[g])
        assert y.dtype == np.float32
    return y


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize(("m", "n", "k"), SIZES)
def test_int8_activations_bit_for_bit(row: str, m: int, n: int, k: int) -> None:
    rng = np.random.default_rng(m * 1000 + k)
    for group in (32, 64, 128):
        for zero_points in (0, 1):
            a = (rng.normal(size=(m, k)) * 10.0 ** rng.integers(-6, 6, (m, 1))).astype(np.float32)
            w = draw(rng, k, n, group, zero_points)
            got = run_row(row, a, w, columns=n, group=group, zero_points=zero_points, compute=1)
            assert got.tobytes() == integer_reference(a, w, n, group, zero_points).tobytes()


@pytest.mark.parametrize("row", ROWS)
def test_int8_corners(row: str) -> None:
    """Every product at the end of its range (16-bit sums must not saturate), zero, tiny, huge, infinite and undefined activations."""
    rng = np.random.default_rng(0)
    k, n, group = 256, 16, 128
    q = np.where(rng.random((n, k)) < 0.5, 15, 0).astype(np.uint8)
    q[0], q[1] = 15, 0
    w = pack_reference(q, np.ones((n, 2), np.float32), None, group)
    a = np.where(rng.random((9, k)) < 0.5, np.float32(1), np.float32(-1))
    a[0], a[1], a[2], a[3] = 1, -1, 0, np.float32(1e-38)
    a[4] *= np.float32(1e35)
    a[5, 7], a[6, 200], a[7, 255], a[8, 0] = np.inf, -np.inf, np.nan, 1e-31
    got = run_row(row, a, w, columns=n, group=group, compute=1)
    with np.errstate(invalid="ignore"):
        want = integer_reference(a, w, n, group, 0)
    assert np.array_equal(got, want, equal_nan=True)
    assert np.isnan(got[5:8]).all() and np.isfinite(got[[0, 1, 2, 3, 4, 8]]).all() and (got[2:4] == 0).all()
    assert got[0, 0] == 7 * k and got[1, 1] == 8 * k


@pytest.mark.parametrize("row", [r for r in ROWS if not r.endswith("vnni")])
def test_float_activations_propagate_what_is_not_finite(row: str) -> None:
    w = pack_reference(np.full((16, 64), 9, np.uint8), np.ones((16, 2), np.float32))
    a = np.ones((3, 64), np.float32)
    a[0, 3], a[1, 40] = np.nan, np.inf
    got = run_row(row, a, w, columns=16, group=32)
    assert np.isnan(got[0]).all() and np.isinf(got[1]).all() and (got[2] == 64).all()


def test_cancellation_stays_within_the_bound() -> None:
    """Sums that vanish: the bound knows |W| of the dequantized weights, so no zero point may be taken out after the sum."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(4, 256)).astype(np.float32) * 1e6
    for zero in (0, 8, 15):
        q = np.full((16, 256), zero, np.uint8)
        w = pack_reference(q, np.ones((16, 8), np.float32), np.full((16, 8), zero, np.uint8))
        for row in ROWS:
            if not row.endswith("vnni"):
                assert (run_row(row, a, w, columns=16, group=32, zero_points=1) == 0).all()


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("group", [32, 64, 128])
def test_quantizer_errs_half_a_step(group: int, symmetric: bool) -> None:
    rng = np.random.default_rng(1)
    w = rng.normal(size=(200, 37)).astype(np.float32)
    w[:128, 0] = 0
    packed = quantize_int4(w, group, symmetric)
    back = packed.dequantize()
    _, scales, _ = unpack_int4(packed.packed.numpy(), *packed.shape, group, int(not symmetric))
    step = np.repeat(scales, group, 0)[:200]
    # float16 may round a scale down by 2^-11 of itself: the outermost weights are up to 8 (15) of these away from the last level.
    assert (np.abs(back - w) <= step * (0.5 + 15 * 2.0**-11) + 1e-7).all()
    assert packed.nbytes == 3 * -(-200 // group) * (group * 8 + 32 + (0 if symmetric else 16))
    x = rng.normal(size=(3, 200)).astype(np.float32)
    exact = x.astype(np.float64) @ back
    assert np.abs(an.matmul_int4(an.tensor(x), packed).numpy() - exact).max() < 1e-4
    assert np.abs(an.matmul_int4(an.tensor(x), packed, compute="int8").numpy() - exact).max() < 0.03 * np.abs(exact).max() + 0.1


def test_nbits_operands() -> None:
    """The layout of ONNX's MatMulNBits, with and without its packed zero points."""
    rng = np.random.default_rng(2)
    n, groups, group = 20, 3, 32
    q, z = rng.integers(0, 16, (n, groups * group)).astype(np.uint8), rng.integers(0, 16, (n, groups)).astype(np.uint8)
    s = rng.uniform(0.5, 1, (n, groups)).astype(np.float16).astype(np.float32)
    nibbles = (q[:, 0::2] | q[:, 1::2] << 4).reshape(n, groups, group // 2)
    wide = np.concatenate([z, np.zeros((n, 1), np.uint8)], 1)
    packed_zeros = wide[:, 0::2] | wide[:, 1::2] << 4
    want = ((q - np.repeat(z.astype(np.int32), group, 1)) * np.repeat(s, group, 1)).T
    for zeros in (z, packed_zeros, packed_zeros.reshape(-1)):
        assert np.array_equal(Int4Weight.from_nbits(nibbles, s, zeros).dequantize(), want)
    symmetric = Int4Weight.from_nbits(nibbles, s.reshape(-1), rows=90)
    assert symmetric.shape == (90, n) and np.array_equal(symmetric.dequantize(), ((q - np.int32(8)) * np.repeat(s, group, 1)).T[:90])


def test_mistakes_are_named() -> None:
    w = quantize_int4(np.ones((64, 16), np.float32))
    x = an.tensor(np.ones((2, 64)))
    with pytest.raises(ShapeError, match="rows"):
        an.matmul_int4(an.tensor(np.ones((2, 63))), w)
    with pytest.raises(ShapeError, match="compute"):
        an.matmul_int4(x, w, compute="int4")
    with pytest.raises(ShapeError, match="32, 64 or 128"):
        quantize_int4(np.ones((64, 16)), group=48)
    with pytest.raises(ShapeError, match="float16"):
        quantize_int4(np.full((64, 16), 1e9))
    with pytest.raises(ShapeError, match="finite"):
        quantize_int4(np.full((64, 16), np.nan))
    with pytest.raises(ShapeError, match="bias"):
        an.matmul_int4(x, w, an.tensor(np.ones(15)))
    with pytest.raises(ShapeError, match="matmul_int4_pack makes them"):
        apply("matmul_int4", x, w.packed, columns=40, group=32)
    with pytest.raises(DTypeError):
        apply("matmul_int4", x, x, columns=16)
    with pytest.raises(GraphError, match="no gradient"):
        an.matmul_int4(an.tensor(np.ones((2, 64)), requires_grad=True), w).sum().backward()


def test_the_kernel_refuses_what_the_shape_rule_would() -> None:
    op, x, w = OPS["matmul_int4"], _C.View.empty((2, 64), 0), quantize_int4(np.ones((64, 16), np.float32)).packed.view
    for attrs in ({"group": 16}, {"group": 64}, {"zero_points": 1}, {"zero_points": 2}, {"compute": 2}):
        with pytest.raises(Error):
            _C.call(op.number, (x, w), op.packed({"columns": 16, **attrs}, 2), (((2, 16), 0),))


def test_threads_never_change_a_bit() -> None:
    rng = np.random.default_rng(3)
    before = an.get_num_threads()
    w = quantize_int4(rng.normal(size=(1024, 700)), 64)
    try:
        for m in (1, 30, 200):
            x = an.tensor(rng.normal(size=(m, 1024)))
            for compute in ("float32", "int8"):
                found = set()
                for threads in (1, 2, 3):
                    an.set_num_threads(threads)
                    found.add(an.matmul_int4(x, w, compute=compute).numpy().tobytes())
                assert len(found) == 1
    finally:
        an.set_num_threads(before)


def test_in_a_compiled_model() -> None:
    rng = np.random.default_rng(4)
    w, bias = quantize_int4(rng.normal(size=(96, 40))), an.tensor(rng.normal(size=40))
    x = an.tensor(rng.normal(size=(5, 96)))
    model = an.freeze(lambda t: an.matmul_int4(t, w, bias, compute="int8").relu(), x)
    assert np.array_equal(model(x).numpy(), an.matmul_int4(x, w, bias, compute="int8").relu().numpy())
