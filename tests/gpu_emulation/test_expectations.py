"""What the rows' kernels are once compiled, held against kernels/<family>/gpu_expect.json, for five chips."""

from __future__ import annotations

import pytest

from .mode import need_compiler

need_compiler()

from accelnn.emulation.ahead import TARGETS  # noqa: E402

from .expectations import complaints, entries, question  # noqa: E402
from .recording import device_rows  # noqa: E402

ENTRIES = entries()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ENTRIES)
def test_compiled_kernels_are_as_expected(name: str, target: str) -> None:
    launches = question(ENTRIES[name]).launches(device_rows()[name][1], target)
    assert launches, "the row launches nothing"
    found = complaints(ENTRIES[name]["targets"][target], [launch.compile(target) for launch in launches])
    assert not found, f"{name} for {target}: " + "; ".join(found)
