"""Every call of every entry point fails once, in a use of the whole launcher: the error names the entry point and carries the driver's words, and nothing
that was made stays behind."""

from __future__ import annotations

import gc
import re
import sys
from functools import cache
from pathlib import Path

import pytest

from accelnn.core.errors import DeviceError

from .cubin import IMAGE
from .fake import Fake, apart, cuda

HEADER = (Path(__file__).resolve().parents[2] / "csrc/runtime/cuda/abi.h").read_text()
ENTRIES = re.findall(r'F\((cu\w+), "cu', HEADER)
# What gives things back: where it fails, they stay. The context may be what a giving back lacked.
GIVES_BACK = ("cuMemFree", "cuModuleUnload", "cuStreamDestroy", "cuEventDestroy", "cuGraphExecDestroy", "cuGraphDestroy", "cuCtxGetCurrent", "cuCtxSetCurrent")


def use_everything() -> None:
    if not cuda.available()[0]:
        raise DeviceError(cuda.available()[1])
    cuda.device_info(1)
    made: list[tuple[int, int]] = []
    try:
        for device in (0, 1):
            made.append((cuda.alloc(256, device), device))
        a = made[0][0]
        cuda.memory_info()
        cuda.owner_of(a)
        cuda.upload(a, bytes(64))
        cuda.copy(a + 64, a, 64)
        cuda.fill(a, 1, 4)
        cuda.fill(a, 1, 4, width=4)
        cuda.download(bytearray(64), a)
        m = cuda.Module(IMAGE)
        scale, mapped = cuda.Function(m, "scale", "Pidf", cluster=(16, 1, 1)), cuda.Function(m, "mapped")
        cuda.launch(scale, 16, 128, 100000, (a, 5, 1.0, 2.0))
        cuda.launch(mapped, 1, 128, 0, cuda.tensor_map("f32", a, (4, 4), (4, 1), (4, 4)) + bytes(9))
    finally:
        failure: Exception | None = None
        for address, device in made:
            try:
                cuda.free(address, device)
            except DeviceError as error:
                failure = error
        if failure:
            raise failure
    s, first, last = cuda.Stream(), cuda.Event(), cuda.Event()
    first.record(s.handle)
    last.record(s.handle)
    last.hold(s.handle)
    last.synchronize()
    cuda.synchronize(s.handle)
    cuda.synchronize()
    last.since(first)
    assert last.happened and cuda.idle(s.handle)
    cuda.begin_capture(s.handle)
    assert cuda.is_capturing(s.handle)
    cuda.launch(scale, 16, 128, 0, (0, 5, 1.0, 2.0), s.handle)
    graph = cuda.end_capture(s.handle)
    graph.launch(s.handle)


def counted() -> dict[str, int]:
    fake = Fake()
    use_everything()
    gc.collect()
    assert fake.live() == 0
    return {entry: fake.calls(entry) for entry in ENTRIES}


@cache
def calls() -> dict[str, int]:
    return dict(apart(counted))


def failing(entry: str, nth: int, code: int) -> list[str]:
    fake, said = Fake(), []
    sys.unraisablehook = lambda it: said.append(str(it.exc_value))
    fake.fail(entry, nth, code)
    try:
        use_everything()
    except DeviceError as error:
        said.append(str(error))
    gc.collect()
    assert entry in GIVES_BACK or fake.live() == 0, f"{entry}, call {nth}: {fake.live()} left"
    return said


def lost(entry: str, nth: int) -> list[str]:
    """From the nth call of the entry point on, everything fails: no crash, and the first error says why."""
    fake, said = Fake(), []
    sys.unraisablehook = lambda it: said.append(str(it.exc_value))
    fake.fail(entry, nth, 719)
    try:
        use_everything()
    except DeviceError as error:
        said.append(str(error))
    fake.lose(719)
    gc.collect()
    for ask in (lambda: cuda.alloc(4), cuda.synchronize, cuda.Stream, cuda.memory_info, lambda: cuda.Function(cuda.Module(IMAGE), "scale")):
        with pytest.raises(DeviceError, match=r"CUDA_ERROR_LAUNCH_FAILED \(719, .*; the device is lost to this process$"):
            ask()
    return said


@pytest.mark.parametrize("entry", [e for e in ENTRIES if not e.startswith("cuGetError")])
def test_every_call_fails_once(entry: str) -> None:
    n = calls()[entry]
    assert n > 0, f"no call of {entry}: use_everything() leaves it out"
    for nth in range(1, n + 1):
        said = apart(failing, entry, nth, 999)
        assert said and all(f"{entry}: CUDA_ERROR_UNKNOWN (999, the fake's words): " in s for s in said), f"call {nth}: {said}"


@pytest.mark.parametrize("entry", ["cuCtxSynchronize", "cuLaunchKernelEx", "cuStreamSynchronize", "cuGraphLaunch", "cuMemcpyDtoHAsync", "cuStreamEndCapture"])
def test_a_lost_device(entry: str) -> None:
    for nth in range(1, calls()[entry] + 1):
        said = apart(lost, entry, nth)
        assert said and said[0].startswith(f"{entry}: CUDA_ERROR_LAUNCH_FAILED (719, the fake's words): ") and "the device is lost" in said[0]


def no_words() -> list[str]:
    fake, said = Fake(), []
    for entry in ("cuGetErrorName", "cuGetErrorString"):
        cuda.memory_info()
        fake.fail("cuMemGetInfo")
        fake.fail(entry)
        with pytest.raises(DeviceError) as raised:
            cuda.memory_info()
        said.append(str(raised.value))
    return said


def test_a_driver_that_cannot_name_its_error() -> None:
    assert apart(no_words) == ["cuMemGetInfo: an unknown error (999, the fake's words): device 0",
                               "cuMemGetInfo: CUDA_ERROR_UNKNOWN (999, no description): device 0"]  # fmt: skip
