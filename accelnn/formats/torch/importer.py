"""The walk over an exported program: each call is handed to its handler, in order, while a trace keeps what the handlers compute."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...core.dims import Assumption, Size, assumptions
from ...core.errors import DTypeError, UnsupportedError
from ...core.graph import Graph, Spec
from ...core.tensor import Tensor, asarray, from_dlpack, no_grad
from ...core.trace import Trace, recording
from ..naming import named
from . import handlers  # noqa: F401  (fills HANDLERS)
from .call import HANDLERS, IGNORED, Call, dtype_of
from .export import Named
from .flow import FLOWS


def _floor(x: Any) -> Any:
    return x if isinstance(x, (int, Size)) else int(np.floor(x))


# What exported programs do with sizes; each works on ints and on Sizes.
SIZES: dict[str, Callable[..., Any]] = {
    "sym_max": lambda a, b: a if a > b else b, "sym_min": lambda a, b: a if a < b else b, "sym_int": int, "floor": _floor,
    "sym_float": lambda a: a if isinstance(a, Size) else float(a), "sym_not": operator.not_,
}  # fmt: skip
CHECKS = ("_assert", "sym_constrain_range")  # what torch found out about its sizes; ours are checked when a call binds them


def share(x: Any, what: str) -> Tensor:
    """A Tensor in the memory of torch's. What lies in memory in no order of positive strides is copied."""
    x = x.detach()
    if x.device.type != "cpu":
        x = x.cpu()
    dtype = dtype_of(x.dtype, what)
    if x.numel() == 0 or x.ndim == 0:
        found = asarray(np.array(x.float().numpy() if dtype.is_float else x.numpy())).to(dtype)
        found = Tensor(found.view)
    else:
        found = from_dlpack(x if all(s > 0 for s in x.stride()) else x.contiguous())
    found.literal = True
    return found


