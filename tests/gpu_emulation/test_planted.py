"""The checked interpreter catches what is planted, names the place, and lets the right kernels through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from .mode import need_interpreter

need_interpreter()

from accelnn.emulation import Violation  # noqa: E402
from accelnn.emulation.arguments import Pointer  # noqa: E402
from accelnn.emulation.interpreter import launch  # noqa: E402
from accelnn.emulation.narrow import round_bfloat16, widen_bfloat16  # noqa: E402

from . import planted  # noqa: E402

P = Pointer.of


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def caught(kernel: Any, grid: tuple[int, ...], args: list[Any], match: str, **constants: Any) -> Violation:
    with pytest.raises(Violation, match=match) as found:
        launch(kernel, grid, args, constants)
    assert found.value.kernel == kernel.__name__
    return found.value


@pytest.mark.parametrize("backwards", [False, True])
def test_a_right_kernel_passes(backwards: bool) -> None:
    x, y = numbers(100), np.full(100, np.nan, np.float32)
    launch(planted.copy, (2,), [P(x), P(y), 100], {"B": 64}, backwards=backwards)
    assert np.array_equal(x, y)


def test_store_out_of_bounds() -> None:
    memory = np.zeros(256, np.float32)
    found = caught(planted.store_without_mask, (2,), [P(numbers(100)), P(memory[:100]), 100], "store out of bounds", B=64)
    assert (found.argument, found.index, found.program) == ("y", 100, (1, 0, 0))
    assert not memory[100:].any(), "what lies beside is as it was"


def test_load_out_of_bounds() -> None:
    found = caught(planted.load_without_mask, (2,), [P(numbers(100)), P(numbers(100)), 100], "load out of bounds", B=64)
    assert (found.argument, found.index) == ("x", 100)


def test_mask_one_too_far() -> None:
    assert caught(planted.mask_one_too_far, (2,), [P(numbers(100)), P(numbers(100)), 100], "store out of bounds", B=64).index == 100


def test_one_element_before_the_first() -> None:
    assert caught(planted.one_before, (2,), [P(numbers(100)), P(numbers(100)), 100], "load out of bounds", B=64).index == -1


def test_an_overrun_into_the_neighbouring_argument() -> None:
    """Both arguments lie in one allocation, as an allocator may place them: every address is somebody's, but not x's."""
    memory = numbers(200)
    found = caught(planted.load_without_mask, (2,), [P(memory[:100]), P(memory[100:]), 100], "load out of bounds", B=64)
    assert found.argument == "x"


def test_an_empty_argument_has_no_elements() -> None:
    assert caught(planted.sum_with_atomics, (1,), [P(numbers(0)), P(numbers(1)), 1], "out of bounds: 0 elements", B=4).argument == "x"


@pytest.mark.parametrize("kernel", ["sum_without_other", "max_without_other", "relu_without_other"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_what_no_other_fills_spoils_the_result(kernel: str, dtype: str) -> None:
    """max and relu pass over NaNs, but not over this one."""
    x = numbers(100)
    data = round_bfloat16(x) if dtype == "bfloat16" else x.astype(dtype)
    y = np.zeros(1, data.dtype)
    launch(getattr(planted, kernel), (1,), [P(data, dtype), P(y, dtype), 100], {"B": 128})
    assert np.isnan(widen_bfloat16(y) if dtype == "bfloat16" else y).all()
    launch(getattr(planted, kernel), (1,), [P(data, dtype), P(y, dtype), 64], {"B": 64})
    assert np.isfinite(widen_bfloat16(y) if dtype == "bfloat16" else y).all(), "nothing was masked"


def test_an_index_that_no_other_filled() -> None:
    index = np.arange(100, dtype=np.int32)
    caught(planted.index_without_other, (1,), [P(numbers(128)), P(index), P(numbers(128)), 100], "load out of bounds", B=128)


def test_racing_sums() -> None:
    caught(planted.sum_without_atomics, (2,), [P(numbers(100)), P(np.zeros(1, np.float32)), 100], r"race: load here, written by program \(0, 0, 0\)", B=64)


def test_atomics_do_not_race() -> None:
    x, y = numbers(100), np.zeros(1, np.float32)
    launch(planted.sum_with_atomics, (2,), [P(x), P(y), 100], {"B": 64})
    assert abs(y[0] - x.sum(dtype=np.float64)) < 1e-4


def test_a_program_that_reads_its_predecessors_result() -> None:
    caught(planted.chain, (8,), [P(np.zeros(9, np.float32))], "race: load here, written by program")


def test_a_program_that_overwrites_what_another_reads() -> None:
    caught(planted.in_place_shift, (2,), [P(numbers(100)), 100], "race: store here, read by program", B=64)


def test_tiles_that_overlap() -> None:
    caught(planted.overlapping_tiles, (4,), [P(numbers(100)), 100], "race: store here, written by program", B=32)


def test_arguments_that_alias() -> None:
    """y is x, one element further on: what one program reads another writes."""
    memory = numbers(129)
    caught(planted.copy, (2,), [P(memory[:128]), P(memory[1:]), 128], "race: load here, written by program", B=64)


def test_two_lanes_of_one_store() -> None:
    caught(planted.two_lanes, (1,), [P(np.zeros(64, np.float32))], "two lanes of one store", B=64)


def test_lanes_meet_in_memory_without_a_barrier() -> None:
    x, buffer, y = numbers(64), numbers(64), numbers(64)
    caught(planted.reversed_through_memory, (1,), [P(x), P(buffer), P(y)], "another lane of the program stored", B=64, BARRIER=False)
    launch(planted.reversed_through_memory, (1,), [P(x), P(buffer), P(y)], {"B": 64, "BARRIER": True})
    assert np.array_equal(y, x[::-1])


def test_only_release_and_acquire_order_programs() -> None:
    def args() -> list[Any]:
        return [P(x), P(np.zeros(4, np.float32)), P(np.zeros(1, np.int32)), P(y), 100]

    x, y = numbers(100), np.zeros(1, np.float32)
    launch(planted.last_one_sums, (4,), args(), {"B": 32, "SEM": "acq_rel"})
    assert abs(y[0] - x.sum(dtype=np.float64)) < 1e-4
    for sem in ("relaxed", "acquire", "release"):
        caught(planted.last_one_sums, (4,), args(), "race: load here, written by program", B=32, SEM=sem)


def test_an_atomic_counter_read_plainly() -> None:
    caught(planted.counter_read_plainly, (2,), [P(np.zeros(1, np.int32)), P(np.zeros(2, np.int32))], "race: (load|atomic) here, (updated|read) by")


def test_misaligned_address() -> None:
    caught(planted.odd_address, (1,), [P(np.zeros(4, np.int32)), P(np.zeros(1, np.int32))], "misaligned by 1")


def test_an_address_that_comes_from_no_argument() -> None:
    caught(planted.address_from_nowhere, (1,), [P(numbers(4)), P(numbers(1))], "comes from no argument")


def test_atomics_on_bfloat16_are_refused() -> None:
    caught(planted.add_to_bfloat16, (1,), [P(np.zeros(1, np.uint16), "bfloat16")], "expected float32, float16 or integers")


@pytest.mark.parametrize("grid", [(0,), (1, 65536), (1, 1, 1, 1)])
def test_a_grid_that_no_gpu_takes(grid: tuple[int, ...]) -> None:
    caught(planted.copy, grid, [P(numbers(64)), P(numbers(64)), 64], "grid", B=64)


@pytest.mark.parametrize(("warps", "stages"), [(3, 2), (64, 2), (4, 0)])
def test_a_block_that_no_gpu_takes(warps: int, stages: int) -> None:
    with pytest.raises(Violation, match="warps="):
        launch(planted.copy, (1,), [P(numbers(64)), P(numbers(64)), 64], {"B": 64}, warps, stages)


def test_arguments_that_do_not_fit() -> None:
    with pytest.raises(TypeError, match=r"copy: got 2 arguments.*expected arguments for \['x', 'y', 'n'\]"):
        launch(planted.copy, (1,), [P(numbers(64)), P(numbers(64))], {"B": 64})
    with pytest.raises(TypeError, match="'C'"):
        launch(planted.copy, (1,), [P(numbers(64)), P(numbers(64)), 64], {"B": 64, "C": 1})
    with pytest.raises(TypeError, match="is a ndarray: expected Pointer"):
        launch(planted.copy, (1,), [numbers(64), P(numbers(64)), 64], {"B": 64})


def test_the_language_is_left_as_it_was() -> None:
    import triton.language as tl
    from triton.runtime import interpreter

    before = tl.load, tl.tensor.__index__ if hasattr(tl.tensor, "__index__") else None, interpreter.interpreter_builder.__class__, interpreter.ReduceOps
    launch(planted.row_sums, (1,), [P(numbers(4, 8)), P(numbers(4))], {"R": 4, "B": 8})
    caught(planted.two_lanes, (1,), [P(np.zeros(64, np.float32))], "two lanes", B=64)
    after = tl.load, tl.tensor.__index__ if hasattr(tl.tensor, "__index__") else None, interpreter.interpreter_builder.__class__, interpreter.ReduceOps
    assert before == after
