"""Samples beyond those of the ops, one for each way in which CUDA rows cut a long axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from accelnn.core.registry import OPS

from ..contracts.contract import Sample
from ..contracts.drawn import after, drawn

# Of a block of 128 threads and of 1024, four at a time and alone; in pieces.
LENGTHS = (2052, 3001, 5000, 4099, 16500, 33001)


def long_samples() -> list[Sample]:
    found: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
    for n in LENGTHS:
        x, dy = drawn(n, (2, n), (2, n))
        for name in ("softmax", "log_softmax"):
            found += [(name, (x,), {}), (f"{name}_grad", (dy, *after(name, x)), {})]
        w, b = drawn(n + 1, (n,), (n,))
        found += [("layer_norm", (x + np.float32(3), w, b), {"dims": 1, "eps": 1e-5}), ("rms_norm", (x, w), {"dims": 1, "eps": 1e-5})]
    found += [("layer_norm", (drawn(n, (3, n))[0], None, None), {"dims": 1, "eps": 1e-5}) for n in (300, 900)]
    named = [Sample(OPS[name], f"{name}-long-{arrays[0].shape[-1]}", arrays, attrs) for name, arrays, attrs in found]
    far = np.linspace(0, 1, 900, dtype=np.float32)[None] + np.float32(20000)      # of its mean float32 keeps 2^-9 at most
    named.append(Sample(OPS["layer_norm"], "layer_norm-far", (far, None, None), {"dims": 1, "eps": 1e-5}))
    below = np.array([[-200.0, -201.0, -202.5]], np.float32)        # whatever stands beyond such a row outweighs it
    masked = np.full((2, 40000), -np.inf, np.float32)               # a whole piece of a long row, and a maximum whose exponential is no number
    masked[:, 35000:] = drawn(0, (2, 5000))[0] - 200
    return [*named, *(Sample(OPS["softmax"], f"softmax-{what}", (x,), {}) for what, x in (("below", below), ("masked", masked)))]
