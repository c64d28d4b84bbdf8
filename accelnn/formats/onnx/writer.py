"""Graph -> ONNX: every node is handed to its writer (writers/), in order; an op without one is written as its composition, if it has one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...core.dims import AnySize, Dim, Quotient, Size
from ...core.dtypes import DType
from ...core.errors import AttributeValueError, GraphError, UnsupportedError
from ...core.graph import Graph, Node, Value, users
from ...core.registry import OPS
from ...core.tensor import no_grad
from ...core.trace import trace
from . import writers  # noqa: F401  (fills WRITERS)
from .step import ONNX_TYPES, WRITERS, Step
from .writers.flow import FLOWS, every_node
from .writers.pointwise import write_program

OPSETS = range(21, 24)  # Gelu is of 20, GroupNormalization and 8-bit types everywhere of 21
IR_VERSION = 10
UINT4 = 21  # TensorProto.UINT4
LARGE = 1 << 31  # a protobuf message ends here


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as missing:
        from ...core.errors import MissingExtra

        raise MissingExtra('writing ONNX files needs the package onnx: pip install "accelnn[onnx]"') from missing
    return onnx


class Writer:
    """One ONNX graph while it is made. Values have names; numbers that are equal are kept once."""

    def __init__(self, graph: Graph, opset: int) -> None:
        self.onnx, self.graph, self.opset = _onnx(), graph, opset
        self.nodes: list[Any] = []
        self.weights: dict[str, Any] = {}
        self.names: dict[Value, str] = {}
        self.numbers: dict[Any, str] = {}
        self.kept: list[np.ndarray] = []  # whose ids are keys above
        self.dims: dict[str, tuple[str, int]] = {}  # dimension -> an input and the axis that has it
        self.lengths: dict[Any, str] = {}  # Size or Dim -> name of int64[1]
        self.path = ""
        self.taken: set[str] = set()

    def fresh(self, hint: str) -> str:
        name, n = hint, 1
        while name in self.taken:
            name, n = f"{hint}_{n}", n + 1
        self.taken.add(name)
        return name

    def add(self, op_type: str, inputs: Sequence[str | None], outputs: int, attrs: dict[str, Any]) -> Any:
        given = [i or "" for i in inputs]
        while given and not given[-1]:
            given.pop()
        base = f"{self.path}/{op_type}" if self.path else op_type
        name = self.fresh(base)
        results = [self.fresh(f"{name}_out{i or ''}") for i in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(op_type, given, results, name=name, **attrs))
        return results[0] if outputs == 1 else tuple(results)

    def const(self, array: np.ndarray, dtype: DType | None = None, hint: str = "const") -> str:
        array = np.ascontiguousarray(array) if array.ndim else array
        key = (array.dtype.str, dtype, array.shape, array.tobytes()) if array.size <= 64 else id(array)
        if key not in self.numbers:
            name = self.fresh(hint)
            if dtype == DType.bfloat16:
                self.weights[name] = self.onnx.helper.make_tensor(name, ONNX_TYPES[dtype], array.shape, array.tobytes(), raw=True)
            else:
                self.weights[name] = self.onnx.numpy_helper.from_array(array, name)
            self.numbers[key] = name
            self.kept.append(array)
        return self.numbers[key]

    def nibbles(self, values: np.ndarray) -> str:
        """A uint4 tensor of numbers 0 to 15, two in a byte, the first in its low half."""
        name, flat = self.fresh("weight"), values.astype(np.uint8).ravel()
        pairs = np.append(flat, np.zeros(flat.size % 2, np.uint8)).reshape(-1, 2)
        self.weights[name] = self.onnx.helper.make_tensor(name, UINT4, values.shape, (pairs[:, 0] | pairs[:, 1] << 4).tobytes(), raw=True)
        return name

    # sizes

    def sizes(self, values: Sequence[AnySize]) -> str:
        if all(not isinstance(v, Size) for v in values):
            return self.const(np.array([int(v) for v in values], np.int64), hint="sizes")  # type: ignore[arg-type]
        parts = [self.size(v) for v in values]
        return parts[0] if len(parts) == 1 else str(self.add("Concat", parts, 1, {"axis": 0}))

    def size(self, what: AnySize | Dim) -> str:
        """int64[1]."""
        if isinstance(what, int):
            return self.const(np.array([what], np.int64), hint="sizes")
        if what not in self.lengths:
            self.lengths[what] = self._dim(what) if isinstance(what, Dim) else self._sum(what)
        return self.lengths[what]

    def _dim(self, dim: Dim) -> str:
        if dim.name not in self.dims:
            raise UnsupportedError(f"ONNX out: no input has the dimension {dim.name} as it is, so that nothing says its size")
        name, axis = self.dims[dim.name]
        return str(self.add("Shape", [name], 1, {"start": axis, "end": axis + 1}))

    def _sum(self, size: Size) -> str:
        total = ""
        for atoms, c in size.terms.items():
            parts = [self._quotient(a) if isinstance(a, Quotient) else self.size(a) for a in atoms]
            if c != 1 or not parts:
                parts.append(self.size(c))
            product = parts[0]
            for p in parts[1:]:
                product = str(self.add("Mul", [product, p], 1, {}))
            total = str(self.add("Add", [total, product], 1, {})) if total else product
        return total

    def _quotient(self, q: Quotient) -> str:
        return str(self.add("Div", [self.size(q.numerator), self.size(q.denominator)], 1, {}))

    # values

    def port(self, name: str, node: Node, index: int = 0) -> Any:
        spec = node.outputs[index]
        shape = [str(s) if isinstance(s, Size) else int(s) for s in spec.shape]
        return self.onnx.helper.make_tensor_value_info(name, ONNX_TYPES[spec.dtype], shape)

    def model(self) -> Any:
        graph = self.graph
        if graph.updates:
            raise GraphError("ONNX out: the graph changes tensors; freeze() the network first")
        inputs, outputs = graph.input_names(), graph.output_names()
        self.taken.update(inputs)
        self.taken.update(outputs)
        for name, node in zip(inputs, graph.inputs):
            self.names[Value(node)] = name
            for axis, s in enumerate(node.outputs[0].shape):
                for dim in s.terms if isinstance(s, Size) and len(s.terms) == 1 else ():
                    if len(dim) == 1 and isinstance(dim[0], Dim) and s.terms[dim] == 1:  # type: ignore[union-attr]
                        self.dims.setdefault(dim[0].name, (name, axis))
        self.run(graph)
        self.rename(dict(zip(outputs, (self.names[v] for v in graph.outputs))))
        h, read = self.onnx.helper, {i for n in every_node(self.nodes) for i in n.input}
        kept = [t for name, t in self.weights.items() if name in read]      # others were packed, or in another order
        made = h.make_graph(self.nodes, "accelnn", [self.port(n, node) for n, node in zip(inputs, graph.inputs)],
                            [self.port(n, v.node, v.index) for n, v in zip(outputs, graph.outputs)], kept)  # fmt: skip
        return h.make_model(made, opset_imports=[h.make_opsetid("", self.opset)], ir_version=IR_VERSION, producer_name="accelnn")

    def rename(self, outputs: dict[str, str]) -> None:
        """Gives the values that are outputs the outputs' names; an input, a constant or one that is two outputs gets a copy."""
        made = {o for n in self.nodes for o in n.output}
        new: dict[str, str] = {}
        for output, value in outputs.items():
            if value in made and value not in new:
                new[value] = output
            else:
                self.nodes.append(self.onnx.helper.make_node("Identity", [value], [output], name=self.fresh(f"{output}_copy")))
        for node in every_node(self.nodes):
            for names in (node.input, node.output):
                names[:] = [new.get(n, n) for n in names]

    def run(self, graph: Graph) -> None:
        """Every node of the graph, whose inputs have names already."""
        read = users(graph)
        for node in graph.nodes():
            if node.op in ("constant", "state"):
                spec = node.outputs[0]
                self.names[Value(node)] = self.const(node.data.numpy(), spec.dtype, node.label or "weight")
            elif node.op != "input":
                self.node(node, [Value(node, i) in read for i in range(len(node.outputs))])

    def node(self, node: Node, wanted: Sequence[bool]) -> None:
        inputs = [None if v is None else self.names[v] for v in node.inputs]
        if node.is_flow:
            self.names |= {Value(node, i): name for i, name in enumerate(FLOWS[node.op](self, node, inputs))}
            return
        step = Step(self, node, wanted)
        before, self.path = self.path, node.label.replace(".", "/") or self.path
        op = OPS[node.op]
        if node.op in WRITERS:
            found = WRITERS[node.op](step, *inputs)
        elif op.program is not None:
            found = write_program(step, *inputs)
        elif op.composition is not None:
            found = self.composed(node, op, inputs)
        else:
            step.refuse("ONNX has no such operation, or accelnn does not know how to write it")
        self.path = before
        for i, name in enumerate(found if isinstance(found, tuple) else (found,)):
            self.names[Value(node, i)] = name

    def composed(self, node: Node, op: Any, inputs: Sequence[str | None]) -> tuple[str, ...]:
        """A fused op in plain ones."""
        given = [v for v in node.inputs if v is not None]

        def plain(*tensors: Any) -> Any:
            left = iter(tensors)
            return op.composition(*(None if v is None else next(left) for v in node.inputs), **node.attrs)

        with no_grad():
            graph, _, _ = trace(plain, [v.spec for v in given])
        self.names.update((Value(n), name) for n, name in zip(graph.inputs, (i for i in inputs if i is not None)))
        self.run(graph)
        return tuple(self.names[v] for v in graph.outputs)


