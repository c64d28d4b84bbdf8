"""--rows: every row of an op's table on the same call, and whether the dispatcher picks the fastest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from .. import _C
from ..core.dispatch import explain, operands
from ..core.dtypes import as_dtype
from ..core.registry import KERNELS, OPS
from .cases import Case
from .measure import Contestant, alternate, input_sets, row, wrong
from .stats import differs, ratios
from .works import Inputs

SLOW = 0.5  # seconds a call: a row that needs more is not waited for; it is a reference row or a base row on a large shape


def measure(case: Case, job: Any, timer: Any, limits: dict[str, Any], tick: Callable[[str], None]) -> list[dict[str, Any]]:
    """One line a row, in the table's order: its time, or why it has none; the pick marked, and on the pick's line whether another one beats it."""
    work = case.find()
    if not work.eager:
        return []
    tick("inputs and float64 results")
    sets = input_sets(work, case.shape)
    called = [work.operands(x) for x in sets]
    truths = [work.right(x) for x in sets]
    op = OPS[work.op]
    refusals = dict(explain(work.op, called[0].specs(), called[0].attrs))
    pick = next((name for name, why in refusals.items() if why is None), None)
    lines: list[dict[str, Any]] = []
    found: list[Contestant] = []
    for entry in KERNELS[op.kernel or "pointwise"]["rows"]:
        name = entry["name"]
        if entry["dtype"] != _C.dtypes[as_dtype(sets[0].arrays[0].dtype)]:
            continue
        tick(name)
        line = {"op": op.name, "dtype": entry["dtype"], "subject": name, "picked": name == pick}
        lines.append(line)
        if not entry["runs_here"]:
            line["refused"] = "not on this machine"
            continue
        if entry["exactness"] == "reference" and work.costs(sets[0])[0] > 5e8:
            line["refused"] = "the reference: too slow to wait for"
            continue
        calls = [_call(op, name, x) for x in called]
        begin = time.perf_counter()
        why = calls[0][0]()
        if why is not None:
            line["refused"] = why
            continue
        if time.perf_counter() - begin > SLOW:
            line["refused"] = f"{time.perf_counter() - begin:.1f} s a call: too slow to wait for"
            continue
        contestant = Contestant("accelnn", name, [c for c, _ in calls], [r for _, r in calls], strict=True)
        if problem := wrong(contestant, truths, work.dtype):
            line["error"] = problem
            continue
        found.append(contestant)
    alternate(found, timer, job.pace, tick) if found else None
    for contestant in found:
        line = next(x for x in lines if x["subject"] == contestant.label)
        if problem := wrong(contestant, truths, work.dtype):
            line["error"] = f"after timing: {problem}"
            continue
        others = [c for c in found if c is not contestant]
        line |= row(work, sets, contestant, others, limits, job.threads)
        if line["picked"]:
            line["beaten_by"] = beaten(contestant, others)
    return lines


def beaten(pick: Contestant, others: Sequence[Contestant]) -> dict[str, Any] | None:
    """The row that is faster than the pick beyond the noise of their ratio, if there is one."""
    best: dict[str, Any] | None = None
    for other in others:
        ratio = ratios(other.blocks, pick.blocks)
        if differs(ratio.median, ratio.noise) < 0 and (best is None or ratio.median < best["ratio"]):
            best = {"row": other.label, "ratio": ratio.median}
    return best


def _call(op: Any, name: str, x: Inputs) -> tuple[Callable[[], Any], Callable[[], Any]]:
    outputs = op.specs(x.specs(), x.attrs)
    views = [None if t is None else t.view for t in x.tensors()]
    ins, attrs = operands(op, views, outputs, x.attrs), op.packed(x.attrs, len(views))
    made = tuple(_C.View.empty(s.shape, s.dtype) for s in outputs)
    number = op.number

    def results() -> list[Any]:
        from ..core.tensor import Tensor

        return [Tensor(v).numpy() for v in made]

    return (lambda: _C.run_row(number, name, ins, attrs, made)), results


