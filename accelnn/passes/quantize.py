"""Static int8: observe what values a float graph takes on real data, then rewrite its products to integer kernels.

Activations are uint8 with one scale and zero point a tensor, weights int8 with one scale a channel (symmetric, -127..127), sums int32. Pooling and views
stay in uint8. What else the graph holds (softmax, for one) stays float. Source of the scheme: Jacob et al., arXiv 1712.05877."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.dispatch import run
from ..core.dtypes import DType
from ..core.errors import BoundError, ShapeError, UnsupportedError
from ..core.graph import Graph, Node, Value, users
from ..core.registry import OPS
from ..core.tensor import Tensor, as_tensor, tensor
from ..ops.matmul import ACTIVATIONS, unpack
from .build import constant
from .fold import fold
from .fuse import fuse_epilogues, split_residuals

PRODUCTS = {"conv2d": "qconv2d", "matmul": "qmatmul"}
CARRIERS = ("max_pool2d", "reshape", "permute", "alias", "detach")  # the same numbers in other places
WEIGHT_LIMIT = 127


@dataclass
class Range:
    """What a value was seen to take."""

    low: float = 0.0  # 0 is always representable: padding and ReLU need it exactly
    high: float = 0.0

    def scale_and_zero(self) -> tuple[np.float32, int]:
        width = max(self.high - self.low, 1e-12)
        scale = np.float32(width / 255.0)
        return scale, int(np.clip(np.rint(-self.low / width * 255.0), 0, 255))


def observe(graph: Graph, batches: Iterable[Sequence[Any]], coverage: float = 1.0) -> dict[Value, Range]:
    """Ranges of all float values of the graph on the batches (each a sequence with one array an input). Non-finite data is an error.

    With coverage < 1 a range keeps that share of each batch's values (0.9999 drops rare outliers)."""
    ranges: dict[Value, Range] = {}
    order = graph.nodes()
    count = 0
    for batch in batches:
        count += 1
        views: dict[Value, Any] = {}
        if len(batch) != len(graph.inputs):
            raise ShapeError(f"calibration: {len(graph.inputs)} inputs a batch expected, not {len(batch)}")
        for node, data in zip(graph.inputs, batch):
            t = as_tensor(data)
            if not np.isfinite(t.numpy()).all():
                raise BoundError(f"calibration: batch {count} holds values that are not finite (NaN or infinity); clean the data first")
            views[Value(node)] = t.view
        for node in order:
            if node.op == "constant":
                views[Value(node)] = node.data.view
            elif node.is_flow:
                raise UnsupportedError(f"calibration: a {node.op} ({node.label or 'without a name'}) in the network; what its bodies compute is not observed")
            elif not node.is_source:
                operands = [None if v is None else views[v] for v in node.inputs]
                shapes = [None if v is None else Tensor(views[v]).spec for v in node.inputs]
                attrs = _concrete(node, operands)
                for i, view in enumerate(run(OPS[node.op], operands, attrs, OPS[node.op].specs(shapes, attrs))):
                    views[Value(node, i)] = view
        for value, view in views.items():
            if view.dtype == DType.float32 and value.node.op != "constant":
                _widen(ranges.setdefault(value, Range()), view.numpy(), coverage)
    if not count:
        raise ShapeError("calibration: no data")
    return ranges


