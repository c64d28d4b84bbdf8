"""Tensor maps and the copies of the tensor memory accelerator (cp.async.bulk).

A tensor map is 128 bytes here as on the chip, but with a layout of our own: kernels build maps with tensormap.replace and copy them as bytes, and only
copies look inside."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from .barriers import find, settle
from .machine import Decoder, Machine, Mask, Source, Step, instruction
from .memory import GLOBAL, ONES, PARAMETERS, Fault
from .moves import ATOMIC, cp_async, load_words, resolve, store_words
from .parser import Instruction
from .values import UNSIGNED, Array, decode, encode, is_type

LAYOUT = np.dtype([("global_address", "<u8"), ("global_stride", "<u8", 4), ("rank", "<u4"), ("elemtype", "<u4"), ("swizzle_mode", "<u4"),
                   ("interleave_layout", "<u4"), ("fill_mode", "<u4"), ("global_dim", "<u4", 5), ("box_dim", "<u4", 5), ("element_stride", "<u4", 5),
                   ("unused", "<u4", 2)])  # fmt: skip
ELEMENT = {0: "u8", 1: "u16", 2: "u32", 3: "s32", 4: "u64", 5: "s64", 6: "f16", 7: "f32", 8: "f32", 9: "f64", 10: "bf16", 11: "tf32", 12: "tf32"}
CODE_OF_SIZE = {1: 0, 2: 1, 4: 2, 8: 4}
SPAN = {0: 0, 1: 32, 2: 64, 3: 128}  # bytes of a swizzle
SIZE = {"u8": 1, "u16": 2, "u32": 4, "s32": 4, "u64": 8, "s64": 8, "f16": 2, "f32": 4, "f64": 8, "bf16": 2, "tf32": 4}


@dataclass
class TensorMap:
    """What cuTensorMapEncodeTiled is given, outermost dimension first. strides: bytes, of all dimensions but the innermost."""

    address: Any  # of the first element; a Pointer until the launch places it
    element_size: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    box: tuple[int, ...]
    swizzle: int = 0
    fill_nan: bool = False

    def pack(self) -> Array:
        one = np.zeros((), LAYOUT)
        rank = len(self.shape)
        one["global_address"], one["rank"], one["elemtype"] = self.address, rank - 1, CODE_OF_SIZE[self.element_size]
        one["swizzle_mode"], one["fill_mode"] = self.swizzle, self.fill_nan
        one["global_dim"][:rank], one["box_dim"][:rank], one["element_stride"][:rank] = self.shape[::-1], self.box[::-1], 1
        one["global_stride"][: rank - 1] = self.strides[::-1]
        return np.frombuffer(one.tobytes(), np.uint8)


def swizzled(address: Array, span: int) -> Array:
    """The address bits above 128 bytes stir the 16-byte chunks of a row of `span` bytes."""
    return address if span == 0 else address ^ (((address >> 7) & (span // 16 - 1)) << 4)


def unpack(m: Machine, address: int) -> np.void:
    """The tensor map at a generic address: a parameter, or global memory."""
    if address % 64:
        raise Fault(f"tensor map at {address:#x} is not aligned to 64 bytes")
    if address >= PARAMETERS:
        raw = m.parameters[address - PARAMETERS : address - PARAMETERS + 128].tobytes()
    else:
        m.heap.place(np.array([address, address + 64], np.uint64), 64, "load")
        raw = m.heap.read(address, 128).tobytes()
    found: np.void = np.frombuffer(raw, LAYOUT)[0]
    return found


def _tile(m: Machine, tensor: np.void, corner: list[int], shared: int) -> tuple[Array, Array, Array, int, str]:
    """-> per element of the box: inside the tensor?, global address, address in shared memory; bytes of an element; its type."""
    rank = int(tensor["rank"]) + 1
    if len(corner) != rank:
        raise Fault(f"tensor map of rank {rank}, {len(corner)} coordinates")
    kind = ELEMENT[int(tensor["elemtype"])]
    size, box = SIZE[kind], [int(b) for b in tensor["box_dim"][:rank]]
    span = SPAN[int(tensor["swizzle_mode"])]
    if int(tensor["interleave_layout"]):
        raise Fault("tensor map with an interleaved layout: not emulated")
    if span and box[0] * size > span:
        raise Fault(f"tensor map: a row of the box has {box[0] * size} bytes, more than the swizzle's {span}")
    if box[0] * size % 16:
        raise Fault(f"tensor map: a row of the box has {box[0] * size} bytes, no multiple of 16")
    if shared % 128:
        raise Fault(f"TMA: shared address {shared:#x} is not aligned to 128 bytes")
    if int(tensor["global_address"]) % 16 or any(int(s) % 16 for s in tensor["global_stride"][: rank - 1]):
        raise Fault(f"tensor map: address {int(tensor['global_address']):#x} or strides {tensor['global_stride'][: rank - 1].tolist()} are no multiples of 16")
    index = np.meshgrid(*(np.arange(b) for b in box), indexing="ij")
    inside = np.ones(index[0].shape, bool)
    place = np.full(index[0].shape, int(tensor["global_address"]), np.int64)
    at = np.zeros(index[0].shape, np.int64)
    pitch = size
    for axis in range(rank):
        step = size if axis == 0 else int(tensor["global_stride"][axis - 1])
        coordinate = index[axis] * int(tensor["element_stride"][axis]) + corner[axis]
        inside &= (coordinate >= 0) & (coordinate < int(tensor["global_dim"][axis]))
        place += coordinate * step
        at += index[axis] * pitch
        pitch *= box[axis]
    return inside.reshape(-1), place.reshape(-1), swizzled(shared + at.reshape(-1), span), size, kind


def _heap_bytes(m: Machine, place: Array, size: int, what: str) -> Array:
    offset = m.heap.place(np.ascontiguousarray(place).view(np.uint64), size, what)
    at: Array = offset[:, None] + np.arange(size)
    if what == "load" and m.heap.fresh and not m.heap.initialised[at].all():
        raise Fault("TMA load of global memory that nobody has written")
    return at


def _shared_bytes(m: Machine, at: Array, size: int, block: int) -> Array:
    if int(at.min()) < 0 or int(at.max()) + size > m.shared.size:
        raise Fault(f"TMA out of bounds in shared memory: up to {int(at.max()) + size:#x}, the block has {m.shared.size} bytes")
    out: Array = at[:, None] + np.arange(size) + block * m.shared.stride
    return out


def write_shared(m: Machine, where: Array, data: Array, barrier: Any) -> None:
    """Bytes of a copy: they are there, but who reads them before waiting for the mbarrier is at fault. where: byte by byte."""
    if m.shared.held[where].any():
        raise Fault("race: TMA load into shared memory that a wgmma or TMA store in flight still reads")
    if m.shared.flying[where].any():
        raise Fault("race: TMA load into shared memory that another copy, not waited for, writes")
    if m.shared.read[where].any():
        raise Fault("race: TMA load into shared memory that a warp read since the last barrier")
    m.shared.bytes[where], m.shared.initialised[where], m.shared.flying[where] = data, 1, 1
    m.shared.flight_used = True
    barrier.landed.append(where.reshape(-1))


def read_shared(m: Machine, where: Array, width: int, what: str) -> Array:
    """Elements of `width` bytes that the async proxy reads, by their number in shared memory."""
    kind = UNSIGNED[width]
    if m.shared.flying.view(kind)[where].any():
        raise Fault(f"race: {what} reads shared memory while a copy to it has not been waited for")
    if m.shared.generic.view(kind)[where].any():
        raise Fault(f"{what} reads shared memory that a thread stored without a fence.proxy.async behind it")
    if m.shared.wrote.view(kind)[where].any():
        raise Fault(f"race: {what} reads shared memory that a warp wrote since the last barrier")
    if not (m.shared.initialised.view(kind)[where] == ONES[width]).all():
        raise Fault(f"{what} reads shared memory that nobody has written")
    out: Array = m.shared.bytes.view(kind)[where]
    return out


def _coordinates(d: Decoder, text: str, one: Instruction) -> tuple[Any, list[Source]]:
    match = re.fullmatch(r"\[\s*([%\w$.]+)\s*,\s*\{([^}]*)\}\s*\]", text)
    if match is None:
        raise d.fault(one, f"tensor operand {text}")
    return d.address(match[1], one), [d.source(c.strip(), "s32", one) for c in match[2].split(",")]


def _tensor_copy(d: Decoder, one: Instruction) -> Step:
    if any(w.startswith(("im2col", "multicast", "tile::")) for w in one.words):
        raise d.fault(one, "only tiled copies within one block are emulated")
    spaces = [w.split("::")[0] for w in one.words if w.split("::")[0] in ("shared", "global")]
    load = spaces[0] == "shared"
    text = one.operands[1 if load else 0]
    tensor_address, corner = _coordinates(d, text, one)
    shared_address = d.address(one.operands[0 if load else 1], one)
    barrier_address = d.address(one.operands[2], one) if load else None
    reduction = next((w for w in one.words if w in ATOMIC), None) if one.words[0] == "reduce" else None

    def step(m: Machine, mask: Mask) -> None:
        for lane in m.active(mask).tolist():
            block = int(m.block_of[lane])
            tensor = unpack(m, int(tensor_address(m)[lane]))
            at = [int(m.full(c(m), np.int32)[lane]) for c in corner]
            _, shared = resolve("shared", shared_address(m)[lane : lane + 1])
            inside, place, target, size, kind = _tile(m, tensor, at, int(shared[0]))
            where = _shared_bytes(m, target, size, block)
            if barrier_address is not None:
                _, key = resolve("shared", barrier_address(m)[lane : lane + 1])
                barrier = find(m, lane, int(key[0]))
                data = np.zeros(where.shape, np.uint8)
                if int(tensor["fill_mode"]):
                    data[:] = np.frombuffer(encode(np.array([np.nan]), kind).tobytes(), np.uint8)
                if inside.any():
                    data[inside] = m.heap.bytes[_heap_bytes(m, place[inside], size, "load")]
                write_shared(m, where, data, barrier)
                barrier.bytes -= where.size
                settle(m, barrier)
            elif inside.any():
                data = read_shared(m, where, 1, "TMA store")[inside]
                there = _heap_bytes(m, place[inside], size, "store")
                if reduction is not None:
                    old = decode(np.ascontiguousarray(m.heap.bytes[there]).view(f"u{size}")[:, 0], kind)
                    new = decode(np.ascontiguousarray(data).view(f"u{size}")[:, 0], kind)
                    function = {"min": np.minimum, "max": np.maximum}.get(reduction, ATOMIC[reduction])
                    data = encode(function(old, new), kind)[:, None].view(np.uint8)
                m.heap.bytes[there], m.heap.initialised[there] = data, 1
                _hold(m, where, lane)

    return step


def _hold(m: Machine, where: Array, lane: int) -> None:
    """A store reads its bytes until the thread that issued it waits for the group."""
    m.shared.held[where] |= np.uint8(128)
    m.shared.held_used = True
    m.state.setdefault("stores", []).append([lane, None, where.reshape(-1)])


def _store_groups(one: Instruction) -> Step:
    """cp.async.bulk.commit_group and wait_group of TMA stores: groups are counted per thread."""
    if "commit_group" in one.words:

        def commit(m: Machine, mask: Mask) -> None:
            groups = m.state.setdefault("store_groups", np.zeros(m.lanes, np.int64))
            here = set(m.active(mask).tolist())
            for entry in m.state.get("stores", []):
                if entry[1] is None and entry[0] in here:
                    entry[1] = int(groups[entry[0]])
            groups[m.active(mask)] += 1

        return commit
    keep = int(one.operands[0], 0)

    def wait(m: Machine, mask: Mask) -> None:
        groups = m.state.setdefault("store_groups", np.zeros(m.lanes, np.int64))
        here = set(m.active(mask).tolist())
        entries = m.state.get("stores", [])
        done = [e for e in entries if e[0] in here and e[1] is not None and e[1] < groups[e[0]] - keep]
        m.state["stores"] = [e for e in entries if not any(e is x for x in done)]
        for e in done:
            m.shared.held[e[2]] &= np.uint8(127)
        for e in m.state["stores"]:
            m.shared.held[e[2]] |= np.uint8(128)

    return wait


def _plain_bulk(d: Decoder, one: Instruction) -> Step:
    """cp.async.bulk: a run of bytes."""
    spaces = [w.split("::")[0] for w in one.words if w.split("::")[0] in ("shared", "global")]
    load = spaces[0] == "shared"
    to, of = d.address(one.operands[0], one), d.address(one.operands[1], one)
    size = d.source(one.operands[2], "u32", one)
    barrier_address = d.address(one.operands[3], one) if load else None

    def step(m: Machine, mask: Mask) -> None:
        for lane in m.active(mask).tolist():
            n = int(m.full(size(m), np.uint32)[lane])
            source, target = int(of(m)[lane]), int(to(m)[lane])
            if n % 16 or source % 16 or target % 16:
                raise Fault(f"cp.async.bulk of {n} bytes from {source:#x} to {target:#x}: size and addresses must be multiples of 16")
            _, shared = resolve("shared", np.array([target if load else source], np.uint64))
            where = _shared_bytes(m, int(shared[0]) + np.arange(n), 1, int(m.block_of[lane]))
            there = _heap_bytes(m, (source if load else target) + np.arange(n), 1, "load" if load else "store")
            if barrier_address is not None:
                _, key = resolve("shared", barrier_address(m)[lane : lane + 1])
                barrier = find(m, lane, int(key[0]))
                write_shared(m, where, m.heap.bytes[there], barrier)
                barrier.bytes -= n
                settle(m, barrier)
            else:
                m.heap.bytes[there], m.heap.initialised[there] = read_shared(m, where, 1, "bulk store"), 1
                _hold(m, where, lane)

    return step


@instruction("cp")
def _cp(d: Decoder, one: Instruction) -> Step:
    if "bulk" not in one.words:
        return cp_async(d, one)
    if "commit_group" in one.words or "wait_group" in one.words:
        return _store_groups(one)
    if "prefetch" in one.words:
        return lambda m, mask: None
    return _tensor_copy(d, one) if "tensor" in one.words else _plain_bulk(d, one)


@instruction("tensormap")
def _tensormap(d: Decoder, one: Instruction) -> Step:
    """tensormap.replace writes one field; tensormap.cp_fenceproxy copies a map from shared to global memory."""
    if one.words[0] != "replace":
        to, of = d.address(one.operands[0], one), d.address(one.operands[1], one)

        def copy(m: Machine, mask: Mask) -> None:
            lanes = m.active(mask)[m.in_warp[m.active(mask)] == 0]
            for i in range(32):
                step = np.uint64(4 * i)
                words = load_words(m, "shared", of(m)[lanes] + step, lanes, 4, 1)
                store_words(m, "global", to(m)[lanes] + step, lanes, words)

        return copy
    field = next(w for w in one.words if w in LAYOUT.names)  # type: ignore[operator]
    address, indexed = d.address(one.operands[0], one), len(one.operands) > 2
    order = int(one.operands[1], 0) if indexed else 0
    kind = next(w for w in reversed(one.words) if is_type(w))
    value = d.source(one.operands[-1], kind, one)
    item, start = LAYOUT.fields[field][0].base, int(LAYOUT.fields[field][1])  # type: ignore[index]
    # Assemblers before PTX 8.6 take strides in units of 16 bytes; compilers know and write them so.
    shift = 4 if field == "global_stride" and d.kernel.version <= 85 else 0
    space = next((w.split("::")[0] for w in one.words if w.split("::")[0] in ("shared", "global")), "")

    def replace(m: Machine, mask: Mask) -> None:
        lanes = m.active(mask)
        number = m.full(value(m), f"u{4 if kind == 'b32' else 8}")[lanes].astype(np.uint64) << np.uint64(shift)
        if field == "global_address":
            low = int(number.min())
            if low < GLOBAL:
                raise Fault(f"tensormap.replace: {low:#x} is no global address")
        store_words(m, space, address(m)[lanes] + np.uint64(start + order * item.itemsize), lanes, number.astype(item)[:, None])

    return replace
