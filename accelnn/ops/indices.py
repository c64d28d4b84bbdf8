"""What ops with an index share. Indices are int64 or int32; negative ones count from the end; one outside is a BoundError that names it and its place, in
eager, in a Plan and in a program."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dtypes import DType
from ..core.errors import DTypeError
from ..core.graph import Spec
from ..core.tensor import Tensor, apply, as_tensor
from .elementwise import where
from .matmul import gamma

REDUCE = ("none", "add", "mul", "max", "min")  # ONNX's names, in the kernel's order
UFUNC = (None, np.add, np.multiply, np.maximum, np.minimum)
INDEX = (DType.int64, DType.int32)
OTHERS = (np.uint8, np.int8, np.int32, np.int64, np.float16, np.bool_, np.float64, np.int16, np.uint16, np.uint32, np.uint64)


def check_indices(name: str, index: Spec) -> None:
    if index.dtype not in INDEX:
        raise DTypeError(f"{name}: the index is {index.dtype.name}; int64 or int32 expected")


def index_of(index: Any) -> Tensor:
    """Numbers, lists and arrays as int64 tensors."""
    return index if isinstance(index, Tensor) else as_tensor(index if isinstance(index, int) else np.asarray(index, np.int64), DType.int64)


def index_array(rng: np.random.Generator, size: int, shape: tuple[int, ...], dtype: Any = np.int64) -> Any:
    return rng.integers(-size, size, shape).astype(dtype)


def zeros_of(x: Tensor) -> Tensor:
    """float32 zeros of x's shape, which may be symbolic. Not x * 0: an infinity there would be a NaN."""
    return as_tensor(0.0).expand(*x.shape)


def combined_bound(reduce: int, size: Any, n: int) -> Any:
    return gamma(n + 1) * size if reduce in (1, 2) else 0 * size


def combined_vjp(dy: Tensor, x: Tensor, s: Tensor, y: Tensor, reduce: int, get: Any, put: Any) -> tuple[Tensor, Tensor]:
    """`get(t)` reads a tensor of x's shape where the indices point; `put(x, s, reduce)` is the op itself. Elements that are equally large share."""
    if reduce == 0:
        return put(dy, s * 0.0, 0), get(dy)
    if reduce == 1:
        return dy, get(dy)
    if reduce == 2:  # a source's own factor is divided out again, but for one that is 0: there the others' product is kept beside it
        none = (s == 0.0).float()
        zeros, product = get(put(zeros_of(x), none, 1)), get(put(x, where(none, 1.0, s), 2))
        others = where(none, where(zeros == 1.0, product, 0.0), where(zeros == 0.0, product / where(none, 1.0, s), 0.0))
        return dy * put(x * 0.0 + 1.0, s, 2), get(dy) * others
    own, theirs = (x == y).float(), (s == get(y)).float()
    share = dy / apply("maximum", put(own, theirs, 1), 1.0)
    return share * own, get(share) * theirs
