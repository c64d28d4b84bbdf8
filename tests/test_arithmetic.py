"""Operators of integer tensors: exact, eager and in a Plan, and what they become beside floats."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import accelnn as an

EXACT = [operator.add, operator.sub, operator.mul, operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]


@pytest.mark.parametrize("types", [(np.int64, np.int64), (np.int32, np.int32), (np.int32, np.int64), (np.int64, np.int32)], ids=str)
@pytest.mark.parametrize("f", EXACT, ids=lambda f: f.__name__)
def test_as_numpys(f: Callable[..., Any], types: tuple[Any, Any]) -> None:
    rng = np.random.default_rng(0)
    big = 2**40 if np.int64 in types else 2**20      # float32 would not hold them
    a, b = rng.integers(-big, big, (3, 1)).astype(types[0]), rng.integers(-5, 5, (1, 4)).astype(types[1])
    for x, y in ((a, b), (b, a), (a, np.array(7, types[1])), (a, a)):
        want = f(x, y)
        assert np.array_equal(f(an.tensor(x), an.tensor(y)).numpy(), want) and f(an.tensor(x), an.tensor(y)).numpy().dtype == want.dtype
        assert np.array_equal(an.compile(f)(an.tensor(x), an.tensor(y)).numpy(), want)
    assert np.array_equal(f(an.tensor(a), 7).numpy(), f(a, types[0](7))) and np.array_equal(f(7, an.tensor(a)).numpy(), f(types[0](7), a))


def test_beside_floats() -> None:
    n = an.tensor(np.array([1, -2, 3]))
    for got, want in ((n / 2, [0.5, -1.0, 1.5]), (n * 0.5, [0.5, -1.0, 1.5]), (n + an.tensor(np.float32([1, 2, 3])), [2.0, 0.0, 6.0])):
        assert got.dtype == an.float32 and got.numpy().tolist() == want
    assert (n**2).numpy().tolist() == [1, 4, 9] and (n + 1).dtype == an.int64 and (1 - n).numpy().tolist() == [0, 3, -2]


def test_accuracy_as_torch_users_write_it() -> None:
    scores, labels = an.tensor(np.float32([[1, 2], [3, 0], [0, 1]])), an.tensor(np.array([1, 0, 0]))
    assert (scores.argmax(1) == labels).float().mean().item() == pytest.approx(2 / 3)
    assert an.compile(lambda s, y: (s.argmax(1) == y).float().mean())(scores, labels).item() == pytest.approx(2 / 3)


def test_division_of_integers() -> None:
    a, b = an.tensor(np.array([7, -7, 7, -7, 5])), an.tensor(np.array([2, 2, -2, -2, 0]))
    assert an.calculate("div", a, b).numpy().tolist() == [3, -3, -3, 3, 0]
    assert an.calculate("mod", a, b).numpy().tolist() == [1, 1, -1, -1, 0] and an.calculate("fmod", a, b).numpy().tolist() == [1, -1, 1, -1, 0]
    with pytest.raises(an.Error, match="no exact arithmetic"):
        an.calculate("add", an.tensor(1.5), an.tensor(1.5))
