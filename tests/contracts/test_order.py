"""topk and sort where order is a matter of agreement: equal elements, NaN, zeros of both signs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn import _C
from accelnn.core.registry import KERNELS, OPS

ROWS = [row["name"] for row in KERNELS["topk"]["rows"] if row["dtype"] == "f32" and row["runs_here"]]


def hard(n: int) -> np.ndarray:
    rng = np.random.default_rng(n)
    special = [np.nan, -np.nan, 0.0, -0.0, np.inf, -np.inf, 1e-42, -1e-42]
    return np.where(rng.random(n) < 0.3, rng.choice(special, n), rng.integers(-3, 4, n)).astype(np.float32)


def in_order(x: np.ndarray, largest: bool) -> np.ndarray:
    """By the contract's words, with Python's stable sort."""
    def key(i: int) -> tuple[int, float]:
        v = float(x[i])
        return (1, 0.0) if v != v else (0, v + 0.0)

    return np.array(sorted(range(len(x)), key=lambda i: tuple(-v for v in key(i)) if largest else key(i)), np.int64)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("largest", [True, False])
def test_order_of_what_is_equal(row: str, largest: bool) -> None:
    op = OPS["topk"]
    for n in (1, 2, 7, 64, 129, 1000, 5000):
        x, shape = hard(n), lambda k: (_C.View.empty((k,), 0), _C.View.empty((k,), 6))
        want = in_order(x, largest)
        for k in sorted({1, min(n, 5), min(n, 128), min(n, 129), n}):
            values, places = shape(k)
            assert _C.run_row(op.number, row, (_C.View.share(x, 0),), op.packed({"k": k, "largest": largest}, 1), (values, places)) is None
            np.testing.assert_array_equal(places.numpy(), want[:k])
            np.testing.assert_array_equal(values.numpy().view(np.uint32), x[want[:k]].view(np.uint32))


@pytest.mark.parametrize("row", [row["name"] for row in KERNELS["argmax"]["rows"] if row["dtype"] == "f32" and row["runs_here"]])
@pytest.mark.parametrize("shape", [(3, 4), (40, 70), (300, 3)])
def test_a_nan_is_the_largest_and_the_smallest(row: str, shape: tuple[int, int]) -> None:
    op, x = OPS["argmax"], hard(shape[0] * shape[1]).reshape(shape)
    for axis in (0, 1):
        for least in (False, True):
            for last in (False, True):
                attrs = {"axis": axis, "keepdim": False, "least": least, "last": last}
                y = _C.View.empty((shape[1 - axis],), 6)
                assert _C.run_row(op.number, row, (_C.View.share(x, 0),), op.packed(attrs, 1), (y,)) is None
                np.testing.assert_array_equal(y.numpy(), op.reference(x, **attrs))


def test_layers_of_it() -> None:
    x = an.tensor(np.random.default_rng(0).normal(size=(4, 6, 5)).astype(np.float32))
    values, places = an.sort(x, 1, descending=True)
    np.testing.assert_array_equal(values.numpy(), -np.sort(-x.numpy(), 1))
    np.testing.assert_array_equal(np.take_along_axis(x.numpy(), places.numpy(), 1), values.numpy())
    top: Any = an.compile(lambda t: an.topk(t, 2, dim=0, largest=False))(x)
    np.testing.assert_array_equal(top[0].numpy(), np.sort(x.numpy(), 0)[:2])
    with pytest.raises(an.Error, match="topk"):
        an.topk(x, 7)
    with pytest.raises(an.Error, match="int32"):
        an.argmax(an.tensor(np.zeros(3, np.float16)))


@pytest.mark.parametrize("row", [r["name"] for r in KERNELS["adaptive_max_pool2d"]["rows"] if r["runs_here"]])
def test_adaptive_maxima_that_are_equal(row: str) -> None:
    """The first of equal ones in row order, and a NaN before all: windows of several sizes, which share rows and columns."""
    op, shape = OPS["adaptive_max_pool2d"], (2, 3, 4, 7)
    x, y, index = hard(2 * 3 * 9 * 37).reshape(2, 3, 9, 37), _C.View.empty(shape, 0), _C.View.empty(shape, 5)
    attrs = {"out_h": 4, "out_w": 7}
    assert _C.run_row(op.number, row, (_C.View.share(x, 0),), op.packed(attrs, 1), (y, index)) is None
    values, places = op.reference(x, **attrs)
    np.testing.assert_array_equal(y.numpy(), values.astype(np.float32))
    np.testing.assert_array_equal(index.numpy(), places)
