"""Memory for inputs and outputs: the same for everybody, at a multiple of 64 bytes, large arrays in pages of 2 MiB (4 KiB pages cost a product with one
row of activations 10 to 35 %, whoever computes it)."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

HUGE = 2 << 20


def empty(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    """An array whose pages nobody has touched yet."""
    n = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if n >= HUGE:
        memory = mmap.mmap(-1, n + HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(mmap.MADV_HUGEPAGE)
        raw, step = np.frombuffer(memory, np.uint8), HUGE
    else:
        raw, step = np.empty(n + 64, np.uint8), 64
    start = -raw.ctypes.data % step
    return raw[start : start + n].view(dtype).reshape(shape)


def placed(values: Any) -> np.ndarray:
    """A copy in such memory; strides of a transposed matrix are kept."""
    values = np.asarray(values)
    if values.ndim == 2 and values.flags.f_contiguous and not values.flags.c_contiguous:
        return placed(values.T).T
    made = empty(values.shape, values.dtype)
    made[...] = values
    return made


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    made = empty(shape)
    rng.standard_normal(out=made.reshape(-1), dtype=np.float32)
    return made

