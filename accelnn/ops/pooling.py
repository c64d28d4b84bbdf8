"""Pooling over one, two and three dimensions, as torch calls it, all of it on the kernels of two.

One dimension is a picture of one row. Three: over height and width first, then over depth with a row of pixels as the second dimension; for maxima that is
the same element (the first of equal ones too), for means the same mean, because a window's count is a product over its sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.dims import product
from ..core.dtypes import DType
from ..core.errors import AttributeValueError, ShapeError
from ..core.tensor import Tensor, apply, apply_all, as_tensor
from .arrange import cut
from .indexing import scatter
from .matmul import linear
from .places import joined, largest, spots
from .pool import span, window

Sides = tuple[Any, ...]


def sides(name: str, x: Any, n: int) -> Sides:
    """One number for each of n dimensions."""
    found = tuple(x) if isinstance(x, (tuple, list)) else (x,) * n
    if len(found) != n:
        raise ShapeError(f"{name}: {x} for {n} dimensions")
    return found


def batched(name: str, x: Tensor, n: int) -> tuple[Tensor, bool]:
    """x[N, C, ...], and whether N had to be put there."""
    if x.ndim not in (n + 1, n + 2):
        raise ShapeError(f"{name}: x[N, C, {', '.join('DHW'[3 - n :])}] expected (or without N), not {x.spec}")
    return (x.unsqueeze(0), True) if x.ndim == n + 1 else (x, False)


def _extra(n: Any, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """Rows behind the padding that rounding up adds: the last window has to begin inside the image or its front padding."""
    if not ceil_mode:
        return 0
    if not isinstance(n, int):
        raise ShapeError("pooling: ceil_mode wants sizes that are known")
    room = n + 2 * padding - dilation * (kernel - 1) - 1
    out = -(-room // stride) + 1
    if (out - 1) * stride >= n + padding:
        out -= 1
    return max((out - 1) * stride - room, 0)


def _geometry(name: str, x: Tensor, n: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> list[Sides]:
    kernel, pad, dil = sides(name, kernel_size, n), sides(name, padding, n), sides(name, dilation, n)
    step = kernel if stride is None or stride == () else sides(name, stride, n)
    if min(*kernel, *step, *dil) < 1 or any(not 0 <= 2 * p <= k for p, k in zip(pad, kernel)):
        raise ShapeError(f"{name}: kernel {kernel_size}, stride {stride}, padding {padding} (at most half the kernel), dilation {dilation}")
    extra = tuple(_extra(x.shape[2 + i], kernel[i], step[i], pad[i], dil[i], ceil_mode) for i in range(n))
    return [kernel, step, pad, dil, extra]


def _window(kernel: Sides, step: Sides, pad: Sides, extra: Sides) -> dict[str, int]:
    w = window(kernel, step, pad)
    return {**w, "pad_bottom": w["pad_bottom"] + extra[0], "pad_right": w["pad_right"] + extra[1]}


def _spread_max(x: Tensor, axis: int, kernel: int, step: int, dil: int, out: Any) -> Tensor:
    """Maxima of `kernel` elements that stand `dil` apart: of one, two, four ... of them, then of two such windows, which may overlap. Of equal elements the
    first wins."""
    have = 1
    while 2 * have < kernel:
        n: Any = x.shape[axis] - have * dil
        x = apply("maximum", cut(x, axis, 0, n), cut(x, axis, have * dil, n))
        have *= 2
    first = cut(x, axis, 0, out, step)
    return first if kernel == 1 else apply("maximum", first, cut(x, axis, (kernel - have) * dil, out, step))


def _dilated(x: Tensor, kernel: Sides, step: Sides, pad: Sides, dil: Sides, extra: Sides) -> Tensor:
    """One dimension after the other, columns first: of equal elements that is the first row's first. Rare enough to have no kernel of its own; with a
    shifted copy a tap, a model whose windows had 70,656 taps took 8 s to load."""
    low = (0, 0, *pad)
    x = apply("pad", x, low=low, high=(0, 0, *(p + e for p, e in zip(pad, extra))), step=(), mode=0, value=-np.inf) if any(pad) or any(extra) else x
    sizes: Any = x.shape[2:]
    for d in reversed(range(len(kernel))):
        out = (sizes[d] - dil[d] * (kernel[d] - 1) - 1) // step[d] + 1
        x = _spread_max(x, 2 + d, kernel[d], step[d], dil[d], out)
    return x


def _places(name: str, x: Tensor, kernel: Sides, step: Sides, pad: Sides, dil: Sides, extra: Sides) -> tuple[Tensor, Tensor]:
    """Maxima and where they stand, for what the kernel of two dimensions does not do."""
    sizes: Any = x.shape[2:]
    if any(not isinstance(s, int) for s in sizes):
        raise ShapeError(f"{name}: return_indices of {x.spec}; known sizes are expected")
    out = [(s + 2 * p + e - d * (k - 1) - 1) // t + 1 for s, k, t, p, d, e in zip(sizes, kernel, step, pad, dil, extra)]
    if min(out) < 1:
        raise ShapeError(f"{name}: a window of {kernel} with dilation {dil} does not fit into {x.spec}")
    return largest(name, x, joined([spots(name, *each) for each in zip(sizes, kernel, step, pad, dil, out)], sizes), out)


def _max(name: str, x: Tensor, n: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, return_indices: bool) -> Any:
    x, alone = batched(name, x, n)
    kernel, step, pad, dil, extra = _geometry(name, x, n, kernel_size, stride, padding, dilation, ceil_mode)
    found: list[Tensor]
    if return_indices and (n == 3 or any(d != 1 for d in dil)):
        found = list(_places(name, x, kernel, step, pad, dil, extra))
    elif any(d != 1 for d in dil):
        found = [_dilated(x, kernel, step, pad, dil, extra)]
    elif n == 3:
        y = _max("max_pool2d", x.reshape(x.shape[0], -1, *x.shape[3:]), 2, kernel[1:], step[1:], pad[1:], 1, ceil_mode, False)
        deep = y.reshape(*x.shape[:3], y.shape[2] * y.shape[3])
        deep = apply_all("max_pool2d", deep, **_window((kernel[0], 1), (step[0], 1), (pad[0], 0), (extra[0], 0)))[0]
        found = [deep.reshape(*deep.shape[:3], *y.shape[2:])]
    elif n == 1:
        two = apply_all("max_pool2d", x.unsqueeze(2), **_window((1, *kernel), (1, *step), (0, *pad), (0, *extra)))
        found = [t.squeeze(2) for t in two]
    else:
        found = list(apply_all("max_pool2d", x, **_window(kernel, step, pad, extra)))
    found = [t.squeeze(0) for t in found] if alone else found
    return (found[0], found[1].to(DType.int64)) if return_indices else found[0]


def max_pool1d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
               return_indices: bool = False) -> Any:  # fmt: skip
    """Largest element of each window of x[N, C, W]; padding never wins."""
    return _max("max_pool1d", input, 1, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
               return_indices: bool = False) -> Any:  # fmt: skip
    """Largest element of each window of x[N, C, H, W] (float32 or uint8); padding never wins. With return_indices also its place in the plane (int64)."""
    return _max("max_pool2d", input, 2, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
               return_indices: bool = False) -> Any:  # fmt: skip
    """Largest element of each window of x[N, C, D, H, W]; padding never wins."""
    return _max("max_pool3d", input, 3, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _avg(name: str, x: Tensor, n: int, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, include: bool, divisor: int | None) -> Tensor:
    x, alone = batched(name, x, n)
    kernel, step, pad, _, extra = _geometry(name, x, n, kernel_size, stride, padding, 1, ceil_mode)
    if divisor is not None and divisor == 0:
        raise AttributeValueError(f"{name}: divisor_override is 0")
    if divisor is not None:
        include = True
    elif include and any(extra) and any(pad):  # torch counts the padding, but not what rounding up adds: the padding becomes part of the image
        x = apply("pad", x, low=(0, 0, *pad), high=(0, 0, *pad), step=(), mode=0, value=0.0)
        pad, include = (0,) * n, False
    elif any(extra):
        include = False

    def pooled(t: Tensor, sizes: list[Sides]) -> Tensor:
        return apply("avg_pool2d", t, **_window(*sizes), count_include_pad=int(include))

    if n == 3:
        y = pooled(x.reshape(x.shape[0], -1, *x.shape[3:]), [k[1:] for k in (kernel, step, pad, extra)])
        deep = y.reshape(*x.shape[:3], y.shape[2] * y.shape[3])
        deep = pooled(deep, [(kernel[0], 1), (step[0], 1), (pad[0], 0), (extra[0], 0)])
        y = deep.reshape(*deep.shape[:3], *y.shape[2:])
    elif n == 1:
        y = pooled(x.unsqueeze(2), [(1, *kernel), (1, *step), (0, *pad), (0, *extra)]).squeeze(2)
    else:
        y = pooled(x, [kernel, step, pad, extra])
    if divisor is not None:
        y = y * (float(np.prod(kernel)) / divisor)
    return y.squeeze(0) if alone else y


def avg_pool1d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True) -> Tensor:
    """Mean of each window of x[N, C, W]."""
    return _avg("avg_pool1d", input, 1, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
               divisor_override: int | None = None) -> Tensor:  # fmt: skip
    """Mean of each window of x[N, C, H, W]."""
    return _avg("avg_pool2d", input, 2, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
               divisor_override: int | None = None) -> Tensor:  # fmt: skip
    """Mean of each window of x[N, C, D, H, W]."""
    return _avg("avg_pool3d", input, 3, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def lp_pool(x: Tensor, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool, n: int) -> Tensor:
    """(sum of x^p)^(1/p) over each window, as torch: the sign of the sum stays outside of the root's argument."""
    mean = _avg(f"lp_pool{n}d", apply("pow", x, float(norm_type)), n, kernel_size, stride, 0, ceil_mode, True, None)
    kernel = float(np.prod(sides("lp_pool", kernel_size, n)))
    return apply("pow", mean.relu() * kernel, 1.0 / norm_type)


