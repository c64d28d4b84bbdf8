"""Who may touch which bytes, and who touched them before. Each pointer argument is given an address of its own, far from all others, whatever lies
beside it in real memory: an access shows by its address through which argument it came and how far out it is. Translation to real addresses comes with
the check.

Races are found by happens-before: programs of a grid run one after the other here and in any order on a GPU, so an access conflicts with an earlier one
of another program unless a pair of atomics, release and acquire on one address, stands between. Within a program, lanes that read what other lanes
stored need a barrier between."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .arguments import Pointer
from .violation import Violation

WINDOW = 44  # bits of address that an argument has to itself; it lies in their middle
LANES = 40  # bits of a lane's number; above them stands the number of its tensor's shape


class Region:
    """Real memory that one or several arguments cover: who read, wrote and updated each granule. Sets of programs are numbers in Memory.sets."""

    def __init__(self, low: int, high: int, granule: int) -> None:
        self.low, self.high, self.granule = low, high, granule
        n = -(-(high - low) // granule)
        self.read, self.written, self.updated = (np.zeros(n, np.int32) for _ in range(3))
        self.lane = np.full(n, -1, np.int64)  # which lane stored it, in the barrier epoch that stands in `epoch`
        self.epoch = np.zeros(n, np.int32)

    def refine(self, granule: int) -> None:
        """Smaller granules, for accesses that are narrower than the argument's type (packed int4 read as bytes)."""
        times = self.granule // granule
        n = -(-(self.high - self.low) // granule)
        self.granule = granule
        self.read, self.written, self.updated = (np.repeat(t, times)[:n] for t in (self.read, self.written, self.updated))
        self.lane, self.epoch = np.repeat(self.lane, times)[:n], np.repeat(self.epoch, times)[:n]


class Memory:
    """The memory of one launch."""

    def __init__(self, kernel: str, arguments: Sequence[tuple[str, Pointer]]) -> None:
        self.kernel = kernel
        self.names = [name for name, _ in arguments]
        self.pointers = [pointer for _, pointer in arguments]
        # An address keeps its lowest bits, by which kernels and descriptors judge alignment.
        self.places = [(i + 1 << WINDOW) + (1 << WINDOW - 1) + p.address % 4096 for i, p in enumerate(self.pointers)]
        self.regions = _merge(self.pointers)
        self.region_of = [next((r for r in self.regions if r.low <= p.address < r.high), None) for p in self.pointers]
        self.sets: list[int] = [0]  # sets of segments as bits; segments are what a program does between two releases
        self.numbers = {0: 0}
        self.owners: list[tuple[int, ...]] = []  # program of each segment
        self.released: dict[int, int] = {}  # real address of an atomic -> segments that happened before its last release
        self.shapes: dict[tuple[int, ...], int] = {}
        self.program: tuple[int, ...] = ()
        self.known = 0  # segments that happened before what this program does now, and its own
        self.epoch = 0

    def begin(self, program: tuple[int, ...]) -> None:
        self.program, self.known = program, 0
        self._segment()
        self.barrier()

    def _segment(self) -> None:
        self.own = self._number(1 << len(self.owners))
        self.known |= 1 << len(self.owners)
        self.owners.append(self.program)

    def barrier(self) -> None:
        """From here on lanes of the program see what others of it stored."""
        self.epoch += 1

    def fault(self, what: str, argument: str | None = None, index: int | None = None) -> Violation:
        return Violation(self.kernel, what, argument, index, self.program)

    def access(self, kind: str, addresses: np.ndarray, mask: np.ndarray, nbytes: int) -> np.ndarray:
        """Checks a load, a store or an atomic of nbytes at each address whose mask is set; returns the real addresses (0 where it is not)."""
        mask = np.broadcast_to(np.asarray(mask, bool), addresses.shape)
        lanes = np.flatnonzero(mask)
        real = np.zeros(addresses.shape, np.uint64)
        if not lanes.size:
            return real
        flat = addresses.reshape(-1)[lanes]
        window = (flat >> np.uint64(WINDOW)).astype(np.int64) - 1
        shape = self.shapes.setdefault(addresses.shape, len(self.shapes)) << LANES
        for w in [int(window[0])] if window[0] == window[-1] and (window == window[0]).all() else np.unique(window).tolist():
            if not 0 <= w < len(self.pointers):
                raise self.fault(f"{kind} through address {int(flat[window == w][0]):#x}, which comes from no argument")
            here = window == w
            offset = (flat[here] - np.uint64(self.places[w])).view(np.int64)
            self._bounds(kind, w, offset, nbytes)
            real.reshape(-1)[lanes[here]] = (offset + self.pointers[w].address).view(np.uint64)
            self._races(kind, w, offset, nbytes, lanes[here] | shape)
        return real

    def _bounds(self, kind: str, argument: int, offset: np.ndarray, nbytes: int) -> None:
        pointer = self.pointers[argument]
        outside = (offset < 0) | (offset + nbytes > pointer.nbytes)
        if outside.any():
            index = int(offset[outside][0]) // pointer.element_size()
            raise self.fault(f"{kind} out of bounds: {pointer.count} elements, {int(outside.sum())} of {offset.size} lanes are outside",
                             self.names[argument], index)  # fmt: skip
        skew = (offset + pointer.address) % nbytes
        if skew.any():
            index = int(offset[skew != 0][0]) // pointer.element_size()
            raise self.fault(f"{kind} of {nbytes} bytes is misaligned by {int(skew[skew != 0][0])}", self.names[argument], index)

    def _races(self, kind: str, argument: int, offset: np.ndarray, nbytes: int, lanes: np.ndarray) -> None:
        region, pointer = self.region_of[argument], self.pointers[argument]
        assert region is not None
        if nbytes % region.granule:
            region.refine(nbytes)
        at, step = (offset + (pointer.address - region.low)) // region.granule, nbytes // region.granule
        if step > 1:
            at, lanes = (at[:, None] + np.arange(step)).reshape(-1), np.repeat(lanes, step)

        def place(i: int) -> tuple[str, int]:
            return self.names[argument], (region.low + int(at[i]) * region.granule - pointer.address) // pointer.element_size()

        earlier = {"load": ("written", "updated"), "store": ("written", "read", "updated"), "atomic": ("written", "read")}[kind]
        for deed in earlier:
            other = self._conflict(getattr(region, deed), at)
            if other is not None:
                raise self.fault(f"race: {kind} here, {deed} by program {other[1]}, and nothing orders the two", *place(other[0]))
        if kind != "atomic":
            stale = (region.epoch[at] == self.epoch) & (region.lane[at] != lanes)
            if stale.any():
                raise self.fault(f"race: {kind} of what another lane of the program stored, without a barrier between", *place(int(stale.argmax())))
        if kind == "load":
            region.read[at] = self._join(region.read[at])
        elif kind == "store":
            region.lane[at] = lanes
            twice = region.lane[at] != lanes
            if twice.any():
                raise self.fault("two lanes of one store write here", *place(int(twice.argmax())))
            region.epoch[at] = self.epoch
            region.written[at] = self.own
        else:
            region.updated[at] = self._join(region.updated[at])

    def release(self, address: int) -> None:
        """An atomic publishes what the program did up to here to whoever acquires it."""
        self.released[address] = self.released.get(address, 0) | self.known
        self._segment()

    def acquire(self, address: int) -> None:
        self.known |= self.released.get(address, 0)

    def _number(self, members: int) -> int:
        if members not in self.numbers:
            self.numbers[members] = len(self.sets)
            self.sets.append(members)
        return self.numbers[members]

    def _conflict(self, table: np.ndarray, at: np.ndarray) -> tuple[int, tuple[int, ...]] | None:
        """The first lane at which somebody not ordered before us stands in the table, and who."""
        seen = table[at]
        for number in [int(seen[0])] if (seen == seen[0]).all() else np.unique(seen).tolist():
            unknown = self.sets[number] & ~self.known
            if unknown:
                return int((seen == number).argmax()), self.owners[(unknown & -unknown).bit_length() - 1]
        return None

    def _join(self, numbers: np.ndarray) -> np.ndarray | int:
        own = self.sets[self.own]
        if (numbers == numbers[0]).all():
            return self._number(self.sets[int(numbers[0])] | own)
        different, place = np.unique(numbers, return_inverse=True)
        return np.array([self._number(self.sets[int(n)] | own) for n in different], np.int32)[place.reshape(-1)]


def _merge(pointers: Sequence[Pointer]) -> list[Region]:
    """One region for arguments that overlap; granules as wide as their narrowest type."""
    spans = sorted((p.address, p.address + p.nbytes, p.element_size()) for p in pointers if p.count)
    merged: list[tuple[int, int, int]] = []
    for low, high, width in spans:
        if merged and low < merged[-1][1]:
            begin, end, narrow = merged[-1]
            merged[-1] = (begin, max(end, high), min(narrow, width))
        else:
            merged.append((low, high, width))
    return [Region(low, high, width if low % width == 0 else 1) for low, high, width in merged]
