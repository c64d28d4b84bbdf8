"""Layers that come for one, two and three dimensions: `class ZeroPad2d(ZeroPad, dims=2): ...`."""

from __future__ import annotations

import inspect
from typing import Any

from ..core.errors import ShapeError
from ..core.tensor import Tensor
from .module import Module

PLACES = ("", "x[N, C, W]", "x[N, C, H, W]", "x[N, C, D, H, W]")


class Spatial(Module):
    """A layer over the last `dims` dimensions; what a family has in common stands in its base class, its documentation too."""

    dims = 0

    def __init_subclass__(cls, dims: int = 0, **named: Any) -> None:
        super().__init_subclass__(**named)
        if dims:
            family = next(base.__doc__ for base in cls.__mro__ if base.__doc__)
            cls.dims, cls.__doc__ = dims, f"{PLACES[dims]}, or without N. {inspect.cleandoc(family)}"

    def check(self, x: Tensor) -> None:
        if x.ndim not in (self.dims + 1, self.dims + 2):
            raise ShapeError(f"{type(self).__name__}: {self.dims + 2} dimensions expected (or {self.dims + 1} without N), not {x.spec}")
