"""Initial weights. Drawn by numpy from the seed of `an.seed`, so that a network's start depends on nothing else."""

from __future__ import annotations

import math

import numpy as np

from ..ops.random import uniform


def uniform_array(shape: tuple[int, ...], bound: float) -> np.ndarray:
    """float32 in [-bound, bound)."""
    return np.asarray((uniform(*shape).numpy() * 2.0 - 1.0) * np.float32(bound), np.float32)


def kaiming_uniform(shape: tuple[int, ...], fan_in: int, gain: float = math.sqrt(1 / 3)) -> np.ndarray:
    """He et al. 2015 (arXiv 1502.01852); the default gain is torch's for Linear and Conv2d (a = sqrt(5)): bound = 1 / sqrt(fan_in)."""
    return uniform_array(shape, gain * math.sqrt(3.0 / max(fan_in, 1)))


def xavier_uniform(shape: tuple[int, ...], fan_in: int, fan_out: int) -> np.ndarray:
    """Glorot and Bengio 2010."""
    return uniform_array(shape, math.sqrt(6.0 / (fan_in + fan_out)))
