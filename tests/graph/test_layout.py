"""Channels last: which convolutions become conv2d_nhwc, where images are turned, and that the numbers stay."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.core.trace import trace
from accelnn.passes import STANDARD, layout, run_passes


def _draw(*shape: int) -> an.Tensor:
    return an.tensor(np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32))


def _ops(net: Any, x: an.Tensor) -> Counter[str]:
    run = an.compile(net)
    with an.no_grad():
        run(x)      # calls are known once the plan is bound
        return Counter(call["op"] for call in run.plan(x).plan.calls)


class Block(an.nn.Module):
    """Two convolutions and a way around them, as in a ResNet."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a, self.b = (an.nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: an.Tensor) -> an.Tensor:
        return (self.b(self.a(x).relu()) + x).relu()


def test_nothing_is_turned_between_convolutions() -> None:
    net = an.nn.Sequential(an.nn.Conv2d(16, 32, 3, padding=1), Block(32), Block(32), an.nn.Conv2d(32, 64, 1))
    x = _draw(2, 16, 12, 13)
    counted = _ops(net, x)
    assert counted["conv2d_nhwc"] == 6 and counted["conv2d"] == 0
    assert counted["copy"] == 2, counted      # the two doors
    with an.no_grad():
        np.testing.assert_allclose(an.compile(net)(x).numpy(), net(x).numpy(), rtol=1e-4, atol=1e-4)


def test_channels_are_shuffled_where_they_lie() -> None:
    """ShuffleNet: between two convolutions one copy, not one to NCHW, one there and one back."""
    first, depth, second = an.nn.Conv2d(16, 48, 1), an.nn.Conv2d(48, 48, 3, padding=1, groups=48), an.nn.Conv2d(48, 16, 1, groups=4)

    def f(x: an.Tensor) -> an.Tensor:
        y = first(x).relu().reshape(2, 4, 12, 14, 14).permute(0, 2, 1, 3, 4).reshape(2, 48, 14, 14)
        y = second(depth(y))
        return an.nn.functional.avg_pool2d(an.cat([y, x + 1.0], 1), 3, 2, 1, count_include_pad=False)

    x = _draw(2, 16, 14, 14)
    with an.no_grad():
        np.testing.assert_allclose(an.compile(f)(x).numpy(), f(x).numpy(), rtol=1e-4, atol=1e-4)
    counted = _ops(f, x)
    assert counted["copy"] == 3, counted      # the doors, and the shuffle


def test_pointwise_operands_of_every_rank_follow() -> None:
    conv, scale, image = an.nn.Conv2d(16, 32, 3), _draw(32, 1, 1), _draw(1, 32, 10, 1)

    def f(x: an.Tensor) -> an.Tensor:
        y = conv(x).tanh() * scale + image
        return conv2(y * 2.0).mean((2, 3))

    conv2 = an.nn.Conv2d(32, 16, 3)
    x = _draw(2, 16, 12, 12)
    with an.no_grad():
        np.testing.assert_allclose(an.compile(f)(x).numpy(), f(x).numpy(), rtol=1e-4, atol=1e-5)
        assert _ops(f, x)["copy"] <= 1      # the input


def test_pools_follow_unless_somebody_wants_their_places() -> None:
    conv = an.nn.Conv2d(16, 32, 3, padding=1)

    def f(x: an.Tensor) -> an.Tensor:
        y = an.ops.avg_pool2d(an.ops.max_pool2d(conv(x), 3, 2, 1), 2, 1, 1)
        return conv2(y) + conv2(an.ops.avg_pool2d(y, 3, 1, 1, count_include_pad=False))

    conv2 = an.nn.Conv2d(32, 16, 3)
    x = _draw(2, 16, 13, 12)
    counted = _ops(f, x)
    assert counted["pool2d_nhwc"] == 3 and counted["copy"] == 2, counted
    with an.no_grad():
        np.testing.assert_allclose(an.compile(f)(x).numpy(), f(x).numpy(), rtol=1e-4, atol=1e-5)
    places = an.compile(lambda x: an.ops.max_pool2d(conv(x), 2, return_indices=True))
    with an.no_grad():
        for got, want in zip(places(x), an.ops.max_pool2d(conv(x), 2, return_indices=True)):
            np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-4, atol=1e-4)


