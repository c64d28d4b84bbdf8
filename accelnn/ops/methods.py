"""The operations that torch has as methods too. core/methods.py shows them to type checkers and editors, and a test holds the two together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.dtypes import DType
from ..core.errors import DTypeError, ShapeError
from ..core.tensor import Tensor, apply, as_tensor
from . import arrange, elementwise, functions, indexing, normalize, order


def dim(x: Tensor) -> int:
    """How many dimensions there are."""
    return x.ndim


def logical(name: str) -> Callable[[Tensor, Any], Tensor]:
    """An operator between truths; between numbers Python's & means another thing."""

    def call(x: Tensor, other: Any) -> Tensor:
        given = as_tensor(other, x.dtype)
        if x.dtype != DType.bool or given.dtype != DType.bool:
            raise DTypeError(f"{name}: between bool tensors, not {x.dtype.name} and {given.dtype.name}; logical_{name} takes numbers for truths")
        return apply(f"logical_{name}", x, given)

    return call


def invert(x: Tensor) -> Tensor:
    """~x of a bool tensor."""
    if x.dtype != DType.bool:
        raise DTypeError(f"~: of a bool tensor, not {x.dtype.name}; logical_not takes numbers for truths")
    return apply("logical_not", x)


def cpu(x: Tensor) -> Tensor:
    """On the host; the tensor itself, if it is there."""
    return x.to("cpu")


def long(x: Tensor) -> Tensor:
    """As int64."""
    return x.to(DType.int64)


def pow(x: Tensor, exponent: Any) -> Tensor:
    """x ** exponent."""
    return apply("pow", x, exponent)


def matmul(x: Tensor, other: Tensor) -> Tensor:
    """x @ other."""
    return x @ other


def t(x: Tensor) -> Tensor:
    """A matrix with rows and columns exchanged."""
    if x.ndim > 2:
        raise ShapeError(f"t: a matrix expected, not {x.spec}; .mT exchanges the last two dimensions")
    return x.T


def _methods() -> dict[str, Any]:
    families = {
        arrange: "chunk flip repeat_interleave roll split tile tril triu unbind",
        elementwise: "maximum minimum",
        functions: "acos all any asin atan ceil clamp cos erf exp2 expm1 floor fmod isfinite isinf isnan log10 log1p log2 logical_and logical_not logical_or "
                   "logical_xor logsumexp norm prod reciprocal remainder round rsqrt sign sin square std tan trunc var",
        indexing: "gather index_add index_put index_select masked_fill scatter scatter_add take_along_dim",
        normalize: "log_softmax",
        order: "argmax argmin argsort cumprod cumsum sort topk",
    }  # fmt: skip
    own = {f.__name__: f for f in (cpu, dim, long, matmul, pow, t)}
    return {name: getattr(family, name) for family, names in families.items() for name in names.split()} | own | {"repeat": arrange.tile}


OPERATORS = {"__and__": logical("and"), "__or__": logical("or"), "__xor__": logical("xor"), "__invert__": invert}
METHODS = dict(sorted(_methods().items()))
for _name, _function in (METHODS | OPERATORS).items():
    setattr(Tensor, _name, _function)
