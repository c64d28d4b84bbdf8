"""Formulas that exporters take apart, as the one op that they were: activations, normalizations, attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..core.dtypes import DType
from ..core.graph import Graph, Node, Spec, Value, rewrite
from .algebra import factors, is_product, line, near, terms
from .build import literal, made, number, reshaped

Idiom = Callable[[Value], Value | None]


def _scaled(v: Value) -> tuple[float, Value]:
    """v = number * value, as far as it is written so."""
    scale = 1.0
    while True:
        known = [literal(operand) for operand in v.node.inputs[:2]] if v.node.op in ("mul", "div") else []
        if known and known[1] is not None and v.node.inputs[0].spec == v.spec and (known[1] or v.node.op == "mul"):
            scale, v = (scale * known[1] if v.node.op == "mul" else scale / known[1]), v.node.inputs[0]
        elif v.node.op == "mul" and known[0] is not None and v.node.inputs[1].spec == v.spec:
            scale, v = scale * known[0], v.node.inputs[1]
        else:
            return scale, v


def _one_plus(v: Value, op: str) -> Value | None:
    """x of v = 1 + op(x)."""
    number, rest = terms(v)
    return rest[0].node.inputs[0] if number == 1.0 and len(rest) == 1 and rest[0].node.op == op else None


def _clamped(v: Value) -> tuple[Value, float, float] | None:
    """x, low, high of v = min(max(x, low), high)."""
    low, high = -math.inf, math.inf
    for _ in range(2):
        op, inputs = v.node.op, v.node.inputs
        if op == "hardtanh":
            low, high, v = max(low, v.node.attrs["low"]), min(high, v.node.attrs["high"]), inputs[0]
            break
        if op == "relu" and low == -math.inf:
            low, v = 0.0, inputs[0]
            continue
        if op not in ("minimum", "maximum"):
            break
        known = literal(inputs[1])
        if known is None or inputs[0].spec != v.spec:
            break
        if op == "minimum" and high == math.inf:
            high = known
        elif op == "maximum" and low == -math.inf:
            low = known
        else:
            break
        v = inputs[0]
    return (v, low, high) if low < high and math.isfinite(low) and math.isfinite(high) else None


def _gate(f: Value) -> tuple[float, float, float, Value] | None:
    """h, s, t, x of f = h hardsigmoid(s x + t): also clamp(a x + b, 0, h), with s = 6 a / h and t = 6 b / h - 3."""
    if f.node.op == "hardsigmoid":
        return (1.0, *line(f.node.inputs[0]))
    found = _clamped(f)
    if found is None or found[1] != 0.0:
        return None
    h = found[2]
    a, b, x = line(found[0])
    return h, 6 * a / h, 6 * b / h - 3, x


def _times(v: Value, by: float, label: str) -> Value:
    return v if near(by, 1.0) else made("mul", v, number(by), label=label)


def _hardswish(v: Value) -> Value | None:
    """n x clamp(a x + h / 2, 0, h), as a hardswish of x times a number: 0.2 x + 1/2 between 0 and 1 is hardsigmoid(1.2 x)."""
    scale, parts = factors(v)
    for f in parts if parts.total() == 2 and len(parts) == 2 else ():
        x = next(p for p in parts if p != f)
        gate, (ax, bx, base) = _gate(f), line(x)
        if gate is None or gate[3] != base or ax == 0 or gate[1] == 0 or x.spec != v.spec:
            continue
        h, s, t, _ = gate
        by = s / ax
        if abs(t - by * bx) <= 2e-5 * max(1.0, abs(t), abs(by * bx)):
            return _times(made("hardswish", _times(x, by, v.node.label), label=v.node.label), scale * h / by, v.node.label)
    return None


def _activation(v: Value) -> Value | None:
    """silu, gelu (by erf and by tanh), hardsigmoid, hardswish."""
    scale, parts = factors(v)
    for f in parts:
        if f.spec != v.spec:
            continue
        if f.node.op == "sigmoid" and is_product(v, 1.0, x := f.node.inputs[0], f):
            return made("silu", x, label=v.node.label)
        if (inside := _one_plus(f, "erf")) is not None:
            inner, x = _scaled(inside)
            if near(inner, math.sqrt(0.5)) and is_product(v, 0.5, x, f):
                return made("gelu", x, label=v.node.label)
        if (inside := _one_plus(f, "tanh")) is not None and (x := _cubic(inside)) is not None and is_product(v, 0.5, x, f):
            return made("gelu_tanh", x, label=v.node.label)
    f = next(iter(parts)) if parts.total() == 1 else v
    if f is not v and f.spec == v.spec and (gate := _hardsigmoid(f)) is not None:
        return _times(gate, scale * (_clamped(f) or (f, 0.0, 1.0))[2], v.node.label)
    return _hardswish(v)


def _one_number(v: Value) -> Value | None:
    """x * m * n as x * (m n)."""
    scale, x = _scaled(v)
    twice = any(operand.node.op in ("mul", "div") and _scaled(operand)[1] == x and operand != x for operand in v.node.inputs)
    return _times(x, scale, v.node.label) if twice and x.spec == v.spec else None


def _hardsigmoid(f: Value) -> Value | None:
    """clamp(a x + h / 2, 0, h) / h."""
    found, gate = _clamped(f), _gate(f)
    if found is None or gate is None:
        return None
    inner, _, h = found
    if abs(gate[2]) <= 2e-5:
        return made("hardsigmoid", _times(gate[3], gate[1], f.node.label), label=f.node.label)
    shift, rest = terms(inner, 1)         # x is itself such a sum, that others read too
    same = len(rest) == 1 and near(shift, h / 2) and rest[0].spec == f.spec
    return made("hardsigmoid", _times(rest[0], 6 / h, f.node.label), label=f.node.label) if same else None


def _whole_gate(v: Value) -> Value | None:
    """clamp(a x + 1/2, 0, 1) as hardsigmoid(6 a x)."""
    found = _clamped(v)
    return _hardsigmoid(v) if found is not None and found[1:] == (0.0, 1.0) else None


def _cubic(v: Value) -> Value | None:
    """x of v = sqrt(2 / pi) (x + 0.044715 x^3)."""
    number, total = _scaled(v)
    if not near(number, math.sqrt(2 / math.pi)):
        return None
    constant, parts = terms(total)
    if constant == 0.0 and len(parts) == 2:
        for x, cube in (parts, parts[::-1]):
            if is_product(cube, 0.044715, x, x, x):
                return x
    return None


def _mean(v: Value) -> tuple[Value, int] | None:
    """x, and how many of its last dimensions v is the mean of, kept as 1."""
    if v.node.op != "mean" or not v.node.attrs["keepdim"]:
        return None
    x = v.node.inputs[0]
    rank, axes = len(x.spec.shape), sorted(a % len(x.spec.shape) for a in v.node.attrs["axes"])
    return (x, len(axes)) if axes and axes == list(range(rank - len(axes), rank)) else None


def _divided(v: Value) -> Iterator[tuple[Value, Value]]:
    """(d, w) of v = d / sqrt(w), in the ways that it is written."""
    a, b = [*v.node.inputs, None, None][:2]
    if v.node.op == "div" and b.node.op == "sqrt":
        yield a, b.node.inputs[0]
    if v.node.op == "mul":
        for d, scale in ((a, b), (b, a)):
            node = scale.node
            if node.op == "rsqrt":
                yield d, node.inputs[0]
            elif node.op == "reciprocal" and node.inputs[0].node.op == "sqrt":
                yield d, node.inputs[0].node.inputs[0]
            elif node.op == "div" and literal(node.inputs[0]) == 1.0 and node.inputs[1].node.op == "sqrt":
                yield d, node.inputs[1].node.inputs[0]
            elif node.op == "pow" and literal(node.inputs[1]) == -0.5:
                yield d, node.inputs[0]


def _normalization(v: Value) -> Value | None:
    """layer_norm: (x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps); rms_norm: x / sqrt(mean(x^2) + eps)."""
    for d, variance in _divided(v):
        eps, parts = terms(variance)
        found = _mean(parts[0]) if len(parts) == 1 and eps >= 0 else None
        if found is None or d.spec != v.spec or v.spec.dtype != DType.float32:
            continue
        squares, dims = found
        if not is_product(squares, 1.0, d, d):
            continue
        if d.node.op == "sub" and (centre := _mean(d.node.inputs[1])) == (d.node.inputs[0], dims):
            return made("layer_norm", centre[0], None, None, dims=dims, eps=eps, label=v.node.label)
        return made("rms_norm", d, None, dims=dims, eps=eps, label=v.node.label)
    return None


def _affine(v: Value) -> Value | None:
    """The weight and bias of a norm of rows, behind it."""
    for norm, other in (v.node.inputs[:2], v.node.inputs[1::-1]):
        node, shape = norm.node, tuple(norm.spec.shape)
        if node.op not in ("layer_norm", "rms_norm") or norm.index or other.spec.dtype != DType.float32 or norm.spec != v.spec:
            continue
        rows = shape[len(shape) - node.attrs["dims"] :]
        if other.node.op not in ("constant", "state") or tuple(other.spec.shape) not in (rows, (1,) * (len(shape) - len(rows)) + rows):
            continue
        x, weight, *bias = node.inputs if len(node.inputs) > 1 else (*node.inputs, None)
        if v.node.op == "mul" and weight is None and not any(bias):
            return made(node.op, x, reshaped(other, rows), *bias, label=v.node.label, **node.attrs)
        if v.node.op == "add" and node.op == "layer_norm" and not any(bias):
            return made(node.op, x, weight, reshaped(other, rows), label=v.node.label, **node.attrs)
    return None


def _weights(v: Value) -> Value | None:
    """The scores of which v is the softmax; where a row is NaN because it sees nothing, exporters put 0, as attention does."""
    node = v.node
    if node.op == "where" and literal(node.inputs[1]) == 0.0 and node.inputs[0].node.op == "isnan" and node.inputs[0].node.inputs[0] == node.inputs[2]:
        node = node.inputs[2].node
    return node.inputs[0] if node.op == "softmax" else None


def _mask(v: Value, scores: tuple[Any, ...]) -> Value | None:
    """An operand that is added to scores, with four dimensions."""
    if v.node.op == "expand":
        v = v.node.inputs[0]
    shape = (1,) * (4 - len(v.spec.shape)) + tuple(v.spec.shape)
    fits = len(shape) == 4 and all(m in (1, s) for m, s in zip(shape, scores)) and v.spec.dtype == DType.float32
    return reshaped(v, shape) if fits else None


def _attention(v: Value) -> Value | None:
    """softmax(scale q k^T + mask) v, of [B, H, L, E]; a batch of heads in one dimension counts as heads."""
    weights, values = v.node.inputs[:2]
    scores = _weights(weights)
    if scores is None or len(v.spec.shape) not in (3, 4) or len(v.node.inputs) > 2 or v.node.attrs:
        return None
    number, parts = terms(scores)
    product = next((p for p in parts if _scaled(p)[1].node.op == "matmul"), None)
    if product is None or number != 0.0 or len(parts) > 2:
        return None
    scale, inner = _scaled(product)
    scale *= inner.node.attrs.get("scale", 1.0)
    if len(inner.node.inputs) > 2 or inner.node.attrs.keys() - {"scale"} or inner.spec != scores.spec or values.spec.shape[:-2] != v.spec.shape[:-2]:
        return None
    (by_q, q), (by_k, turned) = map(_scaled, inner.node.inputs)
    rank = len(v.spec.shape)
    order = tuple(range(rank - 2)) + (rank - 1, rank - 2)
    if any(len(each.spec.shape) != rank or each.spec.shape[:-2] != v.spec.shape[:-2] or each.spec.dtype != DType.float32 for each in (q, turned, values)):
        return None
    keys = made("permute", turned, axes=order, label=v.node.label)
    if turned.node.op == "permute":      # the transposition undone, so that no window of a window is left
        both = tuple(turned.node.attrs["axes"][a] for a in order)
        source = turned.node.inputs[0]
        keys = source if both == tuple(range(rank)) else made("permute", source, axes=both, label=v.node.label)
    masks = [_mask(p, tuple(scores.spec.shape)) for p in parts if p is not product] if rank == 4 else [None for p in parts if p is not product]
    if None in masks or scale * by_q * by_k == 0:
        return None
    whole = [each if rank == 4 else reshaped(each, (1, *each.spec.shape)) for each in (q, keys, values)]
    found = made("attention", *whole, *masks, scale=scale * by_q * by_k, label=v.node.label)
    return found if rank == 4 else reshaped(found, tuple(v.spec.shape))


# By the op at the root of the formula.
IDIOMS: dict[str, tuple[Idiom, ...]] = {
    "mul": (_affine, _normalization, _activation, _one_number), "div": (_normalization, _activation, _one_number), "add": (_affine,), "matmul": (_attention,),
    "minimum": (_whole_gate,), "maximum": (_whole_gate,), "hardtanh": (_whole_gate,),
}  # fmt: skip


def recognize(graph: Graph) -> Graph:
    """Every formula of IDIOMS as its op. What else reads the parts still finds them; else they are not computed."""

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        idioms = IDIOMS.get(node.op, ())
        if not idioms or None in inputs or node.outputs[0].dtype != DType.float32:
            return None
        v = Value(Node(node.op, inputs, node.attrs, node.outputs, node.label, node.data))
        for idiom in idioms:
            found = idiom(v)
            if found is not None and Spec(tuple(found.spec.shape), found.spec.dtype) == Spec(tuple(v.spec.shape), v.spec.dtype):
                return [found]
        return None

    return rewrite(graph, change)
