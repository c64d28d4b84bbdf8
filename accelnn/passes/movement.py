"""Numbers moved about: chains of reshape and permute as one of each, and rows multiplied in the order in which they lie. Exporters of attention turn
[batch, time, width] round, multiply, split, and turn back; of all that nothing has to be copied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..core.dims import Shape, product
from ..core.graph import Graph, Node, Value, rewrite
from .build import made, reshaped

TO_LAST = (0, 2, 3, 1)  # of a picture's dims
MOST = 8  # dims of a view (csrc/runtime/tensor.h)


@dataclass
class Movement:
    """A value as pieces of its source's dims in another order: `pieces` are the sizes, in the source's order, `dims` names those of each dim."""

    source: Value
    pieces: list[Any]
    dims: list[list[int]]
    steps: int = 0  # nodes between
    turns: int = 0  # permutes among them

    @property
    def order(self) -> list[int]:
        return [i for dim in self.dims for i in dim]


def movement(v: Value) -> Movement:
    if v.node.op in ("reshape", "permute") and v.node.inputs[0] is not None:
        before = movement(v.node.inputs[0])
        if v.node.op == "permute":
            return Movement(before.source, before.pieces, [before.dims[a] for a in v.node.attrs["axes"]], before.steps + 1, before.turns + 1)
        after = regrouped(before, tuple(v.spec.shape))
        if after is not None:
            return after
    sizes = [s for s in v.spec.shape if s != 1]
    place = iter(range(len(sizes)))
    return Movement(v, sizes, [[] if s == 1 else [next(place)] for s in v.spec.shape])


def regrouped(m: Movement, shape: Shape) -> Movement | None:
    """The same pieces as dims of `shape`, cut where they have to be; None where no cut does it."""
    if any(not isinstance(s, int) or s == 0 for s in (*m.pieces, *shape)):
        return None
    pieces, left = list(m.pieces), m.order
    dims: list[list[int]] = []
    for size in shape:
        dim: list[int] = []
        while size > 1:
            if not left:
                return None
            piece, rest = left[0], pieces[left[0]]
            if size % rest == 0:
                dim.append(left.pop(0))
                size //= rest
            elif rest % size == 0:  # cut: what is left of the piece is a new one behind it
                pieces[piece : piece + 1] = [size, rest // size]
                dim, left, dims = _behind(dim, piece), _behind(left[1:], piece), [_behind(d, piece) for d in dims]
                dim.append(piece)
                left.insert(0, piece + 1)
                size = 1
            else:
                return None
        dims.append(dim)
    return None if left else Movement(m.source, pieces, dims, m.steps + 1, m.turns)


def _behind(pieces: list[int], new: int) -> list[int]:
    return [p + (p > new) for p in pieces]


def moved(source: Value, pieces: Sequence[Any], dims: Sequence[Sequence[int]], shape: Shape, label: str = "") -> tuple[Value, int] | None:
    """The source cut into pieces, these in another order, in a shape; and how many nodes that took. Pieces stay together that were one dim and are in one:
    cutting is a window on any memory, joining is not. None where there are more pieces than dims can be."""
    home = _homes(source.spec.shape, pieces)
    runs: list[list[int]] = []
    for dim in dims:
        for n, p in enumerate(dim):
            if n and runs[-1][-1] + 1 == p and home[p] == home[p - 1]:
                runs[-1].append(p)
            else:
                runs.append([p])
    if len(runs) > MOST:
        return None
    places = sorted(range(len(runs)), key=lambda i: runs[i][0])
    axes = tuple(places.index(i) for i in range(len(runs)))
    if axes == tuple(range(len(axes))):
        found = reshaped(source, shape)
        return found, int(found is not source)
    cut = reshaped(source, tuple(product(tuple(pieces[p] for p in runs[i])) for i in places))
    turned = made("permute", cut, axes=axes, label=label)
    found = reshaped(turned, shape)
    return found, 1 + (cut is not source) + (found is not turned)


def _homes(shape: Shape, pieces: Sequence[Any]) -> list[int]:
    """The dim of `shape` that each piece was cut from."""
    found: list[int] = []
    for dim, size in enumerate(shape):
        have: Any = 1
        while have != size:
            have, found = have * pieces[len(found)], [*found, dim]
    return found


def _one_turn(order: Sequence[int]) -> bool:
    """Whether two neighbouring blocks change places, which is what kernels/copy does fast. Pictures turned to channels last are copied there, and two such
    turns may be one that is none: ShuffleNet's channels shuffled, 28 x 4 planes of 56 x 56, took 106 us as two copies and 361 as one of [56, 56, 28, 4]."""
    n = len(order)
    start = next((i for i in range(n) if order[i] != i), n)
    end = next((i for i in range(n, start, -1) if order[i - 1] != i - 1), start)
    middle = list(order[start:end])
    cut = middle.index(start) if middle else 0
    return middle[cut:] + middle[:cut] == list(range(start, end))


def straighten(graph: Graph) -> Graph:
    """Chains of reshape and permute as at most one permute between two reshapes; rows times a matrix (and bias) in the order of the memory that they come
    from, so that the rows are turned, if they have to be, behind the product: there another turn may undo it, or attention reads them as they lie."""

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        if node.op in ("reshape", "permute") and inputs[0] is not None:
            m = movement(Value(Node(node.op, inputs, node.attrs, node.outputs, node.label)))
            if m.steps < 2:
                return None
            if m.turns > 1 and node.op == "permute" and tuple(node.attrs["axes"]) == TO_LAST and not _one_turn(m.order):
                return None
            found = moved(m.source, m.pieces, m.dims, tuple(node.outputs[0].shape), node.label)
            return [found[0]] if found and found[1] < m.steps else None
        if node.op == "matmul" and len(inputs) <= 3:
            product_ = _in_order(node, inputs)
            return None if product_ is None else [product_]
        return None

    return rewrite(graph, change)


def _in_order(node: Node, inputs: list[Value | None]) -> Value | None:
    x, w = inputs[:2]
    if x is None or w is None or len(w.spec.shape) != 2 or not all(isinstance(s, int) for s in x.spec.shape):
        return None
    m = movement(x)
    rows, inner = [p for dim in m.dims[:-1] for p in dim], m.dims[-1]
    ordered = sorted(rows)
    if rows == ordered:
        return None
    sizes = [m.pieces[p] for p in ordered]
    turned = moved(m.source, m.pieces, [ordered, inner], (product(tuple(sizes)), x.spec.shape[-1]), node.label)
    if turned is None:
        return None
    y = made("matmul", turned[0], *inputs[1:], label=node.label, **node.attrs)
    back = [[ordered.index(p) for p in dim] for dim in m.dims[:-1]]
    found = moved(y, [*sizes, w.spec.shape[1]], [*back, [len(sizes)]], tuple(node.outputs[0].shape), node.label)
    return found and found[0]
