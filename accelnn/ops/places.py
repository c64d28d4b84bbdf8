"""Where the largest element of each window stands, for windows that no kernel has: dilated, over three dimensions, of several sizes, at random places. One
pass for each element of a window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..core.dtypes import DType
from ..core.errors import ShapeError
from ..core.tensor import Tensor, as_tensor, no_grad
from .elementwise import where
from .functions import isnan, logical_or
from .indexing import gather, index_select


def spots(name: str, n: int, kernel: int, step: int, pad: int, dilation: int, out: int) -> np.ndarray:
    """int[kernel, out]: which of the n elements of a dimension each window sees. One outside becomes the window's first inside, which changes no maximum."""
    at = np.arange(out) * step - pad + np.arange(kernel)[:, None] * dilation
    inside = (at >= 0) & (at < n)
    if not inside.any(0).all():
        raise ShapeError(f"{name}: of {n} elements some window sees none")
    return np.where(inside, at, np.take_along_axis(at, inside.argmax(0)[None], 0))


def joined(spots: Sequence[np.ndarray], sizes: Sequence[int]) -> Iterator[np.ndarray]:
    """For each element of a window, the first dimension slowest, its place in the plane: int[all windows]."""
    for element in np.ndindex(*(len(s) for s in spots)):
        place = np.zeros((), np.int64)
        for s, e, size in zip(spots, element, sizes):
            place = place[..., None] * size + s[e]
        yield place.ravel()


def largest(name: str, x: Tensor, candidates: Iterable[Any], out: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The largest elements of x[N, C, *plane] in windows of which the first, second ... elements stand at `candidates`, int[windows] or int[N, C, windows], and
    their places: [N, C, *out] and int64 of that shape. The first of equal ones; a NaN is larger than all."""
    flat = x.reshape(x.shape[0], x.shape[1], -1)
    if not isinstance(flat.shape[2], int) or flat.shape[2] >= 1 << 24:
        raise ShapeError(f"{name}: places in {x.spec}; planes of a known size below 2^24 are expected")
    best = place = None
    with no_grad():
        source = flat.detach().float()
        for at in candidates:
            part = index_select(source, 2, at) if isinstance(at, np.ndarray) else gather(source, 2, at)
            there = as_tensor(at.astype(np.float32)).expand(*part.shape) if isinstance(at, np.ndarray) else at.float()
            if best is None or place is None:
                best, place = part, there
            else:
                better = logical_or(part > best, isnan(part))
                best, place = where(better, part, best), where(better, there, place)
        assert place is not None
        found = place.to(DType.int64)
    shape = (*x.shape[:2], *out)
    return gather(flat, 2, found).reshape(*shape), found.reshape(*shape)
