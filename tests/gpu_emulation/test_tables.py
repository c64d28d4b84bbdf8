"""The tables gpu_expect.json are well formed. Needs no triton."""

from __future__ import annotations

from accelnn.emulation.ahead import TARGETS

from .expectations import entries
from .recording import device_rows


def test_every_entry_has_a_row() -> None:
    table, rows = entries(), device_rows()
    assert not sorted(set(table) - set(rows)), "entries of rows that are not there"
    for name, entry in table.items():
        assert entry["targets"] and set(entry["targets"]) <= set(TARGETS), name
        for target, expected in entry["targets"].items():
            assert set(expected) == {"registers", "spills", "shared", "needs"}, f"{name}, {target}"
