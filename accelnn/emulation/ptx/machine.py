"""Registers, operands and masks: what an instruction sees of the blocks that run together.

All threads of all these blocks are lanes of numpy arrays; a mask says which take part, None means all. Registers hold unsigned bits and are replaced,
never written into, so a `mov` costs nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..violation import Violation
from .memory import PARAMETERS, Fault, Heap, SharedMemory
from .parser import Instruction, Kernel
from .values import UNSIGNED, Array, decode, encode, is_type, number_type, size_of

Mask = Array | None
Source = Callable[["Machine"], Any]
Target = Callable[["Machine", Any, Mask], None]
Step = Callable[["Machine", Mask], None]
HANDLERS: dict[str, Callable[["Decoder", Instruction], Step]] = {}


def instruction(*names: str) -> Callable[[Callable[["Decoder", Instruction], Step]], Callable[["Decoder", Instruction], Step]]:
    """Marks a function as the decoder of these instructions."""

    def add(function: Callable[[Decoder, Instruction], Step]) -> Callable[[Decoder, Instruction], Step]:
        for name in names:
            HANDLERS[name] = function
        return function

    return add


@dataclass
class Pending:
    """cp.async copies of some lanes that nobody has waited for: lane, number of the lane's group, where to, bytes."""

    lane: Array
    group: Array
    offset: Array
    data: Array


