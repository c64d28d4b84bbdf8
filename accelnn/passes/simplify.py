"""Less of the same: equal computations once, windows of windows as one, shapes that lead back where they came from not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.dims import Shape, product
from ..core.graph import Graph, Node, Value, rewrite
from ..core.tensor import Tensor
from .build import literal, made, reshaped

SMALL = 1024  # bytes: constants up to here are compared by what they hold


def common_subexpressions(graph: Graph) -> Graph:
    """Ops with the same operands and attributes are computed once; equal small constants are one. What ops of random numbers read is a state that each
    of them moves on, so no two of them are alike."""
    seen: dict[Any, Value] = {}

    def key(node: Node, inputs: list[Value | None]) -> Any:
        if node.op == "constant":
            t: Tensor = node.data
            small = product(t.spec.shape) * t.spec.dtype.itemsize <= SMALL
            return "constant", t.spec, t.numpy(raw=True).tobytes() if small else id(t)
        if node.is_source or node.is_flow:
            return None
        try:
            found = (node.op, tuple(inputs), tuple(sorted(node.attrs.items())))
            hash(found)
        except TypeError:
            found = (node.op, tuple(inputs), repr(sorted(node.attrs.items())))  # type: ignore[assignment]
        return found

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        same = key(node, inputs)
        if same is None:
            return None
        if same in seen:
            return [Value(seen[same].node, i) for i in range(len(node.outputs))]
        kept = node if node.is_source or tuple(inputs) == node.inputs else Node(node.op, inputs, node.attrs, node.outputs, node.label, node.data)
        seen[same] = Value(kept)
        return [Value(kept, i) for i in range(len(node.outputs))]

    return rewrite(graph, change)


def split_into(shape: Shape, parts: Shape) -> list[tuple[Any, ...]] | None:
    """How consecutive sizes of `parts` multiply to each size of `shape`, or None. (6, 4) into (2, 3, 4): [(2, 3), (4,)]."""
    found: list[tuple[Any, ...]] = []
    at = 0
    for size in shape:
        have: Any = 1
        start = at
        while at < len(parts) and (have != size or at == start):
            have, at = have * parts[at], at + 1
        if have != size:
            return None
        found.append(tuple(parts[start:at]))
    if at < len(parts) and found and all(p == 1 for p in parts[at:]):
        found[-1] += tuple(parts[at:])
        at = len(parts)
    return found if at == len(parts) else None


def _reshape(x: Value, shape: Shape) -> Value | None:
    if x.spec.shape == shape:
        return x
    if x.node.op == "reshape":
        return _reshape(x.node.inputs[0], shape) or reshaped(x, shape)
    if x.node.op == "permute" and x.node.inputs[0].node.op == "reshape":  # a reshape that splits goes before a permute: exporters merge and split again
        axes, groups = x.node.attrs["axes"], split_into(x.spec.shape, shape)
        if groups is not None:
            parts = {a: group for a, group in zip(axes, groups)}
            split = tuple(s for a in sorted(parts) for s in parts[a])
            start = {a: sum(len(parts[b]) for b in range(a)) for a in parts}
            before = _reshape(x.node.inputs[0], split)
            if before is not None and before.node.op != "reshape":
                order = tuple(start[a] + i for a in axes for i in range(len(parts[a])))
                return _permute(before, order) or made("permute", before, axes=order, label=x.node.label)
    return None


def _permute(x: Value, axes: tuple[int, ...]) -> Value | None:
    if axes == tuple(range(len(axes))):
        return x
    if x.node.op == "permute":
        inner = x.node.attrs["axes"]
        both = tuple(inner[a] for a in axes)
        source = x.node.inputs[0]
        return _permute(source, both) or made("permute", source, axes=both, label=x.node.label)
    return None


def _flat(node: Node, x: Value, w: Value) -> Value | None:
    """x[..., K] @ w[K, N] as one product of two matrices, so that w can be packed; a batch of one matrix w likewise."""
    shape, weights = x.spec.shape, w.spec.shape
    if len(node.inputs) > 2 or len(shape) < 3 or len(weights) < 2 or any(s != 1 for s in weights[:-2]) or len(weights) > len(shape) or x.node.op == "permute":
        return None
    matrix = reshaped(w, weights[-2:])
    flat = made("matmul", reshaped(x, (product(shape[:-1]), shape[-1])), matrix, label=node.label, **node.attrs)
    return reshaped(flat, tuple(node.outputs[0].shape))


def simplify(graph: Graph) -> Graph:
    """Windows: reshape of reshape, permute of permute, those and expansions to what is there already; a reshape that splits, behind a permute, goes before
    it where that undoes another; multiplication by 1, powers of 2 as squares; rows times one matrix as a product of two."""

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        if node.is_source or not inputs or inputs[0] is None:
            return None
        x, found = inputs[0], None
        same = x.spec == node.outputs[0]
        if node.op == "reshape":
            found = _reshape(x, tuple(node.outputs[0].shape))
        elif node.op == "permute":
            found = _permute(x, tuple(node.attrs["axes"]))
        elif same and (node.op in ("alias", "detach", "expand") or (node.op in ("mul", "div") and literal(inputs[1]) == 1.0)):
            found = x
        elif node.op == "mul" and literal(x) == 1.0 and inputs[1] is not None and inputs[1].spec == node.outputs[0]:
            found = inputs[1]
        elif node.op == "matmul" and inputs[1] is not None:
            found = _flat(node, x, inputs[1])
        elif node.op == "pow" and literal(inputs[1]) == 2.0 and same:
            found = made("square", x, label=node.label)
        return None if found is None else [found]

    return rewrite(graph, change)
