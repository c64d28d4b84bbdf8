"""Control flow and sequences, where what they decide is known before the run."""

from __future__ import annotations

from typing import Any

import numpy as np

from .... import ops
from ..call import Call, register, shape_of
from ..values import numbers
from .shapes import taken

MOST_STEPS = 100_000


@register("If")
def _(c: Call, condition: Any) -> Any:
    c.ignore("then_branch", "else_branch")
    branch = "then_branch" if bool(c.number(condition, "the condition")) else "else_branch"
    return tuple(c.scope.run(c.attrs[branch]))


@register("Loop")
def _(c: Call, trips: Any, condition: Any = None, *state: Any) -> Any:
    """Unrolled: the number of steps is known, or the condition is in every step."""
    body = c.attrs["body"]
    names = [i.name for i in body.input]
    most = MOST_STEPS if trips is None else int(c.number(trips, "the trip count"))
    going = True if condition is None else bool(c.number(condition, "the condition"))
    carried: list[Any] = list(state)
    scanned: list[list[Any]] = [[] for _ in range(len(body.output) - 1 - len(carried))]
    step = 0
    while going and step < most:
        if step >= MOST_STEPS:
            raise c.refuse(f"more than {MOST_STEPS} steps")
        inner = type(c.scope)(c.scope.work, c.scope)
        inner.values.update(zip(names, [np.asarray(step, np.int64), np.asarray(True), *carried]))
        inner.load(body)
        found = [inner[o.name] for o in body.output]
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
    return ops.stack([c.tensor(v) for v in values], axis)


@register("Scan")
def _(c: Call, *inputs: Any) -> Any:
    if c.opset < 9:
        raise c.refuse("the batched form of opset 8")
    body, n = c.attrs["body"], int(c.get("num_scan_inputs"))
    states, scans = list(inputs[: len(inputs) - n]), inputs[len(inputs) - n :]
    outputs = len(body.output) - len(states)
    axes, directions = c.ints("scan_input_axes", (0,) * n), c.ints("scan_input_directions", (0,) * n)
    out_axes, out_directions = c.ints("scan_output_axes", (0,) * outputs), c.ints("scan_output_directions", (0,) * outputs)
    steps: Any = shape_of(scans[0])[axes[0]]
    if not isinstance(steps, int):
        raise c.refuse("a scan over a dimension of unknown size")
    scanned: list[list[Any]] = [[] for _ in range(outputs)]
    for step in range(steps):
        inner = type(c.scope)(c.scope.work, c.scope)
        slices = []
        for x, axis, back in zip(scans, axes, directions):
            one = taken(c, x, axis, steps - 1 - step if back else step, 1)
            shape = [s for i, s in enumerate(shape_of(one)) if i != axis % len(shape_of(one))]
            slices.append(one.reshape(*shape))
        inner.values.update(zip([i.name for i in body.input], [*states, *slices]))
        inner.load(body)
        found = [inner[o.name] for o in body.output]
        states = found[: len(states)]
        for kept, value in zip(scanned, found[len(states) :]):
            kept.append(value)
    return (*states, *[stacked(c, values[::-1] if back else values, axis) for values, axis, back in zip(scanned, out_axes, out_directions)])


@register("SequenceConstruct")
def _(c: Call, *inputs: Any) -> Any:
    return list(inputs)


@register("SequenceEmpty")
def _(c: Call) -> Any:
    c.ignore("dtype")
    return []


@register("SequenceAt")
def _(c: Call, sequence: Any, position: Any) -> Any:
    return sequence[int(c.number(position, "position"))]


@register("SequenceLength")
def _(c: Call, sequence: Any) -> Any:
    return np.asarray(len(sequence), np.int64)


@register("SequenceInsert")
def _(c: Call, sequence: Any, x: Any, position: Any = None) -> Any:
    found = list(sequence)
    found.insert(len(found) if position is None else int(c.number(position, "position")), x)
    return found


@register("SequenceErase")
def _(c: Call, sequence: Any, position: Any = None) -> Any:
    found = list(sequence)
    del found[-1 if position is None else int(c.number(position, "position"))]
    return found


@register("SplitToSequence")
def _(c: Call, x: Any, split: Any = None) -> Any:
    axis = int(c.get("axis", 0)) % len(shape_of(x))
    c.ignore("keepdims")
    n: Any = shape_of(x)[axis]
    if split is None:
        sizes, keep = [1] * n, bool(c.get("keepdims", 1))
    else:
        given, keep = c.sizes(split, "split"), True
        sizes = given if np.ndim(split) else [min(given[0], n - i) for i in range(0, n, given[0])]
    found, at = [], 0
    for s in sizes:
        one = taken(c, x, axis, at, s)
        at += s
        found.append(one if keep else one.reshape(*[d for i, d in enumerate(shape_of(one)) if i != axis]))
    return found


@register("ConcatFromSequence")
def _(c: Call, sequence: Any) -> Any:
    axis = int(c.get("axis"))
    if c.get("new_axis", 0):
        return stacked(c, list(sequence), axis)
    arrays = [numbers(v) for v in sequence]
    if all(a is not None for a in arrays):
        return np.concatenate([a for a in arrays if a is not None], axis)
    return ops.cat([c.tensor(v) for v in sequence], axis)
