"""The operators accelnn::linear and accelnn::mm of torch.library, and the function that layers call.

In a compiled graph, under a dispatch mode or through torch.ops the operators run; a plain eager call goes straight to C++ (torch.library's way through
Python costs several times as much as the call), with the same products bit for bit."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd import forward_ad

from .._C import routed
from ..core.errors import ShapeError
from .weights import HELD, forward, product, sum_of_rows
from .why import TENSORS, WATCHED, to_torch

Parameter, Tensor = TENSORS[1], TENSORS[0]
f32, strided = torch.float32, torch.strided

# Bound once: every dotted name on the way of a call costs 20-40 ns.
_compiling = torch.compiler.is_compiling
_function_modes, _dispatch_modes, _transforms, _autocast, _tracing = WATCHED
_grad = torch.is_grad_enabled


def linear(x: Any, weight: Any, bias: Any = None, pack: bool = True) -> Any:
    """torch.nn.functional.linear: x @ weight.T + bias. float32 on the CPU runs our kernels, whatever the strides; everything else is torch's.

    `pack`: keep a packed copy of a weight that needs no gradient and has not changed since the last call."""
    if _compiling():
        return _traced(x, weight, bias)
    y = routed(x, weight, bias, pack)
    if y is not None:
        return y
    # What why.why_not says in words.
    kind, kind_w = type(x), type(weight)
    if ((kind is Tensor or kind is Parameter) and (kind_w is Parameter or kind_w is Tensor) and x.dtype is f32 and weight.dtype is f32
            and x.is_cpu and weight.is_cpu and x.layout is strided is weight.layout and not x.is_neg() and not weight.is_neg() and (bias is None or _fits(bias))
            and not _function_modes() and not _dispatch_modes() and not _transforms() and not _autocast() and not _tracing()
            and forward_ad._current_level < 0):  # fmt: skip
        try:
            if _grad() and (x.requires_grad or weight.requires_grad or (bias is not None and bias.requires_grad)):
                return _apply(x, weight, bias, pack and not weight.requires_grad)
            return forward(x, weight, bias, pack)
        except ShapeError:  # torch says what is wrong with them in the words that its users know
            pass
    return to_torch(x, weight, bias)


def _plain(t: Any) -> bool:
    return type(t) in TENSORS and t.dtype is f32 and t.is_cpu and t.layout is strided and not t.is_neg()


def _fits(bias: Any) -> bool:
    return _plain(bias) and bias.is_contiguous()


def _traced(x: Any, weight: Any, bias: Any) -> Any:
    """Inside torch.compile. Exported programs stay aten's: they must run where accelnn is not."""
    ours = all(t is None or (t.is_cpu and t.dtype is torch.float32) for t in (x, weight, bias))
    if torch.compiler.is_exporting() or torch.is_autocast_enabled("cpu") or not ours or weight.dim() != 2 or x.dim() < 1:
        return torch.nn.functional.linear(x, weight, bias)
    return torch.ops.accelnn.linear(x, weight, bias)


