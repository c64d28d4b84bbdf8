"""Everybody's time for one case: results checked, blocks in turn with gaps in which thread pools fall asleep, results checked again."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.errors import Error
from . import ceilings as limits
from .check import Truth
from .device import CpuClock
from .stats import Spread, ratios
from .works import Inputs, Work, results

# How far a peer with an arithmetic of its own (bf16, int8 steps) may be from the truth, in the norm, and still count as the same work.
SAME_WORK = {"f32": 1e-4, "bf16": 2e-2, "i8": 5e-2, "i4": 5e-2}


@dataclass(frozen=True)
class Pace:
    """How long and how often. Blocks are long enough that the clock's speed and the caches settle; a gap lets pools fall asleep (OpenMP's spin for
    milliseconds after their work, and would take the cores of whoever comes next)."""

    block: float = 0.2       # seconds
    rounds: int = 5
    gap: float = 0.1
    ceiling_ms: float = 30.0

    @staticmethod
    def quick() -> Pace:
        return Pace(0.03, 5, 0.02, 10.0)


@dataclass
class Contestant:
    """Somebody who does the work: a call for each set of inputs, and its results. `strict`: held to the op's contract, not only to the same work."""

    library: str
    label: str
    calls: list[Callable[[], Any]]
    results: list[Callable[[], list[np.ndarray]]]
    strict: bool = False
    unit: int = 1                                   # how often one call does the work
    blocks: list[float] = field(default_factory=list)
    least: float = float("inf")
    count: int = 0

    def spread(self) -> Spread:
        return Spread.of(self.blocks, self.least, self.count)


def input_sets(work: Work, shape: str, n: int | None = None) -> list[Inputs]:
    """Several sets to take turns over, so that nothing can be remembered from call to call: 3, or 2 where a set is more than 4 MiB."""
    first = work.draw(np.random.default_rng(0), shape)
    n = n or (3 if memory(first) <= 4 << 20 else 2)
    return [first, *(work.draw(np.random.default_rng(i), shape) for i in range(1, n))]


def memory(x: Inputs) -> int:
    return sum(a.nbytes for a in (*x.arrays, *x.note.get("weights", ())) if a is not None)


def keeping(call: Callable[[], Any]) -> tuple[Callable[[], Any], Callable[[], list[np.ndarray]]]:
    """The call, and a way to its results: computed once more, outside of the timing."""
    return call, lambda: results(call())


def wrong(contestant: Contestant, truths: Sequence[Truth], dtype: str) -> str | None:
    """What is wrong with a contestant's results, for any set of inputs."""
    for truth, call, result in zip(truths, contestant.calls, contestant.results):
        call()
        found = result()
        if contestant.strict:
            problem = truth.problem(found[: len(truth.values)])
        else:
            away = truth.distance(found[: len(truth.values)])
            problem = None if away <= SAME_WORK[dtype] else f"relative error {away:.1e}: not the same work"
        if problem:
            return problem
    return None


def block(contestant: Contestant, clock: CpuClock, seconds: float) -> None:
    """One block: warm up for a tenth of it, then batches of calls of at least 50 us, so that reading the clock (0.1 us) does not count."""
    calls = contestant.calls
    begin, n = time.perf_counter(), 0
    while (spent := time.perf_counter() - begin) < seconds / 10 or n < len(calls):
        calls[n % len(calls)]()
        n += 1
    clock.finish()
    each = max(1, round(50e-6 / (spent / n)))
    batch = [calls[i % len(calls)] for i in range(each if each == 1 else -(-each // len(calls)) * len(calls))]
    times: list[float] = []
    end, at = time.perf_counter() + seconds * 0.9, 0
    while time.perf_counter() < end or len(times) < 3:
        chosen = batch if each > 1 else [calls[at % len(calls)]]
        times.append(clock.seconds(chosen) / len(chosen) / contestant.unit)
        at += 1
    contestant.blocks.append(statistics.median(times))
    contestant.least = min(contestant.least, *times)
    contestant.count += len(times) * len(batch) * contestant.unit


def alternate(contestants: Sequence[Contestant], clock: CpuClock, pace: Pace, tick: Callable[[str], None] = lambda label: None) -> None:
    """All take turns, every round beginning with another one: a slow moment of the machine hits everybody."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        for i in range(pace.rounds):
            turn = i % len(contestants)
            for contestant in (*contestants[turn:], *contestants[:turn]):
                tick(contestant.label)
                time.sleep(pace.gap)
                block(contestant, clock, pace.block)
    finally:
        if enabled:
            gc.enable()


def row(work: Work, sets: Sequence[Inputs], subject: Contestant, others: Sequence[Contestant], ceilings: dict[str, Any], threads: int) -> dict[str, Any]:
    """The line of a result for one contestant: time, rate, its limit and the ratio to each of the others."""
    flops, moved = work.costs(sets[0])
    time_of, working_set = subject.spread(), len(sets) * int(moved)
    limit = limits.binding(ceilings, work.peak, flops, moved, working_set, threads)
    against: dict[str, Any] = {o.label: {"library": o.library, "time": o.spread().json(), "ratio": ratios(o.blocks, subject.blocks).json()} for o in others}
    best = min(against, key=lambda label: against[label]["time"]["median"], default=None)
    return {"time": time_of.json(), "flops": flops, "bytes": moved, "flop_rate": flops / time_of.median, "byte_rate": moved / time_of.median,
            "working_set": working_set, "level": limit["level"], "sets": len(sets), "bound_by": limit["name"], "bound_kind": limit["kind"],
            "limit_rate": limit["rate"], "share": limit["seconds"] / time_of.median, "peers": against, "best": best,
            "ratio": against[best]["ratio"]["median"] if best else None, "ratio_noise": against[best]["ratio"]["noise"] if best else None}  # fmt: skip


def refused(error: Exception) -> str:
    """A peer's refusal in a line."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200] if not isinstance(error, Error) else str(error)
