"""The two ways of recurrent layers through their steps: samples are small ones, which take one launch; here they take a launch a step."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from ..contracts.contract import Sample, samples
from ..gpu_emulation.mode import ABSENT

if importlib.util.find_spec("triton") is None:
    pytest.skip(ABSENT, allow_module_level=True)

from accelnn.kernels.recurrent import gpu_triton, gpu_triton_grad  # noqa: E402

from accelnn.core.remote_call import kernel_of, rows_of  # noqa: E402

from .test_rows import test_row_meets_its_contract as meets_its_contract  # noqa: E402

KINDS = ("rnn", "lstm", "gru", "rnn_grad", "lstm_grad", "gru_grad")


def several_steps() -> list[Any]:
    """Every seventh sample of more than a step."""
    found: list[Any] = []
    for kind in KINDS:
        long = [s for s in samples() if s.op.name == kind and s.arrays[0].shape[1 if "_grad" in kind or s.attrs.get("batch_first") else 0] > 1]
        found += [pytest.param(s, id=s.name) for s in long[::7]]
    return found


@pytest.mark.parametrize("sample", several_steps())
def test_a_launch_a_step(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (gpu_triton, gpu_triton_grad):
        monkeypatch.setattr(module, "SMALL", 0)
    meets_its_contract(sample, rows_of(kernel_of(sample.op))[0])
