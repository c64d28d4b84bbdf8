"""What passes make graphs of: nodes with their shape rule applied, constants, and the numbers in them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dtypes import DType
from ..core.graph import Graph, Node, Spec, Value, users
from ..core.registry import OPS
from ..core.tensor import Tensor, tensor


def made(op: str, *inputs: Value | None, label: str = "", **attrs: Any) -> Value:
    """The first output of a new node, its specs by the op's own rule."""
    return Value(Node(op, inputs, attrs, OPS[op].specs([None if v is None else v.spec for v in inputs], attrs), label))


def constant(tensor: Tensor, label: str = "") -> Value:
    return Value(Node("constant", (), {}, (tensor.spec,), label, data=tensor))


def number(value: float) -> Value:
    """A float32 scalar."""
    return constant(Tensor(tensor(np.float32(value)).view, literal=True))


def literal(v: Value | None) -> float | None:
    """The number of a float32 constant of one element, where it is finite."""
    if v is None or v.node.op != "constant" or v.spec.dtype != DType.float32 or any(s != 1 for s in v.spec.shape):
        return None
    found = float(v.node.data.numpy().reshape(()))
    return found if np.isfinite(found) else None


def reshaped(v: Value, shape: tuple[Any, ...]) -> Value:
    """v in another shape, as one window of what it is a window of."""
    while v.node.op == "reshape":
        v = v.node.inputs[0]
    return v if v.spec.shape == shape else Value(Node("reshape", (v,), {"shape": shape}, (Spec(shape, v.spec.dtype),), v.node.label))


def is_elementwise(node: Node) -> bool:
    """Whether it is an op that runs as a pointwise program, not yet one."""
    return not node.is_source and not node.is_flow and OPS[node.op].program is not None


def only_user(graph: Graph) -> dict[Value, Node | None]:
    """The node that alone reads a value, once."""
    return {v: found[0] if len(found) == 1 and found[0] is not v.node else None for v, found in users(graph).items()}
