"""mov, conversions, loads and stores, cp.async and atomics."""

from __future__ import annotations

from typing import Any

import numpy as np

from .machine import Decoder, Machine, Mask, Pending, Step, instruction
from .memory import LOCAL, PARAMETERS, SHARED, Fault
from .parser import Instruction
from .values import SIGNED, UNSIGNED, Array, decode, encode, is_float, is_type, number_type, size_of

ROUND: dict[str, Any] = {"rzi": np.trunc, "rni": np.rint, "rmi": np.floor, "rpi": np.ceil}
SPACES = ("global", "shared", "param", "local", "const")


@instruction("mov")
def _mov(d: Decoder, one: Instruction) -> Step:
    kind = d.type_of(one)
    to, of = one.operands
    if to[0] == "{":
        parts = d.names(to)
        width = size_of(kind) // len(parts)
        source, puts = d.source(of, f"b{size_of(kind) * 8}", one), [d.target(p, f"b{width * 8}", one) for p in parts]

        def unpack(m: Machine, mask: Mask) -> None:
            split = m.full(source(m), UNSIGNED[size_of(kind)])[:, None].view(UNSIGNED[width])
            for i, put in enumerate(puts):
                put(m, split[:, i], mask)

        return unpack
    if of[0] == "{":
        parts = d.names(of)
        width = size_of(kind) // len(parts)
        sources, put_all = [d.source(p, f"b{width * 8}", one) for p in parts], d.target(to, f"b{size_of(kind) * 8}", one)

        def pack(m: Machine, mask: Mask) -> None:
            joined = np.stack([m.full(s(m), UNSIGNED[width]) for s in sources], -1)
            put_all(m, joined.view(UNSIGNED[size_of(kind)])[:, 0], mask)

        return pack
    plain = kind if kind == "pred" else f"b{size_of(kind) * 8}"
    source, put = d.source(of, plain, one), d.target(to, plain, one)
    return lambda m, mask: put(m, source(m), mask)


@instruction("cvta")
def _cvta(d: Decoder, one: Instruction) -> Step:
    """Generic addresses: global ones are themselves, the other spaces lie in windows of their own."""
    space = next((w.split("::")[0] for w in one.words if w.split("::")[0] in SPACES), "")
    window = np.uint64({"shared": SHARED, "local": LOCAL}.get(space, 0))
    kind = d.type_of(one)
    source, put = d.source(one.operands[1], kind, one), d.target(one.operands[0], kind, one)
    if "to" in one.words:
        return lambda m, mask: put(m, np.asarray(source(m)) & ~window, mask)
    return lambda m, mask: put(m, np.asarray(source(m)) | window, mask)


@instruction("mapa")
def _mapa(d: Decoder, one: Instruction) -> Step:
    """Clusters hold one block, so that a neighbour's address is the own one."""
    kind = d.type_of(one)
    source, put = d.source(one.operands[1], kind, one), d.target(one.operands[0], kind, one)
    return lambda m, mask: put(m, source(m), mask)


def _to_integer(value: Any, one: Instruction, kind: str) -> Array:
    """Float to integer: rounds as asked for, NaN is 0, what is too large becomes the limit."""
    whole = next((ROUND[w] for w in one.words if w in ROUND), np.trunc)(np.nan_to_num(np.asarray(value).astype(np.float64), posinf=np.inf, neginf=-np.inf))
    limits = np.iinfo(number_type(kind))
    inside = np.clip(whole, float(limits.min), float(limits.max))
    out = np.where(inside >= float(limits.max), 0, inside).astype(number_type(kind))
    return np.where(inside >= float(limits.max), number_type(kind)(limits.max), out)


