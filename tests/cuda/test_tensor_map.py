"""Tensor maps: how a tensor's sizes reach the driver's encoder."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from accelnn.core.errors import Error

from .cubin import IMAGE
from .fake import Fake, apart, cuda, forked


@forked
def test_a_map_is_an_argument() -> None:
    """A [100, 64] matrix of bf16 in rows of 72, in boxes of 32 rows, 64 columns wide: the driver counts from the innermost dimension."""
    fake, address = Fake(), cuda.alloc(1 << 16)
    made = cuda.tensor_map("bf16", address, (100, 64), (72, 1), (32, 64), swizzle=128, nan=True)
    words = struct.unpack("<16Q", made)
    assert words[0] == address and words[1] == 9 | 2 << 8 | 3 << 16 | 2 << 24 | 1 << 32
    assert words[2:4] == (64 | 64 << 40 | 1 << 56, 100 | 32 << 40 | 1 << 56) and words[7] == 144
    cuda.launch(cuda.Function(cuda.Module(IMAGE), "mapped", "TPb"), 1, 1, 0, (made, address, -1))
    assert fake.log() == [f"launch mapped grid 1,1,1 block 1,1,1 shared 0 args {address} {address} 255"]


@pytest.mark.parametrize("dtype, number, size", [("u8", 0, 1), ("u16", 1, 2), ("u32", 2, 4), ("i32", 3, 4), ("u64", 4, 8), ("i64", 5, 8), ("f16", 6, 2),
                                                 ("f32", 7, 4), ("bf16", 9, 2), ("tf32", 11, 4)])  # fmt: skip
def test_types(dtype: str, number: int, size: int) -> None:
    apart(_type, dtype, number, size)


def _type(dtype: str, number: int, size: int) -> None:
    words = struct.unpack("<16Q", cuda.tensor_map(dtype, 4096, (3, 5, 64), (640, 64, 1), (1, 2, 32), (1, 1, 2), promotion=0))
    assert words[1] == number | 3 << 8 and words[2:5] == (64 | 32 << 40 | 2 << 56, 5 | 2 << 40 | 1 << 56, 3 | 1 << 40 | 1 << 56)
    assert words[7:9] == (64 * size, 640 * size)


RIGHT: dict[str, Any] = {"dtype": "f32", "address": 4096, "shape": (8, 32), "stride": (32, 1), "box": (8, 32), "step": (1, 1), "swizzle": 128, "promotion": 256}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"dtype": "f8"}, "elements of type f8: u8, u16"),
    ({"shape": (8, 32, 1)}, "shape, stride, box and step of different lengths"),
    ({"shape": (), "stride": (), "box": (), "step": ()}, "0 dimensions: 1 to 5 expected"),
    ({"shape": (1,) * 6, "stride": (4,) * 5 + (1,), "box": (1,) * 6, "step": (1,) * 6}, "6 dimensions: 1 to 5 expected"),
    ({"swizzle": 16}, "a swizzle of 16 bytes: 0, 32, 64 or 128 expected"),
    ({"swizzle": 96}, "a swizzle of 96 bytes"),
    ({"swizzle": -32}, "a swizzle of -32 bytes"),
    ({"promotion": 512}, "L2 promotion to 512 bytes: 0, 64, 128 or 256 expected"),
    ({"address": 4104}, "address 4104 is not a multiple of 16"),
    ({"shape": (8, 0)}, r"dimension 0 has 0 elements: 1 to 2\^32 expected"),
    ({"shape": (2**32 + 1, 32)}, "dimension 1 has 4294967297 elements"),
    ({"stride": (33, 1)}, r"stride 1 of 132 bytes: a multiple of 16 below 2\^40 expected"),
    ({"stride": (2**38, 1)}, "stride 1 of 1099511627776 bytes"),
    ({"stride": (32, 2)}, "the innermost stride is 8 bytes: that of an element, 4, expected"),
    ({"box": (257, 32)}, "a box of 257 in dimension 1: 1 to 256 expected"),
    ({"box": (8, 0)}, "a box of 0 in dimension 0"),
    ({"box": (8, 6)}, "the box is 24 bytes wide: a multiple of 16, at most the swizzle of 128, expected"),
    ({"box": (8, 64)}, "the box is 256 bytes wide"),
    ({"step": (9, 1)}, "a step of 9 in dimension 1: 1 to 8 expected"),
    ({"device": 5}, "device 5 asked for, of 2"),
]


def _wrong(change: dict[str, Any], arch: int = 90) -> str:
    Fake().set(arch=arch)
    try:
        cuda.tensor_map(**{**RIGHT, **change})
    except Error as error:
        return str(error)
    return "accepted"


def test_what_is_refused() -> None:
    """The driver says no more than "invalid value" to these."""
    import re

    assert apart(_wrong, {}) == "accepted"
    for change, said in WRONG:
        answer = apart(_wrong, change)
        assert re.search(said, answer), f"{change}: {answer}"
    assert apart(_wrong, {}, 80) == "cuda: tensor maps need sm_90 or newer, device 0 is sm_80"
