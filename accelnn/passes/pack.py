"""Weights of matrix products in the layout that all CPU kernels share (kernels/matmul/matmul.h): packed once, read for ever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.graph import Graph, Node, Value, rewrite
from ..core.registry import OPS
from ..core.tensor import Tensor, apply, no_grad
from ..ops.recurrent_math import GATES

WINDOWS = ("permute", "alias", "detach")
RECURRENT_WEIGHTS = (1, 2, 6, 7)  # w_ih and w_hh of both directions
PACKINGS = ("matmul_pack", "conv2d_pack", "recurrent_pack")


def _source(v: Value) -> Node:
    node = v.node
    while node.op in WINDOWS:
        node = node.inputs[0].node
    return node


def is_fixed(v: Value, written: set[int]) -> bool:
    """Whether a value is a constant, or (a window of) a state that the graph only reads; `written`: ids of the others."""
    source = _source(v)
    return source.op == "constant" or (source.op == "state" and id(source) not in written)


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
        at = {"matmul": 1, "qmatmul": 2}.get(node.op)
        matrix = inputs[at] if at is not None else None
        if at is None or matrix is None or node.attrs.get("packed") or not is_weight(matrix) or len(node.outputs[0].shape) != 2:
            return None
        operands = [*inputs[:at], packed(matrix, "matmul_pack", {}, node.label), *inputs[at + 1 :]]
        attrs = {**node.attrs, "packed": 1} | ({"columns": matrix.spec.shape[1]} if node.op == "matmul" else {})
        return [Value(Node(node.op, operands, attrs, node.outputs, node.label))]

    return rewrite(graph, change)


class Hoisted:
    """A packed weight that the graph reads as a state of its own, and the tensor that it was made of."""

    def __init__(self, packing: Node) -> None:
        self.packing = packing
        self.source: Tensor = _source(packing.inputs[0]).data
        self.path: list[Node] = []
        node = packing.inputs[0].node
        while node.op in WINDOWS:
            self.path.insert(0, node)
            node = node.inputs[0].node
        self.packed = self.compute()

    def compute(self) -> Tensor:
        self.version = self.source.view.version
        with no_grad():
            x = self.source.detach()
            for node in self.path:
                x = apply(node.op, x, **node.attrs)
            return apply(self.packing.op, x, **self.packing.attrs)

    def refresh(self) -> None:
        """After the source was written: the same memory with the new panels."""
        if self.version != self.source.view.version:
            self.packed.assign(self.compute())


def hoist(graph: Graph) -> tuple[Graph, list[Hoisted]]:
    """Takes packings of tensors that the graph only reads out of it: done once, and again when the tensor has been written."""
    found: list[Hoisted] = []

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        if node.op not in PACKINGS or _source(node.inputs[0]).op != "state":
            return None
        found.append(Hoisted(node))
        return [Value(Node("state", (), {}, node.outputs, node.label, data=found[-1].packed))]

    return rewrite(graph, change), found
