"""What is measured on a device, one row a kind of work: how its operands are drawn, which of its results are looked at in float64, and what limits it.
Shapes are data (shapes.toml); peers have a table of their own (peers.py). Results are too large to be calculated a second time: a sample of them is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...core.dtypes import BFLOAT16, DType, as_dtype, from_bfloat16
from ...core.errors import ShapeError
from ...core.graph import Spec
from ...core.registry import OPS
from ..check import Truth, truth_of
from ..works import Inputs, drawn
from .numbers import Numbers

Arrays = list[np.ndarray]
Forward = Callable[[str, Sequence[Any], dict[str, Any]], Arrays]  # runs another op on the device: what a gradient needs of the forward pass
ROWS = 16  # that are looked at


@dataclass(frozen=True)
class Sample:
    """A problem that is small enough for float64 and has some of the results of the large one: `pick` takes these from the large one's results, `part`
    from its own."""

    small: Inputs
    pick: Callable[[Arrays], Arrays]
    part: Callable[[list[Any]], list[Any]] = list

    def truth(self, op: str) -> Truth:
        specs = [s.dtype for s in OPS[op].specs(self.small.specs(), self.small.attrs)]
        found = truth_of(OPS[op], self.small.arrays, self.small.attrs, specs)
        wide = [np.broadcast_to(a, np.shape(v)) for a, v in zip(found.allowed, found.values, strict=True)]
        return Truth(self.part(found.values), self.part(wide))


@dataclass(frozen=True)
class Work:
    """A kind of work. `draw(numbers, shape)`: the operands of one call of `op`, for a shape as it is written. `complete`: what has to be computed before,
    from a forward pass. `peak`: the limit of its arithmetic; "copy" where it is the memory's."""

    name: str
    op: str
    syntax: str
    draw: Callable[[Numbers, str], Inputs]
    samples: Callable[[Inputs], list[Sample]]
    peak: str = "copy"
    complete: Callable[[Inputs, Forward], Inputs] | None = None
    cost: Callable[[Inputs], tuple[float, float]] | None = None
    absent: str = ""  # why this version has no such op: its peers are measured alone
    dtype: str = "f32"
    options: dict[str, Any] = field(default_factory=dict)

    def costs(self, x: Inputs) -> tuple[float, float]:
        """Floating-point operations, and bytes that have to move once."""
        if self.cost:
            return self.cost(x)
        op, specs = OPS[self.op], x.specs()
        moved = float(sum(nbytes(s) for s in (*specs, *op.specs(specs, x.attrs)) if s is not None))
        return (float(op.cost(*specs, **x.attrs)[0]) if op.cost else 0.0), moved


def nbytes(spec: Spec) -> int:
    shape: Any = spec.shape
    return math.prod(shape) * spec.dtype.itemsize


WORKS: dict[str, Work] = {}


def add(*works: Work) -> None:
    WORKS.update((w.name, w) for w in works)


def work_named(name: str) -> Work:
    """The row of a work, or of an op that has none of its own."""
    if name in WORKS:
        return WORKS[name]
    if name in OPS and OPS[name].view is None:
        return general(name)
    raise ShapeError(f"nothing to measure on a device is called '{name}'; there are {', '.join(sorted(WORKS))}, and every op by its name")


def general(op: str) -> Work:
    """The work that every op has: shapes joined by `:` as in `accelnn bench`; all its results are looked at."""
    return Work(op, op, "shapes of the operands joined by `:`, NAME=VALUE for attributes", lambda numbers, text: drawn(op, text, numbers.rng), whole)


# Samples


def whole(x: Inputs) -> list[Sample]:
    return [Sample(x, list)]


def some(n: int, of: int) -> np.ndarray:
    """At most n places of a dimension: both ends, and others in between."""
    return np.unique(np.linspace(0, of - 1, min(n, of)).round().astype(np.int64)) if of else np.zeros(0, np.int64)


def taken(x: Inputs, places: np.ndarray, axes: dict[int, int], **attrs: Any) -> Inputs:
    """The problem with these places of an axis of some operands alone: {operand: axis}."""
    arrays = [a if a is None or i not in axes else np.ascontiguousarray(np.take(a, places, axes[i])) for i, a in enumerate(x.arrays)]
    return Inputs(arrays, x.attrs | attrs, x.note)


def along(axes: dict[int, int], results: dict[int, int], n: int = ROWS) -> Callable[[Inputs], list[Sample]]:
    """Samples of an op that treats places of an axis alike, each for itself. axes: {operand: its axis}; results: {result: its axis}, others are left out."""

    def samples(x: Inputs) -> list[Sample]:
        first, axis = next(iter(axes.items()))
        places = some(n, x.arrays[first].shape[axis])
        return [Sample(taken(x, places, axes), lambda found: [np.take(found[i], places, a) for i, a in results.items() if i < len(found)],
                       lambda values: [values[i] for i in results])]  # fmt: skip

    return samples


def as_floats(x: np.ndarray) -> np.ndarray:
    """Numbers of an array that may hold bfloat16."""
    return from_bfloat16(x) if x.dtype == BFLOAT16 else x


def dtype_of(x: np.ndarray) -> DType:
    return as_dtype(x.dtype)


def draw_floats(numbers: Numbers, dtype: str, *shape: int) -> np.ndarray:
    if dtype == "bf16":
        return numbers.bfloat16(*shape)
    made = numbers.normal(*shape)
    return made.astype(np.float16) if dtype == "f16" else made
