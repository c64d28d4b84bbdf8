"""What a lane holds that a masked load without `other` did not fill: on a GPU anything. Here a NaN that can be told from the NaNs that arithmetic makes,
so that max and min, which pass over NaNs, do not lose it; in integers the largest number, which is far outside as an index."""

from __future__ import annotations

import numpy as np

# The NaN's payload begins with these seven bits, which are all of bfloat16's mantissa: casts between the float types keep them.
# numpy type -> (unsigned type, poison, mask of exponent and the seven bits)
_FORMS: dict[str, tuple[type[np.unsignedinteger], int, int]] = {
    "float16": (np.uint16, 0x7E58, 0x7FF8),
    "float32": (np.uint32, 0x7FCB0000, 0x7FFF0000),
    "float64": (np.uint64, 0x7FF9600000000000, 0x7FFFE00000000000),
}
BFLOAT16 = 0x7FCB
FLOAT8 = 0x7F


def poison(dtype: np.dtype, triton_name: str = "") -> np.ndarray:
    """One element of poison, as it is stored."""
    if triton_name == "bf16" or triton_name.startswith("fp8"):
        return np.array(BFLOAT16 if triton_name == "bf16" else FLOAT8, dtype)
    if dtype.name in _FORMS:
        unsigned, bits, _ = _FORMS[dtype.name]
        return np.array(bits, unsigned).view(dtype)
    return np.array(True if dtype == np.bool_ else np.iinfo(dtype).max, dtype)


def poisoned(x: np.ndarray) -> np.ndarray:
    """Where float numbers are poison."""
    if x.dtype.name not in _FORMS:
        return np.zeros(x.shape, bool)
    unsigned, bits, mask = _FORMS[x.dtype.name]
    return np.equal(np.ascontiguousarray(x).view(unsigned) & unsigned(mask), unsigned(bits)) if np.isnan(x).any() else np.zeros(x.shape, bool)
