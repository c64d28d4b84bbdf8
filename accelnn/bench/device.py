"""Where the work runs, and how its time is taken: by this process's clock, or by events on a GPU's stream."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..core.errors import AttributeValueError, DeviceError
from ..core.registry import KERNELS

Calls = Sequence[Callable[[], Any]]


class CpuClock:
    """A call has ended when it returns."""

    name = "cpu"

    def seconds(self, calls: Calls) -> float:
        """Time of all calls, one after the other."""
        begin = time.perf_counter()
        for call in calls:
            call()
        return time.perf_counter() - begin

    def finish(self) -> None:
        pass


class CudaClock:
    """A call has ended when an event behind it on the default stream has. Only libcuda, through ctypes."""

    name = "cuda"

    def __init__(self) -> None:
        self.cuda, self.gpu = find_gpu()
        self.context, self.begin, self.end = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
        self._do("cuDevicePrimaryCtxRetain", ctypes.byref(self.context), 0)
        self._do("cuCtxSetCurrent", self.context)
        for event in (self.begin, self.end):
            self._do("cuEventCreate", ctypes.byref(event), 0)

    def _do(self, name: str, *arguments: Any) -> None:
        if code := getattr(self.cuda, name)(*arguments):
            raise DeviceError(f"{name} failed with code {code}")

    def seconds(self, calls: Calls) -> float:
        self._do("cuEventRecord", self.begin, None)
        for call in calls:
            call()
        self._do("cuEventRecord", self.end, None)
        self._do("cuEventSynchronize", self.end)
        ms = ctypes.c_float()
        self._do("cuEventElapsedTime", ctypes.byref(ms), self.begin, self.end)
        return ms.value / 1e3

    def finish(self) -> None:
        self._do("cuCtxSynchronize")


def find_gpu() -> tuple[Any, str]:
    """libcuda and the name of its first GPU, or DeviceError with the reason why there is none."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise DeviceError("no GPU: libcuda.so.1 is not there, so there is no NVIDIA GPU or no driver") from None
    count, name = ctypes.c_int(), ctypes.create_string_buffer(100)
    if code := cuda.cuInit(0):
        raise DeviceError(f"no GPU: libcuda.so.1 is there, but cuInit failed with code {code}")
    if cuda.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        raise DeviceError("no GPU: the driver is there, but it knows no device")
    cuda.cuDeviceGetName(name, 100, 0)
    return cuda, name.value.decode()


def clock(device: str) -> CpuClock | CudaClock:
    """The device's clock, or DeviceError where there is no such device or nothing that runs on it."""
    if device == "cpu":
        return CpuClock()
    if device != "cuda":
        raise AttributeValueError(f"device '{device}': cpu or cuda expected")
    _, gpu = find_gpu()
    if not any(row["device"] == "cuda" for op in KERNELS.values() for row in op["rows"]):
        raise DeviceError(f"there is a GPU ({gpu}), but this version of accelnn has no CUDA rows to measure")
    return CudaClock()
