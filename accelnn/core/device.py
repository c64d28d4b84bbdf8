"""The machine: what it can do and how many threads are used."""

from __future__ import annotations

from .. import _C
from .errors import AttributeValueError


def isa_level() -> str:
    """The highest level that is in use: base, avx2, avxvnni, avx512, vnni, amx."""
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