@instruction("cvt")
def _cvt(d: Decoder, one: Instruction) -> Step:
    kinds = [w for w in one.words if is_type(w)]
    to, of = kinds[0], kinds[-1]
    put = d.target(one.operands[0], to, one)
    if to.endswith("x2") and not of.endswith("x2"):
        high, low = (d.source(text, of, one) for text in one.operands[1:3])
        relu = "relu" in one.words

        def two(m: Machine, mask: Mask) -> None:
            value = np.stack([m.full(low(m), np.float32), m.full(high(m), np.float32)], -1)
            put(m, np.maximum(value, 0) if relu else value, mask)

        return two
    source = d.source(one.operands[1], of, one)
    if is_float(of) and not is_float(to):
        return lambda m, mask: put(m, _to_integer(source(m), one, to), mask)
    if not is_float(of) and not is_float(to):
        if "sat" in one.words:
            limits = np.iinfo(number_type(to))
            return lambda m, mask: put(m, np.clip(np.asarray(source(m)).astype(object), limits.min, limits.max).astype(number_type(to)), mask)
        # a signed source spreads its sign also into an unsigned result
        middle = number_type(to)
        return lambda m, mask: put(m, np.asarray(source(m)).astype(middle), mask)
    rounding = next((ROUND[w] for w in one.words if w in ROUND), None)
    toward_zero = "rz" in one.words and size_of(to) < size_of(of)

    def step(m: Machine, mask: Mask) -> None:
        value = np.asarray(source(m))
        if rounding is not None:
            value = rounding(value)
        elif toward_zero:
            value = _toward_zero(value, to)
        if "sat" in one.words:
            value = np.clip(np.nan_to_num(value, nan=0.0), 0, 1)
        if "relu" in one.words:
            value = np.maximum(value, 0)
        put(m, value, mask)

    return step


def _toward_zero(value: Array, kind: str) -> Array:
    """The number of `kind` next to value on zero's side."""
    near = decode(encode(value, kind), kind)
    away = np.abs(near.astype(np.float64)) > np.abs(value.astype(np.float64))
    bits = encode(near, kind)
    return np.where(away, decode(bits - bits.dtype.type(1), kind), near)


@instruction("ld", "ldu")
def _load(d: Decoder, one: Instruction) -> Step:
    kind = d.type_of(one)
    width = size_of(kind)
    parts = d.names(one.operands[0])
    puts = [d.target(p, kind if kind[0] == "s" else f"b{width * 8}", one) for p in parts]
    address, space = d.address(one.operands[1], one), space_of(one)
    known = d.kernel.parameter(one.operands[1].strip("[] ").split("+")[0]) if space == "param" else None
    if known is not None:
        tail = one.operands[1].strip("[] ").split("+")
        start = known.offset + (int(tail[1], 0) if len(tail) > 1 else 0)

        def parameter(m: Machine, mask: Mask) -> None:
            for i, put in enumerate(puts):
                at = start + i * width
                bits = np.frombuffer(m.parameters[at : at + width].tobytes(), UNSIGNED[width])[0]
                put(m, bits.view(number_type(kind)) if kind[0] == "s" else bits, mask)

        return parameter

    def step(m: Machine, mask: Mask) -> None:
        addresses = address(m)
        lanes: Any = slice(None) if mask is None else np.flatnonzero(mask)
        words = load_words(m, space, addresses[lanes], lanes, width, len(parts))
        for i, put in enumerate(puts):
            column = words[:, i] if mask is None else spread(m, words[:, i], lanes)
            put(m, column.view(SIGNED[width]) if kind[0] == "s" else column, mask)

    return step


def spread(m: Machine, values: Array, lanes: Array) -> Array:
    """Values of some lanes as an array over all."""
    out = np.zeros(m.lanes, values.dtype)
    out[lanes] = values
    return out


def space_of(one: Instruction) -> str:
    return next((w.split("::")[0] for w in one.words if w.split("::")[0] in SPACES), "")


def resolve(space: str, addresses: Array) -> tuple[str, Array]:
    """The space that generic addresses lie in, and their addresses there. Lanes that mix spaces in one access do not occur in compiled code."""
    if space == "shared" and (addresses >= SHARED).any():
        return space, addresses & ~np.uint64(SHARED)
    if space == "param" and (addresses >= PARAMETERS).any():    # of a structure: nvcc takes its address once and adds to it
        return space, addresses & np.uint64(PARAMETERS - 1)
    if space:
        return space, addresses
    first = int(addresses[0])
    for name, window in (("param", PARAMETERS), ("local", LOCAL), ("shared", SHARED)):
        if first >= window:
            if (addresses < window).any():
                raise Fault(f"generic addresses of {name} and other memory in one access")
            return name, addresses - np.uint64(window)
    return "global", addresses


