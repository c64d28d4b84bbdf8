"""Medians, their spread, and what may be called a difference."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

# Below this nothing is called a difference, whatever the blocks say: five of them do not know their own spread to better than that.
FLOOR = 0.03


def quantile(values: Sequence[float], q: float) -> float:
    """Linear between the two nearest, as numpy's default."""
    ordered = sorted(values)
    at = q * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


@dataclass(frozen=True)
class Spread:
    """Medians of blocks, in seconds (or a ratio of such): the median of them, quartiles, and the least single measurement."""

    median: float
    q1: float
    q3: float
    min: float
    blocks: list[float] = field(default_factory=list)
    calls: int = 0

    @property
    def noise(self) -> float:
        """Distance of the quartiles, relative to the median."""
        return (self.q3 - self.q1) / self.median if self.median else 0.0

    def json(self) -> dict[str, Any]:
        return asdict(self) | {"noise": self.noise}

    @staticmethod
    def of(blocks: Sequence[float], least: float | None = None, calls: int = 0) -> Spread:
        return Spread(statistics.median(blocks), quantile(blocks, 0.25), quantile(blocks, 0.75), min(blocks) if least is None else least, list(blocks), calls)

    @staticmethod
    def read(found: dict[str, Any]) -> Spread:
        return Spread(found["median"], found["q1"], found["q3"], found["min"], list(found["blocks"]), found["calls"])


def ratios(theirs: Sequence[float], ours: Sequence[float]) -> Spread:
    """How many times as long theirs takes, block by block: what slowed both does not count."""
    return Spread.of([t / o for t, o in zip(theirs, ours)])


def differs(ratio: float, *noises: float) -> int:
    """1 if the ratio is above 1 beyond the noise, -1 if below, 0 if nobody can tell."""
    tolerance = FLOOR + sum(noises)
    return 1 if ratio > 1 + tolerance else -1 if ratio < 1 / (1 + tolerance) else 0


def geomean(values: Iterable[float]) -> float:
    found = list(values)
    return math.exp(sum(map(math.log, found)) / len(found)) if found else math.nan
