"""The walk over an ONNX graph: each node is handed to its handler, in order, while a trace keeps what the handlers compute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from ...core.dims import Assumption, Dim, Size, assumptions
from ...core.errors import FormatError, UnsupportedError
from ...core.graph import Graph, Spec
from ...core.tensor import Tensor, no_grad
from ...core.trace import Trace, recording
from ..naming import named
from . import handlers  # noqa: F401  (fills HANDLERS)
from .call import HANDLERS, ONNX_DOMAINS, Call, ValueNeeded, literal
from .reader import attributes, attributes_of, dtype_of, model_of, to_numpy

Dims = Mapping[str, "int | Dim"]


EXAMPLE = 320  # the size of dimensions that nobody gave: windows fit into it, and halves of halves are whole


class Scope:
    """The names of one graph; those of a subgraph see the ones around it."""

    def __init__(self, work: Importer, around: Scope | None = None) -> None:
        self.work, self.around = work, around
        self.values: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.around
        raise FormatError(f"the value {name!r} is read before any node has made it")

    def constant(self, array: np.ndarray, dtype: Any = None) -> Tensor:
        return self.work.constant(array, dtype)

    def need(self, x: Any, why: str) -> NoReturn:
        self.work.need(x, why)

    def run(self, graph: Any) -> list[Any]:
        """The nodes of a subgraph, here and now; its outputs."""
        inner = Scope(self.work, self)
        inner.load(graph)
        return [inner[o.name] for o in graph.output]

    def load(self, graph: Any) -> None:
        for t in graph.initializer:
            self.values[t.name] = to_numpy(t, self.work.folder)
        for node in ordered(graph.node, self):
            self.work.node(node, self)


def ordered(nodes: Any, scope: Scope) -> list[Any]:
    """The nodes in an order in which they can run: as they stand, if the file keeps to the standard; a cycle is an error."""
    made = {o for n in nodes for o in n.output if o}
    ready: set[str] = set()
    found: list[Any] = []
    waiting = list(nodes)
    while waiting:
        later = []
        for n in waiting:
            if all(not i or i in ready or i not in made for i in n.input):
                found.append(n)
                ready.update(n.output)
            else:
                later.append(n)
        if len(later) == len(waiting):
            raise FormatError(f"the nodes {', '.join(repr(n.name or n.op_type) for n in later[:5])} wait for each other in a circle")
        waiting = later
    return found


class Importer:
    """An ONNX model as a Graph. `dims`: sizes (or Dims) for named dimensions; `shapes`: whole shapes of inputs; `given`: values of inputs that the
    network's shapes depend on."""

    def __init__(self, model: Any, folder: str = "", dims: Dims | None = None, given: Mapping[str, np.ndarray] | None = None,
                 shapes: Mapping[str, tuple[int, ...]] | None = None) -> None:  # fmt: skip
        self.model = model = model_of(model)
        self.folder = folder
        self.dims, self.given, self.shapes = dict(dims or {}), dict(given or {}), dict(shapes or {})
        self.opsets = {("" if o.domain in ONNX_DOMAINS else o.domain): int(o.version) for o in model.opset_import} or {"": 1}
        self.functions = {(f.domain if f.domain not in ONNX_DOMAINS else "", f.name): f for f in model.functions}
        self.named: dict[str, Any] = {}
        self.constants: dict[Any, Tensor] = {}
        self.kept: list[np.ndarray] = []  # whose ids are keys above
        self.sources: dict[int, str] = {}  # id of an input node -> its name
        self.trace: Trace
        self.assumed: set[Assumption] = set()  # what the graph holds for

    def graph(self) -> Graph:
        graph = self.model.graph
        with no_grad(), recording() as self.trace, assumptions() as self.assumed:
            scope = Scope(self)
            weights = {t.name for t in graph.initializer}
            names = []
            for port in graph.input:
                if port.name in weights:
                    continue
                if port.name in self.given:
                    scope.values[port.name] = np.asarray(self.given[port.name])
                    continue
                traced = self.trace.input(self.spec(port))
                self.sources[id(traced.node)] = port.name
                scope.values[port.name] = traced
                names.append(port.name)
            scope.load(graph)
            outputs = []
            for o in graph.output:
                value = scope[o.name]
                if isinstance(value, list):
                    raise UnsupportedError(f"the output {o.name!r} is a sequence; outputs are tensors")
                outputs.append(value if isinstance(value, Tensor) else self.constant(np.asarray(value)))
            made = self.trace.graph(outputs)
        made.names = {"inputs": names, "outputs": [o.name for o in graph.output]}
        return made

    def spec(self, port: Any) -> Spec:
        """Spec of a graph input. Named dimensions are shared; nameless ones are dimensions of their own."""
        if not port.type.HasField("tensor_type"):
            raise UnsupportedError(f"the input {port.name!r} is a {port.type.WhichOneof('value') or 'value without a type'}; inputs are tensors")
        kind = port.type.tensor_type
        dtype = dtype_of(kind.elem_type, f"the input {port.name!r}")
        if port.name in self.shapes:
            return Spec(tuple(self.shapes[port.name]), dtype)
        if not kind.HasField("shape"):
            raise UnsupportedError(f"the input {port.name!r} has no shape, not even a rank")
        shape = []
        for i, d in enumerate(kind.shape.dim):
            if d.HasField("dim_value") and d.dim_value >= 0:
                shape.append(int(d.dim_value))
            else:
                shape.append(self.dim(d.dim_param if d.dim_param.strip("?") else f"{port.name}_{i}"))
        return Spec(tuple(shape), dtype)

    def dim(self, name: str) -> Any:
        if name not in self.named:
            chosen = self.dims.get(name, Dim(name, hint=EXAMPLE))
            self.named[name] = chosen if isinstance(chosen, int) else Size.of(chosen)
        return self.named[name]

    def constant(self, array: np.ndarray, dtype: Any = None) -> Tensor:
        key = (id(array), dtype)
        if key not in self.constants:
            self.kept.append(array)
            self.constants[key] = literal(array, dtype)
        return self.constants[key]

    def need(self, x: Any, why: str) -> NoReturn:
        """Says which inputs a value depends on, so that the caller may give them; data of many elements is refused."""
        names, seen, stack = set(), set(), [x.node] if isinstance(x, Tensor) and x.node is not None else []
        while stack:
            n = stack.pop()
            if id(n) in seen:
                continue
            seen.add(id(n))
            if id(n) in self.sources:
                names.add(self.sources[id(n)])
            stack += [v.node for v in n.inputs if v is not None]
        raise ValueNeeded(sorted(names), why) if names else FormatError(why)

    def node(self, node: Any, scope: Scope, given: Mapping[str, Any] | None = None) -> None:
        """`given`: the attributes of the call of a function that the node is in."""
        domain = "" if node.domain in ONNX_DOMAINS else node.domain
        path = node.name or (node.output[0] if node.output else node.op_type)
        inputs = [scope[i] if i else None for i in node.input]
        call = Call(node.op_type, domain, self.opsets.get(domain, 1), attributes(node, self.folder, given), node.output, path, scope)
        handler = HANDLERS.get((domain, node.op_type))
        self.trace.path.append(path)
        try:
            with named(call):
                if handler is not None:
                    results = handler(call, *inputs)
                    left = sorted(set(call.attrs) - call.attrs.read)
                    if left:
                        raise UnsupportedError(f"{call}: accelnn does not know its attribute{'s' if len(left) > 1 else ''} {', '.join(left)}")
                elif (domain, node.op_type) in self.functions:
                    results = self.function(self.functions[domain, node.op_type], inputs, call)
                else:
                    raise UnsupportedError(f"{call}: accelnn has no {node.op_type}; teach it with accelnn.formats.onnx.register({node.op_type!r}"
                                           f"{', ' + repr(domain) if domain else ''})")  # fmt: skip
        finally:
            self.trace.path.pop()
        results = results if isinstance(results, tuple) else (results,)
        wanted = [(name, r) for name, r in zip(node.output, results) if name]
        if sum(1 for name in node.output if name) > len(wanted):
            raise UnsupportedError(f"{call}: of its {len(node.output)} outputs accelnn makes {len(results)}")
        scope.values.update(wanted)

    def function(self, f: Any, inputs: list[Any], call: Call) -> tuple[Any, ...]:
        """A model-local function: its nodes, with the call's attributes in place of those that they refer to."""
        before = self.opsets
        self.opsets = {**before, **{("" if o.domain in ONNX_DOMAINS else o.domain): int(o.version) for o in f.opset_import}}
        try:
            inner = Scope(self)
            inner.values.update(zip(f.input, [*inputs, *[None] * (len(f.input) - len(inputs))]))
            call.ignore(*f.attribute, *(a.name for a in f.attribute_proto))
            given = {**attributes_of(f.attribute_proto, str(call), self.folder), **call.attrs}
            for n in ordered(f.node, inner):
                self.node(n, inner, given)
            return tuple(inner[o] for o in f.output)
        finally:
            self.opsets = before
