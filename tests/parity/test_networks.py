"""From the same initial weights, with SGD, networks of each kind lose what torch's lose, over 50 compiled steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an

from ..conftest import need_module

STEPS = 50


@pytest.fixture(scope="module")
def torch() -> Any:
    need_module("torch")
    import torch

    return torch


def cnn(nn: Any) -> Any:
    return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(16, 32, 3, stride=2, padding=1, groups=4), nn.GroupNorm(4, 32), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(32, 7))  # fmt: skip


def lstm(nn: Any) -> Any:
    class Net(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(6, 20, num_layers=2, batch_first=True, bidirectional=True)
            self.head = nn.Linear(40, 7)

        def forward(self, x: Any) -> Any:
            return self.head(self.rnn(x)[0].mean(1))

    return Net()


def transformer(nn: Any) -> Any:
    class Net(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Linear(6, 32)
            self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, activation="gelu", batch_first=True), 2)
            self.head = nn.Linear(32, 7)

        def forward(self, x: Any) -> Any:
            return self.head(self.encoder(self.embed(x)).mean(1))

    return Net()


NETWORKS = [(cnn, (3, 12, 12), 0.1), (lstm, (11, 6), 1.0), (transformer, (11, 6), 0.1)]


@pytest.mark.parametrize(("make", "shape", "lr"), NETWORKS, ids=["cnn", "lstm", "transformer"])
def test_losses_follow_torchs(torch: Any, make: Any, shape: tuple[int, ...], lr: float) -> None:
    torch.manual_seed(0)
    theirs, ours = make(torch.nn), make(an.nn)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    optimizer, other = an.optim.SGD(ours.parameters(), lr=lr), torch.optim.SGD(theirs.parameters(), lr=lr)
    loss = an.nn.CrossEntropyLoss()

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        value = loss(ours(x), y)
        value.backward()
        optimizer.step()
        return value

    compiled, rng, losses = an.compile(step), np.random.default_rng(0), []
    labels = rng.integers(0, 7, 24)
    centres = rng.normal(size=(7, *shape))
    for i in range(STEPS):
        x = (centres[labels] + rng.normal(size=(24, *shape))).astype(np.float32)
        other.zero_grad()
        want = torch.nn.functional.cross_entropy(theirs(torch.from_numpy(x)), torch.from_numpy(labels))
        want.backward()
        other.step()
        losses.append(compiled(x, labels).item())
        assert losses[-1] == pytest.approx(want.item(), rel=1e-3), f"step {i}"
    assert losses[-1] < 0.8 * losses[0], "it should learn something"
    for name, value in theirs.state_dict().items():      # running statistics too
        np.testing.assert_allclose(ours.state_dict()[name], value.numpy(), rtol=2e-2, atol=2e-3, err_msg=name)
