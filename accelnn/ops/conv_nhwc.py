"""conv2d on [N, H, W, C] with weights packed for one algorithm (kernels/conv2d_nhwc/conv2d_nhwc.h). Made by passes/layout.py, after differentiation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from ..core.dims import AnySize, Size, product
from ..core.dtypes import DType
from ..core.errors import ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from .conv import GEOMETRY, _floats, columns, conv_shape, correlate, out_size
from .matmul import ACTIVATIONS, EPS, PANEL, _activate, gamma, slope

ALGORITHMS = ("panels", "winograd2", "winograd4", "folded", "lanes", "winograd5", "strided")  # codes of the kernel
PANELS, WINOGRAD2, WINOGRAD4, FOLDED, LANES, WINOGRAD5, STRIDED = range(7)
MOST_STRIDED = 128 * 128  # pairs of channels: beyond, packed weights are too large for what they gain (1.2 times the speed for 9 times the memory)
PHASED = (FOLDED, STRIDED)  # stride 2: 2x2 pixels are channels
SIX = (0, 2 / 3, -2 / 3, 3 / 2, -3 / 2)
POINTS: dict[int, tuple[float, ...]] = {WINOGRAD2: (0, 1, -1), WINOGRAD4: SIX, FOLDED: SIX, WINOGRAD5: SIX, STRIDED: (5 / 4, -5 / 4, 1 / 2, -1 / 2)}
TAPS = {WINOGRAD2: 3, WINOGRAD4: 3, FOLDED: 4, WINOGRAD5: 5, STRIDED: 2}  # of the filter that a tile sees
ROUNDINGS = 24  # of a term in the two transforms, the rounding of U, residual and bias


@cache
def transforms(algorithm: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A^T [m, t], G [t, r], B^T [t, t] of F(m, r) at the points and infinity: y = A^T ((G g) * (B^T d)) is the correlation of d with g."""
    p, r = POINTS[algorithm], TAPS[algorithm]
    t = len(p) + 1
    m = t - r + 1
    at, g, bt = np.zeros((m, t)), np.zeros((t, r)), np.zeros((t, t))
    for j, x in enumerate(p):
        others = [y for i, y in enumerate(p) if i != j]
        at[:, j] = [x**i for i in range(m)]
        g[j] = [x**i / np.prod([x - y for y in others]) for i in range(r)]
        bt[j, : t - 1] = np.poly(others)[::-1]
    at[m - 1, t - 1] = g[t - 1, r - 1] = 1
    bt[t - 1] = np.poly(p)[::-1]
    return at, g, bt


def _over(size: int, parts: int) -> int:
    return (size + parts - 1) // parts


def _known(size: AnySize) -> int:
    return size.hint if isinstance(size, Size) else int(size)


def _size(size: int, kernel: int, g: dict[str, int], axis: str) -> int:
    before, after = ("pad_top", "pad_bottom") if axis == "h" else ("pad_left", "pad_right")
    return _known(out_size(size, kernel, g[f"stride_{axis}"], g[f"dilation_{axis}"], g[before], g[after]))


def _tiles_of(size: int, kernel: int, g: dict[str, int], axis: str, m: int) -> int:
    """Tiles of m outputs along an axis; with dilation d, every d-th pixel is a convolution without."""
    d = g[f"dilation_{axis}"]
    return d * _over(_over(_size(size, kernel, g, axis), d), m)


