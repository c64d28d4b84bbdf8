"""Batch norm by running statistics that a graph only reads (a network in eval mode): into the product before it, or into the pointwise chain around it.

The folded weights are computed in the graph; `hoist` takes that out, and computes it again when a parameter or statistic has been written."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.graph import Graph, Node, Value, rewrite, users
from .build import made, number
from .fold import OUTPUT_AXIS
from .pack import is_fixed


def _along(v: Value, rank: int, axis: int) -> Value:
    """A number for each index of `axis`, of `rank` dimensions."""
    shape = tuple(v.spec.shape[0] if i == axis else 1 for i in range(rank))
    return made("reshape", v, shape=shape)


def fold_live_batch_norm(graph: Graph) -> Graph:
    """((w x + b) - mean) s + shift = (w s) x + ((b - mean) s + shift), s = weight / sqrt(var + eps), where nobody else reads the product (convolutions and
    products with one matrix); elsewhere (x - mean) s + shift, pointwise, so that it joins the activation behind it and follows x into channels last."""
    written = {id(state) for state, _ in graph.updates}
    readers = users(graph)

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        if node.op != "batch_norm_infer" or inputs[0] is None or node.inputs[0] is None:
            return None
        x, mean, var, gain, shift = [*inputs, None, None][:5]
        if x is None or mean is None or var is None or not all(v is None or is_fixed(v, written) for v in inputs[1:]):
            return None
        scale = made("sqrt", made("add", var, number(node.attrs["eps"])))
        scale = made("div", number(1.0) if gain is None else gain, scale)
        rank = len(node.outputs[0].shape)
        product = x.node
        axis, operands = OUTPUT_AXIS.get(product.op), [*product.inputs, *[None] * 4][:4]
        weights, bias = operands[1], operands[2]
        alone = readers[node.inputs[0]] == [node] and not product.attrs.get("activation") and not product.attrs.get("packed") and operands[3] is None
        if axis is None or not alone or weights is None or not is_fixed(weights, written) or not (bias is None or is_fixed(bias, written)) or (
                product.op == "matmul" and (len(weights.spec.shape) != 2 or rank != 2)):  # fmt: skip
            moved = made("mul", made("sub", x, _along(mean, rank, 1)), _along(scale, rank, 1))
            return [moved if shift is None else made("add", moved, _along(shift, rank, 1))]
        moved = made("mul", made("neg", mean) if bias is None else made("sub", bias, mean), scale)
        moved = moved if shift is None else made("add", moved, shift)
        wide = made("mul", weights, _along(scale, len(weights.spec.shape), axis))
        return [Value(Node(product.op, (product.inputs[0], wide, moved), product.attrs, node.outputs, product.label))]

    return rewrite(graph, change)
