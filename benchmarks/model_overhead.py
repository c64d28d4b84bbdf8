"""What a call costs besides its work: relu of 16 numbers as a Model, by its `.onnx` file, and by onnxruntime. Microseconds, least of several medians."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import accelnn as an


def microseconds(f: Callable[[], Any], calls: int = 2000) -> float:
    taken = []
    for _ in range(9):
        began = time.perf_counter_ns()
        for _ in range(calls):
            f()
        taken.append((time.perf_counter_ns() - began) / calls / 1e3)
    return float(np.median(taken))


def main() -> None:
    an.set_num_threads(1)
    x = np.ones((1, 16), np.float32)
    model = an.freeze(lambda t: t.relu(), x)
    name, t = model.inputs[0][0], an.tensor(x)
    rows: dict[str, Callable[[], Any]] = {
        "model(Tensor)": lambda: model(t),
        "model(array)": lambda: model(x),
        "model.run({name: array})": lambda: model.run({name: x}),
        "model.run_async({name: array}).result()": lambda: model.run_async({name: x}).result(),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "relu.onnx")
        try:
            an.save_onnx(model, path)
            imported = an.load(path)
            rows["load('relu.onnx').run({name: array})"] = lambda: imported.run({name: x})
            import onnxruntime as ort

            options = ort.SessionOptions()
            options.intra_op_num_threads = 1
            session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            rows["onnxruntime's run"] = lambda: session.run(None, {name: x})
        except ImportError as missing:
            print(missing)
    for what, f in rows.items():
        f()
        print(f"{what:40} {microseconds(f):6.2f} us", flush=True)


if __name__ == "__main__":
    main()