def load_words(m: Machine, space: str, addresses: Array, lanes: Any, width: int, count: int) -> Array:
    space, addresses = resolve(space, addresses)
    if space == "shared":
        return m.shared.load(addresses, m.base[lanes], width, count, m.bit[lanes])
    if space == "local":
        at = _local(m, addresses, lanes, width * count)
        return np.ascontiguousarray(m.local[at]).view(UNSIGNED[width])
    if space == "param":
        at = addresses.astype(np.int64)[:, None] + np.arange(width * count)
        return np.ascontiguousarray(m.parameters[at]).view(UNSIGNED[width])
    return m.heap.load(addresses, width, count)


def _local(m: Machine, addresses: Array, lanes: Any, size: int) -> Array:
    offset = addresses.astype(np.int64)
    if (offset + size > m.kernel.local_size).any():
        raise Fault(f"access of {size} bytes out of bounds in local memory of {m.kernel.local_size} bytes")
    out: Array = (m.lane[lanes] * m.kernel.local_size + offset)[:, None] + np.arange(size)
    return out


@instruction("st")
def _store(d: Decoder, one: Instruction) -> Step:
    width = size_of(d.type_of(one))
    sources = d.sources(one.operands[1], f"b{width * 8}", one)
    address, space = d.address(one.operands[0], one), space_of(one)
    bulk = "async" in one.words
    if bulk:
        raise d.fault(one, "st.async is not emulated")

    def step(m: Machine, mask: Mask) -> None:
        lanes: Any = slice(None) if mask is None else np.flatnonzero(mask)
        words = np.stack([m.full(s(m), UNSIGNED[width]) for s in sources], -1)[lanes]
        store_words(m, space, address(m)[lanes], lanes, words)

    return step


def store_words(m: Machine, space: str, addresses: Array, lanes: Any, words: Array) -> None:
    space, addresses = resolve(space, addresses)
    if space == "shared":
        m.shared.store(addresses, m.base[lanes], words, m.bit[lanes])
    elif space == "local":
        at = _local(m, addresses, lanes, words.dtype.itemsize * words.shape[1])
        m.local[at] = np.ascontiguousarray(words).view(np.uint8)
    else:
        m.heap.store(addresses, words)


