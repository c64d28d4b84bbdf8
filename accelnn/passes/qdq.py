"""Networks between QuantizeLinear and DequantizeLinear, as exporters write them, on kernels of integers. What has none stays float32 between the two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.dims import product
from ..core.dispatch import run
from ..core.dtypes import DType
from ..core.graph import Graph, Node, Spec, Value, rewrite, users
from ..core.registry import OPS
from ..core.tensor import Tensor, tensor
from .build import constant, is_elementwise, made, only_user, reshaped

CARRIERS = ("max_pool2d", "reshape", "permute", "alias", "slice", "expand", "copy", "concat")  # the same numbers in other places
PRODUCTS = {"conv2d": "qconv2d", "matmul": "qmatmul"}


def _numbers(v: Value | None) -> np.ndarray | None:
    return np.asarray(v.node.data.numpy()) if v is not None and v.node.op == "constant" else None


def _const(x: Any, dtype: Any, label: str = "") -> Value:
    return constant(Tensor(tensor(np.asarray(x, dtype)).view, literal=True), label)


@dataclass(frozen=True)
class Coded:
    """Bytes, and what they mean: (value - zero) * scale."""

    value: Value
    scale: np.float32
    zero: int

    def same(self, scale: np.float32, zero: int) -> bool:
        return self.scale == scale and self.zero == zero


def step_of(node: Node) -> tuple[np.float32, int] | None:
    """Scale and zero point of quantize_linear or dequantize_linear, where they are one known number each."""
    scale, zero = _numbers(node.inputs[1]), _numbers(node.inputs[2]) if len(node.inputs) > 2 else np.zeros((), np.int32)
    known = scale is not None and zero is not None and scale.size == 1 and zero.size == 1
    return (np.float32(scale.reshape(())), int(zero.reshape(()))) if known and scale is not None and zero is not None else None


def _coded(v: Value | None) -> Coded | None:
    """v as uint8 bytes, where it is made of them."""
    if v is None or v.node.op != "dequantize_linear" or v.node.inputs[0].spec.dtype != DType.uint8 or v.node.inputs[0].node.op == "constant":
        return None
    step = step_of(v.node)
    return None if step is None else Coded(v.node.inputs[0], *step)


def unsigned(graph: Graph) -> Graph:
    """int8 between quantize_linear and dequantize_linear becomes uint8, 128 higher, with its zero points: what the kernels take."""
    readers = users(graph)

    def wider(zero: Value) -> Value:
        return _const(zero.node.data.numpy().astype(np.int32) + 128, np.uint8, zero.node.label)

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        if node.op == "quantize_linear" and node.outputs[0].dtype == DType.int8:
            found = readers.get(Value(node), [])
            plain = found and all(r is not node and r.op == "dequantize_linear" and len(r.inputs) > 2 and _numbers(r.inputs[2]) is not None for r in found)
            zero = inputs[2] if plain else None
            if zero is None or _numbers(zero) is None:
                return None
            return [made(node.op, *inputs[:2], wider(zero), label=node.label, **node.attrs)]
        x = inputs[0] if inputs else None
        if node.op == "dequantize_linear" and x is not None and x.spec.dtype != node.inputs[0].spec.dtype and inputs[2] is not None:
            return [made(node.op, *inputs[:2], wider(inputs[2]), label=node.label, **node.attrs)]
        return None

    return rewrite(graph, change)


def _weights(v: Value | None) -> tuple[np.ndarray, np.ndarray] | None:
    """int8 around zero, and scales that broadcast to them, of weights that are known; also transposed ones."""
    if v is None:
        return None
    node = v.node
    if node.op == "permute":
        inner = _weights(node.inputs[0])
        return None if inner is None else (inner[0].transpose(node.attrs["axes"]), inner[1].transpose(node.attrs["axes"]))
    q = _numbers(node.inputs[0]) if node.op == "dequantize_linear" else None
    if q is None or q.dtype not in (np.int8, np.uint8):
        return None
    scale, zero = _numbers(node.inputs[1]), _numbers(node.inputs[2]) if len(node.inputs) > 2 else np.zeros((), q.dtype)
    if scale is None or zero is None:
        return None
    wide = [-1 if i == node.attrs.get("axis", 1) % q.ndim else 1 for i in range(q.ndim)]
    scale, zero = (x.reshape([1] * q.ndim if x.size == 1 else wide) for x in (scale, zero))
    centred = q.astype(np.int32) - zero.astype(np.int32)
    return (centred.astype(np.int8), scale) if not centred.size or (centred.min() >= -128 and centred.max() <= 127) else None


def _bias(v: Value | None, scale: np.ndarray) -> np.ndarray | None:
    """int32 of a known bias, in steps of `scale`; zeros where there is none."""
    if v is None:
        return np.zeros(scale.shape, np.int32)
    if v.node.op == "dequantize_linear":
        step, q = _numbers(v.node.inputs[1]), _numbers(v.node.inputs[0])
        zero = _numbers(v.node.inputs[2]) if len(v.node.inputs) > 2 else np.zeros(1)
        found = None if q is None or step is None or zero is None or zero.any() else q.astype(np.float64) * step
    else:
        found = _numbers(v)
    if found is None or found.size != scale.size or not np.isfinite(found).all():
        return None
    whole = np.rint(found.reshape(-1).astype(np.float64) / scale)
    return whole.astype(np.int32) if np.abs(whole).max(initial=0) < 2**30 else None


def _product(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    """A convolution or product of bytes by known bytes, with a float32 result."""
    x, weights = _coded(inputs[0]), _weights(inputs[1])
    if x is None or weights is None or node.attrs.get("activation") or node.attrs.get("packed") or node.attrs.get("scale", 1.0) != 1.0:
        return None
    w, step = weights
    axis = 0 if node.op == "conv2d" else 1
    if w.ndim != (4 if axis == 0 else 2) or any(v is not None for v in inputs[3:]) or any(n != 1 for i, n in enumerate(step.shape) if i != axis):
        return None
    scale = np.broadcast_to(step.reshape(-1), (w.shape[axis],)).astype(np.float64) * float(x.scale)
    bias = _bias(inputs[2] if len(inputs) > 2 else None, scale)
    if bias is None:
        return None
    rows = x.value if axis == 0 or len(x.value.spec.shape) == 2 else reshaped(x.value, (product(x.value.spec.shape[:-1]), x.value.spec.shape[-1]))
    attrs = {k: v for k, v in node.attrs.items() if k not in ("activation", "packed", "columns", "scale", "exact", "out")}
    y = made(PRODUCTS[node.op], rows, _const(x.zero, np.uint8), _const(np.ascontiguousarray(w), np.int8, node.label), _const(scale, np.float32),
             _const(bias, np.int32), label=node.label, out="float32", relu=0, **attrs)  # fmt: skip
    return reshaped(y, tuple(node.outputs[0].shape))


def integer_kernels(graph: Graph) -> Graph:
    """Convolutions and products between dequantize_linear and quantize_linear, with a relu on the way, end in bytes; pools, windows and concatenations that
    keep scale and zero point move bytes."""
    graph = unsigned(graph)
    alone = only_user(graph)

    def ends(old: Value, new: Value, reader: Node, scale: np.float32, zero: int) -> Value | None:
        """The product that new is of, with bytes as its result."""
        if alone.get(old) is not reader:
            return None
        node = new.node
        if node.op in ("relu", "reshape"):
            if node.op == "reshape" and old.node.op != "reshape":       # made with the product
                inner = finished(node.inputs[0].node, scale, zero)
            else:
                inner = ends(old.node.inputs[0], node.inputs[0], old.node, scale, zero)
            if inner is None:
                return None
            if node.op == "reshape":
                return reshaped(inner, tuple(new.spec.shape))
            return _with_relu(inner)
        return finished(node, scale, zero)

    def finished(node: Node, scale: np.float32, zero: int) -> Value | None:
        if node.op not in PRODUCTS.values() or node.attrs.get("out") != "float32" or len(node.inputs) != 5 or not (scale > 0):
            return None
        by = _numbers(node.inputs[3])
        if by is None:
            return None
        out = _const(by.astype(np.float64) / float(scale), np.float32)
        return made(node.op, *node.inputs[:3], out, node.inputs[4], _const(zero, np.uint8), label=node.label, **{**node.attrs, "out": "uint8"})

    def with_bias(node: Node, inputs: Sequence[Value | None]) -> Value | None:
        """A known bias that is added to a product without one, as Gemm and MatMul of the files have it."""
        for i in (0, 1):
            x, other, old = inputs[i], inputs[1 - i], node.inputs[i]
            inner = x.node if x is not None and x.node.op in PRODUCTS.values() else x.node.inputs[0].node if x is not None and x.node.op == "reshape" else None
            if x is None or other is None or inner is None or inner.op not in PRODUCTS.values() or alone.get(old) is not node or len(inner.inputs) != 5:
                continue
            scale, before, channels = _numbers(inner.inputs[3]), _numbers(inner.inputs[4]), other.spec.shape
            row = channels[-1:] if inner.op == "qmatmul" else channels[-3:-2]
            if inner.attrs.get("out") != "float32" or before is None or before.any() or scale is None or product(channels) != len(scale) or row != scale.shape:
                continue
            bias = _bias(other, scale.astype(np.float64))
            if bias is not None:
                made_ = made(inner.op, *inner.inputs[:4], _const(bias, np.int32), label=inner.label, **inner.attrs)
                return reshaped(made_, tuple(node.outputs[0].shape)) if x.spec == node.outputs[0] else None
        return None

    def quantized(node: Node, inputs: Sequence[Value | None]) -> Value | None:
        step, x = step_of(node), inputs[0]
        if step is None or x is None or node.outputs[0].dtype != DType.uint8:
            return None
        if (found := ends(node.inputs[0], x, node, *step)) is not None:
            return found
        coded = _coded(x)
        if coded is not None and coded.same(*step):
            return coded.value
        if x.node.op in CARRIERS and x.index == 0 and alone.get(node.inputs[0]) is node:
            parts = [_coded(v) for v in x.node.inputs]
            if all(p is not None and p.same(*step) for p in parts):
                return made(x.node.op, *(p.value for p in parts if p is not None), label=x.node.label, **x.node.attrs)
        if x.node.op == "relu" and step[1] == 0 and (inner := _coded(x.node.inputs[0])) is not None and inner.same(*step):
            return inner.value
        return None

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        found = None
        if node.op in PRODUCTS:
            found = _product(node, inputs)
        elif node.op == "add":
            found = with_bias(node, inputs)
        elif node.op == "quantize_linear":
            found = quantized(node, inputs)
        return None if found is None else [found]

    return rewrite(graph, change)


def _with_relu(v: Value) -> Value | None:
    if v.node.op == "reshape":
        inner = _with_relu(v.node.inputs[0])
        return None if inner is None else reshaped(inner, tuple(v.spec.shape))
    return made(v.node.op, *v.node.inputs, label=v.node.label, **{**v.node.attrs, "relu": 1})


def chain_bytes(graph: Graph) -> Graph:
    """quantize_linear and dequantize_linear with one known step, beside pointwise functions, as pointwise functions: chains of them take in and give bytes."""
    alone = only_user(graph)

    def plain(v: Value | None) -> bool:
        return v is not None and is_elementwise(v.node)

    def opened(v: Value | None) -> Value | None:
        if v is None or v.node.op != "dequantize_linear" or v.node.inputs[0].spec.dtype not in (DType.uint8, DType.int8):
            return v
        step = step_of(v.node)
        return v if step is None else made("dequantize_by", v.node.inputs[0], scale=float(step[0]), zero=step[1], label=v.node.label)

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        if node.is_source:
            return None
        if is_elementwise(node):
            found = [opened(v) for v in inputs]
            if all(a is b for a, b in zip(found, inputs)):
                return None
            made_ = Node(node.op, found, node.attrs, node.outputs, node.label)
            return [Value(made_, i) for i in range(len(node.outputs))]
        if node.op == "quantize_linear" and node.outputs[0].dtype == DType.uint8 and (step := step_of(node)) is not None and inputs[0] is not None:
            x = opened(inputs[0])
            if x is not inputs[0] or (plain(x) and alone.get(node.inputs[0]) is node):
                return [made("quantize_by", x, scale=float(step[0]), zero=step[1], label=node.label)]
        return None

    return rewrite(graph, change)


def tables(graph: Graph) -> Graph:
    """A chain of functions from the bytes of one tensor to bytes is one of 256 numbers: looked up, whatever it computes."""

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        if node.op != "pointwise" or len(inputs) != 1 or len(node.outputs) != 1 or node.outputs[0].dtype != DType.uint8:
            return None
        x = inputs[0]
        if x is None or x.spec.dtype != DType.uint8 or x.spec.shape != node.outputs[0].shape or x.node.op == "constant":
            return None
        every, out = tensor(np.arange(256, dtype=np.uint8)), Spec((256,), DType.uint8)
        (found,) = run(OPS["pointwise"], [every.view], {**node.attrs, "shape": (256,)}, (out,))
        return [made("byte_table", x, constant(Tensor(found, literal=True), node.label), label=node.label)]

    return rewrite(graph, change)
