"""Reverse mode over the tape. The same walk serves eager tensors and traced ones, and its result is made of ops: it can be traced or differentiated again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .errors import GraphError, ShapeError
from .graph import Node, Value
from .registry import OPS
from .tensor import Tensor, apply, enable_grad, mode, no_grad, ones

Key = Any  # names a value: (node, output number) for results, the tensor itself for leaves


def _key(x: Any) -> Key:
    return (id(x.node), x.index) if x.node is not None else id(x)


def _leaf(x: Any) -> Tensor | None:
    """The concrete tensor behind a leaf of the tape, or None for a result."""
    if x.node is None:
        return x  # type: ignore[no-any-return]
    return x.node.data if x.node.op == "state" else None


def _tape(outputs: Sequence[Tensor]) -> list[Node]:
    """The op nodes below `outputs`, users before their operands."""
    order: list[Node] = []
    seen: set[int] = set()
    stack = [(x.node, False) for x in outputs if x.node is not None]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif id(node) not in seen and not node.is_source and not node.frozen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((x.node, False) for x in node.inputs if x is not None and x.node is not None)
    return order[::-1]


def _sum_to(g: Tensor, x: Any) -> Tensor:
    """Undoes broadcasting: sums the cotangent to its operand's shape. Done here once for every op."""
    shape = x.spec.shape
    if g.shape == shape:
        return g
    lead = g.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(lead + i for i, s in enumerate(shape) if s == 1 and g.shape[lead + i] != 1)
    if lead < 0 or any(i >= lead and shape[i - lead] != g.shape[i] and i not in axes for i in range(g.ndim)):
        raise ShapeError(f"a gradient of shape {g.shape} for an operand of shape {shape}")
    g = g.sum(axes, keepdim=True) if axes else g
    return g.reshape(*shape)


def _saved_inputs(node: Node) -> list[Tensor | None]:
    for x, version in zip(node.inputs, node.versions):
        if version >= 0 and x.view.version != version:
            raise GraphError(f"backward of {node.op}: an operand {x.spec} was overwritten by assign() after it had been used")
    return [Tensor(None, x.node, x.index) if isinstance(x, Value) else x for x in node.inputs]


def _saved_outputs(node: Node, record: bool) -> list[Tensor]:
    if not node.saved:
        return [Tensor(None, node, i) for i in range(len(node.outputs))]
    return [Tensor(v, node if record else None, i) for i, v in enumerate(node.saved)]


