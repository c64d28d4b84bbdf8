"""Borders made of the image itself, for convolutions: torch's padding modes other than zeros."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.dims import product
from ..core.errors import AttributeValueError, ShapeError
from ..core.tensor import Tensor, apply

BORDERS = ("zeros", "reflect", "replicate", "circular")


def _pieces(n: int, before: int, after: int, mode: str) -> list[tuple[int, int, int]]:
    """(first, length, place): which runs of the n elements stand where in before + n + after."""
    end = before + n
    if mode == "circular":
        runs = [(n - before, before, 0), (0, n, before), (0, after, end)]
    elif mode == "replicate":
        runs = [*((0, 1, i) for i in range(before)), (0, n, before), *((n - 1, 1, end + i) for i in range(after))]
    else:
        runs = [*((before - i, 1, i) for i in range(before)), (0, n, before), *((n - 2 - i, 1, end + i) for i in range(after))]
    return [run for run in runs if run[1]]


def _place(x: Tensor, dim: int, at: int, total: int) -> Tensor:
    """x between zeros: as the one slab that a kernel of `total` planes sees."""
    lead, n, rest = product(x.shape[:dim]), x.shape[dim], product(x.shape[dim + 1 :])
    slab = apply("unfold_planes", x.reshape(lead, 1, n, rest), kernel=total, front=at, back=total - at - n)
    return slab.reshape(*x.shape[:dim], total, *x.shape[dim + 1 :])


def border(x: Tensor, before: Sequence[int], after: Sequence[int], mode: str) -> Tensor:
    """x with `before` and `after` elements more in its last dimensions, mirrored ('reflect'), repeated ('replicate') or from the other end ('circular').

    Each piece is laid between zeros and all are added: every sum has one term, so it is exact; NaN and infinity stay where they are."""
    if mode not in BORDERS[1:]:
        raise AttributeValueError(f"padding_mode '{mode}' is unknown; there are {', '.join(BORDERS)}")
    for i, (b, a) in enumerate(zip(before, after)):
        dim = x.ndim - len(before) + i
        n: Any = x.shape[dim]
        if not (b or a):
            continue
        most = n - 1 if mode == "reflect" else n if mode == "circular" else max(b, a) if n else 0
        if max(b, a) > most:
            raise ShapeError(f"padding_mode '{mode}': {b} and {a} elements more than the {n} of dimension {dim} of {x.spec} can give")
        parts = [_place(x if length == n else apply("slice", x, axis=dim, start=first, length=length, step=1), dim, place, n + b + a)
                 for first, length, place in _pieces(n, b, a, mode)]  # fmt: skip
        x = parts[0]
        for part in parts[1:]:
            x = x + part
    return x
