"""Cases on a device, one after the other: operands drawn and placed, results checked, everybody timed in turns, results checked again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ... import _C
from ...core.errors import DTypeError, Error, KernelError
from ...core.registry import OPS
from ...core.remote import Device
from ..cases import Case
from ..check import Truth
from ..measure import SAME_WORK, Pace
from ..stats import differs, ratios
from ..works import Inputs
from .clock import Clock, Contestant, EventClock, HostClock, alternate, own, prepare
from .numbers import Numbers
from .placed import Operands, Placed, forward
from .works import Sample, Work, work_named

PACE = Pace(block=0.03, rounds=5, gap=0.0)
QUICK = Pace(block=0.01, rounds=3, gap=0.0)
ONCE = Pace(block=0.0, rounds=1, gap=0.0)  # for devices whose time means nothing
MOST_SETS, MOST_BYTES = 64, 6 << 30
# Work of another arithmetic: how far off a result of it may be, in the norm.
ALLOWED = SAME_WORK | {"f16": 2e-2, "tf32": 5e-3, "fp8": 1e-1}


class Bench:
    """A device, and what is known of it. `timed`: its clock means something (a GPU's, not an emulator's)."""

    def __init__(self, device: Device, pace: Pace = PACE, against: Sequence[str] = ("torch",), rows: bool = False, check: bool = True) -> None:
        self.device, self.pace, self.rows, self.check = device, pace, rows, check
        self.timed = device.name.startswith("cuda")
        self.clock: Clock = EventClock(number_of(device)) if self.timed else HostClock()
        self.l2 = int(_C.cuda.device_info(number_of(device))["l2"]) if self.timed else 0
        self.numbers = Numbers() if self.timed else Numbers(size=(1 << 16) + 1)
        self.peers = self._peers(against)

    def _peers(self, against: Sequence[str]) -> Any:
        from importlib.util import find_spec

        if "torch" not in against or find_spec("torch") is None:
            return None
        from . import peers

        return peers

    def measure(self, case: Case, tick: Callable[[str], None] = lambda what: None) -> Iterator[dict[str, Any]]:
        """Lines of the record for a case: one, or with `rows` one for each row of the op's table."""
        about = {"threads": 0, "group": case.group, "work": case.work, "shape": case.shape, "label": case.label, "key": case.key}
        work = work_named(case.work)
        about |= {"op": work.op, "dtype": work.dtype}
        try:
            yield from (about | line for line in self._measure(work, case.shape, tick))
        except (Error, ArithmeticError, MemoryError, RuntimeError, ValueError) as reason:  # of one case: the others are still to come
            yield about | {"subject": "accelnn", "error": f"{type(reason).__name__}: {reason}"[:400]}

    def _measure(self, work: Work, shape: str, tick: Callable[[str], None]) -> Iterator[dict[str, Any]]:
        tick("operands")
        refused = work.absent
        if not refused:
            try:
                first = self._inputs(work, shape)
                OPS[work.op].specs(first.specs(), first.attrs)
            except (DTypeError, KernelError) as reason:  # an op that does not know the dtype, or has no row: its peers are measured alone
                refused = str(reason)
        if refused:
            yield {"subject": "accelnn", "row": None, "refused": refused[:300], "time": None, "best": None, "ratio": None} | self._peers_alone(work, shape)
            return
        sets = [first, *(self._inputs(work, shape) for _ in range(self._count(work, first) - 1))]
        placed = [Placed(self.device, work.op, x) for x in sets]
        tick("float64")
        samples = {i: work.samples(sets[i]) for i in {0, len(sets) - 1}} if self.check else {}
        truths = {i: [(s, s.truth(work.op)) for s in found] for i, found in samples.items()}
        left_out: dict[str, str] = {}
        subjects = self._subjects(placed, left_out)
        others = self.peers.contestants(work.name, placed, sets, left_out) if self.peers and not self.rows else []
        lines: list[dict[str, Any]] = []
        before: dict[int, dict[int, Any]] = {}
        for contestant in [*subjects, *others]:
            tick(contestant.label)
            problem = self._ready(contestant, placed, truths, work)
            if problem is None:
                before[id(contestant)] = {i: contestant.results(i) for i in truths} if contestant.strict else {}
                continue
            (subjects if contestant in subjects else others).remove(contestant)
            if contestant.strict:
                lines.append({"subject": contestant.row if self.rows else "accelnn", "row": contestant.row, "error": problem})
            else:
                left_out[contestant.label] = problem
        if subjects or others:
            alternate([*subjects, *others], self.clock, self.pace)
        for contestant in list(subjects):
            problem = self._changed(contestant, placed, before[id(contestant)])
            if problem:
                subjects.remove(contestant)
                lines.append({"subject": contestant.row if self.rows else "accelnn", "row": contestant.row, "error": f"after timing: {problem}"})
        for contestant in subjects:
            rivals = others or [s for s in subjects if s is not contestant]
            lines.append({"subject": contestant.row if self.rows else "accelnn", "left_out": left_out} | self._line(work, sets, contestant, rivals))
        if not subjects and not lines:
            why = "; ".join(f"{k}: {v}" for k, v in left_out.items() if k.startswith("accelnn"))
            lines.append({"subject": "accelnn", "row": None, "refused": why, "time": None, "peers": {o.label: self._peer(work, o, None) for o in others},
                          "best": None, "ratio": None, "left_out": left_out})  # fmt: skip
        yield from lines

    def _inputs(self, work: Work, shape: str) -> Inputs:
        x = work.draw(self.numbers, shape)
        return work.complete(x, forward(self.device)) if work.complete else x

    def _count(self, work: Work, x: Inputs) -> int:
        """Sets of operands that are larger than three L2 together: two at least, as long as they fit."""
        if not self.timed:
            return 2
        moved = max(work.costs(x)[1], 1.0)
        return int(max(2 if 2 * moved < MOST_BYTES else 1, min(MOST_SETS, 3 * self.l2 // moved + 1)))

    def _subjects(self, placed: Sequence[Placed], left_out: dict[str, str]) -> list[Contestant]:
        found = []
        for row, why in placed[0].rows():
            if why is None:
                found.append(own(placed, row))
                if not self.rows:
                    break
            else:
                left_out[f"accelnn {row.name}"] = why
        if not found and not left_out:
            left_out["accelnn"] = f"{placed[0].op.name}: no row for devices"
        return found

    def _ready(self, contestant: Contestant, placed: Sequence[Placed], truths: dict[int, list[tuple[Sample, Truth]]], work: Work) -> str | None:
        """Records, runs once, checks. What is wrong, or None."""
        if contestant.strict:
            for p in placed:
                p.poison()
        try:
            prepare(contestant, self.clock, len(placed), not self.timed)
            return self._wrong(contestant, truths, work)
        except Exception as reason:  # a row that cannot be launched, or a peer that cannot be called, is a line of the report
            return f"{type(reason).__name__}: {str(reason).strip()[:300]}"

    def _wrong(self, contestant: Contestant, truths: dict[int, list[tuple[Sample, Truth]]], work: Work) -> str | None:
        if contestant.arithmetic not in ALLOWED and not contestant.strict:
            return None  # other numbers, by design
        for i, found in truths.items():
            results = contestant.results(i)
            for sample, truth in found:
                picked = sample.pick(results)
                if contestant.strict:
                    problem = truth.problem(picked)
                else:
                    limit = max(ALLOWED[contestant.arithmetic], ALLOWED.get(work.dtype, 0.0))
                    n = min(len(picked), len(truth.values))
                    same = Truth(truth.values[:n], truth.allowed[:n])
                    away = same.distance([p.reshape(v.shape) if p.size == v.size else p for p, v in zip(picked[:n], same.values)])
                    problem = None if n and away <= limit else f"relative error {away:.1e}: not the same work"
                if problem:
                    return problem
        return None

    def _changed(self, contestant: Contestant, placed: Sequence[Placed], before: dict[int, Any]) -> str | None:
        """After timing, into results that were poisoned: the same bits as before, which were right."""
        assert contestant.replay is not None
        for p in placed:
            p.poison()
        contestant.replay()
        for i, kept in before.items():
            if any(a.tobytes() != b.tobytes() for a, b in zip(kept, contestant.results(i))):
                return "other results than before"
        return None

    def _peers_alone(self, work: Work, shape: str) -> dict[str, Any]:
        """Those of a work that accelnn cannot do yet."""
        if not self.peers:
            return {"peers": {}, "left_out": {}}
        inputs = [work.draw(self.numbers, shape) for _ in range(2)]
        if work.complete:  # dy is drawn last, and comes first
            inputs = [Inputs([x.arrays[-1], *x.arrays[:-1]], x.attrs, x.note) for x in inputs]
        left_out: dict[str, str] = {}
        found = {}
        for o in self.peers.contestants(work.name, [Operands(self.device, x) for x in inputs], inputs, left_out):
            prepare(o, self.clock, len(inputs), not self.timed)
            alternate([o], self.clock, self.pace)
            found[o.label] = self._peer(work, o, None)
        return {"peers": found, "left_out": left_out}

    def _peer(self, work: Work, other: Contestant, subject: Contestant | None) -> dict[str, Any]:
        same = other.arithmetic == work.dtype or work.dtype in ("i8", "i4")
        return {"library": other.library, "arithmetic": other.arithmetic, "how": other.how, "same": same, "time": self._time(other),
                "ratio": ratios(other.blocks, subject.blocks).json() if subject and self.timed else None}  # fmt: skip

    def _time(self, contestant: Contestant) -> dict[str, Any] | None:
        """None where nothing was measured: an emulator's seconds are no one's."""
        return contestant.spread().json() if self.timed else None

    def _line(self, work: Work, sets: Sequence[Inputs], subject: Contestant, others: Sequence[Contestant]) -> dict[str, Any]:
        flops, moved = work.costs(sets[0])
        peers = {o.row or o.label: self._peer(work, o, subject) for o in others}
        rivals = {k: v for k, v in peers.items() if v["same"] or self.rows}
        best = min(rivals, key=lambda k: rivals[k]["time"]["median"], default=None) if self.timed else None
        t = self._time(subject)
        beaten = best if best and self.rows and differs(rivals[best]["ratio"]["median"], rivals[best]["ratio"]["noise"]) < 0 else None
        return {"row": subject.row, "sets": len(sets), "flops": flops, "bytes": moved, "time": t, "flop_rate": flops / t["median"] if t else None,
                "byte_rate": moved / t["median"] if t else None, "bound_kind": work.peak, "launches": subject.calls, "peers": peers, "best": best,
                "ratio": rivals[best]["ratio"]["median"] if best else None, "ratio_noise": rivals[best]["ratio"]["noise"] if best else None,
                "beaten_by": beaten}  # fmt: skip


def number_of(device: Device) -> int:
    _, _, number = device.name.partition(":")
    return int(number or 0)


