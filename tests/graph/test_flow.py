"""Branches and loops in graphs and Plans: against the same in Python, through passes, files and executables."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import accelnn as an
from accelnn.core.dims import Dim, Size
from accelnn.core.errors import Error, FormatError, ShapeError
from accelnn.core.flow import branch, loop
from accelnn.core.graph import Graph, Node, Spec, Value
from accelnn.core.tensor import no_grad
from accelnn.core.trace import trace
from accelnn.model import Model
from accelnn.passes import DEPLOY, run_passes

F, I, B = (lambda *shape, d=d: Spec(shape, d) for d in (an.float32, an.int64, an.bool_))
RNG = np.random.default_rng(0)
W = an.tensor(RNG.normal(size=(3, 3)).astype(np.float32) * 0.4)
W.literal = True
X = RNG.normal(size=3).astype(np.float32)


def models(f: Callable[..., Any], *specs: Spec) -> list[Model]:
    """With passes and without."""
    with no_grad():
        graph, _, _ = trace(f, specs)
    return [Model(graph), Model(graph, graph)]


def one(f: Callable[..., Any], *specs: Spec) -> Model:
    return models(f, *specs)[0]


def same(got: Any, wanted: Any) -> bool:
    got = got if isinstance(got, tuple) else (got,)
    return all(np.allclose(a.numpy(), b, 1e-5, 1e-6) and a.numpy().shape == np.shape(b) for a, b in zip(got, wanted, strict=True))


def chosen(c: Any, x: Any) -> Any:
    y = x * 2.0
    return branch(c, lambda: [y @ W, x], lambda: [y.exp(), y])


def test_a_branch_does_what_its_condition_says() -> None:
    for m in models(chosen, B(), F(1, 3)):
        x = X.reshape(1, 3)
        for _ in range(2):
            assert same(m(np.array(True), x), (2 * x @ W.numpy(), x)) and same(m(np.array(False), x), (np.exp(2 * x), 2 * x))


def test_branches_in_branches() -> None:
    def f(a: Any, b: Any, x: Any) -> Any:
        inner = lambda: branch(b, lambda: [x + 1.0], lambda: [x - 1.0])  # noqa: E731
        return branch(a, inner, lambda: [branch(b, lambda: [x * 3.0], lambda: [x])[0] + 0.5])

    for m in models(f, B(), B(), F(3)):
        for a, b, wanted in ((1, 1, X + 1), (1, 0, X - 1), (0, 1, X * 3 + 0.5), (0, 0, X + 0.5)):
            assert same(m(np.array(bool(a)), np.array(bool(b)), X), (wanted,))


def steps(n: Any, x: Any, series: Any) -> Any:
    """States that change places, a condition, a limit, steps of a series."""

    def step(k: Any, states: Any, parts: Any) -> Any:
        a, b = states
        return (a * a).sum() < 50.0, [b, a + parts[0] * x + k.to(an.float32)], []

    return loop(step, [x, x * 0.0], [series], most=series.shape[0], trips=n)


def slowly(n: int, x: np.ndarray, series: np.ndarray) -> Any:
    a, b = x, 0 * x
    for k in range(min(n, len(series))):
        a, b, going = b, a + series[k] * x + k, (a * a).sum() < 50
        if not going:
            break
    return a, b


def test_a_loop_ends_where_its_limits_or_its_condition_say() -> None:
    for m in models(steps, I(), F(3), F(7, 3)):
        for scale in (0.1, 3.0):
            series = scale * RNG.normal(size=(7, 3)).astype(np.float32)
            for n in (-1, 0, 1, 4, 7, 100):
                assert same(m(np.array(n), X, series), slowly(n, X, series))


def recurrence(x: Any) -> Any:
    """tanh(x[k] + h W) of a sequence whose length nobody knows: states, old states and steps of the input, stacked."""

    def step(_: Any, states: Any, parts: Any) -> Any:
        h = (parts[0] + states[0] @ W).tanh()
        return None, [h], [h, states[0], parts[0]]

    return loop(step, [x.sum(0) * 0.0], [x], most=x.shape[0])


def sequence(x: np.ndarray) -> Any:
    h, every = np.zeros_like(x[0]) if len(x) else np.zeros(x.shape[1:], np.float32), []
    for part in x:
        every.append((np.tanh(part + h @ W.numpy()), h, part))
        h = every[-1][0]
    stacked = [np.reshape([e[i] for e in every], x.shape) for i in range(3)]
    return h, *stacked


LENGTH = Size.of(Dim("length", hint=5, lower=1))


def test_a_scan_of_any_length_is_one_plan() -> None:
    for m in models(recurrence, Spec((LENGTH, 2, 3), an.float32)):
        for n in (1, 2, 9, 40):
            x = RNG.normal(size=(n, 2, 3)).astype(np.float32)
            assert same(m(x), sequence(x))


def nested(n: Any, x: Any) -> Any:
    """sum over i < n, j <= i: (i + j) x, where i > 2 counts double."""

    def outer(i: Any, states: Any, _: Any) -> Any:
        def inner(j: Any, found: Any, _: Any) -> Any:
            return None, [found[0] + x * (i + j).to(an.float32)], []

        (row,) = loop(inner, [x * 0.0], trips=i + 1)
        (row,) = branch(i > 2, lambda: [row * 2.0], lambda: [row])
        return None, [states[0] + row], []

    return loop(outer, [x * 0.0], trips=n)


def test_loops_and_branches_in_loops() -> None:
    for m in models(nested, I(), F(3)):
        for n in (0, 1, 2, 7):
            assert same(m(np.array(n), X), (sum(((i + j) * (1 + (i > 2)) for i in range(n) for j in range(i + 1)), 0) * X,))


def test_what_is_older_than_a_loop_outlives_every_step() -> None:
    def f(n: Any, x: Any) -> Any:
        old = [x * float(i) for i in range(2, 6)]

        def step(k: Any, states: Any, _: Any) -> Any:
            y = states[0] + old[0] + old[1]                 # last read here, in the first of two steps' memory
            z = (y * 2.0).exp().log()
            return None, [z * 0.5 + old[2] * old[3]], []

        return loop(step, [x], trips=n)

    for m in models(f, I(), F(64)):
        x = RNG.random(64).astype(np.float32) * 0.1
        want = x.astype(np.float64)
        for n in range(4):
            assert same(m(np.array(n), x), (want,)), n
            want = want + 5 * x + 20 * x * x


def test_a_known_condition_leaves_one_body() -> None:
    def f(x: Any) -> Any:
        return branch(an.tensor(np.array(3.0, np.float32)) > 2.0, lambda: [x + 1.0], lambda: [x - 1.0])

    with no_grad():
        graph, _, _ = trace(f, [F(3)])
    literal = Graph(graph.inputs, graph.outputs, [], graph.names)
    for node in literal.nodes():        # traced tensors are states; a file's are constants
        if node.op == "state":
            node.op = "constant"
    assert [n.op for n in run_passes(literal, DEPLOY).nodes() if not n.is_source] == ["pointwise"]


def test_constants_around_a_body_are_packed_in_it() -> None:
    m = one(recurrence, Spec((LENGTH, 2, 3), an.float32))
    assert {c["row"].split("_")[0] for c in m.report(np.ones((3, 2, 3), np.float32))} >= {"matmul"}
    (flow,) = [n for n in m.lowered.nodes() if n.is_flow]
    assert any(n.op == "matmul" and n.attrs["packed"] for n in flow.data[0].nodes())


class Case(NamedTuple):
    f: Any
    specs: tuple[Spec, ...]
    feed: tuple[np.ndarray, ...]
    wanted: Any


SERIES, ROWS = 0.5 * RNG.normal(size=(7, 3)).astype(np.float32), RNG.normal(size=(6, 2, 3)).astype(np.float32)
CASES = [
    Case(chosen, (B(), F(1, 3)), (np.array(True), X.reshape(1, 3)), (2 * X.reshape(1, 3) @ W.numpy(), X.reshape(1, 3))),
    Case(chosen, (B(), F(1, 3)), (np.array(False), X.reshape(1, 3)), (np.exp(2 * X.reshape(1, 3)), 2 * X.reshape(1, 3))),
    Case(nested, (I(), F(3)), (np.array(5), X), (sum((i + j) * (1 + (i > 2)) for i in range(5) for j in range(i + 1)) * X,)),
    Case(recurrence, (Spec((LENGTH, 2, 3), an.float32),), (ROWS,), sequence(ROWS)),
    Case(steps, (I(), F(3), F(7, 3)), (np.array(6), X, SERIES), slowly(6, X, SERIES)),
]


def test_file_and_executable_give_the_same_bits(tmp_path: Path) -> None:
    """All cases as one program: branches and loops side by side."""

    def every(*inputs: Any) -> Any:
        left = iter(inputs)
        return tuple(y for case in CASES for y in case.f(*(next(left) for _ in case.specs)))

    feed = [a for case in CASES for a in case.feed]
    m = one(every, *(s for case in CASES for s in case.specs))
    m.save(tmp_path / "m.accel")
    again = an.load(tmp_path / "m.accel")
    assert str(again.graph) == str(m.lowered) and again.file == m.file
    results = m(*feed)
    assert same(results, [w for case in CASES for w in case.wanted])
    an.build(tmp_path / "m.accel", tmp_path / "m")
    arguments: list[str] = []
    for (name, _), array in zip(m.inputs, feed):
        np.save(tmp_path / f"{name}.npy", array)
        arguments += ["--input", f"{name}={tmp_path / name}.npy"]
    for name, _ in m.outputs:
        arguments += ["--output", f"{name}={tmp_path / name}.npy"]
    subprocess.run([tmp_path / "m", *arguments], check=True, capture_output=True)
    for a, b, (name, _) in zip(results, again(*feed), m.outputs, strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes() == np.load(tmp_path / f"{name}.npy").tobytes()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match="results of the two bodies"):
        one(lambda c, x: branch(c, lambda: [x], lambda: [x[:2]]), B(), F(3))
    with pytest.raises(Error, match="condition is float32"):
        one(lambda c, x: branch(c, lambda: [x], lambda: [x]), F(), F(3))
    with pytest.raises(ShapeError, match="before and after a step"):
        one(lambda n, x: loop(lambda k, s, p: (None, [an.cat([s[0], x], 0)], []), [x], trips=n), I(), F(3))
    with pytest.raises(ShapeError, match="depends on data"):
        one(lambda n, x: loop(lambda k, s, p: (None, s, s), [x], trips=n), I(), F(3))


def test_a_files_bodies_are_confirmed_by_the_shape_rules(tmp_path: Path) -> None:
    m = one(chosen, B(), F(1, 3))
    from accelnn.formats import accel

    text = m.plan.graph()
    for damage in (lambda t: t.replace(b'"bodies":[', b'"bodies":[[],'), lambda t: t.replace(b'"op":"branch"', b'"op":"loop"')):
        assert damage(text) != text
        with pytest.raises(FormatError):
            accel.decode(damage(text), m.file)


def test_a_report_counts_every_step() -> None:
    m = one(nested, I(), F(3))
    rows = m.report(np.array(6), X, profile=True)
    assert len(rows) == m.plan.n_calls and all(r["ns"] >= 0 for r in rows) and sum(r["ns"] for r in rows) > 0
    m = one(recurrence, Spec((LENGTH, 2, 3), an.float32))
    few, many = ([r["flops"] for r in m.report(np.ones((n, 2, 3), np.float32), profile=True) if r["op"] == "matmul"] for n in (2, 10))
    assert few == [2 * 2 * 2 * 3 * 3] and many == [5 * few[0]]
    m = one(chosen, B(), F(1, 3))
    assert "not run" in str(m.report(np.array(True), X.reshape(1, 3), profile=True))


def test_a_graph_prints_its_bodies() -> None:
    x, c = Node("input", (), {}, (F(3),)), Node("input", (), {}, (B(),))
    bodies = tuple(Graph([n], [Value(n)]) for n in (Node("input", (), {}, (F(3),)), Node("input", (), {}, (F(3),))))
    text = str(Graph([c, x], [Value(Node("branch", (Value(c), Value(x)), {}, (F(3),), data=bodies))]))
    assert text.count("{") == text.count("}") == 2 and text.count("return") == 3


def test_calibration_refuses_bodies() -> None:
    with pytest.raises(Error, match="a branch .* in the network"):
        an.compress(one(lambda x: chosen(x.sum() > 0.0, x), F(4, 3)), np.ones((4, 3), np.float32), quiet=True)
