"""compress: a smaller model, and the honest ledger of what that cost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..core.errors import AttributeValueError, UnsupportedError
from ..passes.quantize import quantize
from .model import Model, freeze


def _batches(data: np.ndarray, size: int) -> Iterator[tuple[np.ndarray]]:
    for at in range(0, len(data), size):
        yield (np.ascontiguousarray(data[at : at + size]),)


def _accuracy(model: Model, data: np.ndarray, labels: np.ndarray) -> float:
    return float((model(data).numpy().argmax(-1) == labels).mean())


def latency_us(model: Model, example: np.ndarray, repeat: int = 200) -> float:
    """Median microseconds of one run on `example`."""
    model(example)
    times = []
    for _ in range(repeat):
        begin = time.perf_counter_ns()
        model(example)
        times.append(time.perf_counter_ns() - begin)
    return float(np.median(times)) / 1e3


def compress(model: Any, data: Any, labels: Any = None, bits: int = 8, sparsity: float = 0.0, coverage: float = 1.0, quiet: bool = False) -> Model:
    """An int8 Model from a float Model or Module.

    data: float32[n, ...] of real inputs, on which activations are calibrated; with labels int64[n] the ledger also says what accuracy it cost.
    The ledger (bytes, accuracy and batch-1 latency before and after) is printed and kept as `.ledger` of the result."""
    if bits != 8:
        raise UnsupportedError(f"compress(bits={bits}): this version quantizes to 8 bits")
    if sparsity:
        raise UnsupportedError(f"compress(sparsity={sparsity}): pruning is not in this version")
    if not 0.5 < coverage <= 1.0:
        raise AttributeValueError(f"compress: coverage = {coverage} is not in (0.5, 1]")
    data = np.asarray(data, np.float32)
    before = freeze(model, data[:2])
    after = Model(quantize(before.graph, _batches(data, 128), coverage))
    ledger: dict[str, dict[str, float]] = {"bytes": {"before": len(before.file), "after": len(after.file)},
                                           "latency_us": {"before": latency_us(before, data[:1]), "after": latency_us(after, data[:1])}}  # fmt: skip
    if labels is not None:
        ledger["accuracy"] = {"before": _accuracy(before, data, np.asarray(labels)), "after": _accuracy(after, data, np.asarray(labels))}
    after.ledger = ledger
    if not quiet:
        for what, pair in ledger.items():
            note = "  (slower than before)" if what == "latency_us" and pair["after"] > pair["before"] else ""
            print(f"{what:>11}: {pair['before']:>12,.4g} -> {pair['after']:>12,.4g}{note}")
    return after
