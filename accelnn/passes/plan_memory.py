"""Graph -> Schedule: calls in order, every value a window on a buffer, every buffer with a lifetime.

Views cost nothing here. An operand that a kernel cannot take as it lies gets a `copy` before the call. A state that a pointwise call updates (or
cache_append) after the old value's last use is written where it lies; others are copied into at the end. The engine places the temporaries when it knows
their sizes."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.dims import AnySize, Shape, product
from ..core.dispatch import broadcast_strides
from ..core.graph import Graph, Node, Spec, Value, users
from ..core.registry import OPS, Op
from ..ops.shape import _contiguous_strides, is_contiguous

OPTIONAL_OUTPUTS = {"max_pool2d": (1,), "random_uniform": (1,), "lstm": (3, 4), "gru": (2, 3), "rnn": (2, 3)}  # not computed when nobody reads them
IN_PLACE = {"cache_append": {0: 1, 1: 3}}  # output: the input whose memory it may be, beside pointwise, which may write any of its inputs
END = 1 << 31


@dataclass(eq=False)
class Buffer:
    """Memory: temporary, input, output, state (port: its number) or constant (data: a Tensor)."""

    storage: str
    elements: AnySize
    dtype: Any
    port: int = 0
    data: Any = None
    writer: int = -1
    touched: list[int] = field(default_factory=list)  # calls that read or write it; END for what happens after them


@dataclass(frozen=True, eq=False)
class Window:
    """A value: shape, strides and offset in elements of its buffer."""

    buffer: Buffer
    spec: Spec
    stride: Shape
    offset: AnySize = 0

    @property
    def whole(self) -> bool:
        return self.offset == 0 and is_contiguous(self.spec.shape, self.stride) and product(self.spec.shape) == self.buffer.elements


@dataclass
class ScheduledCall:
    op: str
    attrs: dict[str, Any]
    inputs: list[Window | None]
    outputs: list[Window | None]
    label: str
    node: Node | None = None  # that it computes, or copies an operand for; None: an output or a state at the end
    times: AnySize = 1  # steps of the loops around it, as far as they are known


@dataclass
class ScheduledFlow:
    """What decides whether or how often calls run (csrc/engine/plan.h, Flow). blocks: (first call, calls); slices: (whole, part, whether it is written)."""

    op: str
    condition: Window | None = None
    trips: Window | None = None
    counter: Window | None = None
    most: AnySize = 0
    blocks: list[tuple[int, int]] = field(default_factory=list)
    slices: list[tuple[Window, Window, bool]] = field(default_factory=list)


@dataclass
class Schedule:
    calls: list[ScheduledCall] = field(default_factory=list)
    inputs: list[Window] = field(default_factory=list)
    outputs: list[Window] = field(default_factory=list)
    states: list[Window] = field(default_factory=list)
    state_nodes: list[Node] = field(default_factory=list)
    flows: list[ScheduledFlow] = field(default_factory=list)  # by their first calls, an outer one before those in it


class Scheduler:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.s = Schedule()
        self.windows: dict[Value, Window] = {}
        self.read = users(graph)
        self.node: Node | None = None

    def fresh(self, spec: Spec, storage: str = "temporary", port: int = 0, data: Any = None) -> Window:
        return Window(Buffer(storage, product(spec.shape), spec.dtype, port, data), spec, _contiguous_strides(spec.shape))

    def emit(self, op: str, attrs: dict[str, Any], inputs: list[Window | None], outputs: list[Window | None], label: str) -> None:
        number = len(self.s.calls)
        for w in (*inputs, *outputs):
            if w is not None:
                w.buffer.touched.append(number)
        for w in outputs:
            if w is not None:
                w.buffer.writer = number
        self.s.calls.append(ScheduledCall(op, attrs, inputs, outputs, label, self.node))

    def copied(self, w: Window, to: Window | None = None, label: str = "") -> Window:
        to = to or self.fresh(w.spec)
        self.emit("copy", {}, [w], [to], label)
        return to

    def contiguous(self, w: Window, label: str) -> Window:
        return w if is_contiguous(w.spec.shape, w.stride) else self.copied(w, label=label)

    def source(self, node: Node) -> None:
        spec = node.outputs[0]
        if node.op == "input":
            window = self.fresh(spec, "input", len(self.s.inputs))
            self.s.inputs.append(window)
        elif node.op == "state":
            window = self.fresh(spec, "state", len(self.s.states))
            self.s.states.append(window)
            self.s.state_nodes.append(node)
        else:
            window = self.fresh(spec, "constant", data=node.data)
        self.windows[Value(node)] = window

    def nodes(self, graph: Graph) -> None:
        """The graph's calls; its inputs have windows already."""
        from .plan_flow import FLOWS

        for node in graph.nodes():
            if node.is_flow:
                FLOWS[node.op](self, node)
            elif not node.is_source:
                self.call(node)
            elif node.op != "input":
                self.source(node)

    def call(self, node: Node) -> None:
        self.node = node
        op = OPS[node.op]
        inputs = [None if v is None else self.windows[v] for v in node.inputs]
        if op.view is not None:
            self.windows[Value(node)] = self.view(op, node, inputs[0])
            return
        operands = [None if w is None else self.operand(op, i, w, node) for i, w in enumerate(inputs)]
        outputs: list[Window | None] = []
        for i, spec in enumerate(node.outputs):
            unread = i in OPTIONAL_OUTPUTS.get(node.op, ()) and Value(node, i) not in self.read
            outputs.append(None if unread else self.fresh(spec))
            if not unread:
                self.windows[Value(node, i)] = outputs[-1]  # type: ignore[assignment]
        self.emit(op.kernel or "pointwise", op.kernel_attrs(node.attrs, len(inputs)), operands, outputs, node.label)

    def view(self, op: Op, node: Node, w: Window | None) -> Window:
        assert w is not None and op.view is not None
        spec = node.outputs[0]
        found = op.view(w.spec.shape, w.stride, spec.shape, node.attrs)
        if found is None:
            w = self.copied(w, label=node.label)
            found = op.view(w.spec.shape, w.stride, spec.shape, node.attrs)
            assert found is not None, f"{op.name} has no view of contiguous memory"
        _, stride, offset = found
        return Window(w.buffer, spec, tuple(stride), w.offset + offset)

    def operand(self, op: Op, i: int, w: Window, node: Node) -> Window:
        out = node.outputs[0].shape
        if op.program is not None or op.kernel == "pointwise":
            return self.expanded(w, out)
        if op.name == "matmul" and i < 2 and len(out) > 2:
            return self.expanded(w, (*out[:-2], *w.spec.shape[-2:]))
        return w if op.strided and not (op.name == "matmul" and i >= 2) else self.contiguous(w, node.label)

    def expanded(self, w: Window, shape: Shape) -> Window:
        return w if w.spec.shape == shape else Window(w.buffer, Spec(shape, w.spec.dtype), broadcast_strides(w.spec.shape, w.stride, shape), w.offset)

    def outputs(self) -> None:
        for number, v in enumerate(self.graph.outputs):
            w = self.windows[v]
            if w.buffer.storage == "temporary" and w.whole:
                w.buffer.storage, w.buffer.port = "output", number
            else:
                w = self.copied(w, self.fresh(w.spec, "output", number))
            self.s.outputs.append(w)

    def updates(self) -> None:
        late: list[tuple[Window, Window]] = []
        plan = [(self.windows[Value(state)], self.windows[v]) for state, v in self.graph.updates]
        for _, source in plan:
            source.buffer.touched.append(END)
        for target, source in plan:
            if not self.in_place(target, source):
                late.append((target, source))
        # What is read from another state is read before any state is overwritten.
        staged = [(t, self.copied(w) if w.buffer.storage == "state" and w.buffer is not t.buffer else w) for t, w in late if w.buffer is not t.buffer]
        for target, source in staged:
            self.copied(source, target)

    def in_place(self, target: Window, source: Window) -> bool:
        """Whether the call that makes `source` can write the state's own memory."""
        temporary, state = source.buffer, target.buffer
        if temporary.storage != "temporary" or not source.whole or temporary.writer < 0:
            return False
        writer = self.s.calls[temporary.writer]
        if any(t > temporary.writer for t in state.touched):
            return False
        if writer.op in IN_PLACE:
            output = next(i for i, w in enumerate(writer.outputs) if w is not None and w.buffer is temporary)
            if [i for i, w in enumerate(writer.inputs) if w is not None and w.buffer is state] != [IN_PLACE[writer.op][output]]:
                return False
        elif writer.op != "pointwise":
            return False
        for w in writer.inputs:  # the kernel takes an output that is exactly an input, not one that overlaps it
            if w is not None and w.buffer is state and not (w.whole and w.spec == target.spec):
                return False
        temporary.storage, temporary.port = "state", state.port
        return True


