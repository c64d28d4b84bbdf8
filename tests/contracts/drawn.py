"""Operands beyond the samples: normal numbers, and what the reference of a forward op leaves for its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from accelnn.core.registry import OPS


def drawn(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """f32 arrays of these shapes."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=s).astype(np.float32) for s in shapes]


def after(op: str, *inputs: Any, **attrs: Any) -> tuple[np.ndarray, ...]:
    """What a forward op leaves for its gradient, from the reference in float64, as f32."""
    found = OPS[op].reference(*(None if v is None else v if v.dtype.kind in "iu" else v.astype(np.float64) for v in inputs), **attrs)
    return tuple(np.asarray(f, np.float32) for f in (found if isinstance(found, tuple) else (found,)))
