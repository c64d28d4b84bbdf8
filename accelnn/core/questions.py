"""What csrc/bindings/caller.cpp asks when it does not know by itself: the first call of a kind, calls that are traced, operands that are no Tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _C
from . import remote_call
from .dispatch import lower
from .dtypes import SELDOM, DType
from .errors import DTypeError, GraphError
from .graph import Node
from .registry import OPS
from .remote import Remote
from .tensor import Tensor, as_tensor, mode

OWN = (DType.int32, DType.int64, *SELDOM)  # dtypes with operators of their own
OPERATORS = ("add", "sub", "mul", "div", "pow", "lt", "le", "gt", "ge", "eq", "ne")
_arithmetic: Callable[..., Any]


def _slow(name: str, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
    """A call that is traced, or has operands that are no Tensors."""
    op = OPS[name]
    for x in inputs:
        if hasattr(x, "__accelnn_function__"):  # something that stands for a tensor and knows what the op means for it: a packed weight
            return x.__accelnn_function__(name, inputs, attrs)
    operands = [x if x is None or isinstance(x, Tensor) else as_tensor(x) for x in inputs]
    if name in OPERATORS and any(x is not None and x.dtype in OWN for x in operands):
        return _arithmetic(name, *operands)
    if mode.trace is not None:
        made = mode.trace.record(op, operands, attrs)
        return made if len(made) > 1 else made[0]
    if any(x is not None and isinstance(x.view, Remote) for x in operands):
        return remote_call.call(op, operands, attrs)
    for x in operands:
        if x is not None and x.view is None:
            raise GraphError(f"{name}: a tensor of a trace that has ended; return it from the traced function instead of keeping it")
    return op.call(*operands, **attrs)


def _resolve_call(name: str, inputs: tuple[Tensor | None, ...], attrs: dict[str, Any]) -> Any:
    """The first eager call with operands like these."""
    op = OPS[name]
    outputs = op.specs([None if x is None else x.spec for x in inputs], attrs)
    return (*lower(op, [None if x is None else x.view for x in inputs], attrs, outputs)[:2], outputs, op.number if op.view is None else -1)


def tape(name: str, inputs: tuple[Tensor | None, ...], attrs: dict[str, Any], outputs: tuple[Tensor, ...]) -> None:
    """Puts an eager call on the tape."""
    node = Node(name, inputs, attrs, tuple(y.spec for y in outputs))
    node.saved = tuple(y.view for y in outputs)
    node.versions = tuple(-1 if x is None else x.view.version for x in inputs)
    for i, y in enumerate(outputs):
        if y.dtype.is_float:
            y.node, y.index = node, i


def _mixed(name: str, a: Any, b: Any) -> Any:
    """An operator between a Tensor and something else, which takes the Tensor's dtype if it is a number; or between integers or float64."""
    for x in (a, b):
        if hasattr(x, "__accelnn_function__"):
            return x.__accelnn_function__(name, (a, b), {})
    tensor = a if isinstance(a, Tensor) else b
    try:
        a, b = (x if isinstance(x, Tensor) else as_tensor(x, None if isinstance(x, np.ndarray) else tensor.dtype) for x in (a, b))
    except DTypeError:
        return NotImplemented
    if name in OPERATORS and (a.dtype in OWN or b.dtype in OWN):
        return _arithmetic(name, a, b)
    return OPS[name].call(a, b)


def connect(arithmetic: Callable[..., Any]) -> None:
    """Once the ops are registered. arithmetic(name, a, b): an operator of which an operand is of one of the dtypes OWN."""
    global _arithmetic
    _arithmetic = arithmetic
    operators = ("add", "sub", "mul", "div", "matmul", "pow", "lt", "le", "gt", "ge", "eq", "ne")
    _C.connect(Tensor, _slow, _resolve_call, tape, _mixed, [OPS[name].call for name in operators])
