"""Compiled functions on the device "cuda", with the driver that only checks: what reaches it, not numbers. Needs triton, which compiles the rows."""

from __future__ import annotations

import gc
import importlib.util
import os
from typing import Any

import numpy as np
import pytest

import accelnn as an

from .fake import Fake, forked

HAS_COMPILER = importlib.util.find_spec("triton") is not None and os.environ.get("TRITON_INTERPRET") != "1"
pytestmark = pytest.mark.skipif(not HAS_COMPILER, reason="no GPU kernels are compiled here, Triton is missing or interprets: make gpu-proof does")
DRIVER = ("cuLaunchKernelEx", "cuGraphLaunch", "cuMemcpyDtoDAsync", "cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync", "cuMemAlloc", "cuModuleLoadDataEx",
          "cuStreamBeginCapture", "cuCtxSynchronize", "cuStreamSynchronize")  # fmt: skip


def step_of(width: int = 8) -> tuple[Any, Any]:
    """A compiled training step of a small network, and its optimizer."""
    an.seed(0)
    np.random.seed(0)
    net = an.nn.Sequential(an.nn.Linear(width, 16), an.nn.ReLU(), an.nn.Dropout(0.5), an.nn.Linear(16, 4)).to("cuda")
    opt = an.optim.AdamW(net.parameters(), lr=0.01)

    def step(x: Any, labels: Any) -> Any:
        opt.zero_grad()
        loss = an.nn.functional.cross_entropy(net(x), labels)
        loss.backward()
        opt.step()
        return loss

    return an.compile(step), opt


def batch(n: int = 4) -> tuple[Any, Any]:
    return an.tensor(np.ones((n, 8), np.float32), device="cuda"), an.tensor(np.zeros(n, np.int64), device="cuda")


def counted(fake: Fake, f: Any) -> dict[str, int]:
    """What f asks of the driver."""
    before = {e: fake.calls(e) for e in DRIVER}
    f()
    return {e: n for e in DRIVER if (n := fake.calls(e) - before[e])}


@forked
def test_a_training_step_is_one_graph() -> None:
    fake = Fake()
    step, opt = step_of()
    (x, labels), other = batch(), batch()
    counted(fake, lambda: step(x, labels))
    (traced,) = step.traced.values()
    binding = traced.device_plan.binding
    launches = binding.recorded.launches
    assert launches.recorded and launches.nodes == launches.launches == binding.launches > 5
    kept = [step(x, labels) for _ in range(2)]        # the pool has memory for results from here on
    kept.clear()
    assert counted(fake, lambda: step(x, labels)) == {"cuGraphLaunch": 1, "cuMemcpyDtoDAsync": 1}, "the graph, and the loss"
    found = counted(fake, lambda: step(*other))
    assert found == {"cuGraphLaunch": 1, "cuMemcpyDtoDAsync": 3}, f"a new batch is copied in: {found}"
    opt.lr = 0.5
    assert counted(fake, lambda: step(*other)) == {"cuGraphLaunch": 1, "cuMemcpyDtoDAsync": 1}, "the rate is read where it lies"
    assert traced.device_plan.binding is binding and len(step.traced) == 1


@forked
def test_other_shapes_and_other_states_are_other_bindings() -> None:
    fake = Fake()
    net = an.nn.Linear(8, 4).to("cuda")
    run = an.compile(net)
    with an.no_grad():
        xs = [batch(n)[0] for n in (4, 2, 4, 2)]
        assert counted(fake, lambda: [run(x) for x in xs])["cuStreamBeginCapture"] == 2
        first = run.plan(xs[0]).device_plan.binding
        net.to("cpu").to("cuda")
        assert counted(fake, lambda: run(xs[0]))["cuStreamBeginCapture"] == 1
        assert run.plan(xs[0]).device_plan.binding is not first


@forked
def test_a_failing_recording_leaves_the_device_usable() -> None:
    fake = Fake()
    net = an.nn.Linear(8, 4).to("cuda")
    run = an.compile(net)
    x = batch()[0]
    with an.no_grad():
        fake.fail("cuStreamEndCapture")
        with pytest.raises(an.Error, match="cuStreamEndCapture: CUDA_ERROR_UNKNOWN"):
            run(x)
        assert net(x).device == "cuda"
        run(x)
        launches = run.plan(x).device_plan.binding.recorded.launches
        assert launches.recorded and launches.nodes == launches.launches
        assert counted(fake, lambda: run(x))["cuGraphLaunch"] == 1


@forked
def test_memory_goes_back() -> None:
    fake = Fake()
    x = batch()[0]

    def once() -> None:
        with an.no_grad():
            an.compile(an.nn.Linear(8, 4).to("cuda"))(x)
        gc.collect()

    once()
    allocations = fake.calls("cuMemAlloc")
    once()
    assert fake.calls("cuMemAlloc") == allocations, "the second function lives in the memory of the first"
