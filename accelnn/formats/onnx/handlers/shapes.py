"""Ops that move elements or speak of shapes. On known numbers they are numpy's, sizes of named dimensions included."""

from __future__ import annotations

from typing import Any

import numpy as np

from .... import ops
from ....core.dims import Size, product
from ....core.tensor import Tensor, apply
from ....ops.arithmetic import calculate
from ....ops.arrange import cut
from ..call import Call, axis_of, counted, rank_of, register, shape_of
from ..reader import storage_of
from ..values import numbers, settled, symbolic, vector
from .arithmetic import MOST, chosen

STARTS_AT_END = -(1 << 31)
MOST_PIECES = 4096  # of a tensor that is split


@register("Shape")
def _(c: Call, x: Any) -> Any:
    shape = shape_of(x)
    n = len(shape)
    start, end = c.get("start", 0), c.get("end", n)
    start, end = (min(max(i + n if i < 0 else i, 0), n) for i in (start, end))
    return vector(shape[start:end])


@register("Size")
def _(c: Call, x: Any) -> Any:
    return vector([product(shape_of(x))]).reshape(())


@register("Constant")
def _(c: Call) -> Any:
    for name, dtype in (("value_float", np.float32), ("value_int", np.int64), ("value_floats", np.float32), ("value_ints", np.int64)):
        if name in c.attrs:
            return np.asarray(c.attrs[name], dtype)
    if "value" not in c.attrs:
        raise c.refuse("constants that are sparse, or of strings")
    return c.attrs["value"]


@register("ConstantOfShape")
def _(c: Call, shape: Any) -> Any:
    sizes, value = c.sizes(shape, "the shape"), c.get("value", np.zeros(1, np.float32))
    return filled(c, np.asarray(value).reshape(()), sizes)


def filled(c: Call, value: np.ndarray, sizes: list[Any]) -> Any:
    if all(isinstance(s, int) for s in sizes) and product(tuple(sizes)) <= MOST:
        return np.full(sizes, value)
    return c.tensor(value).expand(*sizes)


@register("Expand")
def _(c: Call, x: Any, shape: Any) -> Any:
    target, own = c.sizes(shape, "the shape"), list(shape_of(x))
    rank = max(len(target), len(own))
    target, own = [1] * (rank - len(target)) + target, [1] * (rank - len(own)) + own
    both = [b if a == 1 else a for a, b in zip(target, own)]
    return x if tuple(both) == shape_of(x) else c.tensor(x).expand(*both)


