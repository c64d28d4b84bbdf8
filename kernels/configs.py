"""Tables of block sizes: gpu_configs.json beside a kernel says, by device and shape, how a kernel is cut. Written by measurements, only read here:
nothing is timed while a program runs.

    {"matmul_bfloat16": {"sm_90": [{"shape": [4096, 4096, 4096], "BM": 128, "BN": 256, "BK": 64, "warps": 8, "stages": 3}, ...],
                         "any":   [...]}}

`accelnn kernels tune` writes entries. A device that a kernel has no list for reads "any". Of a list that entry is taken whose shape is nearest: by the
sum of squares of the differences of logarithms, since 64 is to 128 what 1024 is to 2048; of two as near, the first."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

NAME = "gpu_configs.json"


class ConfigError(ValueError):
    """A table that cannot be what a kernel asks for."""


@lru_cache(maxsize=256)
def table(folder: str) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """The checked table of a folder."""
    path = Path(folder) / NAME
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as e:
        raise ConfigError(f"{path}: a table of configurations expected: {e}") from None
    for kernel, devices in _items(path, found):
        for device, entries in _items(f"{path}: {kernel}", devices):
            if not isinstance(entries, list) or not entries:
                raise ConfigError(f"{path}: {kernel}, {device}: a list of entries expected, not {entries!r}")
            for entry in entries:
                _check(f"{path}: {kernel}, {device}", entry, entries[0])
    return found  # type: ignore[no-any-return]


def _items(where: Any, x: Any) -> Any:
    if not isinstance(x, dict):
        raise ConfigError(f"{where}: an object expected, not {x!r}")
    return x.items()


def _check(where: str, entry: Any, first: Any) -> None:
    if not isinstance(entry, dict) or not isinstance(entry.get("shape"), list):
        raise ConfigError(f"{where}: an entry with a shape expected, not {entry!r}")
    if not all(isinstance(n, int) and n > 0 for n in (*entry["shape"], *(v for k, v in entry.items() if k != "shape"))):
        raise ConfigError(f"{where}: positive whole numbers expected, not {entry!r}")
    if not isinstance(first, dict) or entry.keys() != first.keys() or len(entry["shape"]) != len(first["shape"]):
        raise ConfigError(f"{where}: {entry!r} has other names or dims than the first entry {first!r}")


def distance(a: Sequence[int], b: Sequence[int]) -> float:
    """Of two shapes: empty dims count as 1."""
    return sum((math.log2(max(x, 1)) - math.log2(max(y, 1))) ** 2 for x, y in zip(a, b, strict=True))


@lru_cache(maxsize=65536)
def _nearest(folder: str, kernel: str, arch: str, shape: tuple[int, ...]) -> dict[str, int]:
    devices = table(folder).get(kernel)
    if devices is None:
        raise ConfigError(f"{Path(folder) / NAME}: no kernel {kernel}; it has {', '.join(table(folder))}")
    entries = devices.get(arch, devices.get("any"))
    if entries is None:
        raise ConfigError(f"{Path(folder) / NAME}: {kernel} has neither {arch} nor any")
    if len(entries[0]["shape"]) != len(shape):
        raise ConfigError(f"{Path(folder) / NAME}: {kernel} lists shapes of {len(entries[0]['shape'])} dims, asked for {shape}")
    best = min(entries, key=lambda e: distance(e["shape"], shape))
    return {k: v for k, v in best.items() if k != "shape"}


def nearest(file: str, kernel: str, arch: str, shape: Sequence[int]) -> dict[str, int]:
    """The configuration of `kernel` for a device and a shape, from the table beside `file`."""
    folder = str(Path(file).parent)
    found = dict(_nearest(folder, kernel, arch, tuple(shape)))
    for other in _watching:
        found = other(folder, kernel, tuple(shape), found)
    return found


Watch = Callable[[str, str, tuple[int, ...], dict[str, int]], dict[str, int]]
_watching: list[Watch] = []


@contextlib.contextmanager
def watched(by: Watch) -> Iterator[None]:
    """Inside, by(folder, kernel, shape, configuration) says what each question to a table is answered: how a tuner tries another configuration."""
    _watching.append(by)
    try:
        yield
    finally:
        _watching.remove(by)


def replaced(found: dict[str, dict[str, list[dict[str, Any]]]], kernel: str, arch: str, shape: Sequence[int], config: dict[str, int]) -> str:
    """The text of a table in which this is the entry of the shape. A device that read "any" gets a list of its own, which begins as a copy of that:
    otherwise the one new entry would count for all of its shapes."""
    devices = found[kernel]
    entries = [dict(e) for e in devices.get(arch, devices.get("any", []))]
    entry = {"shape": list(shape), **config}
    at = next((i for i, e in enumerate(entries) if e["shape"] == entry["shape"]), len(entries))
    entries[at:] = [entry, *entries[at + 1 :]]
    return text({**found, kernel: {**devices, arch: entries}})


def text(found: dict[str, dict[str, list[dict[str, Any]]]]) -> str:
    """A line an entry."""
    kernels = []
    for kernel, devices in found.items():
        lists = [f"    {json.dumps(d)}: [\n" + ",\n".join(f"      {json.dumps(e)}" for e in entries) + "\n    ]" for d, entries in devices.items()]
        kernels.append(f"  {json.dumps(kernel)}: {{\n" + ",\n".join(lists) + "\n  }")
    return "{\n" + ",\n".join(kernels) + "\n}\n"
