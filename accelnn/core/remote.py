"""Memory of a device, and windows on it: what a Tensor that is not on the CPU holds as its `view`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from .dims import product
from .dtypes import DType
from .errors import DeviceError

Sizes = tuple[int, ...]


class Launch(NamedTuple):
    """One launch of a @triton.jit function. args: its run-time arguments in order: Remotes, ints, floats, None."""

    kernel: Any
    grid: Sizes
    args: Sequence[Any]
    constants: dict[str, Any]
    warps: int
    stages: int


class Copy(NamedTuple):
    """Bytes from one place of a device to another: addresses. owner: of the memory that is not the Plan's own."""

    to: int
    source: int
    nbytes: int
    owner: Any


class Recorded(Protocol):
    """Launches that are done again and again, with nothing left to find out."""

    def run(self, before: Sequence[Copy], after: Sequence[Copy]) -> None:
        """Copies, the launches, copies, in this order."""


class Device(Protocol):
    """A chip, real or emulated. The first three are what a row may ask (kernels/launch.py)."""

    arch: str  # "sm_90"; "emulated sm_90" is told by `name`
    units: int
    shared: int
    name: str  # "cuda", "cuda:1", "emu": what people type

    def allocate(self, nbytes: int) -> Any:
        """An owner of memory; freed with it."""

    def address(self, owner: Any) -> int: ...

    def upload(self, storage: Storage, data: np.ndarray) -> None:
        """Bytes of the host into memory of the device, from its start."""

    def download(self, storage: Storage, offset: int, nbytes: int) -> np.ndarray:
        """A copy of bytes, once what was launched before has been done: uint8[nbytes]."""

    def launch(self, kernel: Any, grid: Sizes, args: Sequence[Any], constants: dict[str, Any], warps: int, stages: int) -> None: ...

    def record(self, launches: Sequence[Launch]) -> Recorded:
        """Compiles and loads what the launches need. Whoever holds the result holds their memory."""

    def synchronize(self) -> None: ...


class Storage:
    """A piece of a device's memory, and how often it has been written in place."""

    __slots__ = ("__weakref__", "address", "device", "nbytes", "owner", "version")

    def __init__(self, device: Device, nbytes: int, owner: Any = None) -> None:
        self.device, self.nbytes, self.version = device, nbytes, 0
        self.owner = device.allocate(nbytes) if owner is None else owner
        self.address = device.address(self.owner)

    @classmethod
    def within(cls, device: Device, nbytes: int, address: int, owner: Any) -> Storage:
        """A part of memory that somebody owns."""
        made = cls.__new__(cls)
        made.device, made.nbytes, made.version, made.owner, made.address = device, nbytes, 0, owner, address
        return made


class Remote:
    """A window on a device's memory, as _C.View is one on the host's. `offset` and `stride` count elements."""

    __slots__ = ("dtype", "offset", "shape", "storage", "stride")

    def __init__(self, storage: Storage, shape: Sizes, stride: Sizes, dtype: DType, offset: int = 0) -> None:
        self.storage, self.shape, self.stride, self.dtype, self.offset = storage, tuple(shape), tuple(stride), DType(dtype), offset

    @classmethod
    def empty(cls, device: Device, shape: Sequence[Any], dtype: Any) -> Remote:
        """Memory in which anything may stand."""
        dtype = DType(dtype)
        return cls(Storage(device, product(tuple(shape)) * dtype.itemsize), tuple(shape), row_major(tuple(shape)), dtype)

    @classmethod
    def of(cls, device: Device, array: np.ndarray, dtype: DType) -> Remote:
        """A copy of an array of the host; bfloat16 comes as uint16."""
        made = cls.empty(device, array.shape, dtype)
        if array.size:
            device.upload(made.storage, np.ascontiguousarray(array).reshape(-1).view(np.uint8))
        return made

    @property
    def device(self) -> Device:
        return self.storage.device

    @property
    def version(self) -> int:
        return self.storage.version

    def bump(self) -> None:
        self.storage.version += 1

    @property
    def writable(self) -> bool:
        return getattr(self.storage.owner, "writable", True)

    @property
    def address(self) -> int:
        return self.storage.address + self.offset * self.dtype.itemsize

    @property
    def contiguous(self) -> bool:
        return is_row_major(self.shape, self.stride)

    def strided(self, shape: Sequence[Any], stride: Sequence[Any], offset: Any = 0) -> Remote:
        return Remote(self.storage, tuple(shape), tuple(stride), self.dtype, self.offset + offset)

    def numpy(self) -> np.ndarray:
        """A copy on the host, of the dtype in which it is stored (bfloat16: uint16)."""
        storage = np.dtype(self.dtype.storage)
        if not product(self.shape):
            return np.empty(self.shape, storage)
        size = storage.itemsize
        last = sum((s - 1) * d for s, d in zip(self.shape, self.stride))
        raw = self.device.download(self.storage, self.offset * size, (last + 1) * size).view(storage)
        return np.array(np.lib.stride_tricks.as_strided(raw, self.shape, [d * size for d in self.stride]))


def row_major(shape: Sizes) -> Sizes:
    stride, step = [], 1
    for s in reversed(shape):
        stride.append(step)
        step *= max(s, 1)
    return tuple(reversed(stride))


def is_row_major(shape: Sizes, stride: Sizes) -> bool:
    if 0 in shape:
        return True
    step = 1
    for s, d in zip(reversed(shape), reversed(stride)):
        if s != 1 and d != step:
            return False
        step *= s
    return True


_devices: dict[str, Device] = {}


def device_named(name: str) -> Device:
    """The device that people call so, found and opened when it is asked for the first time. DeviceError where there is none."""
    name = "cuda" if name == "cuda:0" else name
    found = _devices.get(name)
    if found is None:
        kind, _, number = name.partition(":")
        if kind == "emu" and not number:
            from .standin import StandIn

            found = StandIn()
        elif kind == "cuda" and (number.isdigit() or not number):
            from .cuda import open_cuda

            found = open_cuda(int(number or 0))
        else:
            raise DeviceError(f"device {name!r}: 'cpu', 'cuda', 'cuda:N' or 'emu' expected")
        found = _devices.setdefault(name, found)
    return found
