"""The machine: what it can do and how many threads are used."""

from __future__ import annotations

import os
from typing import Any

from .. import _C
from .errors import AttributeValueError, Error
from .registry import KERNELS


def caps() -> dict[str, Any]:
    """CPU name, ISA bits (capped by ACCELNN_ISA), cache sizes, threads, allocator statistics."""
    return dict(_C.machine())


def require_sound_environment() -> None:
    """Raises where ACCELNN_ISA names no level or ACCELNN_KERNEL no row: a typing error must not look like a measurement."""
    if problem := _C.machine()["problem"]:
        raise Error(problem)
    for item in filter(None, os.environ.get("ACCELNN_KERNEL", "").split(",")):
        op, _, row = item.partition(":")
        rows = [r["name"] for r in KERNELS[op]["rows"]] if op in KERNELS else []
        if not rows:
            raise Error(f"ACCELNN_KERNEL={item}: there is no op {op!r}; expected op:row[,op:row] with ops of: accelnn kernels")
        if not any(name == row or name.endswith(f"_{row}") for name in rows):
            raise Error(f"ACCELNN_KERNEL={item}: {op} has no row {row!r}; its rows are {', '.join(rows)}")


def isa_level() -> str:
    """The highest level that is in use: base, avx2, avx512, vnni."""
    machine = _C.machine()
    names: list[str] = [name for name, bits in machine["levels"].items() if name != "native" and machine["isa"] & bits == bits]
    return names[-1]


def set_num_threads(n: int) -> None:
    """Threads of the process's pool, n >= 1. Results never depend on it."""
    if n < 1:
        raise AttributeValueError(f"set_num_threads({n}): at least one thread")
    _C.set_threads(int(n))


def get_num_threads() -> int:
    return int(_C.machine()["threads"])
