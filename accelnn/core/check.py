"""check_grads: is a gradient right? For every op of this library, and for users' own functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .autograd import grad_of
from .dtypes import DType
from .errors import Error
from .graph import Graph, Spec, Value
from .registry import OPS
from .tensor import Tensor, as_tensor, tensor
from .trace import trace


def evaluate_float64(graph: Graph, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The graph by the float64 references of its ops: what a float32 run is measured against."""
    values: dict[Value, Any] = {Value(n): x for n, x in zip(graph.inputs, inputs)}
    for node in graph.nodes():
        if node.op in ("constant", "state"):
            data = node.data.numpy()
            values[Value(node)] = data.astype(np.float64) if node.data.dtype.is_float else data
        elif not node.is_source:
            operands = [None if v is None else values[v] for v in node.inputs]
            result = OPS[node.op].reference(*operands, **node.attrs)
            for i, y in enumerate(result if isinstance(result, tuple) else (result,)):
                values[Value(node, i)] = np.asarray(y)
    return [values[v] for v in graph.outputs]


def check_grads(f: Callable[..., Tensor], args: Sequence[Any], order: int = 2, rtol: float = 2e-3, seed: int = 0) -> None:
    """Raises an Error where the gradient of f at args is wrong.

    The directional derivative along a random direction, by central differences of the float64 references (so that differences do not drown in float32
    rounding), is compared with the inner product of the reverse-mode gradient and that direction; with order=2 the gradient itself is checked likewise.
    Integer arguments are held still. After HIPS autograd's check_grads."""
    rng = np.random.default_rng(seed)
    tensors = [as_tensor(a) for a in args]
    moving = [i for i, t in enumerate(tensors) if t.dtype.is_float]
    if not moving:
        raise Error("check_grads: no floating-point argument")
    _check_once(f, tensors, moving, rtol, rng, "first")
    if order < 2:
        return

    cotangents: dict[int, np.ndarray] = {}

    def gradient(*xs: Tensor) -> Tensor:
        """<grad f, fixed random numbers>: a scalar whose gradient is the second derivative."""
        y = f(*xs)
        found = grad_of(y, [xs[i] for i in moving], [_fixed(cotangents, -1, y.shape, rng)], create_graph=True)
        total = None
        for i, g in zip(moving, found):
            if g is not None:
                term = (g * _fixed(cotangents, i, g.shape, rng)).sum()
                total = term if total is None else total + term
        return total if total is not None else (tensor(0.0) * 1.0)

    _check_once(gradient, tensors, moving, rtol, rng, "second")


def _fixed(known: dict[int, np.ndarray], key: int, shape: Any, rng: np.random.Generator) -> Tensor:
    if key not in known:
        known[key] = rng.normal(size=shape).astype(np.float32)
    t = tensor(known[key])
    t.literal = True
    return t


def _check_once(f: Callable[..., Tensor], args: Sequence[Tensor], moving: Sequence[int], rtol: float, rng: np.random.Generator, which: str) -> None:
    specs = [Spec(t.shape, t.dtype) for t in args]
    graph, _, _ = trace(f, specs)
    plain = [t.numpy().astype(np.float64) if t.dtype.is_float else t.numpy() for t in args]
    y64 = evaluate_float64(graph, plain)[0]
    cotangent = rng.normal(size=y64.shape).astype(np.float32)
    directions = {i: rng.normal(size=plain[i].shape) for i in moving}
    leaves = [Tensor(t.view, requires_grad=i in moving) for i, t in enumerate(args)]
    y = f(*leaves)
    found = grad_of(y, [leaves[i] for i in moving], [tensor(cotangent, DType.float32)])
    analytic = sum(float((g.numpy().astype(np.float64) * directions[i]).sum()) for i, g in zip(moving, found) if g is not None)

    def along(step: float) -> float:
        moved = [x + step * directions[i] if i in directions else x for i, x in enumerate(plain)]
        return float((evaluate_float64(graph, moved)[0] * cotangent).sum())

    eps = 1e-5
    numeric = (along(eps) - along(-eps)) / (2 * eps)
    scale = max(abs(numeric), sum(float(np.abs(g.numpy() * directions[i]).sum()) for i, g in zip(moving, found) if g is not None), 1e-3)
    if not abs(analytic - numeric) <= rtol * scale:
        raise Error(f"check_grads: {which} derivative of {getattr(f, '__name__', 'the function')}: "
                    f"reverse mode gives {analytic:.8g}, central differences {numeric:.8g}")