@register("Range")
def _(c: Call, start: Any, limit: Any, delta: Any) -> Any:
    values = [c.number(v, w) for v, w in ((start, "start"), (limit, "limit"), (delta, "delta"))]
    if any(isinstance(v, Size) for v in values):
        first, last, step = values
        n = -((first - last) // step)
        at = counted(n)
        if step != 1:
            at = calculate("mul", at, c.tensor(np.asarray(step, np.int64)))
        return at if isinstance(first, int) and first == 0 else calculate("add", at, c.tensor(vector([first]).reshape(())))
    return np.arange(*values, dtype=np.asarray(start).dtype)


@register("Reshape")
def _(c: Call, x: Any, shape: Any = None) -> Any:
    sizes = list(c.ints("shape")) if c.opset < 5 else c.sizes(shape, "the shape")
    own = shape_of(x)
    if not c.get("allowzero", 0):
        if any(isinstance(s, int) and s == 0 and i >= len(own) for i, s in enumerate(sizes)):
            raise c.bad(f"shape {sizes} keeps a dimension that {own} does not have")
        sizes = [own[i] if isinstance(s, int) and s == 0 else s for i, s in enumerate(sizes)]
    return reshaped(c, x, sizes)


def reshaped(c: Call, x: Any, sizes: list[Any]) -> Any:
    array = numbers(x)
    if array is not None and all(isinstance(s, int) for s in sizes):
        return array.reshape(sizes)
    return c.tensor(x).reshape(*sizes)


@register("Flatten")
def _(c: Call, x: Any) -> Any:
    axis = c.get("axis", 1)
    axis = axis + rank_of(x) if axis < 0 else axis
    shape = shape_of(x)
    return reshaped(c, x, [product(shape[:axis]), product(shape[axis:])])


def _axes(c: Call, given: Any, changed: int) -> tuple[int, ...] | None:
    """The axes: an attribute before opset `changed`, an input since."""
    if c.opset < changed:
        return c.ints("axes") if "axes" in c.attrs else None
    return None if given is None else tuple(c.sizes(given, "axes"))


@register("Squeeze")
def _(c: Call, x: Any, axes: Any = None) -> Any:
    wanted, shape = _axes(c, axes, 13), shape_of(x)
    if wanted is None:       # what holds for larger sizes is kept among the plan's assumptions: s <= 1 asks
        drop = {i for i, s in enumerate(shape) if s == 1 or (isinstance(s, Size) and s <= 1)}
    else:
        drop = {axis_of(c, a, len(shape)) for a in wanted}
    if any(shape[i] != 1 for i in drop):
        raise c.bad(f"dimensions {sorted(drop)} of {shape} are not all 1")
    return reshaped(c, x, [s for i, s in enumerate(shape) if i not in drop])


@register("Unsqueeze")
def _(c: Call, x: Any, axes: Any = None) -> Any:
    wanted, shape = _axes(c, axes, 13), list(shape_of(x))
    rank = len(shape) + len(wanted or ())
    places = sorted({axis_of(c, a, rank) for a in wanted or ()})
    if len(places) != len(wanted or ()):
        raise c.bad(f"axes {wanted} name a dimension twice")
    for p in places:
        shape.insert(p, 1)
    return reshaped(c, x, shape)


@register("Transpose")
def _(c: Call, x: Any) -> Any:
    order = c.ints("perm", tuple(reversed(range(rank_of(x)))))
    array = numbers(x)
    if array is not None and (array.size <= MOST or array.dtype == object):
        return array.transpose(order)
    return c.tensor(x).permute(order)


@register("Concat")
def _(c: Call, *inputs: Any) -> Any:
    arrays, axis = [numbers(x) for x in inputs], c.get("axis", 1)
    if all(a is not None for a in arrays) and sum(a.size for a in arrays if a is not None) <= MOST:
        return settled(np.concatenate([a for a in arrays if a is not None], axis))
    parts = [c.tensor(x) for x in inputs]
    return parts[0] if len(parts) == 1 else ops.cat(parts, axis)


@register("Split")
def _(c: Call, x: Any, sizes: Any = None) -> Any:
    rank = rank_of(x)
    axis = axis_of(c, c.get("axis", 0), rank)
    n: Any = shape_of(x)[axis]
    parts = c.sizes(sizes, "split") if sizes is not None else list(c.ints("split"))
    if not parts:
        count = int(c.get("num_outputs", len(c.outputs)))
        if not 0 < count <= MOST_PIECES:
            raise c.refuse(f"{count} parts")
        each = -(-n // count)
        if isinstance(n, int):
            parts = [max(0, min(each, n - i * each)) for i in range(count)]
        else:
            parts = [n // count] * count
    total: Any = 0
    for p in parts:
        total = total + p
    if total != n:
        raise c.bad(f"parts of {parts} do not make {n}")
    found, at = [], 0
    for p in parts:
        found.append(taken(c, x, axis, at, p))
        at = at + p
    return tuple(found)


def taken(c: Call, x: Any, axis: int, start: Any, length: Any, step: int = 1) -> Any:
    array = numbers(x)
    if array is not None and isinstance(start, int) and isinstance(length, int) and (array.size <= MOST or array.dtype == object):
        return settled(np.take(array, range(start, start + length * step, step), axis))
    return cut(c.tensor(x), axis, start, length, step)


@register("Slice")
def _(c: Call, x: Any, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None) -> Any:
    if c.opset < 10:
        first, last = list(c.ints("starts")), list(c.ints("ends"))
        where, by = list(c.ints("axes", range(len(first)))), [1] * len(first)
    else:
        first, last = c.sizes(starts, "starts"), c.sizes(ends, "ends")
        where = list(range(len(first))) if axes is None else c.sizes(axes, "axes")
        by = [1] * len(first) if steps is None else c.sizes(steps, "steps")
    if not len(first) == len(last) == len(where) == len(by) or not all(isinstance(s, int) and s for s in by):
        raise c.bad(f"starts {first}, ends {last}, axes {where}, steps {by}")
    for a, b, axis, step in zip(first, last, where, by):
        axis = axis_of(c, axis, rank_of(x))
        start, length = _stretch(c, shape_of(x)[axis], a, b, step)
        if step > 0:
            x = taken(c, x, axis, start, length, step)
            continue
        low = start + (length - 1) * step if length != 0 else 0
        x = taken(c, x, axis, low, length, -step)
        array = numbers(x)
        x = np.flip(array, axis) if array is not None else ops.flip(x, (axis,))
    return x


def _stretch(c: Call, n: Any, a: Any, b: Any, step: int) -> tuple[Any, Any]:
    """(start, length) of a[start:end:step], for dimensions that may be unknown; where it matters which of two sizes is larger, the answer must not
    depend on the example."""
    if isinstance(n, int) and isinstance(a, int) and isinstance(b, int):
        start, stop, _ = slice(a, b if step > 0 or b >= -n - 1 else None, step).indices(n)
        if step < 0 and b < -n:
            stop = -1
        return start, max(0, -(-(stop - start) // step))
    if step < 0:
        if isinstance(a, int) and a in (-1, 2**31 - 1, 2**63 - 1) and isinstance(b, int) and b <= STARTS_AT_END:
            return n - 1, -(-n // -step)
        raise c.refuse(f"a stretch {a}:{b}:{step} of a dimension of unknown size {n}")
    start = n + a if isinstance(a, int) and a < 0 else a
    stop = n if isinstance(b, int) and b >= 2**31 - 1 else n + b if isinstance(b, int) and b < 0 else b
    return start, -(-(stop - start) // step) if step > 1 else stop - start


@register("Tile")
def _(c: Call, x: Any, repeats: Any) -> Any:
    counts = c.sizes(repeats, "repeats")
    if len(counts) != rank_of(x):
        raise c.bad(f"{len(counts)} repeats for {rank_of(x)} dimensions")
    array = numbers(x)
    if array is not None and all(isinstance(n, int) for n in counts) and array.size * int(np.prod(counts)) <= MOST:
        return np.tile(array, counts)
    return ops.tile(c.tensor(x), *counts)


@register("Pad")
def _(c: Call, x: Any, pads: Any = None, value: Any = None, axes: Any = None) -> Any:
    rank = rank_of(x)
    fill: Any = 0
    if c.opset < 11:
        amounts, fill = list(c.ints("pads")), float(c.get("value", 0.0))
    else:
        amounts = c.sizes(pads, "pads")
        if value is not None:
            fill = value if isinstance(value, Tensor) else c.number(value, "constant_value")
    where = range(rank) if axes is None else [axis_of(c, a, rank) for a in c.sizes(axes, "axes")]
    if len(amounts) != 2 * len(where):
        raise c.bad(f"{len(amounts)} pads for {len(where)} dimensions")
    low, high = [0] * rank, [0] * rank
    for i, d in enumerate(where):
        low[d], high[d] = amounts[i], amounts[i + len(where)]
    mode = c.get("mode", "constant")
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise c.bad(f"mode {mode!r}")
    if not any(low) and not any(high):
        return x
    number = {"constant": 0, "reflect": 1, "edge": 2, "wrap": 3}[mode]
    t = c.tensor(x)

    def padded(t: Tensor, fill: Any) -> Tensor:
        return apply("pad", t, low=tuple(low), high=tuple(high), step=(), mode=number, value=float(fill))

    if not isinstance(fill, Tensor):
        return padded(t, fill)
    if mode != "constant":
        return padded(t, 0)
    return chosen(padded(c.tensor(np.ones((), bool)).expand(*t.shape), 0), padded(t, 0), fill.reshape())      # where x lies, x


@register("DepthToSpace")
def _(c: Call, x: Any) -> Any:
    x, b = c.tensor(x), int(c.get("blocksize"))
    n, ch, h, w = x.shape
    first = c.get("mode", "DCR") == "DCR"
    y = x.reshape(n, b, b, ch // (b * b), h, w) if first else x.reshape(n, ch // (b * b), b, b, h, w)
    return y.permute((0, 3, 4, 1, 5, 2) if first else (0, 1, 4, 2, 5, 3)).reshape(n, ch // (b * b), h * b, w * b)


@register("SpaceToDepth")
def _(c: Call, x: Any) -> Any:
    x, b = c.tensor(x), int(c.get("blocksize"))
    n, ch, h, w = x.shape
    order = (0, 3, 5, 1, 2, 4) if c.get("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    return x.reshape(n, ch, h // b, b, w // b, b).permute(order).reshape(n, ch * b * b, h // b, w // b)


@register("Trilu")
def _(c: Call, x: Any, k: Any = None) -> Any:
    diagonal, upper = 0 if k is None else int(c.number(k, "k")), c.get("upper", 1)
    array = numbers(x)
    if array is not None and not symbolic(array):
        return (np.triu if upper else np.tril)(array, diagonal)
    t = c.tensor(x)
    if t.dtype.is_float:
        return (ops.triu if upper else ops.tril)(t, diagonal).to(t.dtype)
    h, w = t.shape[-2:]
    if not (isinstance(h, int) and isinstance(w, int)):
        raise c.refuse("integers of unknown size")
    below = np.tri(h, w, diagonal - 1 if upper else diagonal) > 0
    zero = calculate("sub", t, t)
    keep = c.tensor(np.logical_not(below) if upper else below).expand(*t.shape)
    return calculate("select", t, zero, keep)


@register("EyeLike")
def _(c: Call, x: Any) -> Any:
    dtype = storage_of(c.attrs["dtype"]) if "dtype" in c.attrs else x.dtype.storage if isinstance(x, Tensor) else x.dtype
    h, w = shape_of(x)
    if not (isinstance(h, int) and isinstance(w, int)):
        raise c.refuse("an identity of unknown size")
    return np.eye(h, w, int(c.get("k", 0)), dtype=dtype)


@register("CenterCropPad")
def _(c: Call, x: Any, shape: Any) -> Any:
    target, rank = c.sizes(shape, "the shape"), rank_of(x)
    axes = [axis_of(c, a, rank) for a in c.ints("axes", range(rank))]
    t = c.tensor(x)
    for axis, n in zip(axes, target):
        own: Any = t.shape[axis]
        if n < own:
            t = cut(t, axis, (own - n) // 2, n)
        elif n > own:
            low = [0] * rank
            high = [0] * rank
            low[axis], high[axis] = (n - own) // 2, n - own - (n - own) // 2
            t = apply("pad", t, low=tuple(low), high=tuple(high), step=(), mode=0, value=0.0)
    return t
