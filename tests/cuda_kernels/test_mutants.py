"""Every planted bug is found: by the sanitizers and schedules of the fibers, by wrong numbers, or on the emulator."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from accelnn.deploy import toolchain
from accelnn.emulation import Violation

from .device import ROOT, Emulated, Fault, Fibers, Host
from .mutants import MUTANTS, Mutant
from .test_rows import answer, cases

pytestmark = pytest.mark.proof


def found_by(mutant: Mutant, folder: Path) -> list[str]:
    """What the levels said, until one of them did."""
    original = toolchain.cuda_sources(ROOT)[mutant.image]
    path = folder / original.name
    shutil.copy(original, path)
    for header in (ROOT / "kernels").glob("cuda_*.h"):
        shutil.copy(header, folder)  # a quoted include looks beside the source first
    changed = folder / Path(mutant.file).name
    text = changed.read_text()
    assert text.count(mutant.before) >= 1, f"{mutant.name}: {mutant.file} has changed"
    changed.write_text(text.replace(mutant.before, mutant.after))
    there = {s.name: (s, r) for s, r in cases()}
    devices: list[Host] = [Fibers({mutant.image: (path, str(MUTANTS.index(mutant)))})]
    if toolchain.find_nvcc() is not None:
        devices.append(Emulated({mutant.image: (path, "")}))
    for device in devices:
        for name in mutant.samples:
            try:
                answer(*there[name], device)
            except (Fault, Violation, AssertionError) as said:
                return [device.name, str(said)]
    return []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_mutant_is_found(mutant: Mutant, tmp_path: Path) -> None:
    said = found_by(mutant, tmp_path)
    assert said, f"nobody noticed: {mutant.name}"
    print(f"\n{mutant.name}: {said[0]}: {said[1][:150]}")
