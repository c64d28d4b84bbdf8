"""GPUs by the names that torch's users know: streams, memory, what there is. Work itself goes to a GPU with `device="cuda"`.

    with accelnn.cuda.stream(s):        # a Stream, a stream of torch or CuPy, or a handle
        y = net(x)

Outside of such a block work goes into torch's current stream, where torch has begun to use CUDA, else into the default stream."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from . import _C
from .core.cuda import Cuda
from .core.cuda_memory import order
from .core.cuda_streams import chosen, handle_of
from .core.errors import DeviceError
from .core.remote import device_named


def _opened(device: int) -> Cuda:
    found = device_named(f"cuda:{device}")
    assert isinstance(found, Cuda)
    return found


def is_available() -> bool:
    return device_count() > 0


def device_count() -> int:
    """GPUs that the driver shows; 0 where there is none (`accelnn doctor` says why)."""
    return _C.cuda.available()[0]


class Stream:
    """A queue of work of one GPU: of its own, or somebody else's (`of`: his object or handle), who keeps it alive as long as tensors made in it."""

    def __init__(self, device: int = 0, of: Any = None) -> None:
        self.device = device
        self._own = _C.cuda.Stream(device) if of is None else of
        self.handle: int = handle_of(self._own)

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.handle

    def synchronize(self) -> None:
        """Returns when everything in it has been done."""
        _C.cuda.synchronize(self.handle, self.device)

    def wait(self, other: Any) -> None:
        """What comes next in this stream begins when what is in the other one now has been done."""
        order(self.device, handle_of(other), self.handle)

    def __repr__(self) -> str:
        return f"Stream({self.handle:#x} of cuda:{self.device})"


@contextlib.contextmanager
def stream(of: Any, device: int | None = None) -> Iterator[Stream]:
    """Inside, this thread's work on that GPU goes into the stream. The order between streams is the caller's to make (Stream.wait), but for memory: it is
    not used again before every stream is done with it. device: of a handle; objects know theirs."""
    handle_of(of)  # None is no stream here
    entered = of if isinstance(of, Stream) else Stream(_device_of(of) if device is None else device, of)
    if device is not None and device != entered.device:
        raise DeviceError(f"{entered} in accelnn.cuda.stream(..., device={device})")
    _opened(entered.device).entered.setdefault(entered.handle, entered)
    before = chosen.streams.get(entered.device)
    chosen.streams[entered.device] = entered.handle
    try:
        yield entered
    finally:
        if before is None:
            del chosen.streams[entered.device]
        else:
            chosen.streams[entered.device] = before


def _device_of(stream: Any) -> int:
    """torch: stream.device.index; CuPy: stream.device_id (-1: whichever was current)."""
    said = getattr(getattr(stream, "device", None), "index", getattr(stream, "device_id", 0))
    return said if isinstance(said, int) and said > 0 else 0


def current_stream(device: int = 0) -> Stream:
    """The one that this thread's work goes into."""
    handle = _opened(device).stream()
    return Stream(device, _opened(device).entered.get(handle, handle))


def synchronize(device: int = 0) -> None:
    """Returns when everything on the GPU has been done."""
    _C.cuda.synchronize(device=device)


def empty_cache(device: int = 0) -> None:
    """Gives memory that no tensor holds back to the driver, for torch and CuPy to take."""
    _opened(device).pool.release()


def memory_allocated(device: int = 0) -> int:
    """Bytes in the hands of tensors."""
    return _opened(device).pool.held


def memory_reserved(device: int = 0) -> int:
    """Bytes that the driver has given."""
    return _opened(device).pool.reserved


__all__ = ["Stream", "current_stream", "device_count", "empty_cache", "is_available", "memory_allocated", "memory_reserved", "stream", "synchronize"]
