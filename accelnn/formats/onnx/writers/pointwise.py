"""Operations of elements: by name where ONNX has the same one, else instruction by instruction of the op's program; and arithmetic of integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ....core.dtypes import DType
from ....core.registry import OPCODES, OPS
from ....ops.arithmetic import COMPARISONS, KINDS
from ..step import Step, writes

SAME = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "neg": "Neg", "abs": "Abs", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "tanh": "Tanh",
        "sigmoid": "Sigmoid", "erf": "Erf", "relu": "Relu", "pow": "Pow", "maximum": "Max", "minimum": "Min", "gelu": "Gelu", "mish": "Mish",
        "hardswish": "HardSwish", "softsign": "Softsign", "floor": "Floor", "ceil": "Ceil", "round": "Round", "sign": "Sign",
        "reciprocal": "Reciprocal", "sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "Asin", "acos": "Acos", "atan": "Atan", "sinh": "Sinh",
        "cosh": "Cosh", "asinh": "Asinh", "acosh": "Acosh", "atanh": "Atanh", "isnan": "IsNaN", "isinf": "IsInf", "eq": "Equal", "lt": "Less",
        "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual"}  # fmt: skip
SAME_CODE = {"copy": "Identity", "neg": "Neg", "abs": "Abs", "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "min": "Min", "max": "Max",
             "sqrt": "Sqrt", "exp": "Exp", "log": "Log", "tanh": "Tanh", "sigmoid": "Sigmoid", "erf": "Erf", "relu": "Relu",
             "reciprocal": "Reciprocal", "floor": "Floor", "rint": "Round", "sign": "Sign", "pow": "Pow", "sin": "Sin", "cos": "Cos", "gelu": "Gelu",
             "hardswish": "HardSwish"}  # fmt: skip
COMPARED = {"eq": "Equal", "lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual"}


def _floats(s: Step, inputs: Any) -> list[str]:
    return [s.float(x, s.spec(i)) for i, x in enumerate(inputs)]


for _op, _type in SAME.items():
    writes(_op)(lambda s, *x, t=_type: s.add(t, *_floats(s, x)))


@writes("ne")
def _(s: Step, *x: str) -> Any:
    return s.add("Not", s.add("Equal", *_floats(s, x)))


@writes("gelu_tanh")
def _(s: Step, x: str) -> Any:
    return s.add("Gelu", *_floats(s, [x]), approximate="tanh")


@writes("silu")
def _(s: Step, x: str) -> Any:
    (y,) = _floats(s, [x])
    return s.add("Mul", y, s.add("Sigmoid", y))


for _op, _type, _attr in (("leaky_relu", "LeakyRelu", "slope"), ("elu", "Elu", "alpha"), ("celu", "Celu", "alpha")):
    writes(_op)(lambda s, x, t=_type, a=_attr: s.add(t, *_floats(s, [x]), alpha=float(s[a])))


@writes("selu")
def _(s: Step, x: str) -> Any:
    return s.add("Selu", *_floats(s, [x]), alpha=1.6732632423543772, gamma=1.0507009873554805)


@writes("hardsigmoid")
def _(s: Step, x: str) -> Any:
    return s.add("HardSigmoid", *_floats(s, [x]), alpha=1 / 6, beta=0.5)


@writes("hardtanh")
def _(s: Step, x: str) -> Any:
    return s.add("Clip", *_floats(s, [x]), s.const(s["low"]), s.const(s["high"]))


@writes("where")
def _(s: Step, condition: str, a: str, b: str) -> Any:
    c = condition if s.spec(0).dtype == DType.bool else s.cast(condition, DType.bool)
    return s.add("Where", c, s.float(a, s.spec(1)), s.float(b, s.spec(2)))


def log1p(s: Step, x: str) -> str:
    """log(1 + x), exact near 0: u = 1 + x is rounded, log(u) x / (u - 1) makes up for it (Kahan)."""
    one, half = s.const(1.0), s.const(0.5)
    u = s.add("Add", x, one)
    left = s.add("Sub", u, one)
    same = s.add("Equal", left, s.const(0.0))
    near = s.add("Mul", s.add("Log", u), s.add("Div", x, s.add("Where", same, one, left)))
    return str(s.add("Where", s.add("Less", s.add("Abs", x), half), s.add("Where", same, x, near), s.add("Log", u)))


def expm1(s: Step, x: str) -> str:
    """e^x - 1, exact near 0: 2 t / (1 - t) with t = tanh(x / 2)."""
    one = s.const(1.0)
    t = s.add("Tanh", s.add("Mul", x, s.const(0.5)))
    near = s.add("Div", s.add("Add", t, t), s.add("Sub", one, t))
    return str(s.add("Where", s.add("Less", s.add("Abs", x), one), near, s.add("Sub", s.add("Exp", x), one)))


class Run:
    """The instructions of one program: each value as a float, and as a bool where it is one."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.floats: dict[int, str] = {}
        self.bools: dict[int, str] = {}

    def number(self, i: int) -> str:
        if i not in self.floats:
            self.floats[i] = self.step.cast(self.bools[i], DType.float32)
        return self.floats[i]

    def truth(self, i: int) -> str:
        if i not in self.bools:
            self.bools[i] = self.step.cast(self.floats[i], DType.bool)
        return self.bools[i]

    def instruction(self, at: int, code: str, a: int, b: int, c: int) -> None:
        s, n = self.step, self.number
        if code in COMPARED:
            self.bools[at] = s.add(COMPARED[code], n(a), n(b))
        elif code == "ne":
            self.bools[at] = s.add("Not", s.add("Equal", n(a), n(b)))
        elif code == "within":
            self.bools[at] = s.add("And", s.add("Less", n(b), n(a)), s.add("Less", n(a), n(c)))
        elif code in SAME_CODE:
            operands = {"pow": 2, "add": 2, "sub": 2, "mul": 2, "div": 2, "min": 2, "max": 2}.get(code, 1)
            self.floats[at] = s.add(SAME_CODE[code], *[n(v) for v in (a, b)[:operands]])
        else:
            self.floats[at] = MORE[code](s, self, a, b, c)


