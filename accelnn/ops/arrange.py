"""Elements moved and never looked at: joined, cut, padded, repeated, turned round."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..core.dims import AnySize, Shape
from ..core.errors import AttributeValueError, ShapeError
from ..core.graph import Spec
from ..core.registry import KERNELS, Op
from ..core.tensor import Tensor, apply, as_tensor
from .elementwise import where
from .indices import OTHERS
from .shape import slice_

MODES = ("constant", "reflect", "replicate", "circular")  # torch's names, in the kernel's order
_NAMES = {**{m: i for i, m in enumerate(MODES)}, "edge": 2, "wrap": 3, "symmetric": -1}
MOST = KERNELS["concat"]["max_in"]


def axis_of(name: str, axis: int, rank: int) -> int:
    """The axis counted from the front, or ShapeError."""
    if not -rank <= axis < rank:
        raise ShapeError(f"{name}: dimension {axis} of {rank}")
    return axis % rank


# concat


def _concat_shape(*inputs: Spec, axis: int) -> Spec:
    first = inputs[0]
    for x in inputs[1:]:
        same = len(x.shape) == len(first.shape) and all(a == b for d, (a, b) in enumerate(zip(x.shape, first.shape)) if d != axis)
        if not same or x.dtype != first.dtype:
            raise ShapeError(f"concat along dimension {axis}: {first} and {x} do not fit")
    if not 0 <= axis < len(first.shape):
        raise ShapeError(f"concat along dimension {axis} of {first}")
    total: AnySize = 0
    for x in inputs:
        total = total + x.shape[axis]
    return Spec((*first.shape[:axis], total, *first.shape[axis + 1 :]), first.dtype)


def _concat_samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for shapes, axis in ((((3,),), 0), (((2, 3), (4, 3)), 0), (((2, 3, 5), (2, 1, 5), (2, 7, 5)), 1), (((33, 2), (33, 17), (33, 0)), 1),
                         (((70, 1000), (1, 1000)), 0), (((0, 3), (0, 3)), 0)):  # fmt: skip
        found.append((tuple(rng.normal(size=s).astype(np.float32) for s in shapes), {"axis": axis}))
    for dtype in OTHERS:
        found.append((tuple(rng.integers(0, 2 if dtype == np.bool_ else 100, (5, n)).astype(dtype) for n in (3, 1, 9)), {"axis": 1}))
    return found


concat_op = Op("concat", _concat_shape, lambda *x, axis: np.concatenate(x, axis), samples=_concat_samples)


@concat_op.vjp
def _(dy: Tensor, *rest: Tensor, axis: int) -> Any:
    found, start = [], 0
    for x in rest[:-1]:
        found.append(cut(dy, axis, start, x.shape[axis]))
        start = start + x.shape[axis]  # type: ignore[assignment]
    return found


# pad


def _padded(n: AnySize, low: AnySize, high: AnySize, step: int) -> AnySize:
    return low + high + (n if step == 1 else 0 if n == 0 else (n - 1) * step + 1)


def _pad_shape(x: Spec, low: Shape, high: Shape, step: tuple[int, ...], mode: int, value: float) -> Spec:
    if not len(low) == len(high) == len(x.shape) or (step and len(step) != len(low)):
        raise ShapeError(f"pad: {len(low)} and {len(high)} numbers for the {len(x.shape)} dimensions of {x}")
    shape = tuple(_padded(n, a, b, s) for n, a, b, s in zip(x.shape, low, high, step or (1,) * len(low)))
    if any(s < 0 for s in shape):
        raise ShapeError(f"pad: {x} cannot lose {low} in front and {high} behind")
    if mode == 1 and any(n <= a or n <= b for n, a, b in zip(x.shape, low, high)):
        raise ShapeError(f"pad: reflecting {x} by {low} in front and {high} behind: each must be less than the dimension")
    if mode and any(n == 0 and s != 0 for n, s in zip(x.shape, shape)):
        raise ShapeError(f"pad: {x} has nothing to repeat")
    return Spec(shape, x.dtype)


def _pad_reference(x: Any, low: Shape, high: Shape, step: tuple[int, ...], mode: int, value: float) -> Any:
    value = np.array(value).astype(x.dtype) if np.asarray(x).dtype.kind != "f" else value  # type: ignore[assignment]
    for d, (a, b) in enumerate(zip(low, high)):
        s = step[d] if step else 1
        n = x.shape[d]
        out: Any = _padded(n, a, b, s)
        k = np.arange(out) - a
        if mode == 0:
            there = (k >= 0) & (k % s == 0) & (k // s < n)
            k = np.where(there, k // s, 0)
            shape = [1] * x.ndim
            shape[d] = out
            x = np.where(there.reshape(shape), np.take(x, k, d), value) if n else np.full((*x.shape[:d], out, *x.shape[d + 1 :]), value, x.dtype)
            continue
        k = np.where(k < 0, -k, np.where(k >= n, 2 * (n - 1) - k, k)) if mode == 1 else np.clip(k, 0, n - 1) if mode == 2 else k % max(n, 1)
        x = np.take(x, k, d)
    return x


_PADS: tuple[Any, ...] = (
    ((5,), (2,), (3,), (), 0), ((3, 4), (1, 0), (0, 2), (), 0), ((2, 3, 4, 5), (0, 0, 1, 2), (0, 0, 2, 1), (), 0),
    ((2, 3, 4, 5), (0, 0, 1, 2), (0, 0, 2, 1), (), 1),
    ((2, 3, 4, 5), (0, 0, 1, 2), (0, 0, 2, 1), (), 2), ((2, 3, 4, 5), (0, 0, 1, 2), (0, 0, 2, 1), (), 3), ((6, 7), (-1, 2), (3, -2), (), 0),
    ((6, 7), (-1, 2), (3, -2), (), 1), ((6, 7), (-1, 2), (3, -2), (), 2), ((6, 7), (-1, 2), (3, -2), (), 3), ((4, 3), (1, -2), (2, 1), (3, 2), 0),
    ((5, 2), (4, 0), (-4, 0), (), 3), ((3, 2), (0, 0), (6, 4), (), 3), ((0, 3), (1, 0), (1, 0), (), 0), ((130, 70), (1, 1), (1, 1), (), 0),
    ((0, 3), (0, 0), (0, 0), (), 3),
)  # fmt: skip


def _pad_samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for i, (shape, low, high, step, mode) in enumerate(_PADS):
        attrs = {"low": low, "high": high, "step": step, "mode": mode, "value": (0.0, 2.5)[i % 2]}
        found.append(((rng.normal(size=shape).astype(np.float32),), attrs))
    for dtype in OTHERS:
        for mode in range(4):
            x = rng.integers(0, 2 if dtype == np.bool_ else 100, (3, 9)).astype(dtype)
            found.append(((x,), {"low": (1, 2), "high": (0, 3), "step": (), "mode": mode, "value": 1.0}))
    return found


pad_op = Op("pad", _pad_shape, _pad_reference, samples=_pad_samples)


def place(x: Tensor, low: Sequence[AnySize], high: Sequence[AnySize], step: Sequence[int] = ()) -> Tensor:
    """x inside zeros."""
    return apply("pad", x, low=tuple(low), high=tuple(high), step=tuple(step), mode=0, value=0.0)


def cut(x: Tensor, axis: int, start: Any, length: Any, step: int = 1) -> Tensor:
    """A stretch of one dimension, as a view."""
    return x if start == 0 and step == 1 and length == x.shape[axis] else apply("slice", x, axis=axis, start=start, length=length, step=step)


def _along(rank: int, axis: int, n: Any) -> tuple[Any, ...]:
    return tuple(n if d == axis else 0 for d in range(rank))


def _fold_wrapped(dy: Tensor, n: AnySize, axis: int, low: AnySize, high: AnySize) -> Tensor:
    """Cut into stretches of n that begin where the first element stood; their sum."""
    if not isinstance(low, int) or not (isinstance(n, int) or low == 0):
        raise ShapeError("the gradient of a circular padding of a dimension of unknown size")
    if isinstance(n, int) and not isinstance(high, int):
        raise ShapeError("the gradient of a circular padding by an unknown number")
    size: Any = n
    before = low and -low % size
    behind = 0 if before == 0 and (low + n + high) % size == 0 else -(before + low + n + high) % size
    rank = dy.ndim
    if before or behind:
        dy = place(dy, _along(rank, axis, before), _along(rank, axis, behind))
    shape = dy.shape
    return dy.reshape(*shape[:axis], shape[axis] // n, n, *shape[axis + 1 :]).sum(axis)


def _fold(dy: Tensor, n: AnySize, axis: int, low: Any, high: Any, mode: int) -> Tensor:
    """What the elements of one padded dimension give back to those that they repeat."""
    if mode == 3:
        return _fold_wrapped(dy, n, axis, low, high)
    rank, out = dy.ndim, dy.shape[axis]
    before, behind = max(low, 0), max(high, 0)
    total = cut(dy, axis, before, out - before - behind)
    if low < 0 or high < 0:
        total = place(total, _along(rank, axis, max(-low, 0)), _along(rank, axis, max(-high, 0)))
    for size, start, front in ((before, 0, True), (behind, out - behind, False)):
        if size == 0:
            continue
        part = cut(dy, axis, start, size)
        if mode == 2:
            part, at = part.sum(axis, keepdim=True), 0 if front else n - 1
        else:
            part, at = flip(part, axis), 1 if front else n - 1 - size
        total = total + place(part, _along(rank, axis, at), _along(rank, axis, n - at - part.shape[axis]))
    return total


@pad_op.vjp
def _(dy: Tensor, x: Tensor, y: Tensor, low: Shape, high: Shape, step: tuple[int, ...], mode: int, value: float) -> Any:
    if mode:
        for d, (a, b) in enumerate(zip(low, high)):
            if a != 0 or b != 0:
                dy = _fold(dy, x.shape[d], d, a, b, mode)
        return dy
    if any(a < 0 for a in (*low, *high)):
        dy = place(dy, [-a if a < 0 else 0 for a in low], [-b if b < 0 else 0 for b in high])
    for d, a in enumerate(low):
        dy = cut(dy, d, a if a > 0 else 0, x.shape[d], step[d] if step else 1)
    return dy


@slice_.vjp
def _(dy: Tensor, x: Tensor, y: Tensor, axis: int, start: Any, length: Any, step: int) -> Any:
    """Back into its place between zeros."""
    n, rank = x.shape[axis], x.ndim
    extent = length if step == 1 else 0 if length == 0 else (length - 1) * step + 1
    steps = tuple(step if d == axis else 1 for d in range(rank)) if step > 1 else ()
    return place(dy, _along(rank, axis, start), _along(rank, axis, n - start - extent), steps)


# flip


def _flip_samples() -> Any:
    rng = np.random.default_rng(0)
    cases: Any = (((5,), (0,)), ((3, 4), (0,)), ((3, 33), (1,)), ((2, 3, 4), (0, 2)), ((2, 3, 1), (2,)), ((0, 3), (1,)), ((2, 70, 40), (1,)), ((3,), ()))
    found: list[Any] = [((rng.normal(size=s).astype(np.float32),), {"axes": a}) for s, a in cases]
    for dtype in OTHERS:
        found.append(((rng.integers(0, 2 if dtype == np.bool_ else 100, (3, 9)).astype(dtype),), {"axes": (0, 1)}))
    return found


flip_op = Op("flip", lambda x, axes: x, lambda x, axes: np.flip(x, axes) if axes else x, samples=_flip_samples)


@flip_op.vjp
def _(dy: Tensor, x: Tensor, y: Tensor, axes: tuple[int, ...]) -> Any:
    return apply("flip", dy, axes=axes)


# What users call


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors one behind the other along `dim`; they may differ in that size only. torch.cat, numpy.concatenate, ONNX Concat."""
    parts = [as_tensor(x) for x in tensors]
    if not parts:
        raise ShapeError("cat: no tensors")
    axis = axis_of("cat", dim, parts[0].ndim)
    while len(parts) > MOST:
        parts = [cat(parts[i : i + MOST], axis) for i in range(0, len(parts), MOST)]
    return apply("concat", *parts, axis=axis) if len(parts) > 1 else parts[0]


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape as slices of a new dimension."""
    parts = [as_tensor(x) for x in tensors]
    shape = parts[0].shape if parts else ()
    if not parts or any(p.shape != shape for p in parts[1:]):
        raise ShapeError(f"stack: tensors of one shape expected, not {[p.shape for p in parts]}")
    axis = axis_of("stack", dim, len(shape) + 1)
    if axis < len(shape):  # one behind the other along the dimension that comes next is the same memory
        return cat(parts, axis).reshape(*shape[:axis], len(parts), *shape[axis:])
    return cat([p.reshape(*shape, 1) for p in parts], axis)


def split(x: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Views of x cut along `dim`: pieces of one size (the last may be smaller), or of the sizes given."""
    axis = axis_of("split", dim, x.ndim)
    n: Any = x.shape[axis]
    if isinstance(split_size_or_sections, int):
        size = split_size_or_sections
        if size < 1 or not isinstance(n, int):
            raise ShapeError(f"split: pieces of {size} of a dimension of {n}")
        sizes = [min(size, n - at) for at in range(0, n, size)] or [0]
    else:
        sizes = list(split_size_or_sections)
        if sum(sizes) != n or min(sizes, default=0) < 0:
            raise ShapeError(f"split: {sizes} do not add up to dimension {dim} of {x.spec}")
    return tuple(apply("slice", x, axis=axis, start=sum(sizes[:i]), length=s, step=1) for i, s in enumerate(sizes))


def chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` views of one size (the last may be smaller)."""
    n: Any = x.shape[axis_of("chunk", dim, x.ndim)]
    if chunks < 1 or not isinstance(n, int):
        raise ShapeError(f"chunk: {chunks} pieces of a dimension of {n}")
    return split(x, max(-(-n // chunks), 1), dim)


def unbind(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices of a dimension, as views without it."""
    axis = axis_of("unbind", dim, x.ndim)
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    return tuple(apply("slice", x, axis=axis, start=i, length=1, step=1).reshape(*shape) for i in range(x.shape[axis]))  # type: ignore[arg-type]


@lru_cache(maxsize=1024)
def _ends(rank: int, pad: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """torch's pairs, last dimension first, as what comes before and behind each dimension."""
    if len(pad) % 2 or len(pad) > 2 * rank:
        raise ShapeError(f"pad: {pad} are not pairs for {rank} dimensions")
    rest = (0,) * (rank - len(pad) // 2)
    return (*rest, *pad[-2::-2]), (*rest, *pad[::-2])


def pad(x: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """torch.nn.functional.pad: `pad` gives (before, behind) of the last dimension, then of the one before it, and so on; negative numbers cut.
    mode: constant (with `value`), reflect, replicate (or edge), circular (or wrap). Any dtype."""
    if _NAMES.get(mode, -1) < 0:
        raise AttributeValueError(f"pad: mode {mode!r}; expected one of {', '.join(MODES)}")
    low, high = _ends(x.ndim, tuple(pad))
    if not any(low) and not any(high):
        return x
    return apply("pad", x, low=low, high=high, step=(), mode=_NAMES[mode], value=float(value or 0.0))


def flip(x: Tensor, dims: int | Sequence[int]) -> Tensor:
    """The order of elements along `dims` turned round."""
    axes = tuple(axis_of("flip", d, x.ndim) for d in ((dims,) if isinstance(dims, int) else dims))
    if len(set(axes)) != len(axes):
        raise ShapeError(f"flip: {dims} names a dimension twice")
    return apply("flip", x, axes=axes)


def roll(x: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """Elements moved by `shifts` along `dims`; what leaves at one end comes in at the other. Without dims: of x as one row."""
    if dims is None:
        return roll(x.reshape(-1), shifts, 0).reshape(*x.shape)
    moves = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    axes = (dims,) if isinstance(dims, int) else tuple(dims)
    if len(moves) != len(axes):
        raise ShapeError(f"roll: {len(moves)} shifts for {len(axes)} dimensions")
    low = [0] * x.ndim
    for s, d in zip(moves, axes):
        low[axis_of("roll", d, x.ndim)] += s
    return apply("pad", x, low=tuple(low), high=tuple(-s for s in low), step=(), mode=3, value=0.0)


def tile(x: Tensor, *dims: Any) -> Tensor:
    """x repeated dims[d] times along dimension d; missing leading entries are 1 (numpy.tile, torch.tile)."""
    times = tuple(dims[0]) if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else tuple(dims)
    if min(times, default=1) < 0:
        raise ShapeError(f"tile: {times}")
    times = (1,) * (x.ndim - len(times)) + times
    for _ in range(len(times) - x.ndim):
        x = x.unsqueeze(0)
    if all(t == 1 for t in times):
        return x
    return apply("pad", x, low=(0,) * x.ndim, high=tuple((t - 1) * n for t, n in zip(times, x.shape)), step=(), mode=3, value=0.0)


def repeat_interleave(x: Tensor, repeats: int, dim: int) -> Tensor:
    """Every slice of `dim` `repeats` times in a row."""
    axis = axis_of("repeat_interleave", dim, x.ndim)
    shape = x.shape
    wide = x.unsqueeze(axis + 1).expand(*shape[: axis + 1], repeats, *shape[axis + 1 :])
    return wide.reshape(*shape[:axis], shape[axis] * repeats, *shape[axis + 1 :])


def _triangle(x: Tensor, diagonal: int, lower: bool) -> Tensor:
    rows, columns = x.shape[-2:]
    if not isinstance(rows, int) or not isinstance(columns, int):
        raise ShapeError(f"tril, triu: the last two dimensions of {x.spec} must be known")
    keep = np.tri(rows, columns, diagonal if lower else diagonal - 1, dtype=np.bool_)
    return where(as_tensor(keep if lower else ~keep), x, 0.0)


def tril(x: Tensor, diagonal: int = 0) -> Tensor:
    """float32 x[..., R, C] with zeros above the diagonal."""
    return _triangle(x, diagonal, True)


def triu(x: Tensor, diagonal: int = 0) -> Tensor:
    """float32 x[..., R, C] with zeros below the diagonal."""
    return _triangle(x, diagonal, False)


__all__ = ["cat", "chunk", "flip", "pad", "repeat_interleave", "roll", "split", "stack", "tile", "tril", "triu", "unbind"]
