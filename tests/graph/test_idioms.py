"""Formulas taken apart become the op that they were, whichever way they are written, and look-alikes stay."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.core.tensor import apply
from accelnn.model import Model
from accelnn.passes import common_subexpressions, fold, recognize, run_passes, simplify

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(2, 3, 8)) * 3).astype(np.float32)
GAIN, SHIFT = (an.tensor(RNG.normal(size=8).astype(np.float32)) for _ in range(2))
Q, K, V = (RNG.normal(size=(2, 3, n, 4)).astype(np.float32) for n in (5, 7, 7))
MASK = np.where(RNG.random((2, 1, 5, 7)) < 0.3, -1e9, 0).astype(np.float32)


def six(x: Any) -> Any:
    return an.maximum(an.minimum(x + 3.0, 6.0), 0.0)


def centred(x: Any) -> Any:
    return x - x.mean(-1, keepdim=True)


def standard(x: Any, eps: float = 1e-5) -> Any:
    d = centred(x)
    return d / ((d * d).mean(-1, keepdim=True) + eps).sqrt()


def heads(x: Any) -> Any:
    """[2, 3, S, 4] as exporters turn keys: heads into the batch, transposed, heads out again."""
    return x.reshape(6, x.shape[2], 4).permute(0, 2, 1).reshape(2, 3, 4, x.shape[2])


def guarded(p: Any) -> Any:
    return an.where(apply("isnan", p), 0.0, p)


ONE: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "silu": (lambda x: x * x.sigmoid(), ["silu"]),
    "silu of a product": (lambda x: (x * GAIN) * (x * GAIN).sigmoid(), ["mul", "silu"]),
    "silu of another": (lambda x: x * (x * 1.1).sigmoid(), ["mul", "sigmoid", "mul"]),
    "gelu: x (0.5 (1 + erf))": (lambda x: x * (0.5 * (1.0 + (x / math.sqrt(2)).erf())), ["gelu"]),
    "gelu: (0.5 x) (1 + erf)": (lambda x: (0.5 * x) * ((x * 0.70710678).erf() + 1.0), ["gelu"]),
    "gelu: (x (1 + erf)) / 2": (lambda x: (x * ((x / 1.4142135).erf() + 1.0)) / 2.0, ["gelu"]),
    "gelu of a wrong width": (lambda x: x * (0.5 * (1.0 + (x / 1.5).erf())), ["div", "erf", "add", "mul", "mul"]),
    "gelu by tanh": (lambda x: 0.5 * x * (1.0 + (0.7978846 * (x + 0.044715 * (x * x * x))).tanh()), ["gelu_tanh"]),
    "gelu by tanh, a power": (lambda x: x * 0.5 * (1.0 + ((x + (x**3.0) * 0.044715) * math.sqrt(2 / math.pi)).tanh()), ["gelu_tanh"]),
    "hardsigmoid": (lambda x: six(x) / 6.0, ["hardsigmoid"]),
    "hardsigmoid: x / 6 + 0.5": (lambda x: an.clip(x / 6.0 + 0.5, 0.0, 1.0), ["hardsigmoid"]),
    "hardswish": (lambda x: x * six(x) / 6.0, ["hardswish"]),
    "hardswish: sixth first": (lambda x: x * (six(x) * (1 / 6)), ["hardswish"]),
    "hardswish: another number": (lambda x: x * six(x) / 7.0, ["hardswish", "mul"]),
    "hardswish: 0.2 x + 0.5": (lambda x: x * an.clip(x * 0.2 + 0.5, 0.0, 1.0), ["mul", "hardswish", "mul"]),
    "hardswish of a sum": (lambda x: (x * 1.4 + 0.6) * six(x * 1.4 + 0.6) / 6.0, ["mul", "add", "hardswish"]),
    "hardsigmoid: 0.2 x + 0.5": (lambda x: an.clip(0.5 + 0.2 * x, 0.0, 1.0), ["mul", "hardsigmoid"]),
    "not a hardswish": (lambda x: x * an.clip(x + 2.0, 0.0, 6.0) / 6.0, ["add", "maximum", "minimum", "mul", "div"]),
    "not of the same": (lambda x: x * six(x * GAIN) / 6.0, ["mul", "add", "minimum", "maximum", "mul", "div"]),
    "layer norm": (lambda x: standard(x), ["layer_norm"]),
    "layer norm, weight, bias": (lambda x: standard(x) * GAIN + SHIFT, ["layer_norm"]),
    "layer norm, a power, rsqrt": (lambda x: GAIN * (centred(x) * ((centred(x) ** 2.0).mean(-1, keepdim=True) + 1e-5).rsqrt()) + SHIFT, ["layer_norm"]),
    "rms norm": (lambda x: GAIN * (x * ((x * x).mean(-1, keepdim=True) + 1e-6).rsqrt()), ["rms_norm"]),
    "two rows at once": (lambda x: (x - x.mean((1, 2), keepdim=True)) / (((x - x.mean((1, 2), keepdim=True)) ** 2.0).mean((1, 2), keepdim=True) + 1e-5).sqrt(),
                         ["layer_norm"]),
    "another mean": (lambda x: centred(x) / ((centred(x * 2.0) ** 2.0).mean(-1, keepdim=True) + 1e-5).sqrt(),
                     ["mean", "sub", "mul", "mean", "sub", "square", "mean", "add", "sqrt", "div"]),
    "columns": (lambda x: x * ((x * x).mean(1, keepdim=True) + 1e-6).rsqrt(), ["mul", "mean", "add", "rsqrt", "mul"]),
}  # fmt: skip
ATTENTION: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "plain": (lambda q, k, v, m: apply("softmax", q @ k.mT * 0.5) @ v, ["attention"]),
    "scaled apart, masked": (lambda q, k, v, m: apply("softmax", (q * 0.7) @ (k.mT * 0.7) + m) @ v, ["attention"]),
    "divided, NaN as 0": (lambda q, k, v, m: guarded(apply("softmax", (q @ k.mT) / 2.0 + m)) @ v, ["attention"]),
    "keys turned in the batch": (lambda q, k, v, m: apply("softmax", q @ heads(k) + m) @ v, ["attention"]),
    "three dims": (lambda q, k, v, m: apply("softmax", q[0] @ k[0].mT) @ v[0], ["attention", "reshape"]),
    "two masks": (lambda q, k, v, m: apply("softmax", q @ k.mT + m + m * 2.0) @ v, ["permute", "matmul", "mul", "add", "add", "softmax", "matmul"]),
    "the weights are read": (lambda q, k, v, m: (lambda p: (p @ v) * p.sum())(apply("softmax", q @ k.mT)),
                             ["attention", "permute", "matmul", "softmax", "sum", "mul"]),
}  # fmt: skip


def changed(model: Model) -> Any:
    return run_passes(model.graph, (fold, simplify, common_subexpressions, recognize))


def ops(graph: Any) -> list[str]:
    return [n.op for n in graph.nodes() if not n.is_source and n.op != "slice"]


def same(model: Model, graph: Any, *args: Any) -> None:
    want, got = (Model(g, g)(*args).numpy().astype(np.float64) for g in (model.graph, graph))
    assert np.abs(got - want).max() <= 2e-6 * max(1.0, np.abs(want).max()), f"before:\n{model.graph}\nafter:\n{graph}"


@pytest.mark.parametrize("name", ONE)
def test_a_formula_is_its_op(name: str) -> None:
    fn, wanted = ONE[name]
    model = an.freeze(fn, X, dynamic_batch="two" not in name)
    after = changed(model)
    assert ops(after) == wanted, f"before:\n{model.graph}\nafter:\n{after}"
    same(model, after, X)


@pytest.mark.parametrize("name", ATTENTION)
def test_attention_is_one_op(name: str) -> None:
    fn, wanted = ATTENTION[name]
    model = an.freeze(fn, (Q, K, V, MASK), dynamic_batch=False)
    after = changed(model)
    assert sorted(ops(after)) == sorted(wanted), f"before:\n{model.graph}\nafter:\n{after}"
    same(model, after, Q, K, V, MASK)


def test_a_row_that_sees_nothing_is_zero_and_not_nan() -> None:
    mask = MASK.copy()
    mask[0, 0, 2] = -np.inf
    model = an.freeze(lambda q, k, v, m: guarded(apply("softmax", q @ k.mT + m)) @ v, (Q, K, V, mask), dynamic_batch=False)
    same(model, changed(model), Q, K, V, mask)
    assert (model(Q, K, V, mask).numpy()[0, :, 2] == 0).all()
