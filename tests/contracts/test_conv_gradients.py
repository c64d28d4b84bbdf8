"""What the samples of the gradients cannot say: that Winograd runs where the headers say so, that `exact` turns it off, and the same bits on any threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn import _C
from accelnn.core.tensor import apply
from accelnn.ops import conv_bounds
from accelnn.ops.conv import geometry

SHAPES = [  # x, w, stride, padding, groups, dilation
    ((1, 64, 20, 20), (48, 64, 3, 3), 1, 1, 1),
    ((2, 16, 9, 30), (18, 16, 3, 3), 1, 1, 1),
    ((1, 128, 7, 7), (16, 128, 3, 3), 1, 1, 1),
    ((3, 20, 12, 12), (24, 20, 3, 3), 2, 1, 1),
    ((9, 3, 17, 40), (20, 3, 5, 5), 2, 2, 1),
    ((5, 32, 15, 15), (32, 1, 3, 3), 1, 1, 32),
    ((2, 24, 13, 21), (24, 1, 5, 5), 2, 2, 24),
    ((3, 9, 12, 37), (9, 1, 3, 3), 2, 1, 9),
    ((2, 12, 13, 21), (24, 1, 3, 3), 1, 1, 12),
    ((2, 64, 11, 9), (96, 64, 1, 1), 1, 0, 1),
    ((2, 64, 11, 9), (96, 64, 1, 1), 2, 0, 1),
    ((2, 48, 9, 9), (40, 24, 3, 3), 1, 0, 2),
    ((4, 60, 31, 29), (72, 60, 3, 3), 2, 1, 1),
    ((12, 48, 16, 32), (70, 48, 3, 3), 2, 1, 1),
    ((2, 32, 20, 20), (64, 16, 3, 3), 1, 1, 2),
    ((1, 32, 20, 21), (33, 32, 5, 5), 1, 2, 1),
    ((1, 40, 14, 15), (32, 40, 3, 3), 1, 2, 1, 2),
    ((2, 80, 15, 14), (60, 20, 3, 3), 1, 2, 4, 2),
]


def both(x: Any, w: Any, dy: Any, exact: int, **g: int) -> list[np.ndarray]:
    dx = apply("conv2d_dgrad", an.asarray(dy), an.asarray(w), in_h=x.shape[2], in_w=x.shape[3], exact=exact, **g)
    dw = apply("conv2d_wgrad", an.asarray(dy), an.asarray(x), kernel_h=w.shape[2], kernel_w=w.shape[3], exact=exact, **g)
    return [dx.numpy(), dw.numpy()]


@pytest.mark.parametrize("case", SHAPES, ids=str)
def test_exact_threads_and_torch(case: Any) -> None:
    (xs, ws, stride, padding, groups, *more), rng = case, np.random.default_rng(0)
    dilation = more[0] if more else 1
    g = geometry(stride, padding, dilation, groups)
    x, w = rng.normal(size=xs).astype(np.float32), rng.normal(size=ws).astype(np.float32)
    y = an.conv2d(an.asarray(x), an.asarray(w), None, stride, padding, dilation, groups)
    dy = rng.normal(size=y.shape).astype(np.float32)
    before, found = _C.machine()["threads"], []
    try:
        for threads in (1, 2, 3):
            _C.set_threads(threads)
            found.append((both(x, w, dy, 0, **g), both(x, w, dy, 1, **g)))
    finally:
        _C.set_threads(before)
    for a in found[1:]:
        for one, other in zip(found[0], a):
            for p, q in zip(one, other):
                np.testing.assert_array_equal(p, q)
    fast, exact = found[0]
    n, _, h, width = xs
    sizes = ((h, width), y.shape[2:])
    pixels = y.shape[2] * y.shape[3]
    for i in range(2):
        winograd = conv_bounds.by_winograd(n, ws[1], ws[0] // groups, ws[2:], sizes[i], pixels, 0, **g)
        winograd |= conv_bounds.by_strided(n, ws[1], ws[0], ws[2:], y.shape[2:], 0, **g)
        assert np.array_equal(fast[i], exact[i]) != winograd, "the header says which calls go by Winograd"
        scale = np.abs(exact[i]).max()
        np.testing.assert_allclose(fast[i] / scale, exact[i] / scale, atol=2e-5)


def test_exact_reaches_the_gradients() -> None:
    rng = np.random.default_rng(0)
    x, w = (an.tensor(rng.normal(size=s).astype(np.float32), requires_grad=True) for s in ((1, 32, 24, 24), (32, 32, 3, 3)))
    found = {}
    for exact in (False, True):
        x.grad = w.grad = None
        y = an.conv2d(x, w, padding=1, exact=exact)
        (y * y).sum().backward()
        found[exact] = x.grad.numpy(), w.grad.numpy()
    for a, b in zip(*found.values()):
        assert not np.array_equal(a, b)
        np.testing.assert_allclose(a / np.abs(b).max(), b / np.abs(b).max(), atol=2e-5)
