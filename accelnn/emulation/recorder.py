"""A row's launches without a device: the Call that a row of kernels/<family>/gpu_triton.py is given, which notes down what the row would launch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .ahead import SHARED, Compiled, compile
from .arguments import Pointer

UNITS = {"sm_80": 108, "sm_90": 132, "sm_100": 148, "sm_120": 170, "gfx942": 304}  # of A100, H100, B200, RTX 5090, MI300X


@dataclass
class Window:
    """Memory that is nowhere: an operand's shape, strides in elements, and dtype."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: Any

    @classmethod
    def of(cls, shape: Sequence[int], dtype: Any) -> Window:
        stride, step = [], 1
        for n in reversed(shape):
            stride.append(step)
            step *= n
        return cls(tuple(shape), tuple(reversed(stride)), dtype)

    @property
    def contiguous(self) -> bool:
        return self.stride == Window.of(self.shape, self.dtype).stride

    @property
    def pointer(self) -> Pointer:
        """At an address like those of an allocator: divisible by 4096."""
        last = sum((n - 1) * s for n, s in zip(self.shape, self.stride)) + 1
        return Pointer(1 << 20, self.dtype.name, last)


@dataclass(frozen=True)
class Chip:
    arch: str
    units: int
    shared: int


@dataclass(frozen=True)
class Launch:
    """One launch that a row asked for."""

    kernel: Any
    grid: tuple[int, ...]
    args: tuple[Any, ...]
    constants: dict[str, Any]
    warps: int
    stages: int

    def compile(self, target: str) -> Compiled:
        return compile(self.kernel, self.args, self.constants, target, self.warps, self.stages)


class Recorder:
    """A Call (kernels/launch.py)."""

    def __init__(self, target: str, inputs: Sequence[Window | None], outputs: Sequence[Window], attrs: Mapping[str, Any]) -> None:
        self.inputs, self.outputs, self.attrs = tuple(inputs), tuple(outputs), dict(attrs)
        self.device = Chip(target, UNITS[target], SHARED[target])
        self.launches: list[Launch] = []

    def launch(self, kernel: Any, grid: Sequence[int], *args: Any, warps: int = 4, stages: int = 2, **constants: Any) -> None:
        given = tuple(a.pointer if isinstance(a, Window) else a for a in args)
        self.launches.append(Launch(kernel, tuple(grid), given, constants, warps, stages))

    def scratch(self, shape: Sequence[int], dtype: Any) -> Window:
        return Window.of(shape, dtype)
