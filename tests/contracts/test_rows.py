"""Every row of every table against the float64 reference, on every sample of the op: a new row or op is tested by being listed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn.passes  # noqa: F401  (registers the fused op, so that every kernel has an op)
from accelnn import _C
from accelnn.core.dispatch import operands
from accelnn.core.dtypes import DType, as_dtype
from accelnn.core.errors import Error
from accelnn.core.graph import Spec
from accelnn.core.registry import KERNELS, OPS

GUARD = 64  # bytes around every output that must stay as they were
TINY = 1e-37  # results in the range of denormals
INTEGER = {DType.uint8, DType.int8, DType.int32, DType.int64, DType.bool}


def cases() -> list[Any]:
    found = []
    for op in OPS.values():
        kernel = op.kernel or ("pointwise" if op.program else None)
        if kernel is None:
            continue
        for i, (arrays, attrs) in enumerate(op.samples()):
            for row in KERNELS[kernel]["rows"]:
                if row["dtype"] == _short(arrays[0]):
                    found.append(pytest.param(op, row, arrays, attrs, id=f"{op.name}-{i}-{row['name']}"))
    return found


def _short(x: Any) -> str:
    return _C.dtypes[as_dtype(np.asarray(x).dtype)]


def guarded(spec: Spec) -> tuple[Any, np.ndarray]:
    """A poisoned output view with sentinel bytes on both sides, and the whole memory."""
    n = int(np.prod(spec.shape, dtype=np.int64)) * spec.dtype.itemsize
    raw = np.full(n + 2 * GUARD + 64, 0xA5, np.uint8)
    start = GUARD + (-(raw.ctypes.data + GUARD)) % 64
    body = raw[start : start + n]
    body[:] = 0xFF  # NaN as float32
    return _C.View.share(body.view(spec.dtype.storage).reshape(spec.shape), spec.dtype), raw


def untouched(raw: np.ndarray, view: Any) -> bool:
    start = view.address - raw.ctypes.data
    n = view.numpy().nbytes
    return bool((raw[:start] == 0xA5).all() and (raw[start + n :] == 0xA5).all())


def share(x: Any) -> Any:
    """An operand's view; None where a sample leaves it out."""
    return None if x is None else _C.View.share(np.ascontiguousarray(x) if np.ndim(x) else np.asarray(x), as_dtype(np.asarray(x).dtype))


def specs(views: list[Any]) -> list[Spec | None]:
    return [None if v is None else Spec(v.shape, DType(v.dtype)) for v in views]


def float64(x: Any) -> Any:
    if x is None:
        return None
    x = np.asarray(x)
    return x.astype(np.float64) if x.dtype == np.float32 else x


def naive_error(op: Any, arrays: tuple[Any, ...], attrs: dict[str, Any], truth: list[np.ndarray]) -> list[float]:
    """The error of the reference carried out in float32: what any float32 computation is entitled to."""
    got = op.reference(*arrays, **attrs)
    got = got if isinstance(got, tuple) else (got,)
    return [float(np.abs(np.asarray(g, np.float64) - t).max()) if t.size else 0.0 for g, t in zip(got, truth)]


