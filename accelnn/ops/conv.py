"""Two-dimensional convolution (cross-correlation, as in torch) and its two gradients; layout NCHW."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dims import AnySize, product
from ..core.dtypes import DType
from ..core.errors import DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply, mode
from . import conv_bounds, conv_eager
from .exactness import exact_wanted
from .matmul import ACTIVATIONS, EPS, _activate, gamma, slope
from .window import window

GEOMETRY: dict[str, int] = {"stride_h": 1, "stride_w": 1, "pad_top": 0, "pad_left": 0, "pad_bottom": 0, "pad_right": 0, "dilation_h": 1, "dilation_w": 1,
                            "groups": 1}  # fmt: skip


def out_size(size: AnySize, kernel: AnySize, stride: int, dilation: int, before: int, after: int) -> AnySize:
    if stride < 1:
        raise ShapeError(f"a stride of {stride}, at least 1 expected")
    return (size + before + after - dilation * (kernel - 1) - 1) // stride + 1


def conv_shape(name: str, x: Spec, w: Spec, bias: Spec | None, g: dict[str, int], out: DType) -> Spec:
    if len(x.shape) != 4 or len(w.shape) != 4:
        raise ShapeError(f"{name}: x[N,C,H,W] and w[O,C/groups,R,S] expected, not {x} and {w}")
    n, c, h, width = x.shape
    o, per_group, r, s = w.shape
    if g["groups"] < 1 or c != per_group * g["groups"] or o % g["groups"]:
        raise ShapeError(f"{name}: {c} input and {o} output channels do not fit weights {w} in {g['groups']} groups")
    if bias is not None and bias.shape != (o,):
        raise ShapeError(f"{name}: a bias of shape {bias.shape} for {o} channels")
    oh = out_size(h, r, g["stride_h"], g["dilation_h"], g["pad_top"], g["pad_bottom"])
    ow = out_size(width, s, g["stride_w"], g["dilation_w"], g["pad_left"], g["pad_right"])
    if oh < 1 or ow < 1:
        raise ShapeError(f"{name}: a kernel of {r} x {s} does not fit into {x} with this padding and dilation")
    return Spec((n, o, oh, ow), out)


def _floats(name: str, *specs: Spec | None) -> None:
    for s in specs:
        if s is not None and s.dtype != DType.float32:
            raise DTypeError(f"{name}: float32 expected, not {s.dtype.name}")


def _shape(x: Spec, w: Spec, bias: Spec | None = None, residual: Spec | None = None, activation: int = 0, exact: int = 0, **g: int) -> Spec:
    _floats("conv2d", x, w, bias, residual)
    y = conv_shape("conv2d", x, w, bias, {**GEOMETRY, **g}, DType.float32)
    if residual is not None and residual != y:
        raise ShapeError(f"conv2d: a residual {residual} for a result {y}")
    return y


def columns(x: np.ndarray, r: int, s: int, g: dict[str, int], fill: Any = 0) -> np.ndarray:
    """x[N,C,H,W] -> [N,C,R,S,OH,OW]: what each output pixel sees."""
    x = np.pad(x, ((0, 0), (0, 0), (g["pad_top"], g["pad_bottom"]), (g["pad_left"], g["pad_right"])), constant_values=fill)
    oh = out_size(x.shape[2], r, g["stride_h"], g["dilation_h"], 0, 0)
    ow = out_size(x.shape[3], s, g["stride_w"], g["dilation_w"], 0, 0)
    result = np.empty((*x.shape[:2], r, s, oh, ow), x.dtype)
    for i in range(r):
        for j in range(s):
            top, left = i * g["dilation_h"], j * g["dilation_w"]
            result[:, :, i, j] = x[:, :, top : top + g["stride_h"] * oh : g["stride_h"], left : left + g["stride_w"] * ow : g["stride_w"]][:, :, :oh, :ow]
    return result


def correlate(x: Any, w: Any, g: dict[str, int], fill: Any = 0) -> Any:
    n, c = x.shape[:2]
    o, per_group, r, s = w.shape
    k = g["groups"]
    oh, ow = columns(x[:, :0], r, s, g).shape[4:]
    cols = columns(x, r, s, g, fill).reshape(n, k, per_group * r * s, oh * ow)
    return (w.reshape(k, o // k, per_group * r * s) @ cols).reshape(n, o, oh, ow)


def _reference(x: Any, w: Any, bias: Any = None, residual: Any = None, activation: int = 0, exact: int = 0, **g: int) -> Any:
    y = correlate(x, w, {**GEOMETRY, **g})
    y = y if residual is None else y + residual
    return _activate(y if bias is None else y + bias[None, :, None, None], activation)


CASES: tuple[tuple[tuple[int, ...], tuple[int, ...], dict[str, int]], ...] = (
    ((1, 1, 5, 5), (1, 1, 3, 3), {}),
    ((2, 1, 28, 28), (6, 1, 5, 5), {"pad_top": 2, "pad_left": 2, "pad_bottom": 2, "pad_right": 2}),
    ((3, 6, 14, 14), (16, 6, 5, 5), {}),
    ((2, 7, 12, 23), (14, 7, 2, 7), {"stride_h": 2, "dilation_h": 2, "pad_top": 3, "pad_left": 2}),
    ((1, 5, 9, 19), (13, 5, 3, 3), {"pad_left": 1}),
    ((2, 3, 9, 8), (5, 3, 3, 2), {"stride_h": 2, "stride_w": 3, "pad_top": 1, "pad_right": 2}),
    ((1, 4, 10, 11), (6, 2, 3, 3), {"groups": 2, "dilation_h": 2, "dilation_w": 2, "pad_left": 1}),
    ((2, 5, 6, 7), (5, 1, 3, 3), {"groups": 5, "pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}),
    ((2, 17, 4, 4), (33, 17, 1, 1), {}),
    ((0, 2, 6, 6), (3, 2, 3, 3), {}),
    ((2, 17, 13, 14), (20, 17, 3, 3), {"pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}),
    ((1, 33, 19, 18), (16, 33, 3, 3), {"pad_top": 2, "pad_right": 2}),
    ((1, 34, 9, 11), (6, 34, 3, 2), {"stride_h": 2, "pad_left": 1}),
    ((1, 3, 20, 37), (5, 3, 4, 3), {"stride_w": 2, "dilation_h": 2, "pad_top": 3, "pad_left": 2}),
    ((3, 5, 4, 33), (7, 5, 1, 1), {"stride_h": 3, "stride_w": 2}),
    ((2, 20, 7, 9), (18, 20, 1, 1), {"stride_h": 2, "stride_w": 3}),
)


GRADIENTS: tuple[tuple[tuple[int, ...], tuple[int, ...], dict[str, int]], ...] = (  # Winograd with groups, dilation, 5x5; channels last; windows apart
    ((1, 17, 26, 25), (16, 17, 5, 5), {"pad_top": 2, "pad_left": 1}),
    ((2, 17, 15, 9), (16, 17, 3, 3), {"pad_top": 2, "pad_left": 2, "pad_bottom": 1, "dilation_h": 2, "dilation_w": 2}),
    ((2, 40, 13, 14), (32, 20, 3, 3), {"groups": 2, "pad_top": 1, "pad_right": 1}),
    ((1, 16, 20, 22), (16, 16, 5, 5), {"pad_top": 2, "pad_bottom": 2, "pad_left": 1, "exact": 1}),
    ((4, 64, 31, 29), (72, 64, 3, 3), {"stride_h": 2, "stride_w": 2, "pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}),
    ((2, 3, 9, 14), (6, 3, 4, 4), {"stride_h": 4, "stride_w": 4}),
    ((1, 2, 32, 48), (18, 2, 16, 16), {"stride_h": 16, "stride_w": 16}),
    ((2, 2, 15, 28), (5, 2, 7, 14), {"stride_h": 7, "stride_w": 14}),
)


LARGE: tuple[tuple[tuple[int, ...], tuple[int, ...], dict[str, int]], ...] = (  # worth turning: conv2d_nhwc inside
    ((1, 32, 24, 21), (32, 32, 3, 3), {"pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}),
    ((1, 32, 24, 21), (40, 32, 3, 3), {"pad_top": 1, "pad_left": 1, "exact": 1, "activation": 1}),
    ((1, 33, 17, 17), (33, 1, 3, 3), {"groups": 33}),
    ((2, 3, 11, 30), (6, 1, 3, 3), {"groups": 3, "stride_h": 2, "stride_w": 2, "pad_top": 1, "pad_left": 1, "activation": 2}),
    ((1, 4, 12, 40), (4, 1, 5, 3), {"groups": 4, "stride_w": 3, "dilation_h": 2, "pad_left": 2, "pad_right": 3}),
    ((1, 4, 23, 15), (8, 2, 5, 5), {"groups": 2, "pad_top": 2, "pad_left": 2, "pad_bottom": 2, "pad_right": 1, "activation": 1}),
    ((1, 3, 9, 33), (17, 3, 3, 3), {"stride_h": 2, "stride_w": 2, "pad_left": 1, "pad_right": 1}),
    ((2, 3, 29, 42), (17, 3, 4, 4), {"stride_h": 4, "stride_w": 4, "activation": 1}),
    ((1, 2, 16, 160), (5, 2, 16, 16), {"stride_h": 16, "stride_w": 16, "activation": 2}),
)


def _draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def _samples() -> Any:
    rng = np.random.default_rng(0)
    plain: list[Any] = [((_draw(rng, x), _draw(rng, w)), g) for x, w, g in CASES]
    plain += [((_draw(rng, (2, 3, 7, 7)), _draw(rng, (4, 3, 3, 3)), _draw(rng, (4,))), {"activation": a}) for a in range(len(ACTIVATIONS))]
    plain += [((_draw(rng, (2, 3, 7, 7)), _draw(rng, (4, 3, 3, 3)), _draw(rng, (4,)), _draw(rng, (2, 4, 5, 5))), {}),
              ((_draw(rng, (1, 2, 5, 6)), _draw(rng, (33, 2, 1, 1)), None, _draw(rng, (1, 33, 5, 6))), {"exact": 1}),
              ((_draw(rng, (2, 2, 6, 18)), _draw(rng, (2, 1, 3, 3)), None, _draw(rng, (2, 2, 4, 16))), {"groups": 2, "activation": 1})]  # fmt: skip
    for x, w, g in LARGE:
        plain.append(((_draw(rng, x), _draw(rng, w), _draw(rng, w[:1])), g))
    return plain


def _cost(x: Spec, w: Spec, bias: Spec | None = None, residual: Spec | None = None, **attrs: Any) -> Any:
    y = _shape(x, w, bias, residual, **attrs)
    moved = product(x.shape) + product(w.shape) + product(y.shape) * (1 if residual is None else 2)
    return 2 * product(y.shape) * product(w.shape[1:]), 4 * moved


def _bound(x: Any, w: Any, bias: Any = None, residual: Any = None, activation: int = 0, exact: int = 0, **g: int) -> Any:
    """gamma_(K+3) (|X| * |w| + |residual| + |bias|), or what Winograd is allowed where it may run."""
    from .conv_nhwc import winograd_sizes

    full = {**GEOMETRY, **g}
    rest = sum(np.abs(v) for v in (None if bias is None else bias[None, :, None, None], residual) if v is not None)
    bound = gamma(int(np.prod(w.shape[1:])) + 3) * (correlate(np.abs(x), np.abs(w), full) + rest)
    for roundings, size in [] if exact else winograd_sizes(x, w, full):
        bound = np.maximum(bound, gamma(roundings) * (size + rest))
    return bound * slope(activation) + (4 * EPS * np.maximum(bound / EPS, 1) if activation else 0)


conv2d_op = Op("conv2d", _shape, _reference, samples=_samples, cost=_cost, bound=_bound)


def _dgrad_shape(dy: Spec, w: Spec, in_h: AnySize, in_w: AnySize, **g: int) -> Spec:
    _floats("conv2d_dgrad", dy, w)
    full = {**GEOMETRY, **g}
    x = Spec((dy.shape[0], w.shape[1] * full["groups"], in_h, in_w), DType.float32)
    if conv_shape("conv2d_dgrad", x, w, None, full, DType.float32).shape != dy.shape:
        raise ShapeError(f"conv2d_dgrad: {dy} is not the output of a convolution of {x} with {w}")
    return x


def _dgrad_reference(dy: Any, w: Any, in_h: int, in_w: int, **g: int) -> Any:
    full = {**GEOMETRY, **g}
    k, (o, per_group, r, s), n = full["groups"], w.shape, dy.shape[0]
    cols = np.einsum("ngohw,gocrs->ngcrshw", dy.reshape(n, k, o // k, *dy.shape[2:]), w.reshape(k, o // k, per_group, r, s), optimize=True)
    cols = cols.reshape(n, k * per_group, r, s, *dy.shape[2:])
    dx = np.zeros((n, k * per_group, in_h + full["pad_top"] + full["pad_bottom"], in_w + full["pad_left"] + full["pad_right"]), dy.dtype)
    oh, ow = dy.shape[2:]
    for i in range(r):
        for j in range(s):
            top, left = i * full["dilation_h"], j * full["dilation_w"]
            ys = top + full["stride_h"] * np.arange(oh)
            xs = left + full["stride_w"] * np.arange(ow)
            dx[:, :, ys[:, None], xs[None, :]] += cols[:, :, i, j]
    return dx[:, :, full["pad_top"] : full["pad_top"] + in_h, full["pad_left"] : full["pad_left"] + in_w]


def _gradient_samples(second: int) -> Any:
    """Samples of dgrad (second operand w) or wgrad (second operand x) from the forward cases."""

    def samples() -> Any:
        rng = np.random.default_rng(0)
        found = []
        for x, w, g in CASES + GRADIENTS:
            y = conv2d_op.specs([Spec(x, DType.float32), Spec(w, DType.float32)], g)[0].shape
            extra = {"in_h": x[2], "in_w": x[3]} if second == 1 else {"kernel_h": w[2], "kernel_w": w[3]}
            found.append(((_draw(rng, y), _draw(rng, w if second == 1 else x)), {**g, **extra}))  # type: ignore[arg-type]
            if w[0] >= 16 and w[2] == 3 and g.get("groups", 1) == 1:
                found.append((found[-1][0], {**found[-1][1], "exact": 1}))
        return found

    return samples


def _gradient_cost(second: int) -> Any:
    def cost(dy: Spec, other: Spec, **attrs: Any) -> Any:
        result = _dgrad_shape(dy, other, **attrs) if second == 1 else _wgrad_shape(dy, other, **attrs)
        taps = (other if second == 1 else result).shape[1:]
        return 2 * product(dy.shape) * product(taps), 4 * (product(dy.shape) + product(other.shape) + product(result.shape))

    return cost


def _dgrad_bound(dy: Any, w: Any, in_h: int, in_w: int, exact: int = 0, **g: int) -> Any:
    full = {**GEOMETRY, **g}
    n, (o, per_group, r, s) = len(dy), w.shape
    if conv_bounds.by_winograd(n, per_group, o // full["groups"], (r, s), (in_h, in_w), dy.shape[2] * dy.shape[3], exact, **full):
        return conv_bounds.dgrad(dy, w, in_h, in_w, **full)
    if conv_bounds.by_strided(n, per_group, o, (r, s), dy.shape[2:], exact, **full):
        return conv_bounds.strided_dgrad(dy, w, in_h, in_w, **full)
    return gamma(o // full["groups"] * r * s + 1) * _dgrad_reference(np.abs(dy), np.abs(w), in_h, in_w, **g)


conv2d_dgrad = Op("conv2d_dgrad", _dgrad_shape, _dgrad_reference, samples=_gradient_samples(1), cost=_gradient_cost(1), bound=_dgrad_bound)


def _wgrad_shape(dy: Spec, x: Spec, kernel_h: int, kernel_w: int, **g: int) -> Spec:
    _floats("conv2d_wgrad", dy, x)
    full = {**GEOMETRY, **g}
    w = Spec((dy.shape[1], x.shape[1] // full["groups"], kernel_h, kernel_w), DType.float32)
    if conv_shape("conv2d_wgrad", x, w, None, full, DType.float32).shape != dy.shape:
        raise ShapeError(f"conv2d_wgrad: {dy} is not the output of a convolution of {x} with {w}")
    return w


def _wgrad_reference(dy: Any, x: Any, kernel_h: int, kernel_w: int, **g: int) -> Any:
    full = {**GEOMETRY, **g}
    k, n, o = full["groups"], x.shape[0], dy.shape[1]
    cols = columns(x, kernel_h, kernel_w, full)
    cols = cols.reshape(n, k, x.shape[1] // k, *cols.shape[2:])
    return np.einsum("ngohw,ngcrshw->gocrs", dy.reshape(n, k, o // k, *dy.shape[2:]), cols, optimize=True).reshape(o, x.shape[1] // k, kernel_h, kernel_w)


def _wgrad_bound(dy: Any, x: Any, kernel_h: int, kernel_w: int, exact: int = 0, **g: int) -> Any:
    full = {**GEOMETRY, **g}
    n, pixels = len(dy), dy.shape[2] * dy.shape[3]
    c, o = x.shape[1] // full["groups"], dy.shape[1] // full["groups"]
    if conv_bounds.by_winograd(n, c, o, (kernel_h, kernel_w), dy.shape[2:], pixels, exact, **full):
        return conv_bounds.wgrad(dy, x, kernel_h, **full)
    if conv_bounds.by_strided(n, c, o, (kernel_h, kernel_w), dy.shape[2:], exact, **full):
        return conv_bounds.strided_wgrad(dy, x, **full)
    return gamma(n * pixels + 8) * _wgrad_reference(np.abs(dy), np.abs(x), kernel_h, kernel_w, **g)


conv2d_wgrad = Op("conv2d_wgrad", _wgrad_shape, _wgrad_reference, samples=_gradient_samples(0), cost=_gradient_cost(0), bound=_wgrad_bound)


@conv2d_op.vjp
def _(dy: Tensor, x: Tensor, w: Tensor, *rest: Any, activation: int = 0, exact: int = 0, **g: int) -> Any:
    if activation:
        raise ShapeError("conv2d with a fused activation has no gradient; passes fuse after differentiation")
    g |= {"exact": exact} if exact else {}
    dx = apply("conv2d_dgrad", dy, w, in_h=x.shape[2], in_w=x.shape[3], **g) if needs_gradient(x) else None
    dw = apply("conv2d_wgrad", dy, x, kernel_h=w.shape[2], kernel_w=w.shape[3], **g) if needs_gradient(w) else None
    bias, residual = [*rest[:-1], None, None][:2]
    return (dx, dw, None if bias is None else dy.sum((0, 2, 3)), None if residual is None else dy)[: 2 + len(rest[:-1])]


@conv2d_dgrad.vjp
def _(g: Tensor, dy: Tensor, w: Tensor, dx: Tensor, in_h: int, in_w: int, **geometry: int) -> Any:
    return apply("conv2d", g, w, **geometry), apply("conv2d_wgrad", dy, g, kernel_h=w.shape[2], kernel_w=w.shape[3], **geometry)


@conv2d_wgrad.vjp
def _(g: Tensor, dy: Tensor, x: Tensor, dw: Tensor, kernel_h: int, kernel_w: int, **geometry: int) -> Any:
    return apply("conv2d", x, g, **geometry), apply("conv2d_dgrad", dy, g, in_h=x.shape[2], in_w=x.shape[3], **geometry)


def needs_gradient(x: Tensor) -> bool:
    """Whether anything can flow on from here: the first layer's images and frozen weights need no gradient."""
    return x.is_traced or x.requires_grad or x.node is not None


