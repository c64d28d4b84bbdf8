"""Compiling without a GPU: what comes out, and that the checks on it notice what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from .mode import need_compiler

need_compiler()

from accelnn.emulation.ahead import SHARED, TARGETS, Compiled, compile  # noqa: E402
from accelnn.emulation.arguments import Pointer  # noqa: E402

from . import planted  # noqa: E402
from .expectations import complaints, measure  # noqa: E402

TENSOR_CORES = {"sm_80": "HMMA", "sm_90": "HGMMA", "sm_100": "UTC*MMA", "sm_120": "HMMA", "gfx942": "v_mfma_*"}
IMAGE = {"cuda": b"\x7fELF", "hip": b"\x7fELF"}


def pointers(n: int, dtype: str, address: int = 4096) -> list[Pointer]:
    return [Pointer(address, dtype, 1 << 20) for _ in range(n)]


def matmul(target: str, dtype: str = "float16", block: int = 128, warps: int = 8, precision: str = "tf32") -> Compiled:
    constants: dict[str, Any] = {"BM": block, "BN": block, "BK": 32, "PRECISION": precision, "BUG": ""}
    return compile(planted.matmul, [*pointers(3, dtype), 512, 512, 512], constants, target, warps, 3)


@pytest.mark.parametrize("target", TARGETS)
def test_a_product_uses_tensor_cores(target: str) -> None:
    made = matmul(target)
    assert made.image[:4] == IMAGE[TARGETS[target][0]] and made.entry == "matmul" and made.warps == 8
    assert made.count(TENSOR_CORES[target]) > 0, made.instructions
    assert made.resources["spills"] == made.resources["stack"] == 0 and 16 <= made.resources["registers"] <= 255
    assert 0 < made.shared <= SHARED[target]
    if target.startswith("sm_"):
        assert made.count("LDGSTS") > 0, "loads that run beside the arithmetic"


@pytest.mark.parametrize("target", ["sm_80", "gfx942"])
def test_what_does_not_fit_into_registers_is_seen(target: str) -> None:
    """Planted: 256 x 256 float32 accumulators and IEEE products on four warps, 512 registers a thread for the sums alone."""
    made = matmul(target, "float32", 256, 4, "ieee" if target == "gfx942" else "tf32")
    assert made.resources["spills"] > 0 and made.resources["stack"] > 0


def test_the_table_notices_what_is_wrong() -> None:
    made = matmul("sm_90")
    right = measure([made])
    assert complaints(right, [made]) == []
    for name in ("registers", "shared"):
        assert name in complaints(right | {name: 8}, [made])[0]
    assert complaints(right | {"needs": {"UTMALDG": 1}}, [made]) == ["0 instructions UTMALDG, at least 1 are needed"]
    without = compile(planted.copy, [*pointers(2, "float32"), 100], {"B": 128}, "sm_90")
    assert "HGMMA" in complaints(right, [without])[0]


def test_arguments_are_specialized() -> None:
    """An int that is 1 and None are constants; what is divisible by 16 is loaded 16 bytes at a time, what is not is not."""
    wide = compile(planted.copy, [*pointers(2, "float32"), 512], {"B": 1024}, "sm_90")
    odd = compile(planted.copy, [*pointers(2, "float32", 4100), 500], {"B": 1024}, "sm_90")
    assert "ld.global.v4" in wide.text and "ld.global.v4" not in odd.text
    assert wide.parameters == (("x", "*fp32"), ("y", "*fp32"), ("n", "i32"))
    assert compile(planted.copy, [*pointers(2, "float32"), 1], {"B": 16}, "sm_90").parameters == wide.parameters[:2]
    assert dict(compile(planted.copy, [*pointers(2, "float32"), 1 << 40], {"B": 16}, "sm_90").parameters)["n"] == "i64"


def test_arguments_that_do_not_fit() -> None:
    with pytest.raises(TypeError, match=r"copy: got 2 arguments.*expected arguments for \['x', 'y', 'n'\]"):
        compile(planted.copy, pointers(2, "float32"), {"B": 64}, "sm_90")
    with pytest.raises(TypeError, match="argument n is a str: expected Pointer"):
        compile(planted.copy, [*pointers(2, "float32"), "100"], {"B": 64}, "sm_90")
    with pytest.raises(ValueError, match="no target 'sm_75'"):
        compile(planted.copy, [*pointers(2, "float32"), 1], {"B": 64}, "sm_75")
