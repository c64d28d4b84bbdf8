"""What this machine can do at most, measured in the same run as everything that is compared with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from .. import _C
from ..core.roofline import KINDS, binding, level_of, sizes

__all__ = ["KINDS", "LEVELS", "best", "binding", "kinds", "level_of", "measure", "rate_of", "read_bytes", "sizes"]

LEVELS = ("L1", "L2", "L3", "DRAM")
PAGE = 4096


def read_bytes(level: str, threads: int) -> int:
    """Bytes that each thread reads to measure a level: half of what it holds, for memory four times the last cache."""
    held = sizes(threads)
    share = 4 * held["L3"] // threads if level == "DRAM" else held[level] // threads // 2
    return max(share // PAGE * PAGE, PAGE)


def measure(threads: int, milliseconds: float = 30.0, repeats: int = 4, only: Collection[str] | None = None) -> dict[str, Any]:
    """{"fma": {"name": ..., "rate": operations/s}, ..., "read": {"L1": bytes/s ...}, "read_4k": {...}}: the best of `repeats`, since nothing makes a
    loop quicker than the machine. Instructions that the CPU (or ACCELNN_ISA) lacks are left out. read_4k: the same on pages of 4 KiB. copy: from memory
    to memory past the caches, bytes read and written. only: names as `kinds` gives them, where no more is wanted."""
    found: dict[str, Any] = {}
    for kind, nbytes in (*((kind, 0) for kind in KINDS), ("copy", read_bytes("DRAM", threads))):
        if only is not None and kind not in only:
            continue
        seen = _C.ceiling(kind, nbytes, milliseconds, threads, repeats=repeats)
        if seen is not None:
            found[kind] = {"name": seen[0], "rate": seen[1]}
    levels = [level for level in LEVELS if only is None or f"read {level}" in only]
    for key, huge in (("read", True), ("read_4k", False)) if only is None else (("read", True),):
        found[key] = {level: _read(level, threads, milliseconds, huge, repeats) for level in levels}
    return found


def _read(level: str, threads: int, milliseconds: float, huge: bool, repeats: int) -> float:
    seen = _C.ceiling("read", read_bytes(level, threads), milliseconds, threads, huge, repeats)
    assert seen is not None  # every machine has loads
    return seen[1]


def best(several: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The higher of each, for measurements before and after."""
    merged: dict[str, Any] = {}
    for found in several:
        for key, value in found.items():
            if key not in merged:
                merged[key] = dict(value)
            elif "rate" in value:
                merged[key]["rate"] = max(merged[key]["rate"], value["rate"])
            else:
                merged[key] = {level: max(rate, merged[key][level]) for level, rate in value.items()}
    return merged


def kinds(found: dict[str, Any]) -> list[str]:
    """Every limit by its name: fma, int8, bf16, copy, read L1 ..."""
    return [k for k in (*KINDS, "copy") if k in found] + [f"read {level}" for level in found["read"]]


def rate_of(found: dict[str, Any], kind: str) -> float:
    """Of a limit by its name, 0 where it was not measured."""
    if kind.startswith("read "):
        return float(found.get("read", {}).get(kind[5:], 0.0))
    return float(found.get(kind, {}).get("rate", 0.0))
