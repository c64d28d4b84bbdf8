"""Expressions as sums and products: exporters write 0.5 x (1 + erf(x / 1.414)) in every order that multiplication allows."""

from __future__ import annotations

import math
from collections import Counter

from ..core.graph import Value
from .build import literal

DEPTH = 6


def factors(v: Value, depth: int = DEPTH) -> tuple[float, Counter[Value]]:
    """v = number * product of values, as often as counted."""
    known = literal(v)
    if known is not None and v.spec.shape == ():
        return known, Counter()
    node, inputs = v.node, v.node.inputs
    if depth and node.op == "mul":
        (m, a), (n, b) = (factors(operand, depth - 1) for operand in inputs)
        return m * n, a + b
    if depth and node.op == "div" and (by := literal(inputs[1])):
        n, a = factors(inputs[0], depth - 1)
        return n / by, a
    if depth and node.op == "neg":
        n, a = factors(inputs[0], depth - 1)
        return -n, a
    if depth and node.op == "square":
        n, a = factors(inputs[0], depth - 1)
        return n * n, a + a
    if depth and node.op == "pow" and (exponent := literal(inputs[1])) in (2.0, 3.0):
        n, a = factors(inputs[0], depth - 1)
        whole = int(exponent or 0)
        return n**whole, Counter({value: count * whole for value, count in a.items()})
    return 1.0, Counter([v])


def terms(v: Value, depth: int = DEPTH) -> tuple[float, list[Value]]:
    """v = number + sum of values."""
    known = literal(v)
    if known is not None:
        return known, []
    if depth and v.node.op == "add":
        (m, a), (n, b) = (terms(operand, depth - 1) for operand in v.node.inputs)
        return m + n, a + b
    if depth and v.node.op == "sub" and (less := literal(v.node.inputs[1])) is not None:
        n, a = terms(v.node.inputs[0], depth - 1)
        return n - less, a
    return 0.0, [v]


def line(v: Value, depth: int = DEPTH) -> tuple[float, float, Value]:
    """v = a x + b, as far as it is written with numbers: (a, b, x)."""
    node, inputs = v.node, v.node.inputs
    if depth and node.op in ("add", "sub", "mul", "div", "neg"):
        for i, x in enumerate(inputs):
            known = -1.0 if node.op == "neg" else literal(inputs[1 - i])
            if known is None or x is None or x.spec != v.spec or (i == 1 and node.op == "div") or (node.op == "div" and not known):
                continue
            a, b, base = line(x, depth - 1)
            if node.op == "sub":
                return (a, b - known, base) if i == 0 else (-a, known - b, base)
            by, more = {"add": (1.0, known), "div": (1 / known if known else 0.0, 0.0)}.get(node.op, (known, 0.0))
            return a * by, b * by + more, base
    return 1.0, 0.0, v


def near(a: float, b: float) -> bool:
    """Equal, to what a float32 constant or a rounded decimal in a file keeps: 1.41421, 0.7978846, 0.044715."""
    return math.isclose(a, b, rel_tol=2e-5)


def is_product(v: Value, number: float, *values: Value) -> bool:
    """Whether v = number * product of values."""
    have, want, scale = factors(v), Counter[Value](), number
    for each in values:
        n, a = factors(each)
        scale, want = scale * n, want + a
    return have[1] == want and near(have[0], scale)
