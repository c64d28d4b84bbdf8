"""PTX text -> kernels: parameters, shared symbols, a flat list of instructions with branch targets resolved.

Only what compilers write is read: one `.entry` after another, nested scopes (inline assembly declares registers and labels of its own), no functions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ..violation import Violation

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
_DIRECTIVE_LINE = re.compile(r"^[ \t]*\.(loc|file|section)\b[^\n]*", re.M)
_SHARED = re.compile(r"(?:\.extern\s+)?\.shared\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+([\w$.]+)(?:\[(\d*)\])?")
_ENTRY = re.compile(r"\.entry\s+([\w$]+)\s*\((.*?)\)\s*([^{]*)\{", re.S)
_GLOBAL = re.compile(r"\.(?:global|const)\s+(?:\.align\s+\d+\s+)?\.(\w+)\s+([\w$.]+)(?:\[(\d+)\])?(?:\s*=\s*\{?([^;{}]*)\}?)?\s*;")
_PARAM = re.compile(r"\.param\s+(?:\.align\s+\d+\s+)?\.(\w+)\s+(?:\.ptr\s+(?:\.\w+\s+)?(?:\.align\s+\d+\s+)?)?([\w$]+)(?:\[(\d+)\])?")
_REGISTER = re.compile(r"\.reg\s+\.(\w+)\s+(.*)", re.S)
_LABEL = re.compile(r"([\w$]+)\s*:(?!:)")
_PREDICATE = re.compile(r"@(!?)\s*([%\w$]+)\s+")
_OPERAND = re.compile(r"\{[^}]*\}|\[[^\]]*\]|[^,\s][^,]*")
_WIDTH = {"pred": 1, "b8": 1, "u8": 1, "s8": 1, "b16": 2, "u16": 2, "s16": 2, "f16": 2, "bf16": 2,
          "b32": 4, "u32": 4, "s32": 4, "f32": 4, "b64": 8, "u64": 8, "s64": 8, "f64": 8, "f16x2": 4, "b128": 16}  # fmt: skip


@dataclass
class Instruction:
    name: str  # mma
    words: list[str]  # sync aligned m16n8k16 ...
    operands: list[str]
    line: int
    text: str
    scope: tuple[int, ...]
    predicate: str | None = None
    negated: bool = False
    target: int = -1  # of a branch: index of an instruction


@dataclass
class Parameter:
    name: str
    kind: str
    size: int
    offset: int


@dataclass
class Kernel:
    name: str
    parameters: list[Parameter]
    instructions: list[Instruction]
    shared: dict[str, int]  # symbol -> offset
    shared_size: int
    registers: dict[tuple[int, str], int]  # (scope, name or prefix) -> bytes, 1 for a predicate
    predicates: set[tuple[int, str]]
    local: dict[str, int] = field(default_factory=dict)
    local_size: int = 0
    constants: dict[str, bytes] = field(default_factory=dict)  # variables of the module in global memory: what they hold when it is loaded
    version: int = 0  # of PTX: 87 for 8.7
    decoded: Any = None  # what the scheduler made of it

    def parameter(self, name: str) -> Parameter | None:
        return next((p for p in self.parameters if p.name == name), None)

    def register_width(self, name: str, scope: tuple[int, ...]) -> tuple[int, int, bool]:
        """-> (scope that declares it, bytes, is a predicate)."""
        prefix = re.sub(r"\d+$", "", name)
        for level in reversed(scope):
            for key in ((level, name), (level, prefix + "<")):
                if key in self.registers:
                    return level, self.registers[key], key in self.predicates
        raise Violation(self.name, f"{name} is no register that is declared")


def _blank(match: re.Match[str]) -> str:
    """Keeps line numbers: what is cut leaves its line breaks."""
    return "\n" * match[0].count("\n")


def _declare(kernel: Kernel, scope: int, text: str) -> None:
    match = _REGISTER.match(text)
    if match is None:
        return
    kind, names = match.groups()
    for name in re.split(r"\s*,\s*", names.strip()):
        key = (scope, re.sub(r"<\d+>$", "<", name))
        kernel.registers[key] = _WIDTH[kind]
        if kind == "pred":
            kernel.predicates.add(key)


def _instruction(text: str, line: int, scope: tuple[int, ...]) -> Instruction:
    body, predicate, negated = text, None, False
    match = _PREDICATE.match(body)
    if match:
        predicate, negated, body = match[2], bool(match[1]), body[match.end() :]
    head, rest = [*re.split(r"\s+", body, maxsplit=1), ""][:2]
    name, *words = head.split(".")
    return Instruction(name, words, [o.strip() for o in _OPERAND.findall(rest)], line, " ".join(text.split()), scope, predicate, negated)


def _place(table: dict[str, int], size: int, name: str, align: int, length: int) -> int:
    start = -(-size // align) * align
    table[name] = start
    return start + length


def _symbol(kernel: Kernel, text: str) -> None:
    """A variable of shared or local memory."""
    match = _SHARED.search(text)
    if match:
        align, kind, name, length = match.groups()
        count = 1 if length is None else int(length or 0)
        kernel.shared_size = _place(kernel.shared, kernel.shared_size, name, max(int(align or 1), 16), count * _WIDTH.get(kind, 1))
        return
    match = re.match(r"\.local\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+([\w$]+)(?:\[(\d+)\])?", text)
    if match:
        kernel.local_size = _place(kernel.local, kernel.local_size, match[3], 16, int(match[4] or 1) * _WIDTH.get(match[2], 1))


def _content(kind: str, length: str, values: str) -> bytes:
    """A variable's bytes: those that are given, then zeros."""
    width = _WIDTH[kind]
    given = [int(v, 0) & ((1 << 8 * width) - 1) for v in values.replace(",", " ").split()]
    return b"".join(v.to_bytes(width, "little") for v in given).ljust(width * int(length or 1), b"\0")


