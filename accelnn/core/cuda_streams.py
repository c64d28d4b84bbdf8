"""The stream of a GPU into which this thread's work goes. Streams are the driver's handles, plain numbers; 0 is the default stream."""

from __future__ import annotations

import sys
import threading
from typing import Any

from .errors import AttributeValueError


class _Chosen(threading.local):
    def __init__(self) -> None:
        self.streams: dict[int, int] = {}  # device -> handle


chosen = _Chosen()


def current_stream(device: int) -> int:
    """The one of accelnn.cuda.stream(...) in this thread; else torch's current one, where torch has begun to use CUDA; else the default stream."""
    found = chosen.streams.get(device)
    if found is not None:
        return found
    torch = sys.modules.get("torch")
    if torch is None:
        return 0
    cuda = getattr(torch, "cuda", None)  # None while torch is being imported
    if cuda is None or not cuda.is_initialized():
        return 0
    # What Triton's own launcher asks: a number, where current_stream() makes an object.
    raw = getattr(getattr(torch, "_C", None), "_cuda_getCurrentRawStream", None)
    return plain(raw(device) if raw is not None else cuda.current_stream(device).cuda_stream)


def plain(handle: int) -> int:
    """The driver has two names for the default stream, 0 and 1."""
    return 0 if handle == 1 else int(handle)


def handle_of(stream: Any) -> int:
    """The handle of a stream of ours, of torch, CuPy, numba or cuda.core, or a handle itself."""
    if isinstance(stream, int):
        handle: Any = stream
    elif hasattr(stream, "__cuda_stream__"):
        said = stream.__cuda_stream__
        handle = (said() if callable(said) else said)[1]
    else:
        handle = next((getattr(stream, n) for n in ("handle", "cuda_stream", "ptr") if hasattr(stream, n)), None)
    handle = getattr(handle, "value", handle)  # numba's is a ctypes pointer
    if not isinstance(handle, int) or handle < 0:
        raise AttributeValueError(f"{type(stream).__name__} {str(stream)[:60]!r} is no stream: expected the handle, or a stream of accelnn, torch or CuPy")
    if handle == 2:
        raise AttributeValueError("stream 2 is another one in each thread, so that memory cannot be kept by it: expected a stream of its own, or 0")
    return plain(handle)
