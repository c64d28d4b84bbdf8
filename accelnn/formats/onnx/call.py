"""One node as its handler sees it: attributes, the opset it was written for, and ways to say what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

from ...core.dims import Size
from ...core.dispatch import run
from ...core.dtypes import BFLOAT16, DType, as_dtype, from_bfloat16
from ...core.errors import DTypeError, FormatError, UnsupportedError
from ...core.graph import Graph, Node, Value, symbolic as shaped
from ...core.lazy import in_file
from ...core.registry import OPS
from ...core.tensor import Tensor, apply, asarray, tensor
from ...ops import cat, cumsum
from .values import numbers, symbolic

if TYPE_CHECKING:
    from .importer import Scope

Handler = Callable[..., Any]
HANDLERS: dict[tuple[str, str], Handler] = {}
ONNX_DOMAINS = ("", "ai.onnx")


def register(op_type: str, domain: str = "", widened: bool = False) -> Callable[[Handler], Handler]:
    """Decorator: `f(call, *inputs)` makes the outputs of nodes of this type, a value or a tuple of them.

    An input is None (left out), a numpy array (a value that is known now: constants, shapes) or a Tensor; `call.tensor(x)` makes a Tensor of each,
    `call.attrs` has the node's attributes. What f computes with accelnn's functions becomes part of the network. `widened`: f is given float32
    in place of 16-bit floats, and what it gives becomes theirs again."""

    def keep(f: Handler) -> Handler:
        HANDLERS[domain if domain not in ONNX_DOMAINS else "", op_type] = _widened(f) if widened else f
        return f

    return keep


HALVES = (DType.float16, DType.bfloat16)
_narrowed: WeakSet[Node] = WeakSet()       # casts of a result to the 16 bits that the standard gives it


def narrowed(y: Tensor, dtype: DType) -> Tensor:
    """A float32 result in its operands' type. A handler that computes in float32 again reads what was before: such a chain is rounded once, at its
    end, where a Cast node of the file is done as it stands."""
    z = y.to(dtype)
    if z is not y and z.node is not None and y.dtype == DType.float32:
        _narrowed.add(z.node)
    return z


def wide(x: Tensor) -> Tensor:
    """float32 of a 16-bit float, other types as they are."""
    if x.node is not None and x.node in _narrowed:
        before = x.node.inputs[0]
        return Tensor(None, before.node, before.index)
    return x.float() if x.dtype in HALVES else x


def _widened(f: Handler) -> Handler:
    def wider(x: Any) -> Any:
        if isinstance(x, Tensor):
            return wide(x)
        if isinstance(x, np.ndarray) and x.dtype in (np.float16, BFLOAT16):
            return from_bfloat16(x) if x.dtype == BFLOAT16 else x.astype(np.float32)
        return x

    def computed(c: Call, *inputs: Any) -> Any:
        half = as_dtype(inputs[0].dtype) if isinstance(inputs[0], (Tensor, np.ndarray)) and inputs[0].dtype != object else None
        if half not in HALVES:
            return f(c, *inputs)
        found = f(c, *map(wider, inputs))
        results = found if isinstance(found, tuple) else (found,)
        results = tuple(narrowed(y, half) if isinstance(y, Tensor) and y.dtype == DType.float32 else y for y in results)
        return results if isinstance(found, tuple) else results[0]

    return computed


class ValueNeeded(Exception):
    """The network's structure depends on the value of these graph inputs: the importer has to be told it."""

    def __init__(self, names: Sequence[str], why: str) -> None:
        super().__init__(why)
        self.names, self.why = tuple(names), why