def copy_async(d: Decoder, one: Instruction) -> Step:
    """cp.async.{ca,cg}.shared.global [to], [from], size, bytes-to-read: what is not read becomes zero. It lands at its wait."""
    to, of = d.address(one.operands[0], one), d.address(one.operands[1], one)
    size = int(one.operands[2], 0)
    count = d.source(one.operands[3], "u32", one) if len(one.operands) > 3 else None
    if size not in ((16,) if "cg" in one.words else (4, 8, 16)):
        raise d.fault(one, f"cp.async of {size} bytes: .cg copies 16, .ca 4, 8 or 16")

    def step(m: Machine, mask: Mask) -> None:
        lanes = m.active(mask)
        _, target = resolve("shared", to(m)[lanes])
        wanted = np.full(len(lanes), size) if count is None else m.full(count(m), np.uint32)[lanes].astype(np.int64)
        data = np.zeros((len(lanes), size), np.uint8)
        if (wanted > size).any():
            raise Fault(f"cp.async of {size} bytes is told to read {int(wanted.max())}")
        some = np.flatnonzero(wanted > 0)
        if some.size:
            if (wanted[some] == size).all():
                data[some] = m.heap.load(of(m)[lanes][some], min(size, 8), max(size // 8, 1)).view(np.uint8)
            else:
                for i in some:
                    n = int(wanted[i])
                    data[i, :n] = m.heap.load(of(m)[lanes[i]] + np.arange(n, dtype=np.uint64), 1)[:, 0]
        offset = m.shared.launch_copy(target, m.base[lanes], size, m.bit[lanes])
        m.pending.append(Pending(lanes, m.group[lanes].copy(), offset, data))

    return step


def _commit(m: Machine, mask: Mask) -> None:
    if mask is None:
        m.group = m.group + 1
    else:
        m.group = m.group + mask


def _wait(keep: int, everything: bool) -> Step:
    """Each thread waits for its own groups, all but the last `keep`."""

    def step(m: Machine, mask: Mask) -> None:
        left: list[Pending] = []
        for one in m.pending:
            done = np.ones(len(one.lane), bool) if everything else one.group < m.group[one.lane] - keep
            if mask is not None:
                done &= mask[one.lane]
            if done.all():
                m.shared.land_copy(one.offset, one.data, m.bit[one.lane])
            elif done.any():
                m.shared.land_copy(one.offset[done], one.data[done], m.bit[one.lane[done]])
                left.append(Pending(one.lane[~done], one.group[~done], one.offset[~done], one.data[~done]))
            else:
                left.append(one)
        m.pending = left

    return step


def cp_async(d: Decoder, one: Instruction) -> Step:
    if "commit_group" in one.words:
        return _commit
    if "wait_group" in one.words or "wait_all" in one.words:
        everything = "wait_all" in one.words
        return _wait(0 if everything else int(one.operands[0], 0), everything)
    if "mbarrier" in one.words:
        raise d.fault(one, "cp.async.mbarrier is not emulated")
    return copy_async(d, one)


ATOMIC: dict[str, Any] = {"add": lambda a, b: a + b, "max": max, "min": min, "exch": lambda a, b: b, "and": lambda a, b: a & b, "or": lambda a, b: a | b,
                          "xor": lambda a, b: a ^ b, "inc": lambda a, b: 0 if a >= b else a + 1,
                          "dec": lambda a, b: b if a == 0 or a > b else a - 1}  # fmt: skip


def update(m: Machine, space: str, addresses: Array, lanes: Array, kind: str, name: str, value: Array, swap: Array | None) -> Array:
    """One lane after the other, in order. -> what stood there, as bits."""
    width = size_of(kind)
    where, at = resolve(space, addresses)
    if where == "shared":
        row = m.shared.place(at, m.base[lanes], width, "atomic") // width
        memory = m.shared.bytes.view(UNSIGNED[width])
        m.shared.initialised.view(UNSIGNED[width])[row] = UNSIGNED[width](int("01" * width, 16))
    else:
        row = m.heap.place(at, width, "atomic") // width
        memory = m.heap.bytes.view(UNSIGNED[width])
        if m.heap.fresh and not (m.heap.initialised.reshape(-1, width)[row]).all():
            raise Fault(f"atomic on global memory that nobody has written, first of {len(lanes)} lanes at {int(addresses[0]):#x}")
    old = np.zeros(len(lanes), UNSIGNED[width])
    scalar = number_type(kind)
    for i in range(len(lanes)):
        bits = memory[row[i] : row[i] + 1]
        old[i] = bits[0]
        here = decode(bits, kind)[0]
        if name == "cas":
            assert swap is not None
            new = swap[i] if here == value[i] else here
        else:
            new = ATOMIC[name](here, value[i])
        memory[row[i]] = encode(np.array([new]).astype(scalar), kind)[0]
    return old


@instruction("atom", "red")
def _atomic(d: Decoder, one: Instruction) -> Step:
    """`.noftz` and orders change nothing here: lanes follow one another, blocks too."""
    if "async" in one.words:
        raise d.fault(one, "red.async is not emulated")
    kind = d.type_of(one)
    name = next(w for w in one.words if w in ATOMIC or w == "cas")
    if name in ("and", "or", "xor", "exch", "cas") and kind[0] == "b" and kind != "bf16":
        kind = "u" + kind[1:]
    operands = one.operands if one.name == "atom" else ["_", *one.operands]
    parts = kind[:-2] if kind.endswith("x2") else kind
    address, space = d.address(operands[1], one), space_of(one)
    values = d.sources(operands[2], kind, one)
    swap = d.source(operands[3], kind, one) if name == "cas" else None
    puts = d.targets(operands[0], f"b{size_of(kind) * 8}", one) if operands[0] != "_" else []

    def step(m: Machine, mask: Mask) -> None:
        lanes, base = m.active(mask), address(m)
        for i, source in enumerate(values):
            at = base[lanes] + np.uint64(i * size_of(kind))
            if parts != kind:
                both = np.broadcast_to(np.asarray(source(m)), (m.lanes, 2))[lanes]
                halves = [update(m, space, at + np.uint64(h * size_of(parts)), lanes, parts, name, both[:, h], None) for h in (0, 1)]
                old = np.ascontiguousarray(np.stack(halves, -1)).view(UNSIGNED[size_of(kind)])[:, 0]
            else:
                number = m.full(source(m), number_type(kind))[lanes]
                other = None if swap is None else m.full(swap(m), number_type(kind))[lanes]
                old = update(m, space, at, lanes, kind, name, number, other)
            if puts:
                puts[i](m, spread(m, old, lanes), mask)

    return step


