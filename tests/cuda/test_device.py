"""Tensors on device="cuda": memory, moves and launches, on the fake driver. Real kernels: test_kernels.py."""

from __future__ import annotations

import gc
import struct
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.core.cuda_memory import LARGE, LEAST, rounded
from accelnn.core.errors import AliasError, DeviceError, OutOfMemory
from accelnn.core.remote import device_named

from .fake import Fake, apart, forked, library
from .handmade import install, scale


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@forked
def test_there_and_back() -> None:
    fake = Fake()
    a = numbers(3, 4)
    x = an.tensor(a, device="cuda")
    assert (x.device, x.shape, x.dtype) == ("cuda", (3, 4), an.float32)
    assert np.array_equal(x.cpu().numpy(), a) and x.cpu().device == "cpu" and x.tolist() == a.tolist()
    host = an.tensor(a)
    for moved in (host.to("cuda"), host.cuda(), host.to("cuda:0"), host.to(device="cuda", dtype=an.float32)):
        assert moved.device == "cuda" and np.array_equal(moved.cpu().numpy(), a) and moved.view.address != x.view.address
    assert x.to("cuda") is x and x.cuda() is x
    assert x.to("cuda:0").view is x.view, "another name of the same device"
    assert an.tensor(7, device="cuda").item() == 7 and float(an.tensor(2.5, device="cuda")) == 2.5
    with pytest.raises(DeviceError, match=r"\.cpu\(\)\.numpy\(\)"):
        x.numpy()
    assert "device='cuda'" in repr(x) and fake.calls("cuLaunchKernelEx") == 0


@pytest.mark.parametrize("dtype", list(an.DType))
def test_every_dtype(dtype: Any) -> None:
    apart(_every_dtype, int(dtype))


def _every_dtype(number: int) -> None:
    x = an.tensor([0, 1, 2, 100], an.DType(number))
    there = x.to("cuda")
    assert there.dtype == x.dtype and there.tolist() == x.tolist() and there.view.storage.nbytes == 4 * x.dtype.itemsize


@forked
def test_windows_share_memory() -> None:
    fake = Fake()
    a = numbers(4, 5, 6)
    x = an.tensor(a, device="cuda")
    before = fake.calls("cuMemAlloc")
    windows = [(x.T, a.T), (x[1:3, ::2], a[1:3, ::2]), (x[2], a[2]), (x.transpose(0, 2)[1:2], a.transpose(2, 1, 0)[1:2]), (x[:, 3:, 5:], a[:, 3:, 5:]),
               (x.reshape(20, 6)[7], a.reshape(20, 6)[7]), (x[:, :1].expand(4, 5, 6), np.broadcast_to(a[:, :1], (4, 5, 6)))]  # fmt: skip
    for window, expected in windows:
        assert window.view.storage is x.view.storage and np.array_equal(window.cpu().numpy(), expected)
    assert fake.calls("cuMemAlloc") == before and not fake.calls("cuLaunchKernelEx")
    window = windows[0][0]
    del x, windows
    assert np.array_equal(window.cpu().numpy(), a.T), "a window keeps the memory"


@forked
def test_empty_tensors() -> None:
    fake = Fake()
    x = an.zeros(0, 3, device="cuda")
    assert x.shape == (0, 3) and x.tolist() == [] and x.cpu().shape == (0, 3)
    assert an.tensor(np.zeros((2, 0), np.int64), device="cuda")[1].tolist() == []
    assert fake.calls("cuMemcpyHtoDAsync") == 1, "of the one number that zeros() expands"


@forked
def test_a_module_and_its_gradients_move() -> None:
    Fake()
    net = an.nn.Linear(3, 2)
    weight, before = net.weight, np.array(net.weight.numpy())
    net.weight.grad = an.tensor(numbers(2, 3))
    assert net.to("cuda") is net and net.weight is weight and {p.device for p in net.parameters()} == {"cuda"} and weight.grad.device == "cuda"
    assert np.array_equal(net.state_dict()["weight"], before)
    assert {p.device for p in net.cpu().parameters()} == {"cpu"} and np.array_equal(net.weight.numpy(), before) and weight.grad.device == "cpu"
    assert {p.device for p in net.cuda(1).parameters()} == {"cuda:1"}