def pair(x: int | tuple[int, int]) -> tuple[int, int]:
    return (x, x) if isinstance(x, int) else (int(x[0]), int(x[1]))


def geometry(stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> dict[str, int]:
    """Torch's arguments as the op's attributes, where no sizes are needed."""
    return window(2, "conv2d", (1, 1), (1, 1), stride, padding, dilation, groups).attrs2d()


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
           exact: bool = False) -> Tensor:  # fmt: skip
    """x[N,C,H,W] * weight[O,C/groups,R,S] + bias[O] -> [N,O,OH,OW]; sizes are ints or pairs (height, width).

    padding: zeros at both sides, (top, left, bottom, right), or 'valid', 'same' (stride 1), 'same_upper', 'same_lower' (window.paddings).
    exact: no fast algorithm (Winograd), here and in the gradients, whose errors are bounded by the largest numbers that a tile of the image sees and
    not by an output's own terms (for a whole process or some lines: an.exact_convolutions)."""
    return convolved(x, weight, bias, window(2, "conv2d", x.shape[2:], weight.shape[2:], stride, padding, dilation, groups).attrs2d(exact or exact_wanted()))


def convolved(x: Tensor, weight: Tensor, bias: Tensor | None, g: dict[str, int]) -> Tensor:
    """conv2d with all of its attributes; on tensors channels last inside where that is faster."""
    if mode.trace is None:
        y = conv_eager.conv2d(x, weight, bias, g)
        if y is not None:
            return y
    return apply("conv2d", x, weight, **g) if bias is None else apply("conv2d", x, weight, bias, **g)


__all__ = ["conv2d"]
