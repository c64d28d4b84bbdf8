"""A Plan on a device (docs/adr/0019): its memory placed, its rows asked and their launches recorded once, then done again and again."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core.dims import product
from ..core.dtypes import DType
from ..core.errors import AliasError, DeviceError, GraphError, ShapeError
from ..core.graph import Graph, Node, Spec, Value, rewrite
from ..core.remote import Copy, Device, Launch, Recorded, Remote, Storage, row_major
from ..core.remote_call import DeviceCall, copy_into
from ..core.tensor import Tensor
from ..passes.device import ALIGN, Addresses, lower
from ..passes.plan_memory import Window, place
from .profile import number, sizes_of

Piece = tuple[Storage, int, int]  # memory, the first and the last call that need it


class _Recording(DeviceCall):
    """A row's call of which the launches are kept, and the scratch."""

    recorded = True

    launches: list[Launch]
    scratches: list[Storage]
    where: Addresses

    def launch(self, kernel: Any, grid: Sequence[int], *args: Any, warps: int = 4, stages: int = 2, **constants: Any) -> None:
        sizes = (*grid, 1, 1)[:3]
        if 0 not in sizes:
            self.launches.append(Launch(kernel, sizes, args, constants, warps, stages))

    def scratch(self, shape: Sequence[int], dtype: Any) -> Remote:
        storage = self.where.fresh(int(product(tuple(shape))) * DType(dtype).itemsize)  # type: ignore[arg-type]
        self.scratches.append(storage)
        return Remote(storage, tuple(shape), row_major(tuple(shape)), DType(dtype))


