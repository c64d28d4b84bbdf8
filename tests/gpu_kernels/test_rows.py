"""Every row for a device against the float64 reference, on every sample of its op, as Triton's interpreter runs it: a new row is tested by being listed."""

from __future__ import annotations

import os
from typing import Any

import pytest

from accelnn import _C
from accelnn.core.dtypes import DType
from accelnn.core.registry import KERNELS

from ..contracts.contract import Sample, judge, samples

os.environ.setdefault("TRITON_INTERPRET", "1")
pytest.importorskip("triton", reason="rows for devices are written in Triton")
from .call import Call, Window, of_view, row_of  # noqa: E402


def device_rows(sample: Sample) -> list[dict[str, Any]]:
    op = sample.op
    if op.program is not None:
        return []
    first = next(a for a in sample.call()[0] if a is not None)
    return [r for r in _C.device_rows(op.number) if r["dtype"] == _C.dtypes[first.dtype]]


def cases() -> list[Any]:
    return [pytest.param(s, row, id=f"{s.name}-{row['name']}") for s in samples() for row in device_rows(s)]


def answer(sample: Sample, row: dict[str, Any]) -> Call:
    inputs, outputs = sample.call()
    defaults = {a["name"]: a["default"] if a["kind"] == "real" else int(a["default"]) for a in KERNELS[sample.op.kernel]["attrs"]}
    attrs = defaults | sample.op.kernel_attrs(sample.attrs, len(inputs))
    call = Call(tuple(map(of_view, inputs)), tuple(Window(s.shape, None, s.dtype) for s in outputs), attrs)
    function = row_of(row["where"])
    why = function.refuse(call)
    if why is not None:
        pytest.skip(f"{row['name']} refuses: {why}")
    if any(0 not in s.shape for s in outputs):
        function.run(call)
    return call


@pytest.mark.parametrize(("sample", "row"), cases())
def test_row_meets_its_contract(sample: Sample, row: dict[str, Any]) -> None:
    call = answer(sample, row)
    assert all(w is None or w.unchanged() for w in call.inputs), "an input was written"
    assert all(w.untouched_outside() for w in (*call.outputs, *call.rooms)), "something outside an output or scratch was written"
    judge(sample, sample.call()[1], [w.body for w in call.outputs])
    again = answer(sample, row)
    for a, b in zip(call.outputs, again.outputs):
        assert a.raw.tobytes() == b.raw.tobytes(), "another result the second time"
    assert all(w.dtype in DType for w in call.rooms)
