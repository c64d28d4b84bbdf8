"""Branches and loops as If and Loop, whose bodies read the names around them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ....core.dtypes import DType
from ....core.flow import ENDLESS, captured_from
from ....core.graph import Graph, Node, Spec, Value

if TYPE_CHECKING:
    from ..writer import Writer

Names = Sequence["str | None"]


def every_node(nodes: Iterable[Any]) -> Iterator[Any]:
    """ONNX nodes, and those in their bodies."""
    for n in nodes:
        yield n
        for a in n.attribute:
            if a.HasField("g"):
                yield from every_node(a.g.node)


def _port(work: Writer, name: str, spec: Spec) -> Any:
    return work.port(name, Node("input", (), {}, (spec,)))


def _body(work: Writer, body: Graph, given: Names, ports: Sequence[Any], finish: Callable[[list[str]], list[str]]) -> Any:
    """The ONNX graph of a body whose inputs have these names; `finish` may add to the names of its outputs. Sizes computed inside are not known outside."""
    nodes, work.nodes = work.nodes, []
    lengths, work.lengths = work.lengths, dict(work.lengths)
    work.names |= {Value(n): name for n, name in zip(body.inputs, given, strict=True) if name is not None}
    work.run(body)
    names = finish([work.names[v] for v in body.outputs])
    outputs = [str(work.add("Identity", [name], 1, {})) for name in names]      # a value from outside, or one twice, is no output
    specs = [Spec((), DType.bool)] * (len(names) - len(body.outputs)) + [v.spec for v in body.outputs]
    made = work.onnx.helper.make_graph(work.nodes, work.fresh("body"), ports, [_port(work, n, s) for n, s in zip(outputs, specs)])
    work.nodes, work.lengths = nodes, lengths
    return made


def _branch(work: Writer, node: Node, inputs: Names) -> tuple[str, ...]:
    then, otherwise = (_body(work, b, inputs[1:], (), lambda names: names) for b in node.data)
    found = work.add("If", inputs[:1], len(node.outputs), {"then_branch": then, "else_branch": otherwise})
    return found if isinstance(found, tuple) else (found,)


def _loop(work: Writer, node: Node, inputs: Names) -> tuple[str, ...]:
    (body,), attrs, first = node.data, node.attrs, captured_from(node)
    condition, trips = inputs[:2]
    n, most = attrs["states"], attrs["most"]
    if most != ENDLESS:
        limit = work.sizes([most])
        trips = limit if trips is None else str(work.add("Min", [work.add("Reshape", [trips, work.const(np.array([1]))], 1, {}), limit], 1, {}))
    specs = [Spec((), DType.int64), Spec((), DType.bool), *(p.outputs[0] for p in body.inputs[1 : 1 + n])]
    names = [work.fresh(hint) for hint in ("step", "going", *["state"] * n)]
    ports = [_port(work, name, s) for name, s in zip(names, specs)]
    parts: list[str] = []
    counter, going, *states = names

    def finish(outputs: list[str]) -> list[str]:
        if not attrs["conditional"]:
            return [going, *outputs]
        return [str(work.add("Reshape", [outputs[0], work.const(np.zeros(0, np.int64))], 1, {})), *outputs[1:]]

    outer, work.nodes = work.nodes, []
    for whole in inputs[2 + n : first]:
        parts.append(str(work.add("Gather", [whole, counter], 1, {"axis": 0})))
    taken, work.nodes = work.nodes, outer
    made = _body(work, body, [counter, *states, *parts, *inputs[first:]], ports, finish)
    for one in reversed(taken):
        made.node.insert(0, one)
    found = work.add("Loop", [trips, condition, *inputs[2 : 2 + n]], len(node.outputs), {"body": made})
    return found if isinstance(found, tuple) else (found,)


FLOWS: dict[str, Callable[[Writer, Node, Names], tuple[str, ...]]] = {"branch": _branch, "loop": _loop}
