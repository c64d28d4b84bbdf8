"""What ONNX's recurrent operators allow beyond torch's, against onnxruntime: peepholes, clip, coupled gates, other functions, both orders of a GRU's reset."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.ops.recurrent import recurrent

from ..conftest import need_module

ORDER = {"rnn": [0], "lstm": [0, 3, 1, 2], "gru": [1, 0, 2]}      # ONNX's gates in ours: i o f c, z r h
CASES: list[tuple[str, dict[str, Any]]] = [
    ("lstm", {"peepholes": True}), ("lstm", {"peepholes": True, "clip": 0.8}), ("lstm", {"input_forget": True}),
    ("lstm", {"activations": [("HardSigmoid", 0.3, 0.4), ("Softsign",), ("ScaledTanh", 0.8, 0.7)] * 2}),
    ("gru", {"linear_before_reset": False}), ("gru", {"activations": [("Affine", 0.3, 0.4), ("Elu", 0.6)] * 2}),
    *(("rnn", {"activations": [f, g]}) for f, g in ((("LeakyRelu", 0.2), ("ThresholdedRelu", 0.1)), (("Softplus",), ("Relu",)))),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_as_onnxruntime(kind: str, options: dict[str, Any]) -> None:
    need_module("onnx")
    need_module("onnxruntime")
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    steps, batch, inputs, units, n = 5, 3, 4, 18, len(ORDER[kind])
    rng = np.random.default_rng(0)
    x = rng.normal(size=(steps, batch, inputs)).astype(np.float32)
    sets = [[rng.normal(size=s).astype(np.float32) * np.float32(0.4) for s in ((n * units, inputs), (n * units, units), (n * units,), (n * units,))]
            for _ in range(2)]  # fmt: skip
    peepholes = [rng.normal(size=3 * units).astype(np.float32) for _ in range(2)] if options.get("peepholes") else []

    def theirs(w: Any) -> Any:
        return w.reshape(n, units, -1)[ORDER[kind]].reshape(w.shape)

    arrays = {"w": [theirs(s[0]) for s in sets], "r": [theirs(s[1]) for s in sets], "b": [np.concatenate([theirs(s[2]), theirs(s[3])]) for s in sets]}
    names = ["x", "w", "r", "b"]
    if peepholes:
        arrays["p"] = peepholes
        names += ["", "", "", "p"]
    attributes: dict[str, Any] = {"hidden_size": units, "direction": "bidirectional"}
    if "clip" in options:
        attributes["clip"] = options["clip"]
    if options.get("input_forget"):
        attributes["input_forget"] = 1
    if kind == "gru":
        attributes["linear_before_reset"] = int(options.get("linear_before_reset", True))
    if "activations" in options:
        given = options["activations"]
        attributes |= {"activations": [f[0] for f in given], "activation_alpha": [f[1] for f in given if len(f) > 1],
                       "activation_beta": [f[2] for f in given if len(f) > 2]}  # fmt: skip
        attributes = {k: v for k, v in attributes.items() if v != []}
    node = helper.make_node(kind.upper(), names, ["y"], **attributes)
    value = helper.make_tensor_value_info
    graph = helper.make_graph([node], "g", [value("x", TensorProto.FLOAT, list(x.shape))], [value("y", TensorProto.FLOAT, [steps, 2, batch, units])],
                              [numpy_helper.from_array(np.stack(v), k) for k, v in arrays.items()])  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    want = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    options = {**options, "peepholes": [an.tensor(p) for p in peepholes]}
    got = recurrent(kind, an.tensor(x), [[an.tensor(w) for w in s] for s in sets], **options)[0].numpy()
    np.testing.assert_allclose(got.reshape(steps, batch, 2, units).transpose(0, 2, 1, 3), want, rtol=2e-5, atol=2e-6)