class Attributes(dict[str, Any]):
    """A node's attributes; `read` are those that its handler has looked at. What it does not look at, it does not do: the importer refuses such a node."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__(given)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)

    def __contains__(self, name: object) -> bool:
        self.read.add(str(name))
        return super().__contains__(name)


class Call:
    """A node, while it is imported."""

    def __init__(self, op: str, domain: str, opset: int, attrs: dict[str, Any], outputs: Sequence[str], path: str, scope: Scope) -> None:
        self.op, self.domain, self.opset, self.path, self.scope = op, domain, opset, path, scope
        self.attrs = Attributes(attrs)
        self.outputs = tuple(outputs)  # names; empty where nobody wants it

    def wants(self, index: int) -> bool:
        return index < len(self.outputs) and bool(self.outputs[index])

    def get(self, name: str, default: Any = None) -> Any:
        return self.attrs.get(name, default)

    def ignore(self, *names: str) -> None:
        """Attributes without a meaning for the result."""
        self.attrs.read.update(names)

    def ints(self, name: str, default: Sequence[int] = ()) -> tuple[int, ...]:
        return tuple(int(i) for i in self.attrs.get(name, default))

    def tensor(self, x: Any, dtype: Any = None) -> Tensor:
        """A Tensor of the value; known numbers become a constant."""
        if isinstance(x, Tensor):
            return x if dtype is None else x.to(dtype)
        array = numbers(x)
        if array is None:
            raise self.bad("an input is missing" if x is None else f"a tensor expected, not a {type(x).__name__}")
        if symbolic(array):
            return measured(array) if dtype is None else measured(array).to(dtype)
        return self.scope.constant(array, dtype)

    def number(self, x: Any, what: str) -> Any:
        """The only element of a known value."""
        found = self.numbers(x, what)
        if len(found) != 1:
            raise self.bad(f"{what}: one number expected, {len(found)} given")
        return found[0]

    def numbers(self, x: Any, what: str) -> list[Any]:
        """The elements of a known value: ints (or Sizes), floats, bools."""
        return self.known(x, what).ravel().tolist()

    def known(self, x: Any, what: str) -> np.ndarray:
        array = numbers(x)
        if array is None:
            array = computed(x)
        if array is None:
            self.scope.need(x, f"{self}: {what} is computed from data; the network's shapes would depend on it")
        assert array is not None
        return array

    def value(self, x: Any, what: str) -> np.ndarray:
        """The array of a known value."""
        if (found := computed(x)) is not None:
            return found
        self.known(x, what)
        return np.asarray(x)

    def sizes(self, x: Any, what: str) -> list[Any]:
        return [s if isinstance(s, Size) else int(s) for s in self.numbers(x, what)]

    def bad(self, why: str) -> FormatError:
        return FormatError(f"{self}: {why}")

    def refuse(self, why: str) -> UnsupportedError:
        return UnsupportedError(f"{self}: {why}")

    def __repr__(self) -> str:
        return f"{self.domain + '::' if self.domain else ''}{self.op} {self.path!r}"


def computed(x: Any) -> np.ndarray | None:
    """The numbers of a traced Tensor that depends on no input: ops of which the importer has no form for numpy are run here."""
    if not isinstance(x, Tensor) or x.node is None:
        return None
    nodes = Graph([], [Value(x.node, x.index)]).nodes()
    if any(n.is_flow or n.op in ("input", "state") or shaped([s.shape for s in n.outputs]) for n in nodes):
        return None
    views: dict[Value, Any] = {}
    for n in nodes:
        found = [n.data.view] if n.is_source else run(OPS[n.op], [None if v is None else views[v] for v in n.inputs], n.attrs, n.outputs)
        views |= {Value(n, i): view for i, view in enumerate(found)}
    return Tensor(views[Value(x.node, x.index)]).numpy()


def counted(n: Any) -> Tensor:
    """int64[n]: 0, 1, ... n - 1, of a size that may be known only when it runs."""
    one = tensor(1, DType.int64)
    one.literal = True
    return cumsum(one.expand(n), 0, exclusive=True)


def measured(sizes: np.ndarray) -> Tensor:
    """Sizes as data: int64 of the array's shape. Element n of 0, 1, ... n is n."""
    parts = []
    for s in sizes.ravel().tolist():
        if isinstance(s, Size):
            parts.append(apply("slice", counted(s + 1), axis=0, start=s, length=1, step=1))
        else:
            parts.append(literal(np.asarray([s], np.int64)))
    return cat(parts, 0).reshape(*sizes.shape) if len(parts) > 1 else parts[0].reshape(*sizes.shape)


def rank_of(x: Any) -> int:
    return x.ndim


def shape_of(x: Any) -> tuple[Any, ...]:
    return tuple(x.shape)


def axis_of(c: Call, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise c.bad(f"axis {axis} of {rank} dimensions")
    return int(axis) % rank


def literal(array: np.ndarray, dtype: Any = None) -> Tensor:
    """Known numbers as a constant of the graph."""
    if dtype is None:
        try:
            dtype = as_dtype(array.dtype)
        except DTypeError:
            raise DTypeError(f"constants of {array.dtype}, for which accelnn has no kernels") from None
    stored = in_file(array) if dtype == as_dtype(array.dtype) else None
    if stored is not None:
        return stored
    if array.dtype.kind in "fiub" and as_dtype(array.dtype) == as_dtype(dtype):
        fresh = asarray(np.ascontiguousarray(array).reshape(array.shape))      # weights are read where the file's bytes lie
    else:
        fresh = tensor(array, dtype)
    fresh.literal = True
    return fresh
