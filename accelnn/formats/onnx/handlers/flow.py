"""Control flow. What is known before the run decides at once: a branch is left out, the few steps of a loop stand one after the other. Elsewhere the
engine decides (core/flow.py), and shapes are the same on every way; where they cannot be, the value that decides is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .... import ops
from ....core.dims import Size
from ....core.dtypes import DType
from ....core.errors import Error
from ....core.flow import ENDLESS, branch, loop
from ....core.tensor import Tensor
from ..call import Call, ValueNeeded, register, shape_of
from ..values import numbers
from .shapes import taken

MOST_STEPS = 100_000
FEW_STEPS, FEW_NODES = 16, 256  # loops of no more are unrolled: passes then see one step beside the next


@register("If")
def _(c: Call, condition: Any) -> Any:
    bodies = [c.attrs["then_branch"], c.attrs["else_branch"]]
    if isinstance(condition, Tensor):
        try:
            return branch(c.tensor(condition, DType.bool), *[lambda body=b: [c.tensor(x) for x in c.scope.run(body)] for b in bodies])
        except (Error, ValueNeeded) as reason:
            c.number(condition, f"its bodies do not fit into one network ({reason}), and the condition")
    return tuple(c.scope.run(bodies[0] if bool(c.number(condition, "the condition")) else bodies[1]))


def _nodes(graph: Any) -> int:
    return sum(1 + sum(_nodes(a.g) for a in n.attribute if a.HasField("g")) for n in graph.node)


def _first_of(ways: Sequence[Callable[[], Any]]) -> Any:
    """What the first way gives that can be gone; that of a value is asked for rather than another error told."""
    reasons: list[Exception] = []
    for way in ways:
        try:
            return way()
        except (Error, ValueNeeded) as reason:
            reasons.append(reason)
    raise next((r for r in reasons if isinstance(r, ValueNeeded)), reasons[0])


def _inner(c: Call, body: Any, inputs: Sequence[Any]) -> list[Any]:
    """The body's outputs for these inputs."""
    scope = type(c.scope)(c.scope.work, c.scope)
    scope.values.update(zip([i.name for i in body.input], inputs))
    scope.load(body)
    return [scope[o.name] for o in body.output]


def _tensors(c: Call, values: Sequence[Any]) -> list[Tensor]:
    return [c.tensor(v) for v in values]


@register("Loop")
def _(c: Call, trips: Any, condition: Any = None, *state: Any) -> Any:
    body = c.attrs["body"]
    steps = None if trips is None else trips if isinstance(trips, Tensor) else c.number(trips, "the trip count")
    few = isinstance(steps, int) and steps <= FEW_STEPS and steps * _nodes(body) <= FEW_NODES and not isinstance(condition, Tensor)
    ways = [lambda: _looped(c, body, steps, condition, list(state)), lambda: _unrolled(c, body, trips, condition, list(state))]
    return _first_of(ways[::-1] if few else ways)


def _looped(c: Call, body: Any, steps: Any, condition: Any, state: Sequence[Any]) -> Any:
    """The engine counts the steps."""
    known = None if isinstance(condition, Tensor) else condition is None or bool(c.number(condition, "the condition"))

    def step(counter: Tensor, before: Sequence[Tensor], _: Sequence[Tensor]) -> Any:
        going, *found = _inner(c, body, [counter, np.asarray(True), *before])
        always = known is not None and numbers(going) is not None and bool(c.number(going, "the condition"))
        return None if always else c.tensor(going, DType.bool), _tensors(c, found[: len(state)]), _tensors(c, found[len(state) :])

    if known is False or (isinstance(steps, int) and steps < 0):
        steps = 0
    limits: dict[str, Any] = {"trips": c.tensor(steps, DType.int64)} if isinstance(steps, Tensor) else {"most": ENDLESS if steps is None else steps}
    return loop(step, _tensors(c, state), (), condition=condition if isinstance(condition, Tensor) else None, **limits)


def _unrolled(c: Call, body: Any, trips: Any, condition: Any, carried: list[Any]) -> Any:
    """The number of steps is known, or the condition is in every step."""
    most = MOST_STEPS if trips is None else c.number(trips, "the trip count")
    if isinstance(most, Size):
        raise c.refuse("a loop over a dimension of unknown size")
    going = True if condition is None else bool(c.number(condition, "the condition"))
    scanned: list[list[Any]] = [[] for _ in range(len(body.output) - 1 - len(carried))]
    step = 0
    while going and step < most:
        if step >= MOST_STEPS:
            raise c.refuse(f"more than {MOST_STEPS} steps")
        found = _inner(c, body, [np.asarray(step, np.int64), np.asarray(True), *carried])
        carried = found[1 : 1 + len(carried)]
        for kept, value in zip(scanned, found[1 + len(carried) :]):
            kept.append(value)
        step += 1
        if step < most:
            going = bool(c.number(found[0], "the condition"))
    return (*carried, *[stacked(c, values) for values in scanned])


