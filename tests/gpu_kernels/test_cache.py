"""A step of decoding on a device writes its rows where the cache lies, with the bits of this machine's row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.core.dtypes import DType
from accelnn.core.errors import DeviceError
from accelnn.ops.decode import cache_append, quantize_cache

from .where import DEVICE


def operands(kind: DType) -> tuple[Any, ...]:
    rng = np.random.default_rng(1)
    cache, scale = an.tensor(rng.normal(size=(2, 3, 8, 16)).astype(np.float32)), None
    if kind == DType.int8:
        cache, scale = quantize_cache(cache)
    rows, position = an.tensor(rng.normal(size=(2, 3, 2, 16)).astype(np.float32)), an.tensor(np.array([1, 5]))
    return cache if scale is not None else cache.to(kind), rows, position, scale


@pytest.mark.parametrize("kind", [DType.float32, DType.bfloat16, DType.int8], ids=str)
def test_rows_are_written_in_place(kind: DType) -> None:
    found = []
    for device in ("cpu", DEVICE):
        cache, rows, position, scale = (None if t is None else t.to(device) for t in operands(kind))
        made = cache_append(cache, rows, position, scale)
        assert (made if scale is None else made[0]) is cache
        found.append([t.cpu().numpy(raw=True) for t in (cache, scale) if t is not None])
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


def test_a_cache_elsewhere_is_refused() -> None:
    cache, rows, position, _ = operands(DType.float32)
    with pytest.raises(DeviceError, match="cache_append"):
        cache_append(cache, rows.to(DEVICE), position)