def _concrete(node: Node, operands: Sequence[Any]) -> dict[str, Any]:
    """Attributes with the sizes of this batch in place of named dims."""
    from ..core.dims import Size

    def sizes(x: Any) -> Any:
        if isinstance(x, Size):
            return -1
        return tuple(sizes(y) for y in x) if isinstance(x, tuple) else x

    attrs = {k: sizes(v) for k, v in node.attrs.items()}
    shape = attrs.get("shape")
    if isinstance(shape, tuple) and -1 in shape:
        if shape.count(-1) > 1:
            raise ShapeError(f"calibration of {node}: more than one unknown size in {shape}")
        total = int(np.prod(operands[0].shape)) if operands else 0
        rest = int(np.prod([s for s in shape if s != -1]))
        attrs["shape"] = tuple(total // max(rest, 1) if s == -1 else s for s in shape)
    return attrs


def _widen(r: Range, x: np.ndarray, coverage: float) -> None:
    if x.size == 0:
        return
    low, high = (x.min(), x.max()) if coverage >= 1 else np.quantile(x, [(1 - coverage) / 2, (1 + coverage) / 2])
    if not (np.isfinite(low) and np.isfinite(high)):
        raise BoundError("calibration: the network itself gives values that are not finite on this data")
    r.low, r.high = min(r.low, float(low)), max(r.high, float(high))


@dataclass
class _Twin:
    """A value in uint8, and what its numbers mean."""

    value: Value
    scale: np.float32
    zero: int


def _literal(x: Any, dtype: DType, label: str) -> Value:
    t = tensor(np.asarray(x), dtype)
    t.literal = True
    return constant(t, label)


class _Rewriter:
    def __init__(self, graph: Graph, ranges: dict[Value, Range]) -> None:
        self.graph, self.ranges = graph, ranges
        self.readers = users(graph)
        self.floats: dict[Value, Value] = {}
        self.twins: dict[Value, _Twin] = {}

    def is_product(self, node: Node) -> bool:
        if node.op not in PRODUCTS or node.attrs.get("activation", 0) not in (0, ACTIVATIONS.index("relu")):
            return False
        weights = node.inputs[1]
        plain = node.op == "conv2d" or len(weights.spec.shape) == (3 if node.attrs.get("packed") else 2)
        return plain and all(v is None or v.node.op == "constant" for v in node.inputs[1:])

    def wanted_small(self, v: Value) -> bool:
        """Whether somebody reads the value as uint8."""
        return any(reader is not v.node and (self.is_product(reader) or (reader.op in CARRIERS and self.wanted_small(Value(reader))))
                   for reader in self.readers.get(v, ()))

    def small(self, v: Value, label: str) -> _Twin:
        if v not in self.twins:
            scale, zero = self.ranges[v].scale_and_zero()
            operands = (self.floats[v], _literal(scale, DType.float32, label), _literal(zero, DType.uint8, label))
            node = Node("quantize_linear", operands, {"axis": 1}, (v.spec._replace(dtype=DType.uint8),), label)
            self.twins[v] = _Twin(Value(node), scale, zero)
        return self.twins[v]

    def float(self, v: Value) -> Value:
        if v not in self.floats:
            twin = self.twins[v]
            operands = (twin.value, _literal(twin.scale, DType.float32, ""), _literal(twin.zero, DType.uint8, ""))
            self.floats[v] = Value(Node("dequantize_linear", operands, {"axis": 1}, (v.spec,), v.node.label))
        return self.floats[v]

    def product(self, node: Node) -> None:
        out, label = Value(node), node.label
        x = self.small(node.inputs[0], label)
        w = node.inputs[1].node.data.numpy()
        if node.attrs.get("packed"):
            w = unpack(w, w.shape[1], node.attrs["columns"])
        axis = 0 if node.op == "conv2d" else 1
        other = tuple(i for i in range(w.ndim) if i != axis)
        w_scale = np.maximum(np.abs(w).max(axis=other) / WEIGHT_LIMIT, 1e-12).astype(np.float64)
        shape = [-1 if i == axis else 1 for i in range(w.ndim)]
        w8 = np.clip(np.rint(w / w_scale.reshape(shape)), -WEIGHT_LIMIT, WEIGHT_LIMIT).astype(np.int8)
        acc_scale = w_scale * float(x.scale) * node.attrs.get("scale", 1.0)
        bias = node.inputs[2].node.data.numpy() if len(node.inputs) > 2 and node.inputs[2] is not None else np.zeros(w_scale.shape, np.float32)
        bias32 = np.clip(np.rint(bias / acc_scale), -(2**30), 2**30).astype(np.int32)
        small = self.wanted_small(out)
        y_scale, y_zero = self.ranges[out].scale_and_zero() if small else (np.float32(1), 0)
        scale = (acc_scale / float(y_scale)).astype(np.float32)
        operands: list[Value] = [x.value, _literal(x.zero, DType.uint8, label), _literal(w8, DType.int8, label), _literal(scale, DType.float32, label),
                                 _literal(bias32, DType.int32, label)]  # fmt: skip
        attrs = {k: v for k, v in node.attrs.items() if k not in ("activation", "packed", "columns", "scale", "exact")}
        attrs |= {"relu": int(node.attrs.get("activation", 0) != 0), "out": "uint8" if small else "float32"}
        if small:
            operands.append(_literal(y_zero, DType.uint8, label))
        new = Value(Node(PRODUCTS[node.op], operands, attrs, (out.spec._replace(dtype=DType.uint8 if small else DType.float32),), label))
        if small:
            self.twins[out] = _Twin(new, y_scale, y_zero)
        else:
            self.floats[out] = new

    def carry(self, node: Node) -> None:
        source = self.small(node.inputs[0], node.label)
        specs = tuple(s._replace(dtype=DType.uint8) if s.dtype == DType.float32 else s for s in node.outputs)
        self.twins[Value(node)] = _Twin(Value(Node(node.op, (source.value,), node.attrs, specs, node.label)), source.scale, source.zero)

    def run(self) -> Graph:
        for node in self.graph.nodes():
            if node.is_source:
                self.floats[Value(node)] = Value(node)
            elif self.is_product(node):
                self.product(node)
            elif node.op in CARRIERS and (node.inputs[0] in self.twins and node.inputs[0] not in self.floats or self.wanted_small(Value(node))):
                self.carry(node)
            else:
                new = Node(node.op, [None if v is None else self.float(v) for v in node.inputs], node.attrs, node.outputs, node.label)
                for i in range(len(node.outputs)):
                    self.floats[Value(node, i)] = Value(new, i)
        return Graph(self.graph.inputs, [self.float(v) for v in self.graph.outputs], [], self.graph.names)


def quantize(graph: Graph, batches: Iterable[Sequence[Any]], coverage: float = 1.0) -> Graph:
    """The graph with its products in int8 arithmetic, calibrated on the batches. Inputs and outputs stay float32."""
    prepared = split_residuals(fuse_epilogues(fold(graph)))
    return _Rewriter(prepared, observe(prepared, batches, coverage)).run()
