"""How a tensor is cut for kernels that reduce along one axis: x[outer, along, inner] into tiles of `block` elements of the axis by `across` places.

A place is a pair of (outer, inner) indices: a row, where inner is 1. An axis that fits is one tile, kept in registers. A longer one becomes `pieces` tiles,
each a program of its own: a first launch leaves the numbers of every piece in scratch, a second one combines those of its axis, in their order, in every
program. So few long rows still fill the chip, and the order of all sums comes from the shape alone.

Products that are summed across threads stand behind a tl.where: fused with the addition of a neighbour's sum, a lane's own product would be exact and the
neighbour's rounded, and lanes that hold the same sum would differ in its last bit (the emulator found it in a store that two lanes share)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .launch import ceil_div, count, power_of_two

PIECE = 8192  # elements of a piece: 32 a thread in 8 warps


class Tiles(NamedTuple):
    outer: int
    along: int
    inner: int
    places: int  # outer * inner
    block: int  # elements of the axis in a tile, a power of two
    across: int  # places in a tile, a power of two
    pieces: int  # tiles along the axis

    @property
    def grid(self) -> tuple[int, int]:
        return ceil_div(self.places, self.across), self.pieces

    @property
    def warps(self) -> int:
        """16 elements a thread and operand until a block is full."""
        return power_of_two(self.block * self.across // 512, 1, 16)

    @property
    def row(self) -> int:
        """The power of two that holds the numbers of every piece of one axis."""
        return power_of_two(self.pieces)


def tiles(shape: Sequence[int], axis: int, most: int) -> Tiles:
    """most: the longest axis that one program keeps in registers, where it is the last; elsewhere neighbours share the tile."""
    outer, along, inner = count(shape[:axis]), shape[axis], count(shape[axis + 1 :])
    return cut(outer, along, inner, most)


def cut(outer: int, along: int, inner: int, most: int) -> Tiles:
    places = outer * inner
    if inner == 1:
        block = power_of_two(along) if along <= most else min(PIECE, most)
        across = power_of_two(places, 1, max(2048 // block, 1))
    else:
        # Addresses of 64 bits take two registers an element: 16 elements a thread; 512 x 32 in 16 warps spilled.
        block = power_of_two(along, 1, most // 64)
        across = power_of_two(min(inner, places), 1, min(max(most // 4 // block, 32), 128))
    return Tiles(outer, along, inner, places, block, across, ceil_div(along, block))
