"""Torch modules with the weights that others trained, through an.from_torch."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from .real_torch import MODELS  # noqa: E402 (needs torch)
from .test_from_torch import check  # noqa: E402


@pytest.mark.parametrize("name", [name for name in MODELS if name != "crepe full"])      # half a second a run; benchmarks/real.py checks it too
def test_as_torch(name: str) -> None:
    module, inputs = MODELS[name]()
    check(module, inputs)
