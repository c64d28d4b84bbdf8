"""What of a launch's arguments a compiled kernel depends on: Triton's own rules, stated without Triton, so that a kernel which was compiled elsewhere
is found again where there is none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .arguments import Pointer

# What Triton's signatures call the element types (triton._utils.type_canonicalisation_dict).
SHORT = {
    "int1": "u1", "int8": "i8", "uint8": "u8", "int16": "i16", "uint16": "u16", "int32": "i32", "uint32": "u32", "int64": "i64", "uint64": "u64",
    "float16": "fp16", "bfloat16": "bf16", "float32": "fp32", "float64": "fp64", "float8e4nv": "fp8e4nv", "float8e5": "fp8e5", "float8e4b8": "fp8e4b8",
    "float8e5b16": "fp8e5b16",
}  # fmt: skip


@dataclass(frozen=True)
class Signature:
    """types: of every parameter, "*fp32", "i32" ..., "constexpr" where its value is compiled in (constants: by its number). marks: by number, "D" where
    the value is divisible by 16, "S" where 32 bits of offset are enough."""

    types: dict[str, str]
    constants: dict[int, Any]
    marks: dict[int, str]

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """What a launch passes, in order."""
        return tuple((n, t) for n, t in self.types.items() if t != "constexpr")

    def key(self, warps: int, stages: int) -> str:
        """The launch's kind as text. TypeError where a constant has no text of its own."""
        constants = {i: _plain(value) for i, value in self.constants.items()}
        return json.dumps([list(self.types.values()), constants, self.marks, warps, stages], sort_keys=True, allow_nan=False)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return {"float": value.hex()}
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    name = str(getattr(value, "name", "")).removeprefix("triton.language.")
    if (name := SHORT.get(name, name)) in SHORT.values():  # tl.float32: "fp32" by its own name, "triton.language.float32" where Triton is not
        return {"dtype": name}
    raise TypeError(f"a constant is a {type(value).__name__}: expected numbers, texts, element types, None and tuples of them")


def specialize(name: str, kernel: Any, args: Sequence[Any], constants: Mapping[str, Any], hip: bool = False) -> Signature:
    """Of a launch of `kernel` with these run-time arguments, in order, and constants: ints that are 1 are folded, as is None."""
    run_time = [n for n in kernel.arg_names if n not in constants]
    unknown = sorted(set(constants) - set(kernel.arg_names))
    if unknown or len(args) != len(run_time):
        raise TypeError(f"{name}: got {len(args)} arguments and the constants {sorted(constants)}, expected arguments for {run_time}, no {unknown}")
    types: dict[str, str] = {}
    folded: dict[int, Any] = {}
    marks: dict[int, str] = {}
    given = iter(args)
    for i, parameter in enumerate(kernel.params):
        value = constants[parameter.name] if parameter.name in constants else next(given)
        free = not getattr(parameter, "do_not_specialize", False)
        if parameter.name in constants or value is None or (free and type(value) is int and value == 1):
            types[parameter.name], folded[i] = "constexpr", value
            continue
        mark = ""
        if isinstance(value, Pointer):
            types[parameter.name] = "*" + SHORT[value.triton_name]
            # "S": the back end's own rule says the same, but imports torch to say it.
            mark = ("D" if free and value.address % 16 == 0 else "") + ("S" if hip and value.nbytes < 2**31 else "")
        elif isinstance(value, bool):
            types[parameter.name] = "u1"
        elif isinstance(value, int):
            types[parameter.name] = "i32" if -(2**31) <= value < 2**31 else "i64" if value < 2**63 else "u64"
            mark = "D" if free and value % 16 == 0 else ""
        elif isinstance(value, float):
            types[parameter.name] = "fp32"
        else:
            raise TypeError(f"{name}: argument {parameter.name} is a {type(value).__name__}: expected Pointer, int, float, bool or None")
        if mark:
            marks[i] = mark
    return Signature(types, folded, marks)