def stacked(c: Call, values: list[Any], axis: int = 0) -> Any:
    if not values:
        raise c.refuse("a loop without a step whose results are stacked")
    arrays = [numbers(v) for v in values]
    if all(a is not None for a in arrays):
        return np.stack([a for a in arrays if a is not None], axis)
    return ops.stack(_tensors(c, values), axis)


@register("Scan")
def _(c: Call, *inputs: Any) -> Any:
    body, n = c.attrs["body"], int(c.get("num_scan_inputs"))
    if c.opset < 9:
        return _batched(c, body, n, *inputs)
    states, scans = list(inputs[: len(inputs) - n]), list(inputs[len(inputs) - n :])
    outputs = len(body.output) - len(states)
    axes, directions = c.ints("scan_input_axes", (0,) * n), c.ints("scan_input_directions", (0,) * n)
    out_axes, out_directions = c.ints("scan_output_axes", (0,) * outputs), c.ints("scan_output_directions", (0,) * outputs)
    if not scans or len(axes) != n or len(directions) != n or len(out_axes) != outputs or len(out_directions) != outputs:
        raise c.bad("inputs and outputs without an axis or a direction")
    found, results = _scanned(c, body, states, list(zip(scans, axes, directions)), outputs)
    return (*found, *[_placed(c, y, axis, back) for y, axis, back in zip(results, out_axes, out_directions)])


def _placed(c: Call, y: Any, axis: int, back: int) -> Any:
    """Steps that are stacked along the first axis, along the one where they are wanted."""
    if not axis and not back:
        return y
    t = c.tensor(y)
    t = ops.flip(t, 0) if back else t
    order = list(range(1, t.ndim))
    order.insert(axis + t.ndim if axis < 0 else axis, 0)
    return t.permute(*order) if order[0] else t


def _scanned(c: Call, body: Any, states: list[Any], scans: Sequence[tuple[Any, int, int]], outputs: int) -> tuple[list[Any], list[Any]]:
    """The last states, and what each step gives, stacked. scans: (array, axis, whether from its end)."""
    whole, axis, _ = scans[0]
    if not -len(shape_of(whole)) <= axis < len(shape_of(whole)):
        raise c.bad(f"axis {axis} of {len(shape_of(whole))} dimensions")
    steps: Any = shape_of(whole)[axis]
    few = isinstance(steps, int) and 0 < steps <= FEW_STEPS and steps * _nodes(body) <= FEW_NODES

    def looped() -> tuple[list[Any], list[Any]]:
        def step(_: Tensor, before: Sequence[Tensor], parts: Sequence[Tensor]) -> Any:
            found = _inner(c, body, [*before, *parts])
            return None, _tensors(c, found[: len(states)]), _tensors(c, found[len(states) :])

        turned = []
        for x, axis, back in scans:
            t = c.tensor(x)
            axis %= t.ndim
            t = t.permute(axis, *[i for i in range(t.ndim) if i != axis]) if axis else t
            turned.append(ops.flip(t, 0) if back else t)
        found = list(loop(step, _tensors(c, states), turned, most=steps))
        return found[: len(states)], found[len(states) :]

    def unrolled() -> tuple[list[Any], list[Any]]:
        if not isinstance(steps, int):
            raise c.refuse("a scan over a dimension of unknown size")
        if steps * max(1, _nodes(body)) > MOST_STEPS:
            raise c.refuse(f"{steps} steps one beside the other: more than {MOST_STEPS} nodes")
        carried, results = states, [[] for _ in range(outputs)]  # type: list[Any], list[list[Any]]
        for k in range(steps):
            parts = []
            for x, axis, back in scans:
                one = taken(c, x, axis, steps - 1 - k if back else k, 1)
                parts.append(one.reshape(*[s for i, s in enumerate(shape_of(one)) if i != axis % len(shape_of(one))]))
            found = _inner(c, body, [*carried, *parts])
            carried = found[: len(states)]
            for kept, value in zip(results, found[len(states) :]):
                kept.append(value)
        return carried, [stacked(c, values) for values in results]

    ways = [looped, unrolled]
    return _first_of(ways[::-1] if few else ways)


def _batched(c: Call, body: Any, n: int, lengths: Any, *inputs: Any) -> Any:
    """Scan of opset 8: a batch in front of states and sequences; each of it is scanned by itself."""
    if lengths is not None:
        raise c.refuse("sequences of different lengths in one batch")
    directions, states = c.ints("directions", (0,) * n), len(inputs) - n
    batch = shape_of(inputs[0])[0]
    if not isinstance(batch, int) or not 0 < batch <= FEW_STEPS:
        raise c.refuse(f"a batch of {batch}")
    found = []
    for b in range(batch):
        one = [(t := taken(c, x, 0, b, 1)).reshape(*shape_of(t)[1:]) for x in inputs]
        scans = [(x, 0, back) for x, back in zip(one[states:], directions)]
        last, results = _scanned(c, body, one[:states], scans, len(body.output) - states)
        found.append([*last, *results])
    return tuple(stacked(c, list(values)) for values in zip(*found))
