"""The same trained LeNet-5 in onnxruntime and torch, where they are installed, with the thread count that suits each best."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from accelnn.practice.data import Floats
from accelnn.practice.report import timed

Weights = Mapping[str, Floats]


@dataclass(frozen=True)
class Peer:
    """run(images f32 [N, 1, 28, 28]) -> scores f32 [N, 10]."""

    name: str
    detail: str                      # backend and threads
    bytes: int                       # the model alone
    needs: str
    run: Callable[[Floats], Floats]


def find(build: Callable[[Any], Any], weights: Weights, calibration: Floats) -> list[Peer]:
    """Every peer that is installed. build(nn) makes the net out of torch.nn; weights are its state_dict; calibration f32 [N, 1, 28, 28]."""
    found = []
    if importlib.util.find_spec("torch"):
        found.append(_torch(build, weights))
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"):
        found += list(_onnxruntime(weights, calibration))
    return found


def is_installed(name: str) -> bool:
    """Whether pip knows it (a checkout on the path is not installed)."""
    try:
        return importlib.metadata.version(name) is not None
    except importlib.metadata.PackageNotFoundError:
        return False


def installed(*names: str) -> str:
    """'torch 2.13.0 (812 MB)': a package with its parts, as they lie on the disk."""
    size = 0
    for name in names:
        for file in importlib.metadata.files(name) or ():
            path = str(file.locate())
            size += os.path.getsize(path) if os.path.exists(path) else 0
    return f"Python and {names[0]} {importlib.metadata.version(names[0])} ({size / 1e6:.0f} MB)"


def _best(variants: Mapping[str, Callable[[Floats], Floats]]) -> tuple[str, Callable[[Floats], Floats]]:
    """The variant that answers one digit fastest; a library is never held to a setting that slows it down."""
    digit = [np.zeros((1, 1, 28, 28), np.float32)]
    speed = {name: timed(run, digit, 0.1)() for name, run in variants.items()}
    name = min(speed, key=speed.__getitem__)
    return name, variants[name]


def _torch(build: Callable[[Any], Any], weights: Weights) -> Peer:
    import torch
    net = build(torch.nn).eval()
    net.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    most = torch.get_num_threads()

    def run(images: Floats) -> Floats:
        with torch.inference_mode():
            return np.asarray(net(torch.from_numpy(images)).numpy())

    speed = {}
    for threads in sorted({1, most}):
        torch.set_num_threads(threads)
        speed[threads] = timed(run, [np.zeros((1, 1, 28, 28), np.float32)], 0.1)()
    threads = min(speed, key=speed.__getitem__)
    torch.set_num_threads(threads)   # one setting a process; nothing else of ours reads it
    backend = "oneDNN" if getattr(torch.backends, "mkldnn").is_available() else "native"  # noqa: B009 (untyped)
    detail = f"eager, inference mode, {backend}, {threads} thread{'s' * (threads > 1)}"
    return Peer("torch, float32", detail, sum(v.nbytes for v in weights.values()), installed("torch"), run)


def lenet_onnx(weights: Weights) -> Any:
    """LeNet-5 as an ONNX model: input f32 [batch, 1, 28, 28] -> output f32 [batch, 10]."""
    from onnx import TensorProto, helper, numpy_helper
    nodes: list[Any] = []
    at = "input"

    def then(kind: str, layer: int | None = None, **attributes: Any) -> None:
        nonlocal at
        names = [] if layer is None else [f"{layer}.weight", f"{layer}.bias"]
        nodes.append(helper.make_node(kind, [at, *names], [f"{kind}{len(nodes)}"], name=f"{kind}{len(nodes)}", **attributes))
        at = nodes[-1].output[0]

    for layer, pad in ((0, 2), (3, 0)):
        then("Conv", layer, kernel_shape=[5, 5], pads=[pad] * 4)
        then("Relu")
        then("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    then("Flatten")
    for layer in (7, 9, 11):
        then("Gemm", layer, transB=1)
        if layer < 11:
            then("Relu")
    nodes[-1].output[0] = "output"
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 1, 28, 28])]
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 10])]
    graph = helper.make_graph(nodes, "lenet5", inputs, outputs, [numpy_helper.from_array(np.ascontiguousarray(v), n) for n, v in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _onnxruntime(weights: Weights, calibration: Floats) -> Iterator[Peer]:
    import onnx
    import onnxruntime as ort
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            self.left = iter([{"input": calibration[i : i + 50]} for i in range(0, len(calibration), 50)])

        def get_next(self) -> dict[str, Floats] | None:
            return next(self.left, None)

    def session(data: bytes, threads: int) -> Callable[[Floats], Floats]:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        opened = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        return lambda images: np.asarray(opened.run(None, {"input": images})[0])

    logging.getLogger().setLevel(max(logging.getLogger().level, logging.ERROR))   # its quantizer advises on the root logger
    model, needs = lenet_onnx(weights), installed("onnxruntime")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "f32.onnx"), Path(folder, "int8.onnx")
        onnx.save(model, source)
        quantize_static(source, target, Reader(), per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        for kind, file in (("float32", source), ("int8", target)):
            data = file.read_bytes()
            detail, run = _best({"1 thread": session(data, 1), "all cores": session(data, 0)})
            yield Peer(f"onnxruntime, {kind}", f"CPU provider, {detail}", len(data), needs, run)
