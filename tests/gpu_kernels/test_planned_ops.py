"""Every op that a device has, compiled: without passes the bits of the eager call, with them what the op's contract allows. In the interpreter alone: rows
compile no other way here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.core.errors import KernelError
from accelnn.core.tensor import Tensor, apply_all
from accelnn.passes import STANDARD

from ..contracts.contract import Sample, judge, samples
from ..gpu_emulation.mode import INTERPRETED

HOSTS = {"conv2d_sparse", "qconv2d_sparse"}  # made for CPUs by a pass that devices do without


def first_samples() -> list[Any]:
    """One of each op, with an operand."""
    found: dict[str, Any] = {}
    for s in samples():
        if any(a is not None for a in s.arrays):
            found.setdefault(s.op.name, pytest.param(s, id=s.op.name))
    return list(found.values())


@pytest.mark.skipif(not INTERPRETED, reason="GPU kernels interpreted: make gpu-proof")
@pytest.mark.parametrize("sample", first_samples() if INTERPRETED else [])
def test_an_op_compiled(sample: Sample) -> None:
    tensors = [None if a is None else an.tensor(a, device="emu") for a in sample.arrays]
    given = [t for t in tensors if t is not None]

    def call(*present: Tensor) -> Any:
        rest = iter(present)
        return apply_all(sample.op.name, *[None if t is None else next(rest) for t in tensors], **sample.attrs)

    with an.no_grad():
        if sample.op.name in HOSTS:
            with pytest.raises(KernelError, match=f"{sample.op.name}: no row of"):
                an.compile(call)(*given)
            return
        made = call(*given)
        expected = [y.cpu().numpy(raw=True) for y in made]
        for passes in ((), STANDARD):
            run = an.compile(call, passes=passes)
            run(*given)
            found = [y.cpu().numpy(raw=True) for y in run(*given)]
            if passes:
                judge(sample, [y.spec for y in made], found)
            else:
                assert all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(found, expected, strict=True))
