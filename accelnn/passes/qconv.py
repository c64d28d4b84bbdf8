"""Byte convolutions on packed weights (kernels/qconv/qconv2d_packed.h), channels last from one to the next."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.graph import Graph, Node, Value, rewrite, users
from ..core.registry import OPS
from ..core.tensor import Tensor
from ..ops.qconv import pack_conv
from .fold import constant


def _pays(node: Node) -> bool:
    """Where outputs fill the lanes, or the channels of a depthwise one do: smaller ones are quicker with pixels in the lanes (qconv2d)."""
    if node.op != "qconv2d":
        return False
    weights = node.inputs[2]
    if weights is None or weights.node.op != "constant":
        return False
    (o, c, _, _), groups = weights.spec.shape, node.attrs.get("groups", 1)
    return bool(o // groups >= 24 or (c == 1 and o == groups and o >= 16))


SPARSE = "qconv2d_sparse"  # made by passes/sparse.py; it stands channels last as the packed ones do


def pack_convolutions(graph: Graph) -> Graph:
    """qconv2d with constant weights becomes qconv2d_packed. Between two of them the image lies channels last; the first turns it, the last turns it back."""
    readers = users(graph)

    def stays_last(node: Node) -> bool:
        found = readers.get(Value(node), [])
        return all((_pays(r) or r.op == SPARSE) and r is not node and r.inputs.index(Value(node)) == 0 for r in found) and bool(found)

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        if node.op != SPARSE and not _pays(node):
            return None
        x, weights = inputs[0], inputs[2]
        assert x is not None and weights is not None
        last = {"y_last": int(stays_last(node)), "x_last": int(x.node.op in ("qconv2d_packed", SPARSE) and x.node.attrs["y_last"])}
        if node.op == SPARSE:
            attrs = {**node.attrs, **last}
            return [Value(Node(SPARSE, inputs, attrs, OPS[SPARSE].specs([None if v is None else v.spec for v in inputs], attrs), node.label))]
        data: Tensor = weights.node.data
        packed = pack_conv(data, node.attrs.get("groups", 1), node.attrs.get("dilation_w", 1))
        packed.literal = getattr(data, "literal", False)
        attrs = {**node.attrs, "kernel_h": weights.spec.shape[2], "kernel_w": weights.spec.shape[3], **last}
        operands = [*inputs[:2], constant(packed, weights.node.label), *inputs[3:]]
        specs = OPS["qconv2d_packed"].specs([None if v is None else v.spec for v in operands], attrs)
        return [Value(Node("qconv2d_packed", operands, attrs, specs, node.label))]

    return rewrite(graph, change)
