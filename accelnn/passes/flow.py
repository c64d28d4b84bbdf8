"""Passes and the bodies of branches and loops: each pass runs at every level, and what is known around a body becomes known in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..core.flow import captured_from, inlined
from ..core.graph import Graph, Node, Value, rewrite


def everywhere(each: Callable[[Graph], Graph], graph: Graph) -> Graph:
    """The pass, on the graph and on every body in it. Constants that a body captures move into it; a branch whose condition is known is the body that it
    chooses, a loop of no steps is nothing."""
    made = each(graph)
    if not any(n.is_flow for n in made.nodes()):
        return made

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        if not node.is_flow:
            return None
        chosen = _known(inputs[0]) if node.op == "branch" else None
        if chosen is not None:
            return inlined(node.data[0 if chosen else 1], _present(inputs[1:]))
        first = captured_from(node)
        moved = [i for i in range(first, len(inputs)) if _is_constant(inputs[i])]
        kept = [i for i in range(len(inputs)) if i not in moved]
        bodies = []
        for body in node.data:
            ports = body.inputs[len(body.inputs) - (len(inputs) - first) :]
            constants = {id(ports[i - first]): inputs[i] for i in moved}
            sunk = rewrite(body, lambda n, _, known=constants: [known[id(n)]] if id(n) in known else None)  # type: ignore[misc]
            bodies.append(everywhere(each, Graph([n for n in body.inputs if id(n) not in constants], sunk.outputs)))
        fresh = Node(node.op, [inputs[i] for i in kept], node.attrs, node.outputs, node.label, tuple(bodies))
        return [Value(fresh, i) for i in range(len(node.outputs))]

    return rewrite(made, change)


def _is_constant(v: Value | None) -> bool:
    return v is not None and v.node.op == "constant"


def _known(v: Value | None) -> bool | None:
    return bool(v.node.data.numpy().reshape(())) if v is not None and v.node.op == "constant" else None


def _present(values: Sequence[Value | None]) -> list[Value]:
    return [v for v in values if v is not None]
