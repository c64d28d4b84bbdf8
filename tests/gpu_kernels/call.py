"""One call of a device row on this machine's memory, under Triton's interpreter: operands between guards, launches counted."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from accelnn.core.dtypes import DType

GUARD = 256  # elements on either side of an operand that must stay as they were
TORCH = {DType.float32: torch.float32, DType.float16: torch.float16, DType.bfloat16: torch.bfloat16, DType.int8: torch.int8, DType.uint8: torch.uint8,
         DType.int32: torch.int32, DType.int64: torch.int64, DType.bool: torch.bool, DType.float64: torch.float64, DType.int16: torch.int16}  # fmt: skip


class Window:
    """A strided window on memory whose every byte was 0xA5 before."""

    def __init__(self, shape: Sequence[int], stride: Sequence[int] | None, dtype: DType, data: np.ndarray | None = None) -> None:
        self.shape, self.dtype = tuple(shape), dtype
        dense = tuple(math.prod(self.shape[i + 1 :]) for i in range(len(self.shape)))
        self.stride = dense if stride is None else tuple(stride)
        self.contiguous = all(s == 1 or a == b for s, a, b in zip(self.shape, self.stride, dense)) or 0 in self.shape
        span = 0 if 0 in self.shape else 1 + sum((n - 1) * s for n, s in zip(self.shape, self.stride))
        raw = np.full((span + 2 * GUARD) * dtype.itemsize, 0xA5, np.uint8).view(dtype.storage)
        body = np.lib.stride_tricks.as_strided(raw[GUARD:], self.shape, [s * dtype.itemsize for s in self.stride])
        if data is not None:
            body[...] = data
        self.raw, self.body, self.before = raw, body, raw.copy()
        signed = raw.view(f"i{dtype.itemsize}") if raw.dtype.kind in "uf" and dtype != DType.uint8 else raw
        self.tensor = torch.from_numpy(signed).view(TORCH[dtype])[GUARD:]

    def untouched_outside(self) -> bool:
        """Whether nothing beside a dense window was written."""
        raw, n = self.raw.view(np.uint8), GUARD * self.dtype.itemsize
        return bool((raw[:n] == 0xA5).all() and (raw[len(raw) - n :] == 0xA5).all())

    def unchanged(self) -> bool:
        return bool((self.raw.view(np.uint8) == self.before.view(np.uint8)).all())


@dataclass
class Chip:
    arch: str = "sm_90"
    units: int = 132
    shared: int = 232448


@dataclass
class Call:
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    attrs: dict[str, Any]
    device: Chip = field(default_factory=Chip)
    launches: list[tuple[Any, ...]] = field(default_factory=list)
    rooms: list[Window] = field(default_factory=list)

    def launch(self, kernel: Any, grid: Sequence[int], *args: Any, warps: int = 4, stages: int = 2, **constants: Any) -> None:
        assert warps in (1, 2, 4, 8, 16, 32) and all(g > 0 for g in grid), (grid, warps)
        self.launches.append((kernel, tuple(grid), args, warps, stages, constants))
        kernel[tuple(grid)](*(a.tensor if isinstance(a, Window) else a for a in args), num_warps=warps, num_stages=stages, **constants)

    def scratch(self, shape: Sequence[int], dtype: Any) -> Window:
        self.rooms.append(Window(shape, None, DType(dtype)))
        return self.rooms[-1]


def row_of(where: str) -> Any:
    """The Row behind "family.module:function"."""
    module, name = where.split(":")
    return getattr(importlib.import_module(f"accelnn.kernels.{module}"), name)


def of_view(view: Any) -> Window | None:
    return None if view is None else Window(view.shape, view.stride, DType(view.dtype), view.numpy())
