"""What the passes fold into a product's store, and that it still computes the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn import _C
from accelnn.core.dtypes import DType
from accelnn.core.errors import Error
from accelnn.core.registry import OPS
from accelnn.core.tensor import apply
from accelnn.ops.matmul import gamma


def share(x: np.ndarray) -> Any:
    return _C.View.share(x, DType.float32)


RNG = np.random.default_rng(0)
X, W, B, R = (RNG.normal(size=s).astype(np.float32) for s in ((6, 600), (600, 20), (20,), (6, 20)))
w, b = an.tensor(W), an.tensor(B)

FUSED: list[tuple[str, Callable[..., Any], list[str]]] = [
    ("bias, residual", lambda x, r: (x @ w + b) + r, ["matmul"]),
    ("residual first", lambda x, r: r + x @ w + b, ["matmul"]),
    ("scale, residual, bias, activation", lambda x, r: ((x @ w) * 0.125 + r + b).relu(), ["matmul"]),
    ("division, activation", lambda x, r: ((x @ w) / 8.0).tanh() + r, ["matmul", "pointwise"]),
    ("two scales", lambda x, r: (2.0 * ((x @ w) * 0.1)) + r, ["matmul"]),
    ("two products", lambda x, r: x @ w + (x * 2.0) @ w + r * 0.0, ["pointwise", "pointwise", "matmul", "matmul"]),
    ("bias and weights are scaled", lambda x, r: (x @ w + b) * 2.0 + r, ["matmul"]),
    ("a residual is not scaled", lambda x, r: (x @ w + r) * 2.0, ["matmul", "pointwise"]),
    ("read twice", lambda x, r: (lambda y: y * 2.0 + y + r)(x @ w), ["matmul", "pointwise"]),
    ("broadcast residual", lambda x, r: x @ w + r[:, :1], ["matmul", "pointwise"]),
    ("three dims: bias, residual, activation", lambda x, r: ((x.reshape(2, 3, 600) @ w + b) + r.reshape(2, 3, 20)).relu(), ["matmul"]),
    ("three dims: another last one", lambda x, r: (x @ w).reshape(2, 12, 5) + r.reshape(2, 12, 5), ["matmul", "pointwise"]),
    ("transposed residual", lambda x, r: x @ w + (r.reshape(20, 6)).mT, ["matmul", "copy"]),
]


@pytest.mark.parametrize(("fn", "ops"), [pytest.param(fn, ops, id=name) for name, fn, ops in FUSED])
def test_fused_products_compute_the_same(fn: Callable[..., Any], ops: list[str]) -> None:
    model = an.freeze(fn, (X, R), dynamic_batch=False)
    assert sorted(row["op"] for row in model.report(X, R)) == sorted(ops)
    with an.no_grad():
        want = fn(an.tensor(X), an.tensor(R)).numpy()
    size = 3 * (np.abs(X) @ np.abs(W)) + np.abs(R) + np.abs(B)
    assert (np.abs(model(X, R).numpy().astype(np.float64) - want) <= 4 * gamma(606) * size.reshape(want.shape)).all()


def test_a_product_that_is_quantized_keeps_scale_and_residual() -> None:
    """Integer products have no residual; a scale goes into theirs."""
    model = an.freeze(lambda x: ((x @ w) * 0.05 + x[:, :20]).relu(), X)
    small = an.compress(model, an.tensor(X), bits=8)
    ops = [row["op"] for row in small.report(X)]
    assert "qmatmul" in ops and "matmul" not in ops
    assert np.abs(small(X).numpy() - model(X).numpy()).max() < 0.1


def test_the_output_may_be_the_residual() -> None:
    """y += a b, in every row: more than one block of k, dot products, tails; and no other overlap."""
    op = OPS["matmul"]
    for m, n, k, transposed in ((6, 20, 1200, False), (40, 70, 700, False), (3, 21, 700, True), (1, 5, 3, False), (20, 33, 600, True)):
        a, c = (RNG.normal(size=s).astype(np.float32) for s in ((m, k), (m, n)))
        bt = RNG.normal(size=(n, k) if transposed else (k, n)).astype(np.float32)
        view = share(bt)
        if transposed:
            view, bt = view.strided((k, n), (1, k)), bt.T
        for row in [r["name"] for r in _C.ops()[op.number]["rows"]]:
            y = c.copy()
            shared = share(y)
            if _C.run_row(op.number, row, (share(a), view, None, shared), op.packed({"scale": 0.5}, 4), (shared,)) is not None:
                continue
            want = c.astype(np.float64) + 0.5 * (a.astype(np.float64) @ bt)
            assert (np.abs(y - want) <= gamma(k + 4) * (0.5 * np.abs(a) @ np.abs(bt) + np.abs(c))).all(), row
    whole = share(np.zeros(41, np.float32))
    y, beside = whole.strided((4, 10), (10, 1)), whole.strided((4, 10), (10, 1), 1)
    with pytest.raises(Error, match="overlaps the residual"):
        _C.call_into(op.number, (share(np.zeros((4, 3), np.float32)), share(np.zeros((3, 10), np.float32)), None, beside), op.packed({}, 4), (y,))


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_transformer_layer_has_no_pass_of_its_own_for_residuals_and_activations(norm_first: bool) -> None:
    net = an.nn.TransformerEncoderLayer(32, 4, 48, dropout=0.0, batch_first=True, norm_first=norm_first).eval()
    forward, x = an.compile(net), an.tensor(RNG.normal(size=(2, 5, 32)).astype(np.float32))
    np.testing.assert_allclose(forward(x).numpy(), net(x).numpy(), rtol=1e-5, atol=1e-5)
    assert "pointwise" not in forward.plan(x).plan.ops
    assert len(forward.plan(x).hoisted) == 6, "query, key and value weights are windows of one: packed too"


CHAINS = {
    "a temporary as a gate's second operand": lambda a, b, c: apply("relu_grad", a.exp(), b + 1.0),
    "mul, add": lambda a, b, c: (a * b + c).abs(), "mul, sub": lambda a, b, c: (a * b - c).abs(), "sub of mul": lambda a, b, c: (c - a * b).abs(),
    "add, mul": lambda a, b, c: ((a + b) * c).abs(), "sub, mul": lambda a, b, c: (c * (a - b)).abs(), "a sum read twice": lambda a, b, c: (s := a + b) * c - s,
    "with numbers": lambda a, b, c: (a * 0.5 + b).relu() * c - a + 0.25, "both operands": lambda a, b, c: (s := a * b) + s,
    "a temporary as the third": lambda a, b, c: (t := a.tanh()) * c.sigmoid() + t,
}  # fmt: skip


@pytest.mark.parametrize("fn", CHAINS.values(), ids=CHAINS.keys())
def test_a_chain_has_the_bits_of_its_ops(fn: Callable[..., Any]) -> None:
    a, b, c = (an.tensor(np.random.default_rng(i).standard_normal((5, 333), np.float32)) for i in range(3))
    assert np.array_equal(an.compile(fn)(a, b, c).numpy(), fn(a, b, c).numpy())


def test_addresses_change_no_bit() -> None:
    """Loads beside stores of the same low address bits make the kernel go the other way."""
    memory = np.empty(4096 // 4 + 2000, np.float32)
    x = np.random.default_rng(0).standard_normal(1900, np.float32)
    want, chain = an.tensor(x).tanh().numpy(), an.compile(lambda t: (t * 0.5 + 1.0).relu() - t)
    wanted = chain(an.tensor(x)).numpy()
    for at in range(0, 1024, 16):
        memory[at : at + x.size] = x
        moved = an.asarray(memory[at : at + x.size])
        assert np.array_equal(moved.tanh().numpy(), want) and np.array_equal(chain(moved).numpy(), wanted)
