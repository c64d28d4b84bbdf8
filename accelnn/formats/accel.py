"""The graph section of a `.accel` file: JSON for Python, beside the Plan for the engine; both share the weights."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from .. import _C
from ..core.dims import Dim, Quotient, Size
from ..core.dtypes import DType
from ..core.errors import Error, FormatError
from ..core.flow import specs_of
from ..core.graph import Graph, Node, Spec, Value
from ..core.registry import OPS
from ..core.tensor import Tensor
from ..passes.plan import SECTIONS, sections

VERSION = 1


def _plain(x: Any) -> Any:
    """JSON for a size, a dtype, a tuple or a number."""
    if isinstance(x, DType):
        return {"dtype": x.name}
    if isinstance(x, Size):
        return {"sum": [[c, [_atom(a) for a in atoms]] for atoms, c in x.terms.items()]}
    if isinstance(x, (tuple, list)):
        return [_plain(y) for y in x]
    return x


def _atom(a: Dim | Quotient) -> Any:
    if isinstance(a, Dim):
        return {"dim": a.name, "hint": a.hint, "lower": a.lower, "upper": a.upper}
    return {"quotient": [_plain(a.numerator), a.denominator]}


def _thing(x: Any) -> Any:
    if isinstance(x, dict) and "dtype" in x:
        return DType[x["dtype"]]
    if isinstance(x, dict) and "sum" in x:
        return Size({tuple(_read_atom(a) for a in atoms): int(c) for c, atoms in x["sum"]})
    if isinstance(x, list):
        return tuple(_thing(y) for y in x)
    return x


def _read_atom(a: dict[str, Any]) -> Dim | Quotient:
    if "dim" in a:
        return Dim(str(a["dim"]), int(a["hint"]), int(a["lower"]), int(a["upper"]))
    return Quotient(_thing(a["quotient"][0]), int(a["quotient"][1]))


def _spec(s: Spec) -> Any:
    return [_plain(s.shape), s.dtype.name]


def _read_spec(s: Any) -> Spec:
    return Spec(tuple(_thing(s[0])), DType[s[1]])


def encode(graph: Graph, offsets: dict[int, int]) -> bytes:
    """`offsets`: where the tensors of constants lie in the weights."""
    document = _rows(graph, offsets)
    document |= {"version": VERSION, "names": {"inputs": graph.input_names(), "outputs": graph.output_names()}}
    return json.dumps(document, separators=(",", ":")).encode()


def _rows(graph: Graph, offsets: dict[int, int]) -> dict[str, Any]:
    nodes = graph.nodes()
    number = {id(n): i for i, n in enumerate(nodes)}

    def value(v: Value | None) -> Any:
        return None if v is None else [number[id(v.node)], v.index]

    rows = []
    for n in nodes:
        row: dict[str, Any] = {"op": n.op, "outputs": [_spec(s) for s in n.outputs]}
        if n.op == "constant":
            row["offset"] = offsets[id(n.data)]
        elif n.op != "input":
            row |= {"inputs": [value(v) for v in n.inputs], "attrs": {k: _plain(v) for k, v in n.attrs.items()}}
        if n.is_flow:
            row["bodies"] = [_rows(body, offsets) for body in n.data]
        if n.label:
            row["label"] = n.label
        rows.append(row)
    return {"nodes": rows, "inputs": [number[id(n)] for n in graph.inputs], "outputs": [value(v) for v in graph.outputs]}


def decode(text: bytes, file: Any) -> Graph:
    """The Graph of a file that the engine has accepted: bytes, whose memory its constants share. Nodes whose outputs the shape rules do not confirm are
    refused."""
    try:
        document = json.loads(text)
        if document["version"] != VERSION:
            raise FormatError(f"graph section of version {document['version']}; this accelnn reads version {VERSION}")
        graph = _decode(document, np.frombuffer(sections(file).get(SECTIONS["weights"], b""), np.uint8))
        graph.names = {k: [str(n) for n in document["names"][k]] for k in ("inputs", "outputs")}
        return graph
    except FormatError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError, Error) as reason:
        raise FormatError(f"the graph section is not sound: {type(reason).__name__}: {reason}") from reason


def _decode(document: dict[str, Any], weights: np.ndarray) -> Graph:
    nodes: list[Node] = []
    for row in document["nodes"]:
        specs = tuple(_read_spec(s) for s in row["outputs"])
        label = str(row.get("label", ""))
        if row["op"] == "constant":
            nodes.append(Node("constant", (), {}, specs, label, data=_constant(specs[0], int(row["offset"]), weights)))
        elif row["op"] == "input":
            nodes.append(Node("input", (), {}, specs, label))
        else:
            inputs = [None if v is None else _value(nodes, v) for v in row["inputs"]]
            attrs = {str(k): _thing(v) for k, v in row["attrs"].items()}
            node = Node(row["op"], inputs, attrs, specs, label)
            if node.is_flow:
                node.data = tuple(_decode(body, weights) for body in row["bodies"])
                inferred = specs_of(node)
            else:
                inferred = OPS[row["op"]].specs([None if v is None else v.spec for v in inputs], attrs)
            if inferred != specs:
                raise FormatError(f"node {len(nodes)} ({row['op']}): the file says {specs}, its operands give {inferred}")
            nodes.append(node)
    return Graph([nodes[i] for i in document["inputs"]], [_value(nodes, v) for v in document["outputs"]])


def _value(nodes: list[Node], v: Any) -> Value:
    node, index = int(v[0]), int(v[1])
    if not (0 <= node < len(nodes) and 0 <= index < len(nodes[node].outputs)):
        raise FormatError(f"value {v} does not exist")
    return Value(nodes[node], index)


def _constant(spec: Spec, offset: int, weights: np.ndarray) -> Tensor:
    shape: Any = spec.shape
    n = int(np.prod(shape, dtype=object)) * spec.dtype.itemsize
    if any(not isinstance(s, int) or s < 0 for s in shape) or offset < 0 or offset % 64 or offset + n > len(weights):
        raise FormatError(f"a constant {spec} at {offset} lies outside the weights")
    return Tensor(_C.View.share(weights[offset : offset + n].view(spec.dtype.storage).reshape(shape), spec.dtype), literal=True)
