"""These tests run kernels for devices on the device "emu": with TRITON_INTERPRET=1 their source in the checked interpreter, otherwise what Triton
compiles of them in the emulator (ACCELNN_EMULATE=sm_80 or sm_90). They need triton, which `make test` has no use for: see `make gpu-proof`.

The interpreter runs every sample that is small. Compiling each for itself takes a quarter of a second or more: of a row's samples the emulators take every
EACH-th, sm_80 others than sm_90, and of rows that differ from others of their function in nothing but the width of an element every WIDTHS-th.
ACCELNN_GPU_SAMPLES=all: all of them, ACCELNN_THOROUGH=1: and those that are not small.

`pytest -m gpu` runs them on the GPU, all samples. ACCELNN_SHARD=2/8 takes the third eighth of the rows (a process a core: most of the time is the
compiler's), the first samples of every row first; ACCELNN_REPORT names a file that gets a line of JSON as soon as a test has ended."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from accelnn.core.remote_call import TableRow

from ..gpu_emulation.mode import INTERPRETED

HERE = Path(__file__).parent
EACH, WIDTHS = 12, 60
PHASE = {"sm_80": 6}.get(os.environ.get("ACCELNN_EMULATE", ""), 0)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    from .where import ON_GPU, missing  # not before pytest knows of -m gpu (tests/conftest.py)

    why, ours = missing(), [item for item in items if HERE in item.path.parents]
    for item in ours:
        if ON_GPU:
            item.add_marker(pytest.mark.gpu)
        if why is not None:
            item.add_marker(pytest.mark.skip(reason=why))
    if why is None and ON_GPU:
        first_samples_first(items)
    elif why is None and not INTERPRETED and os.environ.get("ACCELNN_GPU_SAMPLES") != "all":
        thin_out(config, items)
    if shard := os.environ.get("ACCELNN_SHARD"):
        take_shard(config, items, shard)


def row_of(item: pytest.Item) -> str:
    """The device row that an item tests, or the item's own name."""
    row = getattr(getattr(item, "callspec", None), "params", {}).get("row")
    return row.name if isinstance(row, TableRow) else item.nodeid


def first_samples_first(items: list[pytest.Item]) -> None:
    """So that a run which is cut off has seen every row."""
    seen: Counter[str] = Counter()
    order = {}
    for item in items:
        order[item.nodeid] = seen[row_of(item)]
        seen[row_of(item)] += 1
    items.sort(key=lambda item: order[item.nodeid])


def take_shard(config: pytest.Config, items: list[pytest.Item], shard: str) -> None:
    """ACCELNN_SHARD: what belongs to a row stays together, since its samples share compiled kernels."""
    place, _, of = shard.partition("/")
    if not (place.isdigit() and of.isdigit() and int(place) < int(of)):
        raise pytest.UsageError(f"ACCELNN_SHARD={shard}: N/M with N < M expected")
    load = [0] * int(of)
    home: dict[str, int] = {}
    for row, n in Counter(map(row_of, items)).most_common():  # the largest first, each to whoever has least
        home[row] = load.index(min(load))
        load[home[row]] += n
    kept = [item for item in items if home[row_of(item)] == int(place)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    path = os.environ.get("ACCELNN_REPORT")
    if path and (report.when == "call" or report.outcome != "passed"):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr or "")
        line = {"test": report.nodeid, "outcome": report.outcome, "seconds": round(report.duration, 3), "why": _last(why.splitlines())}
        with open(path, "a") as file:
            file.write(json.dumps(line) + "\n")


def _last(lines: Sequence[str]) -> str:
    """What pytest marks as the error, or the last line of a reason."""
    errors = [text for text in lines if text.startswith("E ")]
    return (errors or list(lines) or [""])[0 if errors else -1][:300]


def thin_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    from ..gpu_emulation.expectations import measured

    several = measured()
    seen: Counter[str] = Counter()
    kept, left_out = [], []
    for item in items:
        row = getattr(getattr(item, "callspec", None), "params", {}).get("row")
        if not isinstance(row, TableRow):
            kept.append(item)
            continue
        number, step = seen[row.name], EACH if row.name in several else WIDTHS
        seen[row.name] += 1
        (kept if number % step == PHASE % step else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept
