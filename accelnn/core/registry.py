"""What an operation is: one `Op` a row of accelnn/ops. How it is computed stands in kernels/."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast

import numpy as np

from .. import _C
from .dims import Shape
from .errors import GraphError, ShapeError
from .graph import Spec

Strides = tuple[Any, ...]
ViewRule = Callable[..., "tuple[Shape, Strides, Any] | None"]  # (shape, stride, out_shape, attrs) -> shape, stride, offset; None: not without a copy


class _Kernel(dict[str, Any]):
    """An entry of _C.ops(); its rows are brought when somebody asks: all of them would be a sixth of the time of `import accelnn`."""

    def __missing__(self, key: str) -> Any:
        if key != "rows":
            raise KeyError(key)
        self[key] = _C.rows(self["number"])
        return self[key]


KERNELS: dict[str, _C.OpTable] = {op["name"]: cast(Any, _Kernel(op)) for op in _C.ops(rows=False)}
OPCODES: dict[str, tuple[int, int]] = {name: (i, n) for i, (name, n) in enumerate(_C.opcodes())}


class Program:
    """A pointwise program in single-assignment form: values 0..n_inputs-1 are inputs, then one value an instruction."""

    def __init__(self, n_inputs: int) -> None:
        self.n_inputs = n_inputs
        self.code: list[tuple[str, int, int, int]] = []
        self.outputs: list[int] = []

    def emit(self, opcode: str, *operands: int) -> int:
        """Appends an instruction and returns its value number; equal instructions are kept once."""
        instruction = (opcode, *(*operands, 0, 0, 0)[:3])
        if instruction not in self.code:
            self.code.append(instruction)  # type: ignore[arg-type]
        return self.n_inputs + self.code.index(instruction)  # type: ignore[arg-type]

    def const(self, x: float) -> int:
        return self.emit("const", int(np.float32(x).view(np.int32)))

    def __getattr__(self, opcode: str) -> Callable[..., int]:
        if opcode not in OPCODES:
            raise AttributeError(opcode)
        return lambda *operands: self.emit(opcode, *operands)

    def encode(self) -> list[int]:
        """The `program` attribute of the pointwise kernel (kernels/pointwise/pointwise.h)."""
        flat = [len(self.outputs), *self.outputs]
        for opcode, a, b, c in self.code:
            flat += [OPCODES[opcode][0], a, b, c]
        return flat


VARARGS = 4  # inspect.CO_VARARGS, whose import costs more


@dataclass(eq=False)
class Op:
    """One operation.

    shape(*specs, **attrs) -> Spec or tuple of Specs; raises ShapeError/DTypeError.
    reference(*float64 or integer arrays, **attrs) -> array(s): the slow truth.
    Exactly one of these says how it runs: `kernel` (a folder of kernels/), `program` (a pointwise program), `view` (no work at all).
    vjp(*dy, *inputs, *outputs, **attrs) -> one cotangent an input (None: no gradient), written in ops, so that it can be differentiated again; there
    is a dy for every output. `composition`, for a fused op, is the same function in plain ops: its derivative comes from there when no vjp is given.
    samples() yields (tuple of input Specs or arrays, attrs): contract tests, gradient checks and the quick benchmark draw from it.
    cost(*specs, **attrs) -> (floating-point operations, bytes moved).
    bound(*float64 arrays, **attrs) -> the error, element by element, that the contract allows (where one can be proved: gamma_K |A||B| for a product), a
    tuple for several outputs;
    without one a row may err twice as much as the reference carried out in float32, plus 4 ulp of the largest result."""

    name: str
    shape: Callable[..., Any]
    reference: Callable[..., Any]
    kernel: str | None = None
    program: Callable[..., Any] | None = None
    view: ViewRule | None = None
    strided: bool = False  # the kernel takes any strides; otherwise operands are made contiguous first
    composition: Callable[..., Any] | None = None
    samples: Callable[[], Sequence[tuple[tuple[Any, ...], dict[str, Any]]]] = tuple
    cost: Callable[..., tuple[int, int]] | None = None
    bound: Callable[..., Any] | None = None
    doc: str = ""
    gradient: Callable[..., Any] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.name in OPS:
            raise GraphError(f"op {self.name} is registered twice")
        if self.kernel is None and self.program is None and self.view is None:
            self.kernel = self.name
        if self.program is not None or self.view is not None:
            self.strided = True
        self.number: int = KERNELS[self.kernel or "pointwise"]["number"]
        self.call = _C.Caller(self.name)  # eager, traced or taped: Tensors in, a Tensor or a tuple of them out
        self._kernel_attrs = {a["name"] for a in KERNELS[self.kernel]["attrs"]} if self.kernel else set()
        OPS[self.name] = self

    def vjp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator that gives the gradient rule."""
        self.gradient = rule
        return rule

    def specs(self, inputs: Sequence[Spec | None], attrs: dict[str, Any]) -> tuple[Spec, ...]:
        """The Specs of the outputs."""
        code = getattr(self.program, "__code__", None)
        if code is not None and not code.co_flags & VARARGS:  # shape rules of elementwise functions take any number of operands
            names = [n for n in code.co_varnames[1 : code.co_argcount] if n not in attrs]
            if not len(names) - len(self.program.__defaults__ or ()) <= len(inputs) <= len(names):  # type: ignore[union-attr]
                raise ShapeError(f"{self.name}: {len(inputs)} operands; it takes {', '.join(names)}")
        out = self.shape(*inputs, **attrs)
        return (out,) if isinstance(out, Spec) else tuple(out)

    def kernel_attrs(self, attrs: dict[str, Any], n_inputs: int) -> dict[str, Any]:
        """The attributes as the kernel knows them (a pointwise op's are its program)."""
        if self.program is not None:
            return {"program": encoded_program(self.name, n_inputs, freeze(attrs))}
        return {k: v for k, v in attrs.items() if k in self._kernel_attrs}

    def packed(self, attrs: dict[str, Any], n_inputs: int) -> Any:
        """The attributes in C++ form, made once for each combination."""
        return _packed(self.name, n_inputs, freeze(attrs))

    def build_program(self, n_inputs: int, attrs: dict[str, Any]) -> Program:
        assert self.program is not None
        p = Program(n_inputs)
        out = self.program(p, *range(n_inputs), **attrs)
        p.outputs = list(out) if isinstance(out, tuple) else [out]
        return p


OPS: dict[str, Op] = {}


def freeze(attrs: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in attrs.items())


@lru_cache(maxsize=4096)
def encoded_program(name: str, n_inputs: int, attrs: tuple[tuple[str, Any], ...]) -> tuple[int, ...]:
    return tuple(OPS[name].build_program(n_inputs, dict(attrs)).encode())


@lru_cache(maxsize=4096)
def _packed(name: str, n_inputs: int, attrs: tuple[tuple[str, Any], ...]) -> Any:
    op = OPS[name]
    return _C.Attrs(op.number, op.kernel_attrs(dict(attrs), n_inputs))
