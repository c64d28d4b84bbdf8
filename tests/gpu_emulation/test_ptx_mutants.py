"""Bugs planted into compiled code: what Triton or nvcc wrote is changed in one place, and the emulator must find it, by a report or by wrong numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from accelnn.emulation import Violation
from accelnn.emulation.arguments import Pointer

from .mode import need_compiler

need_compiler()
import triton.language as tl  # noqa: E402

from accelnn.emulation import driver  # noqa: E402

from . import compiled as kernels  # noqa: E402

Edit = Callable[[str], str]
M, N, K = 64, 64, 160


def pipeline(arch: str) -> tuple[Any, list[Any], np.ndarray, np.ndarray]:
    """A matmul whose loads run two tiles ahead: Triton's object, arguments, result, truth."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((M, K)).astype(np.float16), rng.standard_normal((K, N)).astype(np.float16)
    c = np.full((M, N), np.nan, np.float32)
    constants = dict(BM=64, BN=64, BK=32, ACC=tl.float32)
    args = [Pointer.of(a), Pointer.of(b), Pointer.of(c), M, N, K]
    done = driver.compiled(kernels.matmul, args, constants, 4, 3, arch)
    names = kernels.matmul.arg_names
    return done, [*args, *[None] * (len(names) - len(args))], c, a.astype(np.float64) @ b.astype(np.float64)


def tma_pipeline() -> tuple[Any, list[Any], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((64, 256)).astype(np.float16) for _ in range(2))
    c = np.full((64, 64), np.nan, np.float16)
    given = [*(kernels.descriptor(t, [64, 64]) for t in (a, b, c)), 256]
    done = driver.compiled(kernels.descriptor_matmul, given, dict(BM=64, BN=64, BK=64), 4, 3, "sm_90")
    return done, [*given, None, None, None], c, a.astype(np.float64) @ b.astype(np.float64).T


def outcome(make: Callable[[], tuple[Any, list[Any], np.ndarray, np.ndarray]], edit: Edit) -> str:
    """What the emulator says of the edited kernel; "right" if it finds nothing."""
    done, values, c, want = make()
    text = done.asm["ptx"]
    changed = edit(text)
    try:
        driver.run_compiled(done, values, (1, 1, 1), text=changed)
    except Violation as violation:
        return str(violation)
    return "right" if np.abs(c - want).max() <= 2e-3 * np.abs(want).max() else "wrong numbers"


def nth(pattern: str, replacement: str, n: int) -> Edit:
    """Replaces the n-th match alone."""

    def edit(text: str) -> str:
        found = list(re.finditer(pattern, text))
        assert n < len(found), f"{pattern}: {len(found)} matches"
        start, end = found[n].span()
        return text[:start] + re.sub(pattern, replacement, found[n][0]) + text[end:]

    return edit


def every(pattern: str, replacement: Any) -> Edit:
    def edit(text: str) -> str:
        out, n = re.subn(pattern, replacement, text)
        assert n, f"{pattern}: no match"
        return out

    return edit


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_untouched_code_is_right(arch: str) -> None:
    assert outcome(lambda: pipeline(arch), lambda text: text) == "right"


def test_untouched_tma_code_is_right() -> None:
    assert outcome(tma_pipeline, lambda text: text) == "right"


RACE = "race"
SM80: dict[str, tuple[Edit, str]] = {
    "dropped waits": (every(r"cp\.async\.wait_group\s+\d+;", "membar.cta;"), RACE),
    "waits that let two more groups fly": (every(r"(cp\.async\.wait_group\s+)(\d+)", lambda m: f"{m[1]}{int(m[2]) + 2}"), RACE),
    "dropped commits": (every(r"cp\.async\.commit_group\s*;", "membar.cta;"), RACE),
    "matrices not transposed": (every(r"\.x4\.trans\.", ".x4."), "wrong numbers"),
    "operands of mma swapped": (every(r"(mma\.sync[^;]*?\{[^}]*\}, \{ )(%\w+), (%\w+)", r"\1\3, \2"), "wrong numbers"),
    "registers of B swapped": (every(r"(mma\.sync[^;]*?\}, \{[^}]*\}, \{ )(%\w+), (%\w+)", r"\1\3, \2"), "wrong numbers"),
    "copies to a neighbour's place": (nth(r"(cp\.async\.c[ag]\.shared\.global \[ %\w+ \+ )0", r"\g<1>4096", 0), "."),
    "copies of half a line": (every(r"(cp\.async\.cg\.shared\.global \[[^\]]*\], \[[^\]]*\], 0x)10", r"\g<1>8"), "cp.async of 8 bytes"),
    "a store past the end": (nth(r"(st\.global\.v4\.b32 \[ %\w+ \+ )0", r"\g<1>65536", 0), "out of bounds in global memory"),
    "a misaligned store": (nth(r"(st\.global\.v4\.b32 \[ %\w+ \+ )0", r"\g<1>4", 0), "misaligned"),
    "an address of shared memory past the end": (nth(r"(ldmatrix[^;]*\[%\w+)\+?\d*\]", r"\g<1>+65536]", 0), "out of bounds in shared memory"),
    "a barrier that half the threads skip": (nth(r"bar\.sync \s*0;", "@%odd bar.sync 0;", 0), "deadlock|different barriers|race"),
}


