"""The rules of memory alone, and the small float types: numpy is enough, so that `make test` runs these everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from accelnn.core.dtypes import to_bfloat16
from accelnn.emulation import Violation
from accelnn.emulation.arguments import TYPES, Pointer
from accelnn.emulation.memory import Memory
from accelnn.emulation.narrow import FLOAT8, float8_table, round_bfloat16, round_float8, widen_bfloat16
from accelnn.emulation.poison import poison, poisoned


def memory(*arrays: np.ndarray) -> Memory:
    return Memory("kernel", [(f"x{i}", Pointer.of(a)) for i, a in enumerate(arrays)])


def touch(m: Memory, kind: str, argument: int, *elements: int, nbytes: int = 4) -> np.ndarray:
    addresses = np.array([m.places[argument] + 4 * e for e in elements], np.uint64)
    return m.access(kind, addresses, np.ones(len(elements), bool), nbytes)


def test_addresses_become_real_ones_and_masked_lanes_go_nowhere() -> None:
    x = np.zeros(8, np.float32)
    m = memory(x)
    m.begin((0,))
    addresses = np.array([[m.places[0], m.places[0] + 4 * 100]], np.uint64)
    assert m.access("load", addresses, np.array([[True, False]]), 4).tolist() == [[x.ctypes.data, 0]]


def test_reading_together_is_no_race_and_writing_what_many_read_is() -> None:
    m = memory(np.zeros(8, np.float32))
    for p in range(3):
        m.begin((p,))
        touch(m, "load", 0, 1, 2, 3)
    with pytest.raises(Violation, match=r"program \(2,\): x0\[2\]: race: store here, read by program \(0,\)"):
        touch(m, "store", 0, 2)


def test_a_program_may_do_as_it_likes_with_what_nobody_else_touches() -> None:
    m = memory(np.zeros(8, np.float32))
    for p in range(4):
        m.begin((p,))
        for kind in ("load", "store", "load", "store"):
            touch(m, kind, 0, 2 * p, 2 * p + 1)


def test_order_goes_from_program_to_program() -> None:
    """0 releases to 1, 1 to 2: what 0 wrote is known to 2; what it wrote after its release is not."""
    m = memory(np.zeros(8, np.float32))
    m.begin((0,))
    touch(m, "store", 0, 0)
    m.release(1000)
    touch(m, "store", 0, 1)
    m.begin((1,))
    m.acquire(1000)
    m.release(2000)
    m.begin((2,))
    m.acquire(2000)
    touch(m, "load", 0, 0)
    with pytest.raises(Violation, match="race: load here, written by program"):
        touch(m, "load", 0, 1)


def test_accesses_narrower_than_the_type() -> None:
    """Two programs store the two bytes of one int16: no race; the same byte: one."""
    m = memory(np.zeros(4, np.int32))
    for p in range(2):
        m.begin((p,))
        m.access("store", np.array([m.places[0] + p], np.uint64), np.ones(1, bool), 1)
    with pytest.raises(Violation, match="race: store here"):
        m.access("store", np.array([m.places[0]], np.uint64), np.ones(1, bool), 1)


def test_pointers_say_what_is_wrong_with_them() -> None:
    with pytest.raises(TypeError, match="'complex64' is no element type"):
        Pointer(0, "complex64", 1)
    with pytest.raises(ValueError, match="expected a contiguous array"):
        Pointer.of(np.zeros((4, 4), np.float32).T[1:])
    for name, (_, size) in TYPES.items():
        assert Pointer(64, name, 3).nbytes == 3 * size


def test_bfloat16_is_what_accelnn_rounds_to() -> None:
    x = np.concatenate([np.random.default_rng(0).standard_normal(1000), [0.0, -0.0, np.inf, -np.inf, 3.4e38, 1e-40, 1 + 2.0**-8, 1 + 3 * 2.0**-8]])
    x = x.astype(np.float32)
    assert np.array_equal(round_bfloat16(x), to_bfloat16(x).view(np.uint16))
    assert (np.abs(widen_bfloat16(round_bfloat16(x[:1000], toward_zero=True))) <= np.abs(x[:1000])).all()
    assert np.isnan(widen_bfloat16(round_bfloat16(np.array([np.nan], np.float32)))).all()


LARGEST = {"float8e4nv": 448.0, "float8e5": 57344.0, "float8e4b8": 240.0, "float8e5b16": 57344.0}


@pytest.mark.parametrize("name", sorted(FLOAT8))
def test_float8_rounds_to_the_nearest_number_halves_to_even(name: str) -> None:
    table = float8_table(name)
    finite = np.unique(table[np.isfinite(table)])
    assert finite.max() == LARGEST[name]
    x = np.concatenate([finite, (finite[1:] + finite[:-1]) / 2, np.random.default_rng(1).standard_normal(2000) * 50]).astype(np.float32)
    bits = round_float8(x, name)
    error = np.abs(table[bits].astype(np.float64) - x)
    assert np.array_equal(error, np.abs(finite[None, :].astype(np.float64) - x[:, None]).min(1))
    middle = (finite[1:].astype(np.float64) + finite[:-1]) / 2
    assert not (round_float8(middle.astype(np.float32), name) & 1).any(), "a tie goes to the even mantissa"
    assert np.array_equal(table[round_float8(np.array([1e9, -1e9], np.float32), name)], [LARGEST[name], -LARGEST[name]])
    assert np.isnan(table[round_float8(np.array([np.nan], np.float32), name)]).all()


def test_poison_survives_casts_and_is_no_ordinary_nan() -> None:
    for dtype in (np.float16, np.float32, np.float64):
        x = np.array([poison(np.dtype(dtype)), np.nan, 1.0, -np.inf], dtype)
        for other in (np.float16, np.float32, np.float64):
            assert poisoned(x.astype(other)).tolist() == [True, False, False, False]
    bits = np.array([poison(np.dtype(np.uint16), "bf16")])
    assert poisoned(widen_bfloat16(bits)).all() and round_bfloat16(widen_bfloat16(bits)) == bits
    with np.errstate(invalid="ignore"):
        assert not poisoned(np.array([np.inf], np.float32) - np.array([np.inf], np.float32)).any(), "the NaN that arithmetic makes"
    assert poison(np.dtype(np.int32)) == 2**31 - 1
