"""Weights of matrix products in the layout that all CPU kernels share (kernels/matmul/matmul.h): packed once, read for ever."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.graph import Graph, Node, Value, rewrite
from ..core.registry import OPS


def pack(graph: Graph) -> Graph:
    """matmul and qmatmul by a constant matrix get a `matmul_pack` before it; `fold` then runs that."""

    def is_weight(v: Value) -> bool:
        source = v.node
        while source.op in ("permute", "alias", "detach"):
            source = source.inputs[0].node
        return source.op == "constant" and len(v.spec.shape) == 2

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
