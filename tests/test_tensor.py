"""Tensors: what goes in, what comes out, what is refused."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.core.errors import AttributeValueError, BoundError, DTypeError, Error, ShapeError


def test_copies_and_shares() -> None:
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    copied, shared, through = an.tensor(a), an.asarray(a), an.from_dlpack(a)
    a[0, 0] = 9
    assert (copied[0, 0].item(), shared[0, 0].item(), through[0, 0].item()) == (0.0, 9.0, 9.0)
    assert np.from_dlpack(shared)[0, 0] == 9 and np.asarray(shared.T).shape == (3, 2)


def test_memory_outlives_its_owner() -> None:
    t = an.asarray(np.arange(1000, dtype=np.float32)).reshape(10, 100)[3]
    array = an.tensor(np.ones(1000)).numpy()
    assert t.tolist() == list(range(300, 400)) and array.sum() == 1000


@pytest.mark.parametrize("dtype", list(an.DType))
def test_every_dtype_round_trips(dtype: Any) -> None:
    t = an.tensor([0, 1, 2, 100], dtype)
    assert t.dtype == dtype and t.float().tolist() == ([0, 1, 1, 1] if dtype == an.bool_ else [0, 1, 2, 100])


def test_bfloat16() -> None:
    t = an.tensor([1.0, 1.00390625, 3.0], an.bfloat16)
    assert t.numpy().dtype == np.float32 and t.numpy(raw=True).dtype == np.uint16
    assert t.tolist() == [1.0, 1.0, 3.0]


@pytest.mark.parametrize("key", [0, -1, slice(1, None), slice(None, None, 2), (..., 1), (None, 0), (slice(0, 2), 1, slice(1, 3))])
def test_indexing_is_numpys(key: Any) -> None:
    a = np.arange(24, dtype=np.float32).reshape(3, 2, 4)
    assert np.array_equal(an.tensor(a)[key].numpy(), a[key])


def test_arithmetic_is_numpys() -> None:
    a, b = np.random.default_rng(0).uniform(0.5, 2, (2, 3, 4)).astype(np.float32), np.float32(1.5)
    x = an.tensor(a)
    for got, want in ((x + b, a + b), (2 - x, 2 - a), (x * x, a * a), (1 / x, 1 / a), (x**2.0, a**2), (-x, -a),
                      (x > 1, a > 1), (x.mean((0, 2)), a.mean((0, 2)))):
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)
    assert (an.tensor([0.0]) * -0.0).numpy().view(np.uint32)[0] == 0x80000000


def test_nan_propagates() -> None:
    x = an.tensor([np.nan, 1.0, -1.0])
    for y in (x.relu(), x.exp(), x.tanh(), x.sigmoid(), an.ops.maximum(x, 0.0), an.ops.minimum(0.0, x)):
        assert np.isnan(y.numpy()[0]) and not np.isnan(y.numpy()[1:]).any()
    assert np.isnan(x.max().item()) and np.isnan(x.sum().item())


@pytest.mark.parametrize(
    ("what", "error"),
    [
        (lambda: an.ones(2, 3) + an.ones(4), ShapeError),
        (lambda: an.ones(2, 3) @ an.ones(2, 3), ShapeError),
        (lambda: an.ones(3) @ an.ones(3), ShapeError),
        (lambda: an.tensor([1, 2]).exp(), DTypeError),
        (lambda: an.ones(2, 3).reshape(4, 2), ShapeError),
        (lambda: an.ones(2, 3).reshape(-1, -1), ShapeError),
        (lambda: an.ones(2, 3)[2], BoundError),
        (lambda: an.ones(2, 3).sum(2), ShapeError),
        (lambda: an.ones(2, 3).item(), ShapeError),
        (lambda: an.tensor(["a"]), DTypeError),
        (lambda: an.tensor([1.0], device="cuda"), Error),
        (lambda: an.tensor([1], requires_grad=True), DTypeError),
        (lambda: an.ones(2).backward(), Error),
        (lambda: an.zeros(3).assign(an.zeros(4)), ShapeError),
        (lambda: an.ops.conv2d(an.ones(1, 1, 4, 4), an.ones(1, 2, 3, 3)), ShapeError),
        (lambda: an.ops.conv2d(an.ones(1, 1, 4, 4), an.ones(1, 1, 5, 5)), ShapeError),
        (lambda: an.ops.conv2d(an.ones(1, 1, 4, 4), an.ones(1, 1, 3, 3), stride=0), AttributeValueError),
        (lambda: an.ops.max_pool2d(an.ones(1, 1, 4, 4), 2, padding=2), ShapeError),
        (lambda: an.ops.cross_entropy(an.ones(2, 3), an.tensor([0, 3])), BoundError),
        (lambda: an.ops.cross_entropy(an.ones(2, 3), an.tensor([0, -1])), BoundError),
        (lambda: an.ops.cross_entropy(an.ones(2, 3), an.tensor([0.0, 1.0])), ShapeError),
        (lambda: an.nn.Linear(3, 4)(an.ones(2, 5)), ShapeError),
        (lambda: an.nn.Linear(3, 4).load_state_dict({}), Error),
        (lambda: an.optim.AdamW([]), Error),
        (lambda: an.zeros(2**40, 2**40), Error),
        (lambda: an.set_num_threads(0), Error),
    ],
)
def test_bad_input_is_refused(what: Any, error: Any) -> None:
    with pytest.raises(error) as found:
        what()
    assert isinstance(found.value, Error) and len(str(found.value)) > 20


def test_random_numbers_restart_with_the_seed() -> None:
    an.seed(3)
    first, second = an.rand(100).tolist(), an.rand(100).tolist()
    an.seed(3)
    assert an.rand(100).tolist() == first and first != second and 0 <= min(first) and max(first) < 1


def test_answers_kept_for_operands_that_shared_memory_fit_operands_that_do_not() -> None:
    """The dispatcher keeps what it found for a call with operands of these shapes; which operand lies where is of the call alone."""
    both = an.tensor(np.arange(62.0, dtype=np.float32).reshape(2, 31))
    assert np.array_equal((both[0] - both[1]).numpy(), np.full(31, -31.0))
    a, b = (an.tensor(np.full(31, v, np.float32)) for v in (5.0, 2.0))
    assert np.array_equal((a - b).numpy(), np.full(31, 3.0))
    assert np.array_equal((a - a).numpy(), np.zeros(31))
    assert np.array_equal((b - a).numpy(), np.full(31, -3.0))


def test_attributes_of_equal_value_and_other_meaning_are_told_apart() -> None:
    x = an.tensor(np.ones((2, 3), np.float32))
    for zero in (0.0, -0.0, 0.0):
        assert math.copysign(1.0, (x * zero).numpy()[0, 0]) == math.copysign(1.0, zero)
    assert x.sum(0).shape == (3,) and x.sum(0, keepdim=True).shape == (1, 3) and x.sum(1).shape == (2,) and x.sum(0).shape == (3,)


def test_calls_from_many_threads() -> None:
    """The lock is given up in a long call; answers are shared."""
    rng = np.random.default_rng(0)
    arrays = [rng.random((n, 300), dtype=np.float32) for n in (3, 40, 111)]
    wanted = [a @ a.T for a in arrays]
    wrong: list[int] = []

    def work() -> None:
        for _ in range(30):
            for i, a in enumerate(arrays):
                t = an.tensor(a)
                if not np.allclose((t @ t.mT).numpy(), wanted[i], rtol=1e-4):
                    wrong.append(i)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


@pytest.mark.parametrize("key", [
    (np.array([2, 0, -1]),), (slice(None), np.array([[1, 2], [0, -1]])), (np.array([0, 1]), np.array([2, -3])),
    (slice(None), np.array([0, 1]), np.array([2, 3])),
    (np.array([[0], [1]]), slice(None), np.array([1, 3])), (0, slice(None), np.array([1, 3])), (Ellipsis, np.array([3, 3])), (slice(None, None, -1),),
    (slice(None), slice(2, 0, -1), slice(3, None, -2)), (None, np.array([1]), Ellipsis), (np.array([0, 1]), 1), (slice(0, 0, -1),),
])  # fmt: skip
def test_indexing_with_integers_and_backwards(key: tuple[object, ...]) -> None:
    data = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    x = an.tensor(data, requires_grad=True)
    ours = tuple(an.tensor(k) if isinstance(k, np.ndarray) else k for k in key)
    y = x[ours]
    np.testing.assert_array_equal(y.numpy(), data[key])
    (y * y).sum().backward()
    want = np.zeros_like(data)
    np.add.at(want, key, 2 * data[key])
    np.testing.assert_allclose(x.grad.numpy(), want)
    np.testing.assert_array_equal(an.compile(lambda t: t[ours])(an.tensor(data)).numpy(), data[key])


def test_a_bad_index_is_named() -> None:
    x = an.tensor(np.zeros((3, 4), np.float32))
    for call, words in ((lambda: x[an.tensor([0, 3])], r"the index 3 at \[1\] is outside \[-3, 3\)"),
                        (lambda: an.gather(x, 1, an.tensor([[0, -5]])), r"the index -5 at \[0, 1\] is outside \[-4, 4\)"),
                        (lambda: an.scatter_add(x, 0, an.tensor([[0, 9, 1, 1]]), x), r"the index 9 at \[0, 1\]"),
                        (lambda: an.gather_nd(x, an.tensor([[0, 0], [2, 4]])), r"the index 4 at \[1, 1\] is outside \[-4, 4\)"),
                        (lambda: an.compile(lambda t, i: t[i])(x, an.tensor([7])), r"the index 7 at \[0\]")):  # fmt: skip
        with pytest.raises(IndexError, match=words):
            call()
    with pytest.raises(an.Error, match="mask"):
        x[x > 0.0]
