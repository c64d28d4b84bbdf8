"""bfloat16 products where they could go wrong: denormals, infinities, NaN, cancellation, rounding; every way through b; and what a Tensor shows of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn import _C
from accelnn.core.dtypes import BFLOAT16, DType, from_bfloat16, to_bfloat16
from accelnn.core.errors import DTypeError
from accelnn.core.registry import KERNELS, OPS
from accelnn.core.tensor import Tensor
from accelnn.ops.matmul import gamma, linear
from accelnn.passes.fold import fold
from accelnn.passes.pack import pack

from .contract import Sample, share, turned

ROWS = [r["name"] for r in KERNELS["matmul"]["rows"] if r["dtype"] == "bf16" and r["isa"] & _C.machine()["detected"] == r["isa"]]
WAYS = ((1, 70, 40), (3, 40, 33), (8, 33, 64), (20, 70, 65), (40, 33, 130))      # M, N, K: streams and dots, blocks, panels
LEAST = 2.0**-126


def product(row: str, a: np.ndarray, b: np.ndarray, out: str, threads: bool = False) -> np.ndarray:
    """a @ b by one row, as float32."""
    sample = Sample(OPS["matmul"], "", (a, b), {"out": out})
    inputs, outputs = sample.call()
    y = _C.View.empty(outputs[0].shape, outputs[0].dtype)
    assert _C.run_row(sample.op.number, row, inputs, sample.op.packed(sample.attrs, 2), (y,), threads) is None
    return from_bfloat16(y.numpy()) if out == "bfloat16" else y.numpy()


def check(row: str, a: np.ndarray, b: np.ndarray, out: str) -> None:
    """The bound of kernels/matmul/matmul.h, with what flushed denormals may add."""
    wide_a, wide_b = (from_bfloat16(x).astype(np.float64) for x in (a, b))
    want, got = wide_a @ wide_b, product(row, a, b, out)
    k = a.shape[1]
    sure = np.isfinite(want) & (np.abs(want) < 3e38)
    allowed = gamma(k + 1) * (np.abs(wide_a) @ np.abs(wide_b)) + LEAST * (2 * k + np.abs(wide_a).sum(1)[:, None] + np.abs(wide_b).sum(0))
    if out == "bfloat16":
        allowed = allowed + 2.0**-8 * (np.abs(want) + allowed)
    error = np.abs(got.astype(np.float64) - want)
    assert (error[sure] <= allowed[sure]).all()
    special = ~np.isfinite(want)
    assert np.array_equal(got[special], want[special].astype(np.float32), equal_nan=True), "an infinity or NaN is lost"


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("out", ["float32", "bfloat16"])
@pytest.mark.parametrize("row", ROWS)
def test_awkward_numbers(row: str, out: str) -> None:
    rng = np.random.default_rng(0)
    for m, n, k in WAYS:
        plain, other = rng.normal(size=(m, k)).astype(np.float32), rng.normal(size=(k, n)).astype(np.float32)
        cancelling = np.concatenate([plain, -plain * np.float32(1.0078125)], 1), np.concatenate([other, other], 0)
        tiny = plain * np.float32(2.0**-120), other * np.float32(2.0**-10)
        denormal = plain * np.float32(2.0**-130), other * np.float32(2.0**20)
        for a, b in ((plain, other), cancelling, tiny, denormal):
            for lying in (lambda x: x, turned):
                check(row, to_bfloat16(a), lying(to_bfloat16(b)), out)
        for value in (np.inf, -np.inf, np.nan):
            a, b = to_bfloat16(plain), to_bfloat16(other)
            a.view(np.uint16)[m - 1, k - 1] = np.float32(value).view(np.uint32) >> 16      # in the last pair, beside the padding of odd k
            b.view(np.uint16)[0, n - 1] = np.float32(value).view(np.uint32) >> 16
            for lying in (lambda x: x, turned):
                check(row, a, lying(b), out)


@pytest.mark.parametrize("row", ROWS)
def test_threads_and_packing_change_nothing(row: str) -> None:
    """Panels of the caller's give what panels in the workspace give; threads give the same bits."""
    rng = np.random.default_rng(1)
    a, b = to_bfloat16(rng.normal(size=(150, 301))), to_bfloat16(rng.normal(size=(301, 333)))
    alone = product(row, a, b, "float32")
    assert np.array_equal(alone, product(row, a, b, "float32", threads=True))
    (panels,) = _C.call(OPS["matmul_pack"].number, (share(b),), OPS["matmul_pack"].packed({}, 1), (((21, 151, 32), DType.bfloat16),))
    y = _C.View.empty((150, 333), DType.float32)
    attrs = OPS["matmul"].packed({"packed": 1, "columns": 333, "out": "float32"}, 2)
    assert _C.run_row(OPS["matmul"].number, row, (share(a), panels), attrs, (y,)) is None
    assert np.array_equal(alone, y.numpy())


