"""What this machine can do at most, measured in the same run as everything that is compared with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import _C

LEVELS = ("L1", "L2", "L3", "DRAM")
KINDS = ("fma", "int8", "bf16")
PAGE = 4096


def sizes(threads: int) -> dict[str, int]:
    """Bytes that each level holds for all threads together; DRAM holds anything."""
    m = _C.machine()
    return {"L1": m["l1"] * threads, "L2": m["l2"] * threads, "L3": m["l3"]}


def level_of(nbytes: int, threads: int) -> str:
    """The fastest level that holds so many bytes."""
    return next((name for name, size in sizes(threads).items() if nbytes <= size), "DRAM")


def read_bytes(level: str, threads: int) -> int:
    """Bytes that each thread reads to measure a level: half of what it holds, for memory four times the last cache."""
    held = sizes(threads)
    share = 4 * held["L3"] // threads if level == "DRAM" else held[level] // threads // 2
    return max(share // PAGE * PAGE, PAGE)


def measure(threads: int, milliseconds: float = 30.0, repeats: int = 4) -> dict[str, Any]:
    """{"fma": {"name": ..., "rate": operations/s}, ..., "read": {"L1": bytes/s ...}, "read_4k": {...}}: the best of `repeats`, since nothing makes a
    loop quicker than the machine. Instructions that the CPU (or ACCELNN_ISA) lacks are left out. read_4k: the same on pages of 4 KiB. copy: from memory
    to memory past the caches, bytes read and written."""
    found: dict[str, Any] = {}
    for kind in KINDS:
        seen = [x for _ in range(repeats) if (x := _C.ceiling(kind, 0, milliseconds, threads)) is not None]
        if seen:
            found[kind] = {"name": seen[0][0], "rate": max(rate for _, rate in seen)}
    if seen := [x for _ in range(repeats) if (x := _C.ceiling("copy", read_bytes("DRAM", threads), milliseconds, threads)) is not None]:
        found["copy"] = {"name": seen[0][0], "rate": max(rate for _, rate in seen)}
    for key, huge in (("read", True), ("read_4k", False)):
        found[key] = {level: max(_read(level, threads, milliseconds, huge) for _ in range(repeats)) for level in LEVELS}
    return found


def _read(level: str, threads: int, milliseconds: float, huge: bool) -> float:
    seen = _C.ceiling("read", read_bytes(level, threads), milliseconds, threads, huge)
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


def binding(ceilings: dict[str, Any], peak: str, flops: float, nbytes: float, working_set: int, threads: int) -> dict[str, Any]:
    """Which limit holds this work: {"name", "kind", "rate", "unit", "work", "seconds" that it takes at least}. The roofline: the slower of arithmetic at
    its instruction's peak and all bytes once at the bandwidth of the level that holds the inputs of all calls. With `peak` "copy", work that writes as
    much as it reads: beyond the caches its limit is the copy."""
    level = level_of(working_set, threads)
    limits = [{"name": level, "kind": f"read {level}", "rate": ceilings["read"][level], "unit": "B/s", "work": nbytes}]
    if peak == "copy" and level == "DRAM" and "copy" in ceilings:
        limits = [{"name": "copy", "kind": "copy", "rate": ceilings["copy"]["rate"], "unit": "B/s", "work": nbytes}]
    if flops and peak in KINDS and peak in ceilings:
        limits.append({"name": ceilings[peak]["name"].split()[-1], "kind": peak, "rate": ceilings[peak]["rate"], "unit": "OP/s", "work": flops})
    for limit in limits:
        limit["seconds"] = limit["work"] / limit["rate"]
    return max(limits, key=lambda limit: limit["seconds"]) | {"level": level}
