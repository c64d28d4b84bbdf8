"""Convolution and pooling on a device beyond the ops' samples."""

from __future__ import annotations

from typing import Any

import numpy as np

import accelnn as an
from accelnn.core.registry import OPS
from accelnn.core.tensor import apply
from accelnn.ops.matmul import gamma
from accelnn.ops.pool import window

from .where import DEVICE

RNG = np.random.default_rng(5)


def draw(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def on(x: np.ndarray) -> an.Tensor:
    return an.tensor(x, device=DEVICE)


def test_weights_that_the_host_would_pack_are_read_in_place() -> None:
    """2.6 million products: on the host, eager conv2d turns the image and packs the weights for Winograd, of which devices know nothing."""
    x, w = draw(1, 16, 17, 17), draw(64, 16, 3, 3)
    pads = {"pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}
    wide = x.astype(np.float64), w.astype(np.float64)
    op: Any = OPS["conv2d"]
    error = np.abs(an.nn.functional.conv2d(on(x), on(w), padding=1).cpu().numpy() - op.reference(*wide, **pads))
    assert (error <= op.bound(*wide, **pads, exact=1)).all()


def test_places_of_maxima_outside_of_their_windows_are_followed() -> None:
    dy, places = draw(2, 3, 4, 5), RNG.integers(0, 70, (2, 3, 4, 5)).astype(np.int32)
    attrs = {**window(2), "in_h": 7, "in_w": 10}
    dx = apply("max_pool2d_grad", on(dy), on(places), **attrs).cpu().numpy()
    op: Any = OPS["max_pool2d_grad"]
    error = np.abs(dx - op.reference(dy.astype(np.float64), places, **attrs))
    assert (error <= gamma(20) * op.reference(np.abs(dy).astype(np.float64), places, **attrs)).all()


def test_maxima_of_nan_and_infinities_are_the_hosts() -> None:
    x = draw(1, 2, 5, 6)
    x[0, 0, 1, 1:3], x[0, 0, 4], x[0, 0, 4, 1], x[0, 1] = np.nan, 0, -0.0, -np.inf
    x[0, 1, 2, 2] = np.inf
    for op, attrs in (("max_pool2d", window(3, 2, 1)), ("adaptive_max_pool2d", {"out_h": 2, "out_w": 4})):
        for here, there in zip(apply(op, an.tensor(x), **attrs), apply(op, on(x), **attrs)):
            assert np.array_equal(here.numpy(), there.cpu().numpy(), equal_nan=True)


def test_an_infinite_weight_on_padding_is_nan() -> None:
    x, w = draw(1, 3, 5, 5), draw(4, 3, 3, 3)
    w[1, 0, 0, 0] = np.inf
    y = an.nn.functional.conv2d(on(x), on(w), padding=1).cpu().numpy()
    assert np.isnan(y[0, 1, 0]).all() and np.isnan(y[0, 1, :, 0]).all() and np.isinf(y[0, 1, 1:, 1:]).all()
    assert np.isfinite(y[0, [0, 2, 3]]).all()


def test_constants_of_pooling_go_to_the_device() -> None:
    """Means of windows of several sizes are a product with a matrix; fractional windows begin at places that are computed."""
    x, u = draw(1, 2, 9, 7), RNG.uniform(size=(1, 2, 2)).astype(np.float32)
    f = an.nn.functional
    here, there, size = f.adaptive_avg_pool2d(an.tensor(x), (4, 3)), f.adaptive_avg_pool2d(on(x), (4, 3)), f.adaptive_avg_pool2d(an.tensor(np.abs(x)), (4, 3))
    assert (np.abs(here.numpy() - there.cpu().numpy()) <= 2 * gamma(9 + 7) * size.numpy()).all()
    maxima = [f.fractional_max_pool2d(t, 2, output_size=(3, 4), _random_samples=s) for t, s in ((an.tensor(x), an.tensor(u)), (on(x), on(u)))]
    assert np.array_equal(maxima[0].numpy(), maxima[1].cpu().numpy())
