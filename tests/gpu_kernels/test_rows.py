"""Every device row of every table against the float64 reference, on every sample of the op: the same cases that the rows of processors have to pass."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import numpy as np
import pytest

from accelnn.core.dispatch import operands
from accelnn.core.dtypes import as_dtype
from accelnn.core.graph import Spec
from accelnn.core.recording import Recording
from accelnn.core.remote import Device, Remote, device_named
from accelnn.core.remote_call import DeviceCall, TableRow, attributes, kernel_of, rows_of
from accelnn.emulation.arguments import Pointer

from ..contracts.contract import Sample, judge, samples
from .where import DEVICE, ON_GPU

HAS_TRITON = importlib.util.find_spec("triton") is not None
SMALL = 10**9 if ON_GPU or os.environ.get("ACCELNN_THOROUGH") == "1" else 100  # program iterations that a sample may take: all are an hour of emulation
STEP = 4096  # bytes of an operand that an iteration of a program reads, about


def cases() -> list[Any]:
    found = []
    for s in samples():
        for r in rows_of(kernel_of(s.op)):  # those without `where` are tests/cuda_kernels'; without triton all are there, to be skipped
            if r.where and fits(s, r) and (ON_GPU or not HAS_TRITON or iterations(s, r) <= SMALL):
                found.append(pytest.param(s, r, id=f"{s.name}-{r.name}"))
    return found


def iterations(sample: Sample, row: TableRow) -> int:
    """What the launches that the row records for the sample come to: programs, times the pieces of the largest operand, of which a program may read each."""
    device = Recording("sm_90")
    views = [None if a is None else Remote.empty(device, np.shape(a), as_dtype(np.asarray(a).dtype)) for a in sample.arrays]
    outputs = sample.op.specs([None if v is None else Spec(v.shape, v.dtype) for v in views], sample.attrs)
    made = [Remote.empty(device, s.shape, s.dtype) for s in outputs]
    call = DeviceCall(device, operands(sample.op, views, outputs, sample.attrs), made, attributes(sample.op, sample.attrs, len(views)))
    if row.why_not(call) is None and any(0 not in s.shape for s in outputs):
        row.row.run(call)
    return sum(n.programs * max((-(-a.nbytes // STEP) for a in n.args if isinstance(a, Pointer)), default=1) for n in device.launches)


def fits(sample: Sample, row: TableRow) -> bool:
    return sample.arrays[0] is None or as_dtype(np.asarray(sample.arrays[0]).dtype) == row.dtype


def on(device: Device, array: Any) -> Any:
    """The array on the device, lying in memory as it does here."""
    if array is None:
        return None
    array = np.asarray(array)
    dtype = as_dtype(array.dtype)
    base = array
    while isinstance(base.base, np.ndarray) and base.base.dtype == array.dtype:
        base = base.base
    whole = np.lib.stride_tricks.as_strided(base, (1 + sum((s - 1) * d // base.itemsize for s, d in zip(base.shape, base.strides)),) if base.size else (0,),
                                            (base.itemsize,))  # fmt: skip
    there = Remote.of(device, whole.view(dtype.storage), dtype)
    offset = (array.ctypes.data - base.ctypes.data) // base.itemsize if array.size else 0
    return there.strided(array.shape, tuple(d // array.itemsize for d in array.strides), offset)


@pytest.mark.parametrize(("sample", "row"), cases())
def test_row_meets_its_contract(sample: Sample, row: TableRow) -> None:
    device = device_named(DEVICE)
    views = [on(device, a) for a in sample.arrays]
    outputs = sample.op.specs([None if v is None else Spec(v.shape, v.dtype) for v in views], sample.attrs)
    made, again = ([Remote.empty(device, s.shape, s.dtype) for s in outputs] for _ in range(2))
    given = operands(sample.op, views, outputs, sample.attrs), attributes(sample.op, sample.attrs, len(views))
    call = DeviceCall(device, given[0], made, given[1])
    why = row.why_not(call)
    if why is not None:
        pytest.skip(f"{row.name} refuses: {why}")
    before = [None if v is None else v.numpy() for v in views]
    if any(0 not in s.shape for s in outputs):
        row.row.run(call)
        row.row.run(DeviceCall(device, given[0], again, given[1]))
    judge(sample, outputs, [m.numpy() for m in made])
    assert all(m.numpy().tobytes() == a.numpy().tobytes() for m, a in zip(made, again)), "another result the second time"
    for v, b in zip(views, before):
        assert v is None or np.array_equal(v.numpy(), b, equal_nan=True), "an input was written"