@forked
def test_what_a_launch_hands_to_the_driver() -> None:
    fake, raised, asked = install(scratch=128, shared=3000)
    a = numbers(70)
    x = an.tensor(a, device="cuda")
    y = scale(x, 2.0)
    assert np.array_equal(y.cpu().numpy(), a * 2)
    (line,) = fake.log()
    head, _, arguments = line.partition(" args ")
    assert head == "launch scaled grid 3,1,1 block 128,1,1 shared 3000"
    *given, scratch, profile = map(int, arguments.split())
    assert given == [y.view.address, x.view.address, 70, struct.unpack("<I", struct.pack("<f", 2.0))[0]] and profile == 0
    begin, end = fake.block(scratch) or (0, 0)
    assert begin == scratch and end - begin >= 3 * 128 and scratch % 128 == 0, "128 bytes for each program"
    assert asked == [("sm_90", 4, 2, {"BLOCK": 32})]
    window = scale(an.tensor(numbers(100), device="cuda")[30:100], 3.0)
    assert np.array_equal(window.cpu().numpy(), numbers(100)[30:] * np.float32(3)), "a window's address is its first element's"
    assert raised == []


@forked
def test_a_kernel_is_compiled_once_for_what_it_depends_on() -> None:
    fake, _, asked = install()
    x = an.tensor(numbers(96), device="cuda")
    for n, compiled in ((64, 1), (96, 1), (33, 2), (95, 2), (1, 3)):
        scale(x[:n], 2.0)
        assert len(asked) == compiled, f"{n} elements: what a size divides by 16 is of interest, and whether it is 1"
    scale(x[4:68], 1.5)
    assert len(asked) == 3, "16 bytes further is aligned as well"
    scale(x[1:65], 1.5)
    assert len(asked) == 4 == fake.calls("cuModuleLoadDataEx")


@forked
def test_pieces_are_used_again() -> None:
    fake, _, _ = install()
    x = an.tensor(numbers(300), device="cuda")
    y = scale(x, 2.0)
    address, allocated = y.view.address, fake.calls("cuMemAlloc")
    z = scale(y, 3.0)
    assert z.view.address != address, "y is alive"
    window = y[100:]
    del y
    assert scale(x, 1.0).view.address != address, "a window on y is alive"
    del window
    assert scale(x, 4.0).view.address == address
    calls = fake.calls("cuMemAlloc")
    for _ in range(20):
        x = scale(x, 1.0)
    assert fake.calls("cuMemAlloc") == calls <= allocated + 2 and fake.calls("cuMemFree") == 0
    assert np.array_equal(x.cpu().numpy(), numbers(300))


def test_sizes_of_pieces() -> None:
    small, large = range(1, 70_000, 7), [LARGE + 1, LARGE * 5 + 12345, (1 << 33) + 1, 3 << 30]
    assert rounded(0) == rounded(1) == LEAST
    for n in (*small, *large):
        assert n <= rounded(n) and rounded(n) % LEAST == 0 and rounded(rounded(n)) == rounded(n)
        assert n < LEAST * 3 or rounded(n) <= n * (1.5 if n <= LARGE else 17 / 16)
    assert len({rounded(n) for n in small}) <= 16


@forked
def test_memory_that_no_tensor_holds_goes_back_when_there_is_too_little() -> None:
    fake = Fake()
    fake.set(memory=10 << 20)
    kept = an.tensor(np.zeros(1 << 18, np.float32), device="cuda")
    parts = [an.tensor(np.zeros(1 << 18, np.float32), device="cuda") for _ in range(7)]
    assert an.cuda.memory_allocated() == an.cuda.memory_reserved() == 8 << 20
    del parts
    assert (an.cuda.memory_allocated(), an.cuda.memory_reserved(), fake.calls("cuMemFree")) == (1 << 20, 8 << 20, 0)
    big = an.tensor(np.zeros(1 << 21, np.float32), device="cuda")
    assert fake.calls("cuMemFree") == 7 and fake.calls("cuCtxSynchronize") == 1, "whoever still uses the pieces is waited for"
    with pytest.raises(OutOfMemory, match=r"device 'cuda': 2,097,152 bytes asked, 1,048,576 of 10,485,760 are free; tensors of accelnn hold 9,437,184 "
                                          r"\(cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY"):  # fmt: skip
        an.tensor(np.zeros(1 << 19, np.float32), device="cuda")
    del big
    assert an.tensor(np.zeros(1 << 19, np.float32), device="cuda").numel() == 1 << 19 and kept.device == "cuda"
    an.cuda.empty_cache()
    assert an.cuda.memory_reserved() == an.cuda.memory_allocated() == 1 << 20