def _body(kernel: Kernel, source: str, start: int) -> int:
    """Reads instructions from behind the opening brace to its twin; -> position behind that."""
    position, scope, scopes = start, [0], 0
    labels: dict[tuple[int, str], int] = {}
    line, counted = source.count("\n", 0, start) + 1, start
    skip = re.compile(r"\s*")
    while scope:
        position = skip.match(source, position).end()  # type: ignore[union-attr]
        character = source[position]
        if character == "{":
            scopes += 1
            scope.append(scopes)
            position += 1
            continue
        if character in "};":
            if character == "}":
                scope.pop()
            position += 1
            continue
        label = _LABEL.match(source, position)
        if label:
            labels[scope[-1], label[1]] = len(kernel.instructions)
            position = label.end()
            continue
        end = source.index(";", position)
        text = source[position:end].strip()
        line, counted = line + source.count("\n", counted, position), position
        position = end + 1
        if text.startswith(".reg"):
            _declare(kernel, scope[-1], text)
        elif text.startswith("."):
            _symbol(kernel, text)
        else:
            kernel.instructions.append(_instruction(text, line, tuple(scope)))
    for one in kernel.instructions:
        if one.name == "bra":
            found = [labels[level, one.operands[0]] for level in reversed(one.scope) if (level, one.operands[0]) in labels]
            if not found:
                raise Violation(kernel.name, f"ptx line {one.line}: no label {one.operands[0]}")
            one.target = found[0]
    return position


@lru_cache(maxsize=256)
def parse(text: str) -> dict[str, Kernel]:
    """All kernels of a PTX module. Remembered: the same text is read once."""
    source = _DIRECTIVE_LINE.sub("", _COMMENT.sub(_blank, text))
    kernels: dict[str, Kernel] = {}
    first = source.find(".entry")
    version = re.search(r"\.version\s+(\d+)\.(\d+)", source)
    outside = [m[0] for m in _SHARED.finditer(source[: max(first, 0)])]
    constants = {name: _content(kind, length, values) for kind, name, length, values in _GLOBAL.findall(source[: max(first, 0)])}
    position = 0
    while match := _ENTRY.search(source, position):
        parameters, offset = [], 0
        for kind, name, count in _PARAM.findall(match[2]):
            size = _WIDTH[kind] * int(count or 1)
            align = 64 if count and int(count) >= 128 else _WIDTH[kind]
            offset = -(-offset // align) * align
            parameters.append(Parameter(name, kind, size, offset))
            offset += size
        kernel = Kernel(match[1], parameters, [], {}, 0, {}, set(), constants=constants, version=int(version[1]) * 10 + int(version[2]) if version else 0)
        for symbol in outside:
            if "[]" not in symbol:
                _symbol(kernel, symbol)
        position = _body(kernel, source, match.end())
        for symbol in outside:
            if "[]" in symbol:  # dynamic shared memory lies behind what has a size
                kernel.shared_size = -(-kernel.shared_size // 1024) * 1024
                _symbol(kernel, symbol)
        kernels[kernel.name] = kernel
    return kernels
