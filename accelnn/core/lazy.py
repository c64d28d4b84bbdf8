"""Large constants that take no memory until somebody looks, and none afterwards: they lie in a file, or follow from others that do."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import _C
from .dims import product
from .dispatch import lower
from .dtypes import as_dtype
from .graph import Node, Spec
from .registry import OPS
from .tensor import Tensor

LARGE = 1 << 18  # bytes: a megabyte that is touched for the first time costs 1.5 ms, which a small one's bookkeeping does not


class Lazy(Tensor):
    """A literal whose `view` is made anew whenever it is asked for: `fill(view)` writes the numbers, `window()` knows a cheaper way where there is one.
    `operands`: what they are made of."""

    __slots__ = ("fill", "operands", "window")

    def __init__(self, spec: Spec, fill: Callable[[Any], None], window: Callable[[], Any] | None = None, operands: Sequence[Tensor | None] = ()) -> None:
        super().__init__(None, literal=True)
        self._spec = spec
        self.fill, self.window, self.operands = fill, window, operands

    @property
    def view(self) -> Any:
        known = _kept.views.get(self)
        if known is not None:
            return known
        if self.window is not None:
            made = self.window()
        else:
            made = _C.View.empty(self.spec.shape, self.spec.dtype)
            self.fill(made)
        if self in _kept.views:
            _kept.views[self] = made
        return made

    def write(self, out: Any) -> None:
        """The numbers into memory of their shape. What several steps on the way read is made once: an LSTM's gates are four slices of one matrix."""
        uses: dict[Lazy, int] = {}
        waiting: list[Tensor | None] = [self]
        while waiting:
            t = waiting.pop()
            if isinstance(t, Lazy):
                uses[t] = uses.get(t, 0) + 1
                if uses[t] == 1:
                    waiting += t.operands
        _kept.views.update((t, None) for t, n in uses.items() if n > 1)
        try:
            self.fill(out)
        finally:
            _kept.views.clear()

    def _concrete(self, what: str) -> Any:
        return self.view

    @property
    def is_traced(self) -> bool:
        return False


class _Kept(threading.local):
    """While one is written: views that are needed again."""

    def __init__(self) -> None:
        self.views: dict[Lazy, Any] = {}


_kept = _Kept()


def computed(node: Node, operands: Sequence[Tensor | None]) -> Lazy:
    """The only output of an op on literals."""
    op = OPS[node.op]

    def lowered() -> tuple[tuple[Any, ...], Any]:
        return lower(op, [None if t is None else t.view for t in operands], node.attrs, node.outputs)

    def window() -> Any:
        return lowered()[1]

    def fill(out: Any) -> None:
        inputs, attrs = lowered()
        if op.view is not None:
            out.numpy()[...] = attrs.numpy()
        else:
            _C.call_into(op.number, inputs, attrs, (out,))

    return Lazy(node.outputs[0], fill, window if op.view is not None else None, operands)


def scaled(weights: Tensor, by: np.ndarray, divided: bool = False) -> Tensor:
    """weights * by, or / by: in float64, rounded once, a few numbers at a time. Large ones when they are asked for."""

    def fill(out: Any) -> None:
        array = out.numpy()
        if isinstance(weights, Lazy):
            weights.fill(out)
        else:
            array[...] = weights.numpy()
        (np.divide if divided else np.multiply)(array, by, out=array, dtype=np.float64, casting="unsafe")

    lazy = Lazy(weights.spec, fill, operands=(weights,))
    return lazy if product(weights.spec.shape) * weights.spec.dtype.itemsize >= LARGE else Tensor(lazy.view, literal=True)


def file_of(array: np.ndarray) -> mmap.mmap | None:
    """The mapped file that an array is a window on."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    owner = array.base.obj if isinstance(array.base, memoryview) else array.base
    return owner if isinstance(owner, mmap.mmap) else None


def in_file(array: np.ndarray) -> Tensor | None:
    """The literal of a large array in a mapped file: copied when it is asked for, because weights lie at any address there; then the process gives the
    file's pages back."""
    file = file_of(array) if array.nbytes >= LARGE else None
    if file is None:
        return None
    dtype = as_dtype(array.dtype)

    def fill(out: Any) -> None:
        out.numpy()[...] = array.view(dtype.storage)
        forget(array, file)

    return Lazy(Spec(array.shape, dtype), fill)


def made_of(array: np.ndarray, spec: Spec, fill: Callable[[np.ndarray], None]) -> Tensor:
    """The literal that `fill(out)` writes from an array, at once or, where that is large and lies in a file, when it is asked for."""
    file = file_of(array) if array.nbytes >= LARGE else None

    def write(out: Any) -> None:
        fill(out.numpy())
        if file is not None:
            forget(array, file)

    lazy = Lazy(spec, write)
    return lazy if file is not None else Tensor(lazy.view, literal=True)


def forget(array: np.ndarray, file: mmap.mmap) -> None:
    """The array's pages need not stay in this process; who looks again finds them again."""
    page = mmap.PAGESIZE
    begin = array.__array_interface__["data"][0] - np.frombuffer(file, np.uint8).__array_interface__["data"][0]
    start, end = begin // page * page, -(-(begin + array.nbytes) // page) * page
    file.madvise(mmap.MADV_DONTNEED, start, min(end, len(file)) - start)


def read(array: np.ndarray) -> None:
    """Somebody has looked at all of an array that may lie in a file."""
    file = file_of(array) if array.nbytes >= LARGE else None
    if file is not None:
        forget(array, file)
