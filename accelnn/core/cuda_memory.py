"""Memory of a GPU: a pool of pieces that were used before, and memory that somebody else lends.

The driver's own allocation waits for the whole device, so that pieces are kept. A piece belongs to the stream that it was first taken for and may be given
out there again at once, while kernels that were launched before still use it: they have done so when the next one of that stream runs. Every other stream
that uses it is noted, and when nobody holds the piece any more, its own stream is made to wait for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from .. import _C
from .errors import OutOfMemory

LEAST = 512  # bytes: what the driver's own addresses are multiples of
LARGE = 16 << 20
NOBODYS = -1  # no stream


def rounded(nbytes: int) -> int:
    """The size of the piece that is taken for so many bytes: two sizes for each power of two, sixteen for large ones, of which at most a third and a
    seventeenth are wasted. Sizes of a network that trains come again exactly."""
    power = 1 << max(nbytes - 1, LEAST - 1).bit_length()
    step = max(power >> (2 if power <= LARGE else 5), LEAST)
    return max(-(-nbytes // step) * step, LEAST)


class Block:
    """A piece of a pool. `home`: its stream; `others`: streams that used it too; `outside`: somebody may use it in streams that we do not know."""

    __slots__ = ("address", "home", "nbytes", "others", "outside", "pool")
    writable = True

    def __init__(self, pool: Pool, address: int, nbytes: int, home: int) -> None:
        self.pool, self.address, self.nbytes, self.home = pool, address, nbytes, home
        self.others: set[int] = set()
        self.outside = False

    def __del__(self) -> None:
        if self.outside:
            _C.cuda.synchronize(device=self.pool.number)
        else:
            for stream in self.others:
                order(self.pool.number, stream, self.home)
        self.pool.free[self.home, self.nbytes].append(self.address)


class Borrowed:
    """Memory of somebody else, which lives as long as `owner`. `home`: the stream in whose order he will use it again; NOBODYS where that is not known."""

    __slots__ = ("address", "home", "number", "others", "outside", "owner", "writable")

    def __init__(self, number: int, address: int, home: int, owner: Any, writable: bool) -> None:
        self.number, self.address, self.home, self.owner, self.writable = number, address, home, owner, writable
        self.others: set[int] = set()
        self.outside = False

    def __del__(self) -> None:
        for stream in self.others:  # he may use it again at once
            _C.cuda.synchronize(stream, self.number)


def order(device: int, first: int, then: int) -> None:
    """What comes next in stream `then` begins when what is in stream `first` now has been done."""
    event = _C.cuda.Event(device, False)
    event.record(first)
    event.hold(then)


def streams(owner: Block | Borrowed) -> Iterator[int]:
    """Every stream that has used the memory."""
    if owner.home != NOBODYS:
        yield owner.home
    yield from tuple(owner.others)


class Pool:
    """The pieces of one device."""

    def __init__(self, number: int, name: str) -> None:
        self.number, self.name = number, name
        self.free: defaultdict[tuple[int, int], list[int]] = defaultdict(list)  # by stream and size
        self.pieces: dict[int, int] = {}  # address -> size of all that the driver gave

    def take(self, nbytes: int, stream: int) -> Block:
        size = rounded(nbytes)
        try:
            return Block(self, self.free[stream, size].pop(), size, stream)
        except IndexError:
            pass
        try:
            address = _C.cuda.alloc(size, self.number)
        except MemoryError:
            self.release()
            try:
                address = _C.cuda.alloc(size, self.number)
            except MemoryError as error:
                free, total = _C.cuda.memory_info(self.number)
                raise OutOfMemory(f"device {self.name!r}: {nbytes:,} bytes asked, {free:,} of {total:,} are free; tensors of accelnn hold "
                                  f"{self.held:,} ({error})") from None  # fmt: skip
        self.pieces[address] = size
        return Block(self, address, size, stream)

    def release(self) -> None:
        """Gives everything unused back to the driver, whoever may still be using it done."""
        _C.cuda.synchronize(device=self.number)
        for addresses in list(self.free.values()):
            while addresses:
                address = addresses.pop()
                _C.cuda.free(address, self.number)
                del self.pieces[address]

    @property
    def reserved(self) -> int:
        """Bytes that the driver has given."""
        return sum(self.pieces.values())

    @property
    def held(self) -> int:
        """Bytes of them in the hands of tensors and calls."""
        return self.reserved - sum(size * len(addresses) for (_, size), addresses in list(self.free.items()))
