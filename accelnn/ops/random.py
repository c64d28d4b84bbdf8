"""Random numbers: element i of call c under seed s is philox(s, c, i), in eager, in a Plan, on any number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dtypes import DType
from ..core.errors import AttributeValueError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply_all, no_grad, tensor
from .elementwise import where


def _philox(state: Any, n: int) -> Any:
    """The first n uniform numbers, in numpy."""
    mask = np.uint64(0xFFFFFFFF)
    blocks = np.arange((n + 3) // 4, dtype=np.uint64)
    call, key = np.uint64(state[1]), np.uint64(state[0])
    shift = np.uint64(32)
    c = [blocks & mask, blocks >> shift, np.full_like(blocks, call & mask), np.full_like(blocks, call >> shift)]
    k0, k1 = key & mask, key >> shift
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(p1 >> shift) ^ c[1] ^ k0, p1 & mask, (p0 >> shift) ^ c[3] ^ k1, p0 & mask]
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & mask, (k1 + np.uint64(0xBB67AE85)) & mask
    return ((np.stack(c, 1).ravel()[:n] >> np.uint64(8)).astype(np.float64)) * 2.0**-24


def _reference(state: Any, shape: tuple[int, ...]) -> Any:
    n = int(np.prod(shape))
    return _philox(np.asarray(state, np.int64), n).reshape(shape), np.asarray(state, np.int64) + np.array([0, 1])


random_uniform = Op("random_uniform", lambda state, shape: (Spec(tuple(shape), DType.float32), Spec((2,), DType.int64)), _reference,
                    samples=lambda: [((np.array([s, c]),), {"shape": shape})
                                     for s, c, shape in ((0, 0, (3,)), (7, 5, (4, 33)), (2**40, 2**33, (513,)), (1, 1, (0,)))])  # fmt: skip

position = tensor(np.array([0, 0], np.int64))  # seed, number of the next random call: a state of every Plan that draws


def seed(value: int) -> None:
    """Restarts the process's random numbers from `value`."""
    position.assign(tensor(np.array([value, 0], np.int64)))


def uniform(*shape: Any) -> Tensor:
    """float32 in [0, 1)."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    with no_grad():
        u, following = apply_all("random_uniform", position, shape=tuple(shape))
        position.assign(following)
    return u


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Zeroes each element with probability p and scales the rest by 1 / (1 - p); the identity when not training."""
    if not 0.0 <= p < 1.0:
        raise AttributeValueError(f"dropout: p = {p} is not in [0, 1)")
    return where(uniform(x.shape) >= p, x * (1.0 / (1.0 - p)), 0.0) if training and p else x


rand = uniform


__all__ = ["dropout", "rand", "seed"]
