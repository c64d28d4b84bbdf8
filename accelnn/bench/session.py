"""One process, one number of threads: measures the ceilings, then every case, and hands each result on as it comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.device import set_num_threads
from ..core.errors import Error
from . import ceilings, peers, rows
from .cases import Case
from .device import CpuClock
from .measure import Contestant, Pace, alternate, input_sets, keeping, refused, row, wrong
from .own import OWN
from .works import Inputs, Work

Emit = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Job:
    """What a session does."""

    cases: Sequence[Case]
    threads: int = 1
    pace: Pace = field(default_factory=Pace)
    against: Sequence[str] = peers.LIBRARIES
    rows: bool = False                    # every row of the op's table in place of the peers


def run(job: Job, emit: Emit) -> None:
    """Emits {"event": "start" | "tick" | "row" | "end", ...}; an event "row" for each case and subject."""
    timer = CpuClock()
    set_num_threads(job.threads)
    libraries = {name: peers.about(name, job.threads) for name in peers.present(job.against)}
    absent = {name: peers.missing(name) for name in job.against if peers.missing(name)}
    limits = ceilings.measure(job.threads, job.pace.ceiling_ms)
    emit({"event": "start", "threads": job.threads, "ceilings": limits, "libraries": libraries, "absent": absent, "cases": len(job.cases)})
    for i, case in enumerate(job.cases):
        def tick(label: str, i: int = i, case: Case = case) -> None:
            emit({"event": "tick", "done": i, "of": len(job.cases), "what": f"{case.group} {case.label}: {label}"})

        about = {"event": "row", "threads": job.threads, "group": case.group, "work": case.work, "shape": case.shape, "label": case.label,
                 "key": case.key}  # fmt: skip
        for found in (rows.measure if job.rows else measure)(case, job, timer, limits, tick):
            emit(about | found)
    emit({"event": "end", "threads": job.threads, "ceilings_after": ceilings.measure(job.threads, job.pace.ceiling_ms, 2)})


def measure(case: Case, job: Job, timer: Any, limits: dict[str, Any], tick: Callable[[str], None]) -> list[dict[str, Any]]:
    """A line for accelnn and for each kernel of one's own that does this work."""
    work = case.find()
    about = {"op": work.op, "dtype": work.dtype}
    tick("inputs and float64 results")
    sets = input_sets(work, case.shape)
    truths = {True: [work.right(x) for x in sets]}
    truths[False] = [work.right_for_peers(x) for x in sets] if work.peer_truth else truths[True]
    left_out: dict[str, str] = {}
    subjects = _subjects(work, sets, left_out)
    others = _others(work, sets, job, left_out)
    errors: dict[str, str] = {}
    for group in (subjects, others):
        for contestant in list(group):
            tick(f"checking {contestant.label}")
            if problem := _checked(contestant, truths[contestant.strict], work.dtype):
                group.remove(contestant)
                (errors if contestant.strict else left_out)[contestant.label] = problem
    alternate([*subjects, *others], timer, job.pace, tick) if subjects else None
    for contestant in list(subjects):
        if problem := _checked(contestant, truths[contestant.strict], work.dtype):
            subjects.remove(contestant)
            errors[contestant.label] = f"after timing: {problem}"
    found: list[dict[str, Any]] = []
    for subject in subjects:
        rivals = [*others, *(s for s in subjects if s is not subject and s.label == "accelnn")]
        line = row(work, sets, subject, rivals, limits, job.threads)
        found.append(about | {"subject": subject.label, "row": picked(work, sets[0]) if subject.label == "accelnn" else None, "left_out": left_out} | line)
    return found + [about | {"subject": label, "error": problem} for label, problem in errors.items()] + [
        about | {"subject": label, "error": left_out[label]} for label in ("accelnn", *OWN) if label in left_out]  # fmt: skip


def _subjects(work: Work, sets: Sequence[Inputs], left_out: dict[str, str]) -> list[Contestant]:
    makers: dict[str, Callable[[Inputs], Callable[[], Any]]] = {"accelnn": work.ours}
    makers |= {own.name: own.prepare for own in OWN.values() if own.does(work)}
    found = []
    for label, make in makers.items():
        try:
            pairs = [keeping(make(x)) for x in sets]
        except Error as reason:
            left_out[label] = str(reason)
            continue
        found.append(Contestant(label, label, [c for c, _ in pairs], [r for _, r in pairs], strict=True, unit=work.calls if label == "accelnn" else 1))
    return found


def _others(work: Work, sets: Sequence[Inputs], job: Job, left_out: dict[str, str]) -> list[Contestant]:
    found = []
    for label, make in work.rivals.items():
        pairs = [keeping(make(x)) for x in sets]
        found.append(Contestant("accelnn", label, [c for c, _ in pairs], [r for _, r in pairs]))
    for peer in peers.peers(work, job.against):
        try:
            prepared = [peer.make(x, job.threads) for x in sets]
        except Exception as reason:         # whatever a foreign library may raise: it cannot do this case, and the report says so
            left_out[peer.label] = refused(reason)
            continue
        found.append(Contestant(peer.library, peer.label, [p.run for p in prepared], [p.results for p in prepared]))
    return found


def _checked(contestant: Contestant, truths: Sequence[Any], dtype: str) -> str | None:
    try:
        return wrong(contestant, truths, dtype)
    except Exception as reason:             # a kernel of one's own, or a peer, that fails is a line of the report, not the end of it
        return refused(reason)


def picked(work: Work, x: Inputs) -> str | None:
    """The row that the dispatcher takes for a plain call of the op."""
    if not work.eager:
        return None
    from ..core.dispatch import explain

    x = work.operands(x)
    try:
        return next((name for name, why in explain(work.op, x.specs(), x.attrs) if why is None), None)
    except Error:
        return None


