"""Which work is measured at which shapes: shapes.toml, the command line, or an op's own samples."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .. import _C
from ..core.dtypes import DType, as_dtype
from ..core.errors import AttributeValueError
from ..core.registry import OPS
from .works import WORKS, Work, work_named

SHAPES = Path(__file__).with_name("shapes.toml")
for _path in sorted(SHAPES.parent.glob("works_*.py")):  # each fills the table with the works of its family
    import_module(f".{_path.stem}", __package__)


@dataclass(frozen=True)
class Case:
    """One line of the result: a work at a shape, in a group that gets its own heading and geometric mean."""

    group: str
    work: str
    shape: str
    name: str = ""        # as it is printed, where the shape alone does not say it

    @property
    def label(self) -> str:
        return self.name or self.shape

    @property
    def key(self) -> str:
        return f"{self.group} | {self.label}"

    def find(self) -> Work:
        return work_named(self.work)


@cache
def table() -> list[dict[str, Any]]:
    """The groups of shapes.toml, in order, each with its `works`; those whose op this version does not have are left out."""
    with open(SHAPES, "rb") as file:
        groups = tomllib.load(file)["group"]
    for g in groups:
        g["works"] = [w for w in g.get("works", [g.get("work")]) if w in WORKS or w in OPS]
    return [g for g in groups if g["works"]]


def cases(ops: Sequence[str] = (), shapes: Sequence[str] = (), quick: bool = False) -> list[Case]:
    """Everything, or the groups of some ops, works or kernels (`pointwise`); with shapes of one's own in place of the table's. Whatever has no group is
    measured on its samples."""
    unknown = [name for name in ops if not _works(name)]
    if unknown:
        raise AttributeValueError(f"nothing to measure is called '{unknown[0]}'; there are {', '.join(sorted({*WORKS, *_plain_ops()}))}")
    chosen = list(dict.fromkeys(w for name in ops for w in _works(name))) if ops else [*WORKS, *_plain_ops()]
    if shapes:
        return _asked_for(ops, chosen, shapes)
    found = [Case(g["name"], work, s, "" if "work" in g else f"{work} {s.replace('*', '')}") for g in table() for work in g["works"] if work in chosen
             for s in (g.get("quick", []) if quick else g["shapes"])]  # fmt: skip
    in_table = {w for g in table() for w in g["works"]} | {WORKS[w].op for g in table() for w in g["works"] if w in WORKS}
    if not quick or ops:
        found += [Case("other ops, on samples", name, f"#{i}", f"{name} {text}") for name in chosen if name not in in_table and name in OPS
                  for i, text in _largest_samples(name)]  # fmt: skip
    return found


def _asked_for(ops: Sequence[str], chosen: Sequence[str], shapes: Sequence[str]) -> list[Case]:
    if not ops:
        raise AttributeValueError("--shapes needs the op that they are for: accelnn bench matmul --shapes 512x512x512")
    works = [name for name in chosen if name in WORKS and name != "matmul_plan"] or list(chosen)
    names = {work: g["title"] for g in table() if "title" in g for work in g["works"]}
    for name in works:
        for shape in shapes:
            work_named(name).draw(np.random.default_rng(0), shape)      # says what is wrong with a shape before anything is measured
    return [Case(names.get(name, name), name, shape) for name in works for shape in shapes]


def _plain_ops() -> list[str]:
    return [name for name, op in OPS.items() if op.view is None and list(op.samples())]


def _works(name: str) -> list[str]:
    """Works that an argument means: itself, those of the op, or of all ops with that kernel."""
    if name in WORKS and name not in OPS:
        return [name]
    ops = [name] if name in _plain_ops() else [n for n in _plain_ops() if (OPS[n].kernel or "pointwise") == name]
    chains = [k for k, v in WORKS.items() if v.op == name and name not in _plain_ops()]
    return chains + [w for op in ops for w in ([k for k, v in WORKS.items() if v.op == op] or [op])]


def _largest_samples(name: str) -> list[tuple[int, str]]:
    """Number and first operand of the largest sample of each dtype that an op has rows for."""
    best: dict[DType, tuple[int, int, str]] = {}
    for i, (arrays, _) in enumerate(OPS[name].samples()):
        first = np.asarray(arrays[0])
        dtype, size = as_dtype(first.dtype), sum(np.asarray(a).size for a in arrays if a is not None)
        if size > best.get(dtype, (0, 0, ""))[0]:
            best[dtype] = (size, i, f"{'x'.join(map(str, first.shape))} {_C.dtypes[dtype]}")
    return [(i, text) for _, i, text in best.values()]
