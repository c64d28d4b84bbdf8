"""Numbers around products by constant weights go into the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.dtypes import DType
from ..core.graph import Graph, Node, Value, rewrite, users
from ..core.lazy import scaled
from ..core.tensor import Tensor, tensor
from .build import constant, only_user
from .fold import OUTPUT_AXIS

PADS = ("pad_top", "pad_left", "pad_bottom", "pad_right")


def _known(v: Value | None) -> np.ndarray | None:
    return np.asarray(v.node.data.numpy(), np.float64) if v is not None and _is_known(v) else None


def _is_known(v: Value) -> bool:
    return v.node.op == "constant" and v.spec.dtype == DType.float32


def _literal(x: Any, label: str) -> Value:
    return constant(Tensor(tensor(np.ascontiguousarray(x, np.float32)).view, literal=True), label)


def _each(v: Value | None, channels: Any, axis: int) -> np.ndarray | None:
    """A finite constant as a number, or as one for each index of a dimension `axis`, counted from the end."""
    found = _known(v)
    if found is None or not np.isfinite(found).all():
        return None
    if found.size == 1:
        return found.reshape(())
    return found.reshape(-1) if found.size == channels and found.ndim >= axis and found.shape[-axis] == channels else None


def _is_open(product: Node, shared: set[int]) -> bool:
    """A product by known weights that no other node reads (they would lie there twice) and with a known bias, that ends there."""
    plain = product.op in OUTPUT_AXIS and not product.attrs.get("activation") and not product.attrs.get("packed") and len(product.inputs) > 1
    known = plain and product.inputs[1] is not None and all(v is None or _is_known(v) for v in product.inputs[1:3])
    wanted = 4 if product.op == "conv2d" else 2
    return known and id(product.inputs[1].node) not in shared and all(v is None for v in product.inputs[3:]) and len(product.inputs[1].spec.shape) == wanted


def _rebuilt(product: Node, x: Value | None, weights: Value, bias: np.ndarray | None) -> Node:
    operands = [x, weights, *(() if bias is None else (_literal(bias, product.label),))]
    return Node(product.op, operands, product.attrs, product.outputs, product.label)


def _behind(node: Node, product: Node, other: Value | None, first: bool) -> Node | None:
    """The product with node's number inside: w x * s, w x / s, w x + s, w x - s, s - w x."""
    axis = OUTPUT_AXIS[product.op]
    weights, bias = product.inputs[1], _known(product.inputs[2]) if len(product.inputs) > 2 else None
    if weights is None or not _is_known(weights):
        return None
    shape: Any = weights.spec.shape
    s = _each(other, shape[axis], 3 if product.op == "conv2d" else 1)
    if s is None or (node.op == "div" and (not first or not np.all(s))) or node.outputs[0] != product.outputs[0]:
        return None
    gain = {"mul": s, "div": 1 / s if node.op == "div" else s, "sub": np.float64(1 if first else -1)}.get(node.op, np.float64(1))
    shift = {"add": s, "sub": -s if first else s}.get(node.op, np.float64(0))
    wide: Any = gain.reshape([-1 if i == axis else 1 for i in range(len(shape))]) if gain.ndim else gain
    moved = np.zeros(shape[axis]) + shift + (0 if bias is None else bias * gain)
    if node.op in ("mul", "div") or not first:
        weights = constant(scaled(weights.node.data, wide), product.label)
    return _rebuilt(product, product.inputs[0], weights, moved if bias is not None or node.op in ("add", "sub") else None)


def _before(product: Node, node: Node, x: Value, s: np.ndarray) -> Node | None:
    """The product of x itself, where it was of x * s, x / s, x + s or x - s. A shift only where nothing is padded: borders are not shifted."""
    weights, bias = product.inputs[1], _known(product.inputs[2]) if len(product.inputs) > 2 else None
    if weights is None or not _is_known(weights) or (node.op in ("add", "sub") and any(product.attrs.get(p, 0) for p in PADS)):
        return None
    inner = 1 - OUTPUT_AXIS[product.op]
    each = np.broadcast_to(s, (product.inputs[0].spec.shape[-3 if product.op == "conv2d" else -1],))
    if product.op == "conv2d":           # weights [O, C / groups, R, S]: group g reads the channels from g C / groups
        groups = product.attrs.get("groups", 1)
        rows = np.repeat(each.reshape(groups, -1), weights.spec.shape[0] // groups, 0)
        wide = rows.reshape(*rows.shape, 1, 1)
    else:
        wide = each.reshape(-1, 1)
    if node.op in ("mul", "div"):
        return _rebuilt(product, x, constant(scaled(weights.node.data, wide, node.op == "div"), product.label), bias)
    sums = (weights.node.data.numpy() * wide).sum(tuple(i for i in range(len(weights.spec.shape)) if i != 1 - inner)) * product.attrs.get("scale", 1.0)
    return _rebuilt(product, x, weights, (0 if bias is None else bias) + (sums if node.op == "add" else -sums))


def fold_numbers(graph: Graph) -> Graph:
    """A number, or one an output, that a convolution's or product's result is multiplied by, divided by, or shifted by goes into its constant weights (that
    no other node reads) and bias; so does what its operand was multiplied or, without padding, shifted by. Where nobody else reads what lies between. In
    float64, rounded once."""
    alone = only_user(graph)
    shared = {id(v.node) for v, readers in users(graph).items() if len(readers) > 1}

    def after(node: Node, inputs: list[Value | None]) -> Node | None:
        for i in (0, 1):
            old, new = node.inputs[i], inputs[i]
            if old is not None and new is not None and alone.get(old) is node and _is_open(new.node, shared):
                found = _behind(node, new.node, inputs[1 - i], i == 0)
                if found is not None:
                    return found
        return None

    def ahead(node: Node, inputs: list[Value | None]) -> Node | None:
        made = Node(node.op, inputs, node.attrs, node.outputs, node.label)
        old, found, reader = node.inputs[0], None, node
        while old is not None and alone.get(old) is reader and _is_open(made, shared):
            x: Any = made.inputs[0]
            if x.node.op not in ("mul", "div", "add", "sub") or x.node.op != old.node.op:
                break
            axis = 3 if made.op == "conv2d" else 1
            sides = [(i, _each(x.node.inputs[1 - i], x.spec.shape[-axis], axis)) for i in ((0, 1) if x.node.op in ("mul", "add") else (0,))]
            at, s = next(((i, s) for i, s in sides if s is not None and x.node.inputs[i].spec == x.spec), (0, None))
            step = None if s is None or (x.node.op == "div" and not np.all(s)) else _before(made, x.node, x.node.inputs[at], s)
            if step is None:
                break
            made = found = step
            reader, old = old.node, old.node.inputs[at]
        return found

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        found = None
        if node.op in ("mul", "div", "add", "sub") and None not in inputs:
            found = after(node, inputs)
        elif node.op in OUTPUT_AXIS and inputs[0] is not None:
            found = ahead(node, inputs)
        return None if found is None else [Value(found)]

    return rewrite(graph, change)
