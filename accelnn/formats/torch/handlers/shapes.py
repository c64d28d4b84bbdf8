"""Ops that move elements or look at them differently."""

from __future__ import annotations

from typing import Any

from .... import ops
from ....core.dims import product
from ....core.tensor import Tensor, apply
from ....ops.arrange import cut
from ....ops.elementwise import broadcast
from ..call import Call, axis_of, register, sides

MOST = 1 << 31


@register("aten.view", "aten.reshape", "aten._unsafe_view", "aten._reshape_copy", "aten.view_copy")
def _(c: Call, self: Any, size: Any = None, shape: Any = None) -> Any:
    return self.reshape(*(size if size is not None else shape))


@register("aten.view.dtype")
def _(c: Call, self: Any, dtype: Any) -> Any:
    raise c.refuse("bits read as another type")


@register("aten.view_as", "aten.reshape_as")
def _(c: Call, self: Any, other: Any) -> Any:
    return self.reshape(*other.shape)


@register("aten.expand", "aten.expand_copy", "aten.broadcast_to")
def _(c: Call, self: Any, size: Any) -> Any:
    return self.expand(*size)


@register("aten.expand_as")
def _(c: Call, self: Any, other: Any) -> Any:
    return self.expand(*other.shape)


@register("aten.permute", "aten.permute_copy")
def _(c: Call, self: Any, dims: Any) -> Any:
    return self.permute(tuple(dims))


@register("aten.transpose.int", "aten.swapaxes", "aten.transpose_copy.int")
def _(c: Call, self: Any, dim0: int, dim1: int) -> Any:
    return self.transpose(dim0, dim1) if self.ndim else self


@register("aten.t", "aten.numpy_T", "aten.mT")
def _(c: Call, self: Any) -> Any:
    return self if self.ndim < 2 else self.transpose(-2, -1)


@register("aten.movedim.intlist", "aten.movedim.int")
def _(c: Call, self: Any, source: Any, destination: Any) -> Any:
    source, destination = ([axis_of(c, d, self.ndim) for d in sides(s, 1)] for s in (source, destination))
    order = [d for d in range(self.ndim) if d not in source]
    for to, d in sorted(zip(destination, source)):
        order.insert(to, d)
    return self.permute(tuple(order))


@register("aten.unsqueeze", "aten.unsqueeze_copy")
def _(c: Call, self: Any, dim: int) -> Any:
    return self.unsqueeze(dim)


@register("aten.squeeze", "aten.squeeze.dim", "aten.squeeze.dims", "aten.squeeze_copy.dims")
def _(c: Call, self: Any, dim: Any = None) -> Any:
    wanted = range(self.ndim) if dim is None else [axis_of(c, d, self.ndim) for d in sides(dim, 1)]
    drop = {d for d in wanted if d < self.ndim and self.shape[d] == 1}
    return self.reshape(*[s for d, s in enumerate(self.shape) if d not in drop])


