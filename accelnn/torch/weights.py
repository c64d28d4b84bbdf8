"""Prepared calls on torch's memory: one `_C.Bound` for each combination of shapes and strides, and packed weights that are packed once.

Nothing here touches autograd: tensors come in that why.py has let through, addresses go to C++."""

from __future__ import annotations

import weakref
from math import prod
from typing import Any

import torch
from torch.autograd import forward_ad
from torch.utils.dlpack import from_dlpack

from .. import _C
from ..core.errors import ShapeError
from ..core.registry import KERNELS
from .why import TENSORS, WATCHED

MATMUL: int = KERNELS["matmul"]["number"]
PACK: int = KERNELS["matmul_pack"]["number"]
REDUCE: int = KERNELS["reduce"]["number"]
F32 = 0  # dtype number of csrc/runtime/dtype.h
PANEL = 16
OWN = 1 << 18  # elements: 1 MiB
MOST = 2048  # prepared calls that are kept for one weight, or in all for products without one: variable lengths must not fill the memory

Size = tuple[int, ...]


class Held:
    """What is known of a weight in one state: the prepared calls on it, and its panels once it is used without a gradient.

    The version counter tells of every change that torch itself tracks; the address tells of `weight.data = other`. A write through `weight.data` (an
    average of weights, an older optimizer) tells nobody: a sample of 32 elements, 0.05 us a call, notices what such code does (all elements change);
    a write to a few elements alone needs forget()."""

    __slots__ = ("ref", "version", "address", "shape", "stride", "panels", "sample", "calls", "route")

    def __init__(self, weight: torch.Tensor) -> None:
        key = id(weight)
        self.ref = weakref.ref(weight, lambda _: HELD.pop(key, None))
        self.version, self.address, self.shape, self.stride = weight._version, weight.data_ptr(), weight.shape, weight.stride()
        self.panels: tuple[Any, int] | None = None  # their view and its address
        self.sample = 0
        self.calls: dict[tuple[Any, ...], list[Any]] = {}  # the call, the shape of its result, whether the route knows it
        self.route: Any = _C.Route() if ROUTES else None

    def describes(self, weight: torch.Tensor) -> bool:
        return (self.version == weight._version and self.address == weight.data_ptr() and self.shape == weight.shape
                and self.stride == weight.stride() and self.ref() is weight)  # fmt: skip

    @property
    def bytes(self) -> int:
        return 4 * prod(self.shape)

    def pack(self, weight: torch.Tensor) -> None:
        """W^T in panels [ceil(N / 16), K, 16], in accelnn's memory: 64-byte aligned, from 2 MiB on in huge pages."""
        n, k = self.shape
        shape = ((n + PANEL - 1) // PANEL, k, PANEL)
        # The sample first: a write that comes while we pack is then noticed at the next call.
        self.sample = _C.sample(self.address, self.bytes)
        panels = _C.View.empty(shape, F32)
        _C.Bound(PACK, (((k, n), self.stride[::-1], F32),), {}, ((shape, None, F32),))(self.address, panels.address)
        self.panels = panels, panels.address  # last: another thread that sees them finds the rest in place


HELD: dict[int, Held] = {}
LOOSE: dict[tuple[Any, ...], Any] = {}  # prepared products of no weight in particular


def forget(*modules: torch.nn.Module) -> None:
    """Drops what is packed, of all weights or of those of `modules`: after writing single elements through `.data`, or to have the memory back."""
    if not modules:
        HELD.clear()
    for module in modules:
        for p in module.parameters():
            HELD.pop(id(p), None)


def _rows(x: torch.Tensor) -> tuple[Size, Size]:
    """Shape and strides of x as at least a matrix."""
    return (x.shape, x.stride()) if x.dim() > 1 else ((1, *x.shape), (0, *x.stride()))


def prepare(x: torch.Tensor, shape: Size, stride: Size, bias: torch.Tensor | None, packed: bool) -> tuple[Any, Size]:
    """x @ W^T (+ bias) for one shape of x: the call, and the shape of its output. Shapes that do not fit raise ShapeError."""
    if len(shape) != 2 or not 1 <= x.dim() or (bias is not None and bias.shape != shape[:1]):
        raise ShapeError(f"linear: {tuple(x.shape)} and {tuple(shape)}")
    (n, k), (a_shape, a_stride) = shape, _rows(x)
    batch = a_shape[:-2]
    right = (((n + PANEL - 1) // PANEL, k, PANEL), None, F32) if packed else ((*batch, k, n), (*(0 for _ in batch), *stride[::-1]), F32)
    inputs = ((a_shape, a_stride, F32), right, None if bias is None else ((n,), None, F32))
    return _C.Bound(MATMUL, inputs, {"packed": int(packed)}, (((*a_shape[:-1], n), None, F32),)), (*x.shape[:-1], n)


def forward(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, pack: bool) -> torch.Tensor:
    """x @ weight.T + bias by our kernels. `pack`: the weight does not change from call to call."""
    held = HELD.get(id(weight))
    try:
        if held is None or not held.describes(weight):
            held = HELD[id(weight)] = Held(weight)
    except RuntimeError:  # an inference tensor has no version counter: nothing of it can be kept
        call, shape = prepare(x, weight.shape, weight.stride(), bias, False)
        return _run(call, x, shape, weight.data_ptr(), bias)
    if pack:
        if held.panels is not None and held.sample != _C.sample(held.address, held.bytes):
            held = HELD[id(weight)] = Held(weight)
        if held.panels is None:  # at the first use: it costs as much as three products with one row, but so all answers have the same bits
            held.pack(weight)
    panels = held.panels if pack else None
    key = (x.shape, x.stride(), None if bias is None else bias.shape, panels is None, pack)
    found = held.calls.get(key)
    if found is None:
        if len(held.calls) >= MOST:
            held.calls = {}
        found = held.calls[key] = [*prepare(x, held.shape, held.stride, bias, panels is not None), not ROUTES]
    call, shape, routed = found
    right = held.address if panels is None else panels[1]
    y = _run(call, x, shape, right, bias)
    if not routed:
        found[2] = True
        packed = (held.bytes, right, panels) if panels is not None else (0, 0, None)
        held.route.add((x, weight, bias), call, shape, held.version, pack, prod(shape) >= OWN, *packed)
    return y


def _empty(like: torch.Tensor, shape: Size) -> torch.Tensor:
    """Memory for a result, its contents undefined.

    From 1 MiB on it is accelnn's: kept for the next step, in 2 MiB pages. The C library gives such sizes back to the system and takes them again at
    every step, page by page: a training step at 768 -> 3072 takes 4.0 instead of 3.6 ms with 8 rows, 12.4 instead of 12.0 with 64."""
    if prod(shape) >= OWN:
        return from_dlpack(_C.View.empty(shape, F32).dlpack())
    # new(*sizes) takes the dtype of `like` whatever the default is, at half of the price of new_empty(sizes): 0.78 against 1.31 us.
    return like.new(*shape)


# Newer torch (2.13) has the table through which C++ reads a tensor; without it all calls go the way of forward() (5.6 instead of 3.7 us).
_exchange = getattr(torch.Tensor, "__dlpack_c_exchange_api__", None)
# What Inductor's programs make their results with, past the parser of torch's Python functions: 0.46 us where new() takes 0.85.
_strided = getattr(getattr(getattr(torch._C, "_dynamo", None), "guards", None), "_empty_strided_cpu", None)
ROUTES = _exchange is not None and _C.routes(_exchange, TENSORS, WATCHED, torch.is_grad_enabled, _empty, (_strided, torch.float32), (HELD, "route"),
                                             (forward_ad, "_current_level"))  # fmt: skip


def _run(call: Any, x: torch.Tensor, shape: Size, right: int, bias: torch.Tensor | None) -> torch.Tensor:
    y = _empty(x, shape)
    if bias is None:
        call(x.data_ptr(), right, y.data_ptr())
    else:
        call(x.data_ptr(), right, bias.data_ptr(), y.data_ptr())
    return y


def product(a: torch.Tensor, b: torch.Tensor, transposed: bool = False) -> torch.Tensor:
    """a @ b, or a.T @ b without making a view of a: two matrices in, a new one out."""
    key = (a.shape, a.stride(), b.shape, b.stride(), transposed)
    found = LOOSE.get(key)
    if found is None:
        shape, turn = (a.shape[1 if transposed else 0], b.shape[1]), -1 if transposed else 1
        left = (a.shape[::turn], a.stride()[::turn], F32)
        found = _keep(key, _C.Bound(MATMUL, (left, (b.shape, b.stride(), F32)), {}, ((shape, None, F32),)), shape)
    y = _empty(a, found[1])
    found[0](a.data_ptr(), b.data_ptr(), y.data_ptr())
    return y


def sum_of_rows(a: torch.Tensor) -> torch.Tensor:
    """a.sum(0) of a matrix. torch's own would wake its OpenMP threads, which spin on afterwards where our worker wants to run: on two cores a
    training step at 768 -> 3072 with 128 rows took 15.0 instead of 11.8 ms."""
    key = (a.shape, a.stride())
    found = LOOSE.get(key)
    if found is None:
        shape = (a.shape[1],)
        found = _keep(key, _C.Bound(REDUCE, ((a.shape, a.stride(), F32),), {"kind": 0, "axes": [0]}, ((shape, None, F32),)), shape)
    y = _empty(a, found[1])
    found[0](a.data_ptr(), y.data_ptr())
    return y


def _keep(key: tuple[Any, ...], call: Any, shape: Size) -> tuple[Any, Size]:
    if len(LOOSE) >= MOST:
        LOOSE.clear()
    LOOSE[key] = call, shape
    return call, shape
