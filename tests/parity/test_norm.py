"""Normalization layers against torch: values, gradients, running statistics, state_dict both ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an

from ..conftest import need_module


@pytest.fixture(scope="module")
def torch() -> Any:
    need_module("torch")
    import torch

    return torch


def same(ours: Any, theirs: Any, what: str = "", rtol: float = 2e-5, atol: float = 2e-6) -> None:
    np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=rtol, atol=atol, err_msg=what)


def randomized(theirs: Any, torch: Any) -> Any:
    """Weights and biases that are not all ones and zeros."""
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.randn_like(p))
    return theirs


LAYERS = {
    "layer": (lambda nn: nn.LayerNorm(17), (2, 3, 17)),
    "layer two dims": (lambda nn: nn.LayerNorm((5, 6), eps=1e-3), (4, 5, 6)),
    "layer without bias": (lambda nn: nn.LayerNorm(64, bias=False), (33, 64)),
    "layer plain": (lambda nn: nn.LayerNorm([40], elementwise_affine=False), (3, 40)),
    "rms": (lambda nn: nn.RMSNorm(48), (7, 48)),
    "group": (lambda nn: nn.GroupNorm(3, 12), (2, 12, 5, 7)),
    "group of few places": (lambda nn: nn.GroupNorm(2, 6), (4, 6, 3)),
    "group flat": (lambda nn: nn.GroupNorm(4, 8, eps=1e-3, affine=False), (5, 8)),
    "instance 1d": (lambda nn: nn.InstanceNorm1d(6), (3, 6, 20)),
    "instance 2d": (lambda nn: nn.InstanceNorm2d(6, affine=True), (3, 6, 5, 4)),
    "instance 2d single": (lambda nn: nn.InstanceNorm2d(3, affine=True), (3, 9, 4)),
    "instance 3d": (lambda nn: nn.InstanceNorm3d(2, eps=1e-3), (3, 2, 2, 3, 4)),
    "batch 1d": (lambda nn: nn.BatchNorm1d(17), (33, 17)),
    "batch 1d with places": (lambda nn: nn.BatchNorm1d(5, affine=False), (6, 5, 9)),
    "batch 2d": (lambda nn: nn.BatchNorm2d(7), (4, 7, 6, 5)),
    "batch 2d untracked": (lambda nn: nn.BatchNorm2d(3, track_running_stats=False), (4, 3, 2, 2)),
    "batch 3d": (lambda nn: nn.BatchNorm3d(4, eps=1e-3), (2, 4, 3, 4, 5)),
    "local response": (lambda nn: nn.LocalResponseNorm(3, alpha=0.5, k=2.0), (2, 7, 4, 5)),
    "local response even": (lambda nn: nn.LocalResponseNorm(4, alpha=0.1, beta=0.5), (2, 6, 9)),
    "rms eps": (lambda nn: nn.RMSNorm((3, 5), eps=1e-2, elementwise_affine=False), (7, 3, 5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_forward_and_backward(torch: Any, name: str) -> None:
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    ours, theirs = make(an.nn), randomized(make(torch.nn), torch)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    data, g = (np.random.default_rng(i).normal(size=shape).astype(np.float32) * 2 + 1 for i in range(2))
    x, other = an.tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    y, want = ours(x), theirs(other)
    y.backward(an.tensor(g))
    want.backward(torch.tensor(g))
    same(y, want)
    same(x.grad, other.grad, "dx", 1e-4, 1e-5)
    for (what, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        same(p.grad, q.grad, what, 1e-4, 1e-5)
    same(an.compile(ours)(x), want)


STATEFUL = {
    "batch 1d": (lambda nn: nn.BatchNorm1d(6), (9, 6)),
    "batch 2d": (lambda nn: nn.BatchNorm2d(3, momentum=0.3), (4, 3, 5, 6)),
    "batch 2d cumulative": (lambda nn: nn.BatchNorm2d(3, momentum=None), (4, 3, 5, 6)),
    "batch 3d plain": (lambda nn: nn.BatchNorm3d(3, affine=False), (4, 3, 2, 2, 2)),
    "instance 1d": (lambda nn: nn.InstanceNorm1d(4, track_running_stats=True), (5, 4, 9)),
    "instance 2d": (lambda nn: nn.InstanceNorm2d(4, affine=True, track_running_stats=True), (5, 4, 3, 7)),
}


@pytest.mark.parametrize("way", ["eager", "traced", "compiled"])
@pytest.mark.parametrize("name", STATEFUL)
def test_running_statistics_follow_torchs(torch: Any, name: str, way: str) -> None:
    """Over training steps, then in eval with gradients; the state goes into torch's layer and back."""
    make, shape = STATEFUL[name]
    ours, theirs = make(an.nn), randomized(make(torch.nn), torch)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    run = {"eager": ours, "traced": an.compile(ours, passes=()), "compiled": an.compile(ours)}[way]
    rng = np.random.default_rng(0)
    for step in range(4):
        data = (rng.normal(size=shape) * (1 + step) + step).astype(np.float32)
        same(run(an.tensor(data)), theirs(torch.tensor(data)), f"step {step}")
        assert list(ours.state_dict()) == list(theirs.state_dict())
        for k, v in theirs.state_dict().items():
            np.testing.assert_allclose(ours.state_dict()[k], v.numpy(), rtol=1e-5, atol=1e-6, err_msg=f"{k}, step {step}")
            assert ours.state_dict()[k].dtype == v.numpy().dtype
    ours.eval(), theirs.eval()
    x, other = an.tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    same(run(x), theirs(other))
    (ours(x) * x).sum().backward()
    (theirs(other) * other).sum().backward()
    same(x.grad, other.grad, "dx in eval", 1e-4, 1e-5)
    for (what, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        same(p.grad, q.grad, f"{what} in eval", 1e-4, 1e-4)
    fresh = make(torch.nn).eval()
    fresh.load_state_dict({k: torch.from_numpy(v) for k, v in ours.state_dict().items()}, strict=True)
    same(ours(x), fresh(other))


def test_a_training_step_is_the_same_compiled() -> None:
    """Statistics, gradients and parameters: eager bit for bit against a Plan without passes, and thread by thread."""
    def network() -> Any:
        an.seed(0)
        return an.nn.Sequential(an.nn.Conv2d(3, 8, 3, padding=1), an.nn.BatchNorm2d(8), an.nn.ReLU(), an.nn.Flatten(), an.nn.Linear(8 * 36, 5))

    def trained(wrap: Any) -> Any:
        net = network()
        opt, loss = an.optim.SGD(net.parameters(), lr=0.05), an.nn.CrossEntropyLoss()

        def step(x: Any, y: Any) -> Any:
            opt.zero_grad()
            value = loss(net(x), y)
            value.backward()
            opt.step()
            return value

        run, rng = wrap(step), np.random.default_rng(0)
        for _ in range(5):
            run(an.tensor(rng.normal(size=(6, 3, 6, 6))), an.tensor(rng.integers(0, 5, 6)))
        return net.state_dict()

    eager, plan, fused = trained(lambda f: f), trained(lambda f: an.compile(f, passes=())), trained(an.compile)
    for k, v in eager.items():
        assert np.array_equal(v, plan[k]), k
        np.testing.assert_allclose(fused[k], v, rtol=1e-4, atol=1e-5, err_msg=k)


def test_wrong_shapes_are_told() -> None:
    with pytest.raises(an.Error, match="normalized_shape"):
        an.nn.LayerNorm(8)(an.tensor(np.zeros((3, 9))))
    with pytest.raises(an.Error, match="more than 1 element"):
        an.nn.BatchNorm1d(3)(an.tensor(np.zeros((1, 3))))
    with pytest.raises(an.Error, match="4 dimensions"):
        an.nn.BatchNorm2d(3)(an.tensor(np.zeros((1, 3))))
    with pytest.raises(an.Error, match="channels"):
        an.nn.BatchNorm2d(3)(an.tensor(np.zeros((2, 4, 2, 2))))
    with pytest.raises(an.Error, match="groups"):
        an.nn.GroupNorm(3, 8)
    with pytest.raises(an.Error, match="weight"):
        an.ops.layer_norm(an.tensor(np.zeros((3, 8))), 8, an.tensor(np.ones(7)))
