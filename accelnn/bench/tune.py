"""Block sizes of a device's kernels, found by measuring: what kernels/<family>/gpu_configs.json holds for a device and a shape.

The search starts from every configuration that the kernel's table has for any device, and walks from the fastest to its neighbours, one number halved or
doubled, until none is faster. A table has four to six numbers: all their products are hundreds of kernels to compile, the walk some forty."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .. import _C
from ..core.dtypes import DType
from ..core.errors import AttributeValueError, KernelError
from ..core.recording import Question, Recording
from ..core.remote import Device, Remote
from ..core.remote_call import DeviceCall, TableRow
from ..core.row_modules import row_module

Config = dict[str, int]
LIMITS = {"warps": (1, 16), "stages": (1, 7), "GROUP": (1, 64)}
BLOCK = (16, 512)  # tensor cores want 16; no tile of 1024 fits
BETTER = 0.98  # of the time: what is faster by less is noise
ROTATED = 192 << 20  # bytes: more than the L2 of any chip here (H100 50 MB, B200 126 MB), so that operands come from memory each time
MOST_COPIES = 64


class Unfit(Exception):
    """A configuration that does not compile, does not fit or computes something else."""


@dataclass(frozen=True)
class Asked:
    """The table that a row asks for a call."""

    folder: str
    kernel: str
    shape: tuple[int, ...]


@dataclass
class Found:
    """times: milliseconds of what ran, fastest first."""

    best: Config
    before: Config
    times: list[tuple[float, Config]]
    unfit: list[tuple[Config, str]] = field(default_factory=list)

    def time_of(self, config: Config) -> float | None:
        return next((t for t, c in self.times if c == config), None)


def neighbours(config: Config) -> Iterator[Config]:
    """Each number halved and doubled; stages one less and one more."""
    for name, value in config.items():
        low, high = LIMITS.get(name, BLOCK)
        for other in (value - 1, value + 1) if name == "stages" else (value // 2, value * 2):
            if low <= other <= high:
                yield {**config, name: other}


def search(before: Config, starts: Iterable[Config], measure: Callable[[Config], float], most: int = 64, repeats: int = 5) -> Found:
    """The fastest configuration. measure(config): milliseconds, or Unfit. `before`, what the table says now, stays unless another is faster by 2 %."""
    times: dict[tuple[tuple[str, int], ...], float] = {}
    unfit: list[tuple[Config, str]] = []
    tried: list[Config] = []

    def try_all(configs: Iterable[Config]) -> None:
        for config in configs:
            if config not in tried and len(tried) < most:
                tried.append(config)
                try:
                    times[tuple(config.items())] = measure(config)
                except Unfit as reason:
                    unfit.append((config, str(reason)))

    try_all([before, *starts])
    if not times:
        raise KernelError("no configuration runs: " + "; ".join(f"{c}: {why}" for c, why in unfit))
    at = None
    while at != (at := min(times, key=lambda c: times[c])):
        try_all(neighbours(dict(at)))
    # The fastest of many measurements is also the luckiest: the first three and the old one again, taking turns.
    finalists = sorted(times, key=lambda c: times[c])[:3]
    if tuple(before.items()) in times and tuple(before.items()) not in finalists:
        finalists.append(tuple(before.items()))
    again: dict[Any, list[float]] = {c: [] for c in finalists}
    for _ in range(repeats):
        for c in finalists:
            again[c].append(measure(dict(c)))
    for c in finalists:
        times[c] = statistics.median(again[c])
    best = min(finalists, key=lambda c: times[c])
    kept = tuple(before.items())
    if kept in times and times[best] > BETTER * times[kept]:
        best = kept
    return Found(dict(best), before, sorted(((t, dict(c)) for c, t in times.items()), key=lambda x: x[0]), unfit)


def configs() -> Any:
    """kernels/configs.py."""
    return row_module("configs")


def asked_by(question: Question, arch: str) -> tuple[TableRow, Asked, Config]:
    """The row that takes the call on this chip, the table that it asks, and what that says now."""
    row = next((r for r, why in question.explained(arch) if why is None), None)
    if row is None:
        raise KernelError(f"{question.op}: no device row takes this call on {arch}; accelnn kernels --explain OP SHAPE --device {arch} says why")
    answers: list[tuple[Asked, Config]] = []

    def note(folder: str, kernel: str, shape: tuple[int, ...], config: Config) -> Config:
        answers.append((Asked(folder, kernel, shape), config))
        return config

    with configs().watched(note):
        row.row.run(question.on(Recording(arch)))
    if not answers:
        raise AttributeValueError(f"{question.op}: {row.name} asks no table ({configs().NAME}): its block sizes follow from the shapes")
    return row, *answers[0]


def starts(asked: Asked) -> list[Config]:
    """All configurations that the table has for the kernel."""
    found = configs().table(asked.folder)[asked.kernel]
    return [{k: v for k, v in e.items() if k != "shape"} for entries in found.values() for e in entries]


def write(asked: Asked, arch: str, config: Config) -> Path:
    path = Path(asked.folder) / configs().NAME
    path.write_text(configs().replaced(configs().table(asked.folder), asked.kernel, arch, asked.shape, config))
    configs().table.cache_clear()
    configs()._nearest.cache_clear()
    return path


class Clock(Protocol):
    def time(self, work: Callable[[], None], times: int) -> float:
        """Milliseconds of one work() on the device."""


class Events:
    """A device's own clock."""

    def __init__(self, number: int) -> None:
        self.start, self.end = _C.cuda.Event(number), _C.cuda.Event(number)

    def time(self, work: Callable[[], None], times: int) -> float:
        self.start.record()
        for _ in range(times):
            work()
        self.end.record()
        self.end.synchronize()
        return self.end.since(self.start) / times


