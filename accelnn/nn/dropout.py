"""Dropout of elements and of whole channels; masks come from the counter that every random op draws from."""

from __future__ import annotations

from typing import Any

from ..core.errors import AttributeValueError
from ..core.tensor import Tensor
from ..ops import random
from .spatial import Spatial


class _Dropout(Spatial):
    shown = ("p", "inplace")

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise AttributeValueError(f"{type(self).__name__}: p = {p} is not in [0, 1]")
        self.p, self.inplace = p, inplace


class Dropout(_Dropout):
    """While training: zeroes each element with probability p and scales the rest by 1 / (1 - p)."""

    def forward(self, x: Tensor) -> Tensor:
        return random.dropout(x, self.p, self.training)


class _Channels(_Dropout):
    """While training: zeroes each channel with probability p and scales the rest by 1 / (1 - p)."""

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        return random.dropout(x, self.p, self.training, (*x.shape[: x.ndim - self.dims], *(1,) * self.dims))


class Dropout1d(_Channels, dims=1): ...


class Dropout2d(_Channels, dims=2): ...


class Dropout3d(_Channels, dims=3): ...


class AlphaDropout(_Dropout):
    """Dropout that keeps mean and variance of what selu gives."""

    def mask(self, x: Tensor) -> tuple[Any, ...]:
        return x.shape

    def forward(self, x: Tensor) -> Tensor:
        return random.alpha_dropout(x, self.p, self.training, self.mask(x))


class FeatureAlphaDropout(AlphaDropout):
    """AlphaDropout of whole channels of x[N, C, ...]."""

    def mask(self, x: Tensor) -> tuple[Any, ...]:
        return (*x.shape[:2], *(1,) * (x.ndim - 2))


__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"]
