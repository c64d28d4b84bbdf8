"""What can be measured: the tables, the shapes, and that everybody does the same work."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accelnn.bench import cases, peers
from accelnn.bench.arrays import HUGE, empty, placed
from accelnn.bench.cases import SHAPES, table
from accelnn.bench.check import Truth, truth_of
from accelnn.bench.measure import SAME_WORK, input_sets
from accelnn.bench.works import WORKS, Inputs, drawn, results, work_named
from accelnn.bench.works_lowp import _int4
from accelnn.core.dtypes import DType, from_bfloat16, to_bfloat16
from accelnn.core.errors import AttributeValueError, ShapeError
from accelnn.core.registry import OPS

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"conv2d": "2x4x9x9:6x4x3x3:padding=1:stride=2", **dict.fromkeys(("conv2d_packed", "conv2d_f43", "conv2d_f23", "conv2d_exact"),
         "2x16x9x9:20x16x3x3:padding=1"), "cross_entropy": "5x7", "matmul_plan": "6x8x8", "matmul_int4": "3x64x40:group=32",
         "matmul_int4_f32": "3x64x40:group=32", "softmax": "5x9", "log_softmax": "5x9", "sum": "6x7:axes=1", "mean": "6x7:axes=0", "max": "6x7:axes=1",
         "min": "6x7:axes=0+1", "max_pool2d": "2x3x9x9:kernel=3:stride=2", "avg_pool2d": "2x3x8x8:kernel=2:stride=2", "copy": "5x9"}  # fmt: skip
SMALL |= {"conv2d_backward": "2x16x9x14:20x16x3x3:padding=1"}
SMALL |= {"conv_transpose2d_backward": "2x6x5x4:6x8x4x4:stride=2:padding=1"}
SMALL |= {"conv3d": "1x8x5x6x7:9x8x3x3x3:stride=2:padding=1"}
SMALL |= {"conv3d_backward": "2x3x5x6x7:4x3x3x3x3:stride=2:padding=1", "conv_transpose3d_backward": "1x3x3x4x5:3x2x2x2x2:stride=2"}
SMALL |= {"attention": "2x3x20x8:causal", "attention_backward": "2x3x20x8:causal"}
SMALL |= {f"attention_decode{kind}": "2x4x30x8:groups=2" for kind in ("", "_bf16", "_int8")}
SMALL |= {"softmax_grad": "5x9", "log_softmax_grad": "5x9", "ctc_loss": "#1", "ctc_loss_grad": "#1"}
SMALL |= {"chain_cheap": "300", "chain_exp": "300", "take": "9x8:5", "take_grad": "9x8:5", "pad_picture": "2x3x4x5:1", "topk": "5x60", "argmax": "5x60",
         "concat": "5x9:5x3:axis=1", "cumsum": "5x9:axis=1", "gelu": "300", "silu": "300", "elu": "300", "hardswish": "300", "mish": "300",
         "leaky_relu": "300", "up_nearest": "1x2x5x6", "up_bilinear": "1x2x5x6", "up_bicubic": "1x2x5x6"}  # fmt: skip
SMALL |= {f"{kind}{what}": "3x5x6x8" for kind in ("lstm", "gru") for what in ("", "_bf16", "_int8", "_training")}
SMALL |= dict.fromkeys(("qconv2d_packed", "qconv2d_last", "conv2d_sparse", "qconv2d_sparse"), "2x16x9x9:20x16x3x3:padding=1")


def small(name: str) -> str:
    """A shape of a work, small enough for a test."""
    if name in SMALL:
        return SMALL[name]
    if name in WORKS:
        return "5x24x40"
    return ":".join(["6x8"] * len(list(OPS[name].samples())[0][0]))


def test_every_op_is_measured() -> None:
    measured = {case.find().op for case in cases()}
    assert measured >= {name for name, op in OPS.items() if op.view is None and list(op.samples())}
    for op in ("matmul", "conv2d", "softmax", "adamw_step", "qconv2d"):
        assert {case.find().op for case in cases([op])} == {op}
    assert {case.find().op for case in cases(["reduce"])} == {"sum", "mean", "max", "min", "prod"}, "a kernel stands for all its ops"
    assert len(cases(quick=True)) < len(cases()) / 3


def test_shapes_are_one_file() -> None:
    linked = ROOT / "benchmarks/shapes.toml"
    if linked.exists():
        assert linked.read_bytes() == SHAPES.read_bytes()
    groups = tomllib.loads(SHAPES.read_text())["group"]
    names = [g["name"] for g in groups]
    assert len(set(names)) == len(names)
    for g in groups:
        assert set(g["quick"]) <= set(g["shapes"]) and ("work" in g) != ("works" in g), g["name"]
        assert len(g["name"]) <= 44, "the closing table has 44 columns for it"
    assert {w for g in table() for w in g["works"]} >= {"matmul", "matmul_nk", "matmul_plan", "conv2d", "softmax", "add"}


def test_wrong_names_and_shapes_are_told() -> None:
    with pytest.raises(AttributeValueError, match="matmull"):
        cases(["matmull"])
    with pytest.raises(AttributeValueError, match="--shapes needs the op"):
        cases(shapes=["512x512x512"])
    for wrong in ("512x512", "ax2x3", "1x2x-3"):
        with pytest.raises(ShapeError, match="M x K x N"):
            cases(["matmul"], [wrong])
    with pytest.raises(ShapeError, match="no option"):
        cases(["conv2d"], ["1x3x8x8:4x3x3x3:pading=1"])
    with pytest.raises(ShapeError, match="operands"):
        cases(["softmax"], ["4x4:4x4:4x4"])
    assert [c.shape for c in cases(["softmax"], ["3x4", "5x6"])] == ["3x4", "5x6"]


@pytest.mark.parametrize("name", list(dict.fromkeys([*WORKS, *(w for g in table() for w in g["works"])])))
def test_ours_is_right_at_any_shape(name: str) -> None:
    work = work_named(name)
    for x in input_sets(work, small(name), 2):
        truth = work.right(x)
        found = results(work.ours(x)())
        assert truth.problem(found[: len(truth.values)]) is None
        flops, moved = work.costs(x)
        assert flops >= 0 and moved > 0


EVERYBODY = [pytest.param(library, work, id=f"{library}-{work}") for library in peers.LIBRARIES if not peers.missing(library)
             for work in peers._module(library).WORKS]  # fmt: skip


@pytest.mark.parametrize(("library", "name"), EVERYBODY)
def test_peers_do_the_same_work(library: str, name: str) -> None:
    """Every line of the peers' tables, also for ops that this version lacks where their inputs can be drawn."""
    if name not in WORKS and name not in OPS:
        pytest.skip("made by a pass; this version has no such op")
    work = work_named(name)
    sets = input_sets(work, small(name), 2)
    found = [p for p in peers.peers(work, [library])]
    assert found
    for peer in found:
        assert len(peer.label) <= 10, "a line has 80 columns"
        for x in sets:
            prepared = peer.make(x, 1)
            prepared.run()
            away = work.right_for_peers(x).distance(prepared.results()[:1] if name != "matmul_backward" else prepared.results())
            assert away <= SAME_WORK[work.dtype], peer.label


