"""These tests run kernels for devices on the device "emu": with TRITON_INTERPRET=1 their source in the checked interpreter, otherwise what Triton
compiles of them in the emulator (ACCELNN_EMULATE=sm_80 or sm_90). They need triton, which `make test` has no use for: see `make gpu-proof`.

The interpreter runs every sample that is small. Compiling each for itself takes a quarter of a second or more: of a row's samples the emulators take every
EACH-th, sm_80 others than sm_90, and of rows that differ from others of their function in nothing but the width of an element every WIDTHS-th.
ACCELNN_GPU_SAMPLES=all: all of them, ACCELNN_THOROUGH=1: and those that are not small."""

from __future__ import annotations

import importlib.util
import os
from collections import Counter

import pytest

from ..gpu_emulation.mode import ABSENT, INTERPRETED

HAS_TRITON = importlib.util.find_spec("triton") is not None
EACH, WIDTHS = 12, 60
PHASE = {"sm_80": 6}.get(os.environ.get("ACCELNN_EMULATE", ""), 0)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not HAS_TRITON:
        for item in items:
            if "gpu_kernels" in str(item.path):
                item.add_marker(pytest.mark.skip(reason=ABSENT))
    elif not INTERPRETED and os.environ.get("ACCELNN_GPU_SAMPLES") != "all":
        thin_out(config, items)


def thin_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    from ..gpu_emulation.expectations import measured

    several = measured()
    seen: Counter[str] = Counter()
    kept, left_out = [], []
    for item in items:
        row = getattr(getattr(item, "callspec", None), "params", {}).get("row")
        if row is None:
            kept.append(item)
            continue
        number, step = seen[row.name], EACH if row.name in several else WIDTHS
        seen[row.name] += 1
        (kept if number % step == PHASE % step else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept
