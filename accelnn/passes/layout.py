"""Channels last where it is fast (docs/adr/0011): convolutions on [N, H, W, C], `permute` windows at the doors, nothing turned in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..core.dims import product
from ..core.dtypes import DType
from ..core.graph import Graph, Node, Spec, Value, rewrite, symbolic, users
from ..core.registry import OPS
from ..ops.conv_eager import algorithm_of
from ..ops.conv_nhwc import ALGORITHMS, pack_attrs, pays, plan_of
from ..ops.exactness import exact_wanted
from ..ops.pool_nhwc import MAXIMUM, MEAN, MEAN_INSIDE
from .build import is_elementwise
from .movement import TO_LAST
from .pack import is_fixed
from .qconv import packed_convolution, packing_pays

TO_FIRST = (0, 3, 1, 2)
CONVOLUTIONS = ("conv2d", "conv_transpose2d", "conv2d_dgrad", "conv2d_wgrad")  # with the attribute `exact`
# op -> (node, its first operand on [N, H, W, C], the others as they are) -> the node on [N, H, W, C], or None. For ops that only follow: they are
# rebuilt where their operand already lies so.
FORMS: dict[str, Callable[[Node, Value, Sequence[Value | None]], Node | None]] = {}


def _form(op: str) -> Callable[..., Any]:
    return lambda function: FORMS.setdefault(op, function)


def _permuted(v: Value, axes: tuple[int, ...]) -> Value:
    return Value(Node("permute", (v,), {"axes": axes}, (Spec(tuple(v.spec.shape[a] for a in axes), v.spec.dtype),), v.node.label))


def held_last(v: Value | None) -> Value | None:
    """The [N, H, W, C] value of which v is the NCHW window."""
    return v.node.inputs[0] if v is not None and v.node.op == "permute" and tuple(v.node.attrs["axes"]) == TO_FIRST else None


def to_last(v: Value) -> Value:
    return held_last(v) or _permuted(v, TO_LAST)


def to_first(v: Value) -> Value:
    return _permuted(v, TO_FIRST)


def _conv2d(node: Node, inputs: Sequence[Value | None]) -> Node:
    x, w, bias, residual = [*inputs, None, None][:4]
    assert x is not None and w is not None
    attrs = {k: v for k, v in node.attrs.items() if k != "exact"}
    algorithm = plan_of(x.spec, w.spec, node.attrs)
    packed = pack_attrs(attrs, algorithm)
    packing = Node("conv2d_pack", (w,), packed, OPS["conv2d_pack"].specs([w.spec], packed), node.label)
    attrs |= {"algorithm": ALGORITHMS.index(algorithm), "channels": w.spec.shape[0], "kernel_h": w.spec.shape[2], "kernel_w": w.spec.shape[3]}
    operands = [to_last(x), Value(packing), bias, None if residual is None else to_last(residual)]
    while operands[-1] is None:
        operands.pop()
    specs = [None if v is None else v.spec for v in operands]
    return Node("conv2d_nhwc", operands, attrs, OPS["conv2d_nhwc"].specs(specs, attrs), node.label)


def as_eager(graph: Graph) -> Graph:
    """The convolutions that a call on tensors computes channels last, so: for a Plan without passes, which has eager's bits."""

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        if node.op != "conv2d" or symbolic([v.spec.shape for v in inputs if v is not None]):
            return None
        x, w, *_ = inputs
        assert x is not None and w is not None
        floats = all(v is None or v.spec.dtype == DType.float32 for v in inputs)
        if not floats or not w.node.is_source or algorithm_of(x.spec.shape, w.spec.shape, tuple(node.attrs.items())) is None:
            return None
        turned = to_first(Value(_conv2d(node, inputs)))
        return [Value(Node("copy", (turned,), {}, node.outputs, node.label))]

    return rewrite(graph, change)


