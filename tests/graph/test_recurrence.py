"""LSTMs written one step behind the other become one op, in whatever order their gates stand; look-alikes stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.core.dims import Dim, Size
from accelnn.core.flow import loop
from accelnn.core.graph import Graph, Node, Spec, Value, rewrite
from accelnn.core.tensor import no_grad
from accelnn.core.trace import trace
from accelnn.model import Model
from accelnn.passes import TIDY, run_passes

T, B, N, H = 4, 2, 3, 5
RNG = np.random.default_rng(0)
WX, WH, OTHER = (an.tensor(RNG.normal(size=s).astype(np.float32) * 0.5) for s in ((N, 4 * H), (H, 4 * H), (H, 4 * H)))
BIAS, OUT = an.tensor(RNG.normal(size=4 * H).astype(np.float32)), an.tensor(RNG.normal(size=(H, 4 * H)).astype(np.float32) * 0.5)
FIRST, STATE = (RNG.normal(size=(B, H)).astype(np.float32) for _ in range(2))
X = RNG.normal(size=(B, T, N)).astype(np.float32)


def quarter(gates: Any, i: int) -> Any:
    return gates[:, i * H : (i + 1) * H]


def torchs(x: Any, h: Any, c: Any, w: Any = WX, u: Any = WH, b: Any = BIAS, order: str = "ifgo", forget: float = 0.0) -> Any:
    gates = an.matmul(x, w, b) + h @ u
    i, f, g, o = (quarter(gates, order.index(gate)) for gate in "ifgo")
    f = f + forget if forget else f
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def keras(x: Any, h: Any, c: Any) -> Any:
    """Gates i, g, f, o of one product, a bias of 1 for f, factors the other way round."""
    gates = an.cat([x, h], 1) @ an.cat([WX, WH], 0) + BIAS
    i, g, f, o = (quarter(gates, k) for k in range(4))
    c = g.tanh() * i.sigmoid() + c * (f + 1.0).sigmoid()
    return c.tanh() * o.sigmoid(), c


def unrolled(cell: Callable[..., Any], axis: int = 1, layers: int = 1) -> Callable[..., Any]:
    def f(x: Any, h: Any, c: Any) -> Any:
        steps = [x[:, t] if axis else x[t] for t in range(x.shape[axis])]
        for layer in range(layers):
            before, found = (h, c), []
            for step in steps:
                before = cell(step, *before) if layer == 0 else torchs(step, *before, OUT, OTHER)
                found.append(before[0])
            steps = found
        return an.stack(steps, axis), before[1]

    return f


def frozen(f: Callable[..., Any], x: Any) -> Graph:
    with no_grad():
        graph, _, _ = trace(f, [Spec(a.shape, an.float32) for a in (x, FIRST, STATE)])

    def constants(node: Node, _: Any) -> Any:
        return [Value(Node("constant", (), {}, node.outputs, node.label, data=node.data))] if node.op == "state" else None

    return rewrite(graph, constants)


def ops(graph: Graph) -> list[str]:
    return [n.op for n in graph.nodes() if not n.is_source and n.op not in ("reshape", "slice", "permute")]


def agrees(f: Callable[..., Any], graph: Graph, x: np.ndarray) -> bool:
    wanted, found = f(*map(an.tensor, (x, FIRST, STATE))), Model(graph)(x, FIRST, STATE)
    return all(np.abs(a.numpy() - b.numpy()).max() < 1e-5 for a, b in zip(wanted, found, strict=True))


@pytest.mark.parametrize("f, axis, lstms", [
    (unrolled(torchs), 1, 1), (unrolled(torchs, axis=0), 0, 1), (unrolled(keras), 1, 1), (unrolled(torchs, layers=2), 1, 2),
    (unrolled(lambda *a: torchs(*a, order="ogfi", forget=0.5)), 1, 1),
], ids=["batch first", "time first", "keras", "two layers", "another order"])  # fmt: skip
def test_steps_become_one_op(f: Any, axis: int, lstms: int) -> None:
    x = X if axis else np.ascontiguousarray(X.transpose(1, 0, 2))
    graph = frozen(f, x)
    assert ops(run_passes(graph, TIDY)) == ["lstm"] * lstms
    assert agrees(f, graph, x)


def test_steps_that_do_not_lie_in_one_sequence_are_put_together() -> None:
    def f(x: Any, h: Any, c: Any) -> Any:
        for t in (2, 0, 3):
            h, c = torchs(x[:, t] * 2.0, h, c)
        return h, c

    graph = frozen(f, X)
    assert set(ops(run_passes(graph, TIDY))) == {"mul", "concat", "lstm"} and agrees(f, graph, X)


def test_a_state_that_others_read_ends_a_chain() -> None:
    def f(x: Any, h: Any, c: Any) -> Any:
        for t in range(T):
            h, c = torchs(x[:, t], h, c)
            seen = c if t == 1 else seen if t else c       # noqa: F821
        return h, c + seen

    graph = frozen(f, X)
    assert ops(run_passes(graph, TIDY)).count("lstm") == 2 and agrees(f, graph, X)


def scanned(x: Any, h: Any, c: Any) -> Any:
    def step(_: Any, states: Any, parts: Any) -> Any:
        c, h = states
        h, c = keras(parts[0], h, c)
        return None, [c, h], [h]

    c, h, every = loop(step, [c, h], [x], most=x.shape[0])
    return every, h, c


def test_a_loop_over_a_sequence_becomes_one_op() -> None:
    length = Size.of(Dim("length", hint=5))
    graph = frozen(scanned, Spec((length, B, N), an.float32))
    assert ops(run_passes(graph, TIDY)) == ["lstm"]
    whole = Model(graph)
    for n in (0, 1, 4, 9):
        x = RNG.normal(size=(n, B, N)).astype(np.float32)
        h, c, every = FIRST, STATE, []
        for part in x:
            h, c = (y.numpy() for y in keras(*map(an.tensor, (part, h, c))))
            every.append(h)
        for found, wanted in zip(whole(x, FIRST, STATE), (np.reshape(every, (n, B, H)), h, c), strict=True):
            assert np.abs(found.numpy() - wanted).max(initial=0) < 1e-5


LOOKALIKES: dict[str, Callable[..., Any]] = {
    "other weights in every other step": lambda t, *a: torchs(*a, u=OTHER if t % 2 else WH),
    "another bias in every other step": lambda t, *a: torchs(*a, forget=float(t % 2)),
    "another state": lambda t, x, h, c: (lambda y: (y[0], y[1] * 2.0))(torchs(x, h, c)),
    "another function": lambda t, x, h, c: (lambda y: (y[0].tanh(), y[1]))(torchs(x, h, c)),
}


@pytest.mark.parametrize("name", LOOKALIKES)
def test_lookalikes_stay(name: str) -> None:
    def f(x: Any, h: Any, c: Any) -> Any:
        for t in range(T):
            h, c = LOOKALIKES[name](t, x[:, t], h, c)
        return h, c

    graph = frozen(f, X)
    assert "lstm" not in ops(run_passes(graph, TIDY)) and agrees(f, graph, X)
