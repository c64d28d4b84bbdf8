"""The tape is the graph: every op call makes a Node. Eager keeps buffers beside it, tracing keeps only Specs, and importers make the same Nodes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .dims import Shape, Size
from .dtypes import DType


class Spec(NamedTuple):
    """What is known of a value before it exists."""

    shape: Shape
    dtype: DType

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"


class Node:
    """One op call. `inputs` are Values (or None for an operand that is left out); `outputs` their Specs.

    The sources of a graph are Nodes without inputs: `input`, `constant` (data: a Tensor) and `state` (data: the Tensor whose buffer it is).
    Flows are `branch` and `loop` (core/flow.py; data: a tuple of Graphs, their bodies); every other node is a call of an op."""

    __slots__ = ("op", "inputs", "attrs", "outputs", "label", "data", "saved", "versions", "frozen", "__weakref__")

    def __init__(self, op: str, inputs: Sequence[Any], attrs: dict[str, Any], outputs: tuple[Spec, ...], label: str = "", data: Any = None) -> None:
        self.op, self.inputs, self.attrs, self.outputs, self.label, self.data = op, tuple(inputs), attrs, outputs, label, data
        self.saved: tuple[Any, ...] = ()  # eager: the views of the outputs
        self.versions: tuple[int, ...] = ()  # eager: how often each input had been written when it was saved
        self.frozen = False  # traced under no_grad: gradients stop here

    @property
    def is_source(self) -> bool:
        return self.op in ("input", "constant", "state")

    @property
    def is_flow(self) -> bool:
        return self.op in ("branch", "loop")

    def __repr__(self) -> str:
        return f"{self.op}{self.attrs or ''} -> {', '.join(map(repr, self.outputs))}"


class Value:
    """Output number `index` of `node`."""

    __slots__ = ("node", "index")

    def __init__(self, node: Node, index: int = 0) -> None:
        self.node, self.index = node, index

    @property
    def spec(self) -> Spec:
        return self.node.outputs[self.index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Value) and self.node is other.node and self.index == other.index

    def __hash__(self) -> int:
        return hash((id(self.node), self.index))

    def __repr__(self) -> str:
        return f"<{self.node.op}.{self.index} {self.spec}>"


@dataclass
class Graph:
    """Nodes in an order in which they can run. `updates`: (state, the value it takes at the end)."""

    inputs: list[Node]
    outputs: list[Value]
    updates: list[tuple[Node, Value]] = field(default_factory=list)
    names: dict[str, list[str]] = field(default_factory=dict)  # "inputs", "outputs" -> names of the ports

    def wanted(self) -> list[Value]:
        """Everything that must be computed."""
        return [*self.outputs, *(value for _, value in self.updates)]

    def nodes(self) -> list[Node]:
        """All nodes that outputs and updates need, sources included, operands before users, in the order they were made."""
        order: list[Node] = []
        seen: set[int] = set()
        stack: list[tuple[Node, bool]] = [(n, False) for n in reversed([*self.inputs, *(v.node for v in self.wanted()), *(s for s, _ in self.updates)])]
        while stack:
            node, ready = stack.pop()
            if ready:
                order.append(node)
            elif id(node) not in seen:
                seen.add(id(node))
                stack.append((node, True))
                stack.extend((v.node, False) for v in reversed(node.inputs) if v is not None and id(v.node) not in seen)
        return order

    def input_names(self) -> list[str]:
        return self.names.get("inputs") or [f"input{i}" if i else "input" for i in range(len(self.inputs))]

    def output_names(self) -> list[str]:
        return self.names.get("outputs") or [f"output{i}" if i else "output" for i in range(len(self.outputs))]

    def __str__(self) -> str:
        numbers: dict[Value, int] = {}
        lines = []
        for node in self.nodes():
            args = ", ".join("-" if v is None else f"%{numbers[v]}" for v in node.inputs)
            results = []
            for i, spec in enumerate(node.outputs):
                numbers[Value(node, i)] = len(numbers)
                results.append(f"%{numbers[Value(node, i)]}: {spec}")
            attrs = "".join(f" {k}={v}" for k, v in node.attrs.items())
            lines.append(f"{', '.join(results)} = {node.op}({args}){attrs}{'  # ' + node.label if node.label else ''}")
            for body in node.data if node.is_flow else ():
                lines += ["  {", *("  " + line for line in str(body).splitlines()), "  }"]
        lines.append(f"return {', '.join(f'%{numbers[v]}' for v in self.outputs)}")
        lines += [f"%{numbers[Value(s)]} <- %{numbers[v]}" for s, v in self.updates]
        return "\n".join(lines)


def every_node(graph: Graph) -> Iterator[Node]:
    """The nodes of a graph and of the bodies in it."""
    for node in graph.nodes():
        yield node
        for body in node.data if node.is_flow else ():
            yield from every_node(body)


_watched: list[list[dict[Value, Value]]] = []


@contextlib.contextmanager
def rewrites() -> Iterator[list[dict[Value, Value]]]:
    """Inside, every `rewrite` leaves here what stands for each value of the graph that it was given."""
    seen: list[dict[Value, Value]] = []
    _watched.append(seen)
    try:
        yield seen
    finally:
        _watched.remove(seen)


def rewrite(graph: Graph, change: Callable[[Node, list[Value | None]], Sequence[Value] | None]) -> Graph:
    """A new graph in which every op node is rebuilt on rewritten operands. `change(node, inputs)` returns the Values that stand for the node's
    outputs, or None to keep the node as it is on the new operands. Sources stay the same objects."""
    new: dict[Value, Value] = {}
    for node in graph.nodes():
        if node.is_source:
            replaced: Sequence[Value] | None = change(node, [])
            if replaced is None:
                replaced = [Value(node)]
        else:
            inputs = [None if v is None else new[v] for v in node.inputs]
            replaced = change(node, inputs)
            if replaced is None:
                same = all(a is b or a == b for a, b in zip(inputs, node.inputs))
                kept = node if same else Node(node.op, inputs, node.attrs, node.outputs, node.label, node.data)
                replaced = [Value(kept, i) for i in range(len(node.outputs))]
        for i, value in enumerate(replaced):
            new[Value(node, i)] = value
    for seen in _watched:
        seen.append(new)
    return Graph(graph.inputs, [new[v] for v in graph.outputs], [(s, new[v]) for s, v in graph.updates], graph.names)


def substituted(graph: Graph, stand: dict[Value, Value]) -> Graph:
    """A new graph in which `stand[v]` is read in place of v; what stands for values may be made of others that are replaced."""
    fresh: dict[int, Node] = {}

    def final(v: Value) -> Value:
        while v in stand:
            v = stand[v]
        return v

    def now(v: Value) -> Value:
        found = final(v)
        return Value(fresh[id(found.node)], found.index)

    stack = [(n, False) for n in reversed([*graph.inputs, *(s for s, _ in graph.updates), *(final(v).node for v in graph.wanted())])]
    while stack:
        node, ready = stack.pop()
        if id(node) in fresh:
            continue
        inputs = [None if v is None else final(v) for v in node.inputs]
        if not ready:
            stack.append((node, True))
            stack.extend((v.node, False) for v in reversed(inputs) if v is not None and id(v.node) not in fresh)
            continue
        moved = [None if v is None else Value(fresh[id(v.node)], v.index) for v in inputs]
        same = all(a == b for a, b in zip(moved, node.inputs))
        fresh[id(node)] = node if same else Node(node.op, moved, node.attrs, node.outputs, node.label, node.data)
    if _watched:
        everything = [Value(n, i) for n in graph.nodes() for i in range(len(n.outputs))]
        new = {v: now(v) for v in everything if id(final(v).node) in fresh}
        for seen in _watched:
            seen.append(new)
    return Graph(graph.inputs, [now(v) for v in graph.outputs], [(s, now(v)) for s, v in graph.updates], graph.names)


def users(graph: Graph) -> dict[Value, list[Node]]:
    """Who reads each value; a value that is an output or an update has an extra entry for each (its own node)."""
    found: dict[Value, list[Node]] = {}
    for node in graph.nodes():
        for v in node.inputs:
            if v is not None:
                found.setdefault(v, []).append(node)
    for v in graph.wanted():
        found.setdefault(v, []).append(v.node)
    return found


def symbolic(shapes: Iterable[Shape]) -> bool:
    return any(isinstance(s, Size) for shape in shapes for s in shape)
