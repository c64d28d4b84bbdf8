"""Operations that only look at memory differently, and the two that move it (copy, cast)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dims import AnySize, Shape, product
from ..core.dispatch import broadcast_strides
from ..core.dtypes import DType, as_dtype
from ..core.errors import ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor
from .elementwise import broadcast


def _contiguous_strides(shape: Shape) -> tuple[AnySize, ...]:
    strides: list[AnySize] = []
    step: AnySize = 1
    for s in reversed(shape):
        strides.append(step)
        step = step * s
    return tuple(reversed(strides))


def is_contiguous(shape: Shape, stride: Shape) -> bool:
    return all(a == b or s == 1 for s, a, b in zip(shape, stride, _contiguous_strides(shape)))


def _reshape_shape(x: Spec, shape: Shape) -> Spec:
    if product(x.shape) != product(shape):
        raise ShapeError(f"reshape: {x} has not as many elements as {tuple(shape)}")
    return Spec(tuple(shape), x.dtype)


def _reshape_view(shape: Shape, stride: Shape, to: Shape, attrs: dict[str, Any]) -> Any:
    return (to, _contiguous_strides(to), 0) if is_contiguous(shape, stride) else None


def _permute_shape(x: Spec, axes: tuple[int, ...]) -> Spec:
    if sorted(axes) != list(range(len(x.shape))):
        raise ShapeError(f"permute: {axes} is not an order of the {len(x.shape)} dimensions of {x}")
    return Spec(tuple(x.shape[a] for a in axes), x.dtype)


def _expand_shape(x: Spec, shape: Shape) -> Spec:
    pad = len(shape) - len(x.shape)
    if pad < 0:
        raise ShapeError(f"expand: {x} to {tuple(shape)}")
    full = tuple(x.shape[i - pad] if isinstance(s, int) and s == -1 else s for i, s in enumerate(shape))
    if broadcast("expand", x.shape, full) != full:
        raise ShapeError(f"expand: {x} does not broadcast to {full}")
    return Spec(full, x.dtype)


def _slice_shape(x: Spec, axis: int, start: AnySize, length: AnySize, step: int) -> Spec:
    size = x.shape[axis] if 0 <= axis < len(x.shape) else None
    known = [n for n in (start, length, step) if isinstance(n, int)]
    if size is None or any(n < 0 for n in known):
        raise ShapeError(f"slice: {length} elements of {x} from {start} in steps of {step} along axis {axis}")
    if len(known) == 3 and isinstance(size, int) and length and start + (length - 1) * step >= size:
        raise ShapeError(f"slice: {length} elements of {x} from {start} in steps of {step} along axis {axis}, which has {size}")
    return Spec((*x.shape[:axis], length, *x.shape[axis + 1 :]), x.dtype)


def _slice_view(shape: Shape, stride: Shape, to: Shape, attrs: dict[str, Any]) -> Any:
    axis = attrs["axis"]
    step = 1 if to[axis] in (0, 1) else attrs["step"]  # a step to nowhere may be of any size
    return to, (*stride[:axis], stride[axis] * step, *stride[axis + 1 :]), attrs["start"] * stride[axis]


def _samples_with(**attrs: Any) -> Any:
    def samples() -> Any:
        x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
        return [((x,), attrs)]

    return samples


def _same(x: Spec, **_: Any) -> Spec:
    return x


reshape = Op("reshape", _reshape_shape, lambda x, shape: x.reshape(shape), view=_reshape_view, samples=_samples_with(shape=(4, 6)))
permute = Op("permute", _permute_shape, lambda x, axes: x.transpose(axes),
             view=lambda shape, stride, to, attrs: (to, tuple(stride[a] for a in attrs["axes"]), 0), samples=_samples_with(axes=(2, 0, 1)))  # fmt: skip
expand = Op("expand", _expand_shape, lambda x, shape: np.broadcast_to(x, shape),
            view=lambda shape, stride, to, attrs: (to, broadcast_strides(shape, stride, to), 0), samples=_samples_with(shape=(5, 2, 3, 4)))  # fmt: skip
slice_ = Op("slice", _slice_shape, lambda x, axis, start, length, step: np.take(x, range(start, start + length * step, step), axis),
            view=_slice_view, samples=_samples_with(axis=1, start=1, length=2, step=1))  # fmt: skip
alias = Op("alias", _same, lambda x: x, view=lambda shape, stride, to, attrs: (shape, stride, 0), samples=_samples_with())
detach = Op("detach", _same, lambda x: x, view=lambda shape, stride, to, attrs: (shape, stride, 0), samples=_samples_with())


def _of_every_dtype(**attrs: Any) -> Any:
    def samples() -> Any:
        return [((np.arange(24).reshape(2, 3, 4).astype(d.storage),), attrs) for d in DType if d != DType.bfloat16]

    return samples


move = Op("move", lambda x, device: Spec(x.shape, x.dtype), lambda x, device: x, kernel="copy", strided=True, samples=_samples_with(device="cpu"),
          doc="What Tensor.to(device) leaves on the tape; called as an op it is a copy where the tensor is.")  # fmt: skip
copy = Op("copy", _same, lambda x: x, strided=True, samples=_of_every_dtype(), cost=lambda x: (0, 2 * x.dtype.itemsize * product(x.shape)))
cast = Op("cast", lambda x, dtype: Spec(x.shape, as_dtype(dtype)), lambda x, dtype: x, strided=True, samples=_of_every_dtype(dtype=DType.bfloat16))


@reshape.vjp
def _(dy: Tensor, x: Tensor, y: Tensor, shape: Shape) -> Any:
    return dy.reshape(*x.shape)


@permute.vjp
def _(dy: Tensor, x: Tensor, y: Tensor, axes: tuple[int, ...]) -> Any:
    return dy.permute(tuple(axes.index(i) for i in range(len(axes))))


@expand.vjp
def _(dy: Tensor, x: Tensor, y: Tensor, shape: Shape) -> Any:
    return dy  # autograd sums it to the shape of x


@alias.vjp
def _(dy: Tensor, x: Tensor, y: Tensor) -> Any:
    return dy


@detach.vjp
def _(dy: Tensor, x: Tensor, y: Tensor) -> Any:
    return None


@copy.vjp
def _(dy: Tensor, x: Tensor, y: Tensor) -> Any:
    return dy


@cast.vjp
def _(dy: Tensor, x: Tensor, y: Tensor, dtype: DType) -> Any:
    return dy.to(x.dtype) if x.dtype.is_float else None


@move.vjp
def _(dy: Tensor, x: Tensor, y: Tensor, device: str) -> Tensor:
    return dy.to(x.device)
