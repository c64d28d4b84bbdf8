"""Random operands of any size at once: numbers are drawn once, and handed out from a place that moves. Never zeros: a product of zeros takes less power,
and runs faster than one of anything else."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from ...core.dtypes import BFLOAT16, to_bfloat16

POOL = (1 << 24) + 4099  # a prime distance beyond a power of two: rows of a matrix do not repeat each other


class Numbers:
    """Pieces of one pool for each kind of number. What is larger than the pool repeats it."""

    def __init__(self, seed: int = 0, size: int = POOL) -> None:
        self.rng = np.random.default_rng(seed)
        self.size, self.at = size, 0

    @cached_property
    def _normal(self) -> np.ndarray:
        return self.rng.standard_normal(self.size, dtype=np.float32)

    @cached_property
    def _bfloat16(self) -> np.ndarray:
        return to_bfloat16(self._normal).view(np.uint16)

    @cached_property
    def _bytes(self) -> np.ndarray:
        return np.frombuffer(self.rng.bytes(self.size), np.uint8)

    def _piece(self, pool: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        n, done = math.prod(shape), 0
        made = np.empty(n, pool.dtype)
        while done < n:
            part = pool[self.at : self.at + n - done]
            made[done : done + len(part)] = part
            done += len(part)
            self.at = (self.at + len(part) + 97) % self.size
        return made.reshape(shape)

    def normal(self, *shape: int) -> np.ndarray:
        return self._piece(self._normal, shape)

    def bfloat16(self, *shape: int) -> np.ndarray:
        return self._piece(self._bfloat16, shape).view(BFLOAT16)

    def unsigned(self, *shape: int) -> np.ndarray:
        """0 to 255."""
        return self._piece(self._bytes, shape)

    def signed(self, *shape: int) -> np.ndarray:
        """-128 to 127."""
        return self._piece(self._bytes, shape).view(np.int8)

    def uniform(self, low: float, high: float, *shape: int) -> np.ndarray:
        return self.rng.uniform(low, high, shape).astype(np.float32)

    def integers(self, high: int, *shape: int) -> np.ndarray:
        """int64 from 0 to high - 1."""
        return self.rng.integers(0, high, shape)