def odd(text: str) -> str:
    """A predicate that holds in the odd warps, for mutants that need one."""
    if "%odd" not in text:
        return text
    start = text.index("{") + 1
    setup = ".reg .pred %odd; .reg .b32 %oddr; mov.u32 %oddr, %tid.x; and.b32 %oddr, %oddr, 32; setp.ne.b32 %odd, %oddr, 0;"
    end = text.index(";", text.index(".reg", start)) + 1
    rest = text.index("ld.param", end)
    return text[:rest] + setup + "\n\t" + text[rest:]


@pytest.mark.parametrize("name", SM80)
def test_mutants_of_a_cp_async_pipeline(name: str) -> None:
    edit, expected = SM80[name]
    said = outcome(lambda: pipeline("sm_80"), lambda text: odd(edit(text)))
    assert said != "right" and re.search(expected, said), said


def test_every_barrier_of_the_pipeline_is_needed() -> None:
    """But the first, which Triton puts between copies to two different buffers before anybody reads."""
    done = pipeline("sm_80")[0]
    count = len(re.findall(r"bar\.sync", done.asm["ptx"]))
    said = [outcome(lambda: pipeline("sm_80"), nth(r"bar\.sync \s*0;", "membar.cta;", i)) for i in range(count)]
    assert count >= 3 and said[0] == "right" and all(re.search("race", s) for s in said[1:]), said


SM90: dict[str, tuple[Edit, str]] = {
    "dropped wait for wgmma": (every(r"wgmma\.wait_group\.sync\.aligned 0;", "membar.cta;"), "wgmma"),
    "dropped commit of wgmma": (every(r"wgmma\.commit_group\.sync\.aligned;", "membar.cta;"), "wgmma"),
    "operands of wgmma swapped": (every(r"(wgmma\.mma_async[^;]*\}, )(%\w+), (%\w+)", r"\1\3, \2"), "wrong numbers|out of bounds|nobody|race"),
    "B taken as transposed": (every(r"(wgmma\.mma_async[^;]*, )1;", r"\g<1>0;"), "wrong numbers|nobody has written|reaches byte|race"),
    "accumulators swapped": (every(r"(wgmma\.mma_async[^{]*\{)(%\w+),(%\w+)", r"\1\3,\2"), "wrong numbers"),
    "dropped waits for copies": (every(r"cp\.async\.wait_group\s+\d+;", "membar.cta;"), RACE),
}


@pytest.mark.parametrize("name", SM90)
def test_mutants_of_a_wgmma_pipeline(name: str) -> None:
    edit, expected = SM90[name]
    said = outcome(lambda: pipeline("sm_90"), edit)
    assert said != "right" and re.search(expected, said), said


def bytes_expected(change: int) -> Edit:
    return every(r"(mbarrier\.arrive\.expect_tx[^;]*, )(\d+);", lambda m: f"{m[1]}{int(m[2]) + change};")


TMA: dict[str, tuple[Edit, str]] = {
    "more bytes expected than come": (bytes_expected(16), "deadlock.*mbarrier"),
    "fewer bytes expected than come": (bytes_expected(-16), "deadlock|race|mbarrier"),
    "never waits for an mbarrier": (every(r"@!?\w+ bra\.uni waitLoop", "// "), "race|wait"),
    "never arrives": (every(r"(@%\w+) mbarrier\.arrive\.expect_tx[^;]*;", "membar.cta;"), "deadlock"),
    "mbarrier of another count": (every(r"(mbarrier\.init\.shared::cta\.b64 \[%\w+\], )1", r"\g<1>2"), "deadlock"),
    "coordinates swapped": (every(r"(cp\.async\.bulk\.tensor\.2d\.shared[^{]*\{)(%\w+), (%\w+)", r"\1\3, \2"), "wrong numbers"),
    "descriptors one row off": (every(r"(cp\.async\.bulk\.tensor\.2d\.shared::cluster[^\[]*\[%\w+)", r"\1 + 128"), "."),
    "result stored without a fence": (every(r"fence\.proxy\.async\.shared::cta;", "membar.cta;"), "without a fence"),
    "dropped wait for wgmma": (every(r"wgmma\.wait_group\.sync\.aligned \d;", "membar.cta;"), "wgmma|race"),
    "mbarriers not initialised": (every(r"@%\w+ mbarrier\.init[^;]*;", "membar.cta;"), "before mbarrier.init"),
}


@pytest.mark.parametrize("name", TMA)
def test_mutants_of_a_tma_pipeline(name: str) -> None:
    edit, expected = TMA[name]
    said = outcome(tma_pipeline, edit)
    assert said != "right" and re.search(expected, said), said
