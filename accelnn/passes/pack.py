"""Weights of matrix products in the layout that all CPU kernels share (kernels/matmul/matmul.h): packed once, read for ever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.graph import Graph, Node, Value, rewrite, symbolic
from ..core.registry import OPS
from ..core.tensor import Tensor, apply, no_grad
from ..ops.recurrent_math import GATES
from .build import is_elementwise

WINDOWS = ("permute", "reshape", "slice", "alias", "detach")
RECURRENT_WEIGHTS = (1, 2, 6, 7)  # w_ih and w_hh of both directions
PACKINGS = ("matmul_pack", "conv2d_pack", "recurrent_pack")


def _source(v: Value) -> Node:
    node = v.node
    while node.op in WINDOWS:
        node = node.inputs[0].node
    return node


def is_pointwise(node: Node) -> bool:
    return node.op == "pointwise" or is_elementwise(node)


def is_fixed(v: Value, written: set[int]) -> bool:
    """Whether a value is a constant, a state that the graph only reads, or computed element by element from such; `written`: ids of the other states."""
    node = v.node
    if node.is_source:
        return node.op == "constant" or (node.op == "state" and id(node) not in written)
    if not node.inputs or not (node.op in WINDOWS or is_pointwise(node)):
        return False
    return all(operand is None or is_fixed(operand, written) for operand in node.inputs)


def pack(graph: Graph, states: bool = False) -> Graph:
    """matmul and qmatmul by a constant matrix get a `matmul_pack` before it, recurrent layers a `recurrent_pack` before each weight; `fold` then runs that.
    With `states` also those by a tensor that the graph only reads; `hoist` then takes the packing out of the graph."""
    written = {id(state) for state, _ in graph.updates}

    def is_weight(v: Value) -> bool:
        return (states or _source(v).op == "constant") and is_fixed(v, written) and len(v.spec.shape) == 2

    def packed(weight: Value, op: str, attrs: dict[str, Any], label: str) -> Value:
        return Value(Node(op, (weight,), attrs, OPS[op].specs([weight.spec], attrs), label))

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        if node.op in GATES and not node.attrs.get("packed"):
            weights = [i for i in RECURRENT_WEIGHTS if i < len(inputs) and inputs[i] is not None]
            w_hh = inputs[2]
            if w_hh is None or not all(is_weight(v) for i in weights if (v := inputs[i]) is not None):
                return None
            gates = GATES[node.op]
            replaced = [packed(v, "recurrent_pack", {"gates": gates}, node.label) if i in weights and v is not None else v for i, v in enumerate(inputs)]
            attrs = {**node.attrs, "packed": 1, "hidden": w_hh.spec.shape[0] // gates}
            made = Node(node.op, replaced, attrs, node.outputs, node.label)
            return [Value(made, i) for i in range(len(node.outputs))]
        at = {"matmul": 1, "qmatmul": 2, "dynamic_qmatmul": 1}.get(node.op)
        matrix = inputs[at] if at is not None else None
        if at is None or matrix is None or node.attrs.get("packed") or not is_weight(matrix):
            return None
        if len(node.outputs[0].shape) != 2 and node.op != "dynamic_qmatmul":
            return None
        operands = [*inputs[:at], packed(matrix, "matmul_pack", {}, node.label), *inputs[at + 1 :]]
        attrs = {**node.attrs, "packed": 1} | ({"columns": matrix.spec.shape[1]} if node.op == "matmul" else {})
        return [Value(Node(node.op, operands, attrs, node.outputs, node.label))]

    return rewrite(graph, change)


class Hoisted:
    """What a graph reads as a state of its own, because it follows from tensors that the graph only reads: packed weights, folded ones."""

    def __init__(self, node: Node) -> None:
        self.node = node
        states = [n for n in Graph([], [Value(node)]).nodes() if n.op == "state"]
        self.sources: list[Tensor] = [n.data for n in states]
        self.result = self.compute()

    def compute(self) -> Tensor:
        self.versions = [t.view.version for t in self.sources]
        known: dict[int, Tensor] = {}
        with no_grad():
            for node in Graph([], [Value(self.node)]).nodes():
                if node.is_source:
                    known[id(node)] = node.data.detach()
                else:
                    operands = [None if v is None else known[id(v.node)] for v in node.inputs]
                    if node.op == "pointwise":          # made of ops that broadcast; itself it takes strides of 0
                        operands = [None if t is None else apply("expand", t, shape=node.attrs["shape"]) for t in operands]
                    known[id(node)] = apply(node.op, *operands, **node.attrs)
        return known[id(self.node)]

    def refresh(self) -> None:
        """After a source was written: the same memory with what follows from it now."""
        if self.versions != [t.view.version for t in self.sources]:
            self.result.assign(self.compute())


def _follows(graph: Graph) -> set[int]:
    """Nodes (their ids) that are packings, windows of or pointwise in states that the graph only reads."""
    written = {id(state) for state, _ in graph.updates}
    found: set[int] = set()
    for node in graph.nodes():
        if node.is_source or not node.inputs or len(node.outputs) != 1 or symbolic(s.shape for s in node.outputs):
            continue
        if not (node.op in PACKINGS or node.op in WINDOWS or is_pointwise(node)):
            continue
        if all(v is None or id(v.node) in found or (v.node.op in ("constant", "state") and id(v.node) not in written) for v in node.inputs):
            found.add(id(node))
    return found


def hoist(graph: Graph) -> tuple[Graph, list[Hoisted]]:
    """Takes out of a graph what follows from tensors that it only reads: computed once, and again when one of them has been written. The last of such a
    chain is kept, not what leads to it. Scalars stay, they cost nothing; so does all but packings in a graph that writes states (a training step)."""
    follows = _follows(graph)
    kept: set[int] = set()
    for node in graph.nodes():
        if id(node) in follows:
            continue
        for v in node.inputs:
            source = None if v is None else _source(v)
            if source is not None and id(source) in follows and source.outputs[0].shape and (source.op in PACKINGS or not graph.updates):
                kept.add(id(source))
    found: list[Hoisted] = []

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        if id(node) not in kept or all(n.op != "state" for n in Graph([], [Value(node)]).nodes()):
            return None
        found.append(Hoisted(node))
        return [Value(Node("state", (), {}, node.outputs, node.label, data=found[-1].result))]

    return rewrite(graph, change), found
