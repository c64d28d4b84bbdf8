"""Integer, float, logic and compare instructions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .machine import Decoder, Machine, Mask, Source, Step, instruction
from .parser import Instruction
from .values import SIGNED, UNSIGNED, Array, is_type, size_of

Function = Callable[..., Any]


def elementwise(d: Decoder, one: Instruction, function: Function, kind: str | None = None, result: str | None = None) -> Step:
    """result register = function(operands), all of one type."""
    kind = kind or d.type_of(one)
    sources = [d.source(text, kind, one) for text in one.operands[1:]]
    put = d.target(one.operands[0].split("|")[0], result or kind, one)
    if len(sources) == 2:
        a, b = sources
        return lambda m, mask: put(m, function(a(m), b(m)), mask)
    if len(sources) == 1:
        (only,) = sources
        return lambda m, mask: put(m, function(only(m)), mask)
    return lambda m, mask: put(m, function(*(s(m) for s in sources)), mask)


def half(kind: str) -> bool:
    return kind in ("f16", "f16x2", "bf16", "bf16x2")


def floats(kind: str) -> bool:
    return kind[0] == "f" or kind.startswith("bf16")


def widened(function: Function, kind: str) -> Function:
    """f16 and bf16 compute in float32 and round once: 24 bits of mantissa are enough for sums, products, quotients and roots."""
    if not half(kind):
        return function
    return lambda *operands: function(*(np.asarray(o).astype(np.float32) for o in operands))


def saturated(function: Function, one: Instruction, kind: str) -> Function:
    if "sat" not in one.words:
        return function
    if floats(kind):
        return lambda *o: np.clip(np.nan_to_num(function(*o), nan=0.0), 0, 1)
    limits = np.iinfo(SIGNED[size_of(kind)])
    return lambda *o: np.clip(function(*(np.asarray(v).astype(np.int64) for v in o)), limits.min, limits.max)


def _binary(function: Function) -> Callable[[Decoder, Instruction], Step]:
    def decode(d: Decoder, one: Instruction) -> Step:
        kind = d.type_of(one)
        return elementwise(d, one, saturated(widened(function, kind), one, kind), kind)

    return decode


instruction("and")(_binary(np.bitwise_and))
instruction("or")(_binary(np.bitwise_or))
instruction("xor")(_binary(np.bitwise_xor))
instruction("ex2")(_binary(np.exp2))
instruction("lg2")(_binary(np.log2))
instruction("sqrt")(_binary(np.sqrt))
instruction("rcp")(_binary(np.reciprocal))
instruction("rsqrt")(_binary(lambda a: 1 / np.sqrt(a)))
instruction("tanh")(_binary(np.tanh))
instruction("sin")(_binary(np.sin))
instruction("cos")(_binary(np.cos))
instruction("abs")(_binary(np.abs))
instruction("copysign")(_binary(lambda a, b: np.copysign(b, a)))


@instruction("neg")
def _neg(d: Decoder, one: Instruction) -> Step:
    return elementwise(d, one, np.negative)


@instruction("not")
def _not(d: Decoder, one: Instruction) -> Step:
    return elementwise(d, one, np.invert)


@instruction("cnot")
def _cnot(d: Decoder, one: Instruction) -> Step:
    return elementwise(d, one, lambda a: np.equal(a, 0))


@instruction("min", "max")
def _extreme(d: Decoder, one: Instruction) -> Step:
    """Without `.NaN` the number wins over NaN; integers have none."""
    kind, name = d.type_of(one), one.name
    if floats(kind):
        function: Function = {("min", True): np.minimum, ("max", True): np.maximum, ("min", False): np.fmin, ("max", False): np.fmax}[name, "NaN" in one.words]
        if name == "max":  # numpy takes either zero; the hardware takes +0 over -0
            plain = function
            return elementwise(d, one, lambda *o: plain(*o) + 0 if len(o) == 2 else plain(plain(o[0], o[1]), o[2]), kind)
    else:
        function = np.minimum if name == "min" else np.maximum
    return elementwise(d, one, function if len(one.operands) == 3 else lambda a, b, c: function(function(a, b), c), kind)


def _integer_quotient(a: Any, b: Any) -> Any:
    """Towards zero; by zero: all ones, as the hardware happens to give."""
    a, b = np.asarray(a), np.asarray(b)
    safe = np.where(b == 0, 1, b).astype(b.dtype)
    return np.where(b == 0, np.array(-1).astype(a.dtype), (a - np.fmod(a, safe)) // safe)


@instruction("div")
def _div(d: Decoder, one: Instruction) -> Step:
    kind = d.type_of(one)
    return elementwise(d, one, widened(np.divide, kind) if floats(kind) else _integer_quotient, kind)


@instruction("rem")
def _rem(d: Decoder, one: Instruction) -> Step:
    return elementwise(d, one, lambda a, b: np.where(np.asarray(b) == 0, a, np.fmod(a, np.where(np.asarray(b) == 0, 1, b).astype(np.asarray(a).dtype))))


def _high(a: Any, b: Any, kind: str) -> Any:
    """Upper half of a product."""
    if size_of(kind) < 8:
        wide = (np.int64 if kind[0] == "s" else np.uint64)
        return (np.asarray(a).astype(wide) * np.asarray(b).astype(wide)) >> wide(8 * size_of(kind))
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    x, y = np.asarray(a).astype(np.uint64), np.asarray(b).astype(np.uint64)
    middle = (x >> shift) * (y & low) + ((x & low) * (y & low) >> shift)
    other = (x & low) * (y >> shift) + (middle & low)
    top = (x >> shift) * (y >> shift) + (middle >> shift) + (other >> shift)
    if kind[0] == "s":
        top = top - np.where(x >> np.uint64(63), y, np.uint64(0)) - np.where(y >> np.uint64(63), x, np.uint64(0))
    return top.astype(np.int64 if kind[0] == "s" else np.uint64)


@instruction("add", "sub", "addc", "subc")
def _add(d: Decoder, one: Instruction) -> Step:
    if "cc" not in one.words and one.name in ("add", "sub"):
        return _binary(np.add if one.name == "add" else np.subtract)(d, one)
    return _chained(d, one, d.source(one.operands[1], d.type_of(one), one), d.source(one.operands[2], d.type_of(one), one))


def _chained(d: Decoder, one: Instruction, a: Source, b: Source) -> Step:
    """a + b or a - b of numbers of several words: the carry (or borrow) of a thread goes from one instruction to the next."""
    kind = d.type_of(one)
    word, down, takes, gives = UNSIGNED[size_of(kind)], one.name.startswith("sub"), one.name in ("addc", "subc", "madc"), "cc" in one.words
    put = d.target(one.operands[0], f"u{size_of(kind) * 8}", one)

    def step(m: Machine, mask: Mask) -> None:
        x, y = (m.full(np.asarray(v(m)).astype(word), word) for v in (a, b))
        before = m.state.setdefault("carry", np.zeros(m.lanes, bool))
        carry = before if takes else np.zeros(m.lanes, bool)
        total = x - y - carry.astype(word) if down else x + y + carry.astype(word)
        over = (x < y) | (x == y) & carry if down else (total < x) | (total == x) & carry
        put(m, total, mask)
        if gives:
            m.state["carry"] = over if mask is None else np.where(mask, over, before)

    return step


@instruction("mul", "mad", "madc", "mul24", "mad24")
def _multiply(d: Decoder, one: Instruction) -> Step:
    kind = d.type_of(one)
    if one.name == "madc" or "cc" in one.words:
        a, b = (d.source(text, kind, one) for text in one.operands[1:3])
        half = (lambda m: _high(a(m), b(m), kind)) if "hi" in one.words else (lambda m: a(m) * b(m))
        return _chained(d, one, half, d.source(one.operands[3], kind, one))
    if one.name == "mad" and floats(kind):
        return _fma(d, one)
    if floats(kind):
        return elementwise(d, one, saturated(widened(np.multiply, kind), one, kind), kind)
    a, b = (d.source(text, kind, one) for text in one.operands[1:3])
    result = f"{kind[0]}{size_of(kind) * 16}" if "wide" in one.words else kind
    c = d.source(one.operands[3], result, one) if one.name.startswith("mad") else None
    put = d.target(one.operands[0], result, one)
    wide = (SIGNED if kind[0] == "s" else UNSIGNED)[size_of(result)]

    def step(m: Machine, mask: Mask) -> None:
        x, y = a(m), b(m)
        if "hi" in one.words:
            product = _high(x, y, kind)
        elif "wide" in one.words:
            product = np.asarray(x).astype(wide) * np.asarray(y).astype(wide)
        else:
            product = x * y
        put(m, product if c is None else product + c(m), mask)

    return step


def fused(a: Any, b: Any, c: Any) -> Any:
    """float64 holds the product of float32 numbers exactly, so that only the sum rounds before the result does."""
    return np.asarray(a).astype(np.float64) * b + c


@instruction("fma")
def _fma(d: Decoder, one: Instruction) -> Step:
    kind = d.type_of(one)
    function: Function = fused
    if "relu" in one.words:
        function = lambda a, b, c: np.maximum(fused(a, b, c), 0)  # noqa: E731
    return elementwise(d, one, saturated(function, one, kind), kind)


@instruction("shl", "shr")
def _shift(d: Decoder, one: Instruction) -> Step:
    """By more than the width: zero, or the sign."""
    kind = d.type_of(one)
    if kind[0] == "b":
        kind = "u" + kind[1:]
    bits = size_of(kind) * 8
    value, by = d.source(one.operands[1], kind, one), d.source(one.operands[2], "u32", one)
    put, left = d.target(one.operands[0], kind, one), one.name == "shl"

    def step(m: Machine, mask: Mask) -> None:
        x, n = np.asarray(value(m)), np.asarray(by(m))
        count = np.minimum(n, bits - 1).astype(x.dtype)
        out = x << count if left else x >> count
        put(m, out if kind[0] == "s" and not left else np.where(n >= bits, x.dtype.type(0), out), mask)

    return step


@instruction("shf")
def _funnel(d: Decoder, one: Instruction) -> Step:
    """A window of 32 bits out of 64."""
    low, high, by = (d.source(text, "u32", one) for text in one.operands[1:4])
    put, left, clamp = d.target(one.operands[0], "u32", one), "l" in one.words, "clamp" in one.words

    def step(m: Machine, mask: Mask) -> None:
        n = np.asarray(by(m)).astype(np.uint64)
        n = np.minimum(n, np.uint64(32)) if clamp else n & np.uint64(31)
        both = np.asarray(high(m)).astype(np.uint64) << np.uint64(32) | np.asarray(low(m)).astype(np.uint64)
        put(m, ((both << n) >> np.uint64(32) if left else both >> n).astype(np.uint32), mask)

    return step


COMPARE: dict[str, Function] = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "lo": np.less, "ls": np.less_equal, "hi": np.greater, "hs": np.greater_equal,
}  # fmt: skip
LOGIC: dict[str, Function] = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}


def comparison(name: str, kind: str) -> Function:
    """Ordered comparisons are false where a NaN stands, those that end in u are true."""
    if name == "num":
        return lambda a, b: ~(np.isnan(a) | np.isnan(b))
    if name == "nan":
        return lambda a, b: np.isnan(a) | np.isnan(b)
    if not floats(kind):
        return COMPARE[name]
    if name.endswith("u"):
        opposite = COMPARE[{"eq": "ne", "ne": "eq", "lt": "ge", "le": "gt", "gt": "le", "ge": "lt"}[name[:-1]]]
        if name == "equ":
            return lambda a, b: np.equal(a, b) | np.isnan(a) | np.isnan(b)
        return np.not_equal if name == "neu" else lambda a, b: ~opposite(a, b)
    if name == "ne":
        return lambda a, b: np.less(a, b) | np.greater(a, b)
    return COMPARE[name]


@instruction("setp", "set")
def _compare(d: Decoder, one: Instruction) -> Step:
    kind = d.type_of(one)
    function = comparison(one.words[0], kind)
    a, b = (d.source(text, kind, one) for text in one.operands[1:3])
    combine = next((LOGIC[w] for w in one.words if w in LOGIC), None)
    third = d.source(one.operands[3], "pred", one) if len(one.operands) > 3 else None
    if one.name == "set":
        result = next(w for w in one.words if is_type(w))
        put_number = d.target(one.operands[0], result, one)
        true: Any = 1.0 if floats(result) else -1
        return lambda m, mask: put_number(m, np.where(function(a(m), b(m)), true, 0), mask)
    names = one.operands[0].split("|")
    put = d.target(names[0], "pred", one)
    other = d.target(names[1], "pred", one) if len(names) > 1 else None

    def halves(m: Machine, mask: Mask) -> None:
        """Of packed operands the first predicate is the low half's, the second the high half's."""
        out = function(a(m), b(m))
        for k, to in enumerate((put, other)):
            if to is not None:
                to(m, out[..., k] if combine is None or third is None else combine(out[..., k], third(m)), mask)

    if kind.endswith("x2"):
        return halves

    def step(m: Machine, mask: Mask) -> None:
        out = function(a(m), b(m))
        if combine is not None and third is not None:
            z = third(m)
            if other is not None:
                other(m, combine(~out, z), mask)
            out = combine(out, z)
        elif other is not None:
            other(m, ~out, mask)
        put(m, out, mask)

    return step


@instruction("selp")
def _select(d: Decoder, one: Instruction) -> Step:
    kind = f"b{size_of(d.type_of(one)) * 8}"
    a, b = (d.source(text, kind, one) for text in one.operands[1:3])
    condition, put = d.source(one.operands[3], "pred", one), d.target(one.operands[0], kind, one)
    return lambda m, mask: put(m, np.where(condition(m), a(m), b(m)), mask)


@instruction("slct")
def _slct(d: Decoder, one: Instruction) -> Step:
    kinds = [w for w in one.words if is_type(w)]
    a, b = (d.source(text, kinds[0], one) for text in one.operands[1:3])
    sign, put = d.source(one.operands[3], kinds[1], one), d.target(one.operands[0], kinds[0], one)
    return lambda m, mask: put(m, np.where(sign(m) >= 0, a(m), b(m)), mask)


@instruction("testp")
def _test(d: Decoder, one: Instruction) -> Step:
    tests: dict[str, Function] = {"finite": np.isfinite, "infinite": np.isinf, "number": lambda a: ~np.isnan(a), "notanumber": np.isnan}
    return elementwise(d, one, tests[one.words[0]], result="pred")


@instruction("bfe")
def _extract(d: Decoder, one: Instruction) -> Step:
    kind = d.type_of(one)
    bits = size_of(kind) * 8
    value = d.source(one.operands[1], f"u{bits}", one)
    start, length = (d.source(text, "u32", one) for text in one.operands[2:4])
    put = d.target(one.operands[0], f"u{bits}", one)

    def step(m: Machine, mask: Mask) -> None:
        x = np.asarray(value(m)).astype(np.uint64)
        p, n = (np.asarray(s(m)).astype(np.uint64) & np.uint64(255) for s in (start, length))
        keep = (np.uint64(1) << np.minimum(n, np.uint64(63))) - np.uint64(1) | np.where(n >= 64, ~np.uint64(0), np.uint64(0))
        out = np.where(p >= bits, np.uint64(0), x >> np.minimum(p, np.uint64(63))) & keep
        if kind[0] == "s":
            top = np.minimum(p + n - np.uint64(1), np.uint64(bits - 1))
            negative = (x >> top & np.uint64(1) != 0) & (n > 0)
            width = np.where(n == 0, np.uint64(0), np.minimum(top - np.minimum(p, top) + np.uint64(1), np.uint64(63)))
            out = np.where(negative, out | ~((np.uint64(1) << width) - np.uint64(1)), out)
        put(m, out.astype(UNSIGNED[bits // 8]), mask)

    return step


@instruction("bfi")
def _insert(d: Decoder, one: Instruction) -> Step:
    kind = f"u{size_of(d.type_of(one)) * 8}"
    field, value = (d.source(text, kind, one) for text in one.operands[1:3])
    start, length = (d.source(text, "u32", one) for text in one.operands[3:5])
    put = d.target(one.operands[0], kind, one)

    def step(m: Machine, mask: Mask) -> None:
        p, n = (np.minimum(np.asarray(s(m)).astype(np.uint64) & np.uint64(255), np.uint64(63)) for s in (start, length))
        keep = ((np.uint64(1) << n) - np.uint64(1)) << p
        put(m, np.asarray(value(m)).astype(np.uint64) & ~keep | np.asarray(field(m)).astype(np.uint64) << p & keep, mask)

    return step


def _reverse(x: Any) -> Array:
    x = np.ascontiguousarray(x)
    bits = np.unpackbits(x[..., None].view(np.uint8), axis=-1, bitorder="little")
    out: Array = np.packbits(bits[..., ::-1], axis=-1, bitorder="little").view(x.dtype)[..., 0]
    return out


def _bit_length(x: Any) -> Array:
    wide = np.asarray(x, np.uint64)
    halves = [np.frexp(part.astype(np.float64))[1] for part in (wide >> np.uint64(32), wide & np.uint64(0xFFFFFFFF))]
    return np.where(halves[0] > 0, halves[0] + 32, halves[1])


@instruction("brev", "clz", "popc", "bfind")
def _count_bits(d: Decoder, one: Instruction) -> Step:
    kind = f"u{size_of(d.type_of(one)) * 8}"
    bits = size_of(kind) * 8
    functions: dict[str, Function] = {"brev": _reverse, "clz": lambda x: bits - _bit_length(x), "popc": np.bitwise_count,
                                      "bfind": lambda x: _bit_length(x).astype(np.int64) - 1}  # fmt: skip
    return elementwise(d, one, functions[one.name], kind, kind if one.name == "brev" else "s32" if one.name == "bfind" else "u32")


@instruction("lop3")
def _lop3(d: Decoder, one: Instruction) -> Step:
    a, b, c = (d.source(text, "b32", one) for text in one.operands[1:4])
    table, put = int(one.operands[4], 0), d.target(one.operands[0], "b32", one)

    def step(m: Machine, mask: Mask) -> None:
        x, y, z = (m.full(s(m), np.uint32) for s in (a, b, c))
        out = np.zeros(m.lanes, np.uint32)
        for case in range(8):
            if table >> case & 1:
                out |= (x if case & 4 else ~x) & (y if case & 2 else ~y) & (z if case & 1 else ~z)
        put(m, out, mask)

    return step


@instruction("prmt")
def _permute(d: Decoder, one: Instruction) -> Step:
    """Four bytes picked out of eight; bit 3 of a selector gives the byte's sign instead."""
    a, b, selector = (d.source(text, "b32", one) for text in one.operands[1:4])
    put = d.target(one.operands[0], "b32", one)

    def step(m: Machine, mask: Mask) -> None:
        pool = np.stack([m.full(a(m), np.uint32), m.full(b(m), np.uint32)], -1).view(np.uint8)
        control = m.full(selector(m), np.uint32)
        pick = (control[:, None] >> np.array([0, 4, 8, 12], np.uint32)) & np.uint32(15)
        out = np.take_along_axis(pool, (pick & 7).astype(np.int64), 1)
        out = np.where(pick & 8, np.where(out & 0x80, 0xFF, 0), out).astype(np.uint8)
        put(m, np.ascontiguousarray(out).view(np.uint32)[:, 0], mask)

    return step


@instruction("dp4a")
def _dot4(d: Decoder, one: Instruction) -> Step:
    kinds = [w for w in one.words if is_type(w)]
    a, b = (d.source(text, "b32", one) for text in one.operands[1:3])
    c, put = d.source(one.operands[3], "s32", one), d.target(one.operands[0], "s32", one)
    views = [np.int8 if k[0] == "s" else np.uint8 for k in kinds]

    def step(m: Machine, mask: Mask) -> None:
        x, y = (m.full(s(m), np.uint32)[:, None].view(v).astype(np.int64) for s, v in zip((a, b), views))
        put(m, (x * y).sum(1) + c(m), mask)

    return step
