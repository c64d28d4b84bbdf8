"""Weights of matrix products in the layout that all CPU kernels share (kernels/matmul/matmul.h): packed once, read for ever."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.graph import Graph, Node, Value, rewrite
from ..core.registry import OPS
from ..core.tensor import Tensor, apply, no_grad

WINDOWS = ("permute", "alias", "detach")
PACKINGS = ("matmul_pack", "conv2d_pack")


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
    """matmul and qmatmul by a constant matrix get a `matmul_pack` before it; `fold` then runs that. With `states` also those by a tensor that the
    graph only reads; `hoist` then takes the packing out of the graph."""
    written = {id(state) for state, _ in graph.updates}

    def is_weight(v: Value) -> bool:
        source = _source(v)
        fixed = source.op == "constant" or (states and source.op == "state" and id(source) not in written)
        return fixed and len(v.spec.shape) == 2

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        at = {"matmul": 1, "qmatmul": 2}.get(node.op)
        weights = inputs[at] if at is not None else None
        if at is None or weights is None or node.attrs.get("packed") or not is_weight(weights) or len(node.outputs[0].shape) != 2:
            return None
        packing = Node("matmul_pack", (weights,), {}, OPS["matmul_pack"].specs([weights.spec], {}), node.label)
        operands = [*inputs[:at], Value(packing), *inputs[at + 1 :]]
        attrs = {**node.attrs, "packed": 1} | ({"columns": weights.spec.shape[1]} if node.op == "matmul" else {})
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
