"""`accelnn bench --device cuda`: device rows beside torch's libraries and the chip's own limits, on graphs that are replayed (docs/bench.md)."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from ... import _C
from ...core.errors import AttributeValueError
from ...core.remote import Device, device_named
from .. import document as records
from ..cases import Case
from . import limits
from .numbers import Numbers
from .report import Printer
from .session import ONCE, PACE, QUICK, Bench, number_of
from .targets import Answer, judged
from .works import WORKS, work_named

for _name in ("products", "attending", "layers", "moves"):  # each fills the table with the works of its family
    import_module(f".{_name}", __package__)

SHAPES = Path(__file__).with_name("shapes.toml")


@cache
def table() -> list[dict[str, Any]]:
    """The groups of shapes.toml, in order, each with its `works`."""
    with open(SHAPES, "rb") as file:
        groups: list[dict[str, Any]] = tomllib.load(file)["group"]
    for g in groups:
        g["works"] = g.get("works", [g.get("work")])
    return groups


def cases(ops: Sequence[str] = (), shapes: Sequence[str] = (), kind: str = "shapes") -> list[Case]:
    """Everything, or the works of some ops, by the table's shapes (kind: shapes, quick or tiny), or by shapes of one's own."""
    chosen = [w for name in ops for w in _works(name)]
    if shapes:
        if not chosen:
            raise AttributeValueError("--shapes needs the op that they are for: accelnn bench --device cuda matmul_bf16 --shapes 4096x4096x4096")
        for work in chosen:
            for shape in shapes:
                work_named(work).draw(Numbers(size=1 << 10), shape)  # says what is wrong with a shape before anything is measured
        return [Case(work, work, shape) for work in chosen for shape in shapes]
    return [Case(g["name"], work, shape, "" if "work" in g else f"{work} {shape}") for g in table() for work in g["works"] if not ops or work in chosen
            for shape in g.get(kind, [])]  # fmt: skip


def _works(name: str) -> list[str]:
    """Works that an argument means: itself, and those of the op."""
    found = list(dict.fromkeys([*([name] if name in WORKS else []), *(k for k, w in WORKS.items() if w.op == name)]))
    return found or [work_named(name).name]


def opened(device: Device, settings: dict[str, Any]) -> dict[str, Any]:
    """A document without results: the device, the driver, versions, the commit, the day."""
    made = records.new(settings)
    made["machine"]["gpu"] = about(device)
    made["launch_seconds"] = None
    return made


def about(device: Device) -> dict[str, Any]:
    """What the driver says of it; of an emulated one what is known."""
    if device.name.startswith("cuda"):
        return dict(_C.cuda.device_info(number_of(device)))
    return {"name": f"the device {device.name!r}", "arch": device.arch, "units": device.units, "driver": None}


def run(chosen: Sequence[Case], device: str = "cuda", pace: str = "full", against: Sequence[str] = ("torch",), rows: bool = False, check: bool = True,
        printer: Printer | None = None, keep: Callable[[dict[str, Any]], None] = lambda document: None) -> dict[str, Any]:
    """Measures cases on a device in this process, and returns the record. keep: is given the record after every case, so that what was measured outlives
    whatever happens to the next one. DeviceError where there is no such device."""
    bench = Bench(device_named(device), {"full": PACE, "quick": QUICK, "once": ONCE}[pace], against, rows, check)
    record = opened(bench.device, asdict(bench.pace) | {"against": list(against), "device": device, "rows": rows, "checked": check, "threads": [0]})
    if bench.peers is not None:
        record["libraries"]["torch"] = bench.peers.about()
    if printer:
        printer.opening(record)
    found = limits.measure(bench)
    record["sessions"].append({"threads": 0, "ceilings": found, "libraries": {}, "absent": {}})
    record["launch_seconds"] = limits.launch_cost(bench)
    if printer:
        printer.limits(found)
    keep(record)
    for case in chosen:
        for line in bench.measure(case):
            record["rows"].append(line)
            if printer:
                printer.row(line, found)
        keep(record)
    record["targets"] = [a.json() for a in judged(record)] if not rows else []
    if printer:
        printer.closing(record, [] if rows else judged(record))
    keep(record)
    return record


__all__ = ["Answer", "Bench", "Printer", "about", "cases", "judged", "opened", "run", "table", "work_named"]
