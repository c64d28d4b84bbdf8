"""Prepacked weights: by hand, in a Model, and in a compiled function, where they follow the tensor that they were made of."""

from __future__ import annotations

import numpy as np
import pytest

import accelnn as an
from accelnn.core.errors import Error
from accelnn.core.trace import trace
from accelnn.passes import hoist, pack


def _draw(*shape: int) -> an.Tensor:
    return an.tensor(np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize("shape", [(7, 20), (2, 3, 20), (1, 20), (0, 20)])
def test_packed_weight_is_the_right_operand(shape: tuple[int, ...]) -> None:
    x, w, b = _draw(*shape), _draw(20, 37), _draw(37)
    p = an.pack(w)
    assert p.shape == (20, 37)
    want = x.numpy().astype(np.float64) @ w.numpy()
    for y in (x @ p, an.matmul(x, p)):
        np.testing.assert_allclose(y.numpy(), want, atol=1e-4)
    np.testing.assert_allclose(an.matmul(x, p, b).numpy(), want + b.numpy(), atol=1e-4)
    np.testing.assert_allclose(p.matmul(x, b, "relu").numpy(), np.maximum(want + b.numpy(), 0), atol=1e-4)


def test_packed_weight_elsewhere_is_refused() -> None:
    p = an.pack(_draw(4, 4))
    for wrong in (lambda: p.matmul(_draw(2, 5)), lambda: an.matmul(p, _draw(4, 4)), lambda: p.matmul(_draw(2, 4), None, "softmax"), lambda: an.pack(_draw(4))):
        with pytest.raises(Error):
            wrong()


def test_compiled_function_packs_what_it_reads_and_follows_it() -> None:
    net = an.nn.Sequential(an.nn.Linear(20, 33), an.nn.ReLU(), an.nn.Linear(33, 7))
    forward = an.compile(net)
    x = _draw(9, 20)
    with an.no_grad():
        first = forward(x).numpy().copy()
        assert len(forward.plan(x).hoisted) == 2 and "matmul_pack" not in forward.plan(x).plan.ops
        np.testing.assert_allclose(first, net(x).numpy(), rtol=1e-5, atol=1e-5)
        net[0].weight.assign(_draw(33, 20))
        second = forward(x).numpy()
        assert not np.allclose(first, second)
        np.testing.assert_allclose(second, net(x).numpy(), rtol=1e-5, atol=1e-5)


def test_a_plan_that_trains_keeps_the_evaluating_one_up_to_date() -> None:
    an.seed(0)
    net = an.nn.Linear(5, 3)
    opt = an.optim.SGD(net.parameters(), lr=0.1)

    def step(x: an.Tensor) -> an.Tensor:
        opt.zero_grad()
        loss = (net(x) * net(x)).mean()
        loss.backward()
        opt.step()
        return loss

    train, forward, x = an.compile(step), an.compile(net), _draw(8, 5)
    for _ in range(3):
        train(x)
        with an.no_grad():
            np.testing.assert_allclose(forward(x).numpy(), net(x).numpy(), rtol=1e-5, atol=1e-6)
    assert not train.plan(x).hoisted, "the step writes its weights: packing them would have to be done in every step"


def test_weights_that_the_graph_writes_stay_where_they_are() -> None:
    w, k = _draw(4, 4), _draw(4, 4)

    def f(x: an.Tensor) -> an.Tensor:
        y = (x @ w) @ k
        w.assign(w * 0.5)
        return y

    graph, _, _ = trace(f, [_draw(3, 4).spec])
    hoisted = hoist(pack(graph, states=True))[1]
    assert len(hoisted) == 1 and [id(t) for t in hoisted[0].sources] == [id(k)]