@pytest.mark.parametrize(("op", "row", "arrays", "attrs"), cases())
def test_row_meets_its_contract(op: Any, row: dict[str, Any], arrays: tuple[Any, ...], attrs: dict[str, Any]) -> None:
    if not row["isa"] & _C.machine()["detected"] == row["isa"]:
        pytest.skip(f"this CPU lacks the instructions of {row['name']}")
    views = [share(a) for a in arrays]
    before = [None if a is None else np.array(a) for a in arrays]
    outputs = op.specs(specs(views), attrs)
    made = [guarded(s) for s in outputs]
    why = _C.run_row(op.number, row["name"], operands(op, views, outputs), op.packed(attrs, len(views)), tuple(v for v, _ in made))
    if why is not None:
        pytest.skip(f"{row['name']} refuses: {why}")
    exact = all(s.dtype in INTEGER for s in outputs) or op.name in ("copy", "qmatmul", "qconv2d", "quantize_linear", "one_hot", "random_uniform", "max_pool2d")
    inputs = arrays if exact else tuple(float64(a) for a in arrays)
    truth = op.reference(*inputs, **attrs)
    truth = [np.asarray(t) for t in (truth if isinstance(truth, tuple) else (truth,))]
    if exact:
        allowed = [0.0] * len(truth)
    elif op.bound is not None:
        allowed = [op.bound(*inputs, **attrs) + TINY]
    else:
        naive = naive_error(op, arrays, attrs, truth)
        allowed = [2 * e + 4 * float(np.spacing(np.float32(np.abs(t).max(initial=0.0)))) for e, t in zip(naive, truth)]
    for (view, raw), want, tolerance in zip(made, truth, allowed):
        assert untouched(raw, view), "a byte outside the output was written"
        got = view.numpy()
        if view.dtype == DType.bfloat16:
            got, tolerance = (got.astype(np.uint32) << 16).view(np.float32), np.abs(want) * 2.0**-8
        assert got.shape == want.shape
        if got.dtype.kind in "iub" or exact:
            wrong = np.argwhere(got != want.astype(got.dtype))
            assert not len(wrong), f"first difference at {tuple(wrong[0])}: {got[tuple(wrong[0])]} instead of {want[tuple(wrong[0])]}"
        elif got.size:
            error = np.abs(got.astype(np.float64) - want)
            excess = np.where(np.isnan(error), np.inf, error - tolerance)
            worst = np.unravel_index(np.argmax(excess), error.shape)
            assert (error <= tolerance).all(), f"at {worst}: {got[worst]} instead of {want[worst]}, {excess[worst]:.3g} more than the contract allows"
    for a, b in zip(arrays, before):
        assert (a is b is None) or np.array_equal(a, b), "an input was written"


@pytest.mark.parametrize("name", sorted(OPS))
def test_inferred_outputs_are_accepted_and_others_refused(name: str) -> None:
    op = OPS[name]
    if op.view is not None or not list(op.samples()):
        pytest.skip("a view has no kernel" if op.view is not None else "made by a pass; tested there")
    arrays, attrs = list(op.samples())[0]
    views = [share(a) for a in arrays]
    outputs = op.specs(specs(views), attrs)
    packed, ins = op.packed(attrs, len(views)), operands(op, views, outputs)
    _C.call(op.number, ins, packed, outputs)
    for i, spec in enumerate(outputs):
        for axis in range(len(spec.shape)):
            if op.name == "random_uniform" and i == 0:
                continue  # its first output may have any shape
            off = Spec((*spec.shape[:axis], spec.shape[axis] + 1, *spec.shape[axis + 1 :]), spec.dtype)
            with pytest.raises(Error):
                _C.call(op.number, ins, packed, tuple(off if k == i else s for k, s in enumerate(outputs)))


def test_integer_rows_are_bitwise_equal() -> None:
    """The same bytes from every ISA, on inputs at the ends of their ranges."""
    compared = 0
    for name in ("qmatmul", "qconv2d", "quantize_linear", "dynamic_qmatmul"):
        op = OPS[name]
        for arrays, attrs in op.samples():
            if attrs.get("activation", 0) > 1:
                continue  # gelu and its like multiply and add in one step where the ISA can
            views = [share(a) for a in arrays]
            outputs = op.specs(specs(views), attrs)
            results = {}
            for row in KERNELS[name]["rows"]:
                if row["dtype"] == _short(arrays[0]) and row["isa"] & _C.machine()["detected"] == row["isa"]:
                    out = tuple(_C.View.empty(s.shape, s.dtype) for s in outputs)
                    assert _C.run_row(op.number, row["name"], operands(op, views, outputs), op.packed(attrs, len(views)), out) is None
                    results[row["name"]] = out[0].numpy().tobytes()
            assert len(set(results.values())) == 1, f"{name}: {list(results)} differ"
            compared += len(results)
    assert compared > 100


@pytest.mark.parametrize("name", ["matmul", "dynamic_qmatmul", "conv2d", "conv2d_dgrad", "conv2d_wgrad", "sum", "softmax", "max_pool2d"])
def test_threads_never_change_a_bit(name: str) -> None:
    op = OPS[name]
    before = _C.machine()["threads"]
    try:
        for arrays, attrs in op.samples():
            views = [share(a) for a in arrays]
            outputs = op.specs(specs(views), attrs)
            found = set()
            for threads in (1, 2, 3):
                _C.set_threads(threads)
                made = _C.call(op.number, operands(op, views, outputs), op.packed(attrs, len(views)), outputs)
                found.add(made[0].numpy().tobytes())
            assert len(found) == 1
    finally:
        _C.set_threads(before)
