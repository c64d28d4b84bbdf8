"""Peers in one process: alternating blocks, idle gaps for thread pools to fall asleep, medians of the blocks' medians, ratios block by block."""

from __future__ import annotations

import datetime
import statistics
import subprocess
import time
from collections.abc import Callable
from typing import Any

from accelnn import _C


def block(run: Callable[[], Any], seconds: float, gap: float = 0.05) -> float:
    """Median seconds of a call over a block, then a gap."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    time.sleep(gap)
    return statistics.median(times)


def alternate(runs: dict[str, Callable[[], Any]], rounds: int, seconds: float, gap: float = 0.05) -> dict[str, list[float]]:
    """Seconds a call of each of `runs`, a median for every round; the first, unmeasured round warms caches and pools."""
    for run in runs.values():
        block(run, seconds / 4, gap)
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(block(run, seconds, gap))
    return found


def ratio(peer: list[float], own: list[float]) -> float:
    """How many times as long the peer takes: the median of the rounds' ratios."""
    return statistics.median(p / o for p, o in zip(peer, own))


def document(what: str, **facts: Any) -> dict[str, Any]:
    """The head of a result file: what was measured, when, at which commit, on what."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return {"what": what, "date": datetime.date.today().isoformat(), "commit": commit, "cpu": _C.machine()["cpu"].strip(), **facts, "results": []}
