"""Dropout of elements and of whole channels; masks come from the counter that every random op draws from."""

from __future__ import annotations

import math
from typing import Any

from .. import ops
from ..core.errors import AttributeValueError, ShapeError
from ..core.tensor import Tensor
from .module import Module

SATURATION = -1.7580993408473766  # what selu gives far below 0 (Klambauer et al., 2017)


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise AttributeValueError(f"{type(self).__name__}: p = {p} is not in [0, 1]")
        self.p = p

    def extra_repr(self) -> str:
        return f"p={self.p}"


class _ChannelDropout(_Dropout):
    """While training: zeroes each channel of x[N, C, ...] with probability p and scales the rest by 1 / (1 - p)."""

    dims = 0

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim not in (self.dims + 1, self.dims + 2):
            raise ShapeError(f"{type(self).__name__}: {self.dims + 2} dimensions expected (or {self.dims + 1} without N), not {x.spec}")
        if not self.training or not self.p:
            return x
        if self.p == 1:
            return x * 0.0
        keep = ops.rand(*x.shape[: x.ndim - self.dims], *(1,) * self.dims) >= self.p
        return ops.where(keep, x * (1.0 / (1.0 - self.p)), 0.0)


class Dropout1d(_ChannelDropout):
    dims = 1


class Dropout2d(_ChannelDropout):
    dims = 2


class Dropout3d(_ChannelDropout):
    dims = 3


class AlphaDropout(_Dropout):
    """Dropout that keeps mean and variance of what selu gives."""

    def _mask(self, x: Tensor) -> tuple[Any, ...]:
        return x.shape

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p:
            return x
        if self.p == 1:
            return x * 0.0
        a = 1 / math.sqrt((1 - self.p) * (1 + self.p * SATURATION**2))
        return ops.where(ops.rand(*self._mask(x)) >= self.p, x, SATURATION) * a - a * SATURATION * self.p


class FeatureAlphaDropout(AlphaDropout):
    """The same for whole channels of x[N, C, ...]."""

    def _mask(self, x: Tensor) -> tuple[Any, ...]:
        return (*x.shape[:2], *(1,) * (x.ndim - 2))


__all__ = ["AlphaDropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"]
