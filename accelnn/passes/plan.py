"""Graph -> Plan: the bytes that the engine runs (csrc/engine/plan.h), and the `.accel` file around them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _C
from ..core.dims import AnySize, Dim, Size
from ..core.dtypes import DType
from ..core.errors import AttributeValueError, GraphError, ShapeError
from ..core.graph import Graph, Node, every_node
from ..core.lazy import Lazy
from ..core.registry import KERNELS
from ..core.tensor import Tensor
from .plan_memory import END, Buffer, Schedule, ScheduledFlow, Window, schedule

ALIGN = 64
HEADER, SECTION = struct.Struct("<8sIIQQ"), struct.Struct("<IIQQ")  # csrc/engine/plan.h
SECTIONS = {"strings": 1, "numbers": 2, "dims": 3, "buffers": 4, "values": 5, "attrs": 6, "operands": 7, "calls": 8, "blocks": 9, "ports": 10, "weights": 11,
            "flows": 12, "slices": 13, "graph": 64}  # fmt: skip
TERMS = {"constant": 0, "dim": 1, "add": 2, "sub": 3, "mul": 4, "floordiv": 5}
STORAGE = {"temporary": 0, "input": 1, "output": 2, "state": 3, "constant": 4}
FLOWS = {"branch": 0, "loop": 1}
ATTR_KINDS = {"integer": 0, "real": 1, "integers": 2}
NO_VALUE = 0xFFFFFFFF
MAX_RANK = 8
MUCH = 1 << 22  # bytes: what making so much has taken is given back to the system


class _Writer:
    """Collects the sections; equal texts, expressions, values and constants are written once."""

    def __init__(self) -> None:
        self.strings = bytearray()
        self.numbers: list[int] = []
        self.dims: list[Dim] = []
        self.tables: dict[str, list[bytes]] = {name: [] for name in ("buffers", "values", "attrs", "operands", "calls", "ports")}
        self.weights: list[tuple[int, Any]] = []  # (offset, bytes) of each constant
        self.weight_bytes = 0
        self.texts: dict[str, bytes] = {}
        self.exprs: dict[tuple[int, ...], bytes] = {}
        self.buffer_numbers: dict[Any, int] = {}
        self.value_numbers: dict[Any, int] = {}
        self.offsets: dict[int, int] = {}  # id of a constant's tensor -> offset in the weights
        self.contents: dict[tuple[int, int], list[tuple[int, Any]]] = {}  # (bytes, checksum) -> the constants of which that holds

    def text(self, s: str) -> bytes:
        if s not in self.texts:
            raw = s.encode()[:1024]
            self.texts[s] = struct.pack("<II", len(self.strings), len(raw))
            self.strings += raw
        return self.texts[s]

    def terms(self, size: AnySize) -> list[tuple[int, int]]:
        """The size in postfix order."""
        if not isinstance(size, Size):
            return [(TERMS["constant"], int(size))]
        code: list[tuple[int, int]] = []
        for atoms, coefficient in size.terms.items():
            part = [] if coefficient == 1 and atoms else [(TERMS["constant"], coefficient)]
            for a in atoms:
                known = bool(part)
                if isinstance(a, Dim):
                    part.append((TERMS["dim"], self.dim(a)))
                else:
                    part += [*self.terms(a.numerator), (TERMS["constant"], a.denominator), (TERMS["floordiv"], 0)]
                if known:
                    part.append((TERMS["mul"], 0))
            code += part + ([(TERMS["add"], 0)] if code else [])
        return code

    def dim(self, d: Dim) -> int:
        for i, known in enumerate(self.dims):
            if known.name == d.name:
                return i
        self.dims.append(d)
        return len(self.dims) - 1

    def expr(self, size: AnySize) -> bytes:
        flat = tuple(x for pair in self.terms(size) for x in pair)
        if flat not in self.exprs:
            self.exprs[flat] = struct.pack("<II", len(self.numbers), len(flat) // 2)
            self.numbers += flat
        return self.exprs[flat]

    def buffer(self, b: Buffer) -> int:
        offset, length = self.constant(b.data) if b.storage == "constant" else (0, 0)
        key: Any = id(b) if b.storage == "temporary" else (b.storage, offset, length) if b.storage == "constant" else (b.storage, b.port)
        if key not in self.buffer_numbers:
            temporary = b.storage == "temporary"
            touched = [t for t in b.touched if t != END]
            first, last = (min(touched), max(touched)) if temporary else (0, 0)
            size = self.expr(b.elements * b.dtype.itemsize if temporary else 0)
            record = struct.pack("<II", STORAGE[b.storage], b.port) + size + struct.pack("<QQII", offset, length, first, last)
            self.buffer_numbers[key] = self.row("buffers", record)
        return self.buffer_numbers[key]

    def constant(self, tensor: Any) -> tuple[int, int]:
        """(offset, bytes) in the weights. Equal constants lie there once: a quantized network repeats its zero points layer after layer."""
        if id(tensor) in self.offsets:
            return self.offsets[id(tensor)], tensor.spec.dtype.itemsize * int(np.prod(tensor.shape, dtype=np.int64))
        if isinstance(tensor, Lazy):
            at, size = -(-self.weight_bytes // ALIGN) * ALIGN, _size(tensor)
            self.weight_bytes = at + size
            self.weights.append((at, tensor))
            self.offsets[id(tensor)] = at
            return at, size
        raw = _bytes_of(tensor)
        known = self.contents.setdefault((raw.size, _C.checksum(raw)), [])
        offset = next((at for at, other in known if np.array_equal(other, raw)), None)
        if offset is None:
            offset = -(-self.weight_bytes // ALIGN) * ALIGN
            self.weight_bytes = offset + raw.size
            self.weights.append((offset, raw))
            known.append((offset, raw))
        self.offsets[id(tensor)] = offset
        return offset, raw.size

    def row(self, table: str, record: bytes) -> int:
        self.tables[table].append(record)
        return len(self.tables[table]) - 1

    def value(self, w: Window | None) -> int:
        if w is None:
            return NO_VALUE
        rank = len(w.spec.shape)
        if rank > MAX_RANK:
            raise ShapeError(f"a value of {rank} dims; {MAX_RANK} are the most")
        pad = [self.expr(0)] * (MAX_RANK - rank)
        shape, stride = [[*map(self.expr, sizes), *pad] for sizes in (w.spec.shape, w.stride)]
        record = struct.pack("<IBBH", self.buffer(w.buffer), w.spec.dtype, rank, 0) + self.expr(w.offset) + b"".join(shape) + b"".join(stride)
        if record not in self.value_numbers:
            self.value_numbers[record] = self.row("values", record)
        return self.value_numbers[record]

    def attrs(self, op: str, given: dict[str, Any]) -> tuple[int, int]:
        first = len(self.tables["attrs"])
        for a in KERNELS[op]["attrs"]:
            value = given.get(a["name"], [] if a["kind"] == "integers" else a["default"])
            count = 0
            if a["kind"] == "real":
                raw = struct.pack("<d", value)
            elif a["kind"] == "integer":
                if isinstance(value, Size):
                    raise ShapeError(f"{op}: {a['name']} = {value} is not known before the run")
                if not -(1 << 63) <= int(value) < 1 << 63:
                    raise AttributeValueError(f"{op}: {a['name']} = {value} needs more than 64 bits")
                raw = struct.pack("<q", int(value))
            else:
                count = len(value)
                raw = struct.pack("<q", len(self.numbers) if count else 0)
                self.numbers += [int(x) for x in value]
            self.row("attrs", struct.pack("<II", ATTR_KINDS[a["kind"]], count) + raw)
        return first, len(self.tables["attrs"]) - first

    def schedule(self, s: Schedule) -> None:
        for call in s.calls:
            if len(call.inputs) > KERNELS[call.op]["max_in"]:
                raise GraphError(f"{call.op}: too many operands")
            first_attr, n_attrs = self.attrs(call.op, call.attrs)
            numbers = [self.value(w) for w in (*call.inputs, *call.outputs)]
            first = len(self.tables["operands"])
            for n in numbers:
                self.row("operands", struct.pack("<I", n))
            counts = struct.pack("<6I", first_attr, n_attrs, first, len(call.inputs), len(call.outputs), 0)
            self.row("calls", self.text(call.op) + self.text(call.label) + counts)

    def ports(self, kind: int, windows: Iterable[Window], names: Iterable[str]) -> None:
        for w, name in zip(windows, names):
            self.row("ports", struct.pack("<II", kind, self.value(w)) + self.text(name))

    def flows(self, n_calls: int, flows: Sequence[ScheduledFlow]) -> list[tuple[str, int, bytes]]:
        """The sections of blocks, of which the first has all calls, and of branches and loops."""
        records: list[bytes] = []
        slices: list[bytes] = []
        blocks = [struct.pack("<II", 0, n_calls)]
        for f in flows:
            kind = FLOWS[f.op]
            ones = [self.value(w) for w in (f.condition, f.trips, f.counter)]
            records.append(struct.pack("<7I", kind, len(blocks), *ones, len(slices), len(f.slices)) + self.expr(f.most))
            blocks += [struct.pack("<II", *block) for block in f.blocks]
            slices += [struct.pack("<3I", self.value(whole), self.value(part), written) for whole, part, written in f.slices]
        tables = {"blocks": blocks, "flows": records, "slices": slices}
        return [(name, len(rows), b"".join(rows)) for name, rows in tables.items() if rows]

    def assemble(self, n_calls: int, graph_json: bytes, flows: Sequence[ScheduledFlow] = ()) -> _C.View:
        control = self.flows(n_calls, flows)
        if any(not -(1 << 63) <= n < 1 << 63 for n in self.numbers):
            raise ShapeError("a size or an attribute of the network needs more than 64 bits")
        dims = b"".join(self.text(d.name) + struct.pack("<qq", d.lower, d.upper) for d in self.dims)
        body: list[tuple[str, int, bytes | Pieces]] = [
            ("strings", len(self.strings), bytes(self.strings)),
            ("numbers", len(self.numbers), np.asarray(self.numbers, "<i8").tobytes()),
            ("dims", len(self.dims), dims),
            *((name, len(rows), b"".join(rows)) for name, rows in self.tables.items()),
            *control,
            ("weights", self.weight_bytes, Pieces(self.weight_bytes, self.weights)),
        ]
        if graph_json:
            body.append(("graph", len(graph_json), graph_json))
        return container([(SECTIONS[name], count, data) for name, count, data in body])


def _size(x: Any) -> int:
    return int(np.prod(np.asarray(x.shape, np.int64))) * x.spec.dtype.itemsize if isinstance(x, Tensor) else len(x)


def _bytes_of(x: Any) -> np.ndarray:
    if not isinstance(x, Tensor):
        return np.frombuffer(x, np.uint8)
    found: np.ndarray = np.ascontiguousarray(x.numpy(raw=True)).reshape(-1).view(np.uint8)
    return found


@dataclass(frozen=True)
class Pieces:
    """Bytes that lie in several places: (offset, bytes or a Tensor); zeros between them."""

    size: int
    pieces: list[tuple[int, Any]]


def container(sections: Sequence[tuple[int, int, bytes | Pieces]]) -> _C.View:
    """Header, section table, sections at multiples of 64 bytes: (kind, count, data). In memory that a Plan can use where it lies."""
    at, table, places = HEADER.size + SECTION.size * len(sections), b"", []
    for kind, count, data in sections:
        start = -(-at // ALIGN) * ALIGN
        at = start + (data.size if isinstance(data, Pieces) else len(data))
        table += SECTION.pack(kind, count, start, at - start)
        places += [(start + offset, start + offset + _size(raw), raw) for offset, raw in (data.pieces if isinstance(data, Pieces) else [(0, data)])]
    view = _C.View.empty((at,), DType.uint8)
    file = view.numpy()
    places = [(HEADER.size, HEADER.size + len(table), table), *places]
    end = HEADER.size
    for start, stop, _ in places:
        file[end:start] = 0
        end = stop
    file[end:] = 0
    # The largest first, while little of the file has been touched: making it may take as much memory again.
    for start, stop, raw in sorted(places, key=lambda p: p[0] - p[1]):
        if isinstance(raw, Lazy):
            shape: Any = raw.shape
            raw.write(_C.View.share(file[start:stop].view(raw.dtype.storage).reshape(shape), raw.dtype))
        else:
            file[start:stop] = _bytes_of(raw)
        if stop - start >= MUCH:
            _C.release_cached_memory()
    if at >= MUCH // 4:
        _C.release_cached_memory()
    file[: HEADER.size] = np.frombuffer(HEADER.pack(b"ACCELPLN", _C.plan_version, len(sections), at, _C.checksum(file[HEADER.size :])), np.uint8)
    return view


def sections(file: Any) -> dict[int, Any]:
    """The sections of a file that the engine has accepted."""
    (n,) = struct.unpack_from("<I", file, 12)
    found = {}
    for i in range(n):
        kind, _, offset, size = SECTION.unpack_from(file, HEADER.size + SECTION.size * i)
        found[kind] = file[offset : offset + size]
    return found


def write_plan(graph: Graph, describe: Any = None) -> tuple[_C.View, list[Node]]:
    """The Plan of a graph (uint8[n]), and the state nodes in the order in which a run takes their tensors.

    `describe(offsets)` may give the JSON of the graph section, knowing where each constant lies in the weights: {id(tensor): offset}."""
    s = schedule(graph)
    w = _Writer()
    for windows in (s.inputs, s.outputs, s.states):
        for window in windows:
            w.value(window)
    w.schedule(s)
    w.ports(0, s.inputs, graph.input_names())
    w.ports(1, s.outputs, graph.output_names())
    w.ports(2, s.states, (n.label or f"state{i}" for i, n in enumerate(s.state_nodes)))
    for node in every_node(graph):
        if node.op == "constant" and describe is not None:
            w.constant(node.data)
    return w.assemble(len(s.calls), describe(w.offsets) if describe is not None else b"", s.flows), s.state_nodes