def to_onnx(graph: Graph, opset: int = 21) -> Any:
    """The onnx.ModelProto of a Graph. UnsupportedError names the first op that cannot be written, and its layer."""
    if opset not in OPSETS:
        raise AttributeValueError(f"ONNX out: opset {opset}; {OPSETS.start} to {OPSETS.stop - 1} are written")
    return Writer(graph, opset).model()


def write(graph: Graph, path: str | os.PathLike[str], opset: int = 21, external_over: int | None = None) -> None:
    """The graph as an ONNX file, written beside and renamed. Weights of at least `external_over` bytes go to `<name>.data` beside it, which the file
    names; without it, only where they would not fit into one file."""
    proto = to_onnx(graph, opset)
    onnx, target = _onnx(), Path(path)
    total = sum(len(t.raw_data) for t in proto.graph.initializer)
    over = external_over if external_over is not None else 1024 if total > LARGE - (1 << 24) else None
    beside = target.with_name(target.name + ".part")
    if over is None:
        onnx.checker.check_model(proto)
        beside.write_bytes(proto.SerializeToString())
    else:
        data = target.name + ".data"
        loose = target.with_name(data + ".part")
        loose.unlink(missing_ok=True)
        _external(onnx, proto, loose, data, over)
        beside.write_bytes(proto.SerializeToString())
        loose.replace(target.with_name(data))
        try:
            onnx.checker.check_model(os.fspath(beside))
        except onnx.checker.ValidationError:
            beside.unlink()
            raise
    beside.replace(target)


def _external(onnx: Any, proto: Any, file: Path, name: str, over: int) -> None:
    """Moves large weights out of the model, each at a multiple of 64 bytes so that who maps the file may use them where they lie."""
    with file.open("wb") as f:
        for t in proto.graph.initializer:
            if len(t.raw_data) < over:
                continue
            f.write(b"\0" * (-f.tell() % 64))
            at, raw = f.tell(), t.raw_data
            f.write(raw)
            onnx.external_data_helper.set_external_data(t, name, offset=at, length=len(raw))
            t.ClearField("raw_data")