def plan_of(x: Spec, w: Spec, attrs: dict[str, Any]) -> str:
    """The algorithm for x[N,C,H,W] and w[O,C/groups,R,S]: shapes alone decide (named dims by their example), `exact` leaves Winograd out."""
    g = {**GEOMETRY, **{k: v for k, v in attrs.items() if k in GEOMETRY}}
    n, c, h, width = map(_known, x.shape)
    o, per_group, r, s = map(_known, w.shape)
    if g["groups"] > 1 and per_group == o // g["groups"] and per_group in (1, 2, 4, 8):
        covered = 16 * _tiles_of(h, r, g, "h", 4) * _tiles_of(width, s, g, "w", 4)
        dense = (r, s, g["stride_h"], g["stride_w"]) == (3, 3, 1, 1) and not attrs.get("exact")
        size = _size(h, r, g, "h") * _size(width, s, g, "w")
        return "winograd4" if dense and per_group >= 4 and covered < 1.6 * size else "lanes"
    strides, dilations = (g["stride_h"], g["stride_w"]), (g["dilation_h"], g["dilation_w"])
    if attrs.get("exact"):
        return "panels"
    oh, ow = _size(h, r, g, "h"), _size(width, s, g, "w")
    if (r, s) == (7, 7) and strides == (2, 2) and dilations == (1, 1) and c <= 4 and o >= 16 and oh * ow >= 256:
        return "folded"
    if (r, s) == (3, 3) and strides == (2, 2) and dilations == (1, 1) and g["groups"] == 1 and c % PANEL == 0 < c and 16 <= o and o * c <= MOST_STRIDED:
        tiles = _over(oh, 4) * _over(ow, 4)
        return "strided" if n * tiles >= (9 if 324 * o * c > 8 << 20 else 4) and 90 * tiles < 9 * 0.9 * oh * ow else "panels"
    if strides != (1, 1) or per_group < 16 or o < 16 or (g["groups"] > 1 and o // g["groups"] % PANEL):
        return "panels"
    # Multiply-adds an output, tiles over the edge included. F(4,3) reads 36 numbers a weight: for few tiles it would wait for memory alone.
    many = 9 if 144 * o * per_group > 8 << 20 else 4
    found = ("panels", r * s * 0.85)
    for name, kernel, m, least in (("winograd2", 3, 2, 4), ("winograd4", 3, 4, many), ("winograd5", 5, 2, many)):
        tiles, t = _tiles_of(h, r, g, "h", m) * _tiles_of(width, s, g, "w", m), m + kernel - 1
        cost = tiles * t * t / max(oh * ow, 1) * (1.2 if t == 6 else 1)
        if (r, s) == (kernel, kernel) and n * tiles >= least and cost < found[1]:
            found = (name, cost)
    return found[0]


def pays(x: Spec, w: Spec, attrs: dict[str, Any]) -> bool:
    """Whether conv2d_nhwc is worth two turned images where its neighbours are NCHW."""
    o, per_group, r, s = map(_known, w.shape)
    algorithm = plan_of(x, w, attrs)
    if algorithm in ("folded", "lanes"):
        return True
    return per_group >= 16 and o >= 16 and (r * s > 1 or o * per_group >= 4096)


def pack_attrs(attrs: dict[str, Any], algorithm: str) -> dict[str, int]:
    return {"groups": attrs.get("groups", 1), "algorithm": ALGORITHMS.index(algorithm)}


def packed_shape(w: Sequence[AnySize], groups: int, algorithm: int) -> tuple[Any, ...]:
    o, per_group, r, s = w
    if algorithm == PANELS:
        return (groups * ((o // groups + PANEL - 1) // PANEL), r * s * per_group, PANEL)
    taps = {LANES: r * s, WINOGRAD2: 16, WINOGRAD4: 36, WINOGRAD5: 36, FOLDED: 144, STRIDED: 81}[algorithm]
    return ((o + PANEL - 1) // PANEL, taps * per_group, PANEL)


def _check_algorithm(name: str, w: Sequence[Any], groups: int, algorithm: int) -> None:
    o, per_group, r, s = w
    products = groups == 1 or o // groups % PANEL == 0
    three, channelwise = (r, s) == (3, 3) and products, per_group == o // groups and per_group in (1, 2, 4, 8)
    few = channelwise and per_group in (4, 8) and (r, s) == (3, 3)
    fits = {PANELS: True, WINOGRAD2: three, WINOGRAD4: three or few, LANES: channelwise,
            WINOGRAD5: (r, s) == (5, 5) and products, FOLDED: (r, s) == (7, 7) and groups == 1 and per_group <= 4,
            STRIDED: (r, s) == (3, 3) and groups == 1 and per_group % PANEL == 0}  # fmt: skip
    if not fits.get(algorithm, False):
        known = ALGORITHMS[algorithm] if 0 <= algorithm < len(ALGORITHMS) else algorithm
        raise ShapeError(f"{name}: weights {tuple(w)} in {groups} groups are not for the algorithm {known}")


def _pack_shape(w: Spec, groups: int = 1, algorithm: int = 0) -> Spec:
    _floats("conv2d_pack", w)
    if len(w.shape) != 4 or groups < 1 or w.shape[0] % groups:
        raise ShapeError(f"conv2d_pack: w[O,C/groups,R,S] expected, not {w} in {groups} groups")
    _check_algorithm("conv2d_pack", w.shape, groups, algorithm)
    return Spec(packed_shape(w.shape, groups, algorithm), DType.float32)


def _panelled(taps: Any) -> Any:
    """[T, O] -> [ceil(O / 16), T, 16], zeros beyond O."""
    t, o = taps.shape
    panels = -(-o // PANEL)
    full = np.zeros((t, panels * PANEL), taps.dtype)
    full[:, :o] = taps
    return np.ascontiguousarray(full.reshape(t, panels, PANEL).transpose(1, 0, 2))


def folded(w: Any) -> Any:
    """7x7 (3x3) taps at stride 2 as 4x4 (2x2) taps on 2x2 pixels folded into channels (row, column, channel)."""
    o, c, r, _ = w.shape
    half = (r + 1) // 2
    even = np.zeros((o, c, 2 * half, 2 * half), w.dtype)
    even[:, :, :r, :r] = w
    return even.reshape(o, c, half, 2, half, 2).transpose(0, 3, 5, 1, 2, 4).reshape(o, 4 * c, half, half)


def _phased(channels: int) -> Any:
    """Which rows (point, phase, channel) of STRIDED's U can differ from 0: an odd phase has one tap, and that nothing at infinity."""
    i, j, a, b = np.indices((5, 5, 2, 2))
    return np.repeat(~(((i == 4) & (a == 1)) | ((j == 4) & (b == 1))).ravel(), channels)


def _full(u: Any, algorithm: int) -> Any:
    """U with all rows (point, channel)."""
    if algorithm != STRIDED:
        return u
    kept = _phased(len(u) // 81)
    full = np.zeros((len(kept), u.shape[1]), u.dtype)
    full[kept] = u
    return full


def _exchanged(u: Any, per_group: int) -> Any:
    """Rows (point, channel) of groups narrower than a panel as the kernel wants them: row c of output o is channel c ^ o of its group. Its own inverse."""
    points, outputs = u.reshape(-1, per_group, u.shape[1]), np.arange(u.shape[1]) % per_group
    return np.take_along_axis(points, (np.arange(per_group)[:, None] ^ outputs)[None], 1).reshape(u.shape)


def _in_lanes(groups: int, outputs: int) -> bool:
    return groups > 1 and outputs // groups % PANEL != 0


def _pack_reference(w: Any, groups: int = 1, algorithm: int = 0) -> Any:
    o, per_group, r, s = w.shape
    if algorithm in (PANELS, LANES):
        parts = groups if algorithm == PANELS else 1
        each = w.reshape(parts, o // parts, per_group, r, s).transpose(0, 3, 4, 2, 1).reshape(parts, r * s * per_group, o // parts)
        return np.concatenate([_panelled(x) for x in each])
    g = transforms(algorithm)[1]
    filters = folded(w) if algorithm in PHASED else w
    u = np.einsum("ik,ockl,jl->ijco", g, np.asarray(filters, np.float64), g)
    u = u.reshape(-1, o)
    u = u[_phased(per_group)] if algorithm == STRIDED else u
    return _panelled(_exchanged(u, per_group) if _in_lanes(groups, o) else u).astype(w.dtype)


_WEIGHTS: tuple[tuple[tuple[int, ...], int, int], ...] = (
    ((1, 1, 1, 1), 1, PANELS), ((17, 3, 3, 2), 1, PANELS), ((6, 2, 3, 3), 2, PANELS), ((5, 3, 3, 3), 1, WINOGRAD2), ((33, 2, 3, 3), 1, WINOGRAD4),
    ((24, 8, 3, 3), 3, WINOGRAD4), ((20, 3, 7, 7), 1, FOLDED), ((18, 3, 5, 5), 1, WINOGRAD5), ((5, 1, 3, 3), 5, LANES), ((24, 4, 3, 2), 6, LANES),
    ((0, 2, 3, 3), 1, PANELS), ((18, 16, 3, 3), 1, STRIDED),
)  # fmt: skip


def _draw(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def _pack_samples() -> Any:
    rng = np.random.default_rng(0)
    return [((_draw(rng, *w),), {"groups": g, "algorithm": a}) for w, g, a in _WEIGHTS]


conv2d_pack = Op("conv2d_pack", _pack_shape, _pack_reference, samples=_pack_samples)


def _shape(x: Spec, w: Spec, bias: Spec | None = None, residual: Spec | None = None, channels: int = 0, kernel_h: int = 1, kernel_w: int = 1,
           algorithm: int = 0, activation: int = 0, **g: int) -> Spec:  # fmt: skip
    _floats("conv2d_nhwc", x, w, bias, residual)
    full = {**GEOMETRY, **g}
    if len(x.shape) != 4 or full["groups"] < 1 or channels % full["groups"] or x.shape[3] % full["groups"]:
        raise ShapeError(f"conv2d_nhwc: x[N,H,W,C] expected, not {x}, {channels} output channels, {full['groups']} groups")
    n, h, width, c = x.shape
    weights = (channels, c // full["groups"], kernel_h, kernel_w)
    _check_algorithm("conv2d_nhwc", weights, full["groups"], algorithm)
    if w.shape != packed_shape(weights, full["groups"], algorithm):
        raise ShapeError(f"conv2d_nhwc: {w} is not what conv2d_pack makes of {weights}: {packed_shape(weights, full['groups'], algorithm)}")
    steps, dilations = (full["stride_h"], full["stride_w"]), (full["dilation_h"], full["dilation_w"])
    if algorithm in TAPS and (steps != ((2, 2) if algorithm in PHASED else (1, 1)) or (algorithm in PHASED and dilations != (1, 1))):
        raise ShapeError(f"conv2d_nhwc: {ALGORITHMS[algorithm]} takes no stride {steps}, dilation {dilations}")
    y = conv_shape("conv2d_nhwc", Spec((n, c, h, width), DType.float32), Spec(weights, DType.float32), bias, full, DType.float32).shape
    out = Spec((y[0], y[2], y[3], y[1]), DType.float32)
    if residual is not None and residual != out:
        raise ShapeError(f"conv2d_nhwc: a residual {residual} for a result {out}")
    return out


def _first(x: Any) -> Any:
    return None if x is None else x.transpose(0, 3, 1, 2)


def _unpanelled(w: Any, o: int) -> Any:
    return w.transpose(1, 0, 2).reshape(w.shape[1], len(w) * PANEL)[:, :o]


def _places(size: int, m: int, dilation: int) -> list[int]:
    """Where tiles begin along one axis: as many side by side as the dilation, whose outputs and inputs lie that far apart."""
    return [i // dilation * dilation * m + i % dilation for i in range(dilation * _over(_over(size, dilation), m))]


def _tiles(x: Any, g: dict[str, int], algorithm: int, oh: int, ow: int) -> Any:
    """What each tile reads: x[N,C,H,W] -> [N,TH,TW,C',t,t], of the folded image for FOLDED, STRIDED."""
    m, t = transforms(algorithm)[0].shape
    dh, dw = g["dilation_h"], g["dilation_w"]
    down, across = _places(oh, m, dh), _places(ow, m, dw)
    fold = 2 if algorithm in PHASED else 1
    rows, cols = (down[-1] + (t - 1) * dh + 1) * fold, (across[-1] + (t - 1) * dw + 1) * fold
    n, c, h, width = x.shape
    padded = np.zeros((n, c, rows, cols), x.dtype)
    h, width = min(h, rows - g["pad_top"]), min(width, cols - g["pad_left"])
    padded[:, :, g["pad_top"] : g["pad_top"] + h, g["pad_left"] : g["pad_left"] + width] = x[:, :, :h, :width]
    if fold == 2:
        padded = padded.reshape(n, c, rows // 2, 2, cols // 2, 2).transpose(0, 3, 5, 1, 2, 4).reshape(n, 4 * c, rows // 2, cols // 2)
    found = np.empty((n, len(down), len(across), padded.shape[1], t, t), x.dtype)
    for i, top in enumerate(down):
        for j, left in enumerate(across):
            found[:, i, j] = padded[:, :, top : top + t * dh : dh, left : left + t * dw : dw]
    return found


def _by_tiles(x: Any, u: Any, g: dict[str, int], algorithm: int, oh: int, ow: int, size: bool) -> Any:
    """A^T (sum_c U * (B^T d B)) A for every tile -> [N,O,OH,OW]; with `size` of absolute values throughout: what the error bound multiplies."""
    at, _, bt = transforms(algorithm)
    d = _tiles(x, g, algorithm, oh, ow)
    if size:
        at, bt, d, u = np.abs(at), np.abs(bt), np.abs(d), np.abs(u)
    t, m, n, o = len(bt), len(at), len(d), u.shape[1]
    v = np.einsum("ik,nabckl,jl->nabijc", bt, d, bt, optimize=True)
    u, k = u.reshape(t, t, len(u) // (t * t), o), g["groups"]
    each = [np.einsum("nabijc,ijco->nabijo", a, b, optimize=True) for a, b in zip(np.split(v, k, -1), np.split(u, k, -1))]
    products = np.concatenate(each, -1)
    found = np.einsum("pi,nabijo,qj->noabpq", at, products, at, optimize=True)
    y = np.zeros((n, o, oh + m * g["dilation_h"], ow + m * g["dilation_w"]), found.dtype)
    for i, top in enumerate(_places(oh, m, g["dilation_h"])):
        for j, left in enumerate(_places(ow, m, g["dilation_w"])):
            for p in range(m):
                for q in range(m):
                    if (h := top + p * g["dilation_h"]) < oh and (w := left + q * g["dilation_w"]) < ow:
                        y[:, :, h, w] = found[:, :, i, j, p, q]
    return y[:, :, :oh, :ow]


def winograd_sizes(x: Any, w: Any, g: dict[str, int]) -> list[tuple[int, Any]]:
    """(roundings of a term, |A^T| (sum_c |U| (|B^T| |d| |B|)) |A|) of every Winograd algorithm that could do conv2d(x, w); NCHW."""
    o, per_group, r, s = w.shape
    strides, dilated = (g["stride_h"], g["stride_w"]), (g["dilation_h"], g["dilation_w"]) != (1, 1)
    found = []
    for algorithm in TAPS if g["groups"] == 1 and w.size and x.size else ():
        kernel, step = {WINOGRAD5: (5, 1), FOLDED: (7, 2), STRIDED: (3, 2)}.get(algorithm, (3, 1))
        if (r, s) != (kernel, kernel) or strides != (step, step) or (algorithm in PHASED and dilated) or (algorithm == FOLDED and per_group > 4) or (
            algorithm == STRIDED and per_group % PANEL):
            continue
        u = _full(_unpanelled(_pack_reference(w, 1, algorithm), o), algorithm)
        shape = columns(x[:, :0], r, s, g).shape
        channels = per_group * (4 if algorithm in PHASED else 1)
        found.append((channels + ROUNDINGS, _by_tiles(x, u, g, algorithm, shape[4], shape[5], True)))
    return found


def _sum(x: Any, w: Any, channels: int, kernel: tuple[int, int], algorithm: int, g: dict[str, int], size: bool) -> Any:
    """The convolution itself, NCHW, or its absolute terms."""
    k, per_group = g["groups"], x.shape[1] // g["groups"]
    if algorithm not in TAPS:
        parts = k if algorithm == PANELS else 1
        each = w.reshape(parts, len(w) // parts, *w.shape[1:])
        taps = np.concatenate([_unpanelled(p, channels // parts) for p in each], 1)
        weights = taps.T.reshape(channels, *kernel, per_group).transpose(0, 3, 1, 2)
        return correlate(np.abs(x), np.abs(weights), g) if size else correlate(x, weights, g)
    shape = columns(x[:, :0], *kernel, g).shape
    u = _full(_unpanelled(w, channels), algorithm)
    return _by_tiles(x, _exchanged(u, per_group) if _in_lanes(k, channels) else u, g, algorithm, shape[4], shape[5], size)


def _reference(x: Any, w: Any, bias: Any = None, residual: Any = None, channels: int = 0, kernel_h: int = 1, kernel_w: int = 1, algorithm: int = 0,
               activation: int = 0, **g: int) -> Any:  # fmt: skip
    y = _sum(_first(x), w, channels, (kernel_h, kernel_w), algorithm, {**GEOMETRY, **g}, False).transpose(0, 2, 3, 1)
    y = y if residual is None else y + residual
    return _activate(y if bias is None else y + bias, activation)


def _bound(x: Any, w: Any, bias: Any = None, residual: Any = None, channels: int = 0, kernel_h: int = 1, kernel_w: int = 1, algorithm: int = 0,
           activation: int = 0, **g: int) -> Any:  # fmt: skip
    """gamma_(K+3) (|X| * |w| + |residual| + |bias|); of Winograd gamma_(C'+24) (|A^T| (sum_c |U| (|B^T| |d| |B|)) |A| + ...), tile by tile."""
    size = _sum(_first(x), w, channels, (kernel_h, kernel_w), algorithm, {**GEOMETRY, **g}, True).transpose(0, 2, 3, 1)
    size = size + sum(np.abs(v) for v in (bias, residual) if v is not None)
    channels_of = 4 * x.shape[3] if algorithm in PHASED else x.shape[3] // g.get("groups", 1)
    products = channels_of + ROUNDINGS if algorithm in TAPS else w.shape[1] + 3
    return gamma(products) * size * slope(activation) + (4 * EPS * np.maximum(size, 1) if activation else 0)


# x[N,C,H,W], w[O,C/g,R,S], geometry, algorithm
CASES: tuple[tuple[tuple[int, ...], tuple[int, ...], dict[str, int], int], ...] = (
    ((1, 1, 5, 5), (1, 1, 3, 3), {}, PANELS),
    ((2, 3, 9, 8), (5, 3, 3, 2), {"stride_h": 2, "stride_w": 3, "pad_top": 1, "pad_right": 2}, PANELS),
    ((1, 16, 10, 17), (70, 16, 3, 3), {"dilation_h": 2, "dilation_w": 3, "pad_left": 2, "pad_top": 2}, PANELS),
    ((3, 17, 6, 7), (49, 17, 1, 1), {}, PANELS),
    ((2, 20, 9, 9), (130, 20, 1, 1), {"stride_h": 2, "stride_w": 2}, PANELS),
    ((1, 8, 9, 16), (36, 4, 5, 5), {"groups": 2, "pad_top": 2, "pad_left": 2, "pad_bottom": 2, "pad_right": 2}, PANELS),
    ((0, 2, 6, 6), (3, 2, 3, 3), {}, PANELS),
    ((2, 0, 4, 4), (3, 0, 3, 3), {}, PANELS),
    ((1, 600, 15, 15), (160, 600, 1, 1), {}, PANELS),
    ((1, 33, 40, 31), (65, 33, 3, 3), {"pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}, PANELS),
    ((1, 3, 6, 9), (5, 3, 3, 3), {"pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}, WINOGRAD2),
    ((2, 18, 17, 14), (50, 18, 3, 3), {"pad_left": 2, "pad_bottom": 1}, WINOGRAD2),
    ((1, 2, 3, 3), (1, 2, 3, 3), {}, WINOGRAD4),
    ((2, 17, 30, 21), (35, 17, 3, 3), {"pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}, WINOGRAD4),
    ((1, 70, 7, 7), (80, 70, 3, 3), {"pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}, WINOGRAD4),
    ((2, 0, 5, 4), (3, 0, 3, 3), {"pad_right": 3}, WINOGRAD4),
    ((1, 17, 13, 16), (33, 17, 3, 3), {"dilation_h": 3, "dilation_w": 2, "pad_top": 3, "pad_left": 2, "pad_bottom": 3, "pad_right": 2}, WINOGRAD4),
    ((2, 9, 14, 9), (20, 9, 5, 5), {"pad_top": 2, "pad_left": 2, "pad_bottom": 2, "pad_right": 2}, WINOGRAD5),
    ((1, 16, 20, 23), (16, 16, 5, 5), {"dilation_h": 2, "dilation_w": 2, "pad_top": 4, "pad_left": 1}, WINOGRAD5),
    ((1, 36, 9, 14), (36, 4, 3, 3), {"groups": 9, "pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}, WINOGRAD4),
    ((2, 40, 8, 10), (40, 8, 3, 3), {"groups": 5, "dilation_w": 2, "pad_left": 1, "pad_bottom": 2}, WINOGRAD4),
    ((1, 60, 9, 14), (48, 20, 3, 3), {"groups": 3, "pad_top": 1, "pad_left": 1}, WINOGRAD4),
    ((2, 192, 9, 9), (192, 32, 3, 3), {"groups": 6, "pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}, WINOGRAD2),
    ((1, 3, 33, 41), (20, 3, 7, 7), {"stride_h": 2, "stride_w": 2, "pad_top": 3, "pad_left": 3, "pad_bottom": 3, "pad_right": 3}, FOLDED),
    ((2, 4, 30, 9), (7, 4, 7, 7), {"stride_h": 2, "stride_w": 2, "pad_left": 1}, FOLDED),
    ((1, 1, 8, 200), (16, 1, 7, 7), {"stride_h": 2, "stride_w": 2, "pad_bottom": 2}, FOLDED),
    ((1, 16, 5, 6), (3, 16, 3, 3), {"stride_h": 2, "stride_w": 2}, STRIDED),
    ((2, 32, 19, 33), (37, 32, 3, 3), {"stride_h": 2, "stride_w": 2, "pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}, STRIDED),
    ((2, 48, 16, 14), (64, 48, 3, 3), {"stride_h": 2, "stride_w": 2, "pad_top": 2, "pad_right": 3}, STRIDED),
    ((3, 16, 33, 62), (16, 16, 3, 3), {"stride_h": 2, "stride_w": 2, "pad_bottom": 1, "pad_right": 1}, STRIDED),
    ((2, 37, 9, 11), (37, 1, 3, 3), {"groups": 37, "pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}, LANES),
    ((1, 32, 11, 9), (32, 1, 5, 5), {"groups": 32, "stride_h": 2, "stride_w": 2, "pad_top": 2, "pad_left": 2}, LANES),
    ((1, 16, 9, 9), (16, 1, 7, 7), {"groups": 16, "pad_top": 3, "pad_left": 3, "pad_bottom": 3, "pad_right": 3}, LANES),
    ((1, 24, 10, 12), (24, 2, 3, 3), {"groups": 12, "pad_left": 1, "pad_right": 1}, LANES),
    ((1, 36, 8, 8), (36, 4, 3, 3), {"groups": 9, "stride_h": 2, "stride_w": 2, "pad_top": 1, "pad_left": 1}, LANES),
    ((2, 48, 6, 7), (48, 8, 3, 3), {"groups": 6, "pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}, LANES),
    ((1, 24, 9, 7), (24, 4, 3, 2), {"groups": 6, "dilation_h": 2, "stride_w": 2, "pad_top": 1}, LANES),
)  # fmt: skip


def drawn(rng: np.random.Generator, x: tuple[int, ...], w: tuple[int, ...], g: dict[str, int], algorithm: int) -> tuple[list[Any], dict[str, int]]:
    """Operands (channels last, weights packed) and attributes of a sample."""
    packed = _pack_reference(_draw(rng, *w), g.get("groups", 1), algorithm)
    attrs = {**g, "channels": w[0], "kernel_h": w[2], "kernel_w": w[3], "algorithm": algorithm}
    return [_draw(rng, x[0], x[2], x[3], x[1]), packed], attrs


def _samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for i, case in enumerate(CASES):
        arrays, attrs = drawn(rng, *case)
        if i % 2:
            out: Any = conv2d_nhwc.specs([Spec(a.shape, DType.float32) for a in arrays], attrs)[0].shape
            arrays += [_draw(rng, attrs["channels"]), _draw(rng, *out)]
            attrs["activation"] = i // 2 % len(ACTIVATIONS)
        found.append((tuple(arrays), attrs))
    return found


def _cost(x: Spec, w: Spec, bias: Spec | None = None, residual: Spec | None = None, **attrs: Any) -> Any:
    y = _shape(x, w, bias, residual, **attrs)
    taps = x.shape[3] // attrs.get("groups", 1) * attrs["kernel_h"] * attrs["kernel_w"]
    return 2 * product(y.shape) * taps, 4 * (product(x.shape) + product(w.shape) + product(y.shape) * (1 if residual is None else 2))


conv2d_nhwc = Op("conv2d_nhwc", _shape, _reference, samples=_samples, cost=_cost, bound=_bound)
