"""Byte convolutions on packed weights (kernels/qconv/qconv2d_packed.h), channels last from one to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.dtypes import DType
from ..core.graph import Graph, Node, Value, rewrite, users
from ..core.registry import OPS
from ..core.tensor import Tensor
from ..ops.pool_nhwc import MAXIMUM
from ..ops.qconv import pack_conv
from .build import constant


def packing_pays(node: Node) -> bool:
    """Where outputs fill the lanes, or the channels of a depthwise one do: smaller ones are quicker with pixels in the lanes (qconv2d)."""
    if node.op != "qconv2d":
        return False
    weights = node.inputs[2]
    if weights is None or weights.node.op != "constant":
        return False
    (o, c, _, _), groups = weights.spec.shape, node.attrs.get("groups", 1)
    return bool(o // groups >= 24 or (c == 1 and o == groups and o >= 16))


PACKED, SPARSE = "qconv2d_packed", "qconv2d_sparse"  # SPARSE: made by passes/sparse.py; it stands channels last as the packed ones do


def made_as(op: str, inputs: Sequence[Value | None], attrs: dict[str, Any], label: str) -> list[Value]:
    return [Value(Node(op, inputs, attrs, OPS[op].specs([None if v is None else v.spec for v in inputs], attrs), label))]


def packed_convolution(node: Node, inputs: Sequence[Value | None], x_last: bool, y_last: bool) -> Value:
    """qconv2d with constant weights as qconv2d_packed; x as it lies."""
    weights = inputs[2]
    assert weights is not None
    data: Tensor = weights.node.data
    packed = pack_conv(data, node.attrs.get("groups", 1), node.attrs.get("dilation_w", 1))
    packed.literal = getattr(data, "literal", False)
    attrs = {**node.attrs, "kernel_h": weights.spec.shape[2], "kernel_w": weights.spec.shape[3], "x_last": int(x_last), "y_last": int(y_last)}
    return made_as(PACKED, [*inputs[:2], constant(packed, weights.node.label), *inputs[3:]], attrs, node.label)[0]


def pack_convolutions(graph: Graph) -> Graph:
    """qconv2d with constant weights becomes qconv2d_packed. Between two of them the image lies channels last, also through a pool of maxima; the first turns
    it, the last turns it back. Pooling inside the convolution's store does not pay (docs/adr/0011)."""
    readers = users(graph)

    def takes_last(reader: Node, v: Value) -> bool:
        if reader is v.node:  # the graph's own output
            return False
        if reader.op == "max_pool2d":
            return v.spec.dtype == DType.uint8 and Value(reader, 1) not in readers and stays_last(reader)
        return (reader.op == SPARSE or packing_pays(reader)) and reader.inputs.index(v) == 0

    def stays_last(node: Node) -> bool:
        found = readers.get(Value(node), [])
        return bool(found) and all(takes_last(r, Value(node)) for r in found)

    def lies_last(v: Value) -> bool:
        return v.node.op == "pool2d_nhwc" or (v.node.op in (PACKED, SPARSE) and bool(v.node.attrs["y_last"]))

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        if node.op == "max_pool2d" and inputs[0] is not None and inputs[0].spec.dtype == DType.uint8 and lies_last(inputs[0]):
            return made_as("pool2d_nhwc", inputs, {**node.attrs, "kind": MAXIMUM}, node.label)
        if node.op != SPARSE and not packing_pays(node):
            return None
        x = inputs[0]
        assert x is not None
        turned = x.node.op == "permute" and tuple(x.node.attrs["axes"]) == (0, 3, 1, 2)      # the layout pass has left it so
        x = x.node.inputs[0] if turned else x
        last = {"y_last": int(stays_last(node)), "x_last": int(turned or lies_last(x))}
        if node.op == SPARSE:
            return made_as(SPARSE, [x, *inputs[1:]], {**node.attrs, **last}, node.label)
        return [packed_convolution(node, [x, *inputs[1:]], bool(last["x_last"]), bool(last["y_last"]))]

    return rewrite(graph, change)
