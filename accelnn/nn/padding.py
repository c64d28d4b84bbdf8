"""Elements around the last dimensions. One number for all sides, or (left, right, top, bottom, front, back); negative numbers cut."""

from __future__ import annotations

from typing import Any

from ..core.errors import AttributeValueError
from ..core.tensor import Tensor
from ..ops.arrange import pad
from .spatial import Spatial


class _Pad(Spatial):
    mode, value = "constant", 0.0

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = (padding,) * (2 * self.dims) if isinstance(padding, int) else tuple(padding)
        if len(self.padding) != 2 * self.dims:
            raise AttributeValueError(f"{type(self).__name__}: padding {padding}; one number, or {2 * self.dims}")

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        return pad(x, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return str(self.padding)


class _Constant(_Pad):
    """`value` on all sides."""

    shown = ("padding", "value")

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    extra_repr = Spatial.extra_repr


class _Zero(_Pad):
    """Zeros on all sides."""


class _Reflection(_Pad):
    """The elements mirrored at the border, which is not repeated: c b | a b c | b a."""

    mode = "reflect"


class _Replication(_Pad):
    """The border repeated: a a | a b c | c c."""

    mode = "replicate"


class _Circular(_Pad):
    """The elements of the other end: b c | a b c | a b."""

    mode = "circular"


class ConstantPad1d(_Constant, dims=1): ...


class ConstantPad2d(_Constant, dims=2): ...


class ConstantPad3d(_Constant, dims=3): ...


class ZeroPad1d(_Zero, dims=1): ...


class ZeroPad2d(_Zero, dims=2): ...


class ZeroPad3d(_Zero, dims=3): ...


class ReflectionPad1d(_Reflection, dims=1): ...


class ReflectionPad2d(_Reflection, dims=2): ...


class ReflectionPad3d(_Reflection, dims=3): ...


class ReplicationPad1d(_Replication, dims=1): ...


class ReplicationPad2d(_Replication, dims=2): ...


class ReplicationPad3d(_Replication, dims=3): ...


class CircularPad1d(_Circular, dims=1): ...


class CircularPad2d(_Circular, dims=2): ...


class CircularPad3d(_Circular, dims=3): ...


__all__ = ["CircularPad1d", "CircularPad2d", "CircularPad3d", "ConstantPad1d", "ConstantPad2d", "ConstantPad3d", "ReflectionPad1d", "ReflectionPad2d",
           "ReflectionPad3d", "ReplicationPad1d", "ReplicationPad2d", "ReplicationPad3d", "ZeroPad1d", "ZeroPad2d", "ZeroPad3d"]  # fmt: skip
