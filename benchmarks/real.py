"""Models that others made, beside what runs them now: ONNX files beside onnxruntime, torch modules beside torch eager and torch.compile.

  python benchmarks/real.py [--only onnx torch] [--names silero minilm ...] [--threads 1 2] [--rounds 3] [--json FILE]
The first feed of each file in tests/formats/test_onnx_real.py, the inputs in tests/parity/real_torch.py; random, but for the speed that does not
matter. Outputs are compared before anything is timed. Needs make parity cross models."""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from alternate import alternate, document, ratio

import accelnn as an
from accelnn.core.optional import need

sys.path.insert(0, str(Path(__file__).parent.parent))

Runs = dict[str, Callable[[], Any]]


def close(found: Any, wanted: Any, name: str) -> None:
    """As the tests have it; 8-bit activations, where a rounding that falls the other way moves them all, by angle."""
    for f, w in zip(found, wanted, strict=True):
        f, w = np.asarray(f, np.float64), np.asarray(w, np.float64)
        if np.abs(f - w).max(initial=0) > 1e-4 * max(1.0, np.abs(w).max(initial=0)):
            assert (f * w).sum() > 0.999 * np.linalg.norm(f) * np.linalg.norm(w), name


def onnx_runs(name: str, threads: int) -> Runs:
    from tests.conftest import place
    from tests.formats.test_onnx_real import MODELS

    ort = need("onnxruntime", "cross")
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4
    session = ort.InferenceSession(place(name), options, providers=["CPUExecutionProvider"])
    model: Any = an.load(place(name))
    feed = {k: v for k, v in MODELS[name](session.get_inputs()[0].name)[0].items() if k in model.input_names}
    args = [feed[n] for n in model.input_names]
    found = model(*args)
    close(found if isinstance(found, tuple) else (found,), session.run(None, feed), name)
    return {"accelnn": lambda: model(*args), "onnxruntime": lambda: session.run(None, feed)}


def torch_runs(name: str, threads: int) -> Runs:
    from tests.parity.real_torch import MODELS

    torch = need("torch", "torch")
    module, inputs = MODELS[name]()
    model, args = an.from_torch(module, inputs), [x.numpy() for x in inputs]
    torch._dynamo.reset()      # nets before this one count towards its limit of recompilations
    compiled = torch.compile(module)

    def under(f: Callable[..., Any]) -> Callable[[], Any]:
        def run() -> Any:
            with torch.inference_mode():
                return f(*inputs)

        return run

    found, wanted = model(*args), under(module)()
    close(*((y if isinstance(y, tuple) else (y,)) for y in (found, wanted)), name)
    return {"accelnn": lambda: model(*args), "torch": under(module), "torch.compile": under(compiled)}


def cases(only: list[str], names: list[str]) -> Iterator[tuple[str, str, Callable[[str, int], Runs]]]:
    from tests.formats.test_onnx_real import MODELS
    from tests.parity.real_torch import MODELS as MODULES

    for kind, table, runs in (("onnx", MODELS, onnx_runs), ("torch", MODULES, torch_runs)):
        for name in table if kind in only else ():
            if not names or any(part in name for part in names):
                yield kind, name, runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=["onnx", "torch"], choices=["onnx", "torch"])
    parser.add_argument("--names", nargs="*", default=[], help="parts of names")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.2, help="of a block")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch, ort = need("torch", "torch"), need("onnxruntime", "cross")
    page = document("models that others made, inference", peers=f"torch {torch.__version__}, onnxruntime {ort.__version__} (all optimizations)")
    for threads in args.threads:
        an.set_num_threads(threads)
        torch.set_num_threads(threads)
        best: dict[str, list[float]] = {}
        for kind, name, runs in cases(args.only, args.names):
            found = alternate(runs(name, threads), args.rounds, args.seconds)
            us = {peer: statistics.median(t) * 1e6 for peer, t in found.items()}
            ratios = {peer: ratio(t, found["accelnn"]) for peer, t in found.items() if peer != "accelnn"}
            page["results"].append({"kind": kind, "name": name, "threads": threads, "us": us, "ratio": ratios})
            best.setdefault(kind, []).append(min(ratios.values()))
            times = "  ".join(f"{peer} {t:9.1f}" for peer, t in us.items())
            print(f"{threads} T {name.rpartition('/')[2]:32} us: {times}  best peer / accelnn {best[kind][-1]:.2f}", flush=True)
        for kind, each in best.items():
            print(f"{kind} {threads} T: geomean of {len(each)} {math.prod(each) ** (1 / len(each)):.2f}, least {min(each):.2f}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(page, indent=1) + "\n")


if __name__ == "__main__":
    main()