class _Linear(torch.autograd.Function):
    """The eager way with gradients: a step of a 16 -> 16 layer takes 62 us, through the operator 100, torch's own 44."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, pack: bool) -> Any:
        ctx.save_for_backward(x, weight)
        held = HELD.get(id(weight))
        y = None if held is None or held.route is None else held.route(x, weight, bias, pack)
        return forward(x, weight, bias, pack) if y is None else y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        x, weight = ctx.saved_tensors
        # Derivatives of derivatives, and modes that want to see operators: those have derivatives of their own.
        seen = (_grad() or _function_modes() or _dispatch_modes() or _transforms() or _autocast() or _tracing()
                or not (_plain(dy) and _plain(x) and _plain(weight)))  # fmt: skip
        return *_gradients(torch.ops.accelnn.mm if seen else None, dy, x, weight, ctx.needs_input_grad), None


# Without Function.apply's look for wrappers of torch.func: linear() has looked.
_apply = super(torch.autograd.Function, _Linear).apply


def _gradients(mm: Any, dy: Any, x: Any, weight: Any, needed: Any) -> tuple[Any, Any, Any]:
    """dx = dy W, dW = dy^T x, db = sum dy. No transpose is made: the kernels read any strides."""
    need_x, need_w, need_b = needed[:3]
    if x.dim() == 2:
        rows, dy_rows = x, dy
    else:
        rows, dy_rows = x.reshape(-1, weight.shape[1]), dy.reshape(-1, weight.shape[0])
    dx = (mm(dy_rows, weight) if mm else product(dy_rows, weight)) if need_x else None
    # One row is an outer product: nothing but writing, where MKL's stores pass the caches by (a step at 3072 -> 768: 0.83 against 1.75 ms).
    mm_w = torch.mm if mm is None and rows.shape[0] == 1 else mm
    dw = (mm_w(dy_rows.T, rows) if mm_w else product(dy_rows, rows, transposed=True)) if need_w else None
    db = (dy_rows.sum(0) if mm else sum_of_rows(dy_rows)) if need_b else None
    return dx if dx is None or x.dim() == 2 else dx.view(x.shape), dw, db


torch.library.define("accelnn::linear", "(Tensor x, Tensor weight, Tensor? bias) -> Tensor", tags=torch.Tag.pt2_compliant_tag)
torch.library.define("accelnn::mm", "(Tensor a, Tensor b) -> Tensor", tags=torch.Tag.pt2_compliant_tag)


def _ours(*tensors: Any) -> bool:
    return all(t is None or (t.dtype is f32 and t.layout is torch.strided and not t.is_neg() and t.dim() <= 8) for t in tensors)


@torch.library.impl("accelnn::linear", "CPU")
def _linear_cpu(x: Any, weight: Any, bias: Any) -> Any:
    if _ours(x, weight, bias) and weight.dim() == 2 and (bias is None or bias.is_contiguous()):
        try:
            # Inside an operator the gradient mode is off even in a step of training, where packing would be done for each step anew.
            return forward(x, weight, bias, not weight.requires_grad)
        except ShapeError:
            pass
    return torch.nn.functional.linear(x, weight, bias)


@torch.library.impl("accelnn::mm", "CPU")
def _mm_cpu(a: Any, b: Any) -> Any:
    if _ours(a, b) and a.dim() == b.dim() == 2 and a.shape[1] == b.shape[0]:
        return product(a, b)
    return torch.mm(a, b)


@torch.library.register_fake("accelnn::linear")  # type: ignore[untyped-decorator]
def _linear_fake(x: Any, weight: Any, bias: Any) -> Any:
    return x.new_empty((*x.shape[:-1], weight.shape[0]))


@torch.library.register_fake("accelnn::mm")  # type: ignore[untyped-decorator]
def _mm_fake(a: Any, b: Any) -> Any:
    return a.new_empty((a.shape[0], b.shape[1]))


def _save_linear(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(*inputs[:2])


def _linear_backward(ctx: Any, dy: Any) -> Any:
    x, weight = ctx.saved_tensors
    return _gradients(torch.ops.accelnn.mm, dy, x, weight, ctx.needs_input_grad)


def _save_mm(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(*inputs)


def _mm_backward(ctx: Any, dy: Any) -> Any:
    a, b = ctx.saved_tensors
    mm = torch.ops.accelnn.mm
    return mm(dy, b.T) if ctx.needs_input_grad[0] else None, mm(a.T, dy) if ctx.needs_input_grad[1] else None


torch.library.register_autograd("accelnn::linear", _linear_backward, setup_context=_save_linear)
torch.library.register_autograd("accelnn::mm", _mm_backward, setup_context=_save_mm)


def _autocast_rule(op: Any) -> Any:
    """As for aten.linear: operands in autocast's dtype, whichever it is (torch.library.register_autocast takes one for all time)."""

    def cast(t: Any) -> Any:
        return t.to(torch.get_autocast_dtype("cpu")) if isinstance(t, torch.Tensor) and t.is_floating_point() and t.dtype is not torch.float64 else t

    def rule(*operands: Any) -> Any:
        with torch.autocast("cpu", enabled=False):
            return op(*map(cast, operands))

    return rule


for _name in ("linear", "mm"):
    torch.library.impl(f"accelnn::{_name}", "AutocastCPU")(_autocast_rule(getattr(torch.ops.accelnn, _name)))
