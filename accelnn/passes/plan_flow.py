"""Branches and loops in a Schedule: their bodies' calls stand one behind the other in the one list, and a ScheduledFlow says where.

What a branch gives lies in buffers that both bodies write. A loop's states lie in a buffer each, which the body reads and, at its end, writes; what is
older than the loop keeps its memory until the loop is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ..core.dtypes import DType
from ..core.graph import Graph, Node, Spec, Value, users
from ..core.tensor import tensor
from ..ops.shape import is_contiguous
from .plan_memory import Buffer, ScheduledFlow, Scheduler, Window

TRUTH = Spec((), DType.bool)


def _body(p: Scheduler, body: Graph, given: Sequence[Window]) -> list[Window]:
    """The body's calls; windows of its outputs."""
    p.windows |= {Value(n): w for n, w in zip(body.inputs, given, strict=True)}
    read, p.read = p.read, users(body)
    p.nodes(body)
    p.read = read
    return [p.windows[v] for v in body.outputs]


def _given(p: Scheduler, values: Sequence[Value | None]) -> list[Window]:
    return [p.windows[v] for v in values if v is not None]


def _is_own(w: Window, first: int) -> bool:
    """Whether the window is all of a temporary that calls from `first` on have made."""
    b = w.buffer
    return b.storage == "temporary" and w.whole and bool(b.touched) and min(b.touched) >= first


def _joined(p: Scheduler, old: Buffer, new: Buffer, first: int) -> None:
    """Calls and flows from `first` on have `new` in place of `old`."""

    def moved(w: Window | None) -> Window | None:
        return replace(w, buffer=new) if w is not None and w.buffer is old else w

    for call in p.s.calls[first:]:
        call.inputs, call.outputs = [*map(moved, call.inputs)], [*map(moved, call.outputs)]
    for flow in p.s.flows:
        flow.condition, flow.trips, flow.counter = moved(flow.condition), moved(flow.trips), moved(flow.counter)
        flow.slices = [(moved(a), moved(b), written) for a, b, written in flow.slices]  # type: ignore[misc]
    p.windows |= {v: replace(w, buffer=new) for v, w in p.windows.items() if w.buffer is old}
    new.touched += old.touched


def branch(p: Scheduler, node: Node) -> None:
    condition, *given = _given(p, node.inputs)
    flow = ScheduledFlow("branch", condition)
    condition.buffer.touched.append(len(p.s.calls))
    p.s.flows.append(flow)
    results = [p.fresh(spec) for spec in node.outputs]
    for body in node.data:
        first = len(p.s.calls)
        _body(p, body, given)
        p.node = node
        for v, result in zip(body.outputs, results):
            w = p.windows[v]
            if _is_own(w, first) and w.buffer not in [r.buffer for r in results]:
                _joined(p, w.buffer, result.buffer, first)
            else:
                p.copied(w, result, node.label)
        flow.blocks.append((first, len(p.s.calls) - first))
    for i, w in enumerate(results):
        w.buffer.writer = -1  # two calls write it
        p.windows[Value(node, i)] = w


def loop(p: Scheduler, node: Node) -> None:
    (body,), attrs, p.node = node.data, node.attrs, node
    n, scans, conditional = attrs["states"], attrs["scans"], bool(attrs["conditional"])
    condition, trips, *rest = node.inputs
    start = _given(p, rest[:n])
    whole = [p.contiguous(w, node.label) for w in _given(p, rest[n : n + scans])]
    if conditional:
        start.insert(0, _one(p.windows[condition]) if condition is not None else p.fresh(TRUTH, "constant", data=tensor(np.asarray(True))))
    states = [p.copied(w, label=node.label) for w in start]
    flow = ScheduledFlow("loop", states[0] if conditional else None, None if trips is None else p.windows[trips], None, attrs["most"])
    p.s.flows.append(flow)
    first = len(p.s.calls)
    counter = p.fresh(Spec((), DType.int64))
    parts = [p.fresh(v.outputs[0]) for v in body.inputs[1 + n : 1 + n + scans]]
    around = [*parts, *whole]
    for w in (counter, *parts):
        w.buffer.touched.append(first)
    if Value(body.inputs[0]) in users(body):
        flow.counter = counter
        around.append(counter)
    found = _body(p, body, [counter, *states[len(start) - n :], *parts, *_given(p, rest[n + scans :])])
    p.node = node
    found[: int(conditional)] = map(_one, found[: int(conditional)])
    stacked = []
    for w in found[len(states) :]:
        part = p.copied(w, label=node.label) if w.buffer in [s.buffer for s in states] or not is_contiguous(w.spec.shape, w.stride) else w
        out = p.fresh(Spec((attrs["most"], *w.spec.shape), w.spec.dtype))
        stacked.append(out)
        around += [part, out]
        flow.slices.append((out, part, True))
    flow.slices = [*((a, b, False) for a, b in zip(whole, parts)), *flow.slices]
    _carry(p, list(zip(states, found)), node.label)
    if len(p.s.calls) == first:  # a block has a call at least
        p.copied((states + parts + [counter])[0], label=node.label)
        flow.counter, around = counter, [*around, counter]
    last = len(p.s.calls) - 1
    flow.blocks = [(first, last + 1 - first)]
    if flow.trips is not None:
        flow.trips.buffer.touched.append(first)
    for w in (*around, *states):
        w.buffer.touched += [first, last]
    for call in p.s.calls[first:]:
        if not conditional and trips is None:
            call.times = call.times * attrs["most"]
        for each in (*call.inputs, *call.outputs):
            if each is not None and min(each.buffer.touched) < first:
                each.buffer.touched.append(last)
    for inner in p.s.flows:
        if inner is not flow and inner.blocks and inner.blocks[0][0] >= first:
            for each in (inner.condition, inner.trips, *(w for a, b, _ in inner.slices for w in (a, b))):
                if each is not None and min(each.buffer.touched) < first:
                    each.buffer.touched.append(last)
    for i, w in enumerate([*states[len(start) - n :], *stacked]):
        w.buffer.writer = -1
        p.windows[Value(node, i)] = w


def _one(w: Window) -> Window:
    """A single element, however many dimensions it has."""
    return Window(w.buffer, Spec((), w.spec.dtype), (), w.offset)


def _carry(p: Scheduler, pairs: list[tuple[Window, Window]], label: str) -> None:
    """Copies what a step leaves to where the next one finds it: what lies in another state is taken out before any is written."""
    states = [s.buffer for s, _ in pairs]
    late = [(to, w) for to, w in pairs if not (w.buffer is to.buffer and w.whole)]
    staged = [(to, p.copied(w, label=label) if w.buffer in states else w) for to, w in late]
    for to, w in staged:
        p.copied(w, to, label)


FLOWS: dict[str, Callable[[Scheduler, Node], None]] = {"branch": branch, "loop": loop}
