"""onnxruntime: models of one node, inputs and outputs bound to memory once, so that a call converts nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from ..arrays import empty
from ..works import Inputs
from . import Make, Prepared

ELEMENT = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int8": TensorProto.INT8, "int64": TensorProto.INT64}


def about(threads: int) -> str:
    return f"{ort.__version__}, CPU provider, IO binding, {threads} thread{'s' * (threads != 1)}"


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str] = ("y",), **attributes: Any) -> Any:
    return helper.make_node(kind, list(inputs), list(outputs), **attributes)


def session(nodes: Sequence[Any], feeds: Mapping[str, np.ndarray], constants: Mapping[str, np.ndarray], shape: Sequence[int], threads: int,
            dtype: str = "float32") -> Prepared:  # fmt: skip
    """Runs the nodes from `feeds` (bound) and `constants` (known to the session, which may pack them) to `y`."""
    graph = helper.make_graph(list(nodes), "one", [helper.make_tensor_value_info(k, ELEMENT[str(v.dtype)], v.shape) for k, v in feeds.items()],
                              [helper.make_tensor_value_info("y", ELEMENT[dtype], list(shape))],
                              [numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in constants.items()])  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)], ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    opened = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    binding, out = opened.io_binding(), empty(tuple(shape), np.dtype(dtype))
    held = [ort.OrtValue.ortvalue_from_numpy(v) for v in (*feeds.values(), out)]
    for name, value in zip(feeds, held):
        binding.bind_ortvalue_input(name, value)
    binding.bind_ortvalue_output("y", held[-1])
    return Prepared(lambda: opened.run_with_iobinding(binding), lambda: [held[-1].numpy()])


def _matmul(x: Inputs, threads: int) -> Prepared:
    a, b = x.arrays
    shape = (a.shape[0], b.shape[1])
    if b.flags.c_contiguous:
        return session([node("MatMul", "ab")], {"a": a, "b": b}, {}, shape, threads)
    return session([node("Gemm", "ab", transB=1)], {"a": a, "b": b.T}, {}, shape, threads)


def _matmul_packed(x: Inputs, threads: int) -> Prepared:
    a, b = x.arrays
    return session([node("MatMul", "ab")], {"a": a}, {"b": b}, (a.shape[0], b.shape[1]), threads)


def _conv2d(x: Inputs, threads: int) -> Prepared:
    a, w = x.arrays
    g, size = x.note, w.shape[2:]
    out = [(s + 2 * g["padding"] - g["dilation"] * (k - 1) - 1) // g["stride"] + 1 for s, k in zip(a.shape[2:], size)]
    conv = node("Conv", "xw", kernel_shape=size, strides=[g["stride"]] * 2, pads=[g["padding"]] * 4, dilations=[g["dilation"]] * 2, group=g["groups"])
    return session([conv], {"x": a}, {"w": w}, (a.shape[0], w.shape[0], *out), threads)


def _same_shape(kind: str, **attributes: Any) -> Make:
    def make(x: Inputs, threads: int) -> Prepared:
        feeds = {f"x{i}": a for i, a in enumerate(x.arrays)}
        shape = np.broadcast_shapes(*(a.shape for a in x.arrays))
        return session([node(kind, list(feeds), **attributes)], feeds, {}, shape, threads)

    return make


def _pool(kind: str, **attributes: Any) -> Make:
    def make(x: Inputs, threads: int) -> Prepared:
        g = {"stride_h": 1, "stride_w": 1, "pad_top": 0, "pad_left": 0, "pad_bottom": 0, "pad_right": 0} | x.attrs
        a = x.arrays[0]
        shape = ((a.shape[2] + g["pad_top"] + g["pad_bottom"] - g["kernel_h"]) // g["stride_h"] + 1,
                 (a.shape[3] + g["pad_left"] + g["pad_right"] - g["kernel_w"]) // g["stride_w"] + 1)  # fmt: skip
        pool = node(kind, "x", kernel_shape=[g["kernel_h"], g["kernel_w"]], strides=[g["stride_h"], g["stride_w"]],
                    pads=[g["pad_top"], g["pad_left"], g["pad_bottom"], g["pad_right"]], **attributes)  # fmt: skip
        return session([pool], {"x": a}, {}, (*a.shape[:2], *shape), threads)

    return make


def _dynamic_fused(x: Inputs, threads: int) -> Prepared:
    a, w, scale = x.arrays
    product = node("DynamicQuantizeMatMul", ("a", "w", "s"), domain="com.microsoft")
    return session([product], {"a": a}, {"w": w, "s": scale}, (a.shape[0], w.shape[1]), threads)


def _dynamic_nodes(x: Inputs, threads: int) -> Prepared:
    a, w, scale = x.arrays
    nodes = [node("DynamicQuantizeLinear", "a", ("q", "step", "zero")), node("MatMulInteger", ("q", "w", "zero"), ("sums",)),
             node("Cast", ("sums",), ("f",), to=TensorProto.FLOAT), node("Mul", ("step", "s"), ("both",)), node("Mul", ("f", "both"))]
    return session(nodes, {"a": a}, {"w": w, "s": scale}, (a.shape[0], w.shape[1]), threads)


def _static(x: Inputs, threads: int) -> Prepared:
    a, zero, w, scale = x.arrays
    nodes = [node("MatMulInteger", ("a", "w", "zero"), ("sums",)), node("Cast", ("sums",), ("f",), to=TensorProto.FLOAT), node("Mul", ("f", "s"))]
    return session(nodes, {"a": a}, {"w": w, "zero": zero, "s": scale}, (a.shape[0], w.shape[1]), threads)


def _qconv(x: Inputs, threads: int) -> Prepared:
    """QLinearConv: the same sums and the same scale, as a quotient of three. Channels last it is onnxruntime's own op."""
    a, zero, _, scale, _, out_zero = x.arrays
    g, w = x.note, x.note["w"]
    image = a.shape[1:3] if g["last"] else a.shape[2:]
    out = [(s + 2 * g["padding"] - g["dilation"] * (k - 1) - 1) // g["stride"] + 1 for s, k in zip(image, w.shape[2:])]
    constants = {"xs": np.float32(1), "xz": zero, "w": w, "ws": scale, "wz": np.zeros(len(scale), np.int8), "ys": np.float32(1), "yz": out_zero}
    own: dict[str, Any] = {"domain": "com.microsoft", "channels_last": 1} if g["last"] else {}
    conv = node("QLinearConv", ["x", *constants], kernel_shape=w.shape[2:], strides=[g["stride"]] * 2, pads=[g["padding"]] * 4,
                dilations=[g["dilation"]] * 2, group=g["groups"], **own)  # fmt: skip
    shape = (a.shape[0], *out, w.shape[0]) if g["last"] else (a.shape[0], w.shape[0], *out)
    return session([conv], {"x": a}, {k: np.asarray(v) for k, v in constants.items()}, shape, threads, "uint8")


def _nbits(level: int) -> Make:
    """Weights of four bits as onnxruntime packs them; accuracy level 4 makes the activations int8, 0 leaves them."""
    def make(x: Inputs, threads: int) -> Prepared:
        a, q, scales, group = x.arrays[0], x.note["q"], x.note["scales"], x.attrs["group"]
        (n, k), pairs = q.shape, q.reshape(q.shape[0], -1, group // 2, 2)
        product = node("MatMulNBits", ("a", "w", "s"), domain="com.microsoft", K=k, N=n, bits=4, block_size=group, accuracy_level=level)
        return session([product], {"a": a}, {"w": pairs[..., 0] | pairs[..., 1] << 4, "s": scales.reshape(-1)}, (a.shape[0], n), threads)

    return make


def _recurrent(x: Inputs, threads: int) -> Prepared:
    """ONNX's order of gates: i, o, f, g and z, r, n. Steps come first there, so that a batch is turned on the way in and out."""
    a, *weights = x.arrays
    kind, units = x.note["kind"], x.arrays[2].shape[1]
    order = [0, 3, 1, 2] if kind == "lstm" else [1, 0, 2]
    w, r, b_ih, b_hh = (v.reshape(len(order), units, -1)[order].reshape(1, len(order) * units, -1) for v in weights)
    attributes = {"hidden_size": units} | ({"linear_before_reset": 1} if kind == "gru" else {})
    nodes = [node("Transpose", "a", ("t",), perm=[1, 0, 2]), node(kind.upper(), ("t", "w", "r", "b"), ("four",), **attributes),
             node("Squeeze", ("four", "axis"), ("three",)), node("Transpose", ("three",), perm=[1, 0, 2])]
    biases = np.concatenate([b_ih[:, :, 0], b_hh[:, :, 0]], 1)
    return session(nodes, {"a": a}, {"w": w, "r": r, "b": biases, "axis": np.array([1])}, (*a.shape[:2], units), threads)


WORKS: dict[str, dict[str, Make]] = {
    "matmul": {"ort": _matmul},
    "matmul_packed": {"ort": _matmul_packed},
    "dynamic_qmatmul": {"ort fused": _dynamic_fused, "ort nodes": _dynamic_nodes},
    "qmatmul": {"ort": _static},
    "matmul_int4": {"ort nbits4": _nbits(4)},
    "matmul_int4_f32": {"ort nbits0": _nbits(0)},
    "conv2d": {"ort Conv": _conv2d},
    "lstm": {"ort": _recurrent},
    "gru": {"ort": _recurrent},
    "qconv2d_packed": {"ort qconv": _qconv},
    "qconv2d_last": {"ort qconv": _qconv},
    "softmax": {"ort": _same_shape("Softmax", axis=-1)},
    "log_softmax": {"ort": _same_shape("LogSoftmax", axis=-1)},
    "max_pool2d": {"ort": _pool("MaxPool")},
    "avg_pool2d": {"ort": _pool("AveragePool", count_include_pad=1)},
    **{name: {"ort": _same_shape(kind)} for name, kind in (
        ("add", "Add"), ("sub", "Sub"), ("mul", "Mul"), ("div", "Div"), ("exp", "Exp"), ("log", "Log"), ("sqrt", "Sqrt"), ("tanh", "Tanh"),
        ("sigmoid", "Sigmoid"), ("erf", "Erf"), ("relu", "Relu"), ("abs", "Abs"), ("neg", "Neg"))},
}  # fmt: skip
