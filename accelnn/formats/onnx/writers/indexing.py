"""Elements by number."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....core.dtypes import DType
from ..step import Step, writes

REDUCTIONS = ("none", "add", "mul", "max", "min")


def _index(s: Step, index: str, i: int = 1) -> str:
    return index if s.spec(i).dtype in (DType.int32, DType.int64) else s.cast(index, DType.int64)


@writes("take", "embedding")
def _(s: Step, x: str, index: str) -> Any:
    axis, skip, spec = s.whole("axis"), s.whole("skip"), s.spec(1)
    at = _index(s, index)
    y = s.add("Gather", x, at, axis=axis)
    if skip < 0 or s.op == "embedding":
        return y
    storage = (spec.dtype if spec.dtype == DType.int32 else DType.int64).storage
    size: Any = s.add("Squeeze", s.ints(s.spec().shape[axis]))
    size = size if storage == np.int64 else s.cast(size, DType.int32)
    front = s.add("Where", s.add("Less", at, s.const(0, storage)), s.add("Add", at, size), at)
    missing = s.add("Equal", front, s.const(skip, storage))
    behind = len(s.spec().shape) - axis - 1
    if behind:
        missing = s.add("Unsqueeze", missing, s.ints(*range(-behind, 0)))
    dtype = s.spec().dtype
    work = DType.int64 if dtype == DType.uint64 else s.counted(dtype)
    y = s.add("Where", missing, s.const(0, work.storage), y if work == dtype else s.cast(y, work))
    return y if work == dtype else s.cast(y, dtype)


@writes("gather")
def _(s: Step, x: str, index: str) -> Any:
    for axis, (n, have) in enumerate(zip(s.spec(1).shape, s.spec().shape)):
        if axis != s["axis"] and n != have:  # runtimes differ in whether an index may be smaller; a cut is right everywhere
            x = s.slice(x, axis, 0, n)
    return s.add("GatherElements", x, _index(s, index), axis=s.whole("axis"))


@writes("scatter")
def _(s: Step, x: str, index: str, updates: str) -> Any:
    for axis, (n, have) in enumerate(zip(s.spec(1).shape, s.spec(2).shape)):
        if n != have:
            updates = s.slice(updates, axis, 0, n)
    return s.add("ScatterElements", x, _index(s, index), updates, axis=s.whole("axis"), reduction=REDUCTIONS[s.whole("reduce")])


def _wide(s: Step, index: str) -> str:
    return index if s.spec(1).dtype == DType.int64 else s.cast(index, DType.int64)


@writes("gather_nd")
def _(s: Step, x: str, index: str) -> Any:
    return s.add("GatherND", x, _wide(s, index), batch_dims=s.whole("batch"))


@writes("scatter_nd")
def _(s: Step, x: str, index: str, updates: str) -> Any:
    return s.add("ScatterND", x, _wide(s, index), updates, reduction=REDUCTIONS[s.whole("reduce")])


@writes("take_grad")
def _(s: Step, dy: str, index: str) -> Any:
    axis, skip = s.whole("axis"), s.whole("skip")
    if axis or skip >= 0:
        s.refuse("the gradient of rows along another dimension than the first, or with a row that is left out")
    zeros = s.add("Expand", s.const(0.0), s.ints(*s.outputs[0].shape))
    return s.add("ScatterND", zeros, s.add("Unsqueeze", _wide(s, index), s.ints(-1)), dy, reduction="add")
