"""Computes at compile time what depends on constants alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.dims import product
from ..core.dispatch import contiguous, run
from ..core.dtypes import DType
from ..core.graph import Graph, Node, Spec, Value, rewrite, symbolic, users
from ..core.lazy import LARGE, computed, scaled
from ..core.registry import OPS
from ..core.tensor import Tensor, tensor
from .build import constant


def fold(graph: Graph) -> Graph:
    """Every op whose operands are all constants becomes a constant. Broadcasts stay: they would only grow; except as weights, which are packed whole."""

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        if node.op in OUTPUT_AXIS and any(map(_spread, inputs[1:])):
            whole = [_whole(v) if v is not None and _spread(v) else v for v in inputs]
            return [Value(Node(node.op, whole, node.attrs, node.outputs, node.label))]
        known = [v is None or v.node.op == "constant" for v in inputs]
        if node.is_source or node.is_flow or not inputs or not all(known) or node.op == "expand" or symbolic(s.shape for s in node.outputs):
            return None
        tensors = [None if v is None else v.node.data for v in inputs]
        if len(node.outputs) == 1 and nbytes(node.outputs[0]) >= LARGE and (node.op in CHEAP or OPS[node.op].program is not None):
            return [constant(computed(node, tensors), node.label)]
        views = [None if t is None else t.view for t in tensors]
        return [constant(Tensor(contiguous(view), literal=True), node.label) for view in run(OPS[node.op], views, node.attrs, node.outputs)]

    return rewrite(graph, change)


# Ops that only move numbers: of large weights they are done when the Plan is written, one weight after the other. What lies between a file and its Plan
# (dequantized, transposed, packed) then never exists as a whole.
CHEAP = {"permute", "reshape", "slice", "alias", "detach", "copy", "cast", "concat", "pointwise", "dequantize_linear", "matmul_pack", "conv2d_pack",
         "recurrent_pack"}  # fmt: skip


def _spread(v: Value | None) -> bool:
    """A number or a few, in all of a tensor: what test models have for weights (a ResNet-50: 89 ms a run where they stayed spread, now 61)."""
    return v is not None and v.node.op == "expand" and v.node.inputs[0] is not None and v.node.inputs[0].node.op == "constant" and not symbolic([v.spec.shape])


def _whole(v: Value) -> Value:
    source = v.node.inputs[0]
    assert source is not None
    (view,) = run(OPS["expand"], [source.node.data.view], v.node.attrs, v.node.outputs)
    return constant(Tensor(contiguous(view), literal=True), v.node.label)


def nbytes(spec: Spec) -> int:
    return product(spec.shape) * spec.dtype.itemsize  # type: ignore[return-value]


OUTPUT_AXIS = {"conv2d": 0, "matmul": 1}  # of the weights of products that a scale of their outputs can go into


def fold_batch_norm(graph: Graph) -> Graph:
    """Batch norm by constant statistics, of a convolution or product by constant weights that nobody else reads, goes into weights and bias:
    ((w x + b) - mean) s + bias = (w s) x + ((b - mean) s + bias), s = weight / sqrt(var + eps), in float64 and rounded once."""
    readers = users(graph)

    def array(v: Value | None) -> np.ndarray | None:
        return np.asarray(v.node.data.numpy(), np.float64) if v is not None and v.node.op == "constant" else None

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        if node.op != "batch_norm_infer" or inputs[0] is None or node.inputs[0] is None:
            return None
        product, (mean, var, *affine) = inputs[0].node, map(array, inputs[1:])
        axis = OUTPUT_AXIS.get(product.op)
        if axis is None or readers[node.inputs[0]] != [node] or product.attrs.get("activation") or product.attrs.get("packed"):
            return None
        others = product.inputs[3:]
        weights, bias = product.inputs[1], array(product.inputs[2]) if len(product.inputs) > 2 else None
        known = all(v is None or a is not None for v, a in zip(inputs[1:], (mean, var, *affine)))
        if not known or weights is None or weights.node.op != "constant" or mean is None or var is None or any(v is not None for v in others):
            return None
        if (bias is None and len(product.inputs) > 2 and product.inputs[2] is not None) or len(weights.spec.shape) <= axis:
            return None
        rank: int = len(weights.spec.shape)
        if weights.spec.shape[axis] != len(mean) or weights.spec.dtype != DType.float32:
            return None
        if product.op == "matmul" and not rank == len(node.outputs[0].shape) == 2:
            return None
        gain, shift = (*affine, None, None)[:2]
        scale = (1.0 if gain is None else gain) / np.sqrt(var + node.attrs["eps"])
        moved = ((0.0 if bias is None else bias) - mean) * scale + (0.0 if shift is None else shift)
        wide = scale.reshape([-1 if i == axis else 1 for i in range(rank)])
        made = [constant(t, node.label) for t in (scaled(weights.node.data, wide), Tensor(tensor(moved.astype(np.float32)).view, literal=True))]
        return [Value(Node(product.op, (product.inputs[0], *made), product.attrs, node.outputs, product.label))]

    return rewrite(graph, change)
