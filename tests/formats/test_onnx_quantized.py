"""Files that onnxruntime's tools have quantized: on kernels of integers here, with the same integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.formats.onnx import Importer
from accelnn.model import Model

from ..conftest import need_module

pytest.importorskip("onnx")
RNG = np.random.default_rng(0)


def weights(low: int, high: int, *shape: int) -> np.ndarray:
    return RNG.integers(low, high, shape).astype(np.uint8 if low >= 0 else np.int8)


def node(kind: str, inputs: str, outputs: str, **attrs: Any) -> Any:
    import onnx

    return onnx.helper.make_node(kind, inputs.split(), outputs.split(), **attrs)


def file(nodes: list[Any], x: tuple[int, ...], constants: dict[str, Any], domain: bool = False) -> Any:
    """A network from `x` to `y`."""
    import onnx

    made = [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    ports = [onnx.helper.make_tensor_value_info(n, 1, s) for n, s in (("x", x), ("y", None))]
    graph = onnx.helper.make_graph(nodes, "g", ports[:1], ports[1:], made)
    opsets = [onnx.helper.make_opsetid("", 17), *([onnx.helper.make_opsetid("com.microsoft", 1)] if domain else [])]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)


def both(proto: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """What we compute, what onnxruntime does, and the ops that we did it by."""
    need_module("onnxruntime")
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.log_severity_level = 4
    session = runtime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    model = Model(Importer(proto).graph())
    return model(x).numpy(), session.run(None, {"x": x})[0], [n.op for n in model.lowered.nodes() if not n.is_source]


DYNAMIC = [node("DynamicQuantizeLinear", "x", "q s z"), node("MatMulInteger", "q w z wz", "acc"), node("Cast", "acc", "f", to=1), node("Mul", "s ws", "both"),
           node("Mul", "f both", "m"), node("Add", "m bias", "a"), node("Relu", "a", "y")]  # fmt: skip


@pytest.mark.parametrize(("shape", "low", "high", "zero", "each"),
                         [((5, 48), -128, 128, 0, True), ((2, 3, 48), 0, 256, 128, False), ((3, 48), 0, 256, 121, False)],
                         ids=["a scale an output", "bytes", "bytes beyond int8"])  # fmt: skip
def test_matrices_quantized_in_the_run(shape: tuple[int, ...], low: int, high: int, zero: int, each: bool) -> None:
    """DynamicQuantizeLinear, MatMulInteger, Cast, Mul, Add, Relu: one product."""
    w = weights(low, high, 48, 37)
    scale = RNG.uniform(0.01, 0.02, 37 if each else ()).astype(np.float32)
    constants = {"w": w, "wz": np.array(zero, w.dtype), "ws": scale, "bias": RNG.normal(size=37).astype(np.float32)}
    x = RNG.normal(size=shape).astype(np.float32) + np.float32(0.2)
    got, want, ops = both(file(DYNAMIC, shape, constants), x)
    assert np.abs(got - want).max() <= 2e-6 * np.abs(want).max()        # the same integers: half a step of x would move a result 1000 times as far
    assert "dynamic_qmatmul" in ops and "dynamic_quantize" not in ops and "cast" not in ops
    assert ("pointwise" in ops) == (zero == 121)


@pytest.mark.parametrize(("groups", "zero"), [(1, 128), (1, 121), (4, 120), (24, 130)])
def test_images_quantized_in_the_run(groups: int, zero: int) -> None:
    """ConvInteger with a bias of integers made in the run, SiLU behind it, twice: channels last between the two."""
    w, v = weights(0, 256, 24, 24 // groups, 3, 3), weights(-127, 128, 32, 24, 1, 1)
    nodes = [node("DynamicQuantizeLinear", "x", "q s z"), node("Mul", "s ws", "both"), node("Div", "bias both", "b1"), node("Floor", "b1", "b2"),
             node("Cast", "b2", "b3", to=6), node("Reshape", "b3 four", "b4"), node("ConvInteger", "q w z wz", "acc", pads=[1, 1, 1, 1], group=groups),
             node("Add", "acc b4", "sum"), node("Cast", "sum", "f", to=1), node("Mul", "f both", "m"), node("Sigmoid", "m", "g"), node("Mul", "m g", "h"),
             node("DynamicQuantizeLinear", "h", "hq hs hz"), node("ConvInteger", "hq v hz", "acc2"), node("Cast", "acc2", "f2", to=1),
             node("Mul", "hs vs", "both2"), node("Mul", "f2 both2", "y")]  # fmt: skip
    constants = {"w": w, "wz": np.array(zero, np.uint8), "ws": np.float32(0.01), "bias": RNG.normal(size=24).astype(np.float32) * 10, "v": v,
                 "vs": np.float32(0.02), "four": np.array([1, 24, 1, 1])}  # fmt: skip
    x = RNG.normal(size=(2, 24, 11, 9)).astype(np.float32)
    got, want, ops = both(file(nodes, x.shape, constants), x)
    assert (got * want).sum() > 0.99999 * np.linalg.norm(got) * np.linalg.norm(want)
    assert "qconv2d_packed" in ops and "arithmetic" not in ops and ops.count("cast") == 1, "integers only where the bias is made"


@pytest.mark.parametrize("each", [False, True])
def test_recurrent_weights_stay_bytes(each: bool) -> None:
    hidden, inputs = 40, 24
    w, r = weights(-127, 128, 2, inputs, 4 * hidden), weights(-127, 128, 2, hidden, 4 * hidden)
    size = (2, 4 * hidden) if each else (2,)
    constants = {"w": w, "r": r, "b": RNG.normal(size=(2, 8 * hidden)).astype(np.float32) * 0.1, "ws": RNG.uniform(0.002, 0.004, size).astype(np.float32),
                 "wz": np.zeros(size, np.int8), "rs": RNG.uniform(0.002, 0.004, size).astype(np.float32), "rz": np.zeros(size, np.int8)}  # fmt: skip
    lstm = node("DynamicQuantizeLSTM", "x w r b", "y", direction="bidirectional", hidden_size=hidden, domain="com.microsoft")
    lstm.input.extend(["", "", "", "", "ws", "wz", "rs", "rz"])
    x = RNG.normal(size=(7, 3, inputs)).astype(np.float32)
    got, want, ops = both(file([lstm], x.shape, constants, True), x)
    assert (got * want).sum() > 0.9995 * np.linalg.norm(got) * np.linalg.norm(want)
    assert ops.count("lstm") == 1


def test_zero_points_of_recurrent_weights() -> None:
    """onnxruntime wants zeros; other numbers give what weights less them do. Weights that do not fit are refused before a Plan is written."""
    given = {"w": weights(-9, 9, 1, 5, 16), "r": weights(-9, 9, 1, 4, 16), "b": np.zeros((1, 32), np.float32), "ws": np.full(1, 0.05, np.float32),
             "wz": np.zeros(1, np.int8), "rs": np.linspace(0.01, 0.1, 16, dtype=np.float32)[None], "rz": np.zeros(1, np.int8)}  # fmt: skip
    lstm = node("DynamicQuantizeLSTM", "x w r b", "y", hidden_size=4, domain="com.microsoft")
    lstm.input.extend(["", "", "", "", "ws", "wz", "rs", "rz"])
    x = RNG.normal(size=(3, 2, 5)).astype(np.float32)

    def y(**other: Any) -> np.ndarray:
        return np.asarray(Model(Importer(file([lstm], x.shape, given | other, True)).graph())(x))

    zero = weights(-7, 8, 1, 16)
    np.testing.assert_array_equal(y(wz=zero, rz=zero, w=given["w"] + zero[:, None], r=given["r"] + zero[:, None]), y())
    np.testing.assert_array_equal(y(rz=np.full(1, 128, np.uint8), r=(given["r"].astype(np.int32) + 128).astype(np.uint8)), y())
    w, r = given["w"], given["r"]
    for wrong in ({"rz": np.zeros(3, np.int8)}, {"ws": np.ones((1, 8), np.float32)}, {"r": r[:, :3]}, {"w": w[:, :, :12]}, {"w": w[0]}):
        with pytest.raises(an.Error, match="weights"):
            y(**wrong)


@pytest.mark.parametrize(("block", "zeros", "level"), [(32, False, 0), (64, True, 0), (32, False, 4), (16, True, 0)])
def test_weights_of_four_bits(block: int, zeros: bool, level: int) -> None:
    k, n = 128, 33
    blocks = k // block
    constants = {"w": weights(0, 256, n, blocks, block // 2), "s": RNG.uniform(0.01, 0.02, (n, blocks)).astype(np.float16).astype(np.float32).reshape(-1)}
    if zeros:
        constants["z"] = weights(0, 256, n * ((blocks + 1) // 2))
    bits = node("MatMulNBits", "x w s z" if zeros else "x w s", "y", K=k, N=n, bits=4, block_size=block, accuracy_level=level, domain="com.microsoft")
    x = RNG.normal(size=(2, 5, k)).astype(np.float32)
    got, want, ops = both(file([bits], x.shape, constants, True), x)
    assert np.abs(got - want).max() <= (0.02 if level == 4 else 1e-5) * np.abs(want).max()
    assert ("matmul_int4" in ops) == (block != 16)