def schedule(graph: Graph) -> Schedule:
    """Calls, windows and lifetimes for a graph."""
    p = Scheduler(graph)
    for node in graph.inputs:
        p.source(node)
    p.nodes(graph)
    p.node = None
    p.outputs()
    p.updates()
    take_over(p.s)
    return p.s


def take_over(s: Schedule) -> None:
    """A pointwise result is written where an operand of its shape lies that nobody reads again: where activations are largest that halves what is alive,
    and the store finds its lines in the cache. Not in bodies, whose next step reads again what the last one has read."""
    heir: dict[int, Buffer] = {}
    inside = {i for f in s.flows for first, n in f.blocks for i in range(first, first + n)}
    ruled = {id(w.buffer) for f in s.flows for w in (f.condition, f.trips, f.counter, *(w for a, b, _ in f.slices for w in (a, b))) if w is not None}

    def now(w: Window | None) -> Window | None:
        return w if w is None or id(w.buffer) not in heir else replace(w, buffer=heir[id(w.buffer)])

    for i, call in enumerate(s.calls):
        call.inputs, call.outputs = [now(w) for w in call.inputs], [now(w) for w in call.outputs]
        if call.op != "pointwise" or i in inside:
            continue
        taken: set[int] = set()
        for k, out in enumerate(call.outputs):
            if out is None or out.buffer.storage != "temporary" or not out.whole or min(out.buffer.touched) != i or id(out.buffer) in ruled:
                continue
            for w in call.inputs:
                if w is None or id(w.buffer) in taken or w.buffer.storage != "temporary" or max(w.buffer.touched) != i:
                    continue
                if all(x is None or x.buffer is not w.buffer or (x.whole and x.spec == out.spec) for x in call.inputs):
                    taken.add(id(w.buffer))
                    heir[id(out.buffer)] = w.buffer
                    w.buffer.touched += out.buffer.touched
                    call.outputs[k] = replace(out, buffer=w.buffer)
                    break


def place(pieces: list[tuple[int, int, int]], align: int) -> tuple[list[int], int]:
    """Where pieces of memory lie in one arena, and its bytes: (bytes, first call, last call) each. As the engine places them (csrc/engine/executor.cpp):
    the largest first, each at the lowest offset where nothing lies that lives at the same time."""
    offsets, total = [0] * len(pieces), 0
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first, last; by offset
    for i in sorted(range(len(pieces)), key=lambda k: -pieces[k][0]):
        size, first, last = pieces[i]
        low = 0
        for begin, end, since, until in placed:
            if until < first or last < since:
                continue
            if begin >= low + size:
                break
            low = max(low, -(-end // align) * align)
        offsets[i] = low
        total = max(total, low + size)
        insort(placed, (low, low + size, first, last))
    return offsets, total
