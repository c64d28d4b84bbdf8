"""Networks train on a device as they do on the host: three steps from the same numbers, every op on device rows or compositions of such."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an

from .where import DEVICE

STEPS = 3


def cnn() -> Any:
    nn = an.nn
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(),
                        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(24, 10))  # fmt: skip
    return net, (np.random.default_rng(1).normal(size=(4, 1, 8, 8)).astype(np.float32), np.array([1, 7, 3, 0]))


class Recurrent(an.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = an.nn.LSTM(5, 6, batch_first=True)
        self.head = an.nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.rnn(x)[0][:, -1])


def lstm() -> Any:
    return Recurrent(), (np.random.default_rng(2).normal(size=(3, 4, 5)).astype(np.float32), np.array([0, 2, 1]))


class Encoder(an.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = an.nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.head = an.nn.Linear(16, 4)

    def forward(self, x: Any) -> Any:
        return self.head(self.layer(x).mean(1))


def transformer() -> Any:
    return Encoder(), (np.random.default_rng(3).normal(size=(2, 5, 16)).astype(np.float32), np.array([3, 1]))


def train(build: Any, device: str) -> tuple[list[float], dict[str, np.ndarray]]:
    an.seed(0)
    np.random.seed(0)
    net, (x, labels) = build()
    net.to(device)
    opt = an.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)  # AdamW divides the rounding of a gradient that is 0 by itself
    inputs, targets = an.tensor(x, device=device), an.tensor(labels, device=device)
    losses = []
    for _ in range(STEPS):
        opt.zero_grad()
        loss = an.nn.functional.cross_entropy(net(inputs), targets)
        loss.backward()
        opt.step()
        losses.append(loss.item())
    return losses, net.state_dict()


@pytest.mark.parametrize("build", [cnn, lstm, transformer])
def test_three_steps_equal_the_hosts(build: Any) -> None:
    on_device, state = train(build, DEVICE)
    on_host, expected = train(build, "cpu")
    assert np.allclose(on_device, on_host, rtol=1e-5, atol=0), (on_device, on_host)
    assert state.keys() == expected.keys()
    for name, value in state.items():
        assert np.allclose(value, expected[name], rtol=0, atol=2e-4), (name, np.abs(value - expected[name]).max())


def test_what_devices_refuse_is_said() -> None:
    x = an.ones(2, 3, device=DEVICE)
    with pytest.raises(an.Error, match=r"\.cpu\(\)\.numpy\(\)"):
        x.numpy()
    with pytest.raises(an.Error, match=rf"\.to\('{DEVICE}'\)"):
        x + an.tensor(np.ones((2, 3), np.float32))
    with pytest.raises(an.Error, match=r"move it with \.to\(.emu.\)"):
        an.compile(lambda a: a + x)(an.ones(2, 3))
    with pytest.raises(an.Error, match="cpu"):
        x.__dlpack__()
    with pytest.raises(an.Error, match="device"):
        an.ones(2, device="tpu")


def test_moving_is_on_the_tape() -> None:
    x = an.tensor(np.arange(3, dtype=np.float32), requires_grad=True)
    (x.to(DEVICE) * 2.0).sum().backward()
    assert x.grad is not None and x.grad.device == "cpu" and x.grad.tolist() == [2.0, 2.0, 2.0]


def test_random_numbers_are_the_hosts() -> None:
    an.seed(7)
    host = an.ops.random.uniform(5).tolist()
    an.seed(7)
    assert an.ops.random.uniform(5, device=DEVICE).tolist() == host
