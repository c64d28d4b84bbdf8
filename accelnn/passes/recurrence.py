"""LSTMs that an exporter wrote one step behind the other, or as a loop, as the one op that they were.

A step is c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c'), where i, f, g, o are parts, in any order, of x W + h U + b."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.graph import Graph, Node, Value, rewrite, substituted, users
from ..core.registry import OPS
from ..core.tensor import tensor
from .algebra import terms
from .build import constant, made, reshaped


@dataclass(eq=False)
class _Product:
    x: Value
    weights: np.ndarray
    key: Any  # equal for equal weights


@dataclass(eq=False)
class _Cell:
    h: Value
    c: Value
    before: Value  # the c of the step before
    products: list[_Product]
    bias: np.ndarray  # [4 H], in the order of the products' columns
    order: tuple[int, ...]  # which quarter of the columns i, f, g and o are

    def by(self, key: Any) -> _Product | None:
        return next((p for p in self.products if p.key == key), None)

    def is_like(self, other: _Cell) -> bool:
        return self.order == other.order and np.array_equal(self.bias, other.bias)


def _numbers(v: Value | None) -> np.ndarray | None:
    return np.asarray(v.node.data.numpy()) if v is not None and v.node.op == "constant" else None


def _products(v: Value) -> list[_Product] | None:
    """x W of a matmul by constants; of concat(x, h) W the two products."""
    node, weights = v.node, _numbers(v.node.inputs[1])
    x = node.inputs[0]
    if weights is None or weights.ndim != 2 or len(x.spec.shape) != 2 or node.attrs or len(node.inputs) > 3:
        return None
    if x.node.op != "concat" or x.node.attrs["axis"] % 2 != 1:
        return [_Product(x, weights, (id(node.inputs[1].node.data), 0))]
    found, at = [], 0
    for part in x.node.inputs:
        rows: Any = part.spec.shape[1]
        found.append(_Product(part, weights[at : at + rows], (id(node.inputs[1].node.data), at)))
        at += rows
    return found


def _sum(v: Value) -> tuple[list[_Product], np.ndarray] | None:
    """Products and the constant row of a sum."""
    number, parts = terms(v)
    width: Any = v.spec.shape[-1]
    bias, found = np.full(width, number, np.float64), list[_Product]()
    for part in parts:
        row = _numbers(part)
        if part.node.op == "matmul":
            products = _products(part)
            row = _numbers(part.node.inputs[2]) if len(part.node.inputs) > 2 else np.zeros(width)
            if products is None:
                return None
            found += products
        if row is None or row.size != width:
            return None
        bias = bias + row.reshape(-1)
    return found, bias


def _gate(v: Value, op: str) -> tuple[Value, int, float] | None:
    """The whole that a gate is a part of, where it begins, and what is added to it."""
    if v.node.op != op:
        return None
    number, parts = terms(v.node.inputs[0])
    part = parts[0] if len(parts) == 1 else None
    if part is None or part.node.op != "slice" or len(part.spec.shape) != 2 or part.node.attrs["axis"] % 2 != 1 or part.node.attrs["step"] != 1:
        return None
    start = part.node.attrs["start"]
    return (part.node.inputs[0], start, number) if isinstance(start, int) else None


def _pairs(v: Value, op: str) -> list[tuple[Value, Value]]:
    return [v.node.inputs[:2], v.node.inputs[1::-1]] if v.node.op == op and len(v.node.inputs) == 2 else []


def _cell(h: Value) -> _Cell | None:
    for o, squashed in _pairs(h, "mul"):
        out = _gate(o, "sigmoid")
        if out is None or squashed.node.op != "tanh":
            continue
        c = squashed.node.inputs[0]
        for kept, new in _pairs(c, "add"):
            for f, before in _pairs(kept, "mul"):
                for i, g in _pairs(new, "mul"):
                    gates = [_gate(i, "sigmoid"), _gate(f, "sigmoid"), _gate(g, "tanh"), out]
                    if all(gate is not None and gate[0] == out[0] for gate in gates):
                        return _checked(h, c, before, [gate for gate in gates if gate is not None])
    return None


def _checked(h: Value, c: Value, before: Value, gates: Sequence[tuple[Value, int, float]]) -> _Cell | None:
    whole, units = gates[0][0], h.spec.shape[-1]
    if not isinstance(units, int) or whole.spec.shape[-1] != 4 * units or before.spec != h.spec or whole.spec.shape[0] != h.spec.shape[0]:
        return None
    starts = [start for _, start, _ in gates]
    found = _sum(whole) if sorted(starts) == [0, units, 2 * units, 3 * units] else None
    if found is None or len(found[0]) != 2:
        return None
    products, bias = found
    for _, start, more in gates:
        bias[start : start + units] += more
    return _Cell(h, c, before, products, bias, tuple(start // units for start in starts))


def _chains(cells: Sequence[_Cell], graph: Graph) -> list[tuple[list[_Cell], Any]]:
    """Cells each of which goes on where the one before has stopped, and the key of the weights of h."""
    read = users(graph)
    by_state = {cell.c: cell for cell in cells}
    following: dict[int, tuple[_Cell, Any]] = {}
    started = set[int]()
    for cell in cells:
        last = by_state.get(cell.before)
        own = next((p for p in cell.products if last is not None and p.x == last.h), None)
        if last is None or own is None or len(read[last.c]) != 2 or not cell.is_like(last) or id(last) in following:
            continue        # a c that somebody else reads has to be computed
        other = next(p for p in cell.products if p is not own)
        if last.by(own.key) is not None and last.by(other.key) is not None and own.key != other.key:
            following[id(last)] = cell, own.key
            started.add(id(cell))
    found = []
    for cell in cells:
        if id(cell) in started or id(cell) not in following:
            continue
        chain, key = [cell], following[id(cell)][1]
        while id(chain[-1]) in following and following[id(chain[-1])][1] == key:
            chain.append(following[id(chain[-1])][0])
        found.append((chain, key))
    return found


def _series(parts: Sequence[Value]) -> tuple[Value, int]:
    """The steps [B, I] as one sequence, and its axis of time: what they are slices of, or put together."""
    first = parts[0].node.inputs[0].node if parts[0].node.op == "reshape" else parts[0].node
    if first.op == "slice" and len(first.outputs[0].shape) == 3:
        whole, axis, start = first.inputs[0], first.attrs["axis"] % 3, first.attrs["start"]
        steps = [p.node.inputs[0].node if p.node.op == "reshape" else p.node for p in parts]
        shape = tuple(s for i, s in enumerate(whole.spec.shape) if i != axis)
        places = [(n.attrs["axis"] % 3, n.attrs["start"], n.attrs["length"]) for n in steps if n.op == "slice" and n.inputs[0] == whole]
        if axis < 2 and shape == parts[0].spec.shape and places == [(axis, start + k, 1) for k in range(len(parts))]:
            whole_is_wanted = start == 0 and whole.spec.shape[axis] == len(parts)
            return (whole if whole_is_wanted else made("slice", whole, axis=axis, start=start, length=len(parts), step=1)), axis
    return made("concat", *(reshaped(p, (1, *p.spec.shape)) for p in parts), axis=0), 0


def _op(cell: _Cell, x: Value, axis: int, outer: _Product, inner: _Product, start: Sequence[Value]) -> Node:
    """Steps like this one over a sequence whose time is `axis`, from h and c on."""
    label, columns = cell.h.node.label, np.arange(cell.bias.size).reshape(4, -1)[list(cell.order)].reshape(-1)
    weights = [constant(tensor(np.ascontiguousarray(p.weights[:, columns].T)), label) for p in (outer, inner)]
    bias = constant(tensor(cell.bias[columns].astype(np.float32)), label)
    operands = [x, *weights, bias, *[None] * 8, *(reshaped(v, (1, *v.spec.shape)) for v in start)]
    attrs = {"batch_first": axis}
    return Node("lstm", operands, attrs, OPS["lstm"].specs([None if v is None else v.spec for v in operands], attrs), label)


def _scanned(node: Node) -> dict[Value, Value]:
    """A loop over a sequence whose body is one step: what stands for its results."""
    condition, trips, *given = node.inputs
    (body,) = node.data
    if node.attrs["states"] != 2 or node.attrs["conditional"] or trips is not None or not node.attrs["scans"]:
        return {}
    parts = {Value(n): whole for n, whole in zip(body.inputs[3 : 3 + node.attrs["scans"]], given[2:])}
    for at in (0, 1):
        cell, (h, c) = _cell(body.outputs[at]), (Value(body.inputs[1 + at]), Value(body.inputs[2 - at]))
        inner = next((p for p in cell.products if p.x == h), None) if cell is not None else None
        if cell is None or inner is None or cell.before != c or cell.c != body.outputs[1 - at] or any(v != cell.h for v in body.outputs[2:]):
            continue
        outer = next(p for p in cell.products if p is not inner)
        whole, start = parts.get(outer.x), (given[at], given[1 - at])
        if whole is None or start[0] is None or start[1] is None:
            continue
        made_of = _op(cell, whole, 0, outer, inner, (start[0], start[1]))
        ends = [reshaped(Value(made_of, i), start[0].spec.shape) for i in (1, 2)]
        return {Value(node, at): ends[0], Value(node, 1 - at): ends[1]} | {Value(node, i): Value(made_of) for i in range(2, len(node.outputs))}
    return {}


def _layer(chain: Sequence[_Cell], key: Any, stand: dict[Value, Value]) -> dict[Value, Value]:
    """The chain as one op: what stands for its results, beside what stands for those of layers below it."""
    first, label = chain[0], chain[0].h.node.label
    inner = first.by(key)
    outer = next(p for p in first.products if p is not inner)
    assert inner is not None
    parts = [p.x for cell in chain if (p := cell.by(outer.key)) is not None]
    x, axis = _series([stand.get(v, v) for v in parts])
    node = _op(first, x, axis, outer, inner, (inner.x, first.before))
    stand = {cell.h: reshaped(made("slice", Value(node), axis=axis, start=k, length=1, step=1, label=label), cell.h.spec.shape) for k, cell in enumerate(chain)}
    return stand | {chain[-1].c: reshaped(Value(node, 2), chain[-1].c.spec.shape)}


def _joined(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    """concat of one step of a sequence after the other: the sequence."""
    parts = [v.node.inputs[0] if v is not None and v.node.op == "reshape" else v for v in inputs]
    axis = node.attrs["axis"] % len(node.outputs[0].shape)
    if len(parts) < 2 or any(p is None or p.node.op != "slice" or p.node.attrs["axis"] != axis for p in parts):
        return None
    slices: list[Node] = [p.node for p in parts if p is not None]
    whole, start = slices[0].inputs[0], slices[0].attrs["start"]
    size = whole.spec.shape
    if whole.node.op != "lstm" or any(n.inputs[0] != whole or n.attrs["start"] != start + k or n.attrs["length"] != 1 for k, n in enumerate(slices)):
        return None
    left, one = (*size[:axis], *size[axis + 1 :]), (*size[:axis], 1, *size[axis + 1 :])
    if any(v is None or v.spec.shape not in (left, one) for v in inputs) or len({len(v.spec.shape) for v in inputs if v is not None}) != 1:
        return None
    every = whole if start == 0 and size[axis] == len(slices) else made("slice", whole, axis=axis, start=start, length=len(slices), step=1, label=node.label)
    return reshaped(every, tuple(node.outputs[0].shape))


def recognize_recurrence(graph: Graph) -> Graph:
    """The steps of an LSTM with constant weights, two or more that follow each other or the body of a loop, as one op over the sequence."""
    cells = [cell for node in graph.nodes() if node.op == "mul" and (cell := _cell(Value(node))) is not None]
    stand: dict[Value, Value] = {}
    for chain, key in _chains(cells, graph):
        stand |= _layer(chain, key, stand)
    for node in graph.nodes():
        if node.op == "loop":
            stand |= _scanned(node)
    if not stand:
        return graph

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        found = _joined(node, inputs) if node.op == "concat" else None
        return None if found is None else [found]

    return rewrite(substituted(graph, stand), change)