def _pointwise(node: Node, inputs: Sequence[Value | None]) -> Node | None:
    """A pointwise op of one output on [N, H, W, C], where an operand of the full shape lies so."""
    out = node.outputs[0]
    if len(node.outputs) != 1 or len(out.shape) != 4 or not any(held_last(v) is not None and v.spec.shape == out.shape for v in inputs if v is not None):
        return None
    operands: list[Value] = []
    for v in inputs:
        if v is None:
            return None
        rank = len(v.spec.shape)
        if rank == 0:
            operands.append(v)
            continue
        if rank < 4:
            full = (*(1,) * (4 - rank), *v.spec.shape)
            v = Value(Node("reshape", (v,), {"shape": full}, (Spec(full, v.spec.dtype),)))
        operands.append(to_last(v))
    spec = Spec(tuple(out.shape[a] for a in TO_LAST), out.dtype)
    return Node(node.op, operands, node.attrs, (spec,), node.label)


def _reduce(node: Node, x: Value) -> Node | None:
    """A reduction of [N, H, W, C], where the dimensions that are left keep their order."""
    last, axes, keep = held_last(x), tuple(node.attrs["axes"]), node.attrs["keepdim"]
    kept = [a for a in TO_LAST if a not in axes]
    if last is None or (not keep and kept != sorted(kept)):
        return None
    attrs = {**node.attrs, "axes": tuple(sorted(TO_LAST.index(a) for a in axes))}
    return Node(node.op, (last,), attrs, OPS[node.op].specs([last.spec], attrs), node.label)


def _along(node: Node, inputs: Sequence[Value | None]) -> Node | None:
    """concat, slice, resize: along another axis, where most of the numbers that they read lie so."""
    known = [v for v in inputs if v is not None]
    if len(known) < len(inputs) or any(len(v.spec.shape) != 4 for v in known):
        return None
    sizes: list[Any] = [1 if symbolic([v.spec.shape]) else product(v.spec.shape) for v in known]
    if 2 * sum(n for n, v in zip(sizes, known) if held_last(v) is not None) <= sum(sizes):
        return None
    operands = [to_last(v) for v in inputs if v is not None]
    return _made(node.op, node, operands, {**node.attrs, "axis": TO_LAST.index(node.attrs["axis"] % 4)})


def _made(op: str, node: Node, operands: Sequence[Value], attrs: dict[str, Any]) -> Node:
    return Node(op, operands, attrs, OPS[op].specs([v.spec for v in operands], attrs), node.label)


@_form("max_pool2d")
def _max_pool2d(node: Node, x: Value, _: Any) -> Node | None:
    return _made("pool2d_nhwc", node, [x], {**node.attrs, "kind": MAXIMUM}) if x.spec.dtype in (DType.float32, DType.uint8) else None


@_form("conv2d_sparse")
def _conv2d_sparse(node: Node, x: Value, rest: Sequence[Value | None]) -> Node:
    residual = rest[4] if len(rest) > 4 else None
    operands = [x, *rest[:4], *(() if residual is None else (to_last(residual),))]
    attrs = {**node.attrs, "x_last": 1, "y_last": 1}
    specs = OPS[node.op].specs([None if v is None else v.spec for v in operands], attrs)
    return Node(node.op, operands, attrs, specs, node.label)


@_form("avg_pool2d")
def _avg_pool2d(node: Node, x: Value, _: Any) -> Node:
    attrs = {k: v for k, v in node.attrs.items() if k != "count_include_pad"}
    return _made("pool2d_nhwc", node, [x], {**attrs, "kind": MEAN if node.attrs.get("count_include_pad", 1) else MEAN_INSIDE})


def _by_axis(node: Node, x: Value, rest: Sequence[Value | None]) -> Node:
    """quantize_linear, dequantize_linear: their scales belong to a dimension."""
    return _made(node.op, node, [x, *(v for v in rest if v is not None)], {"axis": TO_LAST.index(node.attrs.get("axis", 1) % 4)})


