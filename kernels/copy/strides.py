"""Shapes with as few dimensions as their strides allow: what a kernel walks over."""

from __future__ import annotations

from collections.abc import Sequence

RANK = 8  # as the CPU rows have it: max_rank


def collapse(shape: Sequence[int], *strides: Sequence[int]) -> tuple[list[int], list[list[int]]]:
    """Sizes and, operand by operand, strides, the fastest dimension first. Dimensions of one element are left out, neighbours that every operand walks
    through as through one are joined; one dimension at least remains."""
    sizes: list[int] = []
    walks: list[list[int]] = [[] for _ in strides]
    for d in reversed(range(len(shape))):
        if shape[d] == 1:
            continue
        if sizes and all(s[d] == w[-1] * sizes[-1] for s, w in zip(strides, walks)):
            sizes[-1] *= shape[d]
            continue
        sizes.append(shape[d])
        for s, w in zip(strides, walks):
            w.append(s[d])
    return (sizes, walks) if sizes else ([1], [[1] for _ in strides])


def eight(numbers: Sequence[int], rest: int = 1) -> list[int]:
    """As many arguments as a kernel has for the numbers of its dimensions."""
    return [*numbers, *[rest] * (RANK - len(numbers))]


def row_major(shape: Sequence[int]) -> list[int]:
    """The strides of contiguous memory."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return strides[::-1]


def reach(shape: Sequence[int], stride: Sequence[int]) -> int:
    """Elements from the first one to the last, both included."""
    return 1 + sum((n - 1) * abs(s) for n, s in zip(shape, stride))


def wide(*elements: int) -> bool:
    """Whether a kernel has to count in 64 bits; where it need not, divisions cost a quarter. A block may run past the end by as much as a kernel has."""
    return max(elements) > (1 << 31) - (1 << 16)
