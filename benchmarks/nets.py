"""Five everyday nets, inference (batch 1 and 64) and training (batch 64, Adam): accelnn's Plan beside torch eager, torch.compile and onnxruntime.

  python benchmarks/nets.py [--only infer train] [--nets mlp lenet cnn lstm transformer] [--threads 1 2] [--rounds 3] [--json FILE]
needs torch, onnx and onnxruntime (make parity)"""

from __future__ import annotations

import argparse
import io
import json
import math
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from alternate import alternate, document, ratio

import accelnn as an
from accelnn.cli.demo import lenet
from accelnn.core.optional import need

CLASSES = 10


def mlp(nn: Any) -> Any:
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, CLASSES))


def cnn(nn: Any) -> Any:
    layers: list[Any] = []
    for c, k, stride in ((3, 32, 1), (32, 64, 2), (64, 128, 2)):
        layers += [nn.Conv2d(c, k, 3, padding=1, stride=stride, bias=False), nn.BatchNorm2d(k), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, CLASSES))


def lstm(nn: Any) -> Any:
    class Last(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.r, self.f = nn.LSTM(28, 128, batch_first=True), nn.Linear(128, CLASSES)

        def forward(self, x: Any) -> Any:
            return self.f(self.r(x)[0][:, -1])

    return Last()


def transformer(nn: Any) -> Any:
    class Encoder(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, d: int = 128) -> None:
            super().__init__()
            self.e = nn.Embedding(1000, d)
            self.b = nn.ModuleList(nn.TransformerEncoderLayer(d, 4, 4 * d, 0.0, "gelu", batch_first=True, norm_first=True) for _ in range(2))
            self.f = nn.Linear(d, CLASSES)

        def forward(self, t: Any) -> Any:
            x = self.e(t)
            for layer in self.b:
                x = layer(x)
            return self.f(x.mean(1))

    return Encoder()


NETS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "mlp": (mlp, (784,)), "lenet": (lenet, (1, 28, 28)), "cnn": (cnn, (3, 32, 32)), "lstm": (lstm, (28, 28)), "transformer": (transformer, (64,))}  # fmt: skip


def inputs(name: str, batch: int) -> np.ndarray:
    rng = np.random.default_rng(batch)
    shape = (batch, *NETS[name][1])
    return rng.integers(0, 1000, shape) if name == "transformer" else rng.standard_normal(shape).astype(np.float32)


def session(torch: Any, net: Any, x: Any, threads: int) -> Callable[[], Any]:
    ort = need("onnxruntime", "cross")
    file = io.BytesIO()
    torch.onnx.export(net, (x,), file, dynamo=False, opset_version=17)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    s = ort.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    feed = {s.get_inputs()[0].name: x.numpy()}
    return lambda: s.run(None, feed)


def inference(name: str, batch: int, threads: int) -> dict[str, Callable[[], Any]]:
    torch = need("torch", "torch")
    torch.manual_seed(0)
    net = NETS[name][0](torch.nn).eval()
    x = torch.from_numpy(inputs(name, batch))
    torch._dynamo.reset()      # nets before this one count towards its limit of recompilations
    compiled = torch.compile(net)
    model = an.from_torch(net, (x,))

    def under(f: Callable[[Any], Any]) -> Callable[[], Any]:
        def run() -> Any:
            with torch.inference_mode():
                return f(x)

        return run

    value = x.numpy()
    runs = {"accelnn": lambda: model(value), "torch": under(net), "torch.compile": under(compiled),
            "onnxruntime": session(torch, net, x, threads)}  # fmt: skip
    want = runs["torch"]().numpy()
    for run in runs.values():
        got = run()
        np.testing.assert_allclose(np.asarray(got[0] if isinstance(got, list) else got), want, atol=1e-4 * max(1.0, np.abs(want).max()), rtol=0)
    return runs


def training(name: str, batch: int, threads: int) -> tuple[dict[str, Callable[[], Any]], float]:
    """The steps, and the seconds that accelnn's first call takes (trace, passes, packing and the step itself)."""
    torch = need("torch", "torch")
    torch.manual_seed(0)
    theirs = NETS[name][0](torch.nn).train()
    torch._dynamo.reset()
    twin = NETS[name][0](torch.nn).train()
    twin.load_state_dict(theirs.state_dict())
    ours = NETS[name][0](an.nn).train()
    ours.load_state_dict({k: v.numpy().copy() for k, v in theirs.state_dict().items()})
    x, y = inputs(name, batch), np.random.default_rng(0).integers(0, CLASSES, batch)
    optimizer, loss = an.optim.Adam(ours.parameters(), lr=1e-3), an.nn.CrossEntropyLoss()

    def step(a: Any, b: Any) -> Any:
        optimizer.zero_grad()
        value = loss(ours(a), b)
        value.backward()
        optimizer.step()
        return value

    compiled, images, labels = an.compile(step), an.tensor(x), an.tensor(y)
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)

    def of_torch(net: Any, call: Any) -> Callable[[], Any]:
        adam = torch.optim.Adam(net.parameters(), lr=1e-3)

        def run() -> float:
            adam.zero_grad()
            value = torch.nn.functional.cross_entropy(call(tx), ty)
            value.backward()
            adam.step()
            return float(value.detach())

        return run

    runs: dict[str, Callable[[], Any]] = {"accelnn": lambda: float(compiled(images, labels).item()), "torch": of_torch(theirs, theirs),
                                          "torch.compile": of_torch(twin, torch.compile(twin))}  # fmt: skip
    begin = time.perf_counter()
    first = runs["accelnn"]()
    seconds = time.perf_counter() - begin
    for peer in ("torch", "torch.compile"):
        assert abs(runs[peer]() - first) <= 1e-4 * abs(first), peer
    return runs, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=["infer", "train"], choices=["infer", "train"])
    parser.add_argument("--nets", nargs="*", default=list(NETS), choices=list(NETS))
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.2, help="of a block")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch, ort = need("torch", "torch"), need("onnxruntime", "cross")
    page = document("five nets: inference, and training with Adam", peers=f"torch {torch.__version__}, onnxruntime {ort.__version__}, float32")
    for threads in args.threads:
        an.set_num_threads(threads)
        torch.set_num_threads(threads)
        for what, batch in (("infer", 1), ("infer", 64), ("train", 64)):
            if what not in args.only:
                continue
            best = []
            for name in args.nets:
                extra = {}
                if what == "infer":
                    runs = inference(name, batch, threads)
                else:
                    runs, first = training(name, batch, threads)
                    extra = {"compile_s": first}
                found = alternate(runs, args.rounds, args.seconds)
                us = {peer: statistics.median(t) * 1e6 for peer, t in found.items()}
                ratios = {peer: ratio(t, found["accelnn"]) for peer, t in found.items() if peer != "accelnn"}
                page["results"].append({"work": what, "net": name, "batch": batch, "threads": threads, **extra, "us": us, "ratio": ratios})
                best.append(min(ratios.values()))
                times = "  ".join(f"{peer} {t:8.1f}" for peer, t in us.items()) + "".join(f"  {k} {v:.2f}" for k, v in extra.items())
                print(f"{what} b{batch:<2} {threads} T {name:12} us: {times}  best peer / accelnn {best[-1]:.2f}", flush=True)
            print(f"{what} b{batch} {threads} T: geomean {math.prod(best) ** (1 / len(best)):.2f}, least {min(best):.2f}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(page, indent=1) + "\n")


if __name__ == "__main__":
    main()
