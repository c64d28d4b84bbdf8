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


def test_wrong_shapes_are_told() -> None:
    with pytest.raises(an.Error, match="normalized_shape"):
        an.nn.LayerNorm(8)(an.tensor(np.zeros((3, 9))))
    with pytest.raises(an.Error, match="weight"):
        an.ops.layer_norm(an.tensor(np.zeros((3, 8))), 8, an.tensor(np.ones(7)))
