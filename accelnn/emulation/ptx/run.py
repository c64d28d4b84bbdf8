"""A launch: arguments become parameters and heap, blocks run in lots of as many as fit, written memory goes back."""

from __future__ import annotations

import ctypes
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arguments import Pointer
from ..violation import Violation
from . import arithmetic, barriers, mma, moves, tma, warp, wgmma
from .machine import Decoder, Machine
from .memory import GLOBAL, Heap, SharedMemory
from .parser import Kernel, parse
from .schedule import Code, Scheduler, decode_kernel
from .tma import TensorMap
from .values import Array

FAMILIES = (arithmetic, barriers, mma, moves, tma, warp, wgmma)  # imported for the instructions that they register
LANES = 4096  # that run together: more are not faster, numpy's temporaries leave the cache
SHARED_TOGETHER = 8 << 20
fresh: dict[int, Array] = {}  # memory that came without content: address -> shadow, 0 for each byte that no kernel has written


def mark_fresh(address: int, size: int) -> None:
    """Memory from an allocator: a kernel that reads it before one has written it is at fault."""
    fresh[address] = np.zeros(size, np.uint8)


def forget(address: int) -> None:
    """The memory is given back."""
    fresh.pop(address, None)


def _overlaps(low: int, high: int) -> list[tuple[int, int, int]]:
    """Fresh memory between two addresses: where it was marked, first and last address."""
    # A copy, which is made in one piece: what the list allocates may set off the garbage collector, and that calls forget().
    found = [(start, max(start, low), min(start + shadow.size, high)) for start, shadow in fresh.copy().items()]
    return [f for f in found if f[1] < f[2]]


def filled(address: int, size: int, written: Array | None = None) -> None:
    """Memory has got content: all of it, or what `written` says byte by byte."""
    for start, first, last in _overlaps(address, address + size):
        fresh[start][first - start : last - start] |= 1 if written is None else written[first - address : last - address]
        if fresh[start].all():
            del fresh[start]


def host_bytes(pointer: Pointer) -> Array:
    """A pointer's memory as bytes."""
    if not pointer.nbytes:
        return np.zeros(0, np.uint8)
    return np.ctypeslib.as_array((ctypes.c_uint8 * pointer.nbytes).from_address(pointer.address))


class Arguments:
    """Pointers placed in a heap. Those that overlap share a region, so that a kernel may work in place."""

    def __init__(self, pointers: Sequence[Pointer], constants: Mapping[str, bytes]) -> None:
        self.heap = Heap()
        self.heap.add_all(constants)
        self.before = len(constants)
        self.regions: list[tuple[int, int, int, Array]] = []  # first and last address of the host, address in the heap, bytes
        for low, high in _merged(pointers):
            data = host_bytes(Pointer(low, "uint8", high - low))
            self.regions.append((low, high, self.heap.add(high - low, data, low), data))
        for pointer in pointers:  # an empty one has an address that may not be touched
            if not pointer.nbytes:
                self.regions.append((pointer.address, pointer.address, self.heap.add(0), np.zeros(0, np.uint8)))

    def seal(self) -> None:
        self.heap.seal()
        for low, high, place, _ in self.regions:
            for start, first, last in _overlaps(low, high):
                self.heap.forget(place + first - low, fresh[start][first - start : last - start])

    def place(self, pointer: Pointer) -> int:
        for low, high, place, _ in self.regions:
            if low <= pointer.address < high or (low == high == pointer.address and not pointer.nbytes):
                return place + pointer.address - low
        raise ValueError(f"{pointer} is not among the arguments")

    def back(self) -> None:
        """What was written returns to the host's memory."""
        for index, (low, high, place, data) in enumerate(self.regions):
            if self.before + index in self.heap.written and data.size:
                data[:] = self.heap.read(place, data.size)
                offset = place - GLOBAL
                filled(low, high - low, self.heap.initialised[offset : offset + high - low])


