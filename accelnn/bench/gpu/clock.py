"""How time is taken on a device: many calls over changing operands in one graph, which is replayed between two events. No launch costs anything then, and no
operand is found in a cache that would not be found there in use (sets of operands together are larger than the L2)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ... import _C
from ...core.remote import Device, Launch
from ...core.remote_call import TableRow
from ..measure import Pace
from ..stats import Spread
from .placed import Placed

LAUNCHES = 512  # calls in one graph at most
REPLAY = 3e-3  # seconds that one replay should take at least: what the driver needs to start a graph (some 10 us) does not count then


class Recorder:
    """A device on which launches are noted, not done. What lies in memory is the real one's."""

    def __init__(self, device: Device) -> None:
        self.device, self.launches = device, list[Launch]()
        self.arch, self.units, self.shared, self.name = device.arch, device.units, device.shared, device.name
        self.allocate, self.address, self.upload, self.download = device.allocate, device.address, device.upload, device.download

    def launch(self, kernel: Any, grid: Any, args: Sequence[Any], constants: dict[str, Any], warps: int, stages: int) -> None:
        self.launches.append(Launch(kernel, grid, args, constants, warps, stages))


def launches_of(placed: Placed, row: TableRow) -> list[Launch]:
    """What a row launches for one set of operands."""
    recorder = Recorder(placed.device)
    row.row.run(placed.call(recorder))
    return recorder.launches


class Clock(Protocol):
    def time(self, run: Callable[[], Any]) -> float:
        """Seconds until what `run` submits has been done."""


class HostClock:
    """For devices that have done everything when a call returns."""

    def time(self, run: Callable[[], Any]) -> float:
        begin = time.perf_counter()
        run()
        return time.perf_counter() - begin


class EventClock:
    """Events on the default stream, in which everybody's graphs are replayed."""

    def __init__(self, number: int = 0) -> None:
        self.begin, self.end = _C.cuda.Event(number), _C.cuda.Event(number)

    def time(self, run: Callable[[], Any]) -> float:
        self.begin.record()
        run()
        self.end.record()
        self.end.synchronize()
        return self.end.since(self.begin) / 1e3


@dataclass
class Contestant:
    """Somebody who does the work. `record(n)`: n calls, the sets of operands in turn, as a function that submits them all at once. `results(i)`: those of set
    i, as the last call left them. `how`: graph, eager (it could not be recorded: what its launches cost is in its time) or host."""

    library: str
    label: str
    record: Callable[[int], Callable[[], Any]]
    results: Callable[[int], list[Any]]
    arithmetic: str = "f32"
    strict: bool = False
    row: str | None = None
    how: str = "graph"
    replay: Callable[[], Any] | None = None
    calls: int = 0
    blocks: list[float] = field(default_factory=list)
    least: float = float("inf")
    done: int = 0

    def spread(self) -> Spread:
        return Spread.of(self.blocks, self.least, self.done)


def prepare(contestant: Contestant, clock: Clock, sets: int, quick: bool) -> None:
    """Records as many calls as a replay needs to be long enough. quick: one of each set, for devices whose time means nothing."""
    contestant.replay, contestant.calls = contestant.record(sets), sets
    contestant.replay()  # the first run loads and compiles, the next ones are replayed
    if quick:
        return
    each = max(min(clock.time(contestant.replay) for _ in range(2)) / sets, 1e-7)
    wanted = -(-min(max(round(REPLAY / each), sets), max(LAUNCHES, sets)) // sets) * sets
    if wanted > sets:
        contestant.replay, contestant.calls = contestant.record(wanted), wanted
        contestant.replay()


def block(contestant: Contestant, clock: Clock, seconds: float) -> None:
    """One block: replays for so long, at least two; their median is the block's time."""
    assert contestant.replay is not None
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 2 or time.perf_counter() < end:
        times.append(clock.time(contestant.replay) / contestant.calls)
    contestant.blocks.append(statistics.median(times))
    contestant.least = min(contestant.least, *times)
    contestant.done += len(times) * contestant.calls


def alternate(contestants: Sequence[Contestant], clock: Clock, pace: Pace) -> None:
    """All take turns, every round beginning with another one: a chip that grows warm, and slower, does so for everybody."""
    for i in range(pace.rounds):
        turn = i % len(contestants)
        for contestant in (*contestants[turn:], *contestants[:turn]):
            block(contestant, clock, pace.block)


def own(sets: Sequence[Placed], row: TableRow) -> Contestant:
    """accelnn by one row of the op's table."""
    launches = [launches_of(placed, row) for placed in sets]
    device = sets[0].device

    def record(n: int) -> Callable[[], Any]:
        recorded = device.record([one for i in range(n) for one in launches[i % len(sets)]])
        return lambda: recorded.run((), ())

    return Contestant("accelnn", "accelnn", record, lambda i: sets[i].results(), strict=True, row=row.name)