def lp_pool1d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    return lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 1)


def lp_pool2d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    return lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 2)


def lp_pool3d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    return lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 3)


# Adaptive: result i is made of elements floor(i n / m) .. ceil((i + 1) n / m)


def _spans(n: int, m: int) -> list[tuple[int, int]]:
    return [span(i, n, m) for i in range(m)]


def _span_spots(n: int, m: int) -> np.ndarray:
    """As places.spots: what each span sees; a shorter one sees its last element again."""
    spans = np.array(_spans(n, m)).reshape(-1, 2)
    most = int((spans[:, 1] - spans[:, 0]).max(initial=0))
    seen: np.ndarray = np.minimum(spans[:, 0] + np.arange(most)[:, None], spans[:, 1] - 1)
    return seen


def _wanted(name: str, x: Tensor, output_size: Any, n: int) -> list[int]:
    sizes = [x.shape[2 + i] if s is None else s for i, s in enumerate(sides(name, output_size, n))]
    if any(not isinstance(s, int) or s < 0 for s in sizes) or any(not isinstance(s, int) for s in x.shape[2:]):
        raise ShapeError(f"{name}: {x.spec} to {output_size}; known sizes are expected")
    if any(s == 0 for s in x.shape[2:]):
        raise ShapeError(f"{name}: {x.spec} has nothing to pool")
    return sizes  # type: ignore[return-value]


