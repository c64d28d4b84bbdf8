"""torch on the same device, by the name of the library that it calls: cuBLASLt, cuDNN, FlashAttention. They read accelnn's own operands, in place, and
are recorded into a graph of their own. A table as that of the works: {work: peers}."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.dtypes import BFLOAT16, from_bfloat16
from ...core.optional import need
from ...core.remote import Device, Remote
from ..works import Inputs
from .clock import Contestant
from .placed import Operands

torch: Any = need("torch", "torch")
nn = torch.nn.functional
Call = Callable[[], Any]
Make = Callable[..., Call]  # (inputs, *operands): one call


@dataclass(frozen=True)
class Peer:
    """label: as it is printed. arithmetic: what it multiplies; others than the work's own are shown, but nobody is compared with them. shown: the results
    that a call's answer stands for, where it is not yet one of the work's (integers without their scale)."""

    label: str
    make: Make
    arithmetic: str = "f32"
    shown: Callable[..., Any] = lambda x, found, *operands: found


PEERS: dict[str, list[Peer]] = {}


class _Memory:
    """Memory of the device, as torch takes it: __cuda_array_interface__, version 3."""

    def __init__(self, x: Remote, kind: str) -> None:
        size = x.dtype.itemsize
        self.held = x
        self.__cuda_array_interface__ = {"shape": x.shape, "strides": tuple(d * size for d in x.stride), "typestr": kind, "data": (x.address, False),
                                         "version": 3, "stream": None}  # fmt: skip


def shared(x: Remote | None, array: Any) -> Any:
    """The operand as torch's tensor: the same memory on a GPU, a copy on the host where the device is none."""
    if x is None or array is None:
        return None
    if x.device.name.startswith("cuda"):
        half = x.dtype.name == "bfloat16"
        found = torch.as_tensor(_Memory(x, "<i2" if half else np.dtype(x.dtype.storage).str), device="cuda")
        return found.view(torch.bfloat16) if half else found
    array = np.asarray(array)
    if array.dtype == BFLOAT16:
        return torch.from_numpy(from_bfloat16(np.ascontiguousarray(array))).to(torch.bfloat16)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def about() -> str:
    """Versions of everything that torch calls."""
    version = torch.version.cuda
    return f"torch {torch.__version__}" + (f", CUDA {version}, cuDNN {torch.backends.cudnn.version()}" if version else ", no CUDA")


def contestants(work: str, sets: Sequence[Operands], inputs: Sequence[Inputs], left_out: dict[str, str]) -> list[Contestant]:
    """Every peer of the work that can be called at all."""
    found = []
    operands = [[shared(v, a) for v, a in zip(p.views, x.arrays, strict=True)] for p, x in zip(sets, inputs)]
    for peer in PEERS.get(work, ()):
        try:
            calls = [peer.make(x, *o) for x, o in zip(inputs, operands)]
            found.append(_contestant(peer, sets[0].device, calls, inputs, operands))
        except Exception as reason:  # whatever torch may raise: it cannot do this case, and the report says why
            left_out[peer.label] = reason_of(reason)
    return found


def reason_of(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _contestant(peer: Peer, device: Device, calls: list[Call], inputs: Sequence[Inputs], operands: list[list[Any]]) -> Contestant:
    kept: list[Any] = [None] * len(calls)

    def run(n: int) -> None:
        for i in range(n):
            kept[i % len(calls)] = calls[i % len(calls)]()

    def results(i: int) -> list[np.ndarray]:
        found = peer.shown(inputs[i], kept[i], *operands[i])
        listed = found if isinstance(found, (tuple, list)) else (found,)
        return [_array(t) for t in listed]

    made = Contestant("torch", peer.label, lambda n: lambda: run(n), results, peer.arithmetic)
    if not device.name.startswith("cuda"):
        run(len(calls))  # what it refuses, it refuses here
        made.how = "host"
        return made
    stream = torch.cuda.Stream()

    def record(n: int) -> Call:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            run(n)
        return graph.replay

    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        run(len(calls))
        run(len(calls))  # twice: libraries choose their kernels in the first call
    torch.cuda.synchronize()
    try:
        record(len(calls))
    except Exception:
        torch.cuda.synchronize()
        made.how = "eager"  # it cannot be recorded: its launches are timed with it, and the report says so
        return made
    made.record = record
    return made


def _array(t: Any) -> np.ndarray:
    t = t.detach()
    return np.asarray((t.float() if t.dtype in (torch.bfloat16, torch.float16) else t).cpu().numpy())


# How libraries are chosen


@contextlib.contextmanager
def blas(name: str) -> Iterator[None]:
    """cublas or cublaslt for torch.mm; on the host there is nothing to choose."""
    if not torch.cuda.is_available():
        yield
        return
    before = torch.backends.cuda.preferred_blas_library()
    torch.backends.cuda.preferred_blas_library(name)
    try:
        yield
    finally:
        torch.backends.cuda.preferred_blas_library(before)


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Whether float32 is multiplied as tf32: in cuBLAS and in cuDNN."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def sdpa(backend: str) -> Any:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel(getattr(SDPBackend, backend))


def peer(work: str, label: str, arithmetic: str = "f32", shown: Callable[..., Any] | None = None) -> Callable[[Make], Make]:
    """Decorator: puts a peer into the table."""

    def put(make: Make) -> Make:
        PEERS.setdefault(work, []).append(Peer(label, make, arithmetic, shown) if shown else Peer(label, make, arithmetic))
        return make

    return put


def on_cuda(what: str) -> None:
    """Refuses on the host, where the library is not."""
    if not torch.cuda.is_available():
        raise RuntimeError(f"{what} is a library for GPUs")


from . import peers_layers, peers_moves, peers_products  # noqa: E402, F401  (they fill the table with what stands above)
