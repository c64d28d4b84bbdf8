"""Which half of the GPU proof a test belongs to. Triton either interprets or compiles for the whole life of a process, so `make gpu-proof` starts pytest
once for each; where triton is missing, or in the other half, a module is skipped."""

from __future__ import annotations

import importlib.util
import os

import pytest

ABSENT = "triton is not installed: this is part of the GPU proof (make gpu-proof)"
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def need_interpreter() -> None:
    if importlib.util.find_spec("triton") is None:
        pytest.skip(ABSENT, allow_module_level=True)
    if not INTERPRETED:
        pytest.skip("this half of the GPU proof runs with TRITON_INTERPRET=1", allow_module_level=True)


def need_compiler() -> None:
    if importlib.util.find_spec("triton") is None:
        pytest.skip(ABSENT, allow_module_level=True)
    if INTERPRETED:
        pytest.skip("this half of the GPU proof compiles: it runs without TRITON_INTERPRET", allow_module_level=True)
