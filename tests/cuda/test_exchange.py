"""DLPack and __cuda_array_interface__, both ways, with makers and receivers made by hand: torch and CuPy of a machine with a GPU do the same."""

from __future__ import annotations

import ctypes
import gc
import types
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn import _C
from accelnn.core.errors import AliasError, AttributeValueError, DeviceError, DTypeError, Error, ShapeError

from .fake import apart, cuda, forked
from .handmade import install, scale


class DLTensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("kind", ctypes.c_int32), ("number", ctypes.c_int32), ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8),
              ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16), ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
              ("byte_offset", ctypes.c_uint64)]  # fmt: skip


class Managed(ctypes.Structure):
    _fields_ = [("tensor", DLTensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


class Versioned(ctypes.Structure):
    _fields_ = [("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p), ("flags", ctypes.c_uint64),
              ("tensor", DLTensor)]  # fmt: skip


DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
api = ctypes.pythonapi
api.PyCapsule_New.restype, api.PyCapsule_New.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
api.PyCapsule_GetPointer.restype, api.PyCapsule_GetPointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
api.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]
api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]


class Maker:
    """Somebody else's tensor: float32[rows, columns] of a GPU's memory, with rows `pitch` apart."""

    def __init__(self, data: np.ndarray, device: int = 0, versions: bool = True, pitch: int | None = None, kind: int = 2, flags: int = 0, code: int = 2,
                 major: int = 1) -> None:  # fmt: skip
        rows, columns = data.shape
        self.pitch = pitch or columns
        padded = np.zeros((rows, self.pitch), np.float32)
        padded[:, :columns] = data
        self.address = cuda.alloc(padded.nbytes + 8, device)
        cuda.upload(self.address + 8, padded, device=device)
        self.device, self.versions, self.kind, self.flags, self.code, self.major = device, versions, kind, flags, code, major
        self.shape, self.stride = (ctypes.c_int64 * 2)(rows, columns), (ctypes.c_int64 * 2)(self.pitch, 1)
        self.asked: list[Any] = []
        self.deleted = 0
        self.deleter = DELETER(self.delete)

    def delete(self, _: Any) -> None:
        self.deleted += 1

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.kind, self.device

    def __dlpack__(self, **named: Any) -> Any:
        if "max_version" in named and not self.versions:
            raise TypeError("__dlpack__() got an unexpected keyword argument 'max_version'")
        self.asked.append(named)
        tensor = DLTensor(self.address, self.kind, self.device, 2, self.code, 32, 1, self.shape, self.stride, 8)
        deleter = ctypes.cast(self.deleter, ctypes.c_void_p).value
        self.managed: Any = Versioned(self.major, 0, None, deleter, self.flags, tensor) if self.versions else Managed(tensor, None, deleter)
        return api.PyCapsule_New(ctypes.addressof(self.managed), b"dltensor_versioned" if self.versions else b"dltensor", None)


@pytest.mark.parametrize("versions", [True, False])
def test_memory_of_others_is_shared(versions: bool) -> None:
    apart(_shared, versions)


def _shared(versions: bool) -> None:
    fake, _, _ = install()
    a = np.arange(12, dtype=np.float32).reshape(3, 4)
    maker = Maker(a, versions=versions, pitch=8)
    x = an.from_dlpack(maker)
    assert (x.device, x.shape, x.dtype, x.view.stride, x.view.address) == ("cuda", (3, 4), an.float32, (8, 1), maker.address + 8)
    assert np.array_equal(x.cpu().numpy(), a) and maker.asked == [{"stream": 1, "max_version": (1, 0)} if versions else {"stream": 1}]
    cuda.upload(maker.address + 8, np.full(4, 9, np.float32))
    assert x[0].tolist() == [9.0] * 4 and np.array_equal(scale(x[1], 2.0).cpu().numpy(), a[1] * 2)
    row = x[2]
    del x
    gc.collect()
    assert maker.deleted == 0 and row.tolist() == a[2].tolist()
    before = fake.calls("cuMemFree")
    del row
    gc.collect()
    assert maker.deleted == 1 and fake.calls("cuMemFree") == before, "it is its maker's to free"
    assert an.asarray(maker).device == "cuda"
    packed = Maker(a, versions=versions)
    assert an.tensor(packed, device="cuda").view.address != packed.address + 8
    assert an.tensor(maker, device="cuda:1").device == "cuda:1"
    assert an.tensor(maker).device == "cpu" and an.tensor(maker).tolist()[1] == a[1].tolist()


@forked
def test_the_second_gpu() -> None:
    install()
    x = an.from_dlpack(Maker(np.ones((2, 2)), device=1))
    assert x.device == "cuda:1" and x.tolist() == [[1, 1], [1, 1]]


@forked
def test_the_maker_is_told_our_stream_and_waits_with_deleting() -> None:
    fake, raised, _ = install()
    fake.set(lazy=1)
    s = an.cuda.Stream()
    maker = Maker(np.ones((1, 64)))
    with an.cuda.stream(s):
        x = an.from_dlpack(maker)
        assert maker.asked == [{"stream": s.handle, "max_version": (1, 0)}]
        y = scale(x.reshape(64), 2.0)
    assert fake.log() == []
    del x
    gc.collect()
    assert maker.deleted == 1 and len(fake.log()) == 1, "the kernel that reads the memory has run before its maker may use it again"
    assert y.tolist() == [2.0] * 64 and raised == []


@forked
def test_what_is_refused_stays_its_makers() -> None:
    install()
    for named, error, words in (({"code": 5}, DTypeError, "dtype not supported"), ({"major": 2}, Error, "a capsule of DLPack 2.0: 1 expected"),
                                ({"kind": 10}, DeviceError, "device 10 of DLPack's: expected the CPU or a CUDA device")):  # fmt: skip
        maker = Maker(np.ones((2, 2)), **named)
        with pytest.raises(error, match=words):
            an.from_dlpack(maker)
        assert maker.deleted == 0
    capsule = Maker(np.ones((2, 2))).__dlpack__()
    with pytest.raises(Error, match="the tensor is not in CPU memory"):
        _C.View.from_dlpack(capsule)
    with pytest.raises(Error, match="the tensor is in CPU memory"):
        _C.from_dlpack(an.ones(2).__dlpack__())
    used = an.ones(2).__dlpack__()
    _C.View.from_dlpack(used)
    with pytest.raises(Error, match="not a fresh DLPack capsule"):
        _C.View.from_dlpack(used)
    with pytest.raises(DTypeError, match="int has no __dlpack__"):
        an.from_dlpack(3)


@forked
def test_read_only_memory() -> None:
    install()
    maker = Maker(np.ones((2, 2)), flags=1)
    x = an.from_dlpack(maker)
    with pytest.raises(AliasError, match="copy: an output is read-only"):
        x.assign(an.zeros(2, 2))
    assert x.tolist() == [[1, 1], [1, 1]]
    with pytest.raises(DeviceError, match="the memory is read-only, which a receiver that knows no version 1 cannot be told"):
        x.__dlpack__()
    assert read(x.__dlpack__(max_version=(1, 1)))[1].flags == 1


def test_read_only_memory_of_the_host() -> None:
    a = np.ones(3, np.float32)
    a.flags.writeable = False
    x = an.from_dlpack(a)
    with pytest.raises(AliasError, match="copy: an output is read-only"):
        x.assign(an.zeros(3))
    with pytest.raises(AliasError, match="DLPack: the memory is read-only"):
        x.__dlpack__()
    back = np.from_dlpack(x)
    assert not back.flags.writeable and back.tolist() == [1, 1, 1]
    flags = {copy: read(x.__dlpack__(max_version=(1, 0), copy=copy))[1].flags for copy in (None, False, True)}
    assert flags == {None: 1, False: 1, True: 2}


def read(capsule: Any) -> tuple[Any, Any]:
    """As a receiver takes a capsule: its tensor and the whole."""
    name = api.PyCapsule_GetName(capsule)
    whole = (Versioned if name == b"dltensor_versioned" else Managed).from_address(api.PyCapsule_GetPointer(capsule, name))
    api.PyCapsule_SetName(capsule, b"used_" + name)
    return whole.tensor, whole


def give_back(whole: Any) -> None:
    DELETER(whole.deleter)(ctypes.addressof(whole))


@pytest.mark.parametrize("version", [None, (0, 8), (1, 1)])
def test_ours_is_shared(version: Any) -> None:
    apart(_ours, version)


def _ours(version: Any) -> None:
    fake, _, _ = install()
    a = np.arange(12, dtype=np.float32).reshape(3, 4)
    x = an.tensor(a, device="cuda")
    assert x.__dlpack_device__() == (2, 0) and an.tensor([0.0], device="cuda:1").__dlpack_device__() == (2, 1) and an.ones(1).__dlpack_device__() == (1, 0)
    tensor, whole = read(x[1:, ::2].__dlpack__(max_version=version and tuple(version), stream=1))
    assert (tensor.data, tensor.kind, tensor.number, tensor.ndim, tensor.code, tensor.bits, tensor.lanes) == (x.view.address + 16, 2, 0, 2, 2, 32, 1)
    assert (list(tensor.shape[:2]), list(tensor.strides[:2]), tensor.byte_offset) == ([2, 2], [4, 2], 0)
    assert isinstance(whole, Versioned) == (version == [1, 1] or version == (1, 1))
    address, held = x.view.address, an.cuda.memory_allocated()
    del x
    gc.collect()
    assert an.tensor(a, device="cuda").view.address != address, "the receiver holds it"
    give_back(whole)
    assert an.cuda.memory_allocated() == held - 512 and an.tensor(a, device="cuda").view.address == address
    back = an.from_dlpack(an.tensor(a, device="cuda"))
    assert back.device == "cuda" and back.tolist() == a.tolist()
    unused = an.tensor(a, device="cuda")
    before = an.cuda.memory_allocated()
    capsule = unused.__dlpack__()
    del unused
    assert an.cuda.memory_allocated() == before
    del capsule
    assert an.cuda.memory_allocated() == before - 512, "a capsule that nobody took"


@forked
def test_the_receivers_stream() -> None:
    fake, raised, _ = install()
    fake.set(lazy=1, streams=1)
    s = cuda.Stream()
    y = scale(an.tensor(np.ones(64, np.float32), device="cuda"), 2.0)
    _, whole = read(y.__dlpack__(stream=s.handle))
    cuda.synchronize(s.handle)
    assert [line.split(" args")[0].partition(" shared 0")[2] for line in fake.log() if "launch" in line] == [" in stream 0"], "it has waited for the kernel"
    address = y.view.address
    theirs = cuda.alloc(256)
    cuda.copy(theirs, y.view.address, 256, s.handle)
    del y
    give_back(whole)
    again = an.tensor(np.zeros(64, np.float32), device="cuda")
    assert again.view.address == address
    host = np.zeros(64, np.float32)
    cuda.download(host, theirs, s.handle)
    assert host.tolist() == [2.0] * 64, "what the receiver launched came before the memory was used again"
    x = an.tensor(np.ones(4, np.float32), device="cuda")
    waited = fake.calls("cuCtxSynchronize")
    for stream, outside in ((None, 0), (1, 0), (-1, 1), (2, 1)):
        piece = an.tensor(np.ones(4, np.float32), device="cuda")
        _, whole = read(piece.__dlpack__(stream=stream))
        del piece
        give_back(whole)
        waited += outside
        assert fake.calls("cuCtxSynchronize") == waited, "where the receiver's stream is not known the whole device is waited for"
    for wrong in (0, -2, "s", 1.0):
        with pytest.raises(AttributeValueError, match="expected None, -1, 1"):
            x.__dlpack__(stream=wrong)
    assert raised == []


@forked
def test_asking_for_another_device() -> None:
    install()
    x = an.tensor(np.arange(3, dtype=np.float32), device="cuda")
    assert np.from_dlpack(an.ones(2)).tolist() == [1, 1]
    host = _C.View.from_dlpack(x.__dlpack__(dl_device=(1, 0), max_version=(1, 0)))
    assert host.numpy().tolist() == [0, 1, 2]
    assert read(x.__dlpack__(dl_device=(1, 0), max_version=(1, 0)))[1].flags == 2, "a copy"
    for wrong, copy in (((2, 1), None), ((1, 0), False)):
        with pytest.raises(DeviceError, match="this tensor is on cuda; it can be asked for there"):
            x.__dlpack__(dl_device=wrong, copy=copy)
    with pytest.raises(DeviceError, match="this tensor is on cpu"):
        an.ones(2).__dlpack__(dl_device=(2, 0))


def cupy(address: int, shape: tuple[int, ...], **more: Any) -> Any:
    """An array of somebody who knows no DLPack."""
    return types.SimpleNamespace(__cuda_array_interface__={"version": 3, "shape": shape, "typestr": "<f4", "data": (address, False), **more})


@forked
def test_arrays_with_an_interface() -> None:
    fake, _, _ = install()
    fake.set(lazy=1, streams=1)
    a = np.arange(12, dtype=np.float32).reshape(3, 4)
    address = cuda.alloc(48, 1)
    cuda.upload(address, a, device=1)
    x = an.asarray(cupy(address, (3, 4)))
    assert (x.device, x.shape, x.view.address, x.view.contiguous) == ("cuda:1", (3, 4), address, True) and x.tolist() == a.tolist()
    assert an.asarray(cupy(address, (4, 3), strides=(4, 16))).tolist() == a.T.tolist()
    assert an.asarray(cupy(address, (4,), typestr="<i2", strides=(4,))).dtype == an.int16
    assert an.asarray(cupy(0, (0, 4))).shape == (0, 4)
    copied = an.tensor(cupy(address, (3, 4)), device="cuda")
    assert copied.view.address != address and copied.tolist() == a.tolist() and an.tensor(cupy(address, (3, 4))).device == "cpu"
    read_only = an.asarray(cupy(address, (3, 4), data=(address, True)))
    with pytest.raises(AliasError, match="read-only"):
        read_only.assign(an.zeros(3, 4))
    theirs = cuda.Stream(1)
    assert not any(line.startswith("wait") for line in fake.log())
    an.asarray(cupy(address, (3, 4), stream=theirs.handle))
    an.asarray(cupy(address, (3, 4), stream=1))
    an.cuda.synchronize(1)
    assert [line for line in fake.log() if line.startswith(("wait", "event"))] == ["event 1 in stream 1", "wait for event 1 in stream 0"]
    wrongs: list[tuple[dict[str, Any], type, str]] = [
        ({"mask": 1}, DTypeError, "has a mask"), ({"typestr": "<c8"}, DTypeError, "is not a dtype"), ({"typestr": ">f4"}, DTypeError, "is not a dtype"),
        ({"strides": (16, 2)}, ShapeError, "expected whole elements"), ({"strides": (-16, 4)}, ShapeError, "none negative"),
        ({"data": (12345, False)}, DeviceError, "cuPointerGetAttribute: .*12345")]  # fmt: skip
    for wrong, error, words in wrongs:
        with pytest.raises(error, match=words):
            an.asarray(cupy(address, (3, 4), **wrong))


@forked
def test_our_interface() -> None:
    fake, raised, _ = install()
    fake.set(lazy=1)
    a = np.arange(12, dtype=np.float32).reshape(3, 4)
    s = an.cuda.Stream()
    x = an.tensor(a, device="cuda")
    at = x.view.address
    assert x.__cuda_array_interface__ == {"version": 3, "shape": (3, 4), "strides": None, "typestr": "<f4", "data": (at, False), "stream": 1}
    window = x[1:, ::2].__cuda_array_interface__
    assert (window["shape"], window["strides"], window["data"]) == ((2, 2), (16, 8), (at + 16, False))
    assert x[:0].__cuda_array_interface__["data"] == (0, False), "nothing has no address"
    assert {t: an.tensor([0], t, device="cuda").__cuda_array_interface__["typestr"] for t in (an.bool_, an.int64, an.float16)} == {
        an.bool_: "|b1", an.int64: "<i8", an.float16: "<f2"}  # fmt: skip
    for none in (an.ones(2), an.tensor([0], an.bfloat16, device="cuda")):
        assert not hasattr(none, "__cuda_array_interface__")
    with an.cuda.stream(s):
        assert x.__cuda_array_interface__["stream"] == s.handle
        y = an.asarray(cupy(at, (3, 4), stream=x.__cuda_array_interface__["stream"]))
        assert y.tolist() == a.tolist()
    waited = fake.calls("cuCtxSynchronize")
    del x, y
    gc.collect()
    assert fake.calls("cuCtxSynchronize") == waited + 1 and raised == [], "its readers are waited for before it is used again"
