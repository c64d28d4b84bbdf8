"""Branches and loops: nodes whose bodies are graphs. What a body reads of the values around it are inputs of the node, and of the body.

`branch(condition, *captured)`, bodies (then, otherwise), each with the captured values as its inputs: the outputs of the first where the condition (one
bool) is true, of the second elsewhere. Both have the same Specs.

`loop(condition, trips, *states, *scans, *captured)`, one body of (counter, *states, one step of each scan, *captured) that gives (condition,) *states and
one step of each stacked output. Step k = 0, 1, ... is done while k is below attribute `most` and below `trips` (int64; None: only `most` counts), and the
condition (None: always) is true. The outputs are the last states, then the steps of the others stacked along a new first axis. attrs: `states`, `scans`
(how many), `most` (a size), `conditional` (whether the body gives a condition). Sizes are the same in every step."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .dims import product
from .dtypes import DType
from .errors import DTypeError, ShapeError
from .graph import Graph, Node, Spec, Value, rewrite
from .tensor import Tensor, mode
from .trace import Trace

ENDLESS = 1 << 62  # `most` of a loop that only its condition ends


class _Inner(Trace):
    """The recording of a body inside another one."""

    def __init__(self, around: Trace) -> None:
        super().__init__(around.device)
        self.around, self.path, self.names, self.modules, self.copies = around, around.path, around.names, around.modules, around.copies
        self.made: dict[int, Node] = {}

    def value_of(self, x: Tensor) -> Value:
        return self.around.value_of(x) if not x.literal and x.view is not None else super().value_of(x)

    def add(self, node: Node) -> tuple[Tensor, ...]:
        self.made[id(node)] = node
        return super().add(node)

    def body(self, outputs: Sequence[Tensor], captured: dict[Value, None]) -> tuple[list[Value], list[Node]]:
        """Outputs and the nodes that they need, in order; what these read of the values around is added to `captured`."""
        values = [self.value_of(y) for y in outputs]
        own = {*self.made, *map(id, self.inputs)}
        needed = {id(v.node) for v in values}
        nodes = []
        for node in reversed(self.made.values()):
            if id(node) in needed:
                nodes.append(node)
                needed |= {id(v.node) for v in node.inputs if v is not None}
        nodes.reverse()
        for v in [*(v for n in nodes for v in n.inputs if v is not None), *values]:
            if id(v.node) not in own and v.node.op != "constant":
                captured.setdefault(v)
        return values, nodes


@contextlib.contextmanager
def _inside(around: Trace) -> Iterator[_Inner]:
    inner = _Inner(around)
    mode.trace = inner
    try:
        yield inner
    finally:
        mode.trace = around


def _graph(inner: _Inner, values: Sequence[Value], nodes: Sequence[Node], captured: Sequence[Value]) -> Graph:
    """The body with inputs in place of what it captures."""
    ports = [Node("input", (), {}, (v.spec,)) for v in captured]
    new: dict[Value, Value] = {v: Value(n) for v, n in zip(captured, ports)}
    for node in nodes:
        inputs = [None if v is None else new.get(v, v) for v in node.inputs]
        if any(a is not b for a, b in zip(inputs, node.inputs)):
            fresh = Node(node.op, inputs, node.attrs, node.outputs, node.label, node.data)
            fresh.frozen = node.frozen
            new |= {Value(node, i): Value(fresh, i) for i in range(len(node.outputs))}
    return Graph([*inner.inputs, *ports], [new.get(v, v) for v in values])


def specs_of(node: Node) -> tuple[Spec, ...]:
    """The Specs of a flow's outputs, from its operands, attributes and bodies; errors where these do not fit."""
    given = [None if v is None else v.spec for v in node.inputs]
    bodies: tuple[Graph, ...] = node.data
    if node.op == "branch":
        _fits("branch", "condition", given[0], DType.bool)
        then, otherwise = (tuple(v.spec for v in b.outputs) for b in bodies)
        for b in bodies:
            _same("branch", "captured values", [n.outputs[0] for n in b.inputs], given[1:])
        _same("branch", "results of the two bodies", then, otherwise)
        return then
    (body,) = bodies
    n, scans, most, conditional = (node.attrs[k] for k in ("states", "scans", "most", "conditional"))
    condition, trips, *rest = given
    if condition is not None:
        _fits("loop", "condition", condition, DType.bool)
    if trips is not None:
        _fits("loop", "number of steps", trips, DType.int64)
    for s in rest[n : n + scans]:
        if s is None or not s.shape or s.shape[0] != most:
            raise ShapeError(f"loop: {s} is taken apart into {most} steps")
    steps = [Spec(s.shape[1:], s.dtype) for s in rest[n : n + scans] if s is not None]
    _same("loop", "inputs of the body", [s.outputs[0] for s in body.inputs], [Spec((), DType.int64), *rest[:n], *steps, *rest[n + scans :]])
    results = [v.spec for v in body.outputs]
    if conditional:
        _fits("loop", "condition of the next step", results.pop(0), DType.bool)
    _same("loop", "states before and after a step", results[:n], rest[:n])
    stacked = [Spec((most, *s.shape), s.dtype) for s in results[n:]]
    if stacked and (conditional or trips is not None):
        raise ShapeError("loop: results are stacked, but how many depends on data")
    return (*results[:n], *stacked)


