"""Block-sparse convolutions: bytes bit for bit with the dense op, corrupt blocks refused by every row, packing, pruning, and how a model gets them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn import _C
from accelnn.core.dtypes import as_dtype
from accelnn.core.errors import DTypeError, Error, GraphError, ShapeError
from accelnn.core.registry import KERNELS, OPS
from accelnn.core.tensor import apply
from accelnn.ops.sparse_conv import block_density, matrix_of, packed_blocks, weights_of
from accelnn.passes import DEPLOY, fold, fuse_epilogues, run_passes

DETECTED = _C.machine()["detected"]
ROWS = [(op, r["name"]) for op in ("conv2d_sparse", "qconv2d_sparse") for r in KERNELS[op]["rows"] if r["isa"] & ~DETECTED == 0]
SHAPES = [((1, 20, 9, 14), (33, 20, 3, 3), {"padding": 1}), ((2, 7, 8, 7), (16, 7, 3, 3), {"padding": 1}), ((1, 12, 11, 30), (40, 12, 3, 3), {"stride": 2}),
          ((1, 16, 13, 9), (70, 16, 1, 1), {}), ((1, 9, 12, 12), (20, 9, 3, 2), {"dilation": (2, 3), "padding": (2, 1)})]  # fmt: skip


def pruned(rng: np.random.Generator, shape: Any, share: float = 0.8) -> np.ndarray:
    return an.sparsify_conv(rng.normal(size=shape), share)


@pytest.mark.parametrize(("xs", "ws", "g"), SHAPES)
def test_as_the_dense_op(xs: Any, ws: Any, g: Any) -> None:
    """float32 within the bound's size of conv2d with the same weights, bytes bit for bit as qconv2d."""
    rng = np.random.default_rng(1)
    w, bias, x = pruned(rng, ws), rng.normal(size=ws[0]).astype(np.float32), rng.normal(size=xs).astype(np.float32)
    packed = an.pack_sparse_conv(w)
    assert np.array_equal(packed.dense(), w)
    got, want = (an.conv2d_sparse(an.tensor(x), packed, an.tensor(bias), **g), an.conv2d(an.tensor(x), an.tensor(w), an.tensor(bias), **g, exact=True))
    assert got.shape == want.shape and np.abs(got.numpy() - want.numpy()).max() < 1e-4
    small = an.pack_sparse_conv(w, "int8")
    assert small.scale is not None and (np.abs(small.dense() - w) <= small.scale.numpy()[:, None, None, None] * 0.5001).all()
    q = np.rint(w / np.maximum(small.scale.numpy(), 1e-30)[:, None, None, None]).astype(np.int8)
    u = rng.integers(0, 256, xs).astype(np.uint8)
    byte = an.conv2d_sparse(an.tensor(u), small, **g, x_scale=0.25, x_zero=131)
    attrs = {k: v for k, v in an.ops.conv.geometry(**g).items() if k != "exact"}
    dense = apply("qconv2d", an.tensor(u), an.tensor(np.array(131, np.uint8)), an.tensor(q), an.tensor(small.scale.numpy() * np.float32(0.25)), **attrs)
    assert np.array_equal(byte.numpy(), dense.numpy())


def test_blocks_and_pruning() -> None:
    rng = np.random.default_rng(2)
    for shape in ((40, 10, 3, 3), (16, 4, 1, 1), (17, 3, 2, 5)):
        for block in ((4, 16), (1, 16)):
            w = rng.normal(size=shape).astype(np.float32)
            less = an.sparsify_conv(w, 0.75, block)
            assert np.array_equal(less[less != 0], w[less != 0])
            if block[0] == 1:
                assert block_density(less) == pytest.approx(0.25, abs=0.02)
            assert an.pack_sparse_conv(less).density == block_density(less)
        q = rng.integers(-127, 128, shape).astype(np.int8)
        for full in (w, q):
            assert np.array_equal(weights_of(*packed_blocks(full), shape), full)
    assert block_density(np.zeros((16, 4, 1, 1), np.int8)) == 0 and block_density(np.ones((5, 3, 2, 2), np.float32)) == 1
    assert matrix_of(np.ones((5, 3, 2, 2), np.int8)).shape == (16, 5)