def _slope(kind: str) -> Callable[..., str]:
    """The derivative, by its formula."""

    def written(s: Step, r: Run, a: int, b: int, c: int) -> str:
        x, one, half = r.number(a), s.const(1.0), s.const(0.5)
        if kind == "silu":
            y = s.add("Sigmoid", x)
            return str(s.add("Mul", y, s.add("Add", one, s.add("Mul", x, s.add("Sub", one, y)))))
        if kind == "gelu":
            phi = s.add("Mul", half, s.add("Add", one, s.add("Erf", s.add("Mul", x, s.const(np.sqrt(0.5))))))
            density = s.add("Mul", s.const(1 / np.sqrt(2 * np.pi)), s.add("Exp", s.add("Mul", s.add("Mul", x, x), s.const(-0.5))))
            return str(s.add("Add", phi, s.add("Mul", x, density)))
        middle = s.add("Add", s.add("Mul", x, s.const(1 / 3)), half)
        upper = s.add("Where", s.add("GreaterOrEqual", x, s.const(3.0)), one, middle)
        return str(s.add("Where", s.add("LessOrEqual", x, s.const(-3.0)), s.const(0.0), upper))

    return written


MORE: dict[str, Callable[..., str]] = {
    "fma": lambda s, r, a, b, c: s.add("Add", s.add("Mul", r.number(a), r.number(b)), r.number(c)),
    "rsqrt": lambda s, r, a, b, c: s.add("Reciprocal", s.add("Sqrt", r.number(a))),
    "log1p": lambda s, r, a, b, c: log1p(s, r.number(a)), "expm1": lambda s, r, a, b, c: expm1(s, r.number(a)),
    "square": lambda s, r, a, b, c: s.add("Mul", r.number(a), r.number(a)),
    "select": lambda s, r, a, b, c: s.add("Where", r.truth(a), r.number(b), r.number(c)),
    "silu": lambda s, r, a, b, c: s.add("Mul", r.number(a), s.add("Sigmoid", r.number(a))),
    "hardsigmoid": lambda s, r, a, b, c: s.add("HardSigmoid", r.number(a), alpha=1 / 6, beta=0.5),
    "leaky": lambda s, r, a, b, c: s.add("Where", s.add("Greater", r.number(a), s.const(0.0)), r.number(b), s.add("Mul", r.number(b), r.number(c))),
    "clamp": lambda s, r, a, b, c: s.add("Min", s.add("Max", r.number(a), r.number(b)), r.number(c)),
    "gate": lambda s, r, a, b, c: s.add("Where", s.add("Greater", r.number(a), s.const(0.0)), r.number(b), s.const(0.0)),
    "silu_slope": _slope("silu"), "gelu_slope": _slope("gelu"), "hardswish_slope": _slope("hardswish"),
}  # fmt: skip


def write_program(s: Step, *inputs: str | None) -> Any:
    """The op's pointwise program, one or a few ONNX nodes an instruction."""
    program = OPS[s.op].build_program(len(inputs), s.node.attrs)
    return _written(s, inputs, program.code, program.outputs)


@writes("pointwise")
def _(s: Step, *inputs: str | None) -> Any:
    """A chain of ops that passes made one: its program is an attribute (kernels/pointwise/pointwise.h)."""
    flat, names = list(s["program"]), {number: name for name, (number, _) in OPCODES.items()}
    outputs, rest = flat[1 : 1 + flat[0]], flat[1 + flat[0] :]
    return _written(s, inputs, [(names[rest[i]], *rest[i + 1 : i + 4]) for i in range(0, len(rest), 4)], outputs)


def _written(s: Step, inputs: Sequence[str | None], code: Sequence[Any], outputs: Sequence[int]) -> Any:
    run = Run(s)
    for i, x in enumerate(inputs):
        assert x is not None
        if s.spec(i).dtype == DType.bool:
            run.bools[i] = x
        else:
            run.floats[i] = s.float(x, s.spec(i))
    for at, (name, a, b, c) in enumerate(code, len(inputs)):
        if name == "const":
            run.floats[at] = s.const(np.int32(a).view(np.float32))
        else:
            run.instruction(at, name, a, b, c)
    found = tuple(run.truth(o) if s.outputs[i].dtype == DType.bool else run.number(o) for i, o in enumerate(outputs))
    return found if len(found) > 1 else found[0]


# Integers


def _quotient(s: Step, kind: str, a: str, b: str, zero: str, one: str) -> str:
    """Without a division by 0 (which gives 0) or of the smallest number by -1 (which wraps): both stop a processor."""
    minus = s.add("Equal", b, s.add("Neg", one))
    none = s.add("Equal", b, zero)
    safe = s.add("Where", s.add("Or", minus, none), one, b)
    if kind == "div":
        q = s.add("Where", minus, s.add("Sub", zero, a), s.add("Div", a, safe))
    else:
        q = s.add("Mod", a, safe, fmod=int(kind == "fmod"))
    return str(s.add("Where", none, zero, q))


def _shift(s: Step, kind: str, a: str, b: str, bits: int, work: DType) -> str:
    """ONNX shifts unsigned numbers only."""
    unsigned, storage = DType.uint64 if work == DType.int64 else DType.uint32, work.storage
    zero = s.const(0, storage)
    inside = s.add("And", s.add("GreaterOrEqual", b, zero), s.add("Less", b, s.const(bits, storage)))
    by = s.cast(s.add("Where", inside, b, zero), unsigned)
    # what is left of the number: all ones where it is below 0, which a right shift lets in
    sign = s.add("Where", s.add("Less", a, zero), s.const(-1, storage), zero) if kind == "shift_right" else zero
    turned = s.add("BitwiseXor", a, sign) if kind == "shift_right" else a
    back = s.cast(s.add("BitShift", s.cast(turned, unsigned), by, direction="RIGHT" if kind == "shift_right" else "LEFT"), work)
    back = s.add("BitwiseXor", back, sign) if kind == "shift_right" else back
    return str(s.add("Where", inside, back, sign))


