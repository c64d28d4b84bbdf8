"""Elements moved: views, copies, joints, cuts, pads."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....core.dims import Size
from ....core.dtypes import DType, as_dtype
from ....ops.arrange import MODES
from ..step import Step, writes

TO_THE_START = -(1 << 62)
PAD_MODES = dict(zip(MODES, ("constant", "reflect", "edge", "wrap")))


@writes("reshape")
def _(s: Step, x: str) -> Any:
    return s.reshape(x, s.outputs[0].shape)


@writes("permute")
def _(s: Step, x: str) -> Any:
    return s.transpose(x, *s["axes"])


@writes("expand")
def _(s: Step, x: str) -> Any:
    return s.add("Expand", x, s.ints(*s.outputs[0].shape))


@writes("slice")
def _(s: Step, x: str) -> Any:
    start, length, step = s["start"], s["length"], s["step"]
    end = start + (length - 1) * step + (1 if step > 0 else -1)
    if not isinstance(length, Size) and length < 1:
        end = start
    elif not isinstance(end, Size) and end < 0:
        end = TO_THE_START
    elif isinstance(end, Size) and step < 0:
        s.refuse("a backward slice of a size that is not known")
    return s.slice(x, s["axis"], start, end, step)


@writes("alias", "detach", "copy")
def _(s: Step, x: str) -> Any:
    return s.add("Identity", x)


@writes("cast")
def _(s: Step, x: str) -> Any:
    return s.cast(x, as_dtype(s["dtype"]))


@writes("concat")
def _(s: Step, *x: str) -> Any:
    return s.add("Concat", *x, axis=s.whole("axis"))


@writes("flip")
def _(s: Step, x: str) -> Any:
    axes = s["axes"]
    if not axes:
        return s.add("Identity", x)
    return s.add("Slice", x, s.ints(*[-1] * len(axes)), s.ints(*[TO_THE_START] * len(axes)), s.ints(*axes), s.ints(*[-1] * len(axes)))


def _spread(s: Step, x: str, axis: int, step: int, value: str) -> str:
    """step - 1 values behind each element of a dimension but the last."""
    x = s.add("Unsqueeze", x, s.ints(axis + 1))
    rank = len(s.spec().shape) + 1
    x = s.add("Pad", x, s.ints(*[0] * rank, *[step - 1 if d == axis + 1 else 0 for d in range(rank)]), value)
    shape = [0 if d != axis else -1 for d in range(rank - 1)]  # ONNX's 0: as it was; -1: what is left
    before, after = shape[:axis], shape[axis + 1 :]
    if any(n == 0 for n in s.spec().shape):
        s.refuse("spreading no elements")
    x = s.add("Reshape", s.transpose(x, *[d for d in range(rank) if d < axis], *range(axis + 2, rank), axis, axis + 1),
              s.ints(*before, *after, -1))  # fmt: skip
    order = [*range(axis), rank - 2, *range(axis, rank - 2)]
    return s.slice(s.transpose(x, *order), axis, 0, -(step - 1))


@writes("pad")
def _(s: Step, x: str) -> Any:
    spec, low, high, mode = s.spec(), list(s["low"]), list(s["high"]), PAD_MODES[MODES[s.whole("mode")]]
    work = spec.dtype if spec.dtype in (DType.int8, DType.uint8, DType.bool) else DType.int64 if spec.dtype == DType.uint64 else s.counted(spec.dtype)
    x = x if work == spec.dtype else s.cast(x, work)
    value = s.const(np.array(s["value"]).astype(work.storage), work.storage)
    for axis, step in enumerate(s["step"] or ()):
        if step > 1:
            x = _spread(s, x, axis, step, value)
    for sizes in (low, high):
        if any(isinstance(n, Size) and n.range()[0] < 0 for n in sizes):
            s.refuse("padding of which nobody knows whether it adds or takes away")
    grown = [[n if isinstance(n, Size) or n > 0 else 0 for n in sizes] for sizes in (low, high)]
    if any(isinstance(n, Size) or n for n in (*grown[0], *grown[1])):
        x = s.add("Pad", x, s.ints(*grown[0], *grown[1]), value if mode == "constant" else None, mode=mode)
    for axis, (a, b) in enumerate(zip(low, high)):
        if (not isinstance(a, Size) and a < 0) or (not isinstance(b, Size) and b < 0):
            x = s.slice(x, axis, max(-a, 0), b if b < 0 else 1 << 62)
    return x if work == spec.dtype else s.cast(x, spec.dtype)