def _cotangents_of(node: Node, dys: Sequence[Tensor | None], record: bool) -> Sequence[Tensor | None]:
    op = OPS[node.op]
    inputs = _saved_inputs(node)
    if op.gradient is not None:
        result = op.gradient(*dys, *inputs, *_saved_outputs(node, record), **node.attrs)
        return result if isinstance(result, (tuple, list)) else (result,)
    if op.composition is None:
        raise GraphError(f"{op.name} has no gradient")
    with enable_grad():
        # Stand-ins cut the walk off here: one operand may itself depend on another (the cotangent of a logarithm of a softmax does).
        fresh = [_fresh(x) if x is not None and x.dtype.is_float else x for x in inputs]
        outputs = op.composition(*fresh, **node.attrs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        wanted = [x for x in fresh if x is not None and x.dtype.is_float]
        found = iter(grad_of([y for y, d in zip(outputs, dys) if d is not None], wanted, [d for d in dys if d is not None], create_graph=record))
    return [next(found) if x is not None and x.dtype.is_float else None for x in inputs]


def _walk(outputs: Sequence[Tensor], seeds: Sequence[Tensor], needs: Callable[[Any], bool], record: bool) -> dict[Key, Tensor]:
    """Cotangents of everything between `outputs` and the values for which `needs` is true."""
    tape = _tape(outputs)
    useful: set[int] = set()
    for node in reversed(tape):
        if any(x is not None and (needs(x) or (x.node is not None and id(x.node) in useful)) for x in node.inputs):
            useful.add(id(node))
    found: dict[Key, Tensor] = {}

    def add(x: Any, g: Tensor) -> None:
        key = _key(x)
        found[key] = g if key not in found else apply("add", found[key], g)

    for x, seed in zip(outputs, seeds):
        add(x, seed)
    with enable_grad() if record else no_grad():
        for node in tape:
            dys = [found.get((id(node), i)) for i in range(len(node.outputs))]
            if id(node) not in useful or all(d is None for d in dys):
                continue
            for x, g in zip(node.inputs, _cotangents_of(node, dys, record)):
                if x is not None and g is not None and (needs(x) or (x.node is not None and id(x.node) in useful)):
                    add(x, _sum_to(g, x))
    return found


def _seed(y: Tensor, gradient: Tensor | None) -> Tensor:
    if gradient is None:
        if y.numel() != 1:
            raise ShapeError(f"the gradient of a tensor with more than one element ({y.spec}) needs a cotangent of its shape")
        return ones(*y.shape, dtype=y.dtype, device=y.device)
    if gradient.shape != y.shape:
        raise ShapeError(f"a cotangent of shape {gradient.shape} for a tensor of shape {y.shape}")
    return gradient


def grad_of(
    outputs: Tensor | Sequence[Tensor], inputs: Sequence[Tensor], cotangents: Sequence[Tensor | None] | None = None, create_graph: bool = False
) -> list[Tensor | None]:
    """d(sum of outputs * cotangents)/d(inputs), one entry an input, None where nothing flows.

    With create_graph=True the result is on the tape itself, for second derivatives."""
    ys = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    seeds = [_seed(y, c) for y, c in zip(ys, cotangents or [None] * len(ys))]
    if mode.trace is not None:
        inputs = [mode.trace.handle(x) for x in inputs]
    wanted = {_key(x) for x in inputs}
    found = _walk(ys, seeds, lambda x: _key(x) in wanted, create_graph)
    return [found.get(_key(x)) for x in inputs]


def backward(y: Tensor, gradient: Tensor | None = None) -> None:
    """Adds the gradient of `y` to `.grad` of every leaf with requires_grad."""
    leaves: dict[Key, Tensor] = {}

    def needs(x: Any) -> bool:
        leaf = _leaf(x)
        if leaf is None or not leaf.requires_grad:
            return False
        leaves[_key(x)] = leaf
        return True

    if y.node is None and not y.requires_grad:
        raise GraphError("backward: this tensor does not depend on anything that requires a gradient (or was computed under no_grad)")
    found = _walk([y], [_seed(y, gradient)], needs, record=False)
    if y.node is None:
        leaves[_key(y)] = y
    for key, leaf in leaves.items():
        if key in found:
            with no_grad():
                before = leaf.grad
                leaf.grad = found[key] if before is None else apply("add", before, found[key])


def grad(f: Callable[..., Tensor], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """The function that gives df/d(argument) for a function with one element as result; nests for higher derivatives."""
    numbers = [argnums] if isinstance(argnums, int) else list(argnums)

    def derivative(*args: Tensor) -> Any:
        handles = list(args)
        for i in numbers:
            handles[i] = _fresh(args[i])
        with enable_grad():
            y = f(*handles)
        found = [g if g is not None else apply("mul", handles[i], 0.0) for i, g in zip(numbers, grad_of(y, [handles[i] for i in numbers], create_graph=True))]
        return found[0] if isinstance(argnums, int) else tuple(found)

    return derivative


def _fresh(x: Tensor) -> Tensor:
    """A stand-in for `x` that is on the tape even where x does not require a gradient, linked to x for outer derivatives."""
    if x.view is not None and x.node is None and not x.requires_grad and mode.trace is None:
        return Tensor(x.view, requires_grad=True)
    return apply("alias", x)
