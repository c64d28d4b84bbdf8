"""Batch norm goes into the weights before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an


def trained(net: Any, shape: tuple[int, ...]) -> Any:
    """Running statistics and affine parameters that are not 0 and 1."""
    rng = np.random.default_rng(0)
    for p in net.parameters():
        if p.ndim == 1:
            p.assign(an.tensor(rng.uniform(0.5, 1.5, p.shape)))
    for _ in range(3):
        net(an.tensor(rng.normal(size=shape) * 2 + 1))
    return net.eval()


NETS: dict[str, tuple[Any, tuple[int, ...], list[str]]] = {
    "conv": (lambda nn: nn.Sequential(nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5), nn.ReLU()), (4, 3, 8, 8), ["conv2d"]),
    "conv with bias": (lambda nn: nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6, affine=False)), (4, 4, 8, 8), ["conv2d"]),
    "linear": (lambda nn: nn.Sequential(nn.Linear(7, 5), nn.BatchNorm1d(5), nn.Tanh()), (9, 7), ["matmul"]),
    "nothing before": (lambda nn: nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 5, 3)), (4, 3, 8, 8), ["pointwise", "conv2d"]),
    "activation between": (lambda nn: nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.BatchNorm2d(5)), (4, 3, 8, 8), ["conv2d", "pointwise"]),
}


@pytest.mark.parametrize("name", NETS)
def test_batch_norm_goes_into_weights(name: str) -> None:
    make, shape, wanted = NETS[name]
    net = trained(make(an.nn), shape)
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    model = an.freeze(net, x)
    frozen = ["conv2d"] if name == "nothing before" else wanted       # known numbers go into what reads them too (fold_numbers)
    assert [row["op"] for row in model.report(x)] == frozen
    np.testing.assert_allclose(model(x).numpy(), net(an.tensor(x)).numpy(), rtol=2e-5, atol=2e-5)


def test_a_product_that_others_read_stays() -> None:
    class Net(an.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = an.nn.Conv2d(3, 3, 3, padding=1), an.nn.BatchNorm2d(3)

        def forward(self, x: Any) -> Any:
            y = self.conv(x)
            return self.norm(y) + y

    net = trained(Net(), (4, 3, 6, 6))
    x = np.random.default_rng(1).normal(size=(2, 3, 6, 6)).astype(np.float32)
    model = an.freeze(net, x)
    assert [row["op"] for row in model.report(x)] == ["conv2d", "pointwise"], "norm and sum in one pass"
    np.testing.assert_allclose(model(x).numpy(), net(an.tensor(x)).numpy(), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", NETS)
def test_a_compiled_network_folds_what_it_only_reads(name: str) -> None:
    """With live parameters: folded once, and again after a parameter or a running statistic has been written."""
    make, shape, wanted = NETS[name]
    net = trained(make(an.nn), shape)
    forward = an.compile(net)
    x = an.tensor(np.random.default_rng(1).normal(size=shape).astype(np.float32))
    forward(x)
    assert list(forward.plan(x).plan.ops) == wanted
    norm = next(m for m in net if hasattr(m, "running_var"))
    for change in (lambda: None, lambda: norm.running_var.assign(norm.running_var * 2.0), lambda: norm.running_mean.assign(norm.running_mean + 1.0),
                   lambda: next(iter(net.parameters())).assign(next(iter(net.parameters())) * 0.5)):  # fmt: skip
        change()
        for _ in range(2):
            np.testing.assert_allclose(forward(x).numpy(), net(x).numpy(), rtol=2e-5, atol=2e-5)


def test_a_network_in_training_folds_nothing() -> None:
    net = an.nn.Sequential(an.nn.Conv2d(3, 5, 3), an.nn.BatchNorm2d(5))
    forward = an.compile(net)
    x = an.tensor(np.random.default_rng(1).normal(size=(2, 3, 6, 6)).astype(np.float32))
    assert "batch_norm" in forward.plan(x).plan.ops
    net.eval()
    assert "batch_norm" not in forward.plan(x).plan.ops


def test_weights_that_are_one_number_are_packed_whole() -> None:
    """A broadcast that is added stays one; as weights and bias it is written out, for a convolution packs what it reads."""
    w, b = an.tensor(np.full((1, 1, 1, 1), 0.25, np.float32)), an.tensor(np.ones((1,), np.float32))
    x = np.random.default_rng(0).normal(size=(1, 4, 6, 6)).astype(np.float32)
    model = an.freeze(lambda x: an.nn.functional.conv2d(x, w.expand(8, 4, 3, 3), b.expand(8)) + b.expand(4), x)
    assert not any(n.op == "expand" and n.outputs[0].shape == (8, 4, 3, 3) for n in model.lowered.nodes()), model.lowered
    want = an.nn.functional.conv2d(an.tensor(x), an.tensor(np.full((8, 4, 3, 3), 0.25, np.float32)), an.tensor(np.ones(8, np.float32))).numpy() + 1.0
    np.testing.assert_allclose(model(x).numpy(), want, rtol=1e-5, atol=1e-5)
