"""Layers that move elements: flattening, sampling, shuffling, unfolding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..core.errors import ShapeError
from ..core.tensor import Tensor
from ..ops import arrange
from ..ops.arrange import cut, place
from ..ops.resizing import interpolate
from .module import Module


class Flatten(Module):
    """Dimensions start_dim..end_dim as one."""

    shown = ("start_dim", "end_dim")

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(self.start_dim, self.end_dim)


class Unflatten(Module):
    """Dimension `dim` as several (one size may be -1)."""

    shown = ("dim", "unflattened_size")

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x: Tensor) -> Tensor:
        d = self.dim % x.ndim
        return x.reshape(*x.shape[:d], *_sizes(x.shape[d], self.unflattened_size), *x.shape[d + 1 :])


def _sizes(n: Any, sizes: tuple[int, ...]) -> tuple[Any, ...]:
    known = int(np.prod([s for s in sizes if s != -1]))
    return tuple(n // known if s == -1 else s for s in sizes)


class Upsample(Module):
    """x[N, C, ...] to another size, or by a factor: nearest, linear, bilinear, bicubic, trilinear."""

    def __init__(self, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
                 recompute_scale_factor: bool | None = None) -> None:  # fmt: skip
        super().__init__()
        self.size, self.scale_factor, self.mode, self.align_corners = size, scale_factor, mode, align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, x: Tensor) -> Tensor:
        return interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor)

    def extra_repr(self) -> str:
        return f"{f'size={self.size}' if self.scale_factor is None else f'scale_factor={self.scale_factor}'}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "bilinear", True)


class PixelShuffle(Module):
    """[..., C r^2, H, W] -> [..., C, H r, W r] (Shi et al., 2016)."""

    shown = ("upscale_factor",)

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, x: Tensor) -> Tensor:
        r, (*lead, c, h, w) = self.upscale_factor, x.shape
        if c % (r * r) != 0:
            raise ShapeError(f"PixelShuffle: {c} channels do not divide into {r} x {r} pixels")
        n = len(lead)
        y = x.reshape(*lead, c // (r * r), r, r, h, w).permute((*range(n + 1), n + 3, n + 1, n + 4, n + 2))
        return y.reshape(*lead, c // (r * r), h * r, w * r)


class PixelUnshuffle(Module):
    """[..., C, H r, W r] -> [..., C r^2, H, W]."""

    shown = ("downscale_factor",)

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, x: Tensor) -> Tensor:
        r, (*lead, c, h, w) = self.downscale_factor, x.shape
        if h % r != 0 or w % r != 0:
            raise ShapeError(f"PixelUnshuffle: {h} x {w} pixels do not divide by {r}")
        n = len(lead)
        y = x.reshape(*lead, c, h // r, r, w // r, r).permute((*range(n + 1), n + 2, n + 4, n + 1, n + 3))
        return y.reshape(*lead, c * (r * r), h // r, w // r)


class ChannelShuffle(Module):
    """Channels dealt out from `groups` heaps in turn (Zhang et al., 2018)."""

    shown = ("groups",)

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        n, c, *rest = x.shape
        if c % self.groups != 0:
            raise ShapeError(f"ChannelShuffle: {c} channels do not divide into {self.groups} groups")
        return x.reshape(n, self.groups, c // self.groups, *rest).transpose(1, 2).reshape(n, c, *rest)


def _pair(x: Any) -> tuple[int, int]:
    return (x, x) if isinstance(x, int) else (int(x[0]), int(x[1]))


class Unfold(Module):
    """Windows of x[N, C, H, W] as columns: [N, C kh kw, L]."""

    shown: tuple[str, ...] = ("kernel_size", "dilation", "padding", "stride")

    def __init__(self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> None:
        super().__init__()
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def sides(self) -> Iterator[tuple[int, int]]:
        """kernel_size, dilation, padding, stride: each for height and width."""
        return map(_pair, (self.kernel_size, self.dilation, self.padding, self.stride))

    def windows(self, h: Any, w: Any) -> tuple[Any, Any]:
        """How many windows fit a picture, down and across."""
        down, across = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in zip((h, w), *self.sides()))
        if down < 1 or across < 1:
            raise ShapeError(f"{type(self).__name__}: a window of {self.kernel_size} does not fit into {h} x {w}")
        return down, across

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 3:
            return self.forward(x.unsqueeze(0)).squeeze(0)
        n, c, h, w = x.shape
        down, across = self.windows(h, w)
        kernel, (dh, dw), (ph, pw), (sh, sw) = self.sides()
        x = arrange.pad(x, (pw, pw, ph, ph))
        parts = [cut(cut(x, 2, i * dh, down, sh), 3, j * dw, across, sw) for i, j in np.ndindex(*kernel)]
        return arrange.stack(parts, 2).reshape(n, c * len(parts), down * across)


class Fold(Unfold):
    """Columns added up where their windows lie: the transpose of Unfold."""

    shown = ("output_size", "kernel_size", "dilation", "padding", "stride")

    def __init__(self, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 2:
            return self.forward(x.unsqueeze(0)).squeeze(0)
        (h, w), ((kh, kw), (dh, dw), (ph, pw), (sh, sw)) = _pair(self.output_size), self.sides()
        down, across = self.windows(h, w)
        n, c, columns = x.shape
        if c % (kh * kw) != 0 or columns != down * across:
            raise ShapeError(f"Fold: {x.spec} is not [N, C * {kh * kw}, {down * across}]")
        x = x.reshape(n, c // (kh * kw), kh * kw, down, across)
        total = None
        for k, (i, j) in enumerate(np.ndindex(kh, kw)):
            part = cut(x, 2, k, 1).reshape(n, c // (kh * kw), down, across)
            high = [size + 2 * p - at * d - (m - 1) * s - 1 for size, p, at, d, m, s in ((h, ph, i, dh, down, sh), (w, pw, j, dw, across, sw))]
            part = place(part, (0, 0, i * dh, j * dw), (0, 0, *high), (1, 1, sh, sw) if (sh, sw) != (1, 1) else ())
            total = part if total is None else total + part
        assert total is not None
        return cut(cut(total, 2, ph, h), 3, pw, w)


__all__ = ["ChannelShuffle", "Flatten", "Fold", "PixelShuffle", "PixelUnshuffle", "Unflatten", "Unfold", "Upsample",
           "UpsamplingBilinear2d", "UpsamplingNearest2d"]  # fmt: skip
