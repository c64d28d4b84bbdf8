"""The operations that torch has as methods too."""

from __future__ import annotations

from ..core.tensor import Tensor
from . import arrange, functions, indexing, order

METHODS = ("acos", "all", "any", "argmax", "argmin", "argsort", "asin", "atan", "ceil", "chunk", "clamp", "cos", "cumprod", "cumsum", "erf", "exp2",
           "expm1", "flip", "floor", "fmod", "gather", "index_add", "index_put", "index_select", "isfinite", "isinf", "isnan", "log10", "log1p", "log2",
           "logical_and", "logical_not", "logical_or", "logical_xor", "logsumexp", "masked_fill", "norm", "prod", "reciprocal", "remainder",
           "repeat_interleave", "roll", "round", "rsqrt", "scatter", "scatter_add", "sign", "sin", "sort", "split", "square", "std", "take_along_dim",
           "tan", "tile", "topk", "tril", "triu", "trunc", "unbind", "var")  # fmt: skip

for _name in METHODS:
    setattr(Tensor, _name, next(getattr(family, _name) for family in (arrange, functions, indexing, order) if hasattr(family, _name)))
Tensor.repeat = arrange.tile  # type: ignore[attr-defined]