def _merged(pointers: Sequence[Pointer]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for low, high in sorted((p.address, p.address + p.nbytes) for p in pointers if p.nbytes):
        if out and low < out[-1][1]:
            out[-1] = (out[-1][0], max(high, out[-1][1]))
        else:
            out.append((low, high))
    return out


def decoded(kernel: Kernel) -> tuple[Decoder, list[Code]]:
    if kernel.decoded is None:
        kernel.decoded = decode_kernel(kernel)
    out: tuple[Decoder, list[Code]] = kernel.decoded
    return out


def parameter_bytes(kernel: Kernel, values: Sequence[Any]) -> Array:
    """The parameter space: ints, floats, or bytes of a structure, by the declared sizes."""
    if len(values) != len(kernel.parameters):
        raise ValueError(f"{kernel.name}: {len(values)} arguments, expected {len(kernel.parameters)}")
    end = max((p.offset + p.size for p in kernel.parameters), default=0)
    out = np.zeros(end + 16, np.uint8)
    for parameter, value in zip(kernel.parameters, values):
        if isinstance(value, np.ndarray):
            raw = value.tobytes()
        elif isinstance(value, float | np.floating):
            raw = np.array(value, {2: np.float16, 4: np.float32, 8: np.float64}[parameter.size]).tobytes()
        else:
            raw = (int(value) & ((1 << 8 * parameter.size) - 1)).to_bytes(parameter.size, "little")
        if len(raw) != parameter.size:
            raise ValueError(f"{kernel.name}: {parameter.name} has {parameter.size} bytes, {len(raw)} given")
        out[parameter.offset : parameter.offset + parameter.size] = np.frombuffer(raw, np.uint8)
    return out


def _blocks_of(grid: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    return [(x, y, z) for z in range(grid[2]) for y in range(grid[1]) for x in range(grid[0])]


def execute(kernel: Kernel, heap: Heap, grid: tuple[int, int, int], threads: tuple[int, int, int], parameters: Array, shared: int,
            seed: int | None = None) -> int:  # fmt: skip
    """Runs all blocks. shared: bytes of dynamic shared memory. seed: warps are drawn at random, blocks one by one. -> instructions executed."""
    decoder, program = decoded(kernel)
    per_block = threads[0] * threads[1] * threads[2]
    if per_block % 32:
        raise Violation(kernel.name, f"blocks of {per_block} threads: expected a multiple of 32")
    size = kernel.shared_size + shared
    lot = 1 if seed is not None else max(1, min(LANES // per_block, SHARED_TOGETHER // max(size, 1)))
    blocks, count = _blocks_of(grid), 0
    uses_async = any(c.one.name == "wgmma" or "bulk" in c.one.words for c in program)
    for first in range(0, len(blocks), lot):
        some = blocks[first : first + lot]
        memory = SharedMemory(len(some), size, per_block // 32)
        machine = Machine(kernel, heap, memory, parameters, grid, threads, some, decoder.first_registers(per_block * len(some)))
        machine.shared.async_used = uses_async
        count += Scheduler(machine, program, None if seed is None else seed + first).run()
    return count


def _three(sizes: int | Sequence[int]) -> tuple[int, int, int]:
    given = (sizes,) if isinstance(sizes, int) else tuple(int(s) for s in sizes)
    x, y, z = (*given, 1, 1, 1)[:3]
    return x, y, z


def run_ptx(text: str, entry: str, grid: int | Sequence[int], block: int | Sequence[int], args: Sequence[Any], shared: int = 0, seed: int | None = None) -> int:
    """Runs a kernel of a PTX module on host memory: args are Pointers, numpy arrays (contiguous, as memory), ints, floats, None, and TensorMaps whose
    address is a Pointer or an array. -> instructions executed. Raises Violation naming kernel, ptx line and address."""
    kernels = parse(text)
    if entry not in kernels:
        raise ValueError(f"{entry} is not in this PTX; it has {', '.join(kernels)}")
    kernel = kernels[entry]

    def pointer(value: Any) -> Any:
        return Pointer.of(value) if isinstance(value, np.ndarray) else value

    given = [dataclasses.replace(a, address=pointer(a.address)) if isinstance(a, TensorMap) else pointer(a) for a in args]
    pointers = [a.address if isinstance(a, TensorMap) else a for a in given if isinstance(a, TensorMap | Pointer)]
    memory = Arguments(pointers, kernel.constants)
    memory.seal()
    values: list[Any] = []
    for a in given:
        if isinstance(a, TensorMap):
            values.append(dataclasses.replace(a, address=memory.place(a.address)).pack())
        else:
            values.append(memory.place(a) if isinstance(a, Pointer) else 0 if a is None else a)
    try:
        return execute(kernel, memory.heap, _three(grid), _three(block), parameter_bytes(kernel, values), shared, seed)
    finally:
        memory.back()
