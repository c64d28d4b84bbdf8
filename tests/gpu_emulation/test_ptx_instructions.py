"""Each instruction of the PTX emulator against numpy, and each of its checks against a few lines of PTX that break the rule. numpy is enough here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from accelnn.emulation import Violation
from accelnn.emulation.narrow import round_bfloat16, widen_bfloat16
from accelnn.emulation.ptx import TensorMap, run_ptx
from accelnn.emulation.ptx.values import FP8, decode, to_fp8

REGISTER = {"16": ("b16", "%h"), "32": ("b32", "%r"), "64": ("b64", "%d")}
RNG = np.random.default_rng(0)


def module(body: str, parameters: int, shared: int = 0, tensor_maps: int = 0) -> str:
    """One kernel `k` whose parameters are p0, p1 ...: 64-bit pointers; the last `tensor_maps` of them are tensor maps."""
    params = [f".param .u64 p{i}" for i in range(parameters - tensor_maps)]
    params += [f".param .align 64 .b8 p{i}[128]" for i in range(parameters - tensor_maps, parameters)]
    memory = f".shared .align 1024 .b8 s[{shared}];" if shared else ""
    return f""".version 8.7
.target sm_90a
.address_size 64
.visible .entry k({", ".join(params)}) {{
.reg .pred %p<20>; .reg .b16 %h<40>; .reg .b32 %r<80>; .reg .b64 %d<40>; .reg .f32 %f<200>;
{memory}
mov.u32 %r0, %tid.x;
{body}
ret;
}}"""


def load(name: str, parameter: int, bits: str) -> str:
    """Thread i's element of an array into a register."""
    return f"ld.param.u64 %d30, [p{parameter}]; mad.wide.u32 %d31, %r0, {int(bits) // 8}, %d30; ld.global.b{bits} {name}, [%d31];\n"


def store(name: str, parameter: int, bits: str) -> str:
    return f"ld.param.u64 %d30, [p{parameter}]; mad.wide.u32 %d31, %r0, {int(bits) // 8}, %d30; st.global.b{bits} [%d31], {name};\n"


def apply(instruction: str, inputs: list[np.ndarray], output: Any, bits: str | None = None) -> np.ndarray:
    """instruction with $0 for the result and $1, $2 ... for operands, on a lane an element."""
    n = len(inputs[0])
    body, text = "", instruction
    for i, x in enumerate(inputs, 1):
        width = str(x.itemsize * 8)
        name = f"{REGISTER[width][1]}{i}"
        body += load(name, i - 1, width)
        text = text.replace(f"${i}", name)
    out = np.zeros(n, output)
    width = bits or str(out.itemsize * 8)
    name = f"{REGISTER[width][1]}9"
    body += text.replace("$0", name) + ";\n" + store(name, len(inputs), width)
    run_ptx(module(body, len(inputs) + 1), "k", 1, n, [*inputs, out])
    return out


N = 64
S32 = RNG.integers(-(2**31), 2**31, N).astype(np.int32)
T32 = np.concatenate([[0, -1, 1, 2**31 - 1, -(2**31), 7], RNG.integers(-100, 100, N - 6)]).astype(np.int32)
S64 = RNG.integers(-(2**62), 2**62, N)
T64 = np.concatenate([[0, -1, 1, 2**62, 3], RNG.integers(-(2**40), 2**40, N - 5)])
S16 = RNG.integers(-(2**15), 2**15, N).astype(np.int16)
F32 = np.concatenate([[0, -0.0, np.inf, -np.inf, np.nan, 1e-40], RNG.standard_normal(N - 6)]).astype(np.float32)
G32 = np.concatenate([RNG.standard_normal(N - 3), [np.nan, 2.0, np.inf]]).astype(np.float32)
F64, F16 = RNG.standard_normal(N), RNG.standard_normal(N).astype(np.float16)
SMALL = RNG.integers(0, 40, N).astype(np.int32)
U32 = S32.view(np.uint32)
V32 = T32.view(np.uint32)
NONZERO = np.where(T32 == 0, 5, T32).astype(np.int32)


def wrap(value: Any, dtype: Any) -> np.ndarray:
    bits = np.dtype(dtype).itemsize * 8
    return np.array([int(v) & ((1 << bits) - 1) for v in value], object).astype(f"u{bits // 8}").view(dtype)