class Binding:
    """The launches of a Plan, for states that lie where they lie now. Inputs are copied into memory of its own, results out of it: whatever
    addresses they have, the recording holds."""

    def __init__(self, plan: DevicePlan) -> None:
        self.plan, device = plan, plan.device
        where = Addresses(device)
        self.mirrored: list[tuple[Tensor, Storage]] = []  # numbers of the host
        for port, (t, w) in enumerate(zip(plan.tensors, plan.schedule.states)):
            storage = where.of(w.buffer)
            if isinstance(t.view, Remote):
                storage.address, storage.owner = t.view.address, t.view.storage.owner
                where.ports["state", port] = storage
            else:
                self.mirrored.append((t, storage))
        launches, pieces = self._record(where)
        self.inputs = [where.window(w) for w in plan.schedule.inputs]
        results = [where.window(w) for w in plan.schedule.outputs]
        self.outputs: list[Remote] = [w for w in results if w is not None]
        self._settle(where, pieces)
        self.seen: list[Any] = [None] * len(self.inputs)
        self.written = [plan.tensors[i].view.storage for i, w in enumerate(plan.schedule.states) if _is_written(plan, w)]
        self.mirrors: list[int] = [-1] * len(self.mirrored)
        self.recorded: Recorded = device.record(launches)
        self.launches = len(launches)

    def _record(self, where: Addresses) -> tuple[list[Launch], list[Piece]]:
        launches: list[Launch] = []
        pieces: list[Piece] = []
        for i, (call, row) in enumerate(zip(self.plan.schedule.calls, self.plan.rows)):
            if row is not None:
                asked = where.call(call, _Recording)
                asked.launches, asked.scratches, asked.where = launches, [], where
                row.row.run(asked)
                pieces += [(s, i, i) for s in asked.scratches]
        return launches, pieces

    def _settle(self, where: Addresses, pieces: list[Piece]) -> None:
        """Everything gets its address: results side by side, then what must stay from run to run, then what lives from call to call."""
        device, end = self.plan.device, 0
        ports = [where.of(w.buffer) for w in self.plan.schedule.outputs]
        kept = [s for (kind, _), s in where.ports.items() if kind == "input"] + [s for _, s in self.mirrored]
        fixed: list[tuple[Storage, int]] = []
        for storage in [*dict.fromkeys(ports), *kept]:
            fixed.append((storage, end))
            end += -(-storage.nbytes // ALIGN) * ALIGN
        self.results = sum(-(-s.nbytes // ALIGN) * ALIGN for s in dict.fromkeys(ports))
        for b in where.buffers:
            if b.storage == "temporary" and b.touched:
                pieces.append((where.of(b), min(b.touched), max(b.touched)))
            elif b.storage == "constant":
                held = self.plan.constant(b.data)
                storage = where.of(b)
                storage.address, storage.owner = held.address, held.storage.owner
        offsets, self.arena = place([(-(-s.nbytes // ALIGN) * ALIGN, first, last) for s, first, last in pieces], ALIGN)
        self.memory = device.allocate(end + self.arena)
        base = self.base = device.address(self.memory)
        for storage, offset in [*fixed, *((s, end + o) for (s, _, _), o in zip(pieces, offsets))]:
            storage.address, storage.owner = base + offset, self.memory
        self.nbytes = end + self.arena

    def run(self, tensors: Sequence[Tensor]) -> list[Remote]:
        device = self.plan.device
        before = [c for i, t in enumerate(tensors) if (c := self._taken(i, t)) is not None]
        for i, (t, storage) in enumerate(self.mirrored):
            if self.mirrors[i] != t.view.version:
                device.upload(storage, _bytes(t))
                self.mirrors[i] = t.view.version
        owner = device.allocate(self.results)
        start = device.address(owner)
        after = [Copy(start, self.base, self.results, owner)] if self.results else []
        try:
            self.recorded.run(before, after)
        except BaseException:
            self.seen = [None] * len(self.seen)  # who knows which copies were made
            raise
        finally:  # what fails may fail behind the launches
            for storage in self.written:
                storage.version += 1
        made = []
        for w in self.outputs:
            place = Storage.within(device, w.storage.nbytes, start + w.storage.address - self.base, owner)
            made.append(Remote(place, w.shape, w.stride, w.dtype, w.offset))
        return made

    def _taken(self, i: int, t: Tensor) -> Copy | None:
        """How input i comes into the binding's memory; None where it is there already."""
        own, view = self.inputs[i], t.view
        assert own is not None
        if not isinstance(view, Remote):
            host = (view, view.version)
            if self.seen[i] != host:
                self.plan.device.upload(own.storage, _bytes(t))
            self.seen[i] = host
            return None
        now = (weakref.ref(view.storage), view.version, view.offset, view.stride)  # equal while the memory lives: it need not live on for this
        if self.seen[i] == now or not product(own.shape):
            return None
        self.seen[i] = now
        if view.contiguous:
            return Copy(own.address, view.address, own.storage.nbytes, view.storage.owner)
        copy_into(view, own)
        return None


class DevicePlan:
    """A graph for a device, and its binding, which is made when it first runs. Who gives a state other memory makes another."""

    def __init__(self, graph: Graph, passes: Sequence[Callable[[Graph], Graph]], device: Device) -> None:
        lowered = lower(graph, passes, device)
        self.device, self.graph, self.schedule, self.rows, self.hoisted = device, lowered.graph, lowered.schedule, lowered.rows, lowered.hoisted
        self.tensors: list[Tensor] = [node.data for node in self.schedule.state_nodes]
        self.constants: dict[int, Remote] = {}
        self.binding: Binding | None = None
        self.lock = threading.Lock()
        for t in self.tensors:
            if not t.view.contiguous and t.device != "cpu":
                raise GraphError(f"compile: the traced function reads {t.spec} through a non-contiguous tensor; call .contiguous() on it outside")

    def constant(self, data: Any) -> Remote:
        """A literal's memory on the device, for as long as the Plan lives."""
        found = self.constants.get(id(data))
        if found is None:
            found = self.constants[id(data)] = Remote.of(self.device, data.view.numpy(), data.dtype)
        return found

    def run(self, tensors: Sequence[Tensor]) -> list[Remote]:
        """Results in memory of their own. States are written where they lie."""
        if len(tensors) != len(self.schedule.inputs):
            raise ShapeError(f"{len(self.schedule.inputs)} inputs expected, got {len(tensors)}")
        for i, t in enumerate(tensors):
            alone = t.device == "cpu" and (t.literal or product(t.shape) == 1)
            if t.device != self.device.name and not alone:
                raise DeviceError(f"input {i} is {t.spec} on {t.device}, the Plan runs on {self.device.name}; move it with .to({self.device.name!r})")
        with self.lock:
            for weight in self.hoisted:
                weight.refresh()
            if self.binding is None:
                self._check_states()
                self.binding = Binding(self)
            return self.binding.run(tensors)

    def _check_states(self) -> None:
        """What is written may be, and overlaps no other state: the order of the calls says nothing of that."""
        places = []
        for t, w in zip(self.tensors, self.schedule.states):
            if isinstance(t.view, Remote):
                size = int(product(t.shape)) * t.dtype.itemsize  # type: ignore[arg-type]
                written = _is_written(self, w)
                if written and not t.view.writable:
                    raise AliasError(f"compile: the function writes {t.spec}, which is read-only")
                places.append((t.view.address, t.view.address + size, written, t.spec))
        furthest: dict[bool, tuple[int, Any]] = {False: (0, None), True: (0, None)}  # of those read and of those written: end, Spec
        for begin, end, written, spec in sorted(places, key=lambda p: p[:2]):
            for other in (False, True) if written else (True,):
                if begin < min(furthest[other][0], end):
                    raise AliasError(f"compile: {furthest[other][1]} and {spec}, which the function reads, overlap, and it writes one of them")
            furthest[written] = max(furthest[written], (end, spec), key=lambda p: p[0])

    @property
    def arena(self) -> int:
        """Bytes of what lives from call to call, scratch too (of the latest binding)."""
        return 0 if self.binding is None else self.binding.arena

    @property
    def calls(self) -> list[dict[str, Any]]:
        """What runs, in order, as _C.Plan says it."""
        return [{"op": c.op, "label": c.label, "row": "" if r is None else r.name, "inputs": [_text(w) for w in c.inputs],
                 "outputs": [_text(w) for w in c.outputs]} for c, r in zip(self.schedule.calls, self.rows)]  # fmt: skip


def concrete(graph: Graph, specs: Sequence[Spec]) -> Graph:
    """The graph for inputs of these Specs: named dimensions as numbers."""
    for node, spec in zip(graph.inputs, specs):
        wanted = node.outputs[0]
        fits = len(wanted.shape) == len(spec.shape) and all(a == b or not isinstance(a, int) for a, b in zip(wanted.shape, spec.shape))
        if not fits or wanted.dtype != spec.dtype:
            raise ShapeError(f"{wanted} expected, got {spec}")
    sizes = sizes_of(graph, [s.shape for s in specs])  # type: ignore[misc]
    ports = {id(n): Node(n.op, (), n.attrs, (s,), n.label) for n, s in zip(graph.inputs, specs)}

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        if node.is_source:
            return [Value(ports[id(node)])] if id(node) in ports else None
        if node.is_flow:
            return None
        attrs = {k: number(v, sizes) for k, v in node.attrs.items()}
        made = Node(node.op, inputs, attrs, tuple(Spec(number(tuple(s.shape), sizes), s.dtype) for s in node.outputs), node.label)
        return [Value(made, i) for i in range(len(node.outputs))]

    found = rewrite(graph, change)
    return Graph([ports[id(n)] for n in graph.inputs], found.outputs, found.updates, graph.names)


def _text(w: Window | None) -> str:
    return "absent[]" if w is None else repr(w.spec)


def _is_written(plan: DevicePlan, state: Window) -> bool:
    return any(o is not None and o.buffer.storage == "state" and o.buffer.port == state.buffer.port for c in plan.schedule.calls for o in c.outputs)


def _bytes(t: Tensor) -> np.ndarray:
    found: np.ndarray = np.ascontiguousarray(t.view.numpy()).reshape(-1).view(np.uint8)
    return found


