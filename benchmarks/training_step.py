"""One training step of LeNet-5 (batch 64, AdamW): compiled, eager, and torch eager, in one process.

Alternating blocks of at least 0.2 s with an idle gap for thread pools to fall asleep, medians of the blocks' medians, ratios block by block.
  python benchmarks/training_step.py [--threads 1 2] [--rounds 9] [--json FILE]          needs torch (make parity)"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from alternate import alternate, document, ratio

import accelnn as an
from accelnn.cli.demo import lenet
from accelnn.core.optional import need


def accelnn_step(compiled: bool, x: np.ndarray, y: np.ndarray) -> Callable[[], float]:
    an.seed(0)
    net, loss = lenet(an.nn), an.nn.CrossEntropyLoss()
    optimizer = an.optim.AdamW(net.parameters(), lr=1e-3)

    def step(images: Any, labels: Any) -> Any:
        optimizer.zero_grad()
        value = loss(net(images), labels)
        value.backward()
        optimizer.step()
        return value

    run = an.compile(step) if compiled else step
    images, labels = an.tensor(x), an.tensor(y)
    return lambda: float(run(images, labels).item())


def torch_step(x: np.ndarray, y: np.ndarray) -> Callable[[], float]:
    torch = need("torch", "torch")
    net = lenet(torch.nn)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    images, labels = torch.from_numpy(x), torch.from_numpy(y)

    def step() -> float:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(net(images), labels)
        value.backward()
        optimizer.step()
        return float(value.detach())

    return step


def measure(threads: int, rounds: int) -> dict[str, Any]:
    torch = need("torch", "torch")
    an.set_num_threads(threads)
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    x, y = rng.random((64, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, 64)
    steps = {"compiled": accelnn_step(True, x, y), "eager": accelnn_step(False, x, y), "torch": torch_step(x, y)}
    found = alternate(steps, rounds, 0.2)
    result: dict[str, Any] = {"threads": threads, "ms": {name: statistics.median(t) * 1e3 for name, t in found.items()}}
    return result | {f"torch/{name}": ratio(found["torch"], found[name]) for name in ("compiled", "eager")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch = need("torch", "torch")
    peer = f"torch {torch.__version__} eager, NCHW, mkldnn {torch.backends.mkldnn.is_available()}"
    page = document("LeNet-5 training step, batch 64, AdamW", peer=peer)
    for threads in args.threads:
        row = measure(threads, args.rounds)
        page["results"].append(row)
        ms = ", ".join(f"{name} {t:.2f} ms" for name, t in row["ms"].items())
        print(f"{threads} thread(s): {ms}; torch takes {row['torch/compiled']:.2f}x the compiled and {row['torch/eager']:.2f}x the eager step")
    if args.json:
        args.json.write_text(json.dumps(page, indent=1) + "\n")


if __name__ == "__main__":
    main()
