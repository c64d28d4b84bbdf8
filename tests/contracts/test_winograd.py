"""Fast convolution against its bound: an image and weights made to go wrong, every row, against the true convolution in float64. `exact` has no such errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn import _C
from accelnn.core.registry import KERNELS, OPS
from accelnn.core.tensor import apply
from accelnn.ops.conv import GEOMETRY, correlate
from accelnn.ops.conv_nhwc import ALGORITHMS, FOLDED, STRIDED, TAPS, WINOGRAD2, WINOGRAD4, WINOGRAD5, transforms, winograd_sizes
from accelnn.ops.matmul import gamma

ROWS = [r for r in KERNELS["conv2d_nhwc"]["rows"] if "_arm_" not in r["name"] and not r["name"].endswith("_ref")]
PADDING = {"pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}
CASES = {WINOGRAD2: ((1, 40, 11, 14), (33, 40, 3, 3), PADDING), WINOGRAD4: ((2, 40, 15, 14), (33, 40, 3, 3), PADDING),
         WINOGRAD5: ((1, 20, 12, 15), (20, 20, 5, 5), PADDING),
         FOLDED: ((1, 3, 40, 37), (18, 3, 7, 7), {"stride_h": 2, "stride_w": 2, "pad_left": 3}),
         STRIDED: ((2, 48, 23, 30), (33, 48, 3, 3), {"stride_h": 2, "stride_w": 2, "pad_top": 1, "pad_left": 1, "pad_right": 1})}  # fmt: skip


def _heavy(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.standard_t(1.5, size=shape)


def _spike(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    x = rng.normal(size=shape) * 1e-3
    x.reshape(-1)[:: max(x.size // 7, 1)] = 1e6
    return x


KINDS: dict[str, Any] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "after a relu": lambda rng, shape: np.maximum(rng.normal(size=shape), 0),
    "far from zero": lambda rng, shape: 100 + rng.normal(size=shape),
    "heavy tails": _heavy,
    "a spike": _spike,
    "alternating": lambda rng, shape: np.where(np.indices(shape).sum(0) % 2, 1.0, -1.0) * (1 + rng.random(shape) * 1e-3),
    "magnitudes": lambda rng, shape: rng.normal(size=shape) * 10.0 ** rng.integers(-8, 8, shape),
}


def _run(row: str, x: np.ndarray, w: np.ndarray, algorithm: int, g: dict[str, int]) -> np.ndarray:
    packed = apply("conv2d_pack", an.tensor(w), groups=1, algorithm=algorithm)
    op, attrs = OPS["conv2d_nhwc"], {**g, "channels": w.shape[0], "kernel_h": w.shape[2], "kernel_w": w.shape[3], "algorithm": algorithm}
    image = an.tensor(np.ascontiguousarray(x.transpose(0, 2, 3, 1)))
    (spec,) = op.specs([image.spec, packed.spec], attrs)
    out = _C.View.empty(spec.shape, spec.dtype)
    assert _C.run_row(op.number, row, (image.view, packed.view), op.packed(attrs, 2), (out,)) is None
    return out.numpy().transpose(0, 3, 1, 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algorithm", CASES, ids=lambda a: ALGORITHMS[a])
@pytest.mark.parametrize("row", ROWS, ids=lambda r: r["name"])
def test_the_bound_of_a_tile_holds(row: dict[str, Any], algorithm: int, kind: str) -> None:
    if row["isa"] & ~_C.machine()["detected"]:
        pytest.skip(f"this CPU lacks the instructions of {row['name']}")
    rng = np.random.default_rng(3)
    x_shape, w_shape, geometry = CASES[algorithm]
    g = {**GEOMETRY, **geometry}
    x, w = KINDS[kind](rng, x_shape).astype(np.float32), KINDS[kind](rng, w_shape).astype(np.float32)
    x64, w64 = x.astype(np.float64), w.astype(np.float64)
    roundings, size = winograd_sizes(x64, w64, g)[0 if algorithm != WINOGRAD4 else 1]
    error = np.abs(_run(row["name"], x, w, algorithm, g) - correlate(x64, w64, g))
    assert (error <= gamma(roundings) * size).all(), f"{(error / (gamma(roundings) * size)).max():.3g} times the bound"
    assert error.max() > 0


@pytest.mark.parametrize("algorithm", TAPS, ids=lambda a: ALGORITHMS[a])
def test_the_constants_of_the_header(algorithm: int) -> None:
    """c of `c gamma_(C'+24) sum_c max|d| max|w|` in conv2d_nhwc.h."""
    at, g, bt = (np.abs(m) for m in transforms(algorithm))
    stated = {WINOGRAD2: 64, WINOGRAD4: 540, FOLDED: 800, WINOGRAD5: 1160, STRIDED: 160}[algorithm]
    assert stated * 0.98 <= (at @ (g.sum(1) * bt.sum(1))).max() ** 2 <= stated


def test_ordinary_images_lose_little() -> None:
    """F(2,3) stays and the F(4,2) of strides stay within twice the error of a plain float32 sum in order, F(4,3) and F(2,5) within six times."""
    rng = np.random.default_rng(0)
    for algorithm, factor in ((WINOGRAD2, 2), (STRIDED, 2), (WINOGRAD4, 6), (WINOGRAD5, 6)):
        x_shape, w_shape, geometry = CASES[algorithm]
        g = {**GEOMETRY, **geometry}
        x, w = rng.normal(size=x_shape).astype(np.float32), rng.normal(size=w_shape).astype(np.float32)
        true = correlate(x.astype(np.float64), w.astype(np.float64), g)
        naive = np.zeros(true.shape, np.float32)
        for c in range(w.shape[1]):
            for r in range(w.shape[2]):
                for s in range(w.shape[3]):
                    naive += correlate(x[:, c : c + 1], np.ascontiguousarray(_only(w, c, r, s)), g).astype(np.float32)
        row = next(r["name"] for r in ROWS if not r["isa"] & ~_C.machine()["detected"])
        assert np.abs(_run(row, x, w, algorithm, g) - true).max() <= factor * np.abs(naive - true).max(), ALGORITHMS[algorithm]


def _only(w: np.ndarray, c: int, r: int, s: int) -> np.ndarray:
    one = np.zeros((w.shape[0], 1, *w.shape[2:]), np.float32)
    one[:, 0, r, s] = w[:, c, r, s]
    return one


def test_exact_leaves_winograd_out() -> None:
    """A spike reaches outputs that do not see it only by the rounding of F(4,3): of F(2,3) each row enters just the outputs that see it."""
    x, w = np.zeros((1, 32, 40, 40), np.float32), np.random.default_rng(0).normal(size=(32, 32, 3, 3)).astype(np.float32)
    x[:] = np.random.default_rng(1).normal(size=x.shape)
    x[0, 0, 12, 12] = 1e7
    true = correlate(x.astype(np.float64), w.astype(np.float64), {**GEOMETRY, **PADDING})
    far = np.ones(true.shape, bool)
    far[:, :, 11:14, 11:14] = False
    net = {e: an.nn.Conv2d(32, 32, 3, padding=1, bias=False, exact=e) for e in (True, False)}
    for exact, conv in net.items():
        conv.weight.assign(an.tensor(w))
        with an.no_grad():
            for y in (conv(an.tensor(x)), an.compile(conv)(an.tensor(x)), an.ops.conv2d(an.tensor(x), an.tensor(w), None, padding=1, exact=exact)):
                error = np.abs(y.numpy() - true)[far].max()
                assert error < 1e-3 if exact else error > 1e-2
