"""Numbers around products by constant weights go into weights and bias, where nobody sees what lies between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.core.graph import Graph
from accelnn.model import Model
from accelnn.passes import FUSE, TIDY, fold, fold_numbers, run_passes

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 4, 7, 6)).astype(np.float32)
EACH = an.tensor(RNG.uniform(0.5, 2, (6, 1, 1)).astype(np.float32))
EACH_INPUT = an.tensor(RNG.uniform(0.5, 2, (4, 1, 1)).astype(np.float32))


class Net(an.nn.Module):
    """f of an image and a convolution, a padded one and a grouped one, and a linear layer."""

    def __init__(self, f: Callable[..., Any]) -> None:
        super().__init__()
        an.seed(0)
        self.conv, self.padded, self.plain = an.nn.Conv2d(4, 6, 1), an.nn.Conv2d(4, 6, 3, padding=1), an.nn.Conv2d(4, 6, 3, groups=2, bias=False)
        self.linear = an.nn.Linear(6, 5)
        self.f = f

    def forward(self, x: Any) -> Any:
        return self.f(self, x)


def ops(graph: Graph) -> list[str]:
    return [n.op for n in graph.nodes() if not n.is_source and n.op != "reshape"]


NETS: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "behind": (lambda n, x: (n.conv(x) * 1.4 - 0.3) / EACH + 2.0, ["conv2d"]),
    "behind, no bias": (lambda n, x: 0.5 - n.plain(x) * EACH, ["conv2d"]),
    "before": (lambda n, x: n.conv(x * EACH_INPUT + 0.5), ["conv2d"]),
    "before groups": (lambda n, x: n.plain((x - 0.5) * EACH_INPUT), ["conv2d"]),
    "before padding: a scale": (lambda n, x: n.padded(EACH_INPUT * x), ["conv2d"]),
    "before padding: no shift": (lambda n, x: n.padded(x + 0.5), ["add", "conv2d"]),
    "a product": (lambda n, x: n.linear(n.conv(x).mean((2, 3)) * 0.7 + 0.1) / 3.0, ["conv2d", "mean", "matmul"]),
    "read twice": (lambda n, x: (lambda y: y * 2.0 + y.sigmoid())(n.conv(x)), ["conv2d", "mul", "sigmoid", "add"]),
    "not one an output": (lambda n, x: n.conv(x) * an.tensor(np.ones((7, 6), np.float32) * 2), ["conv2d", "mul"]),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_numbers_go_into_the_weights(name: str) -> None:
    f, wanted = NETS[name]
    model = an.freeze(Net(f), an.tensor(X))
    changed = run_passes(model.graph, (fold, fold_numbers))
    assert ops(changed) == wanted, f"{model.graph}\n{changed}"
    plain, got = (Model(g, lowered=g)(X).numpy() for g in (model.graph, changed))
    assert np.abs(got - plain).max() <= 2e-6 * max(1, np.abs(plain).max())


def block(n: Any, x: Any) -> Any:
    """A convolution, a learnt scale and shift, hard-swish, again scale and shift: MobileNetV3 as Paddle exports it."""
    y = n.conv(x) * 1.3 + 0.5
    y = y * an.clip(y + 3.0, 0.0, 6.0) / 6.0 * 0.7 - 0.2
    return n.linear(y.mean((2, 3)))


def test_hard_swish_ends_in_the_store_of_a_convolution() -> None:
    model = an.freeze(Net(block), an.tensor(X))
    changed = run_passes(model.graph, (*TIDY, *FUSE))
    assert ops(changed) == ["conv2d", "mul", "sub", "mean", "matmul"], f"{model.graph}\n{changed}"
    assert next(n for n in changed.nodes() if n.op == "conv2d").attrs["activation"] == 7
    plain = Model(model.graph, lowered=model.graph)(X).numpy()
    assert np.abs(model(X).numpy() - plain).max() <= 2e-6 * max(1, np.abs(plain).max())
