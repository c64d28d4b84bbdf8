"""Windows, Fourier transforms as products with a matrix of cosines and sines, grids and what is read at their points."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .... import ops
from ....core.tensor import Tensor, apply
from ....ops.arrange import cut
from ..call import Call, axis_of, register
from ..reader import storage_of

WINDOWS = {"HannWindow": (0.5, 0.5, 0.0), "HammingWindow": (25 / 46, 21 / 46, 0.0), "BlackmanWindow": (0.42, 0.5, 0.08)}
MOST_POINTS = 4096          # of a transform whose matrix is made: 128 MB


def _window(c: Call, size: Any) -> np.ndarray:
    n = int(c.number(size, "size"))
    angles = 2 * np.pi * np.arange(n) / (n if c.get("periodic", 1) else max(n - 1, 1))
    a, b, d = WINDOWS[c.op]
    y = a - b * np.cos(angles) + d * np.cos(2 * angles)
    return y.astype(storage_of(c.get("output_datatype", 1)))


for _name in WINDOWS:
    register(_name)(_window)


def _angles(n: int, points: int) -> np.ndarray:
    return 2 * np.pi * (np.arange(n)[:, None] * np.arange(points) % points) / points


def _transformed(c: Call, x: Tensor, points: int, inverse: bool, onesided: bool) -> Tensor:
    """[..., T, 1 or 2] -> [..., points (or the half that a real signal needs), 2]; shorter signals continue with zeros, longer ones are cut."""
    given: Any = x.shape[-2]
    if not all(isinstance(s, int) for s in x.shape) or points > MOST_POINTS:
        raise c.refuse(f"a transform of {given} numbers to {points} points")
    n = min(given, points)
    kept = points // 2 + 1 if onesided else points
    angles = _angles(n, points)[:, :kept]
    cos, sin = np.cos(angles) / (points if inverse else 1), np.sin(angles) * (1 / points if inverse else -1)
    rows = [np.stack([cos, sin], -1)] if x.shape[-1] == 1 else [np.stack([cos, sin], -1), np.stack([-sin, cos], -1)]
    matrix = np.stack(rows, 1).reshape(n * len(rows), kept * 2)
    signal = cut(x, x.ndim - 2, 0, n).reshape(*x.shape[:-2], n * len(rows))
    return (signal @ c.tensor(matrix.astype(np.float32))).reshape(*x.shape[:-2], kept, 2)


def _real_signal(c: Call, x: Tensor, points: int) -> Tensor:
    """[..., half a spectrum, 2] -> [..., points, 1]: all but the first (and the middle one) stand for two."""
    if not all(isinstance(s, int) for s in x.shape) or points > MOST_POINTS:
        raise c.refuse(f"a transform of {x.shape[-2]} numbers to {points} points")
    n = min(int(x.shape[-2]), points // 2 + 1)  # type: ignore[arg-type]
    share = np.where((np.arange(n) == 0) | (2 * np.arange(n) == points), 1.0, 2.0)[:, None] / points
    matrix = np.stack([np.cos(_angles(n, points)) * share, -np.sin(_angles(n, points)) * share], 1).reshape(2 * n, points)
    y = cut(x, x.ndim - 2, 0, n).reshape(*x.shape[:-2], 2 * n) @ c.tensor(matrix.astype(np.float32))
    return y.unsqueeze(x.ndim - 1)


@register("DFT", widened=True)
def _(c: Call, x: Any, length: Any = None, axis: Any = None) -> Any:
    t = c.tensor(x)
    inverse, onesided = bool(c.get("inverse", 0)), bool(c.get("onesided", 0))
    d = axis_of(c, int(c.get("axis", 1)) if c.opset < 20 else -2 if axis is None else int(c.number(axis, "axis")), t.ndim)
    if d == t.ndim - 1:
        raise c.bad("the last axis holds real and imaginary parts")
    moved = t.transpose(d, t.ndim - 2)
    given: Any = moved.shape[-2]
    if length is None and not isinstance(given, int):
        raise c.refuse("a transform of unknown length")
    points = int(c.number(length, "dft_length")) if length is not None else 2 * (given - 1) if inverse and onesided else given
    y = _real_signal(c, moved, points) if inverse and onesided else _transformed(c, moved, points, inverse, onesided)
    return y.transpose(d, t.ndim - 2)


@register("STFT", widened=True)
def _(c: Call, x: Any, step: Any, window: Any = None, length: Any = None) -> Any:
    t = c.tensor(x)
    t = t.unsqueeze(2) if t.ndim == 2 else t
    hop = int(c.number(step, "frame_step"))
    w = None if window is None else c.tensor(window)
    n: Any = int(c.number(length, "frame_length")) if length is not None else w.shape[0] if w is not None else 0
    given: Any = t.shape[1]
    if not isinstance(given, int) or not n:
        raise c.refuse("a signal or frames of unknown length")
    frames = (given - n) // hop + 1
    at = np.arange(frames)[:, None] * hop + np.arange(n)
    cutout = ops.index_select(t, 1, at)                                  # [B, frames, n, 1 or 2]
    if w is not None:
        cutout = cutout * w.reshape(1, 1, n, 1)
    return _transformed(c, cutout, n, False, bool(c.get("onesided", 1)))


@register("SwiGLU", widened=True)
def _(c: Call, gate: Any, value: Any) -> Any:
    g, alpha = c.tensor(gate), float(c.get("alpha", 1.0))
    return g * (g * alpha).sigmoid() * c.tensor(value)


def _base(n: Any, aligned: bool) -> np.ndarray:
    return np.linspace(-1, 1, n) if aligned else (2 * np.arange(n) + 1) / n - 1


@register("AffineGrid", widened=True)
def _(c: Call, theta: Any, size: Any) -> Any:
    t, sizes, aligned = c.tensor(theta), c.sizes(size, "size"), bool(c.get("align_corners", 0))
    space = sizes[2:]
    if not all(isinstance(s, int) for s in sizes):
        raise c.refuse("a grid of unknown size")
    axes = np.meshgrid(*(_base(s, aligned) for s in space), indexing="ij")
    points = np.stack([*axes[::-1], np.ones(space)], -1).reshape(-1, len(space) + 1).astype(np.float32)
    return (c.tensor(points) @ t.mT).reshape(sizes[0], *space, len(space))


@register("GridSample", widened=True)
def _(c: Call, x: Any, grid: Any) -> Any:
    """A weighted sum of what lies at the corners around each point, dimension by dimension."""
    t, g = c.tensor(x), c.tensor(grid)
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(c.get("mode", "linear"), c.get("mode", "linear"))
    padding, aligned = c.get("padding_mode", "zeros"), bool(c.get("align_corners", 0))
    space, n = t.shape[2:], t.ndim - 2
    if not all(isinstance(s, int) for s in (*t.shape, *g.shape)):
        raise c.refuse("sizes that are not known before the run")
    if mode not in ("nearest", "linear", "cubic") or padding not in ("zeros", "border", "reflection"):
        raise c.bad(f"mode {mode!r}, padding_mode {padding!r}")
    batch, channels = t.shape[:2]
    points = math.prod(g.shape[1:-1])
    flat = t.reshape(batch, channels, -1)
    found = [(c.tensor(np.zeros((), np.float32)), c.tensor(np.ones((), np.float32)))]
    for d in range(n):                          # the grid names the last dimension first
        size: Any = space[d]
        at = cut(g.reshape(batch, points, n), 2, n - 1 - d, 1).reshape(batch, points)
        place = (at + 1) * ((size - 1) / 2) if aligned else ((at + 1) * size - 1) * 0.5
        if mode != "cubic":                         # cubic's four neighbours are moved inside one by one
            place = _inside(place, size, padding, aligned)
        more: list[tuple[Tensor, Tensor]] = []
        for corner, weight in _neighbours(place, mode):
            real = _inside(corner, size, padding, aligned) if mode == "cubic" else corner
            kept = ops.clip(real, 0.0, float(size - 1))
            there = ops.where(real == kept, weight, 0.0) if padding == "zeros" else weight
            more += [(offset * float(size) + kept, before * there) for offset, before in found]
        found = more
    total: Tensor | None = None
    for offset, weight in found:
        index = offset.to(np.int64).reshape(batch, 1, points).expand(batch, channels, points)
        part = apply("gather", flat, index, axis=2) * weight.reshape(batch, 1, points)
        total = part if total is None else total + part
    assert total is not None
    return total.reshape(batch, channels, *g.shape[1:-1])


def _inside(place: Tensor, size: int, padding: str, aligned: bool) -> Tensor:
    if padding == "zeros":
        return place
    if padding == "reflection":
        low, high = (0.0, float(size - 1)) if aligned else (-0.5, size - 0.5)
        span = high - low
        if span == 0:
            return place * 0.0 + low
        away = (place - low).abs()
        turns = (away / span).floor()
        rest = away - turns * span
        odd = turns - (turns * 0.5).floor() * 2.0
        place = ops.where(odd == 0.0, low + rest, high - rest)
    return ops.clip(place, 0.0, float(size - 1))


def _neighbours(place: Tensor, mode: str) -> list[tuple[Tensor, Tensor]]:
    """(whole place, its share) around each place."""
    if mode == "nearest":
        near = ops.round(place)
        return [(near, near * 0.0 + 1.0)]
    first = place.floor()
    r = place - first
    if mode == "linear":
        return [(first, 1.0 - r), (first + 1.0, r)]
    a = -0.75

    def far(t: Tensor) -> Tensor:
        return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a

    def near_by(t: Tensor) -> Tensor:
        return ((a + 2) * t - (a + 3)) * t * t + 1.0

    return [(first - 1.0, far(r + 1.0)), (first, near_by(r)), (first + 1.0, near_by(1.0 - r)), (first + 2.0, far(2.0 - r))]


@register("Col2Im", widened=True)
def _(c: Call, x: Any, image: Any, block: Any) -> Any:
    t, sizes, kernel = c.tensor(x), c.sizes(image, "image_shape"), c.sizes(block, "block_shape")
    n = len(sizes)
    strides, dilations, pads = c.ints("strides", (1,) * n), c.ints("dilations", (1,) * n), c.ints("pads", (0,) * 2 * n)
    if not all(isinstance(s, int) for s in (*t.shape, *sizes)):
        raise c.refuse("sizes that are not known before the run")
    padded = [s + pads[i] + pads[n + i] for i, s in enumerate(sizes)]
    steps = [(p - d * (k - 1) - 1) // s + 1 for p, d, k, s in zip(padded, dilations, kernel, strides)]
    where = np.zeros((), np.int64)
    for p, k, m, s, d in zip(padded, kernel, steps, strides, dilations):         # [kernel ..., steps ...] of places in the padded image
        one = np.arange(k)[:, None] * d + np.arange(m) * s
        where = where[..., None, None] * p + one
    order = [*range(0, 2 * n, 2), *range(1, 2 * n, 2)]
    places = where.transpose(order).reshape(-1)
    batch, channels = t.shape[0], t.shape[1] // math.prod(kernel)
    parts = t.reshape(batch * channels, -1)
    sums = apply("take_grad", parts, c.tensor(places), axis=1, skip=-1, size=math.prod(padded))
    y = sums.reshape(batch, channels, *padded)
    for i, s in enumerate(sizes):
        y = cut(y, 2 + i, pads[i], s)
    return y


@register("MelWeightMatrix")
def _(c: Call, bins: Any, length: Any, rate: Any, low: Any, high: Any) -> Any:
    n, points, sampled = (int(c.number(v, "sizes")) for v in (bins, length, rate))
    edges = [2595 * math.log10(1 + float(c.number(v, "edges")) / 700) for v in (low, high)]
    mel = edges[0] + np.arange(n + 2) * (edges[1] - edges[0]) / (n + 2)
    at = ((points + 1) * 700 * (10 ** (mel / 2595) - 1) // sampled).astype(np.int64)
    y = np.zeros((points // 2 + 1, n))
    for i, (a, b, d) in enumerate(zip(at, at[1:], at[2:])):
        if a == b:
            y[b, i] = 1
        else:
            y[a : b + 1, i] = (np.arange(a, b + 1) - a) / (b - a)
        if d > b:
            y[b:d, i] = (d - np.arange(b, d)) / (d - b)
    return y.astype(storage_of(c.get("output_datatype", 1)))


@register("TensorScatter")
def _(c: Call, past: Any, update: Any, start: Any = None) -> Any:
    """A cache with new entries written from `start` on, sequence by sequence."""
    x, new = c.tensor(past), c.tensor(update)
    axis, wraps = axis_of(c, int(c.get("axis", -2)), x.ndim), c.get("mode", "linear") == "circular"
    if not all(isinstance(s, int) for s in (*x.shape, *new.shape)):
        raise c.refuse("sizes that are not known before the run")
    n, count, batch = (int(s) for s in (x.shape[axis], new.shape[axis], x.shape[0]))  # type: ignore[arg-type]
    first = c.tensor(np.zeros(batch, np.int64)) if start is None else c.tensor(start)
    at = ops.calculate("add", first.to(np.int64).reshape(batch, 1), c.tensor(np.arange(count)))
    if wraps:
        at = ops.calculate("mod", at, c.tensor(np.asarray(n)))
    index = at.reshape([batch if d == 0 else count if d == axis else 1 for d in range(x.ndim)]).expand(*new.shape)
    return apply("scatter", x, index, new, axis=axis, reduce=0)
