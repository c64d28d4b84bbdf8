"""These tests run kernels for devices on the device "emu": with TRITON_INTERPRET=1 their source in the checked interpreter, otherwise what Triton
compiles of them in the emulator (ACCELNN_EMULATE=sm_80 or sm_90). They need triton, which `make test` has no use for: see `make gpu-proof`."""

from __future__ import annotations

import importlib.util

import pytest

HAS_TRITON = importlib.util.find_spec("triton") is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not HAS_TRITON:
        for item in items:
            if "gpu_kernels" in str(item.path):
                item.add_marker(pytest.mark.skip(reason="triton is not installed: this is part of the GPU proof (make gpu-proof)"))
