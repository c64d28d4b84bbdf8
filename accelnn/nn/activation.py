"""Activations as layers."""

from __future__ import annotations

from ..core.errors import AttributeValueError, ShapeError
from ..core.tensor import Tensor, full
from ..ops import activation as f, gelu, log_softmax, silu, softmax
from ..ops.random import rrelu
from .module import Module, Parameter


class ReLU(Module):
    """max(x, 0). `inplace`, here and below, is accepted for torch's sake: results are always fresh."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x.relu()


class Sigmoid(Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sigmoid()


class Tanh(Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.tanh()


class GELU(Module):
    """x Phi(x); approximate="tanh": the formula with tanh."""

    shown = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise AttributeValueError(f"GELU: approximate {approximate!r}; expected none or tanh")
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return gelu(x, self.approximate)


class SiLU(Module):
    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return silu(x)


class Mish(Module):
    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return f.mish(x)


class ReLU6(Module):
    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return f.relu6(x)


class LeakyReLU(Module):
    shown = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        return f.leaky_relu(x, self.negative_slope)


class RReLU(Module):
    """x, where it is negative a * x: a is random in [lower, upper) for each element while training, else their mean (Xu et al., arXiv 1505.00853)."""

    shown = ("lower", "upper")

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower, self.upper = lower, upper

    def forward(self, x: Tensor) -> Tensor:
        return rrelu(x, self.lower, self.upper, self.training)


class PReLU(Module):
    """x, where it is negative weight * x; one weight, or one a channel."""

    shown = ("num_parameters",)

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.weight = Parameter(full((num_parameters,), init))

    def forward(self, x: Tensor) -> Tensor:
        return f.prelu(x, self.weight)


class ELU(Module):
    shown = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return f.elu(x, self.alpha)


class CELU(Module):
    shown = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return f.celu(x, self.alpha)


class SELU(Module):
    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return f.selu(x)


class Hardswish(Module):
    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return f.hardswish(x)


class Hardsigmoid(Module):
    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return f.hardsigmoid(x)


class Hardtanh(Module):
    shown = ("min_val", "max_val")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if not min_val < max_val:
            raise AttributeValueError(f"Hardtanh: from {min_val} to {max_val}")
        self.min_val, self.max_val = min_val, max_val

    def forward(self, x: Tensor) -> Tensor:
        return f.hardtanh(x, self.min_val, self.max_val)


class Softplus(Module):
    shown = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, x: Tensor) -> Tensor:
        return f.softplus(x, self.beta, self.threshold)


class Softsign(Module):
    def forward(self, x: Tensor) -> Tensor:
        return f.softsign(x)


class LogSigmoid(Module):
    def forward(self, x: Tensor) -> Tensor:
        return f.logsigmoid(x)


class Tanhshrink(Module):
    def forward(self, x: Tensor) -> Tensor:
        return f.tanhshrink(x)


class Hardshrink(Module):
    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, x: Tensor) -> Tensor:
        return f.hardshrink(x, self.lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Softshrink(Module):
    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, x: Tensor) -> Tensor:
        return f.softshrink(x, self.lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Threshold(Module):
    """x where it is above the threshold, else value."""

    shown = ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value = threshold, value

    def forward(self, x: Tensor) -> Tensor:
        return f.threshold(x, self.threshold, self.value)


class GLU(Module):
    shown = ("dim",)

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return f.glu(x, self.dim)


class _Soft(Module):
    """dim None is for one or two dimensions and means the last: torch takes the first of three and warns, which has cost many people a day."""

    shown = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def along(self, x: Tensor) -> int:
        if self.dim is None and x.ndim > 2:
            raise AttributeValueError(f"{type(self).__name__}: along which of the {x.ndim} dimensions of {x.spec}? Give dim, for instance dim=-1")
        return -1 if self.dim is None else self.dim


class Softmax(_Soft):
    """exp(x) over its sum along `dim`."""

    def forward(self, x: Tensor) -> Tensor:
        return softmax(x, self.along(x))


class LogSoftmax(_Soft):
    """The logarithm of Softmax, without taking one of a small number."""

    def forward(self, x: Tensor) -> Tensor:
        return log_softmax(x, self.along(x))


class Softmin(_Soft):
    """Softmax of -x."""

    def forward(self, x: Tensor) -> Tensor:
        return softmax(-x, self.along(x))


class Softmax2d(Module):
    """Softmax over the channels of x[N, C, H, W] or x[C, H, W]."""

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim not in (3, 4):
            raise ShapeError(f"Softmax2d: x[N, C, H, W] expected (or without N), not {x.spec}")
        return softmax(x, -3)


__all__ = ["CELU", "ELU", "GELU", "GLU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "LogSigmoid", "LogSoftmax", "Mish", "PReLU",
           "RReLU", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softmax", "Softmax2d", "Softmin", "Softplus", "Softshrink", "Softsign", "Tanh",
           "Tanhshrink", "Threshold"]  # fmt: skip