def operands(op: str) -> tuple[list[Any], dict[str, Any], int, int]:
    """Inputs, attributes, the index that is too large, and where `first` stands."""
    rng = np.random.default_rng(3)
    w = pruned(rng, (60, 12, 3, 3), 0.4)
    attrs = {"kernel_h": 3, "kernel_w": 3, "pad_left": 1}
    if op == "conv2d_sparse":
        return [rng.normal(size=(1, 12, 6, 7)).astype(np.float32), *packed_blocks(w)], {**attrs, "channels": 60}, 108, 1
    q = np.rint(w * 30).astype(np.int8)
    rest = [np.ones(60, np.float32), q.sum((1, 2, 3), dtype=np.int32)]
    return [rng.integers(0, 256, (1, 12, 6, 7)).astype(np.uint8), np.array(3, np.uint8), *packed_blocks(q), *rest], {**attrs, "out": "float32"}, 27, 2


@pytest.mark.parametrize(("op", "row"), ROWS)
def test_corrupt_blocks_are_refused(op: str, row: str) -> None:
    """An index or a list that leads out of bounds, anywhere, is an error before it is followed; the last valid one is not."""
    good, attrs, end, at = operands(op)

    def run(**changed: np.ndarray) -> None:
        arrays = [changed.get({at: "first", at + 1: "index"}.get(i, ""), a) for i, a in enumerate(good)]
        views = tuple(_C.View.share(np.array(a), as_dtype(a.dtype)) for a in arrays)
        out = _C.View.empty((1, 60, 4, 6), 0)
        _C.run_row(OPS[op].number, row, views, OPS[op].packed({k: v for k, v in attrs.items() if k != "out"}, len(views)), (out,))

    first, index = good[at], good[at + 1]

    def broken(a: np.ndarray, i: int, value: int) -> np.ndarray:
        b: np.ndarray = a.copy()
        b[i] = value
        return b

    run(index=broken(index, len(index) - 1, end - 1))
    for i in (0, 1, 17, len(index) // 2, len(index) - 1):
        for bad in (end, -1, 2**31 - 1, -(2**31), end + 1000):
            with pytest.raises(Error, match="corrupt"):
                run(index=broken(index, i, bad))
    for i in range(len(first)):
        for bad in (len(index) + 1, -1, 2**31 - 1, -(2**31)):
            with pytest.raises(Error, match="corrupt"):
                run(first=broken(first, i, bad))
    assert first[1] < first[2]
    with pytest.raises(Error, match="corrupt"):
        run(first=broken(first, 1, int(first[2]) + 1))


def test_threads_never_change_a_bit() -> None:
    rng = np.random.default_rng(4)
    before = an.get_num_threads()
    w, x = pruned(rng, (130, 64, 3, 3)), rng.normal(size=(1, 64, 21, 30)).astype(np.float32)
    try:
        for dtype, image, more in (("float32", x, {}), ("int8", (x * 40 + 128).clip(0, 255).astype(np.uint8), {"x_scale": 0.1, "x_zero": 128})):
            packed, found = an.pack_sparse_conv(w, dtype), set()
            for threads in (1, 2, 3):
                an.set_num_threads(threads)
                found.add(an.conv2d_sparse(an.tensor(image), packed, padding=1, **more).numpy().tobytes())
            assert len(found) == 1
    finally:
        an.set_num_threads(before)


def _ops_of(graph: Any) -> list[str]:
    return [n.op for n in run_passes(graph, DEPLOY).nodes()]


class _Net(an.nn.Module):
    """Two pruned convolutions around a dense one, a residual, pooling."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()
        self.a, self.b, self.c = (an.nn.Conv2d(n, 32, 3, padding=1) for n in (16, 32, 32))
        for layer in (self.a, self.c):
            layer.weight.assign(an.tensor(pruned(rng, layer.weight.shape)))

    def forward(self, x: an.Tensor) -> an.Tensor:
        y = self.b(self.a(x).relu()).relu()
        return an.max_pool2d((self.c(y) + y).relu(), 2)


def test_a_model_takes_them_by_itself() -> None:
    """In a deployed model pruned convolutions become sparse ones, with bias, residual and activation inside, and stand channels last beside dense ones."""
    rng = np.random.default_rng(5)
    net, x = _Net(rng), an.tensor(rng.normal(size=(1, 16, 20, 20)))
    model = an.freeze(net, x)
    nodes = list(model.lowered.nodes())
    assert [n.op for n in nodes].count("conv2d_sparse") == 2 and [n.op for n in nodes].count("conv2d_nhwc") == 1
    assert any(n.op == "conv2d_sparse" and n.attrs.get("x_last") for n in nodes) and not any(n.op in ("add", "relu", "pointwise") for n in nodes)
    assert np.abs(model(x).numpy() - net(x).numpy()).max() < 1e-3
    assert "conv2d_sparse" not in _ops_of(an.freeze(an.nn.Conv2d(16, 32, 3), x).graph)


def test_a_quantized_model_takes_them_too() -> None:
    rng = np.random.default_rng(6)
    net = _Net(rng)
    data = rng.normal(size=(16, 16, 20, 20)).astype(np.float32)
    small = an.compress(an.freeze(net, an.tensor(data[:1])), data, quiet=True)
    ops = [n.op for n in small.lowered.nodes()]
    assert ops.count("qconv2d_sparse") == 2
    want, got = net(an.tensor(data[:1])).numpy(), small(an.tensor(data[:1])).numpy()
    assert np.abs(got - want).max() < 0.1 * np.abs(want).max()


def test_a_quantized_pool_stays_channels_last() -> None:
    """Between byte convolutions the maximum is taken channels last; before anything else the image is turned back first. The same bytes."""
    rng = np.random.default_rng(7)

    class Pooled(an.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = an.nn.Conv2d(16, 32, 3, padding=1), an.nn.Conv2d(32, 40, 3)

        def forward(self, x: an.Tensor) -> an.Tensor:
            return an.max_pool2d(self.b(an.max_pool2d(self.a(x).relu(), 3, 2, 1)).relu(), 2).flatten(1)

    data = rng.normal(size=(8, 16, 17, 19)).astype(np.float32)
    small = an.compress(an.freeze(Pooled(), an.tensor(data[:1])), data, quiet=True)
    ops = [n.op for n in small.lowered.nodes()]
    assert ops.count("pool2d_nhwc") == 1 and ops.count("max_pool2d") == 1
    plain = run_passes(small.graph, (fold, fuse_epilogues))
    assert not any(n.op.endswith(("_packed", "_nhwc")) for n in plain.nodes())
    assert np.array_equal(small(an.tensor(data)).numpy(), an.model.Model(small.graph, plain)(an.tensor(data)).numpy())


def test_mistakes_are_named() -> None:
    w = an.pack_sparse_conv(np.ones((16, 8, 3, 3)))
    with pytest.raises(ShapeError, match="against weights"):
        an.conv2d_sparse(an.tensor(np.ones((1, 7, 5, 5))), w)
    with pytest.raises(ShapeError, match="does not fit"):
        an.conv2d_sparse(an.tensor(np.ones((1, 8, 2, 5))), w)
    with pytest.raises(ShapeError, match="bias"):
        an.conv2d_sparse(an.tensor(np.ones((1, 8, 5, 5))), w, an.tensor(np.ones(15)))
    with pytest.raises(ShapeError, match="x_scale"):
        an.conv2d_sparse(an.tensor(np.ones((1, 8, 5, 5))), an.pack_sparse_conv(np.ones((16, 8, 3, 3)), "int8"))
    with pytest.raises(ShapeError, match="one group"):
        apply("conv2d_sparse", an.tensor(np.ones((1, 8, 5, 5))), w.first, w.index, w.values, channels=16, kernel_h=3, kernel_w=3, groups=2)
    with pytest.raises(ShapeError, match="finite"):
        an.pack_sparse_conv(np.full((4, 4, 1, 1), np.inf))
    with pytest.raises(ShapeError, match="32768"):
        an.pack_sparse_conv(np.ones((1, 4000, 3, 3)), "int8")
    with pytest.raises(DTypeError, match="int8"):
        an.pack_sparse_conv(np.ones((4, 4, 1, 1)), "uint8")
    with pytest.raises(GraphError, match="no gradient"):
        an.conv2d_sparse(an.tensor(np.ones((1, 8, 5, 5)), requires_grad=True), w).sum().backward()
