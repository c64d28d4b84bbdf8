"""Integers and float64 in ONNX files, against onnxruntime bit for bit: products whose sums no float32 holds, zero points of every kind, dtypes that only
move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.model.imported import ImportedModel

from ..conftest import need_module


def model(nodes: Sequence[tuple[Any, ...]], inputs: dict[str, np.ndarray], outputs: Sequence[str], constants: dict[str, np.ndarray], shapes: Any = None) -> Any:
    need_module("onnx")
    from onnx import TensorProto, helper, numpy_helper

    def port(name: str, x: np.ndarray) -> Any:
        shape = (shapes or {}).get(name, x.shape)
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), shape)

    graph = helper.make_graph([helper.make_node(op, i, o, **attrs) for op, i, o, attrs in nodes], "g", [port(n, x) for n, x in inputs.items()],
                              [helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in outputs],
                              [numpy_helper.from_array(x, n) for n, x in constants.items()])  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    import onnx

    return onnx.shape_inference.infer_shapes(made)


def both(made: Any, inputs: dict[str, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """(ours, onnxruntime's) of each output."""
    need_module("onnxruntime")
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.log_severity_level = 4
    wanted = runtime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, inputs)
    ours = ImportedModel(made).run(inputs)
    return [(ours[o.name].numpy(), want) for o, want in zip(made.graph.output, wanted, strict=True)]


def bytes_of(rng: np.random.Generator, dtype: Any, *shape: int) -> np.ndarray:
    """Most of them at the end of the range, so that sums are as large as they can be."""
    info = np.iinfo(dtype)
    return np.where(rng.random(shape) < 0.9, info.max, rng.integers(info.min, info.max + 1, shape)).astype(dtype)


