"""Every differentiable op, first and second derivative, on its own samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.core.check import check_grads
from accelnn.core.errors import Error
from accelnn.core.registry import OPS
from accelnn.core.tensor import apply_all, tensor

FIRST_ORDER_ONLY = {"ctc_loss"}  # tests/ledger.toml: its gradient op has none


def differentiable() -> list[Any]:
    found = []
    for op in OPS.values():
        if op.gradient is None and op.composition is None:
            continue
        if op.name == "detach":
            continue
        for i, (arrays, attrs) in enumerate(op.samples()):
            small = sum(np.size(a) for a in arrays) < 20_000 and all(np.size(a) for a in arrays if a is not None)
            if not small or np.asarray(arrays[0]).dtype.kind != "f" or attrs.get("activation") or attrs.get("packed"):
                continue
            result = op.reference(*arrays, **attrs)
            if not isinstance(result, tuple) or np.asarray(result[0]).dtype.kind == "f":
                found.append(pytest.param(op.name, arrays, attrs, id=f"{op.name}-{i}"))
    return found


@pytest.mark.parametrize(("name", "arrays", "attrs"), differentiable())
def test_gradient(name: str, arrays: tuple[Any, ...], attrs: dict[str, Any]) -> None:
    if name == "cast":
        pytest.skip("rounding to bfloat16 has no derivative")
    given = [a is not None for a in arrays]
    arguments = [tensor(np.asarray(a)) for a in arrays if a is not None]

    def call(*xs: Any) -> Any:
        rest = iter(xs)
        return apply_all(name, *(next(rest) if there else None for there in given), **attrs)[0]

    check_grads(call, arguments, order=1 if name in FIRST_ORDER_ONLY else 2)


def test_wrong_gradient_is_found() -> None:
    right = OPS["tanh"].gradient
    OPS["tanh"].gradient = lambda dy, a, y: dy * (1.0 - y)
    try:
        with pytest.raises(Error, match="check_grads"):
            check_grads(lambda x: x.tanh(), [tensor(np.linspace(-1, 1, 7, dtype=np.float32))])
    finally:
        OPS["tanh"].gradient = right


def test_users_function() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(4, 3)), rng.normal(size=(3, 5))
    check_grads(lambda x, w: ((x @ w).tanh() * 2.0 - 1.0).softmax().log().mean(), [tensor(a), tensor(b)])


def test_nested_grad() -> None:
    second = an.grad(an.grad(lambda x: (x * x * x).sum()))
    assert second(an.tensor(2.0)).item() == pytest.approx(12.0)


def test_stale_save_raises() -> None:
    w = an.tensor([1.0, 2.0], requires_grad=True)
    y = (w * w).sum()
    with an.no_grad():
        w.assign(an.tensor([5.0, 5.0]))
    with pytest.raises(Error, match="overwritten"):
        y.backward()


def test_gradients_accumulate_and_broadcast() -> None:
    b = an.tensor(np.zeros(3), requires_grad=True)
    x = an.tensor(np.ones((4, 3)))
    for _ in range(2):
        (x + b).sum().backward()
    assert b.grad is not None and b.grad.tolist() == [8.0, 8.0, 8.0]