def test_a_small_network_stays_as_it_is() -> None:
    """LeNet-5's few channels have nothing to gain: its programs do not link the other kernels."""
    net = an.nn.Sequential(an.nn.Conv2d(1, 6, 5, padding=2), an.nn.ReLU(), an.nn.Conv2d(6, 16, 5))
    counted = _ops(net, _draw(1, 1, 28, 28))
    assert counted["conv2d"] == 2 and not counted["conv2d_nhwc"]


def test_a_first_layer_writes_channels_last() -> None:
    """Three channels alone are no reason to turn anything; what reads them is, where all of it does."""

    class Forked(an.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = an.nn.Conv2d(3, 32, 3, padding=1), an.nn.Conv2d(32, 32, 3, stride=2, padding=1)

        def forward(self, x: an.Tensor) -> tuple[an.Tensor, an.Tensor]:
            y = self.a(x)
            return self.b(y), y

    pool = an.nn.Sequential(an.nn.Conv2d(3, 32, 3, padding=1), an.nn.ReLU(), an.nn.MaxPool2d(2), an.nn.Conv2d(32, 32, 3))
    x = _draw(2, 3, 18, 18)
    for net, last, first in ((pool, 2, 0), (Forked(), 1, 1), (an.nn.Conv2d(3, 32, 3), 0, 1)):
        counted = _ops(net, x)
        assert (counted["conv2d_nhwc"], counted["conv2d"]) == (last, first)
    with an.no_grad():
        np.testing.assert_allclose(an.compile(pool)(x).numpy(), pool(x).numpy(), rtol=1e-4, atol=1e-4)


def test_weights_that_are_written_stay_as_they_are() -> None:
    net = an.nn.Conv2d(32, 32, 3, padding=1)
    opt = an.optim.SGD(net.parameters(), lr=0.1)

    def step(x: an.Tensor) -> an.Tensor:
        opt.zero_grad()
        loss = (net(x) * net(x)).mean()
        loss.backward()
        opt.step()
        return loss

    x = _draw(1, 32, 8, 8)
    losses = [float(an.compile(step)(x).item()) for _ in range(2)]
    assert losses[1] < losses[0]
    assert "conv2d_nhwc" not in {n.op for n in run_passes(trace(step, [x.spec])[0], STANDARD).nodes()}


def test_new_weights_are_packed_again() -> None:
    net = an.nn.Conv2d(16, 16, 3)
    x, run = _draw(1, 16, 9, 9), an.compile(net)
    with an.no_grad():
        first = run(x).numpy().copy()
        net.weight.assign(net.weight * 2.0)
        assert "conv2d_pack" not in run.plan(x).plan.ops
        np.testing.assert_allclose(run(x).numpy() - net.bias.numpy()[:, None, None], 2 * (first - net.bias.numpy()[:, None, None]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_model_with_any_batch(batch: int, tmp_path: Any) -> None:
    an.seed(1)
    net = an.nn.Sequential(an.nn.Conv2d(3, 32, 7, stride=2, padding=3), an.nn.ReLU(), Block(32), an.nn.Flatten())
    x = _draw(batch, 3, 40, 40)
    model = an.freeze(net, x)
    assert {"conv2d_nhwc", "copy"} <= set(model.plan.ops)
    with an.no_grad():
        np.testing.assert_allclose(model(x).numpy(), net(x).numpy(), rtol=1e-4, atol=1e-4)
    model.save(tmp_path / "net.accel")
    assert an.load(tmp_path / "net.accel")(x).numpy().tobytes() == model(x).numpy().tobytes()


def test_the_pass_alone_keeps_the_meaning() -> None:
    """Without packing ahead, every run packs."""
    net, x = Block(16), _draw(1, 16, 6, 6)
    with an.no_grad():
        want = net(x).numpy()
        np.testing.assert_allclose(an.compile(net, (layout,))(x).numpy(), want, rtol=1e-4, atol=1e-4)
