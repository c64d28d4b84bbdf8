"""Graph -> Schedule for a device: passes of which its tables take the result, ops without a row as their compositions. The tables are asked with windows
of the right shapes, strides and dtypes on memory that is nowhere yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.dims import product
from ..core.dispatch import expand, operands
from ..core.errors import GraphError, KernelError, UnsupportedError
from ..core.graph import Graph, Node, Spec, Value, rewrite
from ..core.registry import OPS
from ..core.remote import Device, Remote, Storage, row_major
from ..core.remote_call import DeviceCall, TableRow, attributes, kernel_attributes, kernel_of, rows_of
from ..core.tensor import Tensor, as_tensor, no_grad
from ..core.trace import recording
from .flow import everywhere
from .layout import layout
from .pack import Hoisted, hoist, pack
from .plan_memory import Buffer, Schedule, ScheduledCall, Window, schedule
from .qconv import pack_convolutions
from .qdq import chain_bytes, tables
from .sparse import sparsify_convolutions

# These choose by what was measured on CPUs, and lay weights out for their kernels.
HOST = (layout, chain_bytes, tables, pack, pack_convolutions, sparsify_convolutions)
ALIGN = 512  # bytes: what the driver's own addresses are multiples of
NOWHERE = 1 << 52


@dataclass
class Lowered:
    """What a device runs: `rows` has the row of each call (None: nothing to do)."""

    graph: Graph
    schedule: Schedule
    rows: list[TableRow | None]
    hoisted: list[Hoisted]


class Addresses:
    """Memory of no address that anybody has: every buffer's in a place of its own, at a multiple of ALIGN."""

    def __init__(self, device: Device) -> None:
        self.device, self.next = device, NOWHERE
        self.storages: dict[int, Storage] = {}
        self.ports: dict[tuple[str, int], Storage] = {}
        self.buffers: list[Buffer] = []  # of `storages`, which go by their ids

    def fresh(self, nbytes: int) -> Storage:
        made = Storage.within(self.device, nbytes, self.next, None)
        self.next += -(-max(nbytes, 1) // ALIGN) * ALIGN
        return made

    def of(self, buffer: Buffer) -> Storage:
        """A buffer's memory: that of a port for all buffers that are it."""
        found = self.storages.get(id(buffer))
        if found is None:
            nbytes = int(buffer.elements) * buffer.dtype.itemsize  # type: ignore[arg-type]
            port = (buffer.storage, buffer.port)
            if buffer.storage in ("temporary", "constant"):
                found = self.fresh(nbytes)
            else:
                found = self.ports[port] = self.ports.get(port) or self.fresh(nbytes)
            self.storages[id(buffer)] = found
            self.buffers.append(buffer)
        return found

    def window(self, w: Window | None) -> Remote | None:
        return None if w is None else Remote(self.of(w.buffer), w.spec.shape, w.stride, w.spec.dtype, w.offset)  # type: ignore[arg-type]

    def call(self, call: ScheduledCall, make: Callable[..., Any] = DeviceCall) -> Any:
        attrs = kernel_attributes(call.op, call.attrs)
        return make(self.device, [self.window(w) for w in call.inputs], [self.window(w) for w in call.outputs], attrs)


def row_of(kernel: str, call: DeviceCall) -> TableRow | None:
    """The first row that takes a call."""
    return next((r for r in rows_of(kernel) if r.why_not(call) is None), None)


def is_empty(call: ScheduledCall) -> bool:
    return not any(product(w.spec.shape) for w in call.outputs if w is not None)


def lower(graph: Graph, passes: Sequence[Callable[[Graph], Graph]], device: Device) -> Lowered:
    """The graph for this device. passes=() keeps the ops as eager calls run them, to the bit."""
    graph = _passed(graph, [p for p in passes if p not in HOST], device)
    for node in graph.nodes():
        if node.is_flow:
            raise UnsupportedError(f"{node.op}{_at(node)} decides on the host how a Plan goes on, and one on {device.name} is recorded whole: call the "
                                   "function as it is, or run it on the cpu")  # fmt: skip
    hoisted: list[Hoisted] = []
    if passes:
        graph, hoisted = hoist(graph)
    while True:
        planned = schedule(graph)
        rows, refused = _resolve(planned, device)
        if not refused:
            return Lowered(graph, planned, rows, hoisted)
        graph = _expanded(graph, refused, device, exact=not passes)


def _at(node: Node) -> str:
    return f" ({node.label})" if node.label else ""


def _resolve(planned: Schedule, device: Device) -> tuple[list[TableRow | None], set[int]]:
    """The row of each call, and the nodes (their ids) of which none takes the call: they have a composition, or KernelError."""
    where = Addresses(device)
    rows: list[TableRow | None] = []
    refused: set[int] = set()
    for call in planned.calls:
        asked = where.call(call)
        found = None if is_empty(call) else row_of(call.op, asked)
        rows.append(found)
        if found is None and not is_empty(call):
            node = call.node
            if node is None or call.op != kernel_of(OPS[node.op]) or OPS[node.op].composition is None:
                name = call.op if node is None else node.op + _at(node)
                said = "; ".join(f"{r.name}: {r.why_not(asked)}" for r in rows_of(call.op)) or "it has none for devices"
                raise KernelError(f"{name}: no row of {call.op} takes {', '.join(str(w.spec) for w in call.inputs if w is not None)} on {device.name} "
                                  f"({said}), and the op has no composition; compute it on the host, outside the compiled function")  # fmt: skip
            refused.add(id(node))
    return rows, refused


def _expanded(graph: Graph, refused: set[int], device: Device, exact: bool) -> Graph:
    """The graph with compositions in place of these nodes. exact: results are made contiguous, as those of eager calls are."""

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        if id(node) not in refused:
            return None
        composition = OPS[node.op].composition
        assert composition is not None
        with recording(device.name) as t, no_grad():
            t.path = [node.label]
            made = composition(*[None if v is None else Tensor(None, v.node, v.index) for v in inputs], **node.attrs)
            values = [t.value_of(as_tensor(y)) for y in (made if isinstance(made, (tuple, list)) else (made,))]
        if t.updated:
            raise GraphError(f"{node.op}{_at(node)}: its composition writes a tensor")
        if [v.spec for v in values] != list(node.outputs):
            raise GraphError(f"{node.op}{_at(node)}: its composition gives {[v.spec for v in values]}, the op {list(node.outputs)}")
        return [Value(Node("copy", (v,), {}, (v.spec,), node.label)) if exact and _is_window(v) else v for v in values]

    return rewrite(graph, change)


def _is_window(v: Value) -> bool:
    return not v.node.is_source and OPS[v.node.op].view is not None


def _passed(graph: Graph, passes: Sequence[Callable[[Graph], Graph]], device: Device) -> Graph:
    """The graph after those passes that leave nothing to the device that it cannot do."""
    possible: set[int] = set()
    kept: list[Node] = []  # while their ids are in `possible`
    for each in passes:
        made = everywhere(each, graph)
        new = [n for n in made.nodes() if id(n) not in possible]
        if all(_takes(n, device) for n in new) or not all(_takes(n, device) for n in graph.nodes()):
            possible |= set(map(id, new))
            kept += new
            graph = made
    return graph


def _takes(node: Node, device: Device) -> bool:
    """Whether a node can run on a device, operands in row-major order."""
    if node.is_source or node.is_flow or OPS[node.op].view is not None or OPS[node.op].composition is not None:
        return True
    op, where = OPS[node.op], Addresses(device)
    given = [None if v is None else _on(where, v.spec) for v in node.inputs]
    if node.op == "pointwise":  # made of ops that broadcast; itself it takes strides of 0
        given = [None if x is None else expand(x, node.outputs[0].shape) for x in given]
    asked = operands(op, given, node.outputs, node.attrs)
    call = DeviceCall(device, asked, [_on(where, s) for s in node.outputs], attributes(op, node.attrs, len(given)))
    return not any(product(s.shape) for s in node.outputs) or row_of(kernel_of(op), call) is not None


def _on(where: Addresses, spec: Spec) -> Remote:
    return Remote(where.fresh(int(product(spec.shape)) * spec.dtype.itemsize), spec.shape, row_major(spec.shape), spec.dtype)  # type: ignore[arg-type]
