"""Memory of a launch: a heap with red zones for global memory, and each block's shared memory with a race check.

Bytes of both are numpy arrays that are read and written through views as wide as the access, so that a load of all lanes is one gather. Shadow arrays
of the same size say which bytes are initialised, and which warps touched a byte since the last barrier."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

import numpy as np

from .values import UNSIGNED, Array

GLOBAL = 0x7000_0000_0000  # address of the heap's first byte
SHARED = 1 << 56  # generic addresses: window of a block's shared memory
LOCAL = 1 << 57
PARAMETERS = 1 << 58
RED_ZONE = 512
ONES: dict[int, Any] = {w: UNSIGNED[w](int("01" * w, 16)) for w in UNSIGNED}


class Fault(Exception):
    """What an access did wrong; the machine adds kernel, line and block."""


class Heap:
    """Global memory: regions with red zones between. `add` everything first, then `seal`."""

    def __init__(self) -> None:
        self.spans: list[tuple[int, int]] = []
        self.sources: list[Array | None] = []
        self.end = RED_ZONE
        self.written: set[int] = set()
        self.fresh = False  # some bytes are not initialised

    def add(self, size: int, data: Array | None = None, skew: int = 0) -> int:
        """Room for size bytes, with data's content or none. -> address; skew: its distance from a multiple of 256 bytes."""
        start = -(-self.end // 256) * 256 + skew % 256
        self.spans.append((start, start + size))
        self.sources.append(data)
        self.end = start + size + RED_ZONE
        return GLOBAL + start

    def add_all(self, constants: Mapping[str, bytes]) -> dict[str, int]:
        """A module's variables, before everything else: their addresses are the same in every launch."""
        return {name: self.add(len(content), np.frombuffer(content, np.uint8)) for name, content in constants.items()}

    def seal(self) -> None:
        size = -(-self.end // 256) * 256
        self.bytes: Array = np.full(size, 0xAB, np.uint8)
        self.initialised: Array = np.zeros(size, np.uint8)
        for (start, end), data in zip(self.spans, self.sources):
            if data is None:
                self.fresh = True
            else:
                self.bytes[start:end] = data
                self.initialised[start:end] = 1
        self.starts = [s for s, _ in self.spans]
        self.ends = [e for _, e in self.spans]

    def forget(self, address: int, shadow: Array) -> None:
        """Bytes whose shadow is 0 are not initialised."""
        start = address - GLOBAL
        self.initialised[start : start + shadow.size] = shadow
        self.fresh = True

    def read(self, address: int, size: int) -> Array:
        start = address - GLOBAL
        return self.bytes[start : start + size]

    def place(self, addresses: Array, size: int, what: str) -> Array:
        """Offsets of accesses of `size` bytes: bounds and alignment checked."""
        offset: Array = addresses.view(np.int64) - GLOBAL
        low, high = int(offset.min()), int(offset.max())
        index = bisect_right(self.starts, low) - 1
        if index < 0 or high + size > self.ends[index]:
            self._bounds(offset, size, what)
        elif what != "load":
            self.written.add(index)
        if size > 1 and (addresses & np.uint64(size - 1)).any():
            raise Fault(f"misaligned {what} of {size} bytes at {int(addresses[(addresses & np.uint64(size - 1)) != 0][0]):#x}")
        return offset

    def _bounds(self, offset: Array, size: int, what: str) -> None:
        starts, ends = np.array(self.starts or [0]), np.array(self.ends or [0])
        index = np.searchsorted(starts, offset, side="right") - 1
        outside = (index < 0) | (offset + size > ends[np.maximum(index, 0)])
        if outside.any():
            first = int(offset[outside][0])
            near = min(range(len(starts)), key=lambda i: min(abs(first - int(starts[i])), abs(first - int(ends[i]))))
            raise Fault(f"{what} of {size} bytes out of bounds in global memory: {int(outside.sum())} of {offset.size} lanes, first at {first + GLOBAL:#x}, "
                        f"byte {first - int(starts[near])} of a buffer of {int(ends[near] - starts[near])}")  # fmt: skip
        if what != "load":
            self.written.update(np.unique(index).tolist())

    def load(self, addresses: Array, width: int, count: int = 1) -> Array:
        """-> [lanes, count] unsigned words of `width` bytes."""
        size = width * count
        offset = self.place(addresses, size, "load")
        row = offset // size
        if self.fresh:
            ready = self.initialised.reshape(-1, size)[row]
            if not ready.all():
                lane = int(np.argmin(ready.all(1)))
                raise Fault(f"load of {size} bytes of global memory that nobody has written, at {int(addresses[lane]):#x}")
        out: Array = self.bytes.view(UNSIGNED[width]).reshape(-1, count)[row]
        return out

    def store(self, addresses: Array, words: Array) -> None:
        """words: [lanes, count]."""
        width, count = words.dtype.itemsize, words.shape[1]
        size = width * count
        row = self.place(addresses, size, "store") // size
        self.bytes.view(words.dtype).reshape(-1, count)[row] = words
        if self.fresh:
            self.initialised.reshape(-1, size)[row] = 1


class SharedMemory:
    """Shared memory of all blocks that run together, one behind the other, `stride` bytes apart.

    Race check: `wrote` and `read` hold, for each byte, the warps (a bit each; warp w and w + 8 share one) that touched it since the block's last barrier.
    Threads of a warp run in lockstep here and are not checked against each other. `flying`: a cp.async to these bytes has not been waited for. `generic`:
    warps whose plain stores no fence has yet shown to the async proxy (wgmma, TMA). `held`: a wgmma or TMA store in flight still reads them."""

    def __init__(self, blocks: int, size: int, warps: int) -> None:
        self.warps = min(warps, 8)
        self.size, self.stride = size, max(-(-size // 1024) * 1024, 1024)
        total = blocks * self.stride
        self.bytes: Array = np.full(total, 0xFF, np.uint8)
        self.wrote, self.read, self.flying, self.generic, self.held, self.initialised = (np.zeros(total, np.uint8) for _ in range(6))
        self.async_used = self.flight_used = self.held_used = False

    def of(self, block: int) -> slice:
        return slice(block * self.stride, (block + 1) * self.stride)

    def barrier(self, block: int, warps: int = 0xFF) -> None:
        """The warps of this set have met: what they did is ordered before what comes."""
        here = self.of(block)
        if warps == 0xFF:
            self.wrote[here] = 0
            self.read[here] = 0
        else:
            self.wrote[here] &= np.uint8(~warps & 0xFF)
            self.read[here] &= np.uint8(~warps & 0xFF)

    def place(self, addresses: Array, base: Array, size: int, what: str) -> Array:
        local: Array = addresses.view(np.int64)
        if int(local.min()) < 0 or int(local.max()) + size > self.size:
            outside = (local < 0) | (local + size > self.size)
            raise Fault(f"{what} of {size} bytes out of bounds in shared memory: {int(outside.sum())} of {local.size} lanes, "
                        f"first at {int(local[outside][0]):#x}, the block has {self.size} bytes")  # fmt: skip
        if size > 1 and (addresses & np.uint64(size - 1)).any():
            raise Fault(f"misaligned {what} of {size} bytes in shared memory at {int(addresses[(addresses & np.uint64(size - 1)) != 0][0]):#x}")
        out: Array = local + base
        return out

    def _wide(self, offset: Array, size: int, bit: Array) -> tuple[Any, Array, Array]:
        """Accesses as words of up to 8 bytes: their type, their numbers, and the warp's bit of each."""
        if size <= 8:
            return UNSIGNED[size], offset // size, bit
        return np.uint64, ((offset // 8)[:, None] + np.arange(size // 8)).reshape(-1), np.repeat(bit, size // 8)

    def _mark(self, shadow: Array, word: Any, index: Array, bit: Array) -> None:
        """Adds each access's warp to what it touches. Warp by warp: two may touch the same word."""
        view, ones = shadow.view(word), ONES[np.dtype(word).itemsize]
        for w in range(self.warps):
            mine = index[bit == 1 << w]
            if mine.size:
                view[mine] |= word(1 << w) * ones

    def load(self, addresses: Array, base: Array, width: int, count: int, bit: Array) -> Array:
        size = width * count
        offset = self.place(addresses, base, size, "load")
        word, index, own = self._wide(offset, size, bit)
        ones = ONES[np.dtype(word).itemsize]
        if (self.wrote.view(word)[index] & ~(own.astype(word) * ones)).any():
            self._conflict(offset, size, bit, "load", addresses)
        if self.flight_used and self.flying.view(word)[index].any():
            self._in_flight(offset, size, "load", addresses)
        self._mark(self.read, word, index, own)
        if not (self.initialised.view(word)[index] == ones).all():
            self._uninitialised(offset, size, addresses)
        out: Array = self.bytes.view(UNSIGNED[width]).reshape(-1, count)[offset // size]
        return out

    def _uninitialised(self, offset: Array, size: int, addresses: Array) -> None:
        missing = ~self.initialised[offset[:, None] + np.arange(size)].astype(bool).any(1)
        if missing.any():
            raise Fault(f"load of {size} bytes of shared memory that nobody has written, at {int(addresses[int(np.argmax(missing))]):#x}")

    def _in_flight(self, offset: Array, size: int, what: str, addresses: Array) -> None:
        flying = self.flying[offset[:, None] + np.arange(size)].any(1)
        if flying.any():
            raise Fault(f"race: {what} of shared memory at {int(addresses[int(np.argmax(flying))]):#x} while a cp.async or TMA load to it "
                        "has not been waited for")  # fmt: skip

    def _conflict(self, offset: Array, size: int, bit: Array, what: str, addresses: Array) -> None:
        """A byte that other warps wrote and the lane's own did not."""
        seen = self.wrote[offset[:, None] + np.arange(size)]
        bad = ((seen != 0) & (seen & bit[:, None] == 0)).any(1)
        if bad.any():
            lane = int(np.argmax(bad))
            raise Fault(f"race in shared memory at {int(addresses[lane]):#x}: {what} of {size} bytes that another warp wrote since the last barrier")

    def store(self, addresses: Array, base: Array, words: Array, bit: Array) -> None:
        """words: [lanes, count]. Two warps may write the same value to the same place, as layouts with copies do."""
        width, count = words.dtype.itemsize, words.shape[1]
        size = width * count
        offset = self.place(addresses, base, size, "store")
        word, index, own = self._wide(offset, size, bit)
        self._before_write(offset, size, word, index, own, addresses, bit, "store")
        if self.flight_used and self.flying.view(word)[index].any():
            self._in_flight(offset, size, "store", addresses)
        row, view = offset // size, self.bytes.view(words.dtype).reshape(-1, count)
        if (self.wrote.view(word)[index] & ~(own.astype(word) * ONES[np.dtype(word).itemsize])).any():
            seen = self.wrote[offset[:, None] + np.arange(size)]
            bad = ((seen != 0) & (seen & bit[:, None] == 0)).any(1) & (view[row] != words).any(1)
            if bad.any():
                raise Fault(f"race in shared memory at {int(addresses[int(np.argmax(bad))]):#x}: store over what another warp wrote since the last barrier")
        view[row] = words
        twice = (view[row] != words).any(1)
        if twice.any():
            raise Fault(f"race in shared memory at {int(addresses[int(np.argmax(twice))]):#x}: two lanes of one store write different values")
        self._mark(self.wrote, word, index, own)
        self.initialised.view(word)[index] = ONES[np.dtype(word).itemsize]
        if self.async_used:
            self._mark(self.generic, word, index, own)

    def _before_write(self, offset: Array, size: int, word: Any, index: Array, own: Array, addresses: Array, bit: Array, what: str) -> None:
        if (self.read.view(word)[index] & ~(own.astype(word) * ONES[np.dtype(word).itemsize])).any():
            bad = ((self.read[offset[:, None] + np.arange(size)] & ~bit[:, None]) != 0).any(1)
            raise Fault(f"race in shared memory at {int(addresses[int(np.argmax(bad))]):#x}: {what} over what another warp read since the last barrier")
        if self.held_used and self.held.view(word)[index].any():
            bad = self.held[offset[:, None] + np.arange(size)].any(1)
            raise Fault(f"race in shared memory at {int(addresses[int(np.argmax(bad))]):#x}: {what} over what a wgmma or TMA store in flight still reads")

    def launch_copy(self, addresses: Array, base: Array, size: int, bit: Array) -> Array:
        """A cp.async is issued: its destination may be written from now on. -> offsets."""
        offset = self.place(addresses, base, size, "cp.async")
        word, index, own = self._wide(offset, size, bit)
        self._before_write(offset, size, word, index, own, addresses, bit, "cp.async")
        self.flying.view(word)[index] = ONES[np.dtype(word).itemsize]
        self.flight_used = True
        return offset

    def land_copy(self, offset: Array, data: Array, bit: Array) -> None:
        """A cp.async is complete for the thread that waited: other warps see it after a barrier."""
        word, index, own = self._wide(offset, data.shape[1], bit)
        self.bytes.view(word)[index] = np.ascontiguousarray(data).view(word).reshape(-1)
        self.flying.view(word)[index] = 0
        self.initialised.view(word)[index] = ONES[np.dtype(word).itemsize]
        self._mark(self.wrote, word, index, own)