class Measure:
    """measure() of `search` for one call on a device. Operands rotate through copies of themselves. Their numbers are small integers, whose products and
    sums are exact: whatever its order of summation, a configuration has to give the bits that the first one gave."""

    def __init__(self, device: Device, question: Question, row: TableRow, asked: Asked, clock: Clock, rotated: int = ROTATED) -> None:
        self.device, self.row, self.asked, self.clock = device, row, asked, clock
        arrays = [None if i is None else numbers(DType[i[0]], i[1], seed) for seed, i in enumerate(question.inputs)]
        size = sum(a.nbytes for a in arrays if a is not None) or 1
        self.calls: list[DeviceCall] = []
        for _ in range(min(max(-(-rotated // size), 1), MOST_COPIES)):
            views = [None if a is None or i is None else Remote.of(device, a, DType[i[0]]) for a, i in zip(arrays, question.inputs)]
            self.calls.append(question.of(device, views))
        self.right: list[np.ndarray] | None = None

    def __call__(self, config: Config) -> float:
        def other(folder: str, kernel: str, shape: Sequence[int], found: Config) -> Config:
            return config if Asked(folder, kernel, tuple(shape)) == self.asked else found

        def all_calls() -> None:
            for call in self.calls:
                self.row.row.run(call)

        with configs().watched(other):
            why = self.row.why_not(self.calls[0])
            if why is not None:
                raise Unfit(why)
            try:
                self.row.row.run(self.calls[0])
                results = [y.numpy() for y in self.calls[0].outputs]
            except Exception as reason:  # the compiler's own, and the driver's: too many resources
                raise Unfit(f"{type(reason).__name__}: {str(reason)[:300]}") from reason
            if self.right is None:
                self.right = results
            elif any(a.tobytes() != b.tobytes() for a, b in zip(results, self.right)):
                raise Unfit("another result than the first configuration's")
            all_calls()  # loads what is loaded late, warms up
            once = self.clock.time(all_calls, 1)
            return self.clock.time(all_calls, min(max(int(20 / max(once, 1e-3)), 1), 200)) / len(self.calls)


def numbers(dtype: DType, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Integers of -2 to 2; bytes of all kinds, which packed weights are."""
    rng = np.random.default_rng(seed)
    if dtype.name == "bfloat16":  # the upper halves of float32's bits
        return np.ascontiguousarray(rng.integers(-2, 3, shape).astype(np.float32).view(np.uint16)[..., 1::2]) if shape else np.zeros(shape, np.uint16)
    low, high = (0, 256) if dtype.name == "uint8" else (0, 2) if dtype.name.startswith(("u", "bool")) else (-2, 3)
    return rng.integers(low, high, shape).astype(dtype.storage)
