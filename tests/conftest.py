"""Shared pieces of the tests: the demo's network, and skips that CI does not allow."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accelnn as an


def need_module(name: str) -> None:
    """Skips where an optional package is missing; fails in CI, which installs them all."""
    if importlib.util.find_spec(name) is None:
        _absent(f"the package {name} is not installed")


def place(name: str) -> Path:
    """The file, in whatever folder the package lies; its code is not run."""
    package, _, rest = name.partition("/")
    need_module(package)
    found = importlib.util.find_spec(package)
    assert found is not None and found.submodule_search_locations
    return Path(next(iter(found.submodule_search_locations)), rest)


def need_program(name: str) -> str:
    """Path of a system program; skips where it is missing, fails in CI."""
    found = shutil.which(name)
    if found is None:
        _absent(f"the program {name} is not installed")
    return str(found)


def _absent(reason: str) -> None:
    if os.environ.get("ACCELNN_CI") == "1":
        pytest.fail(f"{reason}, and ACCELNN_CI=1 allows no skip")
    pytest.skip(reason, allow_module_level=True)


def pytest_configure(config: pytest.Config) -> None:
    """`pytest -m gpu` runs the tests of device rows on the GPU: before anything asks which device is meant."""
    if config.getoption("markexpr", "") == "gpu":
        os.environ.setdefault("ACCELNN_DEVICE", "cuda")


# What CI may skip: what the machine is not, and cases that do not exist (a row that refuses a shape, an op without a derivative).
MAY_SKIP = re.compile(r"this CPU|GPU|refuses:|no derivative|a view has no kernel|made by a pass|may not trace")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """With ACCELNN_CI=1 any other skip is a failure: .ci/run installs everything that can be installed."""
    report = yield
    if os.environ.get("ACCELNN_CI") == "1" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not MAY_SKIP.search(reason):
            report.outcome, report.longrepr = "failed", f"skipped, but ACCELNN_CI=1 allows that only for what the hardware lacks: {reason}"
    return report


def lenet(seed: int = 0) -> Any:
    """LeNet-5 with the weights of a seed."""
    nn = an.nn
    an.seed(seed)
    return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))  # fmt: skip


def batch(n: int = 64, seed: int = 0) -> tuple[Any, Any]:
    """Images f32 [n, 1, 28, 28] and labels i64 [n]."""
    rng = np.random.default_rng(seed)
    return an.tensor(rng.random((n, 1, 28, 28), dtype=np.float32)), an.tensor(rng.integers(0, 10, n))


@pytest.fixture
def threads() -> Iterator[Any]:
    """an.set_num_threads, undone afterwards."""
    before = an.get_num_threads()
    yield an.set_num_threads
    an.set_num_threads(before)
