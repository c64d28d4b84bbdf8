"""Runs one op on concrete memory: a view, a kernel, or a pointwise program; and tells which row that was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _C
from .dims import Shape
from .graph import Spec
from .registry import KERNELS, OPS, Op

COPY: int = KERNELS["copy"]["number"]


def contiguous(view: Any) -> Any:
    """The same elements in row-major order: the view itself, or a copy."""
    if view.contiguous:
        return view
    if not isinstance(view, _C.View):
        from .remote_call import compact

        return compact(view)
    return _C.call(COPY, (view,), OPS["copy"].packed({}, 1), ((view.shape, view.dtype),))[0]


def expand(view: Any, shape: Shape) -> Any:
    """Broadcast by strides of 0, numpy's rule."""
    if view.shape == shape:
        return view
    return view.strided(shape, broadcast_strides(view.shape, view.stride, shape))


def broadcast_strides(shape: Shape, stride: Sequence[Any], to: Shape) -> tuple[Any, ...]:
    pad = len(to) - len(shape)
    return (0,) * pad + tuple(0 if s == 1 and t != 1 else d for s, d, t in zip(shape, stride, to[pad:]))


def lower(op: Op, views: Sequence[Any], attrs: dict[str, Any], outputs: tuple[Spec, ...]) -> tuple[tuple[Any, ...], Any]:
    """What a call comes to: the kernel's operands and packed attributes; for an op that is a view, the memory and the window on it."""
    if op.view is None:
        return operands(op, views, outputs, attrs), op.packed(attrs, len(views))
    source = views[0]
    window = op.view(source.shape, source.stride, outputs[0].shape, attrs)
    if window is None:
        source = contiguous(source)
        window = op.view(source.shape, source.stride, outputs[0].shape, attrs)
        assert window is not None, f"{op.name} has no view of contiguous memory"
    return (source,), source.strided(*window)


def run(op: Op, views: Sequence[Any], attrs: dict[str, Any], outputs: tuple[Spec, ...]) -> tuple[Any, ...]:
    """Output views of one op call. `views`: an entry an input, None where an operand is left out."""
    inputs, packed = lower(op, views, attrs, outputs)
    return (packed,) if op.view is not None else tuple(_C.call(op.number, inputs, packed, outputs))


def operands(op: Op, views: Sequence[Any], outputs: tuple[Spec, ...], attrs: dict[str, Any]) -> tuple[Any, ...]:
    """The views as the kernel wants them."""
    if op.program is not None:
        shape = outputs[0].shape
        return tuple(expand(v, shape) for v in views)
    if op.name == "matmul":
        return matmul_operands(views, outputs[0].shape, bool(attrs.get("packed")))
    if not op.strided:
        return tuple(None if v is None else contiguous(v) for v in views)
    return tuple(views)


def matmul_operands(views: Sequence[Any], shape: Shape, packed: bool) -> tuple[Any, ...]:
    """Batch dimensions are broadcast by strides of 0; a packed right operand has none. Bias and residual are contiguous."""
    a, b, *rest = views
    if len(shape) > 2:
        a = expand(a, (*shape[:-2], *a.shape[-2:]))
    if len(shape) > 2 and not packed:
        b = expand(b, (*shape[:-2], *b.shape[-2:]))
    return (a, b, *(None if v is None else contiguous(v) for v in rest))


def explain(name: str, inputs: Sequence[Spec | None], attrs: dict[str, Any], isa: int = 0xFFFFFFFF, force: str = "") -> list[tuple[str, str | None]]:
    """Every row of the op with the reason why it would not run this call on a machine capped at `isa`; None: it could. The first such row is the pick."""
    op = OPS[name]
    outputs = op.specs(inputs, attrs)
    views = [None if s is None else _C.View.empty(s.shape, s.dtype) for s in inputs]
    made = tuple(_C.View.empty(s.shape, s.dtype) for s in outputs)
    return list(_C.explain(op.number, operands(op, views, outputs, attrs), op.packed(attrs, len(views)), made, isa, force))
