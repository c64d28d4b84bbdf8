"""A whole training step as one Plan: equal to eager, the same on any number of threads, retraced only when it must be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.core.graph import Graph
from accelnn.passes import STANDARD

from ..conftest import batch, lenet

OPTIMIZERS = {
    "sgd": lambda p: an.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4),
    "adam": lambda p: an.optim.Adam(p, lr=1e-3),
    "adamw": lambda p: an.optim.AdamW(p, lr=1e-3),
}


def training(net: Any, optimizer: Any) -> Any:
    loss = an.nn.CrossEntropyLoss()

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        value = loss(net(x), y)
        value.backward()
        optimizer.step()
        return value

    return step


def with_dropout(seed: int = 0) -> Any:
    net = lenet(seed)
    net.layers.insert(9, an.nn.Dropout(0.3))
    return net


def weights(net: Any) -> dict[str, bytes]:
    return {k: v.tobytes() for k, v in net.state_dict().items()}


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
@pytest.mark.parametrize("make", [lenet, with_dropout])
def test_plan_without_passes_equals_eager_bit_for_bit(name: str, make: Any) -> None:
    x, y = batch()
    results = []
    for wrap in (lambda f: f, lambda f: an.compile(f, passes=())):
        net = make()
        step = wrap(training(net, OPTIMIZERS[name](net.parameters())))
        losses = [step(x, y).item() for _ in range(20)]
        results.append((losses, weights(net)))
    assert results[0] == results[1]


def test_each_step_with_passes_stays_within_the_bound() -> None:
    """From equal weights every time: fusing may change the order of no sum, so the step differs by rounding at most."""
    x, y = batch()
    plain, fused = lenet(), lenet()
    eager, plan = training(plain, an.optim.SGD(plain.parameters(), lr=0.1)), an.compile(training(fused, an.optim.SGD(fused.parameters(), lr=0.1)))
    for _ in range(5):
        fused.load_state_dict(plain.state_dict())
        before = plain.state_dict()
        assert plan(x, y).item() == pytest.approx(eager(x, y).item(), rel=1e-6)
        after = fused.state_dict()
        for key, value in plain.state_dict().items():
            step = np.abs(value - before[key]).max()
            assert np.abs(after[key] - value).max() <= 1e-5 * step + 1e-7


def test_training_is_reproducible_and_independent_of_threads(threads: Any) -> None:
    found = set()
    for n in (1, 2, 2):
        threads(n)
        net = with_dropout()
        step = an.compile(training(net, an.optim.AdamW(net.parameters())))
        for i in range(6):
            step(*batch(64, i))
        found.add(tuple(sorted(weights(net).items())))
    assert len(found) == 1


def test_retraced_for_another_shape_and_mode_only() -> None:
    net = with_dropout()
    f = an.compile(net)
    x, _ = batch(8)
    f(x), f(x)
    assert len(f.traced) == 1
    first = next(iter(f.traced.values()))
    net.eval()
    same = [f(x).numpy().tobytes() for _ in range(2)]
    assert same[0] == same[1] and next(iter(f.traced.values())) is not first
    f(batch(9)[0])
    assert len(f.traced) == 2


def test_tensors_that_were_given_other_memory_are_read_there() -> None:
    """As Module.to() does it."""
    net = an.nn.Linear(4, 3)
    f = an.compile(net)
    x = an.ones(2, 4)
    with an.no_grad():
        f(x), f(x)
        net.weight.view = an.zeros(3, 4).view
        for _ in range(2):
            assert np.array_equal(f(x).numpy(), np.broadcast_to(net.bias.numpy(), (2, 3)))


def test_learning_rate_is_state_so_a_schedule_needs_no_retrace() -> None:
    net = lenet()
    optimizer = an.optim.SGD(net.parameters(), lr=0.0)
    step = an.compile(training(net, optimizer))
    before = weights(net)
    step(*batch())
    assert weights(net) == before
    optimizer.lr = 0.1
    step(*batch())
    assert weights(net) != before and len(step.traced) == 1


def test_a_step_faults_no_fresh_pages() -> None:
    from accelnn import _C

    net = lenet()
    step = an.compile(training(net, an.optim.AdamW(net.parameters())))
    for _ in range(3):
        step(*batch())
    x, y = batch()
    step(x, y)
    before = _C.machine()["memory"]["system_calls"]
    for _ in range(10):
        step(x, y)
    assert _C.machine()["memory"]["system_calls"] == before


def test_traced_values_cannot_be_looked_at() -> None:
    for look in (lambda t: t.item(), bool, lambda t: t.numpy()):
        with pytest.raises(an.Error, match="traced"):
            an.compile(lambda x, look=look: x * look(x.sum()))(an.ones(2))


def test_assign_in_a_plan_swaps_states() -> None:
    a, b = an.tensor([1.0, 2.0]), an.tensor([3.0, 4.0])

    def swap(x: Any) -> Any:
        old = a * 1.0
        a.assign(b)
        b.assign(old)
        return x + a

    f = an.compile(swap)
    assert f(an.zeros(2)).tolist() == [3.0, 4.0]
    assert (a.tolist(), b.tolist()) == ([3.0, 4.0], [1.0, 2.0])
    f(an.zeros(2))
    assert (a.tolist(), b.tolist()) == ([1.0, 2.0], [3.0, 4.0])


@pytest.mark.parametrize("each", STANDARD)
def test_every_pass_keeps_the_answer(each: Any) -> None:
    """Alone, on a training step: graph in, graph out, same numbers."""
    from accelnn import _C
    from accelnn.core.trace import trace
    from accelnn.passes.plan import write_plan

    net = lenet()
    step = training(net, an.optim.SGD(net.parameters(), lr=0.1))
    x, y = batch(4)
    graph, _, _ = trace(step, [x.spec, y.spec])
    start = net.state_dict()
    results = []
    for g in (graph, each(graph)):
        assert isinstance(g, Graph)
        net.load_state_dict(start)
        data, states = write_plan(g)
        loss = _C.Plan(data).run((x.view, y.view), tuple(n.data.view for n in states))[0].numpy().copy()
        results.append((loss, net.state_dict()))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-6)
    for k, v in results[0][1].items():
        np.testing.assert_allclose(v, results[1][1][k], rtol=1e-5, atol=1e-6)
