"""Random numbers: element i of call c under seed s is philox(s, c, i), in eager, in a Plan, on any number of threads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.dims import Shape
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
positions: dict[str, Tensor] = {"cpu": position}  # every device counts for itself


def position_on(device: str) -> Tensor:
    """The state of the device's random numbers; it begins with the host's seed."""
    if device not in positions:
        positions[device] = tensor(np.array([position.numpy()[0], 0]), device=device)
    return positions[device]


def seed(value: int) -> None:
    """Restarts the process's random numbers from `value`."""
    for state in positions.values():
        state.assign(tensor(np.array([value, 0], np.int64)))


def uniform(*shape: Any, device: str = "cpu") -> Tensor:
    """float32 in [0, 1)."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    with no_grad():
        state = position_on(device)
        u, following = apply_all("random_uniform", state, shape=tuple(shape))
        state.assign(following)
    return u


SATURATION = -1.7580993408473766  # what selu gives far below 0 (Klambauer et al., 2017)


def _kept(name: str, x: Tensor, p: float, training: bool, mask: Shape | None) -> Tensor | None:
    """True with probability 1 - p, in the shape `mask`, which broadcasts to x's (None: for each element). None where nothing is dropped."""
    if not 0.0 <= p <= 1.0:
        raise AttributeValueError(f"{name}: p = {p} is not in [0, 1]")
    return uniform(x.shape if mask is None else mask, device=x.device) >= p if training and p else None


def dropout(x: Tensor, p: float = 0.5, training: bool = True, mask: Shape | None = None) -> Tensor:
    """Zeroes each element with probability p and scales the rest by 1 / (1 - p); the identity when not training. With `mask`, a shape that broadcasts to
    x's, all elements that share a number of it go together: (N, C, 1, 1) drops whole channels."""
    kept = _kept("dropout", x, p, training, mask)
    return x if kept is None else where(kept, x * (1.0 / (1.0 - p) if p < 1 else 0.0), 0.0)


def alpha_dropout(x: Tensor, p: float = 0.5, training: bool = False, mask: Shape | None = None) -> Tensor:
    """Dropout that keeps mean and variance of what selu gives: what is dropped becomes selu's least value (Klambauer et al., 2017)."""
    kept = _kept("alpha_dropout", x, p, training, mask)
    if kept is None or p == 1:
        return x if kept is None else x * 0.0
    a = 1 / math.sqrt((1 - p) * (1 + p * SATURATION**2))
    return where(kept, x, SATURATION) * a - a * SATURATION * p


def rrelu(x: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Tensor:
    """x, where it is negative a * x: a uniform in [lower, upper) for each element while training, else their mean (Xu et al., arXiv 1505.00853)."""
    if not lower <= upper:
        raise AttributeValueError(f"rrelu: from {lower} to {upper}")
    slope = uniform(x.shape, device=x.device) * (upper - lower) + lower if training else (lower + upper) / 2
    return where(x >= 0.0, x, x * slope)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A sample of softmax((logits + Gumbel noise) / tau); hard: as one 1 between zeros, with the gradient of the soft one (Jang et al., arXiv 1611.01144).
    `eps` does nothing, as in torch."""
    u = uniform(logits.shape, device=logits.device) * (1 - 2.0**-23) + 2.0**-24  # never 0, never 1
    noise = -(-u.log()).log()
    soft = ((logits + noise) * (1.0 / tau)).softmax(dim)
    if not hard:
        return soft
    top = (soft == soft.max(dim, keepdim=True)).float()
    return top - soft.detach() + soft


rand = uniform


__all__ = ["alpha_dropout", "dropout", "gumbel_softmax", "rand", "rrelu", "seed"]
