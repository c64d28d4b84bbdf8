"""One training step of LeNet-5 (batch 64, AdamW): compiled, eager, and torch eager, in one process.

Alternating blocks of at least 0.2 s with an idle gap for thread pools to fall asleep, medians of the blocks' medians, ratios block by block.
  python benchmarks/training_step.py [--threads 1 2] [--rounds 9] [--json FILE]          needs torch (make parity)"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import accelnn as an
from accelnn import _C
from accelnn.cli.demo import lenet
from accelnn.core.optional import need

BLOCK, GAP = 0.2, 0.05  # seconds


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


def block(step: Callable[[], float]) -> float:
    """Median seconds of a step, over a block."""
    times: list[float] = []
    end = time.perf_counter() + BLOCK
    while time.perf_counter() < end or len(times) < 5:
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    time.sleep(GAP)
    return statistics.median(times)


def measure(threads: int, rounds: int) -> dict[str, Any]:
    torch = need("torch", "torch")
    an.set_num_threads(threads)
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    x, y = rng.random((64, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, 64)
    steps = {"compiled": accelnn_step(True, x, y), "eager": accelnn_step(False, x, y), "torch": torch_step(x, y)}
    for step in steps.values():
        block(step)
    found: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            found[name].append(block(step))
    result: dict[str, Any] = {"threads": threads, "ms": {name: statistics.median(t) * 1e3 for name, t in found.items()}}
    for name in ("compiled", "eager"):
        result[f"torch/{name}"] = statistics.median(t / own for t, own in zip(found["torch"], found[name]))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch = need("torch", "torch")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    document = {"what": "LeNet-5 training step, batch 64, AdamW", "date": datetime.date.today().isoformat(), "commit": commit,
                "cpu": _C.machine()["cpu"].strip(),
                "peer": f"torch {torch.__version__} eager, NCHW, mkldnn {torch.backends.mkldnn.is_available()}", "results": []}  # fmt: skip
    for threads in args.threads:
        row = measure(threads, args.rounds)
        document["results"].append(row)
        ms = ", ".join(f"{name} {t:.2f} ms" for name, t in row["ms"].items())
        print(f"{threads} thread(s): {ms}; torch takes {row['torch/compiled']:.2f}x the compiled and {row['torch/eager']:.2f}x the eager step")
    if args.json:
        args.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
