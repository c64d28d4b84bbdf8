"""Shapes past the caches, where kernels go another way (csrc/runtime/relay.h): too large for the samples of an op, and as right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accelnn import _C
from accelnn.bench.check import truth_of
from accelnn.core.registry import OPS
from accelnn.core.tensor import apply_all, tensor

N = 1027  # rows that begin anywhere in a vector
R = (4 << 20) // N + 1


def inputs(op: str) -> tuple[list[Any], dict[str, Any]]:
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((R, N), dtype=np.float32) + np.float32(0.5) for _ in range(2))
    w, b = (rng.standard_normal(N, dtype=np.float32) for _ in range(2))
    mean, attrs = x.mean(1, dtype=np.float64), {"dims": 1, "eps": 1e-5}
    rstd = (1 / np.sqrt(x.var(1, dtype=np.float64) + 1e-5)).astype(np.float32)
    return {"layer_norm": ([x, w, b], attrs), "rms_norm": ([x, w], attrs), "softmax": ([x], {}), "log_softmax": ([x], {}),
            "layer_norm_grad": ([dy, x, rstd, mean.astype(np.float32), w], attrs | {"params": 2})}[op]  # fmt: skip


@pytest.mark.parametrize("op", ["layer_norm", "rms_norm", "softmax", "log_softmax", "layer_norm_grad"])
def test_large_calls_meet_the_contract_with_any_number_of_threads(op: str) -> None:
    arrays, attrs = inputs(op)
    given = [tensor(a) for a in arrays]
    found = [y.numpy() for y in apply_all(op, *given, **attrs)]
    truth = truth_of(OPS[op], arrays, attrs, [y.dtype for y in apply_all(op, *given, **attrs)])
    assert truth.problem(found) is None
    before = _C.machine()["threads"]
    try:
        for n in (1, 2, 3):
            _C.set_threads(n)
            for a, b in zip(found, apply_all(op, *given, **attrs)):
                np.testing.assert_array_equal(a, b.numpy())
    finally:
        _C.set_threads(before)