@dataclass
class Machine:
    kernel: Kernel
    heap: Heap
    shared: SharedMemory
    parameters: Array  # the bytes of the parameter space
    grid: tuple[int, int, int]
    threads: tuple[int, int, int]
    blocks: list[tuple[int, int, int]]
    registers: list[Any]
    state: dict[str, Any] = field(default_factory=dict)  # what instruction families keep: mbarriers, wgmma groups

    def __post_init__(self) -> None:
        self.per_block = int(np.prod(self.threads))
        self.lanes = self.per_block * len(self.blocks)
        self.lane = np.arange(self.lanes)
        self.block_of = self.lane // self.per_block
        self.thread = self.lane % self.per_block
        self.warp = self.thread // 32
        self.in_warp = self.thread % 32
        self.base = self.block_of * self.shared.stride
        self.bit = np.left_shift(1, self.warp % 8).astype(np.uint8)
        self.special = self._special()
        self.pending: list[Pending] = []
        self.group = np.zeros(self.lanes, np.int64)
        self.local = np.zeros(self.lanes * max(self.kernel.local_size, 1), np.uint8)
        self.progress = 0  # grows when an mbarrier completes a phase

    def _special(self) -> dict[str, Array]:
        x, y, _ = self.threads
        tid = (self.thread % x, self.thread // x % y, self.thread // (x * y))
        block = np.array(self.blocks)[self.block_of]
        out = {"%laneid": self.in_warp, "%warpid": self.warp, "%nwarpid": np.full(self.lanes, -(-self.per_block // 32)), "%smid": self.block_of}
        for axis, letter in enumerate("xyz"):
            out[f"%tid.{letter}"] = tid[axis]
            out[f"%ctaid.{letter}"] = block[:, axis]
            for name, value in (("ntid", self.threads[axis]), ("nctaid", self.grid[axis]), ("clusterid", 0), ("cluster_ctaid", 0),
                                ("cluster_nctaid", 1), ("nclusterid", self.grid[axis])):  # fmt: skip
                out[f"%{name}.{letter}"] = np.full(self.lanes, value)
        for name, value in (("%cluster_ctarank", 0), ("%cluster_nctarank", 1), ("%gridid", 0), ("%nsmid", 1), ("%clock", 0), ("%clock64", 0),
                            ("%globaltimer", 0), ("%dynamic_smem_size", self.shared.size), ("%total_smem_size", self.shared.size)):  # fmt: skip
            out[name] = np.full(self.lanes, value)
        for name, low in (("%lanemask_lt", 0), ("%lanemask_le", 1)):
            out[name] = (np.left_shift(np.int64(1), self.in_warp + low)) - 1
        out["%lanemask_eq"] = np.left_shift(np.int64(1), self.in_warp)
        out["%lanemask_gt"] = ~out["%lanemask_le"] & 0xFFFFFFFF
        out["%lanemask_ge"] = ~out["%lanemask_lt"] & 0xFFFFFFFF
        return {name: value.astype(np.uint64) for name, value in out.items()}

    def full(self, value: Any, dtype: Any) -> Array:
        """A lane each, of what may be one number for all."""
        return np.ascontiguousarray(np.broadcast_to(np.asarray(value, dtype), (self.lanes,)))

    def active(self, mask: Mask) -> Array:
        return self.lane if mask is None else np.flatnonzero(mask)

    def whole_warps(self, mask: Mask, what: str) -> None:
        """Instructions of a whole warp that only some of its lanes reach are undefined on a GPU."""
        if mask is not None:
            here = mask.reshape(-1, 32)
            if (here.any(1) != here.all(1)).any():
                raise Fault(f"{what}: only some lanes of a warp are here")


class Decoder:
    """Turns operands of one kernel into functions of the machine, once; they are kept with the kernel."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.constants = Heap().add_all(kernel.constants)
        self.slots: dict[tuple[int, str], int] = {}
        self.widths: list[int] = []  # bytes; 0: a predicate
        self.touched: set[int] = set()  # registers of the instruction that is being decoded

    def fault(self, one: Instruction, what: str) -> Violation:
        return Violation(self.kernel.name, f"ptx line {one.line}: {what} [{one.text}]")

    def slot(self, name: str, one: Instruction) -> int:
        level, width, predicate = self.kernel.register_width(name, one.scope)
        key = (level, name)
        if key not in self.slots:
            self.slots[key] = len(self.widths)
            self.widths.append(0 if predicate else width)
        self.touched.add(self.slots[key])
        return self.slots[key]

    def is_register(self, text: str, one: Instruction) -> bool:
        try:
            self.kernel.register_width(text, one.scope)
        except Violation:
            return False
        return True

    def first_registers(self, lanes: int) -> list[Any]:
        """What stands in registers before anything is written: garbage, the same in each run."""
        unsigned = {w: np.full(lanes, int("CD" * w, 16) if w <= 8 else 0, UNSIGNED[min(w, 8)]) for w in (1, 2, 4, 8, 16)}
        off = np.zeros(lanes, bool)
        return [unsigned[w] if w else off for w in self.widths]

    def type_of(self, one: Instruction) -> str:
        """The instruction's last type word."""
        for word in reversed(one.words):
            if is_type(word):
                return word
        raise self.fault(one, "no type")

    def literal(self, text: str, kind: str) -> Any | None:
        if re.fullmatch(r"0[fF][0-9a-fA-F]{8}", text):
            bits: Any = np.uint32(int(text[2:], 16))
            if size_of(kind) == 4:
                return bits.view(np.float32) if kind[0] == "f" else bits
            return np.float64(bits.view(np.float32))
        if re.fullmatch(r"0[dD][0-9a-fA-F]{16}", text):
            bits = np.uint64(int(text[2:], 16))
            return bits.view(np.float64) if kind[0] == "f" else bits
        if re.fullmatch(r"-?(0[xX][0-9a-fA-F]+|\d+)U?", text):
            value = int(text.rstrip("U"), 0)
            if kind == "pred":
                return np.bool_(value)
            width = size_of(kind)
            out = UNSIGNED[width](value & ((1 << 8 * width) - 1))
            return decode(np.array([out]), kind)[0]
        return None

    def symbol(self, text: str) -> int | None:
        """Address of a variable: shared and local ones in their own spaces, parameters in a window of generic addresses."""
        for table in (self.kernel.shared, self.kernel.local, self.constants):
            if text in table:
                return table[text]
        parameter = self.kernel.parameter(text)
        return None if parameter is None else PARAMETERS + parameter.offset

    def source(self, text: str, kind: str, one: Instruction) -> Source:
        """-> function giving the operand's numbers: an array over lanes or, for constants, one number."""
        if text.startswith("!"):
            inner = self.source(text[1:], kind, one)
            return lambda m: ~inner(m)
        constant = self.literal(text, kind)
        if constant is None and text in ("WARP_SZ",):
            constant = np.uint32(32)
        if constant is None and (address := self.symbol(text)) is not None:
            constant = UNSIGNED[size_of(kind)](address)
        if constant is not None:
            return lambda m: constant
        if text == "%pt":
            return lambda m: np.bool_(True)
        if text.startswith("%") and (text in _SPECIAL or "." in text):
            wanted = UNSIGNED[size_of(kind)]
            return lambda m: decode(m.special[text].astype(wanted), kind)
        slot = self.slot(text, one)
        have, want = self.widths[slot], size_of(kind)
        if kind == "pred" or have == 0:
            return lambda m: m.registers[slot]
        if have == want:
            if kind[0] in "bu" and kind not in ("bf16", "bf16x2", "u16x2"):
                return lambda m: m.registers[slot]
            if not kind.endswith("x2") and kind not in ("bf16", "tf32", "e4m3", "e5m2"):
                view = number_type(kind)
                return lambda m: m.registers[slot].view(view)
            return lambda m: decode(m.registers[slot], kind)
        unsigned = UNSIGNED[want]
        return lambda m: decode(m.registers[slot].astype(unsigned), kind)

    def target(self, text: str, kind: str, one: Instruction) -> Target:
        """-> function that puts numbers of `kind` into a register where the mask is set."""
        if text == "_":
            return lambda m, value, mask: None
        slot = self.slot(text, one)
        width = self.widths[slot]
        packed = kind.endswith("x2")
        signed = kind[0] == "s" and not packed

        def put(m: Machine, value: Any, mask: Mask) -> None:
            if width == 0:
                bits = np.asarray(value, bool)
            else:
                bits = encode(np.asarray(value), kind)
                if bits.dtype.itemsize != width:
                    bits = (bits.view(number_type(kind)).astype(number_type(f"s{width * 8}")).view(UNSIGNED[width]) if signed
                            else bits.astype(UNSIGNED[width]))  # fmt: skip
            if bits.shape != (m.lanes,):
                bits = np.ascontiguousarray(np.broadcast_to(bits, (m.lanes,)))
            m.registers[slot] = bits if mask is None else np.where(mask, bits, m.registers[slot])

        return put

    def names(self, text: str) -> list[str]:
        """{a, b} -> [a, b]; a -> [a]."""
        return [p.strip() for p in text.strip("{} \n\t").split(",")]

    def sources(self, text: str, kind: str, one: Instruction) -> list[Source]:
        return [self.source(name, kind, one) for name in self.names(text)]

    def targets(self, text: str, kind: str, one: Instruction) -> list[Target]:
        return [self.target(name, kind, one) for name in self.names(text)]

    def address(self, text: str, one: Instruction) -> Callable[[Machine], Array]:
        """[register + offset] or [symbol + offset] -> 64-bit addresses of all lanes."""
        match = re.fullmatch(r"\[?\s*([%\w$.]+?)\s*(?:\+\s*(-?\w+))?\s*\]?", text)
        if match is None:
            raise self.fault(one, f"address {text}")
        offset = np.uint64(int(match[2] or "0", 0) & (2**64 - 1))
        name = match[1]
        known = self.symbol(name)
        if known is not None or re.fullmatch(r"\d+", name):
            fixed = np.uint64(known if known is not None else int(name)) + offset
            return lambda m: m.full(fixed, np.uint64)
        slot = self.slot(name, one)
        if self.widths[slot] == 8:
            return lambda m: m.registers[slot] + offset
        # 32-bit addresses of shared memory: a negative offset must not carry into the upper half
        return lambda m: (m.registers[slot].astype(np.uint64) + offset) & np.uint64(0xFFFFFFFF)


_SPECIAL = {"%laneid", "%warpid", "%nwarpid", "%smid", "%nsmid", "%gridid", "%clock", "%clock64", "%globaltimer", "%cluster_ctarank", "%cluster_nctarank",
            "%lanemask_lt", "%lanemask_le", "%lanemask_eq", "%lanemask_gt", "%lanemask_ge", "%dynamic_smem_size", "%total_smem_size"}  # fmt: skip
