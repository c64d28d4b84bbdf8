"""What the machine allows at most: which of its limits holds a piece of work. The limits are measured by bench/ceilings.py."""

from __future__ import annotations

from typing import Any

from .. import _C

KINDS = ("fma", "int8", "bf16")  # of arithmetic


def sizes(threads: int) -> dict[str, int]:
    """Bytes that each level holds for all threads together; DRAM holds anything."""
    m = _C.machine()
    return {"L1": m["l1"] * threads, "L2": m["l2"] * threads, "L3": m["l3"]}


def level_of(nbytes: int, threads: int) -> str:
    """The fastest level that holds so many bytes."""
    return next((name for name, size in sizes(threads).items() if nbytes <= size), "DRAM")


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


def limit(ceilings: dict[str, Any], peak: str, flops: float, nbytes: float, fixed: float, plan_bytes: float, threads: int) -> tuple[str, float] | None:
    """(the limit that binds, the seconds that it takes at least) for one call of a Plan, or None where nothing of what it needs was measured: the
    arithmetic at its peak; all its bytes from the fastest level that holds them; the `fixed` among them (weights) from the level that holds all that the
    Plan reads and writes, since the calls in between have driven them out of the others."""
    read = ceilings.get("read", {})
    found = [(level, n / read[level]) for n, held in ((nbytes, nbytes), (fixed, plan_bytes)) if n and (level := level_of(int(held), threads)) in read]
    if flops and peak in ceilings:
        found.append((ceilings[peak]["name"].split()[-1], flops / ceilings[peak]["rate"]))
    return max(found, key=lambda one: one[1], default=None)
