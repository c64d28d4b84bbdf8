"""One team of threads with torch: the same bits as with our own, as many threads as torch allows, and a forked child that is not stuck."""

from __future__ import annotations

import os

import numpy as np
import pytest

from ..conftest import need_module

need_module("torch")

import torch  # noqa: E402

import accelnn as an  # noqa: E402
import accelnn.torch as ant  # noqa: E402
from accelnn import _C  # noqa: E402
from accelnn.torch.threads import openmp_of_torch, share  # noqa: E402


def product() -> bytes:
    a = an.tensor(np.linspace(-1, 1, 300 * 500, dtype=np.float32).reshape(300, 500))
    return bytes((a @ a.mT).numpy().tobytes())


@pytest.mark.skipif(openmp_of_torch() is None, reason="this CPU build of torch brings no OpenMP runtime with GOMP_parallel")
def test_whoever_computes_the_parts_the_bits_are_equal() -> None:
    before = torch.get_num_threads()
    try:
        assert share()
        found = set()
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            found.add(product())
        _C.borrow_team(0, 0)
        found.add(product())
        assert len(found) == 1
    finally:
        torch.set_num_threads(before)
        share()


def test_a_forked_child_computes() -> None:
    product()
    child = os.fork()
    if child == 0:
        os._exit(0 if product() else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_accelerated_model_follows_torchs_thread_count() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(600, 700), torch.nn.ReLU(), torch.nn.Linear(700, 50))
    x = torch.randn(200, 600)
    with torch.no_grad():
        want = model(x)
        ant.accelerate(model)
        got = model(x)
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(1)
            assert torch.equal(model(x), got)
        finally:
            torch.set_num_threads(before)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
