"""Torch modules with the weights that others trained, through an.from_torch."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from .real_torch import MODELS  # noqa: E402 (needs torch)
from .test_from_torch import check  # noqa: E402


# The large ones are proof: torch.export alone takes seconds, crepe half a second a run.
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.proof) if n == "crepe full" or "smollm2" in n else n for n in MODELS])
def test_as_torch(name: str) -> None:
    module, inputs = MODELS[name]()
    check(module, inputs)
