"""Tracing: runs a function on Specs and keeps what it did as a Graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .errors import GraphError
from .graph import Graph, Node, Spec, Value
from .registry import Op
from .tensor import Tensor, as_tensor, mode


class Trace:
    """One recording. A concrete tensor that the function meets is bound by reference (a `state`): parameters, running statistics, learning rate, RNG
    position. Numbers and literals become constants."""

    def __init__(self) -> None:
        self.inputs: list[Node] = []
        self.states: dict[int, Node] = {}  # id(tensor) -> its source node, which keeps the tensor alive
        self.current: dict[int, Value] = {}  # what reading the tensor gives now
        self.updated: dict[int, Node] = {}
        self.grads: dict[int, Tensor | None] = {}
        self.modules: list[tuple[Any, bool]] = []  # modules that ran, with their training flag: another flag needs another trace
        self.constants: dict[int, Node] = {}
        self.path: list[str] = []  # of the layer that runs now
        self.names: dict[int, str] = {}  # of modules, by the field that holds them

    def name_of(self, module: Any) -> str:
        """The module's field name in the one that called it, else its class; nothing for the outermost."""
        for name, child in module.named_children():
            self.names[id(child)] = name
        return self.names.get(id(module), "" if not self.path else type(module).__name__.lower())

    def input(self, spec: Spec) -> Tensor:
        node = Node("input", (), {}, (spec,))
        self.inputs.append(node)
        return Tensor(None, node)

    def value_of(self, x: Tensor) -> Value:
        """The graph value that reading `x` means at this point."""
        if x.literal:
            if id(x) not in self.constants:
                self.constants[id(x)] = Node("constant", (), {}, (x.spec,), data=x)
            return Value(self.constants[id(x)])
        if x.view is None:
            assert x.node is not None
            return Value(x.node, x.index)
        if id(x) not in self.states:
            self.states[id(x)] = Node("state", (), {}, (x.spec,), data=x)
            self.current[id(x)] = Value(self.states[id(x)])
        return self.current[id(x)]

    def handle(self, x: Tensor) -> Tensor:
        v = self.value_of(x)
        return Tensor(None, v.node, v.index)

    def record(self, op: Op, operands: Sequence[Tensor | None], attrs: dict[str, Any]) -> tuple[Tensor, ...]:
        values = [None if x is None else self.value_of(x) for x in operands]
        return self.add(Node(op.name, values, attrs, op.specs([None if v is None else v.spec for v in values], attrs), ".".join(filter(None, self.path))))

    def add(self, node: Node) -> tuple[Tensor, ...]:
        """The outputs of a node that was made here."""
        node.frozen = not mode.grad
        return tuple(Tensor(None, node, i) for i in range(len(node.outputs)))

    def assign(self, target: Tensor, value: Tensor) -> None:
        if target.view is None:
            raise GraphError("assign: a traced tensor has no memory of its own; only tensors made outside the traced function can be assigned to")
        self.value_of(target)
        self.current[id(target)] = self.value_of(value)
        self.updated[id(target)] = self.states[id(target)]

    def set_grad(self, leaf: Tensor, value: Tensor | None) -> None:
        self.grads[id(leaf)] = value

    def graph(self, outputs: Sequence[Tensor]) -> Graph:
        return Graph(self.inputs, [self.value_of(y) for y in outputs], [(node, self.current[i]) for i, node in self.updated.items()])


class _Recording:
    def __init__(self) -> None:
        self.trace = Trace()

    def __enter__(self) -> Trace:
        if mode.trace is not None:
            raise GraphError("a function that is being traced was traced again; call the inner function plainly")
        mode.trace = self.trace
        return self.trace

    def __exit__(self, *error: object) -> None:
        mode.trace = None


def recording() -> _Recording:
    return _Recording()


def trace(f: Callable[..., Any], specs: Sequence[Spec]) -> tuple[Graph, Trace, Any]:
    """Runs `f` on traced tensors of these Specs. Returns the Graph, the Trace and f's result with each Tensor replaced by its output number."""
    with recording() as t:
        result = f(*[t.input(s) for s in specs])
        outputs: list[Tensor] = []

        def number(x: Any) -> Any:
            if isinstance(x, Tensor):
                outputs.append(x)
                return Slot(len(outputs) - 1)
            if isinstance(x, (tuple, list)):
                return _again(x, (number(y) for y in x))
            if isinstance(x, dict):
                return {k: number(y) for k, y in x.items()}
            return x

        shape_of_result = number(result)
        return t.graph([as_tensor(y) for y in outputs]), t, shape_of_result


def _again(x: Any, items: Iterable[Any]) -> Any:
    """Other items in a list, a tuple or a named tuple like x."""
    return type(x)(*items) if hasattr(x, "_fields") else type(x)(items)


class Slot:
    """Stands for output number `index` in the shape of a result."""

    def __init__(self, index: int) -> None:
        self.index = index


def fill(result: Any, tensors: Sequence[Tensor]) -> Any:
    """The traced function's result with the Tensors of a run in their places."""
    if isinstance(result, Slot):
        return tensors[result.index]
    if isinstance(result, (tuple, list)):
        return _again(result, (fill(x, tensors) for x in result))
    if isinstance(result, dict):
        return {k: fill(x, tensors) for k, x in result.items()}
    return result
