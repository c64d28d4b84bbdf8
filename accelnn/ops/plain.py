"""The everyday operations on tensors, gathered from their modules."""

from __future__ import annotations

from ..core.tensor import Tensor
from . import activation, arrange, functions, indexing, order, pooling, resizing
from .activation import *  # noqa: F403
from .arrange import *  # noqa: F403
from .functions import *  # noqa: F403
from .indexing import *  # noqa: F403
from .order import *  # noqa: F403
from .pooling import *  # noqa: F403
from .resizing import *  # noqa: F403

__all__: list[str] = []
__all__ += activation.__all__
__all__ += arrange.__all__
__all__ += functions.__all__
__all__ += indexing.__all__
__all__ += order.__all__
__all__ += pooling.__all__
__all__ += resizing.__all__

# The same as methods, where torch has them.
METHODS = ["acos", "argmax", "argmin", "argsort", "asin", "atan", "ceil", "chunk", "clamp", "cos", "cumprod", "cumsum", "erf", "exp2", "expm1", "flip",
           "floor", "fmod", "gather", "index_add", "index_put", "index_select", "isfinite", "isinf", "isnan", "log10", "log1p", "log2", "logical_and",
           "logical_not", "logical_or", "logical_xor", "logsumexp", "masked_fill", "norm", "prod", "reciprocal", "remainder", "repeat_interleave", "roll",
           "round", "rsqrt", "scatter", "scatter_add", "sign", "sin", "sort", "split", "square", "std", "take_along_dim", "tan", "tile", "topk", "tril",
           "triu", "trunc", "unbind", "var", "all", "any"]  # fmt: skip
for _name in METHODS:
    setattr(Tensor, _name, globals()[_name])
Tensor.repeat = arrange.tile  # type: ignore[attr-defined]
