"""Convolutions whose weights are mostly zero in whole blocks (accelnn.sparsify_conv): only the other blocks are kept and multiplied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.graph import Graph, Node, Value, rewrite
from ..core.registry import OPS
from ..core.tensor import tensor
from ..ops.sparse_conv import block_density, packed_blocks
from .build import constant

# The most blocks that may hold something. At 20 % of them, one thread, AVX-512: 1.4 (64x56x56) to 2.9 times (512x7x7) as fast as F(4,3) of the whole float32
# weights, 3.3 to 3.7 times the direct sum for 1x1; int8 2.8 (beside F(4,3)) to 4.4 times, 3.5 times for 1x1 of 1024 channels, but 1.9 times from 64
# channels to 256: requantizing 256 outputs then takes longer than their products (137 of the dense 268 us; the products alone would be 35).
MOST = 0.3


def _worth(node: Node, weights: Value | None) -> bool:
    if weights is None or weights.node.op != "constant" or node.attrs.get("groups", 1) != 1 or not weights.node.data.numpy().size:
        return False
    return block_density(weights.node.data.numpy()) <= MOST


def sparsify_convolutions(graph: Graph) -> Graph:
    """conv2d and qconv2d by constant weights of one group become conv2d_sparse and qconv2d_sparse where at least 70 % of the blocks are zero."""

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        at = {"conv2d": 1, "qconv2d": 2}.get(node.op)
        if at is None or not _worth(node, inputs[at]):
            return None
        weights = inputs[at]
        assert weights is not None
        w = weights.node.data.numpy()
        blocks: list[Value | None] = [constant(tensor(a), weights.node.label) for a in packed_blocks(w)]
        attrs: dict[str, Any] = {k: v for k, v in node.attrs.items() if k != "exact"} | {"kernel_h": w.shape[2], "kernel_w": w.shape[3]}
        if node.op == "conv2d":
            operands = [inputs[0], *blocks, *inputs[2:]]
            attrs["channels"] = w.shape[0]
        else:
            sums = constant(tensor(w.sum((1, 2, 3), dtype=np.int32)), weights.node.label)
            operands = [*inputs[:2], *blocks, inputs[3], sums, *inputs[4:]]
        op = "conv2d_sparse" if node.op == "conv2d" else "qconv2d_sparse"
        specs = OPS[op].specs([None if v is None else v.spec for v in operands], attrs)
        return [Value(Node(op, operands, attrs, specs, node.label))]

    return rewrite(graph, change)