_form("quantize_linear")(_by_axis)
_form("dequantize_linear")(_by_axis)
_form("dynamic_quantize")(lambda node, x, _: _made(node.op, node, [x], {}))
STEPS = ("quantize_linear", "dequantize_linear", "dynamic_quantize")


def layout(graph: Graph) -> Graph:
    """conv2d with weights that the graph never writes becomes conv2d_nhwc; what reads it follows where it can. So does a convolution of bytes between or
    before what follows; chains of those alone are pack_convolutions'."""
    written = {id(state) for state, _ in graph.updates}
    read = users(graph)

    def follows(reader: Node, v: Value) -> bool:
        """Whether it may lie channels last because what it reads does."""
        if reader is v.node or reader.is_source:
            return False
        if reader.op == "max_pool2d":
            return Value(reader, 1) not in read and any(follows(r, Value(reader)) for r in read.get(Value(reader), ()))
        return packing_pays(reader) or reader.op in (*STEPS, "concat", "resize") or is_elementwise(reader)

    def read_last(v: Value) -> bool:
        """Whether everything that reads v wants it channels last."""

        def wants(reader: Node) -> bool:
            if reader is v.node or reader.op not in ("conv2d", "max_pool2d", "avg_pool2d"):
                return False
            if reader.op != "conv2d":
                return Value(reader, 1) not in read and read_last(Value(reader))
            weights: Any = reader.inputs[1]
            return is_fixed(weights, written) and pays(reader.inputs[0].spec, weights.spec, reader.attrs)

        return all(map(wants, read.get(v, [v.node])))

    def leads(node: Node, weights: Value) -> bool:
        """A first layer, as fast either way, saves turning what it writes: 64 x 3x32x32 to 32 channels 1.20 ms for 1.18, and 0.95 of turning."""
        o, per_group, *_ = weights.spec.shape
        return isinstance(o, int) and o % 16 == 0 < o and 3 <= per_group < 16 and node.attrs.get("groups", 1) == 1 and read_last(Value(node))

    def change(node: Node, inputs: list[Value | None]) -> Sequence[Value] | None:
        if node.is_source or node.is_flow or not inputs or inputs[0] is None:
            return None
        made: Node | None = None
        first = node
        marked = node.op in CONVOLUTIONS and exact_wanted() and not node.attrs.get("exact")
        if marked:  # of a loaded graph; what is traced says so itself
            node = Node(node.op, inputs, {**node.attrs, "exact": 1}, node.outputs, node.label)
        if node.op == "conv2d":
            weights: Any = inputs[1]
            wanted = held_last(inputs[0]) is not None or pays(inputs[0].spec, weights.spec, node.attrs)
            if is_fixed(weights, written) and (wanted or leads(first, weights)):
                made = _conv2d(node, inputs)
        elif packing_pays(node):
            last = held_last(inputs[0])
            if any(follows(r, Value(node)) for r in read.get(Value(node), ())):
                return [to_first(packed_convolution(node, [last or inputs[0], *inputs[1:]], last is not None, True))]
        elif node.op in FORMS and (last := held_last(inputs[0])) is not None and not any(Value(node, i) in read for i in range(1, len(node.outputs))
                                                                                         if node.outputs[i].shape):  # fmt: skip
            made = FORMS[node.op](node, last, inputs[1:])
        elif node.op in ("concat", "slice", "resize"):
            made = _along(node, inputs)
        elif is_elementwise(node):
            made = _pointwise(node, inputs)
        elif OPS[node.op].kernel == "reduce" and len(inputs[0].spec.shape) == 4:
            made = _reduce(node, inputs[0])
        if made is None:
            return [Value(node)] if marked else None
        results = [Value(made, i) for i in range(len(made.outputs))]
        return [to_first(v) if len(v.spec.shape) == 4 else v for v in results]

    return rewrite(graph, change)
