"""Memory shared with others without a copy: DLPack (torch, numpy, CuPy, jax), of the host and of GPUs, and __cuda_array_interface__ (CuPy, numba)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _C
from .cuda import Cuda
from .cuda_memory import NOBODYS, Borrowed, order
from .cuda_streams import chosen, plain
from .dims import product
from .dtypes import DType, as_dtype
from .errors import AttributeValueError, DeviceError, DTypeError, ShapeError
from .remote import Remote, Storage, device_named, row_major
from .tensor import Tensor

CPU, CUDA, CUDA_HOST, CUDA_MANAGED = 1, 2, 3, 13  # DLPack's numbers
UNKNOWN = -1, 2  # DLPack's streams: the receiver sees to the order himself; each thread's own default stream


def dlpack_device(view: Any) -> tuple[int, int]:
    """DLPack's (type, number) of where a tensor's memory is."""
    if not isinstance(view, Remote):
        return CPU, 0
    if not isinstance(view.device, Cuda):
        raise DeviceError(f"DLPack knows no device {view.device.name!r}: write .cpu()")
    return CUDA, view.device.number


def dlpack(x: Tensor, stream: Any, max_version: Any, dl_device: Any, copy: bool | None) -> Any:
    """The capsule of Tensor.__dlpack__."""
    here = dlpack_device(x.view)
    wanted = here if dl_device is None else (int(dl_device[0]), int(dl_device[1]))
    versioned = max_version is not None and max_version[0] >= 1
    if wanted != here:
        if wanted != (CPU, 0) or copy is False:
            raise DeviceError(f"DLPack: this tensor is on {x.device}; it can be asked for there{'' if copy is False else ' or on the CPU'}, not on {wanted}")
        return x.to("cpu").view.dlpack(versioned, True)
    view = x.clone().view if copy else x.view
    if here[0] == CPU:
        return view.dlpack(versioned, bool(copy))
    if not view.writable and not versioned:
        raise DeviceError("DLPack: the memory is read-only, which a receiver that knows no version 1 cannot be told; write .clone()")
    _lend(view, stream)
    return _C.dlpack(here, _address(view), view.shape, view.stride, view.dtype, view.storage, versioned, not view.writable)


def _address(view: Remote) -> int:
    return view.address if product(view.shape) else 0


def _lend(view: Remote, stream: Any) -> None:
    """What was launched before is done before what the receiver launches next in his stream; the memory is not used again before that is done too."""
    if stream is not None and (type(stream) is not int or stream == 0 or stream < -1):
        raise AttributeValueError(f"DLPack: stream {stream!r} for memory of a GPU: expected None, -1, 1 (the default stream), 2 or a handle")
    device, owner = view.device, view.storage.owner
    assert isinstance(device, Cuda)
    handle = 0 if stream is None else plain(stream)
    if handle != -1:
        device.await_all(owner, handle)
    if handle in UNKNOWN:
        owner.outside = True
    elif handle != owner.home:
        owner.others.add(handle)


def from_dlpack(source: Any) -> Tensor:
    """See tensor.from_dlpack."""
    kind, number = (int(n) for n in source.__dlpack_device__()) if hasattr(source, "__dlpack_device__") else (CPU, 0)
    if kind in (CPU, CUDA_HOST):
        return Tensor(_C.View.from_dlpack(_ask(source, {})))
    if kind not in (CUDA, CUDA_MANAGED):
        raise DeviceError(f"from_dlpack: {type(source).__name__} is on device {kind} of DLPack's: expected the CPU or a CUDA device")
    device = device_named(f"cuda:{number}")
    assert isinstance(device, Cuda)
    stream = device.stream()
    # Torch gives the memory to its next tensor as soon as this one is gone; in the stream in which both work that is in order.
    shared = type(source).__module__.partition(".")[0] == "torch" and device.number not in chosen.streams
    _, address, shape, stride, dtype, owner, read_only = _C.from_dlpack(_ask(source, {"stream": stream or 1}))
    return borrowed(device, address, shape, stride, DType(dtype), owner, stream if shared else NOBODYS, not read_only)


def _ask(source: Any, named: dict[str, Any]) -> Any:
    """The capsule; of version 1 where the object knows that there are versions."""
    try:
        return source.__dlpack__(**named, max_version=(1, 0))
    except TypeError as error:
        if "max_version" not in str(error):
            raise
        return source.__dlpack__(**named)


def borrowed(device: Cuda, address: int, shape: tuple[int, ...], stride: tuple[int, ...], dtype: DType, owner: Any, home: int, writable: bool) -> Tensor:
    """A Tensor on memory of somebody else, who has seen to it that the current stream may use it."""
    nbytes = (1 + sum((s - 1) * d for s, d in zip(shape, stride))) * dtype.itemsize if product(shape) else 0
    storage = Storage(device, nbytes, Borrowed(device.number, address, home, owner, writable))
    return Tensor(Remote(storage, shape, stride, dtype))  # type: ignore[arg-type]


def interface(x: Tensor) -> dict[str, Any]:
    """Tensor.__cuda_array_interface__, version 3. Its reader says nothing of his streams: the device is waited for before the memory is used again."""
    view: Any = x.view
    if not isinstance(view, Remote) or not isinstance(view.device, Cuda):
        raise AttributeError(f"a tensor on {x.device} has no __cuda_array_interface__")
    if view.dtype == DType.bfloat16:
        raise AttributeError("__cuda_array_interface__ has no name for bfloat16: use DLPack, or .to(accelnn.float32)")
    stream, owner = view.device.stream(), view.storage.owner
    view.device.await_all(owner, stream)
    owner.outside = True
    strides = None if view.contiguous else tuple(d * view.dtype.itemsize for d in view.stride)
    return {"version": 3, "shape": view.shape, "strides": strides, "typestr": np.dtype(view.dtype.storage).str, "data": (_address(view), not view.writable),
            "stream": stream or 1}  # fmt: skip


def from_interface(source: Any) -> Tensor:
    """A Tensor that shares the memory of an object with __cuda_array_interface__."""
    said, name = source.__cuda_array_interface__, type(source).__name__
    dtype, shape = as_dtype(np.dtype(said["typestr"])), tuple(int(s) for s in said["shape"])
    if said.get("mask") is not None:
        raise DTypeError(f"{name} has a mask: expected an array whose elements are all there")
    stride = row_major(shape)
    if said.get("strides") is not None:
        if any(s > 1 and (d < 0 or d % dtype.itemsize) for s, d in zip(shape, said["strides"])):
            raise ShapeError(f"{name} has strides {tuple(said['strides'])} of {dtype.itemsize} bytes an element: expected whole elements, none negative")
        stride = tuple(int(d) // dtype.itemsize for d in said["strides"])
    address, read_only = said["data"]
    device = device_named(f"cuda:{_C.cuda.owner_of(address) if address else 0}")
    assert isinstance(device, Cuda)
    theirs, ours = said.get("stream"), device.stream()
    if theirs is not None and plain(theirs) != ours:
        order(device.number, plain(theirs), ours)
    return borrowed(device, address, shape, stride, dtype, source, NOBODYS, not read_only)


def is_on_gpu(data: Any) -> bool:
    """Whether an object of somebody else's is memory of a GPU."""
    return hasattr(data, "__cuda_array_interface__") or (hasattr(data, "__dlpack_device__") and data.__dlpack_device__()[0] in (CUDA, CUDA_MANAGED))


def shared(data: Any) -> Tensor:
    """A Tensor on the GPU memory of such an object."""
    return from_dlpack(data) if hasattr(data, "__dlpack_device__") else from_interface(data)
