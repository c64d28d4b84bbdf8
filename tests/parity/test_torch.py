"""The same layers, losses and optimizers as torch: same weights in, same numbers out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an

from ..conftest import batch, lenet, need_module

OPTIMIZERS = {
    "sgd": ("SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}),
    "nesterov": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "adam": ("Adam", {"lr": 1e-3, "weight_decay": 1e-3}),
    "adamw": ("AdamW", {"lr": 1e-3}),
}


@pytest.fixture(scope="module")
def torch() -> Any:
    need_module("torch")
    import torch

    return torch


def twin(torch: Any, net: Any) -> Any:
    """The torch network with the same weights, by the same names."""
    nn = torch.nn
    other = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                          nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))  # fmt: skip
    other.load_state_dict({k: torch.from_numpy(v) for k, v in net.state_dict().items()}, strict=True)
    return other


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_losses_follow_torchs(torch: Any, name: str) -> None:
    kind, settings = OPTIMIZERS[name]
    net = lenet()
    other = twin(torch, net)
    ours, theirs = getattr(an.optim, kind)(net.parameters(), **settings), getattr(torch.optim, kind)(other.parameters(), **settings)
    loss = an.nn.CrossEntropyLoss()

    def step(x: Any, y: Any) -> Any:
        ours.zero_grad()
        value = loss(net(x), y)
        value.backward()
        ours.step()
        return value

    compiled = an.compile(step)
    for i in range(50):
        x, y = batch(32, seed=i)
        theirs.zero_grad()
        want = torch.nn.functional.cross_entropy(other(torch.from_dlpack(x)), torch.from_dlpack(y))
        want.backward()
        theirs.step()
        assert compiled(x, y).item() == pytest.approx(want.item(), rel=1e-3), f"step {i}"


LAYERS = [
    (lambda nn: nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 9, 8)),
    (lambda nn: nn.Conv2d(3, 5, (3, 2), padding=(0, 1), dilation=(2, 1), bias=False), (2, 3, 9, 8)),
    (lambda nn: nn.MaxPool2d(3, 2, 1), (2, 3, 9, 8)),
    (lambda nn: nn.AvgPool2d(3, 2, 1), (2, 3, 9, 8)),
    (lambda nn: nn.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 3, 9, 8)),
    (lambda nn: nn.Linear(7, 5), (2, 3, 7)),
    (lambda nn: nn.GELU(), (40,)),
    (lambda nn: nn.SiLU(), (40,)),
    (lambda nn: nn.Sigmoid(), (40,)),
    (lambda nn: nn.Tanh(), (40,)),
    (lambda nn: nn.Softmax(dim=1), (3, 11, 2)),
    (lambda nn: nn.Flatten(), (2, 3, 4)),
]


@pytest.mark.parametrize(("make", "shape"), LAYERS)
def test_layers_forward_and_backward(torch: Any, make: Any, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    ours, theirs = make(an.nn), make(torch.nn)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    data = rng.normal(size=shape).astype(np.float32)
    x, other = an.tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    y, want = ours(x), theirs(other)
    g = rng.normal(size=want.shape).astype(np.float32)
    y.backward(an.tensor(g))
    want.backward(torch.tensor(g))
    np.testing.assert_allclose(y.numpy(), want.detach().numpy(), rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(x.grad.numpy(), other.grad.numpy(), rtol=2e-5, atol=2e-6)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters()):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-4, atol=1e-5, err_msg=name)


def test_dlpack_both_ways_without_a_copy(torch: Any) -> None:
    t = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    x = an.from_dlpack(t)
    t[0, 0] = 42
    assert x[0, 0].item() == 42
    back = torch.from_dlpack(x)
    assert back.data_ptr() == t.data_ptr()
    b = torch.from_dlpack(an.tensor([1.0, 2.5], an.bfloat16))
    assert b.dtype == torch.bfloat16 and b.tolist() == [1.0, 2.5]
    with pytest.raises(an.Error):
        an.from_dlpack(torch.zeros(2, dtype=torch.complex64))


def test_mse_and_penalties(torch: Any) -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 4, 5)).astype(np.float32)
    for reduction in ("mean", "sum", "none"):
        want = torch.nn.MSELoss(reduction=reduction)(torch.tensor(a), torch.tensor(b)).numpy()
        np.testing.assert_allclose(an.nn.MSELoss(reduction)(an.tensor(a), an.tensor(b)).numpy(), want, rtol=1e-5)
    assert an.nn.l1_penalty([an.tensor(a)], 0.1).item() == pytest.approx(0.1 * np.abs(a).sum(), rel=1e-5)
    assert an.nn.l2_penalty([an.tensor(a), an.tensor(b)], 0.1).item() == pytest.approx(0.1 * ((a**2).sum() + (b**2).sum()), rel=1e-5)
