"""What the rows' kernels are once compiled, held against kernels/<family>/gpu_expect.json, for five chips. The tables are those of the Triton that
constraints-gpu.txt names; from another, kernels have to come out at all and fit into the chip's shared memory."""

from __future__ import annotations

import re

import pytest

from .mode import need_compiler

need_compiler()

import triton  # noqa: E402

from accelnn.emulation.ahead import SHARED, TARGETS  # noqa: E402

from .expectations import ROOT, complaints, entries, question  # noqa: E402
from .recording import device_rows  # noqa: E402

ENTRIES = entries()
PINNED = re.findall(r"^triton==(\S+)$", (ROOT / "constraints-gpu.txt").read_text(), re.M)[0]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ENTRIES)
def test_compiled_kernels_are_as_expected(name: str, target: str) -> None:
    launches = question(ENTRIES[name]).launches(device_rows()[name][1], target)
    assert launches, "the row launches nothing"
    made = [launch.compile(target) for launch in launches]
    if triton.__version__ == PINNED:
        found = complaints(ENTRIES[name]["targets"][target], made)
    else:
        found = [f"{kernel.kernel}: {kernel.shared} bytes of shared memory" for kernel in made if kernel.shared > SHARED[target]]
    assert not found, f"{name} for {target}: " + "; ".join(found)
