"""an.conv2d on tensors: packed weights are remembered, and never stale; exactness by the block, the thread, the process."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

import accelnn as an
from accelnn.core.tensor import apply
from accelnn.ops import conv_eager
from accelnn.ops.conv import GEOMETRY, correlate

PADDED = {**GEOMETRY, "pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}


def _draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def _layer() -> tuple[an.Tensor, an.Tensor, an.Tensor]:
    x, w, b = an.tensor(_draw(1, 32, 28, 28)), an.tensor(_draw(48, 32, 3, 3)), an.tensor(_draw(48))
    assert conv_eager.algorithm_of(x.shape, w.shape, tuple(PADDED.items())) is not None
    return x, w, b


def _true(x: an.Tensor, w: an.Tensor, b: an.Tensor) -> np.ndarray:
    return correlate(x.numpy().astype(np.float64), w.numpy().astype(np.float64), PADDED) + b.numpy()[:, None, None]


def _right(y: an.Tensor, x: an.Tensor, w: an.Tensor, b: an.Tensor) -> None:
    assert y.view.contiguous
    error = np.abs(y.numpy() - _true(x, w, b)).max()
    assert error <= 540 * 56 * 2.0**-24 * 32 * np.abs(x.numpy()).max() * np.abs(w.numpy()).max()  # conv2d_nhwc.h


def test_the_packed_weight_is_remembered_and_goes_with_it() -> None:
    x, w, b = _layer()
    first = an.conv2d(x, w, b, padding=1)
    _right(first, x, w, b)
    held = conv_eager.HELD[id(w)]
    form = next(iter(held.forms.values()))
    assert np.array_equal(an.conv2d(x, w, b, padding=1).numpy(), first.numpy())
    assert conv_eager.HELD[id(w)] is held and next(iter(held.forms.values())) is form
    key = id(w)
    del w
    gc.collect()
    assert key not in conv_eager.HELD


@pytest.mark.parametrize("how", ["assign", "one element", "a kept array", "shared memory"])
def test_no_change_of_a_weight_goes_unnoticed(how: str) -> None:
    x, w, b = _layer()
    array = _draw(48, 32, 3, 3)
    if how == "shared memory":
        w = an.asarray(array)
    kept = w.numpy() if how == "a kept array" else None
    before = an.conv2d(x, w, b, padding=1).numpy().copy()
    if how == "assign":
        w.assign(an.tensor(array * 2))
    elif how == "one element":
        w.numpy()[17, 5, 1, 2] += 100
    elif kept is not None:
        kept[40, 31, 2, 2] += 100
    else:
        array[0, 0, 0, 0] += 100
    after = an.conv2d(x, w, b, padding=1)
    assert np.abs(after.numpy() - before).max() > 1
    _right(after, x, w, b)


def test_gradients_are_those_of_the_op() -> None:
    x, w, b = (t.requires_grad_() for t in _layer())
    an.conv2d(x, w, b, padding=1, exact=True).sum().backward()
    fast = [t.grad.numpy() for t in (x, w, b)]
    assert conv_eager.HELD[id(w)].forms
    plain = [an.tensor(t.numpy(), requires_grad=True) for t in (x, w, b)]
    apply("conv2d", *plain, **PADDED, exact=1).sum().backward()
    for a, t in zip(fast, plain):
        assert np.array_equal(a, t.grad.numpy())


def test_exact_convolutions_hold_here_and_nowhere_else() -> None:
    x, w, b = _layer()
    exact, fast = an.conv2d(x, w, b, padding=1, exact=True).numpy(), an.conv2d(x, w, b, padding=1).numpy()
    assert not np.array_equal(exact, fast)
    other: list[np.ndarray] = []

    def elsewhere() -> None:
        other.append(an.conv2d(x, w, b, padding=1).numpy())

    with an.exact_convolutions():
        assert np.array_equal(an.conv2d(x, w, b, padding=1).numpy(), exact)
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        with an.exact_convolutions(False):
            assert np.array_equal(an.conv2d(x, w, b, padding=1).numpy(), fast)
        compiled = an.compile(lambda x: an.conv2d(x, w, b, padding=1))
        assert np.array_equal(compiled(x).numpy(), exact)
    assert np.array_equal(other[0], fast) and np.array_equal(compiled(x).numpy(), exact)
    an.set_exact_convolutions()
    try:
        elsewhere()
        assert np.array_equal(other[1], exact)
    finally:
        an.set_exact_convolutions(False)
    assert np.array_equal(an.conv2d(x, w, b, padding=1).numpy(), fast)


def test_a_wrong_shape_is_refused_by_name() -> None:
    x, w, _ = _layer()
    with pytest.raises(an.Error, match="conv2d"):
        an.conv2d(x, an.tensor(_draw(48, 16, 3, 3)))
    with pytest.raises(an.Error, match="bias"):
        an.conv2d(x, w, an.tensor(_draw(47)))
