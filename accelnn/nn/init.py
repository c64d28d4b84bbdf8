"""Initial weights. Drawn by numpy from the seed of `an.seed`, so that a network's start depends on nothing else."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np

from ..core.errors import AttributeValueError, ShapeError
from ..core.tensor import Tensor, no_grad, tensor as tensor_of
from ..ops.random import rand


def uniform_array(shape: tuple[int, ...], bound: float) -> np.ndarray:
    """float32 in [-bound, bound)."""
    return np.asarray((rand(*shape).numpy() * 2.0 - 1.0) * np.float32(bound), np.float32)


def kaiming_uniform_array(shape: tuple[int, ...], fan_in: int, gain: float = math.sqrt(1 / 3)) -> np.ndarray:
    """He et al. 2015 (arXiv 1502.01852); the default gain is torch's for Linear and Conv2d (a = sqrt(5)): bound = 1 / sqrt(fan_in)."""
    return uniform_array(shape, gain * math.sqrt(3.0 / max(fan_in, 1)))


def xavier_uniform_array(shape: tuple[int, ...], fan_in: int, fan_out: int) -> np.ndarray:
    """Glorot and Bengio 2010."""
    return uniform_array(shape, math.sqrt(6.0 / (fan_in + fan_out)))


def normal_array(shape: tuple[int, ...], mean: float = 0.0, std: float = 1.0) -> np.ndarray:
    """float32 from N(mean, std^2): Box and Muller, 1958."""
    n = int(np.prod(shape, dtype=np.int64))
    u = rand(2, (n + 1) // 2).numpy().astype(np.float64)
    r, angle = np.sqrt(-2 * np.log1p(-u[0])), 2 * np.pi * u[1]
    return np.asarray(np.concatenate([r * np.cos(angle), r * np.sin(angle)])[:n].reshape(shape) * std + mean, np.float32)


# torch.nn.init: they fill the tensor that is given and return it.


def _filled(t: Tensor, values: Any) -> Tensor:
    with no_grad():
        return t.assign(tensor_of(np.ascontiguousarray(np.broadcast_to(np.asarray(values, np.float32), t.shape)), t.dtype))  # type: ignore[arg-type]


def _known(t: Tensor) -> tuple[int, ...]:
    return tuple(int(s) for s in t.shape)  # type: ignore[arg-type]


def _fans(t: Tensor) -> tuple[int, int]:
    if t.ndim < 2:
        raise ShapeError(f"fan in and fan out of {t.spec}; at least two dimensions are expected")
    n: Any = 1
    for s in t.shape[2:]:
        n *= s
    return t.shape[1] * n, t.shape[0] * n


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """torch's recommended gains."""
    known = {"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity in known or nonlinearity in ("linear", "sigmoid") or nonlinearity.startswith("conv"):
        return known.get(nonlinearity, 1.0)
    raise AttributeValueError(f"calculate_gain: {nonlinearity!r} is not known")


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    return _filled(tensor, rand(*tensor.shape).numpy() * np.float32(b - a) + np.float32(a))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    return _filled(tensor, normal_array(tensor.shape, mean, std))  # type: ignore[arg-type]


def trunc_normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0) -> Tensor:
    """N(mean, std^2) between a and b, by the inverse of its distribution function."""
    if not (a < b and std > 0):
        raise AttributeValueError(f"trunc_normal_: std {std} between {a} and {b}")
    normal = NormalDist(mean, std)
    low, high = max(normal.cdf(a), 1e-12), min(normal.cdf(b), 1 - 1e-12)
    shares = low + (high - low) * rand(*tensor.shape).numpy().astype(np.float64)
    return _filled(tensor, np.clip(np.vectorize(normal.inv_cdf, otypes=[np.float64])(shares), a, b))


def constant_(tensor: Tensor, val: float) -> Tensor:
    return _filled(tensor, val)


def ones_(tensor: Tensor) -> Tensor:
    return _filled(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    return _filled(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    if tensor.ndim != 2:
        raise ShapeError(f"eye_: two dimensions expected, not {tensor.spec}")
    rows, columns = _known(tensor)
    return _filled(tensor, np.eye(rows, columns))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Convolution weights [O, C, ...] that hand their channels through."""
    if not 3 <= tensor.ndim <= 5 or tensor.shape[0] % groups:
        raise ShapeError(f"dirac_: weights [O, C, ...] of a convolution in {groups} groups expected, not {tensor.spec}")
    shape = _known(tensor)
    w, per = np.zeros(shape, np.float32), shape[0] // groups
    middle = tuple(s // 2 for s in shape[2:])
    for g in range(groups):
        for i in range(min(per, shape[1])):
            w[(g * per + i, i, *middle)] = 1
    return _filled(tensor, w)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Glorot and Bengio, 2010: within gain sqrt(6 / (fan in + fan out))."""
    bound = gain * math.sqrt(6.0 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor))))


def _kaiming(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise AttributeValueError(f"kaiming: mode {mode!r}; expected fan_in or fan_out")
    return calculate_gain(nonlinearity, a) / math.sqrt(_fans(tensor)[mode == "fan_out"])


def kaiming_uniform_(tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Tensor:
    """He et al., 2015."""
    bound = math.sqrt(3.0) * _kaiming(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Tensor:
    return normal_(tensor, 0.0, _kaiming(tensor, a, mode, nonlinearity))


def orthogonal_(tensor: Tensor, gain: float = 1) -> Tensor:
    """Orthonormal rows (or columns, if there are fewer of them) times gain (Saxe et al., 2013)."""
    if tensor.ndim < 2:
        raise ShapeError(f"orthogonal_: at least two dimensions expected, not {tensor.spec}")
    rows: Any = tensor.shape[0]
    columns: Any = tensor.numel() // rows
    q, r = np.linalg.qr(normal_array((max(rows, columns), min(rows, columns))).astype(np.float64))
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return _filled(tensor, gain * (q if rows >= columns else q.T).reshape(tensor.shape))  # type: ignore[arg-type]


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01) -> Tensor:
    """N(0, std^2) with the share `sparsity` of each column zero (Martens, 2010)."""
    if tensor.ndim != 2:
        raise ShapeError(f"sparse_: two dimensions expected, not {tensor.spec}")
    w: np.ndarray = normal_array(tensor.shape, 0.0, std)  # type: ignore[arg-type]
    order = np.argsort(rand(*tensor.shape).numpy(), 0)
    np.put_along_axis(w, order[: math.ceil(sparsity * w.shape[0])], 0, 0)
    return _filled(tensor, w)
