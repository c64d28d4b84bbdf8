"""Sums of 8-bit products whose only use is float32 numbers: the kernels end with those themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.dtypes import DType
from ..core.graph import Graph, Node, Value, rewrite
from ..core.tensor import Tensor, tensor
from ..ops.arithmetic import KINDS
from .build import constant, made, only_user, reshaped

SUMS = ("qmatmul", "qconv2d")
ADD, SUB, MUL = (KINDS.index(k) for k in ("add", "sub", "mul"))


def _bare(v: Value) -> Value:
    """What v is a window of that holds the same numbers in the same order."""
    while v.node.op in ("reshape", "expand", "alias") and v.spec.dtype == v.node.inputs[0].spec.dtype:
        v = v.node.inputs[0]
    return v


def _vector(v: Value, n: Any, axis: int, rank: int) -> Value | None:
    """A number, or one for each index of dimension `axis`, as float32[n]; made in the run where it is not known."""
    v = _bare(v)
    shape = tuple(v.spec.shape)
    if all(s == 1 for s in shape):
        if not isinstance(n, int):
            return None
        if v.node.op == "constant":
            return constant(Tensor(tensor(np.full(n, v.node.data.numpy().reshape(()), np.float32)).view, literal=True), v.node.label)
        ones = constant(Tensor(tensor(np.ones(n, np.float32)).view, literal=True), v.node.label)
        return made("mul", ones, reshaped(v, ()), label=v.node.label)
    full = (1,) * (rank - len(shape)) + shape
    return reshaped(v, (n,)) if len(full) == rank and full[axis] == n and all(s == 1 for i, s in enumerate(full) if i != axis % rank) else None


def _factor(s: Value, of: Value) -> Value | None:
    """w of s = of * w."""
    s = _bare(s)
    if s.node.op != "mul":
        return None
    for i in (0, 1):
        by: Value = s.node.inputs[1 - i]
        if _bare(s.node.inputs[i]) == of:
            return by
        if (inner := _factor(s.node.inputs[i], of)) is not None:
            return made("mul", inner, by, label=s.node.label)
    return None


def _dynamic(sums: Node, s: Value, channels: Any) -> Value | None:
    """The product whose rows are quantized inside of it, of what dynamic_quantize made of all of x."""
    q, zero, weights, *_ = sums.inputs
    source = _bare(q).node
    if sums.op != "qmatmul" or source.op != "dynamic_quantize" or _bare(zero) != Value(source, 2) or any(sums.inputs[4:]):
        return None
    of = _factor(s, Value(source, 1))
    scale = None if of is None else _vector(of, channels, -1, 2)
    if scale is None:
        return None
    return made("dynamic_qmatmul", reshaped(source.inputs[0], tuple(q.spec.shape)), weights, scale, whole=1, label=sums.label)


class _Floats:
    """The value T * s of an expression T of int32 sums, as expressions of float32 results."""

    def __init__(self, alone: dict[Value, Node | None]) -> None:
        self.alone = alone

    def of(self, old: Value, new: Value, s: Value, reader: Node) -> Value | None:
        if self.alone.get(old) is not reader:
            return None
        node = new.node
        if node.op in ("reshape", "expand"):
            shape = tuple(new.spec.shape)
            inner = self.of(old.node.inputs[0], node.inputs[0], s, old.node) if all(d == 1 for d in s.spec.shape) else None
            return None if inner is None else reshaped(inner, shape) if node.op == "reshape" else made("expand", inner, shape=shape, label=node.label)
        if node.op in SUMS and node.attrs.get("out") == "int32":
            return self.sums(node, s)
        if node.op != "arithmetic":
            return None
        kind = node.attrs["kind"]
        if kind == SUB:
            less = self.less(old.node.inputs[1], node.inputs[1], s, old.node)
            first = None if less is None else self.of(old.node.inputs[0], node.inputs[0], s, old.node)
            return None if first is None or less is None else made("sub", first, less, label=node.label)
        if kind == ADD:
            for i in (0, 1):
                found = self.of(old.node.inputs[i], node.inputs[i], s, old.node)
                with_bias = None if found is None else self.biased(found, node.inputs[1 - i], s)
                if with_bias is not None:
                    return with_bias
        return None

    def sums(self, node: Node, s: Value) -> Value | None:
        axis, rank = (1, 4) if node.op == "qconv2d" else (-1, 2)
        channels = node.outputs[0].shape[axis]
        dynamic = _dynamic(node, s, channels)
        scale = _vector(s, channels, axis, rank) if dynamic is None else None
        if dynamic is not None or scale is None:
            return dynamic
        return made(node.op, *node.inputs[:3], scale, *node.inputs[4:5], label=node.label, **{**node.attrs, "out": "float32"})

    def less(self, old: Value, new: Value, s: Value, reader: Node) -> Value | None:
        """Sums of the activations alone times what the weights still lack: sums * left * s."""
        if new.node.op == "expand":
            return self.less(old.node.inputs[0], new.node.inputs[0], s, old.node) if self.alone.get(old) is reader else None
        if new.node.op != "arithmetic" or new.node.attrs["kind"] != MUL or self.alone.get(old) is not reader:
            return None
        for i in (0, 1):
            other = _bare(new.node.inputs[1 - i])
            sums_old, sums_new = old.node.inputs[i], new.node.inputs[i]
            by = old.node
            while sums_new.node.op == "expand" and self.alone.get(sums_old) is by:
                by, sums_old, sums_new = sums_old.node, sums_old.node.inputs[0], sums_new.node.inputs[0]
            if other.node.op != "constant":
                continue
            whole = other.node.data.numpy().astype(np.float32)
            left = constant(Tensor(tensor(whole.reshape(()) if whole.size == 1 else whole).view, literal=True), new.node.label)
            if whole.size == 1:           # into the scale
                return self.of(sums_old, sums_new, made("mul", s, left, label=new.node.label), by)
            found = self.of(sums_old, sums_new, s, by)
            return None if found is None else made("mul", found, left, label=new.node.label)
        return None

    def biased(self, v: Value, bias: Value, s: Value) -> Value | None:
        """v + bias * s, where v ends in sums without one."""
        node = v.node
        if node.op == "sub":
            inner = self.biased(node.inputs[0], bias, s)
            return None if inner is None else made("sub", inner, node.inputs[1], label=node.label)
        if node.op not in SUMS or any(node.inputs[4:]) or bias.spec.dtype != DType.int32:
            return None
        axis, rank = (1, 4) if node.op == "qconv2d" else (-1, 2)
        while bias.node.op == "expand":
            bias = bias.node.inputs[0]
        channels, full = node.outputs[0].shape[axis], (1,) * (rank - len(bias.spec.shape)) + tuple(bias.spec.shape)
        fits = full[axis] == channels and all(d == 1 for i, d in enumerate(full) if i != axis % rank)
        return made(node.op, *node.inputs[:4], reshaped(bias, (channels,)), label=node.label, **node.attrs) if fits else None


def float_results(graph: Graph) -> Graph:
    """float(sums of 8-bit products) * scale, with a bias and what weights that do not fit int8 still lack, as the float32 results that qmatmul and qconv2d
    have themselves; of a matrix that was quantized in the run as dynamic_qmatmul, which quantizes it on its way to the products."""
    floats = _Floats(only_user(graph))

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        if node.op != "mul" or None in inputs:
            return None
        for i in (0, 1):
            old, new, s = node.inputs[i], inputs[i], inputs[1 - i]
            if new is None or s is None or new.node.op != "cast" or new.spec != node.outputs[0] or new.spec.dtype != DType.float32:
                continue
            if floats.alone.get(old) is not node or new.node.inputs[0].spec.dtype != DType.int32:
                continue
            found = floats.of(old.node.inputs[0], new.node.inputs[0], s, old.node)
            if found is not None:
                return [found if found.spec == node.outputs[0] else reshaped(found, tuple(node.outputs[0].shape))]
        return None

    return rewrite(graph, change)
