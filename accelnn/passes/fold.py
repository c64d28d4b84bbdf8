"""Computes at compile time what depends on constants alone."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.dispatch import contiguous, run
from ..core.graph import Graph, Node, Value, rewrite, symbolic
from ..core.registry import OPS
from ..core.tensor import Tensor


def constant(tensor: Tensor, label: str = "") -> Value:
    return Value(Node("constant", (), {}, (tensor.spec,), label, data=tensor))


def fold(graph: Graph) -> Graph:
    """Every op whose operands are all constants becomes a constant. Broadcasts stay: they would only grow."""

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        known = [v is None or v.node.op == "constant" for v in inputs]
        if node.is_source or not inputs or not all(known) or node.op == "expand" or symbolic(s.shape for s in node.outputs):
            return None
        views = [None if v is None else v.node.data.view for v in inputs]
        results = run(OPS[node.op], views, node.attrs, node.outputs)
        return [constant(Tensor(contiguous(view), literal=True), node.label) for view in results]

    return rewrite(graph, change)
