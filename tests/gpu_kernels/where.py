"""Which device the tests of device rows run on. ACCELNN_DEVICE names it; `pytest -m gpu` takes the GPU (tests/conftest.py), everything else the stand-in."""

from __future__ import annotations

import importlib.util
import os

from accelnn import _C

from ..gpu_emulation.mode import ABSENT, INTERPRETED

DEVICE = os.environ.get("ACCELNN_DEVICE", "emu")
ON_GPU = DEVICE.startswith("cuda")


def missing() -> str | None:
    """Why these tests cannot run here, or None."""
    if importlib.util.find_spec("triton") is None:
        return ABSENT if not ON_GPU else "triton is not installed: a GPU's kernels are compiled when they are launched"
    if not ON_GPU:
        return None
    if INTERPRETED:
        return "TRITON_INTERPRET=1 compiles nothing that a GPU could run"
    devices, why = _C.cuda.available()
    return None if devices else f"no GPU: {why}"
