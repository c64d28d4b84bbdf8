"""dynamic_qmatmul beyond the samples: the contract's own arithmetic bit for bit, strides, rows that are not finite, rows hard on a quantizer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn import _C
from accelnn.core.dtypes import DType, as_dtype
from accelnn.core.registry import KERNELS, OPS
from accelnn.ops.dynamic import exact, pack, quantize_rows, rows_of_every_kind, unpack, weights_at_the_ends
from accelnn.ops.matmul import _activate

OP = OPS["dynamic_qmatmul"]
ROWS = [r["name"] for r in KERNELS["dynamic_qmatmul"]["rows"] if r["isa"] & _C.machine()["detected"] == r["isa"]]


def view(x: Any) -> Any:
    return _C.View.share(x, as_dtype(x.dtype))


def run(row: str, a: Any, b: Any, scale: Any, bias: Any = None, packed: int = 0, activation: int = 0) -> np.ndarray:
    operands = tuple(view(x) for x in (a, b, scale, bias) if x is not None)
    y = _C.View.empty((*a.shape[:-1], len(scale)), DType.float32)
    attrs = OP.packed({"packed": packed, "activation": activation}, len(operands))
    assert _C.run_row(OP.number, row, operands, attrs, (y,)) is None
    return np.array(y.numpy())


def problem(m: int, n: int, k: int, seed: int = 0) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(seed)
    return (rows_of_every_kind(rng, m, k), weights_at_the_ends(rng, k, n), rng.uniform(1e-4, 1e-3, n).astype(np.float32), rng.normal(size=n).astype(np.float32))


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("packed", [0, 1])
def test_equals_the_integer_reference_bit_for_bit(row: str, packed: int) -> None:
    """Heights and widths around every tile, K around every vector; ReLU too."""
    sizes = [(m, 33, 67) for m in range(1, 34)] + [(57, 47, 130), (300, 70, 20), (9, 100, 1), (3, 5, 0), (2, 1, 2000), (1, 17, 4099), (4, 64, 256)]
    for i, (m, n, k) in enumerate(sizes):
        a, b, scale, bias = problem(m, n, k, i)
        given = np.ascontiguousarray(pack(an.tensor(b)).numpy()) if packed else b
        assert not packed or np.array_equal(unpack(given, k, n), b)
        for bias_, activation in ((bias, 0), (None, 0), (bias, 1)):
            got = run(row, a, given, scale, bias_, packed, activation)
            want = exact(a, b, scale, bias_, 0, activation)
            assert np.array_equal(got, want), (m, n, k)


@pytest.mark.parametrize("row", ROWS)
def test_any_strides(row: str) -> None:
    a, b, scale, bias = problem(35, 40, 51)
    want = exact(a, b, scale, bias)
    wide = np.zeros((35, 200), np.float32)
    wide[:, 3:54] = a
    assert np.array_equal(run(row, wide[:, 3:54], b, scale, bias), want)                           # a row stride that is no multiple of a vector
    assert np.array_equal(run(row, np.asfortranarray(a), np.asfortranarray(b), scale, bias), want)  # both transposed
    sparse = np.zeros((35, 102), np.float32)
    sparse[:, ::2] = a
    assert np.array_equal(run(row, sparse[:, ::2], b, scale, bias), want)
    batch = np.stack([a, a[::-1]]).transpose(1, 0, 2)                                              # rows without one common stride
    assert np.array_equal(run(row, batch, b, scale, bias), exact(batch, b, scale, bias))
    assert np.array_equal(run(row, np.broadcast_to(a[:1], (20, 51)), b, scale, bias), exact(np.repeat(a[:1], 20, 0), b, scale, bias))


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("activation", [0, 1, 3])
def test_a_row_that_is_not_finite_is_nan_and_alone(row: str, bad: float, activation: int) -> None:
    a, b, scale, bias = problem(40, 33, 70)
    for i, at in ((0, 0), (17, 69), (39, 33)):
        a[i, at] = bad
    got = run(row, a, b, scale, bias, 0, activation)
    hit = np.zeros(40, bool)
    hit[[0, 17, 39]] = True
    assert np.isnan(got[hit]).all()
    assert np.array_equal(got[~hit], run(row, a[~hit], b, scale, bias, 0, activation)) and np.isfinite(got[~hit]).all()


@pytest.mark.parametrize("row", ROWS)
def test_rows_hard_on_a_quantizer(row: str) -> None:
    b, scale = np.eye(8, dtype=np.int8), np.ones(8, np.float32)
    a = np.zeros((7, 8), np.float32)
    a[1] = 5.25                                           # constant: 255 steps
    a[2] = [-1, 1, 0.5, 0, -0.0, 0.25, -0.5, 1e-9]        # symmetric: both ends lie on a half and round up, 256 is cut to 255
    a[3] = np.float32(1e-45)                              # the smallest denormal
    a[4] = [3e38, -3e38, 0, 0, 1e38, 0, 0, 0]             # high - low is more than a float holds
    a[5] = [-7, -3, -1, -2, -5, -6, -4, -7]               # all negative: zero point 255
    a[6] = [0, 255, 254.5, 253.5, 1, 0.5, 1.5, 2]         # step 1: halves to even
    got = run(row, a, b, scale)
    assert not got[0].any()
    assert np.abs(got[1] - 5.25).max() <= 1e-6
    assert np.abs(got[2] - a[2]).max() <= 2 / 255 * 0.5001
    assert np.abs(got[3]).max() <= 2.0**-126
    assert np.isfinite(got[4]).all() and np.abs(got[4].astype(np.float64) - a[4]).max() <= 6e38 / 255 * 0.5001
    assert np.abs(got[5] - a[5]).max() <= 7 / 255 * 0.5001
    assert got[6].tolist() == [0, 255, 254, 254, 1, 0, 2, 2]
    q, zero, _ = quantize_rows(a)
    assert q.min() >= 0 and q.max() == 255 and zero[5, 0] == 255


def test_through_the_public_function() -> None:
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(2, 5, 64)).astype(np.float32), rng.normal(size=(64, 40)).astype(np.float32)
    q, scale = an.ops.quantize_weight(an.tensor(w))
    assert q.numpy().dtype == np.int8 and np.abs(q.numpy().astype(np.int64)).max(0).tolist() == [127] * 40
    bias = an.tensor(rng.normal(size=40).astype(np.float32))
    plain = an.ops.dynamic_qmatmul(an.tensor(x), q, scale, bias, activation="gelu").numpy()
    packed = an.ops.dynamic_qmatmul(an.tensor(x), pack(q), scale, bias, activation="gelu").numpy()
    assert np.array_equal(plain, packed)
    truth = _activate(x.astype(np.float64) @ w + bias.numpy(), 2)
    wide = [t.astype(np.float64) for t in (x, scale.numpy(), bias.numpy())]
    weights = 1.13 * np.abs(wide[0]).sum(-1, keepdims=True) * wide[1] * 0.5001          # half a step of the weights, times gelu's slope
    assert (np.abs(plain - truth) <= weights + OP.bound(wide[0], q.numpy(), *wide[1:], activation=2)).all()
    with pytest.raises(an.Error, match="activation"):
        an.ops.dynamic_qmatmul(an.tensor(x), q, scale, activation="swish")
    with pytest.raises(an.Error, match="NaN"):
        an.ops.quantize_weight(an.tensor(np.full((2, 2), np.nan, np.float32)))
    with pytest.raises(an.Error, match="64"):
        an.ops.dynamic_qmatmul(an.tensor(x[..., :63]), q, scale)


def test_in_a_plan() -> None:
    rng = np.random.default_rng(2)
    x, w = rng.normal(size=(3, 20)).astype(np.float32), rng.normal(size=(20, 12)).astype(np.float32)
    q, scale = an.ops.quantize_weight(an.tensor(w))
    model = an.freeze(lambda t: an.ops.dynamic_qmatmul(t, q, scale).relu(), an.tensor(x))
    assert np.array_equal(model(an.tensor(x)).numpy(), np.maximum(exact(x, q.numpy(), scale.numpy()), 0))