@pytest.mark.parametrize("columns", ["none", "one", "each"])
@pytest.mark.parametrize("right", [np.uint8, np.int8], ids=lambda d: d.__name__)
@pytest.mark.parametrize("left", [np.uint8, np.int8], ids=lambda d: d.__name__)
def test_matmul_integer(left: Any, right: Any, columns: str) -> None:
    """6,000 terms of up to 255 * 255: sums that float32 does not hold."""
    rng = np.random.default_rng(0)
    a, b = bytes_of(rng, left, 5, 6000), bytes_of(rng, right, 6000, 9)
    zero = np.array(3, left)
    offsets = {"none": None, "one": np.array(np.iinfo(right).max // 2 - 9, right), "each": bytes_of(rng, right, 9)}[columns]
    want = (a.astype(np.int64) - int(zero)) @ (b.astype(np.int64) - (0 if offsets is None else offsets.astype(np.int64)))
    assert abs(want).max() > 2**24 or columns == "each"      # there zero points are near the weights
    for constant in (True, False):
        names = ["a", "b", "za"] + ([] if offsets is None else ["zb"])
        known = {"za": zero, **({} if offsets is None else {"zb": offsets}), **({"b": b} if constant else {})}
        given = {"a": a} if constant else {"a": a, "b": b}
        made = model([("MatMulInteger", names, ["y"], {})], given, ["y"], known)
        y = ImportedModel(made).run(given)["y"].numpy()
        assert y.dtype == np.int32 and np.array_equal(y, want)


@pytest.mark.parametrize(("shape", "weights", "attrs"), [
    ((1, 40, 9, 8), (12, 40, 3, 3), {"pads": [1, 0, 2, 1], "strides": [2, 1]}), ((2, 8, 7, 7), (12, 2, 3, 3), {"group": 4, "dilations": [2, 1]}),
    ((1, 6, 5, 5), (6, 1, 3, 3), {"group": 6, "pads": [1, 1, 1, 1]}), ((2, 64, 20), (3, 64, 5), {"pads": [2, 2]}), ((1, 3, 4, 4), (2, 3, 1, 1), {}),
])  # fmt: skip
@pytest.mark.parametrize("kernel", [np.uint8, np.int8], ids=lambda d: d.__name__)
def test_conv_integer(kernel: Any, shape: Any, weights: Any, attrs: Any) -> None:
    rng = np.random.default_rng(1)
    x, w = bytes_of(rng, np.uint8, *shape), bytes_of(rng, kernel, *weights)
    known = {"w": w, "zx": np.array(7, np.uint8), "zw": np.array(33, kernel)}
    made = model([("ConvInteger", ["x", "w", "zx", "zw"], ["y"], {**attrs, "kernel_shape": weights[2:]})], {"x": x}, ["y"], known)
    y = ImportedModel(made).run({"x": x})["y"].numpy()
    centred = [t.astype(np.float64) - float(z) for t, z in ((x, 7), (w, 33))]
    pads, n = attrs.get("pads", [0] * 2 * (len(shape) - 2)), len(shape) - 2
    padded = np.pad(centred[0], [(0, 0), (0, 0), *((pads[i], pads[i + n]) for i in range(n))])
    step, far = attrs.get("strides", [1] * n), attrs.get("dilations", [1] * n)
    windows = np.lib.stride_tricks.sliding_window_view(padded, [(k - 1) * d + 1 for k, d in zip(weights[2:], far)], tuple(range(2, 2 + n)))
    windows = windows[(slice(None), slice(None), *(slice(None, None, s) for s in step), *(slice(None, None, d) for d in far))]
    g = attrs.get("group", 1)
    parts = [np.tensordot(windows[:, i * weights[1] : (i + 1) * weights[1]], part, (tuple([1, *range(2 + n, 2 + 2 * n)]), tuple(range(1, 2 + n))))
             for i, part in enumerate(np.split(centred[1], g))]  # fmt: skip
    want = np.moveaxis(np.concatenate(parts, -1), -1, 1)
    assert y.dtype == np.int32 and np.array_equal(y, want)


def test_matrices_of_a_batch_on_the_right() -> None:
    rng = np.random.default_rng(2)
    a, b = bytes_of(rng, np.uint8, 3, 1, 4, 300), bytes_of(rng, np.int8, 2, 300, 5)
    made = model([("MatMulInteger", ["a", "b"], ["y"], {})], {"a": a, "b": b}, ["y"], {})
    assert np.array_equal(ImportedModel(made).run({"a": a, "b": b})["y"].numpy(), np.matmul(a.astype(np.int64), b.astype(np.int64)))


def test_quantized_linear_ops_as_onnxruntime() -> None:
    rng = np.random.default_rng(3)
    x, w = bytes_of(rng, np.uint8, 1, 16, 8, 8), bytes_of(rng, np.int8, 24, 16, 3, 3)
    known = {"w": w, "sx": np.float32(0.02), "zx": np.uint8(100), "sw": rng.uniform(0.001, 0.01, 24).astype(np.float32), "zw": np.zeros(24, np.int8),
             "sy": np.float32(0.3), "zy": np.uint8(127), "b": rng.integers(-9999, 9999, 24).astype(np.int32)}  # fmt: skip
    made = model([("QLinearConv", ["x", "sx", "zx", "w", "sw", "zw", "sy", "zy", "b"], ["y"], {"pads": [1, 1, 1, 1]})], {"x": x}, ["y"],
                 {n: np.asarray(v) for n, v in known.items()})  # fmt: skip
    ((ours, want),) = both(made, {"x": x})
    assert np.abs(ours.astype(int) - want).max() <= 1 and (ours != want).mean() < 0.002      # another order of scales: a tie may fall the other way


@pytest.mark.parametrize("dtype", [np.float64, np.int16, np.uint16, np.uint32, np.uint64], ids=lambda d: d.__name__)
def test_what_only_moves(dtype: Any) -> None:
    x = np.arange(24).reshape(2, 3, 4).astype(dtype)
    nodes = [("Transpose", ["x"], ["t"], {"perm": [2, 0, 1]}), ("Concat", ["t", "t"], ["c"], {"axis": 1}), ("Gather", ["c", "i"], ["g"], {"axis": 0}),
             ("Slice", ["g", "s", "e"], ["y"], {}), ("Cast", ["y"], ["z"], {"to": 1})]  # fmt: skip
    known = {"i": np.array([2, 0]), "s": np.array([0, 1]), "e": np.array([2, 4])}
    for ours, want in both(model(nodes, {"x": x}, ["y", "z"], known), {"x": x}):
        assert ours.dtype == want.dtype and np.array_equal(ours, want)


def test_float64_sums_and_products() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(3, 1, 40)), rng.normal(size=(40, 6))
    nodes = [("MatMul", ["x", "y"], ["p"], {}), ("ReduceMean", ["p"], ["m"], {"axes": [0, 2], "keepdims": 0}), ("ReduceMax", ["p"], ["h"], {"axes": [0]}),
             ("Softmax", ["p"], ["q"], {"axis": -1}), ("Exp", ["p"], ["e"], {}), ("CumSum", ["x", "a"], ["s"], {})]  # fmt: skip
    given = {"x": x, "y": y}
    for ours, want in both(model(nodes, given, ["p", "m", "h", "q", "e", "s"], {"a": np.array(2)}), given):
        assert ours.dtype == np.float64 and np.allclose(ours, want, rtol=1e-12, atol=1e-13)


def test_places_of_maxima_number_all_of_the_input() -> None:
    x = np.random.default_rng(5).normal(size=(2, 3, 5, 6)).astype(np.float32)
    for attrs in ({"kernel_shape": [2, 2], "strides": [2, 2]}, {"kernel_shape": [3, 3], "pads": [0, 1, 1, 0]}, {"kernel_shape": [3, 2], "storage_order": 1}):
        made = model([("MaxPool", ["x"], ["y", "i"], attrs)], {"x": x}, ["y", "i"], {})
        for ours, want in both(made, {"x": x}):
            assert np.array_equal(ours, want)


def test_a_squeeze_without_axes_asks_for_the_size() -> None:
    """[N, 1] is [N] for two and more, a scalar for one: another Plan."""
    x = np.arange(3, dtype=np.float32).reshape(3, 1)
    made = model([("Squeeze", ["x"], ["s"], {}), ("Neg", ["s"], ["y"], {})], {"x": x}, ["y"], {}, {"x": ["N", 1]})
    net = ImportedModel(made)
    assert net(x).numpy().tolist() == [0.0, -1.0, -2.0] and net(x[1:2]).shape == () and net(x[1:2]).numpy() == -1.0


def test_half_floats_are_rounded_once_but_where_the_file_casts() -> None:
    x = np.array([1 + 2.0**-10, 3.0], np.float16)
    made = model([("Mul", ["x", "x"], ["a"], {}), ("Sub", ["a", "b"], ["y"], {})], {"x": x}, ["y"], {"b": np.array([1, 9], np.float16)})
    exact = x.astype(np.float64) ** 2 - [1, 9]
    assert np.array_equal(ImportedModel(made)(x).numpy(), exact.astype(np.float16))
    made = model([("Mul", ["x", "x"], ["a"], {}), ("Cast", ["a"], ["w"], {"to": 1}), ("Sub", ["w", "b"], ["y"], {})], {"x": x}, ["y"],
                 {"b": np.array([1, 9], np.float32)})  # fmt: skip
    assert np.array_equal(ImportedModel(made)(x).numpy(), (x * x).astype(np.float32) - np.float32([1, 9]))


def test_what_cannot_be_is_said() -> None:
    x = np.zeros((2, 3), np.float64)
    with pytest.raises(an.Error, match="Tanh.*float64"):
        ImportedModel(model([("Tanh", ["x"], ["y"], {})], {"x": x}, ["y"], {})).run({"x": x})
