"""What each pass did, and which nodes of the source each node stands for: found by comparing graphs, so that no pass has to tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..core.graph import Graph, Node, Value, every_node, rewrites
from ..core.registry import OPS
from . import Pass, everywhere

Origins = dict[int, dict[Node, None]]  # id of a node -> the source's nodes that it stands for, in their order


@dataclass(frozen=True)
class Change:
    """One node that a pass made, and the nodes of the graph before it that went into it."""

    before: tuple[Node, ...]
    after: Node


@dataclass
class Step:
    """What one pass did to a graph."""

    name: str
    says: str
    before: Counter[str]
    after: Counter[str]
    fused: list[Change] = field(default_factory=list)
    merged: list[Change] = field(default_factory=list)  # equal computations, now one
    replaced: list[Change] = field(default_factory=list)  # one node by another op
    folded: list[Node] = field(default_factory=list)  # computed at compile time
    dropped: list[Node] = field(default_factory=list)  # their operand does


def ops_of(graph: Graph) -> Counter[str]:
    """How many nodes of each op, those of bodies too."""
    return Counter(n.op for n in every_node(graph) if not n.is_source)


def _is_view(node: Node) -> bool:
    return not node.is_flow and OPS[node.op].view is not None


def _is_window(node: Node) -> bool:
    return not node.is_source and _is_view(node) and node.inputs[0] is not None


def explained(graph: Graph, passes: Sequence[Pass]) -> tuple[Graph, list[Step], Origins]:
    """run_passes, watched: the result, a Step a pass, and what each node of the result stands for."""
    origins: Origins = {id(n): {n: None} for n in graph.nodes() if not n.is_source}
    steps, alive = [], [graph]  # ids are of nodes that live
    for each in passes:
        with rewrites() as seen:
            made = everywhere(each, graph)
        says = (each.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " ")
        step = Step(each.__name__, says, ops_of(graph), ops_of(made))
        origins = _compare(graph, made, seen, origins, step)
        steps.append(step)
        alive.append(made)
        graph = made
    return graph, steps, origins


def _compare(before: Graph, after: Graph, seen: Sequence[dict[Value, Value]], origins: Origins, step: Step) -> Origins:
    old, new = before.nodes(), after.nodes()
    living = {id(n) for n in new}
    readers: dict[int, list[Node]] = {}
    for n in old:
        for v in n.inputs:
            if v is not None:
                readers.setdefault(id(v.node), []).append(n)

    def stands(v: Value) -> Value:
        for each in seen:
            v = each.get(v, v)
        return v

    own = {id(n) for n in old}

    def lives(n: Node) -> list[Node]:
        """What there is of a node that the pass made: itself, and where it is a window what it is a window of: a convolution behind the permute."""
        chain = [n]
        while _is_window(chain[-1]):
            chain.append(chain[-1].inputs[0].node)
        return [m for m in dict.fromkeys((n, chain[-1])) if id(m) in living and (m is n or id(m) not in own)]

    went: dict[int, dict[int, Node]] = {}  # id of an old node -> the living nodes that it went into
    into: dict[int, dict[Node, bool]] = {}  # id of a living node -> the old nodes in it; True: it is what stands for them
    for n in reversed(old):
        if n.is_source:
            continue
        results = [stands(Value(n, i)) for i in range(len(n.outputs))]
        targets = {id(t): t for r in results for t in lives(r.node)}
        if targets and results[0] in [stands(v) for v in n.inputs if v is not None]:
            step.dropped.append(n)
            went[id(n)] = targets
            continue
        direct = bool(targets)
        if not direct:  # nobody computes it any more: those who read it do its work
            targets = {k: t for reader in readers.get(id(n), []) for k, t in went.get(id(reader), {}).items()}
        went[id(n)] = targets
        if targets and all(t.is_source for t in targets.values()):
            step.folded.append(n)
        for k, t in targets.items():
            if not t.is_source:
                into.setdefault(k, {})[n] = direct
    helpers: dict[int, dict[Node, bool]] = {}
    for n in reversed(new):  # what a pass made behind the node that stands for the old one: a product behind its reshape
        mine = into.get(id(n)) or helpers.get(id(n), {})
        for v in n.inputs:
            if v is not None and not v.node.is_source and id(v.node) not in into and id(v.node) not in own:
                helpers.setdefault(id(v.node), {}).update(mine)
    place = {id(n): i for i, n in enumerate(old)}
    made: Origins = {}
    changes: dict[tuple[int, ...], tuple[Node, dict[Node, bool]]] = {}
    for n in new:
        if n.is_source:
            continue
        parts = dict(sorted((into.get(id(n)) or helpers.get(id(n), {})).items(), key=lambda part: place[id(part[0])]))
        made[id(n)] = {o: None for part in parts for o in origins.get(id(part), {})}
        if id(n) not in own and parts and not _is_view(n):
            changes[tuple(id(p) for p in parts)] = n, parts  # of several nodes for the same ones the last
    for n, parts in changes.values():
        _sort(n, parts, step)
    step.dropped.reverse()
    step.folded.reverse()
    return made


def _sort(n: Node, parts: dict[Node, bool], step: Step) -> None:
    """A change into the list of its kind."""
    work = tuple(p for p in parts if not _is_view(p)) or tuple(parts)
    change = Change(work, n)
    if len(work) == 1:
        if work[0].op != n.op and (n.op != "pointwise" or work[0].is_flow or OPS[work[0].op].program is None):
            step.replaced.append(change)
    elif all(parts[p] for p in work) and all(p.op == n.op for p in work):
        step.merged.append(change)
    else:
        step.fused.append(change)
