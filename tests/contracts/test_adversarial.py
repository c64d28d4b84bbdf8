"""matmul on inputs that are made to go wrong: cancellation, denormals, numbers at the end of the range, infinities and NaN; every row, every layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accelnn import _C
from accelnn.core.dispatch import operands
from accelnn.core.dtypes import DType, as_dtype
from accelnn.core.graph import Spec
from accelnn.core.registry import KERNELS, OPS

OP = OPS["matmul"]
ROWS = [r for r in KERNELS["matmul"]["rows"] if r["dtype"] == "f32"]
SIZES = ((1, 70, 600), (3, 33, 129), (7, 48, 64), (16, 96, 520), (33, 65, 40), (97, 130, 1100))  # M, N, K: each way that a product can take
SMALLEST = float(np.finfo(np.float32).smallest_subnormal)


def _cancelling(rng: np.random.Generator, m: int, n: int, k: int) -> Any:
    """Large terms that cancel but for the last digits: the bound is on |A||B|, and a kernel that loses a term, or adds one twice, leaves it."""
    a, b = rng.normal(size=(m, k)) * 1e4, rng.normal(size=(k, n))
    half = k // 2
    a[:, half : 2 * half], b[half : 2 * half] = -a[:, :half], b[:half] * (1 + 1e-6 * rng.normal(size=(half, n)))
    return a, b


def _spread(rng: np.random.Generator, shape: tuple[int, int], low: int, high: int) -> Any:
    return rng.normal(size=shape) * 10.0 ** rng.integers(low, high, shape)


KINDS: dict[str, Any] = {
    "cancellation": _cancelling,
    "denormals": lambda rng, m, n, k: (rng.normal(size=(m, k)) * 1e-40, rng.normal(size=(k, n))),
    "products that underflow": lambda rng, m, n, k: (rng.normal(size=(m, k)) * 1e-25, rng.normal(size=(k, n)) * 1e-20),
    "mixed magnitudes": lambda rng, m, n, k: (_spread(rng, (m, k), -18, 18), _spread(rng, (k, n), -15, 15)),
    "ones": lambda rng, m, n, k: (np.ones((m, k)), np.ones((k, n))),
}


def _layouts(a: np.ndarray, b: np.ndarray) -> dict[str, tuple[Any, Any, dict[str, Any]]]:
    """The same product in the orders that users have."""
    wide = np.full((a.shape[0], a.shape[1] + 3), np.nan, np.float32)     # what lies beside an operand is not part of it
    wide[:, 1:-2] = a
    broad = np.full((b.shape[0], b.shape[1] + 5), np.nan, np.float32)
    broad[:, 2:-3] = b
    view = _C.View.share(np.ascontiguousarray(b), DType.float32)
    pack = OPS["matmul_pack"]
    (panels,) = _C.call(pack.number, (view,), pack.packed({}, 1), pack.specs([Spec(view.shape, DType.float32)], {}))
    return {"plain": (a, b, {}), "b transposed": (a, np.ascontiguousarray(b.T).T, {}), "a transposed": (np.ascontiguousarray(a.T).T, b, {}),
            "windows": (wide[:, 1:-2], broad[:, 2:-3], {}), "packed": (a, panels, {"packed": 1, "columns": b.shape[1]})}  # fmt: skip


def _run(row: dict[str, Any], a: Any, b: Any, attrs: dict[str, Any]) -> np.ndarray:
    if row["isa"] & ~_C.machine()["detected"]:
        pytest.skip(f"this CPU lacks the instructions of {row['name']}")
    views = [x if isinstance(x, _C.View) else _C.View.share(x, as_dtype(x.dtype)) for x in (a, b)]
    outputs = OP.specs([Spec(v.shape, DType(v.dtype)) for v in views], attrs)
    out = _C.View.empty(outputs[0].shape, outputs[0].dtype)
    out.numpy()[...] = np.nan
    why = _C.run_row(OP.number, row["name"], operands(OP, views, outputs, attrs), OP.packed(attrs, 2), (out,))
    if why is not None:
        pytest.skip(f"{row['name']} refuses: {why}")
    return out.numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", ROWS, ids=lambda r: r["name"])
def test_the_bound_holds(row: dict[str, Any], kind: str) -> None:
    rng = np.random.default_rng(0)
    for m, n, k in SIZES:
        a, b = (x.astype(np.float32) for x in KINDS[kind](rng, m, n, k))
        want = a.astype(np.float64) @ b.astype(np.float64)
        # Each of the k products may lose what is below the smallest denormal.
        allowed = OP.bound(a.astype(np.float64), b.astype(np.float64)) + 2 * k * SMALLEST  # type: ignore[misc]
        for layout, (x, y, attrs) in _layouts(a, b).items():
            error = np.abs(_run(row, x, y, attrs).astype(np.float64) - want)
            assert (error <= allowed).all(), f"{layout} {m}x{k} @ {k}x{n}: off by {np.nanmax(error / allowed):.3g} times the bound"


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r["name"])
def test_infinities_and_nan_stay_where_they_belong(row: dict[str, Any]) -> None:
    """What is not finite reaches every output that it is a term of, and no other."""
    rng = np.random.default_rng(1)
    for m, n, k in SIZES:
        a, b = rng.normal(size=(m, k)).astype(np.float32), np.abs(rng.normal(size=(k, n))).astype(np.float32) + 0.1
        a[0, k // 2], a[m - 1, k - 1], a[m // 2, 0] = np.nan, np.inf, -np.inf
        b[k - 1, n - 1], b[0, n // 2] = np.nan, np.inf
        with np.errstate(invalid="ignore"):
            want = a.astype(np.float64) @ b.astype(np.float64)
        for layout, (x, y, attrs) in _layouts(a, b).items():
            got = _run(row, x, y, attrs)
            assert np.array_equal(np.isnan(got), np.isnan(want)), f"{layout} {m}x{k} @ {k}x{n}: NaN at {np.argwhere(np.isnan(got) != np.isnan(want))[0]}"
            infinite = np.isinf(want)
            assert np.array_equal(got[infinite], want[infinite].astype(np.float32)) and np.isfinite(got[np.isfinite(want)]).all(), layout
