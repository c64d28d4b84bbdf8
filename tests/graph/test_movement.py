"""Chains of reshape and permute; rows in the order of their memory."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.core.graph import Graph
from accelnn.model import Model
from accelnn.passes import run_passes, simplify, straighten

X = np.random.default_rng(0).normal(size=(4, 6, 8)).astype(np.float32)
W, B = (an.tensor(np.random.default_rng(1).normal(size=s).astype(np.float32)) for s in ((8, 12), (12,)))


def self_attention(x: Any) -> Any:
    """As torch writes it: time first, three products as one, heads joined with the batch."""
    both = (x.permute(1, 0, 2).reshape(24, 8) @ W).reshape(6, 4, 3, 4).reshape(1, 6, 4, 3, 4).permute(3, 1, 2, 0, 4).reshape(3, 6, 4, 4)
    q, k = (both[i].reshape(6, 8, 2).permute(1, 0, 2).reshape(4, 2, 6, 2) for i in range(2))
    return q.exp() + k.exp()


CASES: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "merged, turned, split": (lambda x: x.exp().reshape(24, 8).permute(1, 0).reshape(8, 4, 6).exp(), ["exp", "permute", "exp"]),
    "split, turned twice": (lambda x: x.reshape(2, 2, 6, 8).permute(2, 0, 1, 3).reshape(6, 4, 8).permute(1, 0, 2).exp(), ["exp"]),
    "a split across": (lambda x: x.reshape(24, 8).permute(1, 0).reshape(16, 12).exp(), ["reshape", "permute", "reshape", "exp"]),
    "rows turned and back": (lambda x: (x.permute(1, 0, 2).reshape(24, 8) @ W).reshape(6, 4, 12).permute(1, 0, 2) + B, ["reshape", "matmul", "reshape", "add"]),
    "rows in order": (lambda x: x.reshape(24, 8) @ W, ["reshape", "matmul"]),
    "columns turned": (lambda x: x.reshape(4, 6, 2, 4).permute(0, 1, 3, 2).reshape(24, 8) @ W, ["reshape", "permute", "reshape", "matmul"]),
    "self attention": (self_attention, ["reshape", "matmul", "reshape", "permute", *["slice", "reshape", "permute", "exp"] * 2, "add"]),
}


def ops(graph: Graph) -> list[str]:
    return [n.op for n in graph.nodes() if not n.is_source]


@pytest.mark.parametrize("name", CASES)
def test_straightened(name: str) -> None:
    fn, wanted = CASES[name]
    model = an.freeze(fn, X, dynamic_batch=False)
    after = run_passes(model.graph, (straighten, simplify))
    shown = f"before:\n{model.graph}\nafter:\n{after}"
    assert sorted(ops(after)) == sorted(wanted), shown
    want, got = (Model(g, g)(X).numpy() for g in (model.graph, after))
    assert got.shape == want.shape and np.abs(got - want).max() <= 1e-6 * np.abs(want).max(), shown


@pytest.mark.parametrize("seed", range(40))
def test_any_chain(seed: int) -> None:
    """The same numbers, in no more steps."""
    rng = np.random.default_rng(seed)

    def shape(n: int) -> tuple[int, ...]:
        found = [1] * rng.integers(0, 2)
        while n > 1:
            found.append(int(rng.choice([d for d in range(2, n + 1) if n % d == 0])))
            n //= found[-1]
        return tuple(int(s) for s in rng.permutation(found))

    x = rng.normal(size=shape(int(rng.choice([24, 64, 72])))).astype(np.float32)
    steps: list[Callable[[Any], Any]] = []
    at = x
    for _ in range(rng.integers(2, 7)):
        to = shape(prod(at.shape)) if rng.random() < 0.5 else tuple(int(a) for a in rng.permutation(at.ndim))
        steps.append((lambda v, to=to: v.reshape(to)) if prod(to) == x.size and len(to) and at.ndim else (lambda v, to=to: v.transpose(to)))
        at = steps[-1](at)

    def moved(v: Any) -> Any:
        here = x
        for step in steps:
            after = step(here)
            v = v.reshape(after.shape) if step.__defaults__[0] == after.shape else v.permute(*step.__defaults__[0])
            here = after
        return v.exp()

    model = an.freeze(moved, x, dynamic_batch=False)
    after = straighten(model.graph)
    assert len(ops(after)) <= len(ops(model.graph))
    np.testing.assert_array_equal(Model(after, after)(x).numpy(), model(x).numpy(), err_msg=f"before:\n{model.graph}\nafter:\n{after}")
