"""Layers that learn the number of their input features from their first input, and are ordinary layers from then on. Until then they have no tensors: call
the network once before you make an optimizer, load weights or compile."""

from __future__ import annotations

from typing import Any

from ..core.errors import Error
from ..core.tensor import mode
from . import conv, layers, norm
from .module import Module


class _Lazy(Module):
    """A `kind` whose first argument is the size of dimension `axis` of its first input."""

    kind: type[Module]
    axis = 1

    def __init_subclass__(cls, kind: type[Module] | None = None, axis: int = 1, **named: Any) -> None:
        super().__init_subclass__(**named)
        if kind is not None:
            cls.kind, cls.axis = kind, axis
            cls.__doc__ = f"{kind.__name__} that takes its first argument from its first input."

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = settings

    def __call__(self, *args: Any, **named: Any) -> Any:
        if mode.trace is not None:
            raise Error(f"{type(self).__name__} has no weights before its first call: call the network once, then compile it")
        kind, size, settings, training = self.kind, args[0].shape[self.axis], self.settings, self.training
        vars(self).clear()
        self.__class__ = kind  # type: ignore[assignment]
        kind.__init__(self, size, **settings)  # type: ignore[call-arg]
        self.training = training
        return self(*args, **named)

    def named_fields(self) -> Any:
        raise Error(f"{type(self).__name__} has no weights before its first call: call the network once, then ask for its parameters or its state")

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.settings.items())


class LazyLinear(_Lazy, kind=layers.Linear, axis=-1):
    def __init__(self, out_features: int, bias: bool = True) -> None:
        super().__init__(out_features=out_features, bias=bias)


class _LazyConv(_Lazy):
    def __init__(self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1, bias: bool = True,
                 padding_mode: str = "zeros") -> None:  # fmt: skip
        super().__init__(out_channels=out_channels, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation, groups=groups, bias=bias,
                         padding_mode=padding_mode)  # fmt: skip


class LazyConv1d(_LazyConv, kind=conv.Conv1d, axis=-2): ...


class LazyConv2d(_LazyConv, kind=conv.Conv2d, axis=-3): ...


class LazyConv3d(_LazyConv, kind=conv.Conv3d, axis=-4): ...


class _LazyTransposed(_Lazy):
    def __init__(self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1, bias: bool = True,
                 dilation: Any = 1, padding_mode: str = "zeros") -> None:  # fmt: skip
        super().__init__(out_channels=out_channels, kernel_size=kernel_size, stride=stride, padding=padding, output_padding=output_padding, groups=groups,
                         bias=bias, dilation=dilation, padding_mode=padding_mode)  # fmt: skip


class LazyConvTranspose1d(_LazyTransposed, kind=conv.ConvTranspose1d, axis=-2): ...


class LazyConvTranspose2d(_LazyTransposed, kind=conv.ConvTranspose2d, axis=-3): ...


class LazyConvTranspose3d(_LazyTransposed, kind=conv.ConvTranspose3d, axis=-4): ...


class _LazyBatchNorm(_Lazy):
    def __init__(self, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True, track_running_stats: bool = True, *, bias: bool = True) -> None:
        super().__init__(eps=eps, momentum=momentum, affine=affine, track_running_stats=track_running_stats, bias=bias)


class LazyBatchNorm1d(_LazyBatchNorm, kind=norm.BatchNorm1d): ...


class LazyBatchNorm2d(_LazyBatchNorm, kind=norm.BatchNorm2d): ...


class LazyBatchNorm3d(_LazyBatchNorm, kind=norm.BatchNorm3d): ...


class _LazyInstanceNorm(_LazyBatchNorm):
    """Torch's defaults are those of LazyBatchNorm, not of InstanceNorm."""


class LazyInstanceNorm1d(_LazyInstanceNorm, kind=norm.InstanceNorm1d, axis=-2): ...


class LazyInstanceNorm2d(_LazyInstanceNorm, kind=norm.InstanceNorm2d, axis=-3): ...


class LazyInstanceNorm3d(_LazyInstanceNorm, kind=norm.InstanceNorm3d, axis=-4): ...


__all__ = ["LazyBatchNorm1d", "LazyBatchNorm2d", "LazyBatchNorm3d", "LazyConv1d", "LazyConv2d", "LazyConv3d", "LazyConvTranspose1d", "LazyConvTranspose2d",
           "LazyConvTranspose3d", "LazyInstanceNorm1d", "LazyInstanceNorm2d", "LazyInstanceNorm3d", "LazyLinear"]  # fmt: skip
