"""accelnn.torch.Linear beside torch.nn.Linear: one process, alternating blocks, medians, as ratios.

    python benchmarks/torch_linear.py [--threads 1 2] [--batch 1 8 128] [--rounds 3] [--json linear.json]
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alternate import alternate, document, ratio

import accelnn as an
from accelnn.core.optional import need

WIDTHS = ((768, 768), (768, 3072), (3072, 768))
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)


def pair(torch: Any, wide_in: int, wide_out: int, batch: int) -> tuple[Any, Any, Any]:
    import accelnn.torch as ant

    torch.manual_seed(batch)
    ours, theirs = ant.Linear(wide_in, wide_out), torch.nn.Linear(wide_in, wide_out)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(batch, wide_in)
    error = (ours(x) - theirs(x)).abs().max().item()
    assert error <= 1e-4, error
    return ours, theirs, x


def forward(torch: Any, layer: Any, x: Any) -> Callable[[], Any]:
    def run() -> None:
        with torch.inference_mode():
            layer(x)

    return run


def training(torch: Any, layer: Any, x: Any, dy: Any) -> Callable[[], Any]:
    """Forward, backward to the input and the parameters, gradients dropped as zero_grad() does."""
    x = x.clone().requires_grad_()
    parameters = (x, *layer.parameters())

    def run() -> None:
        layer(x).backward(dy)
        for p in parameters:
            p.grad = None

    return run


def measure(torch: Any, widths: tuple[int, int], batch: int, rounds: int, seconds: float) -> dict[str, Any]:
    ours, theirs, x = pair(torch, *widths, batch)
    dy = torch.randn(batch, widths[1])
    row: dict[str, Any] = {"in": widths[0], "out": widths[1], "batch": batch}
    for what, make in (("forward", lambda m: forward(torch, m, x)), ("training", lambda m: training(torch, m, x, dy))):
        runs = {"accelnn": make(ours), "torch": make(theirs)}
        found = alternate(runs, rounds, seconds, gap=0.01)
        row[what] = {name: statistics.median(t) * 1e6 for name, t in found.items()}
        row[what]["ratio"] = ratio(found["torch"], found["accelnn"])
    return row


def overhead(torch: Any) -> dict[str, float]:
    """Microseconds of a 16 -> 16 layer at batch 1: there is next to nothing to compute. `call` is what an empty nn.Module costs."""

    class Empty(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x

    ours, theirs, x = pair(torch, 16, 16, 1)
    layers = {"accelnn": ours, "torch": theirs, "call": Empty()}

    def each(layer: Any) -> float:
        begin = time.perf_counter()
        for _ in range(2000):
            layer(x)
        return (time.perf_counter() - begin) / 2000 * 1e6

    with torch.inference_mode():
        found: dict[str, list[float]] = {name: [] for name in layers}
        for _ in range(15):
            for name, layer in layers.items():
                found[name].append(each(layer))
    return {name: statistics.median(t) for name, t in found.items()}


def geomean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--batch", type=int, nargs="*", default=list(BATCHES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.05, help="length of a block")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch = need("torch", "torch")
    backends = [name for name in ("mkldnn", "mkl") if getattr(torch.backends, name).is_available()]
    peer = f"torch {torch.__version__} with its own choice of {', '.join(backends)}"
    page = document("accelnn.torch.Linear beside torch.nn.Linear", peer=peer)
    for threads in args.threads:
        an.set_num_threads(threads)
        torch.set_num_threads(threads)
        result: dict[str, Any] = {"threads": threads, "overhead_us": overhead(torch), "rows": []}
        cost = result["overhead_us"]
        print(f"{threads} thread(s). A call with nothing to compute: {cost['accelnn']:.1f} us, torch {cost['torch']:.1f}, of it nn.Module {cost['call']:.1f}")
        print(f"{'in':>5} {'out':>5} {'batch':>5} | {'forward us':>10} {'torch':>9} {'ratio':>6} | {'training us':>11} {'torch':>9} {'ratio':>6}")
        for widths in WIDTHS:
            for batch in args.batch:
                row = measure(torch, widths, batch, args.rounds, args.seconds)
                result["rows"].append(row)
                f, t = row["forward"], row["training"]
                print(f"{row['in']:5} {row['out']:5} {batch:5} | {f['accelnn']:10.1f} {f['torch']:9.1f} {f['ratio']:6.2f} |"
                      f" {t['accelnn']:11.1f} {t['torch']:9.1f} {t['ratio']:6.2f}", flush=True)  # fmt: skip
        result["geomean"] = {what: geomean([r[what]["ratio"] for r in result["rows"]]) for what in ("forward", "training")}
        print(f"geomean of {len(result['rows'])}: forward {result['geomean']['forward']:.2f}, training {result['geomean']['training']:.2f}\n", flush=True)
        page["results"].append(result)
    if args.json:
        args.json.write_text(json.dumps(page, indent=1) + "\n")


if __name__ == "__main__":
    main()
