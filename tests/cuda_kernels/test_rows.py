"""Every CUDA row of every table on the samples of its op, without a GPU: its source on fibers, what nvcc makes of it on the emulator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accelnn.core.dispatch import operands
from accelnn.core.graph import Spec
from accelnn.core.remote import Remote
from accelnn.core.remote_call import DeviceCall, TableRow, attributes, kernel_of, rows_of
from accelnn.deploy import toolchain

from ..contracts.contract import Sample, judge, samples
from ..gpu_kernels.test_rows import fits, on
from .device import Emulated, Fibers, Host
from .long_rows import long_samples

if toolchain.compiler() is None or toolchain.machine() != "x86_64":
    pytest.skip("the fibers of CUDA kernels need g++ and an x86-64 processor", allow_module_level=True)
EMULATED = toolchain.find_nvcc() is not None


def cases() -> list[tuple[Sample, TableRow]]:
    return [(s, r) for s in (*samples(), *long_samples()) for r in rows_of(kernel_of(s.op)) if not r.where and fits(s, r)]


def named(found: list[tuple[Sample, TableRow]]) -> list[Any]:
    return [pytest.param(s, r, id=f"{s.name}-{r.name}") for s, r in found]


def answer(sample: Sample, row: TableRow, device: Host) -> None:
    """Runs the row and compares with the contract; the inputs stay as they were."""
    views = [on(device, a) for a in sample.arrays]
    outputs = sample.op.specs([None if v is None else Spec(v.shape, v.dtype) for v in views], sample.attrs)
    made = [Remote.empty(device, s.shape, s.dtype) for s in outputs]
    call = DeviceCall(device, operands(sample.op, views, outputs, sample.attrs), made, attributes(sample.op, sample.attrs, len(views)))
    assert row.why_not(call) is None, f"{row.name} refuses a sample of {sample.op.name}: {row.why_not(call)}"
    before = [None if v is None else v.numpy() for v in views]
    if any(0 not in s.shape for s in outputs):
        row.row.run(call)
    judge(sample, outputs, [m.numpy() for m in made])
    for v, b in zip(views, before):
        assert v is None or np.array_equal(v.numpy(), b, equal_nan=True), "an input was written"


@pytest.mark.parametrize(("sample", "row"), named(cases()))
def test_source_on_fibers(sample: Sample, row: TableRow) -> None:
    """Six schedules leave the same bits (server.cpp), under AddressSanitizer and UBSan."""
    answer(sample, row, Fibers())


@pytest.mark.skipif(not EMULATED, reason="nvcc is not there: pip install nvidia-cuda-nvcc==13.0.*")
@pytest.mark.parametrize(("sample", "row"), named(cases()))
def test_compiled_and_emulated(sample: Sample, row: TableRow) -> None:
    answer(sample, row, Emulated())
