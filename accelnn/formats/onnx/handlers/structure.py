"""Sequences, which are lists here: what they decide is known before the run."""

from __future__ import annotations

from typing import Any

import numpy as np

from .... import ops
from ..call import Call, register, shape_of
from ..values import numbers
from .flow import stacked
from .shapes import MOST_PIECES, taken


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
    if not isinstance(n, int) or n > MOST_PIECES:
        raise c.refuse(f"{n} pieces")
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