def test_peers_are_named() -> None:
    assert peers.names("torch,numpy") == ["torch", "numpy"] and peers.names("none") == []
    with pytest.raises(AttributeValueError, match="jax"):
        peers.names("numpy,jax")
    assert "thread" in peers.about("numpy", 1) and np.__version__ in peers.about("numpy", 1)


def test_a_missing_peer_is_absent_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(peers.NEEDS, "onnxruntime", ("a_package_that_nobody_has",))
    assert peers.present(["numpy", "onnxruntime"]) == ["numpy"]
    assert {p.library for p in peers.peers(work_named("matmul"), ["numpy", "onnxruntime"])} == {"numpy"}


def test_input_sets_differ() -> None:
    work = work_named("matmul")
    sets = input_sets(work, "4x5x6")
    assert len(sets) == 3 and not np.array_equal(sets[0].arrays[0], sets[1].arrays[0])
    assert len(input_sets(work, "1x1024x2048")) == 2


def test_memory_is_aligned_and_transposes_stay() -> None:
    for n in (1, 100, HUGE // 4 + 1):
        assert empty((n,)).ctypes.data % (64 if 4 * n < HUGE else HUGE) == 0
    turned = placed(np.arange(6.0).reshape(2, 3).T)
    assert turned.flags.f_contiguous and turned.tolist() == [[0, 3], [1, 4], [2, 5]]


def test_bfloat16_is_rounded_to_once_more() -> None:
    op, rng = OPS["matmul"], np.random.default_rng(0)
    a, b = (to_bfloat16(rng.normal(size=s).astype(np.float32)) for s in ((3, 40), (40, 5)))
    exact = from_bfloat16(a).astype(np.float64) @ from_bfloat16(b)
    truth = truth_of(op, [a, b], {}, [DType.bfloat16])
    assert truth.problem([from_bfloat16(to_bfloat16(exact.astype(np.float32)))]) is None
    assert truth_of(op, [a, b], {"out": "float32"}, [DType.float32]).problem([from_bfloat16(to_bfloat16(exact.astype(np.float32)))]) is not None


def test_wrong_results_are_seen() -> None:
    x = Inputs([np.float32([[1, 2], [3, 4]]), np.float32([[1, 0], [0, 1]])])
    truth = truth_of(OPS["matmul"], x.arrays, {}, [DType.float32])
    good = np.float32([[1, 2], [3, 4]])
    assert truth.problem([good]) is None
    for spoiled, word in ((good + [[0, 1e-3], [0, 0]], "[0, 1] is 2.001 instead of 2"), (np.where(good == 3, np.nan, good), "[1, 0] is nan"),
                          (good[:1], "shape")):  # fmt: skip
        problem = truth.problem([spoiled.astype(np.float32)])
        assert problem and word in problem
    assert truth.problem([]) is not None and truth.distance([good * 1.1]) == pytest.approx(0.1)
    exact = Truth([np.array([1, 2])], [0.0])
    assert exact.problem([np.array([1, 2])]) is None and exact.problem([np.array([1, 3])]) is not None


def test_samples_can_be_drawn_by_number() -> None:
    x = drawn("qconv2d", "#3", np.random.default_rng(0))
    assert x.arrays[0].dtype == np.uint8 and x.attrs
    assert drawn("sum", "4x5x6:axes=0+2", np.random.default_rng(0)).attrs["axes"] == (0, 2)


def test_int4_shapes_are_checked() -> None:
    draw: Any = _int4("int8")
    with pytest.raises(ShapeError, match="no multiple of the group"):
        draw(np.random.default_rng(0), "1x40x16:group=32")


def test_chains_are_asked_for_by_their_own_name_or_the_kernels() -> None:
    import accelnn.passes  # noqa: F401 (has an op `pointwise`)

    assert {c.work for c in cases(["add"])} == {"add"}
    assert {"add", "chain_cheap"} <= {c.work for c in cases(["pointwise"])}
    assert {c.work for c in cases(["chain_exp"])} == {"chain_exp"}