class Importer:
    """An exported program as a Graph. `shapes`: whole shapes of inputs, in place of their named dimensions."""

    def __init__(self, program: Any, named: Named, shapes: Mapping[str, tuple[int, ...]] | None = None) -> None:
        self.program, self.named, self.shapes = program, named, dict(shapes or {})
        self.trace: Trace
        self.assumed: set[Assumption] = set()
        self.values: dict[Any, Any] = {}  # fx node -> value
        self.sizes: dict[str, Any] = {}  # torch's symbol -> Size
        self.result: list[Any] = []  # what the module returns, flat: numbers of outputs, or constants
        self.shared: dict[str, Tensor] = {}  # weights and buffers that the graph reads, by name
        self.weights: dict[str, Any] = {}

    def graph(self) -> Graph:
        signature = self.program.graph_signature
        self._refuse_changes(signature)
        ports = {s.arg.name: s for s in signature.input_specs}
        names: list[str] = []
        with no_grad(), recording() as self.trace, assumptions() as self.assumed:
            outputs: list[Tensor] = []
            for node in self.program.graph.nodes:
                if node.op == "placeholder":
                    self._port(node, ports[node.name], names)
                elif node.op == "get_attr":
                    self.values[node] = operator.attrgetter(node.target)(self.program.graph_module)
                elif node.op == "call_function":
                    self.values[node] = self.node(node)
                elif node.op == "output":
                    outputs = self._outputs(node)
            made = self.trace.graph(outputs)
        made.names = {"inputs": names, "outputs": output_names(len(outputs))}
        return made

    def _refuse_changes(self, signature: Any) -> None:
        changed = sorted({*signature.buffers_to_mutate.values(), *signature.user_inputs_to_mutate.values()})
        if changed:
            raise UnsupportedError(f"from_torch: the module writes {', '.join(map(repr, changed))} when it runs; a Plan's weights stand still "
                                   "(normalization with running statistics belongs in eval mode)")  # fmt: skip

    def _port(self, node: Any, spec: Any, names: list[str]) -> None:
        kind, name = spec.kind.name, spec.arg.name
        if kind == "USER_INPUT":
            found = node.meta.get("val")
            if not hasattr(found, "dtype"):
                self.values[node] = getattr(spec.arg, "value", found)  # a number or None: as it was in the example
                return
            shape = self.shapes.get(name) or self._shape(name, found)
            self.values[node] = self.trace.input(Spec(tuple(shape), dtype_of(found.dtype, f"the input {name!r}")))
            names.append(name)
        elif kind in ("PARAMETER", "BUFFER", "CONSTANT_TENSOR"):
            self.weights[node.name] = spec.target
        else:
            raise UnsupportedError(f"from_torch: an input of kind {kind} ({name!r})")

    def _shape(self, name: str, found: Any) -> list[Any]:
        """The shape of an input. torch's symbols are ours by the name that its dimension was given."""
        by_name = {str(getattr(d, "__name__", "")): n for n, d in self.named.theirs.items()}
        shape: list[Any] = []
        for axis, s in enumerate(found.shape):
            if isinstance(s, int):
                shape.append(s)
                continue
            symbol = str(s.node.expr)
            if symbol not in self.sizes:
                given = self._given(name, axis)
                self.sizes[symbol] = Size.of(self.named.ours[by_name.get(given, given)]) if given else self._free(symbol, s)
            shape.append(self.sizes[symbol])
        return shape

    def _given(self, name: str, axis: int) -> str:
        order = [s.arg.name for s in self.program.graph_signature.input_specs if s.kind.name == "USER_INPUT"]
        axes = self.named.axes
        key = name if name in axes else order.index(name)
        return axes.get(key, {}).get(axis, "")

    def _free(self, symbol: str, size: Any) -> Size:
        """A dimension of a program that was exported elsewhere."""
        from ...core.dims import Dim

        if not symbol.isidentifier():
            raise UnsupportedError(f"from_torch: an input with a size of {symbol}, which is no dimension of its own")
        hint, bounds = size.node.hint, self.program.range_constraints.get(size.node.expr)
        low: Any = bounds.lower if bounds is not None else 0
        high: Any = bounds.upper if bounds is not None and getattr(bounds.upper, "is_Integer", False) else 0
        return Size.of(Dim(symbol, hint=int(hint) if hint else 2, lower=int(low), upper=int(high)))

    def value(self, x: Any) -> Any:
        """What stands in a node's arguments, with values in place of nodes."""
        if hasattr(x, "op") and hasattr(x, "target"):
            return self.values[x] if x in self.values else self.weight(x)
        if isinstance(x, (list, tuple)):
            return [self.value(y) for y in x]
        return x

    def weight(self, node: Any) -> Tensor:
        name = self.weights[node.name]
        if name not in self.shared:
            state = self.program.state_dict
            self.shared[name] = share(state[name] if name in state else self.program.constants[name], f"the weight {name!r}")
        return self.shared[name]

    def node(self, node: Any) -> Any:
        target = node.target
        args = [self.value(a) for a in node.args]
        if target is operator.getitem:
            return args[0][args[1]]
        name = str(target)
        path, _, short = name.partition(".")
        if not hasattr(target, "_schema"):  # Python's arithmetic of sizes
            plain = getattr(target, "__name__", name)
            if getattr(target, "namespace", "") == "higher_order" and plain in FLOWS:
                return FLOWS[plain](self, *args, **{k: self.value(v) for k, v in node.kwargs.items()})
            f = SIZES.get(plain) or (target if getattr(target, "__module__", "") in ("_operator", "math") else None)
            if f is None:
                raise UnsupportedError(f"from_torch: {plain} of sizes")
            return f(*args)
        if path == "aten" and short.startswith(CHECKS):
            return None
        return self._call(node, name, args, {k: self.value(v) for k, v in node.kwargs.items()})

    def _call(self, node: Any, name: str, args: list[Any], options: dict[str, Any]) -> Any:
        path = module_path(node)
        given = options | {a.name: v for a, v in zip(node.target._schema.arguments, args)}
        call = Call(name, path, node.meta.get("val"), given)
        if name not in HANDLERS:
            raise UnsupportedError(f"{call}: accelnn has no {name}; teach it with accelnn.formats.torch.register({name!r})")
        handler, takes = HANDLERS[name]
        for a in node.target._schema.arguments:
            if a.name in given and a.name not in takes and a.name not in IGNORED and given[a.name] != a.default_value:
                raise call.refuse(f"accelnn does not know its argument {a.name}={given[a.name]!r}")
        self.trace.path.append(path or node.name)
        try:
            with named(call):
                return handler(call, **{k: v for k, v in given.items() if k in takes})
        finally:
            self.trace.path.pop()

    def _outputs(self, node: Any) -> list[Tensor]:
        found: list[Tensor] = []
        for x in node.args[0]:
            value = self.value(x)
            if isinstance(value, Tensor):
                self.result.append((len(found), None))
                found.append(value)
            elif isinstance(value, Size):
                raise UnsupportedError("from_torch: the module returns a size; outputs are tensors")
            else:
                self.result.append((-1, value))
        if not found:
            raise DTypeError("from_torch: the module returns no tensor")
        return found


def output_names(n: int) -> list[str]:
    return ["output"] if n == 1 else [f"output_{i}" for i in range(n)]


def module_path(node: Any) -> str:
    """The path of the module that made this call, such as layers.0.attention."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [p for p, _ in stack.values() if isinstance(p, str) and not p.startswith("_empty")]
    return paths[-1] if paths else ""


def example_shapes(program: Any) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors that the program was exported with."""
    found: dict[str, tuple[int, ...]] = {}
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node.op == "placeholder" and hasattr(value, "shape"):
            found[node.name] = tuple(s if isinstance(s, int) else int(s.node.hint or 2) for s in value.shape)
    return found