def test_rounding_to_nearest_even() -> None:
    """1 + 2^-8 and 1 + 3 * 2^-8 lie half way between two bfloat16: down to 1 and up to 1 + 2^-6."""
    a = to_bfloat16(np.array([[1, 2.0**-8], [1, 3 * 2.0**-8], [1, 2.0**-8 + 2.0**-15]], np.float32))
    for row in ROWS:
        assert product(row, a, to_bfloat16(np.ones((2, 1), np.float32)), "bfloat16").ravel().tolist() == [1.0, 1 + 2.0**-6, 1 + 2.0**-7]


def draw(*shape: int) -> Tensor:
    return an.tensor(np.random.default_rng(sum(shape)).normal(size=shape), an.bfloat16)


def test_tensors() -> None:
    x, w = draw(3, 33), draw(70, 33)
    y = x @ w.mT
    assert y.dtype == an.bfloat16
    want = x.numpy().astype(np.float64) @ w.numpy().astype(np.float64).T
    assert np.abs(y.numpy() - want).max() <= 2.0**-7 * np.abs(want).max()
    assert linear(x, w, draw(70)).dtype == an.bfloat16 and linear(x, w, draw(70).float()).dtype == an.bfloat16
    with pytest.raises(DTypeError, match="two bfloat16"):
        x @ w.mT.float()


def test_gradients() -> None:
    """They are those of the float32 product of the same numbers, but for the rounding of dy and of y."""
    x, w, b = draw(4, 33), draw(70, 33), draw(70)
    grads = []
    for wide in (False, True):
        leaves = [t.float() if wide else t for t in (x, w, b)]
        leaves = [Tensor(t.view, requires_grad=True) for t in leaves]
        (linear(*leaves).float() * 0.5).sum().backward()
        grads.append([t.grad.numpy() for t in leaves])
    for narrow, wide in zip(*grads, strict=True):
        assert narrow.shape == wide.shape and np.abs(narrow - wide).max() <= 2.0**-7 * np.abs(wide).max()


def test_a_frozen_model_packs_saves_and_loads(tmp_path: Path) -> None:
    w, x = draw(70, 33), draw(5, 33)
    model: Any = an.freeze(lambda t: t @ w.mT, x)
    call = next(n for n in fold(pack(model.graph)).nodes() if n.op == "matmul")
    assert call.attrs["packed"] == 1 and call.inputs[1].spec.shape == (5, 17, 32)
    assert [r["op"] for r in model.report(x)] == ["matmul"]
    model.save(tmp_path / "m.accel")
    for m in (model, an.load(tmp_path / "m.accel")):
        assert m(x).dtype == an.bfloat16 and np.array_equal(m(x).numpy(), model(x).numpy())
    assert np.abs(model(x).numpy() - (x @ w.mT).numpy()).max() <= 2.0**-6


def test_numpy_arrays_of_bfloat16() -> None:
    numbers = np.array([1.0, -2.5, 3.1415926], np.float32)
    assert to_bfloat16(numbers).dtype == BFLOAT16
    assert from_bfloat16(to_bfloat16(numbers)).tolist() == an.tensor(numbers, an.bfloat16).numpy().tolist()
