"""Byte convolutions in a compiled network: packed, channels last in between, and the same numbers as on plain weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.core.errors import ShapeError
from accelnn.core.tensor import apply
from accelnn.model.model import Model
from accelnn.ops.qconv import pack_conv, unpack_conv
from accelnn.passes.quantize import quantize


def net() -> Any:
    nn = an.nn
    an.seed(0)
    return nn.Sequential(nn.Conv2d(3, 32, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1, groups=32), nn.ReLU(), nn.Conv2d(32, 48, 1),
                         nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(48, 40, 3), nn.ReLU(), nn.Flatten(), nn.Linear(40 * 6 * 6, 10))  # fmt: skip


def test_the_same_bits_as_on_plain_weights() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 3, 32, 32)).astype(np.float32)
    graph = quantize(an.freeze(net(), an.tensor(x)).graph, [(x,)])
    packed, plain = Model(graph), Model(graph, lowered=graph)
    assert "qconv2d_packed" in packed.plan.ops and "qconv2d" not in packed.plan.ops and "qconv2d_packed" not in plain.plan.ops
    for n in (1, 3):
        assert packed(x[:n]).numpy().tobytes() == plain(x[:n]).numpy().tobytes()
    lasts = [(v.attrs["x_last"], v.attrs["y_last"]) for v in packed.lowered.nodes() if v.op == "qconv2d_packed"]
    assert lasts == [(0, 1), (1, 1), (1, 1), (1, 0)]


@pytest.mark.parametrize(("shape", "groups", "dilation"),
                         [((20, 3, 7, 7), 1, 1), ((33, 5, 3, 3), 1, 2), ((24, 4, 3, 3), 3, 1), ((19, 1, 3, 5), 19, 1), ((1, 1, 1, 1), 1, 1)])  # fmt: skip
def test_packing_and_back(shape: tuple[int, ...], groups: int, dilation: int) -> None:
    w = np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)
    packed = pack_conv(w, groups, dilation).numpy()
    assert np.array_equal(unpack_conv(packed, shape, groups, dilation), w)
    with pytest.raises(ShapeError):
        pack_conv(w[0])


def test_threads_never_change_a_bit() -> None:
    rng = np.random.default_rng(2)
    before = an.get_num_threads()
    x, w = an.tensor(rng.integers(0, 256, (3, 64, 30, 30)).astype(np.uint8)), rng.integers(-127, 128, (100, 64, 3, 3)).astype(np.int8)
    packed, scale, zero = pack_conv(w), an.tensor(np.full(100, 1e-3, np.float32)), an.tensor(np.array(100, np.uint8))
    try:
        found = set()
        for threads in (1, 2, 3):
            an.set_num_threads(threads)
            found.add(apply("qconv2d_packed", x, zero, packed, scale, None, zero, kernel_h=3, kernel_w=3, out="uint8").numpy().tobytes())
        assert len(found) == 1
    finally:
        an.set_num_threads(before)
