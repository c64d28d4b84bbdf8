"""mma.sync: a warp's matrix product out of registers. Fragments as the PTX manual lays them out, for all shapes with m = 16, n = 8."""

from __future__ import annotations

import re

import numpy as np

from .machine import Decoder, Machine, Mask, Step, instruction
from .parser import Instruction
from .values import Array, decode, number_type

GROUP, QUAD = np.arange(32) // 4, np.arange(32) % 4
PER_REGISTER = {"f16": 2, "bf16": 2, "tf32": 1, "s8": 4, "u8": 4, "e4m3": 4, "e5m2": 4, "f64": 1}
SHAPE = re.compile(r"m(\d+)n(\d+)k(\d+)")
OPERAND_TYPES = ("f16", "bf16", "tf32", "f32", "s8", "u8", "s32", "e4m3", "e5m2", "f64", "s4", "u4", "b1")


def shape_and_types(one: Instruction) -> tuple[tuple[int, int, int], list[str]]:
    """-> (m, n, k), the element types in the order of the instruction's words (result first)."""
    found = next(match for w in one.words if (match := SHAPE.fullmatch(w)))
    return (int(found[1]), int(found[2]), int(found[3])), [w for w in one.words if w in OPERAND_TYPES]


def elements(registers: list[Array], kind: str) -> Array:
    """[warps, 32, registers, elements of a register] as numbers to multiply: float32 (float64 for f64), int64."""
    bits = np.stack(registers, -1)
    per = PER_REGISTER[kind]
    if per > 1:
        bits = np.ascontiguousarray(bits).view(np.uint16 if per == 2 else np.uint8)
    values = decode(np.ascontiguousarray(bits), "s8" if kind == "s8" else kind)
    wide = np.float64 if kind == "f64" else np.int64 if kind in ("s8", "u8") else np.float32
    return values.reshape(-1, 32, len(registers), per).astype(wide)


def left_matrix(values: Array, k: int) -> Array:
    """[warps, 16, k] of A's fragments."""
    count, per = values.shape[2], values.shape[3]
    out = np.zeros((len(values), 16, k), values.dtype)
    for r in range(count):
        for e in range(per):
            out[:, GROUP + 8 * (r % 2), QUAD * per + e + 4 * per * (r // 2)] = values[:, :, r, e]
    return out


def right_matrix(values: Array, k: int) -> Array:
    """[warps, k, 8] of B's fragments."""
    count, per = values.shape[2], values.shape[3]
    out = np.zeros((len(values), k, 8), values.dtype)
    for r in range(count):
        for e in range(per):
            out[:, QUAD * per + e + 4 * per * r, GROUP] = values[:, :, r, e]
    return out


@instruction("mma")
def _mma(d: Decoder, one: Instruction) -> Step:
    (rows, columns, k), (to, a_type, b_type, c_type) = shape_and_types(one)
    if (rows, columns) != (16, 8) or a_type not in PER_REGISTER:
        raise d.fault(one, f"mma of m{rows}n{columns}k{k} on {a_type} is not emulated")
    register = "b64" if a_type == "f64" else "b32"
    left, right = d.sources(one.operands[1], register, one), d.sources(one.operands[2], register, one)
    packed = c_type == "f16"  # two halves in a register
    kind = "f16x2" if packed else c_type
    start, puts = d.sources(one.operands[3], kind, one), d.targets(one.operands[0], "f16x2" if to == "f16" else to, one)
    limits = np.iinfo(np.int32)
    bits = np.uint64 if a_type == "f64" else np.uint32

    def step(m: Machine, mask: Mask) -> None:
        m.whole_warps(mask, "mma.sync")
        a = left_matrix(elements([m.full(s(m), bits) for s in left], a_type), k)
        b = right_matrix(elements([m.full(s(m), bits) for s in right], b_type), k)
        if to == "s32":
            product = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)  # exact: below 2^53
        else:
            product = a @ b
        for i, put in enumerate(puts):
            if packed:
                two = np.stack([product[:, GROUP + 8 * i, QUAD * 2 + e].reshape(-1) for e in (0, 1)], -1)
                put(m, two + np.asarray(start[i](m)).astype(np.float32), mask)
                continue
            part = product[:, GROUP + 8 * (i // 2), QUAD * 2 + i % 2].reshape(-1)
            total = part + np.asarray(start[i](m)).astype(part.dtype)
            if to == "s32":
                total = np.clip(total, limits.min, limits.max) if "satfinite" in one.words else total.astype(np.int32)
            put(m, total.astype(number_type(to)), mask)

    return step