@register("aten.flatten.using_ints")
def _(c: Call, self: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    return self.flatten(start_dim, end_dim) if self.ndim else self.reshape(1)


@register("aten.unflatten.int")
def _(c: Call, self: Any, dim: int, sizes: Any) -> Any:
    d = axis_of(c, dim, self.ndim)
    if -1 in [s for s in sizes if isinstance(s, int)]:
        at = [isinstance(s, int) and s == -1 for s in sizes].index(True)
        rest = product(tuple(s for i, s in enumerate(sizes) if i != at))
        sizes = [self.shape[d] // rest if i == at else s for i, s in enumerate(sizes)]
    return self.reshape(*self.shape[:d], *sizes, *self.shape[d + 1 :])


@register("aten.clone", "aten.contiguous", "aten.detach", "aten.alias", "aten.lift_fresh_copy", "aten.lift_fresh", "aten.detach_", "aten.positive")
def _(c: Call, self: Any) -> Any:
    return self


def clamped(at: Any, n: Any) -> Any:
    """Python's rule for an end of a slice, of sizes that may be unknown."""
    if isinstance(at, int) and at < 0:
        at = n + at
    return 0 if at < 0 else n if (isinstance(at, int) and at >= MOST) or at > n else at


@register("aten.slice.Tensor", "aten.slice_copy.Tensor")
def _(c: Call, self: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    d = axis_of(c, dim, self.ndim)
    first, length = _stretch(self.shape[d], start, end, step)
    return cut(self, d, first, length, step)


def _stretch(n: Any, start: Any, end: Any, step: int) -> tuple[Any, Any]:
    first, last = clamped(0 if start is None else start, n), clamped(n if end is None else end, n)
    length = last - first
    length = 0 if length < 0 else length
    return first, length if step == 1 else -(-length // step)


@register("aten.narrow")
def _(c: Call, self: Any, dim: int, start: Any, length: Any) -> Any:
    d = axis_of(c, dim, self.ndim)
    return cut(self, d, clamped(start, self.shape[d]), length)


@register("aten.select.int", "aten.select_copy.int")
def _(c: Call, self: Any, dim: int, index: Any) -> Any:
    d = axis_of(c, dim, self.ndim)
    n: Any = self.shape[d]
    at = n + index if isinstance(index, int) and index < 0 else index
    if isinstance(at, int) and isinstance(n, int) and not 0 <= at < n:
        raise c.bad(f"index {index} of a dimension of {n}")
    return apply("slice", self, axis=d, start=at, length=1, step=1).reshape(*self.shape[:d], *self.shape[d + 1 :])


@register("aten.split.Tensor", "aten.split_with_sizes", "aten.split.sizes", "aten.split_with_sizes_copy", "aten.split_copy.Tensor")
def _(c: Call, self: Any, split_size: Any = None, split_sizes: Any = None, dim: int = 0) -> Any:
    d = axis_of(c, dim, self.ndim)
    n: Any = self.shape[d]
    sizes = split_sizes if split_sizes is not None else split_size
    if not isinstance(sizes, (list, tuple)):
        pieces = len(c.found)  # torch has counted them
        sizes = [sizes] * (pieces - 1) + [n - sizes * (pieces - 1)]
    return parts(self, d, sizes)


def parts(x: Tensor, d: int, sizes: Any) -> tuple[Tensor, ...]:
    found, at = [], 0
    for s in sizes:
        found.append(cut(x, d, at, s))
        at = at + s
    return tuple(found)


@register("aten.chunk")
def _(c: Call, self: Any, chunks: int, dim: int = 0) -> Any:
    d = axis_of(c, dim, self.ndim)
    n: Any = self.shape[d]
    pieces = len(c.found)
    each = -(-n // chunks) if isinstance(n, int) else n // chunks
    return parts(self, d, [each] * (pieces - 1) + [n - each * (pieces - 1)])


@register("aten.unbind.int", "aten.unbind_copy.int")
def _(c: Call, self: Any, dim: int = 0) -> Any:
    return ops.unbind(self, dim)


@register("aten.cat", "aten.concat")
def _(c: Call, tensors: Any, dim: int = 0) -> Any:
    kept = [t for t in tensors if not (t.ndim == 1 and t.shape[0] == 0)] or tensors[:1]  # torch lets an empty vector stand for nothing
    return ops.cat([t.to(c.dtype) for t in kept], dim)


@register("aten.stack")
def _(c: Call, tensors: Any, dim: int = 0) -> Any:
    return ops.stack([t.to(c.dtype) for t in tensors], dim)


@register("aten.repeat", "aten.tile")
def _(c: Call, self: Any, repeats: Any = None, dims: Any = None) -> Any:
    times = repeats if repeats is not None else dims
    x = self
    for _ in range(len(times) - x.ndim):
        x = x.unsqueeze(0)
    times = [1] * (x.ndim - len(times)) + list(times)
    wide = [v for t, s in zip(times, x.shape) for v in (1, s)]
    full = [v for t, s in zip(times, x.shape) for v in (t, s)]
    if all(isinstance(t, int) and t == 1 for t in times):
        return x
    return x.reshape(*wide).expand(*full).reshape(*[t * s for t, s in zip(times, x.shape)])


@register("aten.repeat_interleave.self_int")
def _(c: Call, self: Any, repeats: int, dim: Any = None) -> Any:
    return ops.repeat_interleave(self, repeats, dim) if dim is not None else ops.repeat_interleave(self.reshape(-1), repeats, 0)


@register("aten.flip")
def _(c: Call, self: Any, dims: Any) -> Any:
    return ops.flip(self, tuple(dims))


@register("aten.roll")
def _(c: Call, self: Any, shifts: Any, dims: Any = ()) -> Any:
    return ops.roll(self, tuple(sides(shifts, 1)), tuple(dims) or None) if dims else ops.roll(self, sides(shifts, 1)[0])


@register("aten.tril")
def _(c: Call, self: Any, diagonal: int = 0) -> Any:
    return ops.tril(self.float(), diagonal).to(self.dtype)


@register("aten.triu")
def _(c: Call, self: Any, diagonal: int = 0) -> Any:
    return ops.triu(self.float(), diagonal).to(self.dtype)


@register("aten.constant_pad_nd")
def _(c: Call, self: Any, pad: Any, value: Any = 0) -> Any:
    return ops.pad(self, tuple(pad), "constant", float(value))


@register("aten.pad")
def _(c: Call, self: Any, pad: Any, mode: str = "constant", value: Any = None) -> Any:
    return ops.pad(self, tuple(pad), mode, value)


@register("aten.reflection_pad1d", "aten.reflection_pad2d", "aten.reflection_pad3d")
def _(c: Call, self: Any, padding: Any) -> Any:
    return ops.pad(self, tuple(padding), "reflect")


@register("aten.replication_pad1d", "aten.replication_pad2d", "aten.replication_pad3d")
def _(c: Call, self: Any, padding: Any) -> Any:
    return ops.pad(self, tuple(padding), "replicate")


@register("aten.pixel_shuffle")
def _(c: Call, self: Any, upscale_factor: int) -> Any:
    r, (*lead, ch, h, w) = upscale_factor, self.shape
    n = len(lead)
    x = self.reshape(*lead, ch // (r * r), r, r, h, w)
    return x.permute((*range(n), n, n + 3, n + 1, n + 4, n + 2)).reshape(*lead, ch // (r * r), h * r, w * r)


@register("aten.pixel_unshuffle")
def _(c: Call, self: Any, downscale_factor: int) -> Any:
    r, (*lead, ch, h, w) = downscale_factor, self.shape
    n = len(lead)
    x = self.reshape(*lead, ch, h // r, r, w // r, r)
    return x.permute((*range(n), n, n + 2, n + 4, n + 1, n + 3)).reshape(*lead, ch * r * r, h // r, w // r)


@register("aten.unfold")
def _(c: Call, self: Any, dimension: int, size: int, step: int) -> Any:
    """Windows of one dimension, as a new last one."""
    d = axis_of(c, dimension, self.ndim)
    n: Any = self.shape[d]
    count = (n - size) // step + 1
    return ops.stack([apply("slice", self, axis=d, start=j, length=count, step=step) for j in range(size)], self.ndim)


@register("aten.slice_scatter")
def _(c: Call, self: Any, src: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    d = axis_of(c, dim, self.ndim)
    n: Any = self.shape[d]
    first, length = _stretch(n, start, end, step)
    if step != 1:
        raise c.refuse(f"a slice of step {step} that is written")
    src = src.to(self.dtype).expand(*self.shape[:d], length, *self.shape[d + 1 :])
    if first == 0 and length == n:
        return src
    pieces = [cut(self, d, 0, first), src, cut(self, d, first + length, n - first - length)]
    return ops.cat([p for p in pieces if p.shape[d] != 0], d)


@register("aten.select_scatter")
def _(c: Call, self: Any, src: Any, dim: int, index: Any) -> Any:
    d = axis_of(c, dim, self.ndim)
    n: Any = self.shape[d]
    at = n + index if isinstance(index, int) and index < 0 else index
    pieces = [cut(self, d, 0, at), src.to(self.dtype).unsqueeze(d), cut(self, d, at + 1, n - at - 1)]
    return ops.cat([p for p in pieces if p.shape[d] != 0], d)


@register("aten.copy")
def _(c: Call, self: Any, src: Any) -> Any:
    return src.to(self.dtype).expand(*self.shape)


@register("aten.broadcast_tensors")
def _(c: Call, tensors: Any) -> Any:
    shape = broadcast("broadcast_tensors", *(t.shape for t in tensors))
    return tuple(t.expand(*shape) for t in tensors)


@register("aten.sym_size.int")
def _(c: Call, self: Any, dim: int) -> Any:
    return self.shape[dim]


@register("aten.sym_numel")
def _(c: Call, self: Any) -> Any:
    return product(self.shape)


@register("aten._local_scalar_dense", "aten.item")
def _(c: Call, self: Any) -> Any:
    return c.number(self, "a number that the network's structure depends on")
