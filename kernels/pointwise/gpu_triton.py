"""Pointwise programs on a device: each program becomes the source of one kernel, which reads its inputs once and writes its outputs once.

The source depends on the program, on the dtypes of the outputs and on which strides are 0 or 1, not on sizes. Every instruction rounds as
pointwise.h says: quotients and roots by their exactly rounded instructions, exp by a polynomial of its own (the chip's ex2 on x log2 e is off by an
ulp for every 12 of |x|). A product may be fused with the sum that it goes into: one rounding less."""

from __future__ import annotations

import hashlib
import linecache
from functools import lru_cache
from typing import Any

import triton
import triton.language as tl

from ..launch import Call, ceil_div, count, row
from .gpu_functions import FUNCTIONS

OUTPUTS = {"float32": "{}", "bool": "{} != 0", "uint8": "to_byte({})"}
BLOCK = 1024


def collapse(shape: tuple[int, ...], strides: list[tuple[int, ...]]) -> tuple[list[int], list[list[int]]]:
    """Fewer dimensions that walk through the same memory, in the same order: neighbours become one where every operand steps evenly through both."""
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    for d, size in enumerate(shape):
        if size == 1:
            continue
        if sizes and all(s[-1] == size * t[d] for s, t in zip(steps, strides)):
            sizes[-1] *= size
            for s, t in zip(steps, strides):
                s[-1] = t[d]
        else:
            sizes.append(size)
            for s, t in zip(steps, strides):
                s.append(t[d])
    if not sizes:
        return [1], [[0] for _ in strides]
    return sizes, steps


def source(program: tuple[int, ...], opcodes: tuple[tuple[str, int], ...], n_inputs: int, outputs: tuple[str, ...], walk: tuple[str, ...], rank: int) -> str:
    """The kernel's text. walk: for every input a letter a dimension: 0 (repeated), 1 (neighbours) or s (a stride that is an argument)."""
    n_out = program[0]
    strides = [f"s{k}_{d}" for k in range(n_inputs) for d in range(rank) if walk[k][d] == "s"]
    sizes = [f"n{d}" for d in range(1, rank)]
    pointers = [f"x{k}" for k in range(n_inputs)] + [f"y{k}" for k in range(len(outputs))]
    lines = [f"def pointwise_kernel({', '.join([*pointers, 'n', *sizes, *strides, 'BLOCK: tl.constexpr'])}):",
             "    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)",
             "    inside = i < n"]  # fmt: skip
    if rank > 1:
        lines.append("    rest = i")
        for d in range(rank - 1, 0, -1):
            lines += [f"    i{d} = rest % n{d}", f"    rest = rest // n{d}"]
        lines.append("    i0 = rest")
    else:
        lines.append("    i0 = i")
    for k in range(n_inputs):
        terms = [f"i{d}" if w == "1" else f"i{d} * s{k}_{d}" for d, w in enumerate(walk[k]) if w != "0"]
        at = " + ".join(terms) if terms else "i * 0"
        lines.append(f"    v{k} = tl.load(x{k} + {at}, mask=inside, other=0).to(tl.float32)")
    code = program[1 + n_out :]
    for t in range(len(code) // 4):
        number, *operands = code[4 * t : 4 * t + 4]
        name, n_operands = opcodes[number]
        if name == "const":
            value = f"tl.full([BLOCK], {operands[0] & 0xFFFFFFFF}, tl.uint32).to(tl.float32, bitcast=True)"
        else:
            value = f"f_{name}({', '.join(f'v{o}' for o in operands[:n_operands])})"
        lines.append(f"    v{n_inputs + t} = {value}")
    for k, dtype in enumerate(outputs):
        lines.append(f"    tl.store(y{k} + i, {OUTPUTS[dtype].format(f'v{program[1 + k]}')}, mask=inside)")
    return "\n".join(lines) + "\n"


@lru_cache(maxsize=4096)
def kernel(text: str) -> Any:
    """The kernel of this text. Triton reads a function's source back from its file: linecache holds one that never was on a disk."""
    name = f"<pointwise {hashlib.sha256(text.encode()).hexdigest()[:16]}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    scope: dict[str, Any] = {"tl": tl, "__name__": __name__, **FUNCTIONS}
    exec(compile(text, name, "exec"), scope)  # noqa: S102 (text that source() wrote)
    return triton.jit(scope["pointwise_kernel"])


def _refuse(call: Call) -> str | None:
    if any(x.dtype.name not in ("float32", "float16", "bfloat16", "int8", "uint8", "bool") for x in call.inputs if x is not None):
        return "made for float32, float16, bfloat16, int8, uint8 and bool"
    return None


@row(refuse=_refuse)
def pointwise(call: Call) -> None:
    """One pass over the outputs' elements."""
    from accelnn.core.registry import OPCODES

    inputs = [x for x in call.inputs if x is not None]
    shape = call.outputs[0].shape
    sizes, steps = collapse(shape, [x.stride for x in inputs])
    rank = len(sizes)
    walk = tuple("".join("0" if s == 0 else "1" if s == 1 else "s" for s in step) for step in steps)
    opcodes = tuple((name, n) for name, (_, n) in OPCODES.items())
    text = source(tuple(call.attrs["program"]), opcodes, len(inputs), tuple(y.dtype.name for y in call.outputs), walk, rank)
    n = count(shape)
    strides = [s for step in steps for s in step if s not in (0, 1)]
    call.launch(kernel(text), (ceil_div(n, BLOCK),), *inputs, *call.outputs, n, *sizes[1:], *strides, warps=4, BLOCK=BLOCK)
