"""Equal computations once; windows of windows; what does nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.core.dims import Dim, Size
from accelnn.core.graph import Graph
from accelnn.core.trace import trace
from accelnn.model import Model
from accelnn.passes import common_subexpressions, fold, run_passes, simplify
from accelnn.passes.simplify import split_into

X = np.random.default_rng(0).normal(size=(4, 6, 5)).astype(np.float32)
W = an.tensor(np.random.default_rng(1).normal(size=(5, 5)).astype(np.float32))

CASES: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "a product twice": (lambda x: (x @ W).exp() + (x @ W).tanh(), ["reshape", "matmul", "reshape", "exp", "tanh", "add"]),
    "equal constants": (lambda x: (x + an.tensor([1.5])) * (x + an.tensor([1.5])), ["add", "mul"]),
    "other constants": (lambda x: (x + an.tensor([1.5])) * (x + an.tensor([1.25])), ["add", "add", "mul"]),
    "other attributes": (lambda x: x.sum(1) * x.sum(2).sum(1, keepdim=True), ["sum", "sum", "sum", "mul"]),
    "reshape of reshape": (lambda x: x.reshape(24, 5).reshape(2, 2, 6, 5), ["reshape"]),
    "there and back": (lambda x: x.reshape(24, 5).reshape(4, 6, 5).permute(2, 0, 1).permute(1, 2, 0).exp(), ["exp"]),
    "merged, turned, split": (lambda x: x.reshape(2, 2, 6, 5).reshape(4, 6, 5).permute(0, 2, 1).reshape(2, 2, 5, 6), ["permute", "reshape"]),
    "heads": (lambda x: x.reshape(2, 2, 6, 5).exp().reshape(4, 6, 5).permute(0, 2, 1).reshape(2, 2, 5, 6).exp(), ["reshape", "exp", "permute", "exp"]),
    "a split across": (lambda x: x.reshape(24, 5).permute(1, 0).reshape(10, 12), ["reshape", "permute", "reshape"]),
    "ones": (lambda x: (x * 1.0 / 1.0).exp(), ["exp"]),
    "an expansion to itself": (lambda x: x.expand(4, 6, 5).exp(), ["exp"]),
    "a square": (lambda x: x**2.0, ["square"]),
    "rows of more dims": (lambda x: x @ W, ["reshape", "matmul", "reshape"]),
    "rows turned": (lambda x: x.permute(1, 0, 2) @ W, ["permute", "matmul"]),
    "a cube": (lambda x: x**3.0, ["pow"]),
}


def ops(graph: Graph) -> list[str]:
    return [n.op for n in graph.nodes() if not n.is_source]


@pytest.mark.parametrize("name", CASES)
def test_less_of_the_same(name: str) -> None:
    fn, wanted = CASES[name]
    model = an.freeze(fn, X, dynamic_batch=False)
    after = run_passes(model.graph, (fold, simplify, common_subexpressions))
    shown = f"before:\n{model.graph}\nafter:\n{after}"
    assert ops(after) == wanted, shown
    want, got = (Model(g, g)(X).numpy() for g in (model.graph, after))
    assert got.shape == want.shape and np.abs(got - want).max() <= 1e-6 * np.abs(want).max(), shown


def test_two_draws_stay_two() -> None:
    graph, _, _ = trace(lambda x: an.nn.functional.dropout(x, 0.5) + an.nn.functional.dropout(x, 0.5), [an.tensor(X).spec])
    assert ops(common_subexpressions(graph)).count("random_uniform") == 2


def test_how_sizes_split() -> None:
    n = Size.of(Dim("N"))
    assert split_into((6, 4), (2, 3, 4)) == [(2, 3), (4,)]
    assert split_into((6, 4), (2, 3, 2, 2, 1)) == [(2, 3), (2, 2, 1)]
    assert split_into((12 * n, 5), (n, 12, 5)) == [(n, 12), (5,)]
    assert split_into((6, 4), (8, 3)) is None and split_into((6,), (2, 3, 5)) is None
    assert split_into((1, 6), (1, 6)) == [(1,), (6,)] and split_into((2, 3), (6,)) is None
