"""What the rows' kernels are once compiled, held against kernels/<family>/gpu_expect.json, for five chips. The tables are those of the Triton that
constraints-gpu.txt names; from another, and for rows without an entry, kernels have to come out at all and fit into the chip's shared memory."""

from __future__ import annotations

import re

import pytest

from .mode import need_compiler

need_compiler()

import triton  # noqa: E402

from accelnn.emulation.ahead import SHARED, TARGETS  # noqa: E402

from .expectations import ROOT, asked_of_another, complaints, entries, first_question, measured, question  # noqa: E402

ENTRIES, ROWS = entries(), measured()
PINNED = re.findall(r"^triton==(\S+)$", (ROOT / "constraints-gpu.txt").read_text(), re.M)[0]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ROWS)
def test_compiled_kernels_are_as_expected(name: str, target: str) -> None:
    kernel, row = ROWS[name]
    asked = question(ENTRIES[name]) if name in ENTRIES else first_question(kernel, row) or asked_of_another(row)
    assert asked is not None, f"no sample of {kernel} is one that {name} takes, and gpu_expect.json has no entry for it"
    launches = asked.launches(row, target)
    assert launches, "the row launches nothing"
    made = [launch.compile(target) for launch in launches]
    if name in ENTRIES and triton.__version__ == PINNED:
        found = complaints(ENTRIES[name]["targets"][target], made)
    else:
        found = [f"{m.kernel}: {m.shared} bytes of shared memory" for m in made if m.shared > SHARED[target]]
    assert not found, f"{name} for {target}: " + "; ".join(found)