def _fits(op: str, what: str, spec: Spec | None, dtype: DType) -> None:
    if spec is None or spec.dtype != dtype:
        raise DTypeError(f"{op}: the {what} is {spec}, {dtype.name}[] expected")
    if product(spec.shape) != 1:
        raise ShapeError(f"{op}: the {what} is {spec}, one {dtype.name} expected")


def _same(op: str, what: str, a: Sequence[Spec | None], b: Sequence[Spec | None]) -> None:
    if list(a) != list(b):
        first = next((f"{x} and {y}" for x, y in zip(a, b) if x != y), f"{len(a)} and {len(b)} of them")
        raise ShapeError(f"{op}: {what}: {first}")


def branch(condition: Tensor, then: Callable[[], Sequence[Tensor]], otherwise: Callable[[], Sequence[Tensor]]) -> tuple[Tensor, ...]:
    """Records both functions; the one that the condition chooses when it runs gives the results. They read tensors around them freely."""
    around: Trace = mode.trace
    found, captured = [], dict[Value, None]()
    for f in (then, otherwise):
        with _inside(around) as inner:
            found.append((inner, *inner.body(list(f()), captured)))
    operands = [around.value_of(condition), *captured]
    bodies = tuple(_graph(inner, values, nodes, list(captured)) for inner, values, nodes in found)
    return _recorded(around, Node("branch", operands, {}, (), ".".join(filter(None, around.path)), bodies))


Step = Callable[[Tensor, Sequence[Tensor], Sequence[Tensor]], tuple["Tensor | None", Sequence[Tensor], Sequence[Tensor]]]


def loop(step: Step, states: Sequence[Tensor], scans: Sequence[Tensor] = (), most: Any = ENDLESS, trips: Tensor | None = None,
         condition: Tensor | None = None) -> tuple[Tensor, ...]:  # fmt: skip
    """Records `step(counter, states, one step of each scan) -> condition or None, states, one step of each result that is stacked`."""
    around: Trace = mode.trace
    start = [around.value_of(s) for s in states]
    whole = [around.value_of(s) for s in scans]
    captured = dict[Value, None]()
    with _inside(around) as inner:
        counter = inner.input(Spec((), DType.int64))
        before = [inner.input(v.spec) for v in start]
        parts = [inner.input(Spec(tuple(v.spec.shape[1:]), v.spec.dtype)) for v in whole]
        going, after, stacked = step(counter, before, parts)
        outputs = [*(() if going is None else (going,)), *after, *stacked]
        values, nodes = inner.body(outputs, captured)
    body = _graph(inner, values, nodes, list(captured))
    first = None if going is None or condition is None else around.value_of(condition)
    operands = [first, None if trips is None else around.value_of(trips), *start, *whole, *captured]
    attrs = {"states": len(start), "scans": len(whole), "most": most, "conditional": int(going is not None)}
    return _recorded(around, Node("loop", operands, attrs, (), ".".join(filter(None, around.path)), (body,)))


def _recorded(around: Trace, node: Node) -> tuple[Tensor, ...]:
    node.outputs = specs_of(node)
    return around.add(node)


def inlined(body: Graph, values: Sequence[Value]) -> list[Value]:
    """The body's outputs, computed where its inputs are these values."""
    given = {id(n): v for n, v in zip(body.inputs, values, strict=True)}
    return rewrite(body, lambda node, _: [given[id(node)]] if id(node) in given else None).outputs


def captured_from(node: Node) -> int:
    """The number of the first operand that its bodies capture."""
    return 1 if node.op == "branch" else 2 + int(node.attrs["states"]) + int(node.attrs["scans"])