@forked
def test_two_devices() -> None:
    fake, _, asked = install()
    a = numbers(64)
    x, y = an.tensor(a, device="cuda"), an.tensor(a + 1, device="cuda:1")
    assert (x.device, y.device) == ("cuda", "cuda:1") and an.cuda.device_count() == 2
    assert np.array_equal(scale(x, 2.0).cpu().numpy(), a * 2) and np.array_equal(scale(y, 2.0).cpu().numpy(), (a + 1) * 2)
    assert fake.calls("cuModuleLoadDataEx") == 2 == len(asked), "a device has its own modules"
    moved = y.to("cuda")
    assert moved.device == "cuda" and np.array_equal(moved.cpu().numpy(), a + 1) and y.cuda(1) is y
    with pytest.raises(DeviceError, match=r"operands on cuda and on cuda:1|operands on cuda:1 and on cuda|move one with"):
        x + y
    with pytest.raises(DeviceError, match="device 'cuda:2': there are 2 GPUs; see: accelnn doctor"):
        x.to("cuda:2")


@forked
def test_a_lost_device_says_so_and_nothing_hangs() -> None:
    fake, _, _ = install()
    x = an.tensor(numbers(64), device="cuda")
    y = scale(x, 2.0)
    fake.lose()
    for ask in (lambda: y.cpu(), lambda: scale(x, 2.0), lambda: an.tensor(numbers(4000), device="cuda"), lambda: an.cuda.synchronize()):  # noqa: F821
        with pytest.raises(DeviceError, match="the device is lost to this process"):
            ask()
    del x, y
    gc.collect()
    assert an.tensor([1.0]).tolist() == [1.0], "the host goes on"


@forked
def test_a_kernel_that_touches_what_was_freed_is_found() -> None:
    fake, _, _ = install()
    x = an.tensor(numbers(64), device="cuda")
    fake.it.cuMemFree_v2(__import__("ctypes").c_ulonglong(x.view.address))
    scale(x, 2.0)
    with pytest.raises(DeviceError, match="CUDA_ERROR_ILLEGAL_ADDRESS"):
        an.cuda.synchronize()


@forked
def test_assign_and_read_only() -> None:
    Fake()
    x = an.tensor(numbers(8), device="cuda")
    x.view.storage.owner.__class__.writable = False
    with pytest.raises(AliasError, match="copy: an output is read-only"):
        x.assign(an.zeros(8))


@forked
def test_chips() -> None:
    from accelnn.core.cuda import target_of

    assert [target_of(a) for a in ("sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")] == ["sm_80", "sm_80", "sm_80", "sm_90", "sm_100", "sm_120"]
    for arch in ("sm_75", "sm_121", "sm_70"):
        with pytest.raises(DeviceError, match=f"no kernels for {arch}; those that there are: sm_80, sm_90"):
            target_of(arch)
    fake = Fake()
    fake.set(arch=86)
    device = device_named("cuda")
    assert (device.arch, device.units, device.shared) == ("sm_86", 132, 232448)


def _no_gpu(devices: int) -> list[str]:
    said = []
    if devices >= 0:
        Fake().set(devices=devices)
    assert not an.cuda.is_available() and an.cuda.device_count() == 0
    for ask in (lambda: an.zeros(2, device="cuda"), lambda: an.tensor([1.0]).cuda(), lambda: an.nn.Linear(2, 2).to("cuda"), lambda: an.cuda.memory_reserved()):
        with pytest.raises(DeviceError) as raised:
            ask()
        said.append(str(raised.value))
    return said


def test_where_no_gpu_is() -> None:
    for said in apart(_no_gpu, 0):
        assert said == "device 'cuda:0': cuda: the driver is there, but no device; see: accelnn doctor"
    for said in apart(_no_gpu, -1, env={"ACCELNN_LIBCUDA": "/nowhere/libcuda.so.1"}):
        assert said.startswith("device 'cuda:0': cuda: ACCELNN_LIBCUDA=/nowhere/libcuda.so.1 cannot be opened: ") and said.endswith("; see: accelnn doctor")


def test_names_of_devices() -> None:
    for name in ("cuda:", "cuda:-1", "cuda:x", "tpu"):
        with pytest.raises((DeviceError, TypeError), match="device|dtype"):
            apart_free = an.zeros(2, device=name)
            del apart_free


def test_nothing_of_it_is_imported_before_it_is_asked_for() -> None:
    import subprocess
    import sys

    code = ("import sys, accelnn as an; an.tensor([1.0]); assert not [m for m in sys.modules if m.split('.')[0] in ('torch', 'triton', 'cupy') "
            "or m in ('accelnn.cuda', 'accelnn.core.cuda', 'accelnn.core.exchange')]; x = an.tensor([1.0, 2.0], device='cuda'); print(x.tolist()); "
            "assert not [m for m in sys.modules if m.split('.')[0] in ('torch', 'triton', 'cupy')]")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**__import__("os").environ, "ACCELNN_LIBCUDA": library()})
    assert (done.returncode, done.stdout) == (0, "[1.0, 2.0]\n"), done.stderr
