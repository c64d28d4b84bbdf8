"""Arithmetic of integers, bool and float64 on a device: operands of any strides."""

from __future__ import annotations

import triton
import triton.language as tl

from ..copy.gpu_triton_places import block_of, place
from ..copy.strides import collapse, eight, reach, wide
from ..launch import Call, ceil_div, count, row
from .gpu_triton_real import of_reals

BLOCK = 512
# In the order of kinds.inc.
KINDS = ("add", "sub", "mul", "div", "mod", "fmod", "pow", "max", "min", "and", "or", "xor", "shift_left", "shift_right", "eq", "ne", "lt", "le", "gt", "ge",
         "neg", "abs", "sign", "not", "select", "sqrt", "exp", "log", "floor", "ceil", "round")  # fmt: skip


@triton.jit
def _power(a, b, BITS: tl.constexpr):
    one, zero = tl.full(a.shape, 1, a.dtype), tl.full(a.shape, 0, a.dtype)
    result, base, left = one, a, tl.where(b < 0, zero, b)
    for _ in range(BITS):
        result = tl.where((left & 1) != 0, result * base, result)
        base = base * base
        left = left >> 1
    of_minus_one = tl.where((b & 1) != 0, zero - one, one)
    return tl.where(b < 0, tl.where(a == 1, one, tl.where(a == zero - one, of_minus_one, zero)), result)


@triton.jit
def _of_integers(a, b, KIND: tl.constexpr, BOOL: tl.constexpr):
    """Division and shifts see operands with which they are defined; what the others give is chosen afterwards."""
    BITS: tl.constexpr = a.dtype.primitive_bitwidth
    SIGNED: tl.constexpr = a.dtype.is_int_signed()
    one, zero = tl.full(a.shape, 1, a.dtype), tl.full(a.shape, 0, a.dtype)
    if KIND == "add":
        y = a + b
    elif KIND == "sub":
        y = a - b
    elif KIND == "mul":
        y = a * b
    elif KIND == "div" or KIND == "mod" or KIND == "fmod":
        minus = b == zero - one
        if SIGNED:
            by = tl.where((b == 0) | minus, one, b)
        else:
            by = tl.where(b == 0, one, b)
        if KIND == "div":
            y = tl.where(b == 0, zero, a // by)
            if SIGNED:
                y = tl.where(minus, zero - a, y)
        else:
            y = a % by
            if KIND == "mod" and SIGNED:
                y = tl.where((y != 0) & ((y < 0) != (b < 0)), y + b, y)
    elif KIND == "pow":
        y = _power(a, b, BITS)
    elif KIND == "max":
        y = tl.where(a > b, a, b)
    elif KIND == "min":
        y = tl.where(a < b, a, b)
    elif KIND == "and":
        y = a & b
    elif KIND == "or":
        y = a | b
    elif KIND == "xor":
        y = a ^ b
    elif KIND == "shift_left":
        outside = (b < 0) | (b >= BITS)
        y = tl.where(outside, zero, a << tl.where(outside, zero, b))
    elif KIND == "shift_right":
        outside = (b < 0) | (b >= BITS)
        y = tl.where(outside, tl.where(a < 0, zero - one, zero), a >> tl.where(outside, zero, b))
    elif KIND == "neg":
        y = zero - a
    elif KIND == "abs":
        y = tl.where(a < 0, zero - a, a)
    elif KIND == "sign":
        y = tl.where(a < 0, zero - one, tl.where(a > 0, one, zero))
    elif BOOL:
        y = one - a
    else:
        y = (zero - one) - a
    return y


@triton.jit
def _arithmetic(a, b, c, y, elements, n0, n1, n2, n3, n4, n5, n6, n7, s0, s1, s2, s3, s4, s5, s6, s7, t0, t1, t2, t3, t4, t5, t6, t7,
                u0, u1, u2, u3, u4, u5, u6, u7,
                KIND: tl.constexpr, RANK: tl.constexpr, FLAT: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    BOOL: tl.constexpr = a.dtype.element_ty == tl.int1
    i = block_of(BLOCK, WIDE)
    sizes = (n0, n1, n2, n3, n4, n5, n6, n7)
    p = tl.load(a + (i if FLAT else place(i, sizes, (s0, s1, s2, s3, s4, s5, s6, s7), RANK)), mask=i < elements, other=1)
    q = p
    if b is not None:
        q = tl.load(b + (i if FLAT else place(i, sizes, (t0, t1, t2, t3, t4, t5, t6, t7), RANK)), mask=i < elements, other=1)
    if BOOL:
        p, q = p.to(tl.int8), q.to(tl.int8)
    if KIND == "select":
        which = tl.load(c + (i if FLAT else place(i, sizes, (u0, u1, u2, u3, u4, u5, u6, u7), RANK)), mask=i < elements, other=0)
        z = tl.where(which != 0, p, q)
    elif KIND == "eq":
        z = p == q
    elif KIND == "ne":
        z = p != q
    elif KIND == "lt":
        z = p < q
    elif KIND == "le":
        z = p <= q
    elif KIND == "gt":
        z = p > q
    elif KIND == "ge":
        z = p >= q
    elif p.dtype == tl.float64:
        z = of_reals(p, q, KIND)
    else:
        z = _of_integers(p, q, KIND, BOOL)
    tl.store(y + i, z.to(y.dtype.element_ty), mask=i < elements)


@row()
def arithmetic(call: Call) -> None:
    (y,), kind, n = call.outputs, KINDS[call.attrs["kind"]], count(call.outputs[0].shape)
    given = [x for x in call.inputs if x is not None]
    sizes, walks = collapse(y.shape, *(x.stride for x in given))
    spare = 3 - len(given)
    call.launch(_arithmetic, (ceil_div(n, BLOCK),), *given, *[None] * spare, y, n, *eight(sizes), *(s for w in walks for s in eight(w)), *[1] * (8 * spare),
                KIND=kind, RANK=len(sizes), FLAT=len(sizes) == 1 and all(w == [1] for w in walks),
                WIDE=wide(n, *(reach(sizes, w) for w in walks)), BLOCK=BLOCK)  # fmt: skip