SAME_KIND = {"add": "Add", "sub": "Sub", "mul": "Mul", "max": "Max", "min": "Min", "and": "BitwiseAnd", "or": "BitwiseOr", "xor": "BitwiseXor", "abs": "Abs",
             "sign": "Sign", "not": "BitwiseNot", "sqrt": "Sqrt", "exp": "Exp", "log": "Log", "floor": "Floor", "ceil": "Ceil", "round": "Round"}  # fmt: skip
WRAPPING = ("add", "sub", "mul", "and", "or", "xor", "not", "neg", "select", "eq", "ne", "shift_left")  # the same bits, signed or not


@writes("arithmetic")
def _(s: Step, *x: str) -> Any:
    kind, dtype = KINDS[s.whole("kind")], s.spec().dtype
    if dtype == DType.bool and kind in ("max", "min", "and", "or", "xor", "not"):
        return s.add({"max": "Or", "min": "And", "and": "And", "or": "Or", "xor": "Xor", "not": "Not"}[kind], *x)
    work = DType.int64 if dtype == DType.uint64 and kind in WRAPPING else s.counted(dtype)
    v = [operand if i == 2 or work == dtype else s.cast(operand, work) for i, operand in enumerate(x)]
    zero, one = (s.const(n, work.storage) for n in (0, 1))
    if kind in COMPARISONS:
        return s.add("Not", s.add("Equal", *v)) if kind == "ne" else s.add(COMPARED[kind], *v)
    if dtype == DType.float64 and kind in ("div", "mod", "fmod"):
        y = _of_reals(s, kind, *v)
    elif kind in ("div", "mod", "fmod"):
        y = _quotient(s, kind, v[0], v[1], zero, one)
    elif kind.startswith("shift"):
        y = _shift(s, kind, v[0], v[1], 8 * dtype.itemsize, work)
    elif kind == "neg":
        y = s.add("Neg", v[0]) if dtype == DType.float64 else s.add("Sub", zero, v[0])
    elif kind == "select":
        y = s.add("Where", v[2], v[0], v[1])
    elif kind == "pow":
        s.refuse("powers of integers: ONNX's runtimes take them in float64, which is not exact and does not wrap")
    else:
        y = s.add(SAME_KIND[kind], *v)
    return y if work == dtype else s.cast(y, dtype)


def _of_reals(s: Step, kind: str, a: str, b: str) -> str:
    if kind == "div":
        return str(s.add("Div", a, b))
    rest = s.add("Mod", a, b, fmod=1)
    if kind == "fmod":
        return str(rest)
    zero = s.const(0, np.float64)       # the divisor's sign
    other = s.add("And", s.add("Not", s.add("Equal", rest, zero)), s.add("Xor", s.add("Less", rest, zero), s.add("Less", b, zero)))
    return str(s.add("Where", other, s.add("Add", rest, b), rest))


ACTIVATIONS = (None, "relu", "gelu", "silu", "sigmoid", "tanh", "hardsigmoid", "hardswish")


def activate(s: Step, y: str, activation: int) -> str:
    """A fused activation of matmul and conv2d."""
    name = ACTIVATIONS[int(activation)]
    if name is None:
        return y
    if name == "silu":
        return str(s.add("Mul", y, s.add("Sigmoid", y)))
    if name == "hardsigmoid":
        return str(s.add("HardSigmoid", y, alpha=1 / 6, beta=0.5))
    return str(s.add(SAME[name], y))


__all__ = ["activate", "write_program"]
