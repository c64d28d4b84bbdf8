"""Ops and whole networks on device="cuda", compiled by Triton, launched through the fake driver and run by the PTX emulator: make gpu-proof."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import accelnn as an

from ..gpu_emulation.mode import need_compiler
from .fake import apart

need_compiler()
ARCH = int(os.environ.get("ACCELNN_EMULATE", "sm_90").removeprefix("sm_"))


def emulator() -> Any:
    from .emulated import Emulator

    found = Emulator()
    found.fake.set(arch=ARCH, optin=166912 if ARCH == 80 else 232448)
    return found


def equal(y: Any, expected: Any) -> None:
    """y on the GPU, expected on the host: to what the order of float32 sums may change."""
    assert y.device == "cuda", y.device
    got, want = y.cpu().numpy(), expected.numpy()
    assert got.shape == want.shape and np.allclose(got, want, rtol=1e-5, atol=1e-5), np.abs(got - want).max()


def _ops() -> int:
    gpu = emulator()
    rng = np.random.default_rng(0)
    a, b = (an.tensor(rng.standard_normal(s).astype(np.float32)) for s in ((5, 33), (33, 40)))
    x, y = a.cuda(), b.cuda()
    equal(x @ y, a @ b)
    equal(x.T[1:20, ::2] * 2.0 + 1.0, a.T[1:20, ::2] * 2.0 + 1.0)
    equal((x * x).sum(1), (a * a).sum(1))
    equal(x.softmax(), a.softmax())
    equal(x.transpose(0, 1).contiguous(), a.transpose(0, 1).contiguous())
    equal(x[:, :0] @ y[:0], a[:, :0] @ b[:0])
    equal(an.zeros(0, 3, device="cuda") + 1.0, an.zeros(0, 3) + 1.0)
    assert (x > 0).tolist() == (a > 0).tolist() and x.to(an.int32).tolist() == a.to(an.int32).tolist()
    copied = an.tensor(x, device="cuda")
    equal(copied, a)
    assert copied.view.address != x.view.address, "a copy, on the same device too"
    x.assign(a * 3.0)
    equal(x, a * 3.0)
    assert gpu.raised == []
    return len(gpu.fake.log())


def test_ops() -> None:
    assert apart(_ops) >= 8


def _train(build: str) -> tuple[Any, Any, dict[str, float], int]:
    from ..gpu_kernels import test_training as nets

    gpu = emulator()
    on_device, state = nets.train(getattr(nets, build), "cuda")
    on_host, expected = nets.train(getattr(nets, build), "cpu")
    assert gpu.raised == []
    return on_device, on_host, {n: float(np.abs(v - expected[n]).max()) for n, v in state.items()}, len(gpu.fake.log())


@pytest.mark.parametrize("build", ["cnn", "lstm", "transformer"])
def test_three_steps_equal_the_hosts(build: str) -> None:
    on_device, on_host, off, launches = apart(_train, build)
    assert np.allclose(on_device, on_host, rtol=1e-5, atol=0), (on_device, on_host)
    assert max(off.values()) <= 2e-4 and launches > 50, (off, launches)


def _wrong() -> list[str]:
    """A kernel that writes past its memory's end."""
    import triton
    import triton.language as tl

    from accelnn.core.remote import Remote

    from . import wild

    gpu = emulator()
    x: Any = an.ones(128, device="cuda").view
    assert isinstance(x, Remote) and triton and tl
    x.device.launch(wild.fill, (1, 1, 1), (x, 256), {"BLOCK": 256}, 4, 2)
    with pytest.raises(an.Error, match="the device is lost to this process"):
        an.cuda.synchronize()
    return [str(e) for e in gpu.raised]


def test_a_wild_kernel_loses_the_device() -> None:
    (said,) = apart(_wrong)
    assert "out of bounds" in said and "fill" in said