def truncated(a: np.ndarray, b: np.ndarray) -> list[int]:
    return [abs(int(x)) // abs(int(y)) * (1 if (x < 0) == (y < 0) else -1) for x, y in zip(a, b)]


EXACT: dict[str, tuple[str, list[np.ndarray], np.ndarray]] = {
    "add.s32": ("add.s32 $0, $1, $2", [S32, T32], wrap(S32.astype(object) + T32, np.int32)),
    "add.s64": ("add.s64 $0, $1, $2", [S64, T64], S64 + T64),
    "add.s16": ("add.s16 $0, $1, $2", [S16, S16], S16 + S16),
    "add.sat.s32": ("add.sat.s32 $0, $1, $2", [S32, S32], np.clip(S32.astype(np.int64) * 2, -(2**31), 2**31 - 1).astype(np.int32)),
    "sub.s32": ("sub.s32 $0, $1, 7", [S32], wrap(S32.astype(object) - 7, np.int32)),
    "mul.lo.s32": ("mul.lo.s32 $0, $1, $2", [S32, T32], wrap(S32.astype(object) * T32, np.int32)),
    "mul.hi.s32": ("mul.hi.s32 $0, $1, $2", [S32, T32], (S32.astype(np.int64) * T32 >> 32).astype(np.int32)),
    "mul.hi.u32": ("mul.hi.u32 $0, $1, $2", [U32, V32], (U32.astype(np.uint64) * V32 >> np.uint64(32)).astype(np.uint32)),
    "mul.hi.s64": ("mul.hi.s64 $0, $1, $2", [S64, T64], wrap(S64.astype(object) * T64 // 2**64, np.int64)),
    "mul.hi.u64": ("mul.hi.u64 $0, $1, $2", [S64.view(np.uint64), T64.view(np.uint64)],
                   wrap(S64.view(np.uint64).astype(object) * T64.view(np.uint64).astype(object) >> 64, np.uint64)),
    "mul.wide.s32": ("mul.wide.s32 $0, $1, $2", [S32, T32], S32.astype(np.int64) * T32),
    "mul.wide.u16": ("mul.wide.u16 $0, $1, $2", [S16, S16], S16.view(np.uint16).astype(np.uint32) ** 2),
    "mad.lo.s32": ("mad.lo.s32 $0, $1, $2, 5", [S32, T32], wrap(S32.astype(object) * T32 + 5, np.int32)),
    "mad.wide.u32": ("mad.wide.u32 $0, $1, $2, $3", [U32, V32, S64], wrap(U32.astype(object) * V32 + S64, np.int64)),
    "a product of two words": ("mad.lo.cc.u32 $0, $1, $2, -3; madc.hi.u32 $0, $1, $2, 1", [U32, V32], wrap(
        [(int(a) * int(b) + 2**33 - 3) >> 32 for a, b in zip(U32, V32)], np.uint32)),
    "a sum of three words": ("add.cc.u32 %r70, $1, $2; addc.cc.u32 %r70, $1, $2; addc.u32 $0, 0, 0", [U32, V32], np.array(
        [(int(a) + int(b)) * (2**32 + 1) >> 64 for a, b in zip(U32, V32)], np.uint32)),
    "a difference of two words": ("sub.cc.u32 %r70, $1, $2; subc.u32 $0, $2, $1", [U32, V32], wrap(
        [((int(b) - int(a)) * 2**32 + int(a) - int(b)) >> 32 for a, b in zip(U32, V32)], np.uint32)),
    "div.s32": ("div.s32 $0, $1, $2", [S32, NONZERO], wrap(truncated(S32, NONZERO), np.int32)),
    "rem.s32": ("rem.s32 $0, $1, $2", [S32, NONZERO], wrap(S32.astype(object) - np.array(truncated(S32, NONZERO), object) * NONZERO, np.int32)),
    "div.u64": ("div.u64 $0, $1, 1000003", [S64.view(np.uint64)], S64.view(np.uint64) // np.uint64(1000003)),
    "neg.s32": ("neg.s32 $0, $1", [S32], -S32),
    "abs.s32": ("abs.s32 $0, $1", [T32], np.abs(T32)),
    "min.s32": ("min.s32 $0, $1, $2", [S32, T32], np.minimum(S32, T32)),
    "max.u32": ("max.u32 $0, $1, $2", [U32, V32], np.maximum(U32, V32)),
    "not.b32": ("not.b32 $0, $1", [S32], ~S32),
    "shl.b32": ("shl.b32 $0, $1, $2", [S32, SMALL], np.where(SMALL > 31, 0, S32 << np.minimum(SMALL, 31)).astype(np.int32)),
    "shr.s32": ("shr.s32 $0, $1, $2", [S32, SMALL], S32 >> np.minimum(SMALL, 31)),
    "shr.u32": ("shr.u32 $0, $1, $2", [U32, SMALL], np.where(SMALL > 31, 0, U32 >> np.minimum(SMALL, 31).astype(np.uint32)).astype(np.uint32)),
    "shf.l.wrap": ("shf.l.wrap.b32 $0, $1, $2, 9", [U32, V32], V32 << np.uint32(9) | U32 >> np.uint32(23)),
    "shf.r.clamp": ("shf.r.clamp.b32 $0, $1, $2, 32", [U32, V32], V32),
    "bfe.u32": ("bfe.u32 $0, $1, 5, 9", [U32], U32 >> np.uint32(5) & np.uint32(511)),
    "bfe.s32": ("bfe.s32 $0, $1, 5, 9", [S32], (S32 << 18) >> 23),
    "bfe.s32 to the top": ("bfe.s32 $0, $1, 20, 12", [S32], S32 >> 20),
    "bfi.b32": ("bfi.b32 $0, $1, $2, 4, 8", [U32, V32], V32 & ~np.uint32(0xFF0) | (U32 & np.uint32(0xFF)) << np.uint32(4)),
    "brev.b32": ("brev.b32 $0, $1", [U32], np.array([int(f"{v:032b}"[::-1], 2) for v in U32], np.uint32)),
    "clz.b32": ("clz.b32 $0, $1", [V32], np.array([32 - int(v).bit_length() for v in V32], np.uint32)),
    "popc.b32": ("popc.b32 $0, $1", [U32], np.array([int(v).bit_count() for v in U32], np.uint32)),
    "bfind.u32": ("bfind.u32 $0, $1", [V32], np.array([int(v).bit_length() - 1 for v in V32], np.int32)),
    "lop3.b32": ("lop3.b32 $0, $1, $2, 3, 0xCA", [U32, V32], U32 & V32 | ~U32 & np.uint32(3)),
    "prmt.b32": ("prmt.b32 $0, $1, $2, 0x5410", [U32, V32], U32 & np.uint32(0xFFFF) | V32 << np.uint32(16)),
    "prmt.b32 signs": ("prmt.b32 $0, $1, 0, 0x9180", [U32], np.array(
        [sum((0xFF if (int(v) >> (8 * (s & 7) + 7)) & 1 else 0) << 8 * i if s & 8 else ((int(v) >> 8 * s) & 255) << 8 * i for i, s in enumerate((0, 8, 1, 9)))
         for v in U32], np.uint32)),
    "dp4a": ("dp4a.s32.s32 $0, $1, $2, 10", [S32, T32], 10 + (S32[:, None].view(np.int8).astype(np.int32) * T32[:, None].view(np.int8)).sum(1, dtype=np.int32)),
    "cvt.s64.s32": ("cvt.s64.s32 $0, $1", [S32], S32.astype(np.int64)),
    "cvt.u64.u32": ("cvt.u64.u32 $0, $1", [U32], U32.astype(np.uint64)),
    "cvt.u32.u64": ("cvt.u32.u64 $0, $1", [S64], wrap(S64, np.uint32)),
    "cvt.s32.s8": ("cvt.s32.s8 $0, $1", [S32], S32.astype(np.int8).astype(np.int32)),
    "cvt.sat.s8.s32": ("cvt.sat.s8.s32 $0, $1", [S32], np.clip(S32, -128, 127).astype(np.int32)),
    "cvt.rn.f32.s32": ("cvt.rn.f32.s32 $0, $1", [S32], S32.astype(np.float32)),
    "cvt.rn.f32.u64": ("cvt.rn.f32.u64 $0, $1", [S64.view(np.uint64)], S64.view(np.uint64).astype(np.float32)),
    "cvt.rzi.s32.f32": ("cvt.rzi.s32.f32 $0, $1", [F32], np.array(
        [0 if np.isnan(v) else max(-(2**31), min(2**31 - 1, v)) for v in np.trunc(F32.astype(np.float64))]).astype(np.int32)),
    "cvt.rni.s32.f32": ("cvt.rni.s32.f32 $0, $1", [np.rint(G32[:61] * 8) / 2], np.rint(np.rint(G32[:61] * 8) / 2).astype(np.int32)),
    "cvt.rn.f16.f32": ("cvt.rn.f16.f32 $0, $1", [F32], F32.astype(np.float16)),
    "cvt.rn.bf16.f32": ("cvt.rn.bf16.f32 $0, $1", [F32], round_bfloat16(F32)),
    "cvt.f32.bf16": ("cvt.f32.bf16 $0, $1", [round_bfloat16(F32)], widen_bfloat16(round_bfloat16(F32))),
    "cvt.f32.f16": ("cvt.f32.f16 $0, $1", [F16], F16.astype(np.float32)),
    "cvt.f64.f32": ("cvt.f64.f32 $0, $1", [F32], F32.astype(np.float64)),
    "cvt.rn.f32.f64": ("cvt.rn.f32.f64 $0, $1", [F64], F64.astype(np.float32)),
    "cvt.rn.f16x2.f32": ("cvt.rn.f16x2.f32 $0, $1, $2", [G32, F32], np.stack([F32, G32], -1).astype(np.float16).view(np.uint32)[:, 0]),
    "cvt.rna.tf32.f32": ("cvt.rna.tf32.f32 $0, $1", [G32[:60]], (G32[:60].view(np.uint32) + 0x1000 & 0xFFFFE000).view(np.float32)),
    "add.f32": ("add.f32 $0, $1, $2", [F32, G32], F32 + G32),
    "mul.f32": ("mul.rn.f32 $0, $1, $2", [F32, G32], F32 * G32),
    "sub.f64": ("sub.f64 $0, $1, $2", [F64, F64[::-1].copy()], F64 - F64[::-1]),
    "add.f16": ("add.f16 $0, $1, $2", [F16, F16[::-1].copy()], F16 + F16[::-1]),
    "mul.bf16": ("mul.bf16 $0, $1, $2", [round_bfloat16(F32), round_bfloat16(G32)],
                 round_bfloat16(widen_bfloat16(round_bfloat16(F32)) * widen_bfloat16(round_bfloat16(G32)))),
    "fma.rn.f32": ("fma.rn.f32 $0, $1, $2, $2", [F32[5:61], G32[5:61]], (F32[5:61].astype(np.float64) * G32[5:61] + G32[5:61]).astype(np.float32)),
    "div.rn.f32": ("div.rn.f32 $0, $1, $2", [F32, G32], F32 / G32),
    "min.f32 prefers numbers": ("min.f32 $0, $1, $2", [F32, G32], np.fmin(F32, G32)),
    "max.NaN.f32": ("max.NaN.f32 $0, $1, $2", [F32, G32], np.maximum(F32, G32) + 0),
    "abs.f32": ("abs.f32 $0, $1", [F32], np.abs(F32)),
    "neg.f32": ("neg.f32 $0, $1", [F32], -F32),
    "sqrt.rn.f32": ("sqrt.rn.f32 $0, $1", [np.abs(F32)], np.sqrt(np.abs(F32))),
    "copysign": ("copysign.f32 $0, $1, $2", [F32, G32], np.copysign(G32, F32)),
}  # fmt: skip


def same(got: np.ndarray, want: np.ndarray) -> bool:
    if got.dtype.kind == "f":
        return bool(((got == want) & (np.signbit(got) == np.signbit(want)) | np.isnan(got) & np.isnan(want)).all())
    return bool((got == want).all())


def test_what_a_module_holds() -> None:
    """Variables outside of kernels keep their initial values, 0 behind the last; where one ends a load is at fault."""
    table = ".global .align 4 .b8 bytes[8] = {1, 2, 255}; .const .align 4 .u32 one = 7; .visible .entry"
    body = "mov.u64 %d1, bytes; mad.wide.u32 %d1, %r0, 4, %d1; ld.global.nc.b32 %r9, [%d1]; ld.const.b32 %r8, [one]; add.u32 %r9, %r9, %r8;\n"
    text = module(body + store("%r9", 0, "32"), 1).replace(".visible .entry", table)
    out = np.zeros(64, np.uint32)
    with pytest.raises(Violation, match="byte 8 of a buffer of 8"):
        run_ptx(text, "k", 1, 64, [out])
    guarded = text.replace("mov.u64 %d1, bytes", "and.b32 %r0, %r0, 1; mov.u64 %d1, bytes")
    run_ptx(guarded, "k", 1, 64, [out])
    assert out.tolist() == [0xFF0208, 7] + [0] * 62


def test_a_warp_meets_before_it_shuffles() -> None:
    """A branch whose way back stands before it in the text: those that went straight on wait at the shuffle for the others."""
    body = """setp.lt.u32 %p0, %r0, 7; bra L2;
L1: shfl.sync.bfly.b32 %r9, %r8, 1, 31, -1; bra L4;
L2: mov.b32 %r8, %r0; @!%p0 bra L1;
add.u32 %r8, %r8, 100; bra L1;
L4:
"""
    out = np.zeros(64, np.uint32)
    run_ptx(module(body + store("%r9", 0, "32"), 1), "k", 1, 64, [out])
    assert out.tolist() == [(i ^ 1) + 100 * ((i ^ 1) < 7) for i in range(64)]


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_instruction(name: str) -> None:
    text, inputs, want = EXACT[name]
    inputs = [np.resize(np.ascontiguousarray(x), N) for x in inputs]
    got = apply(text, inputs, want.dtype)[: len(want)]
    if got.dtype == np.uint16 and "bf16" in name:
        got, want = widen_bfloat16(got), widen_bfloat16(want)
    assert same(got, want), [(i, *(x[i] for x in inputs), got[i], want[i]) for i in np.flatnonzero(got != want)][:5]


COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "lt.f32": np.less, "ltu.f32": lambda a, b: ~(a >= b), "ne.f32": lambda a, b: (a < b) | (a > b), "neu.f32": np.not_equal, "geu.f32": lambda a, b: ~(a < b),
    "equ.f32": lambda a, b: (a == b) | np.isnan(a) | np.isnan(b), "num.f32": lambda a, b: ~(np.isnan(a) | np.isnan(b)), "nan.f32": lambda a, b: np.isnan(a + b),
    "gt.s32": np.greater, "hi.u32": np.greater, "le.u32": np.less_equal, "eq.s32": np.equal,
}  # fmt: skip


@pytest.mark.parametrize("name", COMPARE)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_comparison(name: str) -> None:
    kind = name.split(".")[1]
    a, b = {"f32": (F32, np.concatenate([F32[:20], G32[20:]])), "s32": (S32, T32), "u32": (U32, V32)}[kind]
    got = apply(f"setp.{name} %p1, $1, $2; selp.b32 $0, 1, 0, %p1", [a, b], np.int32)
    assert (got == COMPARE[name](a, b)).all()


def test_predicates_keep_what_they_do_not_reach() -> None:
    got = apply("setp.gt.s32 %p1, $1, 0; mov.b32 $0, 5; @%p1 add.s32 $0, $0, $1; @!%p1 mov.b32 $0, -3", [T32], np.int32)
    assert (got == np.where(T32 > 0, T32 + 5, -3)).all()


def test_loops_of_different_lengths_meet_again() -> None:
    count = np.arange(N, dtype=np.int32)
    text = """mov.b32 $0, 0; mov.b32 %r20, 0;
    again: setp.ge.s32 %p1, %r20, $1; @%p1 bra done; add.s32 $0, $0, %r20; add.s32 %r20, %r20, 1; bra again;
    done: shfl.sync.idx.b32 %r21, $0, 31, 31, -1; add.s32 $0, $0, %r21"""
    sums = count * (count - 1) // 2
    assert (apply(text, [count], np.int32) == sums + np.repeat(sums[[31, 63]], 32)).all()


@pytest.mark.parametrize("mode, operand, clamp, index", [("bfly", 5, 31, lambda i: i ^ 5), ("down", 3, 31, lambda i: np.where(i % 32 + 3 < 32, i + 3, i)),
                                                         ("up", 3, 0, lambda i: np.where(i % 32 >= 3, i - 3, i)), ("idx", 7, 31, lambda i: i // 32 * 32 + 7),
                                                         ("bfly", 9, 0x181F, lambda i: np.where((i ^ 9) <= (i | 7), i ^ 9, i))])  # fmt: skip
def test_shuffle(mode: str, operand: int, clamp: int, index: Any) -> None:
    got = apply(f"shfl.sync.{mode}.b32 $0, $1, {operand}, {clamp}, -1", [S32], np.int32)
    assert (got == S32[index(np.arange(N))]).all()


def test_votes_and_reductions() -> None:
    odd = np.arange(N, dtype=np.int32) % 3
    ballot = apply("setp.eq.s32 %p1, $1, 1; vote.sync.ballot.b32 $0, %p1, -1", [odd], np.uint32)
    assert (ballot == [sum(1 << i for i in range(32) if odd[32 * (lane // 32) + i] == 1) for lane in range(N)]).all()
    assert (apply("redux.sync.max.s32 $0, $1, -1", [S32], np.int32) == S32.reshape(2, 32).max(1).repeat(32)).all()
    assert (apply("redux.sync.add.s32 $0, $1, -1", [T32], np.int32) == T32.reshape(2, 32).sum(1, dtype=np.int32).repeat(32)).all()
    same_as = apply("match.any.sync.b32 $0, $1, -1", [odd], np.uint32)
    assert (same_as == [sum(1 << i for i in range(32) if odd[32 * (lane // 32) + i] == odd[lane]) for lane in range(N)]).all()
    first = apply("setp.gt.u32 %p2, $1, 0; mov.b32 $0, 0; @%p2 elect.sync %r20|%p1, -1; @%p2 selp.b32 $0, 1, 0, %p1", [odd], np.int32)
    assert np.flatnonzero(first).tolist() == [1, 32]


@pytest.mark.parametrize("kind", FP8)
def test_float8(kind: str) -> None:
    """The hardware's pairs: the first source goes up."""
    x = np.concatenate([F32[6:60] * 100, [448, 500, 1e6, 0.001, 0.0020, -0.0, 464, 0.0078125, 1, 17]]).astype(np.float32)
    pair = apply(f"{{ .reg .b16 t; cvt.rn.satfinite.{kind}x2.f32 t, $1, $1; mov.b16 $0, t; }}".replace("{ ", "").replace(".reg .b16 t; ", "")
                 .replace(" t,", " %h20,").replace(" t;", " %h20;").replace("; }", ""), [x], np.uint16)  # fmt: skip
    assert (pair & 255 == pair >> 8).all() and (pair & 255 == to_fp8(x, kind)).all()
    near = FP8[kind][pair & 255].astype(np.float64)
    finite = FP8[kind][np.isfinite(FP8[kind])].astype(np.float64)
    best = np.abs(np.clip(x, finite.min(), finite.max())[:, None] - finite[None, :]).min(1)
    assert (np.abs(np.clip(x, finite.min(), finite.max()) - near) == best).all()
    halves = decode(apply(f"cvt.rn.f16x2.{kind}x2 $0, $1", [pair], np.uint32), "f16x2")
    assert (halves == near[:, None]).all()


def test_vectors_and_narrow_loads() -> None:
    x = RNG.integers(-128, 128, 4 * N).astype(np.int8)
    y = np.zeros(4 * N, np.int32)
    body = """ld.param.u64 %d1, [p0]; ld.param.u64 %d2, [p1]; mad.wide.u32 %d3, %r0, 4, %d1; mad.wide.u32 %d4, %r0, 16, %d2;
    ld.global.v4.s8 {%h1, %h2, %h3, %h4}, [%d3]; cvt.s32.s16 %r1, %h1; cvt.s32.s16 %r2, %h2; cvt.s32.s16 %r3, %h3; cvt.s32.s16 %r4, %h4;
    st.global.v4.b32 [%d4], {%r1, %r2, %r3, %r4};"""
    run_ptx(module(body, 2), "k", 1, N, [x, y])
    assert (y == x).all()


@pytest.mark.parametrize("kind, name, want", [("s32", "add", 10 + N * (N - 1) // 2), ("s32", "max", N - 1), ("u32", "exch", N - 1), ("f32", "add", None)])
def test_atomics(kind: str, name: str, want: int | None) -> None:
    memory = np.array([10], np.float32 if kind == "f32" else np.int32)
    value = "cvt.rn.f32.u32 %r1, %r0;" if kind == "f32" else "mov.b32 %r1, %r0;"
    run_ptx(module(f"ld.param.u64 %d1, [p0]; {value} atom.global.{name}.{kind.replace('u32', 'b32') if name == 'exch' else kind} %r2, [%d1], %r1;", 1),
            "k", 1, N, [memory])  # fmt: skip
    assert memory[0] == (10 + N * (N - 1) // 2 if want is None else want)


FRAGMENTS = {"f16": (np.float16, 16), "bf16": (np.uint16, 16), "tf32": (np.float32, 8), "s8": (np.int8, 32), "e4m3": (np.uint8, 32)}


@pytest.mark.parametrize("kind", FRAGMENTS)
def test_mma_of_rows_and_columns(kind: str) -> None:
    """Fragments gathered with plain loads, as the PTX manual draws them: a[row 4-lane group, 2 or 4 columns a register]."""
    dtype, k = FRAGMENTS[kind]
    if kind == "s8":
        a, b = (RNG.integers(-128, 128, s).astype(np.int8) for s in ((16, k), (8, k)))
        x, y = a.astype(np.float64), b.astype(np.float64)
    elif kind == "e4m3":
        a, b = (RNG.integers(0, 120, s).astype(np.uint8) for s in ((16, k), (8, k)))
        x, y = FP8[kind][a].astype(np.float64), FP8[kind][b].astype(np.float64)
    elif kind == "bf16":
        a, b = (round_bfloat16(RNG.standard_normal(s).astype(np.float32)) for s in ((16, k), (8, k)))
        x, y = widen_bfloat16(a).astype(np.float64), widen_bfloat16(b).astype(np.float64)
    else:
        a, b = (RNG.integers(-8, 9, s).astype(dtype) / dtype(4) for s in ((16, k), (8, k)))
        x, y = a.astype(np.float64), b.astype(np.float64)
    to = "s32" if kind == "s8" else "f32"
    c = np.zeros((16, 8), np.int32 if to == "s32" else np.float32)
    row = k * a.itemsize
    body = f"""ld.param.u64 %d1, [p0]; ld.param.u64 %d2, [p1]; ld.param.u64 %d3, [p2]; shr.u32 %r1, %r0, 2; and.b32 %r2, %r0, 3;
    mul.lo.u32 %r3, %r1, {row}; mad.lo.u32 %r3, %r2, 4, %r3; cvt.u64.u32 %d4, %r3; add.s64 %d5, %d1, %d4; add.s64 %d6, %d2, %d4;
    ld.global.b32 %r10, [%d5]; ld.global.b32 %r11, [%d5+{8 * row}]; ld.global.b32 %r12, [%d5+16]; ld.global.b32 %r13, [%d5+{8 * row + 16}];
    ld.global.b32 %r14, [%d6]; ld.global.b32 %r15, [%d6+16];
    mov.b32 %r20, 0; mov.b32 %r21, 0; mov.b32 %r22, 0; mov.b32 %r23, 0;
    mma.sync.aligned.m16n8k{k}.row.col.{to}.{kind}.{kind}.{to} {{%r20, %r21, %r22, %r23}},
    {{%r10, %r11, %r12, %r13}}, {{%r14, %r15}}, {{%r20, %r21, %r22, %r23}};
    mul.lo.u32 %r4, %r1, 32; mad.lo.u32 %r4, %r2, 8, %r4; cvt.u64.u32 %d7, %r4; add.s64 %d8, %d3, %d7;
    st.global.v2.b32 [%d8], {{%r20, %r21}}; st.global.v2.b32 [%d8+256], {{%r22, %r23}};"""
    assert row == 32  # eight registers of a row, whatever the type
    run_ptx(module(body, 3), "k", 1, 32, [a, b, c])
    assert (np.abs(c - x @ y.T) <= (0 if kind == "s8" else (k + 2) * 2.0**-24) * (np.abs(x) @ np.abs(y.T))).all()


def test_ldmatrix_and_stmatrix() -> None:
    x, y = np.arange(256, dtype=np.uint16), np.zeros(256, np.uint16)
    body = """ld.param.u64 %d1, [p0]; ld.param.u64 %d2, [p1]; mov.u32 %r1, s; mad.lo.u32 %r2, %r0, 16, %r1; mad.wide.u32 %d3, %r0, 16, %d1;
    ld.global.v4.b32 {%r4, %r5, %r6, %r7}, [%d3]; st.shared.v4.b32 [%r2], {%r4, %r5, %r6, %r7}; bar.sync 0;
    ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%r8, %r9, %r10, %r11}, [%r2]; bar.sync 0;
    stmatrix.sync.aligned.m8n8.x4.shared.b16 [%r2], {%r8, %r9, %r10, %r11}; bar.sync 0;
    ld.shared.v4.b32 {%r4, %r5, %r6, %r7}, [%r2]; mad.wide.u32 %d4, %r0, 16, %d2; st.global.v4.b32 [%d4], {%r4, %r5, %r6, %r7};"""
    run_ptx(module(body, 2, shared=1024), "k", 1, 32, [x, y])
    assert (y.reshape(4, 8, 8) == x.reshape(4, 8, 8).transpose(0, 2, 1)).all()


TMA_LOAD = """ld.param.u64 %d1, [p0]; mov.u64 %d2, p1; mov.u32 %r1, s; add.u32 %r2, %r1, 4096; setp.eq.u32 %p1, %r0, 0;
@%p1 mbarrier.init.shared::cta.b64 [%r2], 1; bar.sync 0; @%p1 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], {bytes};
@%p1 cp.async.bulk.tensor.{rank}d.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%d2, {{{corner}}}], [%r2];
wait: mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r2], 0; @!%p2 bra wait;
mad.lo.u32 %r3, %r0, 16, %r1; ld.shared.v4.b32 {{%r4, %r5, %r6, %r7}}, [%r3]; mad.wide.u32 %d3, %r0, 16, %d1; st.global.v4.b32 [%d3], {{%r4, %r5, %r6, %r7}};"""


TILES = [((8, 16), (3, -2)), ((2, 4, 16), (4, 1, 8)), ((2, 2, 2, 16), (1, 0, 3, 4)), ((2, 1, 2, 2, 16), (0, 1, 1, 2, 0))]


@pytest.mark.parametrize("box, corner", TILES, ids=str)
def test_tma_loads_tiles_and_zeros_outside(box: tuple[int, ...], corner: tuple[int, ...]) -> None:
    shape = {2: (10, 20), 3: (5, 6, 20), 4: (2, 3, 4, 20), 5: (2, 2, 3, 4, 20)}[len(box)]
    x = RNG.standard_normal(shape).astype(np.float32)
    got = np.full(128, np.nan, np.float32)
    body = TMA_LOAD.format(bytes=512, rank=len(box), corner=", ".join(str(c) for c in corner[::-1]))
    tensor = TensorMap(x, 4, shape, x.strides[:-1], box)
    run_ptx(module(body, 2, shared=8192, tensor_maps=1), "k", 1, 32, [got, tensor])
    wide = np.pad(x, 16)[tuple(slice(c + 16, c + 16 + b) for c, b in zip(corner, box))]
    assert (got.reshape(box) == wide).all()


@pytest.mark.parametrize("code, span", [(1, 32), (2, 64), (3, 128)])
def test_tma_swizzles(code: int, span: int) -> None:
    rows = 512 // span
    x = np.arange(128, dtype=np.float32).reshape(rows, span // 4)
    got = np.zeros(128, np.float32)
    body = TMA_LOAD.format(bytes=512, rank=2, corner="0, 0")
    run_ptx(module(body, 2, shared=8192, tensor_maps=1), "k", 1, 32, [got, TensorMap(x, 4, x.shape, x.strides[:-1], x.shape, code)])
    want = np.zeros(32, np.int64)
    for chunk in range(32):  # of 16 bytes; a row of 128 bytes of shared memory moves its chunks
        line = chunk // 8
        want[chunk ^ (line * 8 // 8 % 8 & (span // 16 - 1))] = chunk
    assert (got.reshape(32, 4)[:, 0] == want * 4).all()


FAULTS: dict[str, tuple[str, str]] = {
    "out of bounds": ("ld.param.u64 %d1, [p0]; mad.wide.u32 %d2, %r0, 4, %d1; ld.global.b32 %r1, [%d2+8];",
                      r"k, program \(0, 0, 0\): load of 4 bytes out of bounds"),
    "misaligned": ("ld.param.u64 %d1, [p0]; ld.global.b32 %r1, [%d1+2];", "misaligned load of 4 bytes at 0x"),
    "misaligned vector": ("ld.param.u64 %d1, [p0]; ld.global.v4.b32 {%r1, %r2, %r3, %r4}, [%d1+4];", "misaligned load of 16 bytes"),
    "null": ("mov.b64 %d1, 0; ld.global.b32 %r1, [%d1];", "out of bounds in global memory"),
    "shared memory past its end": ("mov.u32 %r1, s; st.shared.b32 [%r1+4096], %r0;", "out of bounds in shared memory"),
    "shared memory that nobody wrote": ("mov.u32 %r1, s; ld.shared.b32 %r2, [%r1];", "shared memory that nobody has written"),
    "race of two warps": ("mov.u32 %r1, s; and.b32 %r2, %r0, 31; mad.lo.u32 %r1, %r2, 4, %r1; st.shared.b32 [%r1], %r0;", "race in shared memory.*two lanes"),
    "read without a barrier": ("mov.u32 %r1, s; mad.lo.u32 %r2, %r0, 4, %r1; st.shared.b32 [%r2], %r0; xor.b32 %r3, %r0, 32; mad.lo.u32 %r3, %r3, 4, %r1;"
                               "ld.shared.b32 %r4, [%r3];", "race in shared memory.*another warp wrote"),
    "write after read": ("mov.u32 %r1, s; mad.lo.u32 %r2, %r0, 4, %r1; st.shared.b32 [%r2], %r0; bar.sync 0; xor.b32 %r3, %r0, 32; mad.lo.u32 %r3, %r3, 4, %r1;"
                         "ld.shared.b32 %r4, [%r3]; st.shared.b32 [%r2], %r4;", "race in shared memory.*another warp read"),
    "copy read before its wait": ("ld.param.u64 %d1, [p0]; mov.u32 %r1, s; mad.lo.u32 %r1, %r0, 16, %r1; cp.async.cg.shared.global [%r1], [%d1], 16;"
                                  "cp.async.commit_group; ld.shared.b32 %r2, [%r1];", "race.*cp.async or TMA load to it has not been waited for"),
    "barrier for half a block": ("setp.lt.u32 %p1, %r0, 32; @%p1 bar.sync 0; @!%p1 bar.sync 1;", "deadlock: .* 64 at a barrier"),
    "mbarrier without an arrival": ("mov.u32 %r1, s; setp.eq.u32 %p1, %r0, 0; @%p1 mbarrier.init.shared.b64 [%r1], 1; bar.sync 0;"
                                    "w: mbarrier.try_wait.parity.shared.b64 %p2, [%r1], 0; @!%p2 bra w;", "deadlock: 64 threads wait for an mbarrier"),
    "mbarrier not initialised": ("mov.u32 %r1, s; mbarrier.arrive.shared.b64 %d1, [%r1];", "used before mbarrier.init"),
    "mbarrier with too many arrivals": ("mov.u32 %r1, s; setp.eq.u32 %p1, %r0, 0; @%p1 mbarrier.init.shared.b64 [%r1], 3; bar.sync 0;"
                                        "setp.lt.u32 %p1, %r0, 2; @%p1 mbarrier.arrive.shared.b64 %d1, [%r1], 2;", "mbarrier: 2 arrivals where 1 of 3"),
    "shuffle from a lane that left": ("setp.lt.u32 %p1, %r0, 8; @%p1 bra out; shfl.sync.idx.b32 %r1, %r0, 0, 31, -1; out:",
                                      "shfl reads a lane that is not here"),
    "ldmatrix in half a warp": ("mov.u32 %r1, s; setp.lt.u32 %p1, %r0, 8; @%p1 ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r2}, [%r1];",
                                "only some lanes of a warp"),
    "unknown instruction": ("tcgen05.wait.sync %r1;", "instruction is not emulated"),
    "unknown register": ("mov.b32 %z1, 0;", "no register that is declared"),
    "trap": ("trap;", "trap"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_named(name: str) -> None:
    body, said = FAULTS[name]
    with pytest.raises(Violation, match=said):
        run_ptx(module(body, 1, shared=4096), "k", 1, 64, [np.zeros(64, np.int32)])


@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_barriers_hold_under_any_schedule(seed: int | None) -> None:
    """A tree of sums over a block."""
    x, y = np.arange(256, dtype=np.int32), np.zeros(1, np.int32)
    steps = "".join(f"""setp.lt.u32 %p1, %r0, {h}; @%p1 ld.shared.b32 %r3, [%r2+{4 * h}]; @%p1 ld.shared.b32 %r4, [%r2]; @%p1 add.s32 %r4, %r3, %r4;
    @%p1 st.shared.b32 [%r2], %r4; bar.sync 0;""" for h in (128, 64, 32, 16, 8, 4, 2, 1))  # fmt: skip
    body = load("%r5", 0, "32") + f"mov.u32 %r1, s; mad.lo.u32 %r2, %r0, 4, %r1; st.shared.b32 [%r2], %r5; bar.sync 0; {steps}"
    body += "setp.eq.u32 %p1, %r0, 0; ld.param.u64 %d1, [p1]; @%p1 st.global.b32 [%d1], %r4;"
    run_ptx(module(body, 2, shared=1024), "k", 1, 256, [x, y], seed=seed)
    assert y[0] == x.sum()
