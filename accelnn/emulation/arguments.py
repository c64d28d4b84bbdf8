"""Pointer arguments: memory of the CPU as Triton's launchers want to see a tensor, without torch."""

from __future__ import annotations

from typing import Any

import numpy as np

# accelnn's and torch's names of element types -> (triton.language's name, bytes). str(dtype) is all that Triton's specialisation asks for.
TYPES = {
    "bool": ("int1", 1), "int8": ("int8", 1), "uint8": ("uint8", 1), "int16": ("int16", 2), "uint16": ("uint16", 2), "int32": ("int32", 4),
    "uint32": ("uint32", 4), "int64": ("int64", 8), "uint64": ("uint64", 8), "float16": ("float16", 2), "bfloat16": ("bfloat16", 2),
    "float32": ("float32", 4), "float64": ("float64", 8), "float8_e4m3fn": ("float8e4nv", 1), "float8_e5m2": ("float8e5", 1),
    "float8_e4m3fnuz": ("float8e4b8", 1), "float8_e5m2fnuz": ("float8e5b16", 1),
}  # fmt: skip


class ElementType(str):
    """The name of an element type that knows its size, which Triton's tensor descriptors ask for."""

    @property
    def itemsize(self) -> int:
        return TYPES[self][1]

    @property
    def is_floating_point(self) -> bool:
        return "float" in self


class Pointer:
    """`count` elements of `dtype` from `address` on, which `owner` keeps alive. A kernel that touches anything else is at fault."""

    def __init__(self, address: int, dtype: str, count: int, owner: Any = None) -> None:
        if dtype not in TYPES:
            raise TypeError(f"Pointer: {dtype!r} is no element type; expected one of {', '.join(TYPES)}")
        self.address, self.dtype, self.count, self.owner = address, ElementType(dtype), count, owner

    @classmethod
    def of(cls, array: np.ndarray, dtype: str | None = None) -> Pointer:
        """The memory of a contiguous array; dtype where numpy lacks the type (bfloat16 as uint16, float8 as uint8)."""
        if not array.flags.c_contiguous:
            raise ValueError(f"Pointer.of: strides {array.strides} of shape {array.shape}: expected a contiguous array")
        return cls(array.ctypes.data, dtype or array.dtype.name, array.size, array)

    @property
    def triton_name(self) -> str:
        """What triton.language calls the element type."""
        return TYPES[self.dtype][0]

    @property
    def nbytes(self) -> int:
        return self.count * self.element_size()

    def data_ptr(self) -> int:
        return self.address

    def element_size(self) -> int:
        return self.dtype.itemsize

    def numel(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return f"Pointer({self.address:#x}, {self.dtype}, {self.count})"
