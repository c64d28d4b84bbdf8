"""Every row of every table against the float64 reference, on every sample of the op: a new row or op is tested by being listed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accelnn import _C
from accelnn.core.dispatch import operands
from accelnn.core.errors import Error
from accelnn.core.graph import Spec
from accelnn.core.registry import OPS
from accelnn.deploy import toolchain as tc

from .contract import Sample, judge, samples, share, specs

GUARD = 64  # bytes around every output that must stay as they were


def cases() -> list[Any]:
    """Rows of another processor: test_other_processors.py."""
    return [pytest.param(s, row, id=f"{s.name}-{row['name']}") for s in samples() for row in s.rows if not tc.is_foreign(row["name"], tc.machine())]


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


@pytest.mark.parametrize(("sample", "row"), cases())
def test_row_meets_its_contract(sample: Sample, row: dict[str, Any]) -> None:
    if not row["isa"] & _C.machine()["detected"] == row["isa"]:
        pytest.skip(f"this CPU lacks the instructions of {row['name']}")
    before = [None if a is None else np.array(a) for a in sample.arrays]
    inputs, outputs = sample.call()
    made = [guarded(s) for s in outputs]
    op = sample.op
    why = _C.run_row(op.number, row["name"], inputs, op.packed(sample.attrs, len(sample.arrays)), tuple(v for v, _ in made))
    if why is not None:
        pytest.skip(f"{row['name']} refuses: {why}")
    for view, raw in made:
        assert untouched(raw, view), "a byte outside the output was written"
    judge(sample, outputs, [view.numpy() for view, _ in made])
    for a, b in zip(sample.arrays, before):
        assert (a is b is None) or np.array_equal(a, b), "an input was written"


@pytest.mark.parametrize("name", sorted(OPS))
def test_inferred_outputs_are_accepted_and_others_refused(name: str) -> None:
    op = OPS[name]
    if op.view is not None or not list(op.samples()):
        pytest.skip("a view has no kernel" if op.view is not None else "made by a pass; tested there")
    arrays, attrs = list(op.samples())[0]
    views = [share(a) for a in arrays]
    outputs = op.specs(specs(views), attrs)
    packed, ins = op.packed(attrs, len(views)), operands(op, views, outputs, attrs)
    _C.call(op.number, ins, packed, outputs)
    for i, spec in enumerate(outputs):
        for axis in range(len(spec.shape)):
            if (op.name == "random_uniform" and i == 0) or op.name == "pad" or (
                    op.name in ("take_grad", "resize", "resize_grad") and axis == attrs["axis"]):  # fmt: skip
                continue  # the kernel takes any size here: how many numbers, how far the padding goes, how many rows there are
            off = Spec((*spec.shape[:axis], spec.shape[axis] + 1, *spec.shape[axis + 1 :]), spec.dtype)
            with pytest.raises(Error):
                _C.call(op.number, ins, packed, tuple(off if k == i else s for k, s in enumerate(outputs)))


def test_integer_rows_are_bitwise_equal() -> None:
    """The same bytes from every ISA, on inputs at the ends of their ranges."""
    compared = 0
    for name in ("qmatmul", "qconv2d", "quantize_linear", "dynamic_qmatmul"):
        op = OPS[name]
        for sample in [s for s in samples() if s.op is op]:
            if sample.attrs.get("activation", 0) > 1:
                continue  # gelu and its like multiply and add in one step where the ISA can
            inputs, outputs = sample.call()
            results = {}
            for row in sample.rows:
                if row["isa"] & _C.machine()["detected"] == row["isa"]:
                    out = tuple(_C.View.empty(s.shape, s.dtype) for s in outputs)
                    assert _C.run_row(op.number, row["name"], inputs, op.packed(sample.attrs, len(sample.arrays)), out) is None
                    results[row["name"]] = out[0].numpy().tobytes()
            assert len(set(results.values())) == 1, f"{name}: {list(results)} differ"
            compared += len(results)
    assert compared > 100


NORMS = [f"{n}{g}" for n in ("layer_norm", "rms_norm", "batch_norm", "group_norm", "log_softmax", "softmax_axis", "cross_entropy", "ctc_loss")
         for g in ("", "_grad")] + ["batch_norm_infer"]  # fmt: skip


@pytest.mark.parametrize("name", ["matmul", "dynamic_qmatmul", "conv2d", "conv2d_dgrad", "conv2d_wgrad", "sum", "softmax", "max_pool2d", "attention",
                                  "attention_grad", "attention_decode", "attention_paged", *NORMS])
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
                made = _C.call(op.number, operands(op, views, outputs, attrs), op.packed(attrs, len(views)), outputs)
                found.add(b"".join(m.numpy().tobytes() for m in made))
            assert len(found) == 1
    finally:
        _C.set_threads(before)
