"""The device "cuda": memory and launches through the driver, by csrc/runtime/cuda. Kernels are compiled when a launch of their kind comes first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _C
from .cuda_memory import Block, Borrowed, Pool, order, streams
from .cuda_replay import Replay
from .cuda_rows import ImageLaunch, Images
from .cuda_streams import current_stream
from .dims import product
from .errors import DeviceError
from .remote import Launch, Remote, Sizes, Storage

Owner = Block | Borrowed
LETTERS = {"i1": "b", "u1": "b", "i8": "b", "u8": "B", "i16": "h", "u16": "H", "i32": "i", "u32": "I", "i64": "q", "u64": "Q", "fp32": "f", "fp64": "d"}


class Cuda:
    """See remote.Device."""

    def __init__(self, number: int) -> None:
        info = _C.cuda.device_info(number)
        self.number, self.name = number, f"cuda:{number}" if number else "cuda"
        self.arch, self.units, self.shared = str(info["arch"]), int(info["units"]), int(info["shared"])
        self.pool = Pool(number, self.name)
        self.images = Images(number)
        self.ready: dict[Any, tuple[Any, Any, list[int], Any]] = {}
        self.entered: dict[int, Any] = {}  # streams that people gave us, by handle: alive as long as pieces of memory may belong to them

    def stream(self) -> int:
        """The stream of this thread's work."""
        return current_stream(self.number)

    def allocate(self, nbytes: int) -> Block:
        return self.pool.take(nbytes, self.stream())

    def address(self, owner: Owner) -> int:
        return owner.address

    def upload(self, storage: Storage, data: np.ndarray) -> None:
        _C.cuda.upload(storage.address, data, self.use(storage.owner), self.number)

    def download(self, storage: Storage, offset: int, nbytes: int) -> np.ndarray:
        stream, host = self.use(storage.owner), np.empty(nbytes, np.uint8)
        self.await_all(storage.owner, stream)  # it waits for the device in any case: then for whoever wrote there
        _C.cuda.download(host, storage.address + offset, stream, self.number)
        return host

    def duplicate(self, source: Remote, target: Remote) -> None:
        """Copies contiguous memory."""
        stream = self.use(source.storage.owner)
        self.use(target.storage.owner)
        nbytes = int(product(source.shape)) * source.dtype.itemsize  # type: ignore[arg-type]
        _C.cuda.copy(target.address, source.address, nbytes, stream, self.number)

    def synchronize(self) -> None:
        _C.cuda.synchronize(device=self.number)

    def use(self, owner: Owner) -> int:
        """The current stream, noted as one that uses the memory."""
        stream = self.stream()
        if owner.home != stream:
            owner.others.add(stream)
        return stream

    def await_all(self, owner: Owner, stream: int) -> None:
        """What comes next in the stream begins when everything that used the memory has been done."""
        for other in streams(owner):
            if other != stream:
                order(self.number, other, stream)

    def launch(self, kernel: Any, grid: Sizes, args: Sequence[Any], constants: dict[str, Any], warps: int, stages: int) -> None:
        function, compiled, passed, _ = self.found(kernel, args, constants, warps, stages)
        stream, values = self.stream(), []
        for i in passed:
            x = args[i]
            if isinstance(x, Remote):
                owner = x.storage.owner
                if owner.home != stream:
                    owner.others.add(stream)
                values.append(x.address)
            else:
                values.append(x)
        size = int(compiled.metadata.get("global_scratch_size") or 0)
        scratch = self.pool.take(size * grid[0] * grid[1] * grid[2], stream) if size else None
        _C.cuda.launch(function, grid, 32 * compiled.warps, compiled.shared, (*values, scratch.address if scratch else 0, 0), stream)

    def launch_image(self, launch: ImageLaunch, memory: Sequence[Remote]) -> None:
        for window in memory:
            self.use(window.storage.owner)
        self.images.launch(launch, self.stream())

    def record(self, launches: Sequence[Launch]) -> Replay:
        return Replay(self, launches)

    def found(self, kernel: Any, args: Sequence[Any], constants: dict[str, Any], warps: int, stages: int) -> tuple[Any, Any, list[int], Any]:
        """What launches of this kind need: see _prepare."""
        key = (id(kernel), tuple(map(_kind, args)), tuple(constants.items()), warps, stages)
        known = self.ready.get(key)
        if known is None:
            known = self.ready[key] = self._prepare(kernel, args, constants, warps, stages)
        return known

    def _prepare(self, kernel: Any, args: Sequence[Any], constants: dict[str, Any], warps: int, stages: int) -> tuple[Any, Any, list[int], Any]:
        """Compiles and loads; which of the arguments the compiled kernel takes. The kernel is held: its id is a part of the key."""
        from ..emulation.arguments import Pointer
        from .kernel_files import compiled as compiled_for

        given = [Pointer(x.address, x.dtype.name, x.storage.nbytes // x.dtype.itemsize - x.offset) if isinstance(x, Remote) else x for x in args]
        compiled = compiled_for(kernel, given, constants, target_of(self.arch), warps, stages)
        names = [n for n in kernel.arg_names if n not in constants]
        taken = dict(compiled.parameters)
        passed = [i for i, n in enumerate(names) if n in taken]
        letters = "".join("P" if taken[names[i]].startswith("*") else LETTERS[taken[names[i]]] for i in passed)
        function = _C.cuda.Function(_C.cuda.Module(compiled.image), compiled.entry, letters + "PP", self.number)
        return function, compiled, passed, kernel


def _kind(x: Any) -> Any:
    """What of an argument the compiled kernel depends on (ahead.compile)."""
    if isinstance(x, Remote):
        return x.dtype, x.address % 16 == 0
    if type(x) is int:
        return "1" if x == 1 else (x % 16 == 0, -(2**31) <= x < 2**31, x < 2**63)
    return type(x)


def target_of(arch: str) -> str:
    """The target whose code this chip runs: sm_86 and sm_89 run sm_80's; from sm_90 on code is for one chip alone (Triton's sm_90a, sm_100a ...)."""
    from ..emulation.ahead import TARGETS

    target = "sm_80" if arch.startswith("sm_8") else arch
    if target not in TARGETS:
        raise DeviceError(f"no kernels for {arch}; those that there are: {', '.join(TARGETS)}")
    return target


def open_cuda(number: int) -> Cuda:
    """GPU number `number`. DeviceError where there is none, with the driver's words."""
    devices, why = _C.cuda.available()
    if number >= devices:
        raise DeviceError(f"device 'cuda:{number}': {why or f'there are {devices} GPUs'}; see: accelnn doctor")
    return Cuda(number)
