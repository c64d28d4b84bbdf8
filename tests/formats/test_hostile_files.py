"""What tests/fuzz/guided.py has found: ONNX and `.accel` files that mean harm are refused by an Error, soon and with little memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.core.errors import ShapeError
from accelnn.model.imported import ImportedModel

from ..conftest import need_module

need_module("onnx")
from onnx import TensorProto, helper as h  # noqa: E402

F32, I64 = TensorProto.FLOAT, TensorProto.INT64


def model(op: str, shapes: dict[str, Any], outputs: str = "y", opset: int = 22, **attrs: Any) -> ImportedModel:
    """Of one node. shapes: input -> sizes of float32, or (type, sizes)."""
    ports = [h.make_tensor_value_info(n, *(s if isinstance(s, tuple) else (F32, s))) for n, s in shapes.items()]
    graph = h.make_graph([h.make_node(op, list(shapes), outputs.split(","), **attrs)], "g", ports,
                         [h.make_empty_tensor_value_info(o) for o in outputs.split(",") if o])  # fmt: skip
    return ImportedModel(h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=9))


@pytest.mark.parametrize(("why", "made"), [
    ("kernel", lambda: model("AveragePool", {"x": [1, 3, 28, 0]}, kernel_shape=[3, -(1 << 63)])),
    ("windows", lambda: model("AveragePool", {"x": [1, 3, 32, 32]}, auto_pad="SAME_UPPER", kernel_shape=[1 << 40, 2])),
    ("pieces", lambda: model("SplitToSequence", {"x": [3, 1 << 31, 6]}, axis=1, keepdims=0, opset=24)),
    ("parts", lambda: model("Split", {"x": [0]}, "a,b", num_outputs=1 << 32)),
    ("dims", lambda: model("Unsqueeze", {"x": [1] * 8}, opset=11, axes=[0])),
    ("slice", lambda: model("GRU", {"x": [2, 3, 3], "w": [1, 15, 3], "r": [1, 15, 5], "b": [30]}, ",y", hidden_size=5)),
    ("size 0", lambda: model("LRN", {"x": [5, 5, 5, 5]}, size=0)),
    ("size", lambda: model("LRN", {"x": [5, 5, 5, 5]}, size=1 << 40)),
    ("kernel", lambda: model("MaxUnpool", {"x": [1, 1, 2, 2], "i": (I64, [1, 1, 2, 2])}, kernel_shape=[2, 2], pads=[9, 9, 9, 9]))])  # fmt: skip
def test_nodes_that_ask_for_too_much(why: str, made: Any) -> None:
    refused = made()
    assert refused.general is None and why in refused.why, refused.why


def test_zeros_of_any_size_are_not_made_while_reading() -> None:
    unpool = model("MaxUnpool", {"x": [1, 1, 1 << 31, 2], "i": (I64, [1, 1, 1 << 31, 2])}, kernel_shape=[2, 1 << 16], strides=[2, 2])
    assert unpool.general is None or unpool.general.weight_bytes < 1 << 20


def test_a_transform_to_nothing() -> None:
    """Its signal, turned, has no columns: the kernel that turns few columns took none for four, and wrote them."""
    dft = model("DFT", {"x": [255, 10, 7, 1], "n": (I64, [])}, opset=17)
    assert dft.run({"x": np.ones((255, 10, 7, 1), np.float32), "n": np.zeros((), np.int64)})["y"].shape == (255, 0, 7, 2)


def test_a_scan_of_too_many_steps_is_not_unrolled() -> None:
    """Its body changes the state's shape, so that only steps one beside the other could do it."""
    ports = [h.make_tensor_value_info(n, F32, s) for n, s in (("s", [2]), ("e", [2]))]
    body = h.make_graph([h.make_node("Concat", ["s", "e"], ["t"], axis=0)], "b", ports, [h.make_tensor_value_info("t", F32, None)])
    refused = model("Scan", {"s0": [2], "x": [1 << 40, 2]}, body=body, num_scan_inputs=1)
    assert refused.general is None and refused.why


def test_slices_lie_inside() -> None:
    x = an.tensor(np.zeros((2, 3), np.float32))
    from accelnn.core.tensor import apply

    for axis, start, length, step in ((2, 0, 1, 1), (-1, 0, 1, 1), (1, 2, 2, 1), (1, 0, 2, 3), (1, -1, 1, 1), (1, 0, -1, 1), (1, 0, 3, -1), (0, 1 << 62, 1, 1)):
        with pytest.raises(ShapeError, match="slice"):
            apply("slice", x, axis=axis, start=start, length=length, step=step)
    assert apply("slice", x, axis=1, start=0, length=2, step=2).shape == (2, 2)
    assert apply("slice", x, axis=1, start=3, length=0, step=1).shape == (2, 0)


def test_repeats_are_as_many_as_dims() -> None:
    """Of 6000 numbers, each a dimension: an answer after 14 s, before they were counted."""
    graph = h.make_graph([h.make_node("Tile", ["x", "n"], ["y"])], "g", [h.make_tensor_value_info("x", F32, [4])], [h.make_empty_tensor_value_info("y")],
                         [h.make_tensor("n", I64, [6000], [1] * 6000)])  # fmt: skip
    refused = ImportedModel(h.make_model(graph, opset_imports=[h.make_opsetid("", 22)], ir_version=9))
    assert refused.general is None and "6000 repeats for 1 dimensions" in refused.why


def test_a_step_to_nowhere_may_be_of_any_size() -> None:
    pool = model("AveragePool", {"x": [1, 1, 4, 4, 4]}, ceil_mode=1, kernel_shape=[2, 2, 2], dilations=[2, 2, 2], strides=[1, (1 << 63) - 1, 1])
    (y,) = pool.run({"x": np.ones((1, 1, 4, 4, 4), np.float32)}).values()
    assert y.shape == (1, 1, 2, 1, 2) and (y.numpy() == 1).all()


def test_a_grid_of_too_many_dims() -> None:
    grid = model("AffineGrid", {"theta": [8, 2, 3], "size": (I64, [48])})
    with pytest.raises(an.Error, match="AffineGrid"):
        grid.run({"theta": np.zeros((8, 2, 3), np.float32), "size": np.ones(48, np.int64)})
