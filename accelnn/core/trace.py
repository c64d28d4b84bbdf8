"""Tracing: runs a function on Specs and keeps what it did as a Graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .dims import product
from .errors import DeviceError, GraphError
from .graph import Graph, Node, Spec, Value
from .registry import Op
from .tensor import Tensor, as_tensor, mode


class Trace:
    """One recording, for tensors of a device. A concrete tensor that the function meets is bound by reference (a `state`): parameters, running statistics,
    learning rate, RNG position. Numbers and literals become constants."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.copies: list[tuple[Tensor, int]] = []  # what was moved to the device during the recording, and how often it had been written
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
            self.check_place(x)
            self.states[id(x)] = Node("state", (), {}, (x.spec,), data=x)
            self.current[id(x)] = Value(self.states[id(x)])
        return self.current[id(x)]

    def check_place(self, x: Tensor) -> None:
        """The function's tensors are where it runs; single numbers of the host, which follow it, may be read anywhere."""
        there = x.device
        if there == self.device:
            return
        if self.device == "cpu":
            raise Elsewhere(there, f"the traced function runs on the host and reads {x.spec} on {there}")
        if there != "cpu" or (product(x.shape) != 1 and any(x.view.stride)):
            raise DeviceError(f"the traced function runs on {self.device} and reads {x.spec} on {there}; move one with .to({self.device!r})")

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
        if target.device != self.device:
            raise DeviceError(f"assign: the traced function runs on {self.device} and writes {target.spec} on {target.device}; move it there before")
        self.current[id(target)] = self.value_of(value)
        self.updated[id(target)] = self.states[id(target)]

    def set_grad(self, leaf: Tensor, value: Tensor | None) -> None:
        self.grads[id(leaf)] = value

    def graph(self, outputs: Sequence[Tensor]) -> Graph:
        return Graph(self.inputs, [self.value_of(y) for y in outputs], [(node, self.current[i]) for i, node in self.updated.items()])


class Elsewhere(DeviceError):
    """A function was traced for the host, and its tensors are on `device`."""

    def __init__(self, device: str, text: str) -> None:
        super().__init__(text)
        self.device = device


class _Recording:
    def __init__(self, device: str) -> None:
        self.trace = Trace(device)

    def __enter__(self) -> Trace:
        if mode.trace is not None:
            raise GraphError("a function that is being traced was traced again; call the inner function plainly")
        mode.trace = self.trace
        return self.trace

    def __exit__(self, *error: object) -> None:
        mode.trace = None


def recording(device: str = "cpu") -> _Recording:
    return _Recording(device)


def trace(f: Callable[..., Any], specs: Sequence[Spec], device: str | None = None) -> tuple[Graph, Trace, Any]:
    """Runs `f` on traced tensors of these Specs. Returns the Graph, the Trace and f's result with each Tensor replaced by its output number.
    device: where they are; None: where the tensors are that f meets."""
    try:
        return _trace(f, specs, device or "cpu")
    except Elsewhere as found:
        if device is not None:
            raise
        return _trace(f, specs, found.device)


def _trace(f: Callable[..., Any], specs: Sequence[Spec], device: str) -> tuple[Graph, Trace, Any]:
    with recording(device) as t:
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
