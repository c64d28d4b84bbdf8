"""Products of matrices, softmax, attention, reductions, running sums, orders."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ....core.dtypes import DType
from ....ops.attention import LOWER_RIGHT
from ....ops.matmul import unpack
from ....ops.weight_only import unpack_int4
from ..step import Step, writes
from .pointwise import activate


@writes("matmul")
def _(s: Step, a: str, b: str, bias: str | None = None, residual: str | None = None) -> Any:
    if s["packed"]:
        b = s.unpacked(1, lambda panels: unpack(panels, int(s.spec().shape[-1]), int(s["columns"])))  # type: ignore[arg-type]
    names = [None if x is None else s.float(x, s.spec(i)) for i, x in enumerate((a, b, bias, residual))]
    y = s.add("MatMul", names[0], names[1])
    if s["scale"] != 1:
        y = s.add("Mul", y, s.const(s["scale"]))
    for more in (names[3], names[2]):
        y = y if more is None else s.add("Add", y, more)
    y = activate(s, y, s.whole("activation"))
    return y if s.outputs[0].dtype == DType.float32 else s.cast(y, s.outputs[0].dtype)


@writes("matmul_int4")
def _(s: Step, a: str, w: str, bias: str | None = None) -> Any:
    """Weights of four bits stay it: DequantizeLinear of blocks, which runtimes join with the product. Activations in int8, as `compute` may ask for, are
    float32 here: what both promise is the product of these weights."""
    packed, group = s.known(1), s.whole("group")
    if packed is None:
        s.refuse("packed weights that are no constants")
    q, scales, zeros = unpack_int4(packed, int(s.spec().shape[-1]), int(s["columns"]), group, s.whole("zero_points"))  # type: ignore[arg-type]
    b = s.add("DequantizeLinear", s.work.nibbles(q), s.const(scales), s.work.nibbles(zeros), axis=0, block_size=group)
    y = s.add("MatMul", a, b)
    return y if bias is None else s.add("Add", y, bias)


@writes("softmax", "log_softmax")
def _(s: Step, x: str) -> Any:
    return s.add("Softmax" if s.op == "softmax" else "LogSoftmax", x, axis=-1)


@writes("softmax_axis")
def _(s: Step, x: str) -> Any:
    return s.add("LogSoftmax" if s["log"] else "Softmax", x, axis=s.whole("axis"))


@writes("one_hot")
def _(s: Step, x: str) -> Any:
    return s.add("OneHot", x, s.ints(s["classes"]), s.const([0.0, 1.0]), axis=-1)


def _heads(s: Step, x: str, i: int) -> str:
    """Keys or values, each head as often as queries share it."""
    b, groups, n, e = s.spec(i).shape
    heads: Any = s.spec(0).shape[1]
    if groups == heads:
        return x
    wide = s.add("Expand", s.add("Unsqueeze", x, s.ints(2)), s.ints(b, groups, heads // groups, n, e))
    return s.reshape(wide, (b, heads, n, e))


def _positions(s: Step, n: Any) -> str:
    return str(s.add("Range", s.const(0, np.int64), s.add("Squeeze", s.ints(n)), s.const(1, np.int64)))


def _seen(s: Step, lengths: str | None) -> str | None:
    """bool that broadcasts to [B, H, L, S]: which keys a query sees; None: all."""
    queries, keys, causal = s.spec(0).shape[2], s.spec(1).shape[2], s.whole("causal")
    if lengths is None and not causal:
        return None
    j = _positions(s, keys)
    n = None if lengths is None else s.add("Unsqueeze", s.add("Min", s.add("Max", lengths, s.ints(0)), s.ints(keys)), s.ints(1, 2, 3))
    seen = None if n is None else s.add("Less", j, n)
    if causal:
        last = s.add("Unsqueeze", _positions(s, queries), s.ints(1))
        if causal == LOWER_RIGHT:
            last = s.add("Add", last, s.add("Sub", s.ints(keys) if n is None else n, s.ints(queries)))
        before = s.add("LessOrEqual", j, last)
        seen = before if seen is None else s.add("And", seen, before)
    return seen


@writes("attention")
def _(s: Step, q: str, k: str, v: str, mask: str | None = None, lengths: str | None = None, state: str | None = None, *starts: str | None) -> Any:
    if s["dropout"] or any(x is not None for x in starts):
        s.refuse("dropout, and several sequences in one row")
    y, scores = _attended(s, q, k, v, mask, lengths)
    return y, s.add("ReduceLogSumExp", scores, s.ints(-1), keepdims=0) if s.wanted[1] else ""


def _attended(s: Step, q: str, k: str, v: str, mask: str | None, lengths: str | None) -> tuple[str, str]:
    """The answers and the scores."""
    scale = s["scale"] or 1 / math.sqrt(s.spec(0).shape[3])  # type: ignore[arg-type]
    scores = s.add("MatMul", s.add("Mul", q, s.const(scale)), s.transpose(_heads(s, k, 1), 0, 1, 3, 2))
    none, hidden = s.const(-math.inf), lengths is not None or bool(s["causal"])
    if mask is not None:
        hidden = True
        scores = s.add("Where", mask, scores, none) if s.spec(3).dtype == DType.bool else s.add("Add", scores, mask)
    seen = _seen(s, lengths)
    scores = scores if seen is None else s.add("Where", seen, scores, none)
    weights = s.add("Softmax", scores, axis=-1)
    if hidden:  # a query that sees no key has the answer 0, not 0 / 0
        top = s.add("ReduceMax", scores, s.ints(-1), keepdims=1)
        weights = s.add("Where", s.add("Equal", top, none), s.const(0.0), weights)
    return s.add("MatMul", weights, _heads(s, v, 2)), scores


@writes("attention_decode")
def _(s: Step, q: str, k: str, v: str, lengths: str | None = None, k_scale: str | None = None, v_scale: str | None = None) -> Any:
    caches = []
    for i, (cache, scale) in enumerate(((k, k_scale), (v, v_scale))):
        wide = s.float(cache, s.spec(1 + i))
        caches.append(wide if scale is None else s.add("Mul", wide, s.add("Unsqueeze", scale, s.ints(-1))))
    return _attended(s, q, caches[0], caches[1], None, lengths)[0]


for _op, _type in (("sum", "ReduceSum"), ("mean", "ReduceMean"), ("max", "ReduceMax"), ("min", "ReduceMin"), ("prod", "ReduceProd")):
    writes(_op)(lambda s, x, t=_type: s.add(t, x, s.ints(*s["axes"]), keepdims=int(s["keepdim"])) if s["axes"] else s.add("Identity", x))


@writes("argmax")
def _(s: Step, x: str) -> Any:
    dtype = s.spec().dtype
    if dtype == DType.int64:
        s.refuse("places of the largest of int64: onnxruntime has no kernel for it")
    if dtype == DType.uint32:
        s.refuse("places of the largest of uint32: onnxruntime has no kernel for it")
    work = x if s.counted(dtype) == dtype else s.cast(x, s.counted(dtype))
    return s.add("ArgMin" if s["least"] else "ArgMax", work, axis=s.whole("axis"), keepdims=int(s["keepdim"]), select_last_index=int(s["last"]))


@writes("topk")
def _(s: Step, x: str) -> Any:
    dtype = s.spec().dtype
    work = s.counted(dtype)
    narrow = dtype != work
    values, places = s.add("TopK", s.cast(x, work) if narrow else x, s.ints(s["k"]), outputs=2, axis=-1, largest=int(s["largest"]), sorted=1)
    return s.cast(values, dtype) if narrow else values, places


@writes("cumsum")
def _(s: Step, x: str) -> Any:
    work = DType.int64 if s.spec().dtype == DType.uint64 else s.counted(s.spec().dtype)
    y = s.add("CumSum", x if work == s.spec().dtype else s.cast(x, work), s.const(s.whole("axis"), np.int64),
              exclusive=int(s["exclusive"]), reverse=int(s["reverse"]))  # fmt: skip
    return y if work == s.spec().dtype else s.cast(y, s.spec().dtype)


@writes("rotary")
def _(s: Step, x: str, cos: str, sin: str, positions: str | None = None) -> Any:
    r: Any = s.spec(1).shape[2]
    if positions is None:
        c, d = (s.add("Unsqueeze", t, s.ints(1)) for t in (cos, sin))
    elif s.spec(1).shape[0] == 1:
        c, d = (s.add("Unsqueeze", s.add("Gather", s.add("Squeeze", t, s.ints(0)), positions, axis=0), s.ints(1)) for t in (cos, sin))
    else:
        at = s.add("Unsqueeze", positions, s.ints(-1))
        c, d = (s.add("Unsqueeze", s.add("GatherND", t, at, batch_dims=1), s.ints(1)) for t in (cos, sin))
    d = s.add("Neg", d) if s["inverse"] else d
    turned = bool(s["interleaved"])
    a = s.slice(x, 3, 0, 2 * r if turned else r, 2 if turned else 1)
    b = s.slice(x, 3, 1 if turned else r, 2 * r, 2 if turned else 1)
    first = s.add("Sub", s.add("Mul", a, c), s.add("Mul", b, d))
    second = s.add("Add", s.add("Mul", b, c), s.add("Mul", a, d))
    if turned:
        pair = s.add("Concat", *(s.add("Unsqueeze", t, s.ints(-1)) for t in (first, second)), axis=-1)
        b_, h, length, _ = s.spec().shape
        both = s.reshape(pair, (b_, h, length, 2 * r))
    else:
        both = s.add("Concat", first, second, axis=-1)
    rest = s.slice(x, 3, 2 * r, 1 << 62)
    return both if s.spec().shape[3] == 2 * r else s.add("Concat", both, rest, axis=-1)


@writes("random_uniform")
def _(s: Step, *_: str) -> Any:
    s.refuse("random numbers of a counter that is part of the graph")
