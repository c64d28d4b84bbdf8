"""Large constants that take no memory until somebody looks, and none afterwards: they lie in a file, or follow from others that do."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _C
from .dtypes import as_dtype
from .graph import Spec
from .tensor import Tensor

LARGE = 1 << 18  # bytes: a megabyte that is touched for the first time costs 1.5 ms, which a small one's bookkeeping does not


class Lazy(Tensor):
    """A literal whose `view` is made anew whenever it is asked for."""

    __slots__ = ("make",)

    def __init__(self, spec: Spec, make: Callable[[], Any]) -> None:
        super().__init__(None, literal=True)
        self._spec = spec
        self.make = make

    @property
    def view(self) -> Any:  # type: ignore[override]
        return self.make()

    @property
    def is_traced(self) -> bool:
        return False


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

    def make() -> Any:
        view = _C.View.empty(array.shape, dtype)
        view.numpy()[...] = array.view(dtype.storage)
        forget(array, file)
        return view

    return Lazy(Spec(array.shape, dtype), make)


def forget(array: np.ndarray, file: mmap.mmap) -> None:
    """The array's pages need not stay in this process; who looks again finds them again."""
    page = mmap.PAGESIZE
    begin = array.__array_interface__["data"][0] - np.frombuffer(file, np.uint8).__array_interface__["data"][0]
    start, end = -(-begin // page) * page, (begin + array.nbytes) // page * page
    if end > start:
        file.madvise(mmap.MADV_DONTNEED, start, end - start)
