"""The device "cuda": memory and launches through the driver, by csrc/runtime/cuda. Kernels are compiled when a launch of their kind comes first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _C
from .cuda_replay import Replay
from .cuda_rows import ImageLaunch, Images
from .errors import DeviceError
from .remote import Launch, Remote, Sizes, Storage

LETTERS = {"i1": "b", "u1": "b", "i8": "b", "u8": "B", "i16": "h", "u16": "H", "i32": "i", "u32": "I", "i64": "q", "u64": "Q", "fp32": "f", "fp64": "d"}
LEAST = 512  # bytes: what the driver's own addresses are multiples of


class Block:
    """Memory of a device; goes back to its pool when nobody holds it."""

    __slots__ = ("address", "nbytes", "pool")

    def __init__(self, pool: Pool, address: int, nbytes: int) -> None:
        self.pool, self.address, self.nbytes = pool, address, nbytes

    def __del__(self) -> None:
        self.pool.free[self.nbytes].append(self.address)


class Pool:
    """Pieces that were used before, by size: the driver's own allocation waits for the whole device. A piece may be given out while kernels that
    were launched before still use it: all of ours go into one stream, so that they have done so when the next one runs."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.free: defaultdict[int, list[int]] = defaultdict(list)

    def take(self, nbytes: int) -> Block:
        size = LEAST
        while size < nbytes:  # two sizes for each power of two: at most a third is wasted
            size = size * 3 // 2 if size & (size - 1) == 0 else size // 3 * 4
        size = -(-size // LEAST) * LEAST
        if not self.free[size]:
            try:
                return Block(self, _C.cuda.alloc(size, self.number), size)
            except MemoryError:
                self.release()
                return Block(self, _C.cuda.alloc(size, self.number), size)
        return Block(self, self.free[size].pop(), size)

    def release(self) -> None:
        """Gives everything unused back to the driver."""
        _C.cuda.synchronize(device=self.number)
        for addresses in self.free.values():
            while addresses:
                _C.cuda.free(addresses.pop(), self.number)


class Cuda:
    """See remote.Device."""

    def __init__(self, number: int) -> None:
        info = _C.cuda.device_info(number)
        self.number, self.name = number, f"cuda:{number}" if number else "cuda"
        self.arch, self.units, self.shared = str(info["arch"]), int(info["units"]), int(info["shared"])
        self.pool = Pool(number)
        self.images = Images(number)
        self.ready: dict[Any, tuple[Any, Any, list[int], Any]] = {}

    def allocate(self, nbytes: int) -> Block:
        return self.pool.take(nbytes)

    def address(self, owner: Block) -> int:
        return owner.address

    def upload(self, storage: Storage, data: np.ndarray) -> None:
        _C.cuda.upload(storage.address, data, device=self.number)

    def download(self, storage: Storage, offset: int, nbytes: int) -> np.ndarray:
        host = np.empty(nbytes, np.uint8)
        _C.cuda.download(host, storage.address + offset, device=self.number)
        return host

    def synchronize(self) -> None:
        _C.cuda.synchronize(device=self.number)

    def stream(self) -> int:
        """The stream of this thread's work."""
        return 0

    def use(self, owner: Block) -> int:
        """The current stream, noted as one that uses the memory."""
        return self.stream()

    def launch(self, kernel: Any, grid: Sizes, args: Sequence[Any], constants: dict[str, Any], warps: int, stages: int) -> None:
        function, compiled, passed, _ = self.found(kernel, args, constants, warps, stages)
        scratch = None
        size = int(compiled.metadata.get("global_scratch_size") or 0)
        if size:
            scratch = self.pool.take(size * grid[0] * grid[1] * grid[2])
        values = [args[i].address if isinstance(args[i], Remote) else args[i] for i in passed]
        _C.cuda.launch(function, grid, 32 * compiled.warps, compiled.shared, (*values, scratch.address if scratch else 0, 0))

    def launch_image(self, launch: ImageLaunch, memory: Sequence[Remote]) -> None:
        self.images.launch(launch)

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
    """The newest target whose code this chip runs: sm_86 and sm_89 run sm_80's."""
    from ..emulation.ahead import TARGETS

    number = int(arch.removeprefix("sm_").rstrip("a"))
    fitting = [t for t in TARGETS if t.startswith("sm_") and int(t[3:]) <= number and int(t[3:]) // 10 == number // 10]
    if not fitting:
        raise DeviceError(f"no kernels for {arch}; those that there are: {', '.join(TARGETS)}")
    return fitting[-1]


def open_cuda(number: int) -> Cuda:
    """GPU number `number`. DeviceError where there is none, with the driver's words."""
    devices, why = _C.cuda.available()
    if number >= devices:
        raise DeviceError(f"device 'cuda:{number}': {why or f'there are {devices} GPUs'}; see: accelnn doctor")
    return Cuda(number)