def adaptive_avg_pool(x: Tensor, output_size: Any, n: int | None = None) -> Tensor:
    """Means over the last n dimensions, as many as output_size says. Where windows are of one size it is avg_pool; else each dimension is multiplied by
    the matrix of its means."""
    n = x.ndim - 2 if n is None else n
    x, alone = batched(f"adaptive_avg_pool{n}d", x, n)
    wanted = _wanted("adaptive_avg_pool", x, output_size, n)
    have: Any = x.shape[2:]
    if all(m == 1 for m in wanted):
        x = x.mean(tuple(range(2, 2 + n)), keepdim=True)
    elif all(m and k % m == 0 for k, m in zip(have, wanted)):
        for d, (k, m) in enumerate(zip(have, wanted)):  # rows are added up as vectors; what is left to add along rows is a fraction of it
            shape = x.shape
            x = x.reshape(*shape[: 2 + d], m, k // m, *shape[3 + d :]).mean(3 + d) if k != m else x
    else:
        for d, (k, m) in enumerate(zip(have, wanted)):
            if k == m:
                continue
            means = np.zeros((m, k), np.float32)
            for i, (a, b) in enumerate(_spans(k, m)):
                means[i, a:b] = 1 / (b - a)
            if d == n - 1:
                x = linear(x, as_tensor(means).to(x.device))
            else:
                shape = x.shape
                x = (as_tensor(means) @ x.reshape(*shape[: 2 + d], k, -1)).reshape(*shape[: 2 + d], m, *shape[3 + d :])
    return x.squeeze(0) if alone else x


def adaptive_max_pool(x: Tensor, output_size: Any, return_indices: bool, n: int) -> Any:
    """Maxima over the last n dimensions, and where they stand in the plane."""
    x, alone = batched(f"adaptive_max_pool{n}d", x, n)
    wanted = _wanted("adaptive_max_pool", x, output_size, n)
    have: Any = x.shape[2:]
    at = None
    if all(m and k % m == 0 for k, m in zip(have, wanted)):
        found = _max("adaptive_max_pool", x, n, tuple(k // m for k, m in zip(have, wanted)), None, 0, 1, False, return_indices)
        x, at = found if return_indices else (found, None)
    elif n <= 2 and all(0 < m <= k for k, m in zip(have, wanted)):
        flat = x if n == 2 else x.unsqueeze(2)
        x, at = apply_all("adaptive_max_pool2d", flat, out_h=1 if n == 1 else wanted[0], out_w=wanted[-1])
        x, at = (x, at) if n == 2 else (x.squeeze(2), at.squeeze(2))
        at = at.to(DType.int64) if return_indices else None
    elif return_indices:
        x, at = largest("adaptive_max_pool", x, joined([_span_spots(k, m) for k, m in zip(have, wanted)], have), wanted)
    else:
        for d in reversed(range(n)):  # within a row first: the first of equal elements is torch's too
            spans = _spans(have[d], wanted[d])
            size = max(b - a for a, b in spans)  # shorter windows repeat their last element, which changes no maximum
            places = np.array([min(a + i, b - 1) for a, b in spans for i in range(size)])
            x = apply("take", x, as_tensor(places), axis=2 + d, skip=-1)
            shape = x.shape
            rows: Any = 1
            for s in shape[3 + d :]:
                rows = rows * s
            last = d == n - 1
            flat = x.reshape(1, 1, -1, shape[2 + d]) if last else x.reshape(1, -1, shape[2 + d], rows)
            x = _max("adaptive_max_pool", flat, 2, (1, size) if last else (size, 1), None, 0, 1, False, False)
            x = x.reshape(*shape[: 2 + d], wanted[d], *shape[3 + d :])
    y, at = (None if t is None else t.squeeze(0) for t in (x, at)) if alone else (x, at)
    return (y, at) if return_indices else y


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    return adaptive_avg_pool(input, output_size, 1)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Means of x[N, C, H, W] in output_size windows (None: as many as there are rows or columns)."""
    return adaptive_avg_pool(input, output_size, 2)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    return adaptive_avg_pool(input, output_size, 3)


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    return adaptive_max_pool(input, output_size, return_indices, 1)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima of x[N, C, H, W] in output_size windows."""
    return adaptive_max_pool(input, output_size, return_indices, 2)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    return adaptive_max_pool(input, output_size, return_indices, 3)


def max_unpool(x: Tensor, indices: Tensor, kernel_size: Any, stride: Any, padding: Any, output_size: Sequence[int] | None, n: int) -> Tensor:
    """The maxima back in their places between zeros; indices as max_pool(..., return_indices=True) gives them."""
    name = f"max_unpool{n}d"
    if indices.shape != x.shape:
        raise ShapeError(f"{name}: {indices.spec} are not the places of {x.spec}")
    x, alone = batched(name, x, n)
    lead = x.shape[:2]
    kernel, pad = sides(name, kernel_size, n), sides(name, padding, n)
    step = kernel if stride is None else sides(name, stride, n)
    plain = [(s - 1) * b - 2 * p + k for s, k, b, p in zip(x.shape[2:], kernel, step, pad)]
    size: list[Any] = plain if output_size is None else list(output_size)[-n:]
    zeros = as_tensor(0.0).expand(*lead, product(tuple(size)))
    y = scatter(zeros, 2, indices.reshape(*lead, -1), x.reshape(*lead, -1)).reshape(*lead, *size)
    return y.squeeze(0) if alone else y


def max_unpool1d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Sequence[int] | None = None) -> Tensor:
    return max_unpool(input, indices, kernel_size, stride, padding, output_size, 1)


def max_unpool2d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Sequence[int] | None = None) -> Tensor:
    """The maxima back in their places between zeros; indices as max_pool2d(..., return_indices=True) gives them."""
    return max_unpool(input, indices, kernel_size, stride, padding, output_size, 2)


def max_unpool3d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Sequence[int] | None = None) -> Tensor:
    return max_unpool(input, indices, kernel_size, stride, padding, output_size, 3)


__all__ = ["adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
           "avg_pool1d", "avg_pool2d", "avg_pool3d", "lp_pool1d", "lp_pool2d", "lp_pool3d", "max_pool1d", "max_pool2d", "max_pool3d", "max_unpool1d",
           "max_unpool2d", "max_unpool3d"]  # fmt: skip
