"""What a row for a device is: a function that launches kernels for one call of an op.

    @row(refuse=_too_long)
    def softmax(call: Call) -> None:
        (x,), (y,) = call.inputs, call.outputs
        rows, n = rows_of(x)
        call.launch(_softmax, (rows,), x, y, n, BLOCK=power_of_two(n), warps=4)

Such functions stand in kernels/<family>/gpu_triton.py beside their kernels; the op's table names them (`TRITON(...)`). They see shapes, strides and
dtypes, never numbers that lie in memory: what they launch may be recorded once and replayed. Nothing here imports triton."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol


class Window(Protocol):
    """Memory of a device as a call sees it: an operand, a result, or scratch. Handed to `launch`, it is a pointer to its first element."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]  # in elements; 0 where it is broadcast
    dtype: Any  # an accelnn DType
    address: int  # of the first element, in bytes: what some kernels want at a multiple of 16

    @property
    def contiguous(self) -> bool: ...

    def strided(self, shape: Sequence[int], stride: Sequence[int], offset: int = 0) -> Any:
        """Other elements of the same memory, `offset` elements behind this one's first."""

    @property
    def address(self) -> int: ...  # equal for an output that is its input's own memory


class Device(Protocol):
    """What a row may ask of the chip."""

    arch: str  # "sm_80", "sm_90", "gfx942"
    units: int  # streaming multiprocessors, compute units
    shared: int  # bytes of shared memory that one block may have


class Call(Protocol):
    """One question to an op: what rows are given."""

    inputs: tuple[Any, ...]  # Windows; None where an operand is left out
    outputs: tuple[Any, ...]
    attrs: dict[str, Any]  # the kernel's attributes, defaults filled in
    device: Device

    def launch(self, kernel: Any, grid: Sequence[int], *args: Any, warps: int = 4, stages: int = 2, **constants: Any) -> None:
        """kernel: a bare @triton.jit function. args: its run-time arguments in order, Windows, ints, floats and None. constants: its constexprs."""

    def scratch(self, shape: Sequence[int], dtype: Any) -> Any:
        """Memory that lasts as long as the call's launches need it; what stands in it is anything."""


class Row:
    """A row's function, and the reason for which it does not take a call (None: it does)."""

    def __init__(self, run: Callable[[Any], None], refuse: Callable[[Any], str | None]) -> None:
        self.run, self.refuse = run, refuse
        self.__doc__ = run.__doc__


def row(refuse: Callable[[Any], str | None] = lambda call: None) -> Callable[[Callable[[Any], None]], Row]:
    """Marks a function of a Call as a row."""
    return lambda run: Row(run, refuse)


def power_of_two(n: int, least: int = 1, most: int = 1 << 30) -> int:
    """The smallest power of two that is not below n, between `least` and `most`."""
    return min(max(1 << max(n - 1, 0).bit_length(), least), most)


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def count(shape: Sequence[int]) -> int:
    """Elements of a tensor of this shape."""
    n = 1
    for s in shape:
        n *= s
    return n


def rows_of(x: Any) -> tuple[int, int]:
    """A contiguous operand as [rows, its last dimension]."""
    n = x.shape[-1] if x.shape else 1
    return (count(x.shape[:-1]), n) if n else (0, 0)
