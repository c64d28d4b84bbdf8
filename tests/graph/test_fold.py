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
    "nothing before": (lambda nn: nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 5, 3)), (4, 3, 8, 8), ["batch_norm_infer", "conv2d"]),
    "activation between": (lambda nn: nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.BatchNorm2d(5)), (4, 3, 8, 8), ["conv2d", "batch_norm_infer"]),
}


@pytest.mark.parametrize("name", NETS)
def test_batch_norm_goes_into_weights(name: str) -> None:
    make, shape, wanted = NETS[name]
    net = trained(make(an.nn), shape)
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    model = an.freeze(net, x)
    assert [row["op"] for row in model.report(x)] == wanted
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
    assert "batch_norm_infer" in [row["op"] for row in model.report(x)]
    np.testing.assert_allclose(model(x).numpy(), net(an.tensor(x)).numpy(), rtol=2e-5, atol=2e-5)
