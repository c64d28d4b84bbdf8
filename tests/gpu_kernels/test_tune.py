"""The tuner's measurements on the emulated device: kernels really run with the configurations that it tries, and one that computes something else is out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accelnn.bench.tune import Config, Measure, Unfit, asked_by, numbers, search
from accelnn.core.dtypes import DType
from accelnn.core.recording import Question
from accelnn.core.remote import device_named

PRODUCT = Question("matmul", (("bfloat16", (48, 40)), ("bfloat16", (40, 32))), {})


class Counted:
    """Says how often it was asked; later is faster."""

    def __init__(self) -> None:
        self.asked = 0

    def time(self, work: Callable[[], None], times: int) -> float:
        self.asked += 1
        return 1000.0 / self.asked


def measure_of(question: Question) -> tuple[Measure, Config, Counted]:
    device, clock = device_named("emu"), Counted()
    row, asked, now = asked_by(question, device.arch)
    return Measure(device, question, row, asked, clock, rotated=1 << 14), now, clock


def test_other_configurations_run_and_give_the_same_bits() -> None:
    measure, now, clock = measure_of(PRODUCT)
    assert len(measure.calls) == 3 and len({x.address for call in measure.calls for x in call.inputs}) == 6, "operands rotate"
    first = measure(now)
    other = {**now, "BM": 16 if now["BM"] != 16 else 32, "warps": 2}
    assert measure(other) < first and clock.asked == 4
    found = search(now, [other], measure, most=2, repeats=1)
    assert found.before == now and sorted(c["BM"] for _, c in found.times) == sorted((now["BM"], other["BM"])) and not found.unfit


def test_what_does_not_compile_or_fit_is_unfit() -> None:
    measure, now, _ = measure_of(PRODUCT)
    measure(now)
    with pytest.raises(Unfit, match="(Error|Violation)"):
        measure({**now, "BM": 24})  # no power of two


def test_another_result_is_unfit() -> None:
    measure, now, _ = measure_of(PRODUCT)
    measure(now)
    assert measure.right is not None
    measure.right[0].view("uint8").reshape(-1)[0] ^= 1
    with pytest.raises(Unfit, match="another result than the first"):
        measure({**now, "warps": 2})


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8", "uint8", "int32"])
def test_operands_are_small_integers(dtype: str) -> None:
    """Sums of their products are exact in float32: at most 4 a term."""
    x = numbers(DType[dtype], (4, 33), 0)
    values = (x.astype("uint32") << 16).view("float32") if dtype == "bfloat16" else x.astype("float64")
    assert x.shape == (4, 33) and x.dtype == DType[dtype].storage and (values == values.round()).all() and len(set(values.ravel())) > 2
    assert abs(values).max() <= (255 if dtype == "uint8" else 2)
