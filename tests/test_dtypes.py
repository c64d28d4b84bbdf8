"""The dtypes that nothing is tuned for: casts between all of them, operators, a model that takes and gives them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn import _C
from accelnn.core.dtypes import SELDOM, DType
from accelnn.core.registry import KERNELS, OPS

EDGES = [0, 1, -1, 2.5, -2.5, 0.49, 127, 128, -128, -129, 255, 256, 32767, 32768, -32768, -32769, 65504, 65535, 65536, 2**24 + 1, 2**31 - 1, 2**31, -(2**31),
         2**32 - 1, 2**32, 2**53 + 1, 2**63 - 1024, -(2**63), 2**63, 2**64 - 2048, 1e19, -1e19, 1e30, 1e39, 6e-8, 2.0**-24 * 1.5000001, 1 + 2.0**-11 + 2.0**-40,
         np.inf, -np.inf, np.nan]  # fmt: skip


def values(dtype: DType) -> np.ndarray:
    if dtype.is_float:
        with np.errstate(over="ignore"):
            return np.array(EDGES, np.float64).astype(dtype.storage)
    if dtype == DType.bool:
        return np.array([True, False, True])
    info = np.iinfo(dtype.storage)
    candidates = (*EDGES[:-8], 2**62 + 1, 2**63 + 2**39 + 1, info.min, info.max, info.max // 3)
    return np.array([int(x) for x in candidates if info.min <= x <= info.max], dtype.storage)


def nearest(x: np.ndarray, to: DType) -> np.ndarray:
    """What cast.h says, by numpy and Python."""
    if x.dtype.kind != "f" and to == DType.float16:
        x = x.astype(np.float32)
    if to.is_float or to == DType.bool or x.dtype.kind != "f":
        return x.astype(to.storage)
    info = np.iinfo(to.storage)
    return np.array([0 if np.isnan(v) else info.max if v >= info.max else info.min if v <= info.min else int(v) for v in x.tolist()], to.storage)


PAIRS = [(a, b) for a in DType for b in DType if DType.bfloat16 not in (a, b) and (a in SELDOM or b in SELDOM)]


@pytest.mark.parametrize(("given", "to"), PAIRS, ids=lambda d: d.name)
def test_casts(given: DType, to: DType) -> None:
    x = np.tile(values(given), 40)[:1201]       # more than one block
    with np.errstate(all="ignore"):
        want = nearest(x, to)
    op = OPS["cast"]
    for strided in (x, np.repeat(x, 3)[::3]):
        view = _C.View.share(strided, given)
        for row in [r for r in KERNELS["cast"]["rows"] if r["dtype"] == _C.dtypes[given] and r["isa"] & _C.machine()["detected"] == r["isa"]]:
            y = _C.View.empty(x.shape, to)
            assert _C.run_row(op.number, row["name"], (view,), op.packed({"dtype": to}, 1), (y,)) is None
            assert np.array_equal(y.numpy(), want, equal_nan=to.is_float), row["name"]


def test_bfloat16_rounds_a_double_once() -> None:
    """1 + 2^-8 + 2^-40: a float32 between would round it to the tie, and that to 1."""
    x = an.tensor(np.array([1 + 2.0**-8 + 2.0**-40, 1 + 2.0**-8, 1 + 2.0**-8 - 2.0**-40, -1e300, 2.0**-140]), an.float64)
    assert x.to(an.bfloat16).numpy().tolist() == [1 + 2.0**-7, 1.0, 1.0, -np.inf, 0.0]
    assert an.tensor(np.array([2**63 + 2**39 + 1], np.uint64), an.uint64).float().numpy()[0] == np.float32(2**63 + 2**40)


def test_operators() -> None:
    a, b = an.tensor([1.5, -2.0], an.float64), an.tensor(np.array([2, 3], np.uint16), an.uint16)
    for got, want in ((a + b, [3.5, 1.0]), (a / 2, [0.75, -1.0]), (2 * a, [3.0, -4.0]), (a < b, [True, True]), (b * 40000, [80000 % 65536, 120000 % 65536])):
        assert got.numpy().tolist() == want
    assert (a + b).dtype == an.float64 and (b + b).dtype == an.uint16 and (b + an.tensor(np.array([1, 1]))).dtype == an.int64
    assert a.sum().numpy() == -0.5 and a.sum().dtype == an.float64
    with pytest.raises(an.Error, match="float64"):
        a.exp()


def test_a_plan_of_float64() -> None:
    def f(x: an.Tensor) -> Any:
        return an.calculate("exp", x) + 1.0

    x = np.linspace(-5, 5, 7)
    model = an.freeze(f, an.tensor(x, an.float64))
    assert model(x).dtype == an.float64
    assert np.allclose(model(x).numpy(), np.exp(x) + 1, rtol=1e-15, atol=0)
    assert np.array_equal(model(x).numpy(), f(an.tensor(x, an.float64)).numpy())


def test_exponentials_and_logarithms_to_the_end_of_their_range() -> None:
    x = np.concatenate([np.linspace(-745.1, 709.7, 4001), [np.inf, -np.inf, np.nan, 0.0, 1000.0, -1000.0]])
    t = an.tensor(x, an.float64)
    with np.errstate(all="ignore"):
        want = np.exp(x)
        assert np.allclose(an.calculate("exp", t).numpy(), want, rtol=1e-15, atol=5e-324, equal_nan=True)
        y = np.concatenate([want[:4001], [np.inf, np.nan, 0.0, -1.0, 5e-324, 1.0, 1 + 2.0**-52]])
        assert np.allclose(an.calculate("log", an.tensor(y, an.float64)).numpy(), np.log(y), rtol=1e-15, atol=0, equal_nan=True)
