"""--compare: what became slower or faster since an earlier record, beyond the noise that both measured."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .ceilings import rate_of
from .document import ceilings
from .report import WIDTH, Paint, plain, seconds
from .stats import differs, geomean


@dataclass(frozen=True)
class Change:
    """One case in both records. `speedup` is how many times as fast it is now, after what the machine's own limit has changed is taken out; `noise` is the
    spread of both times and how far the limits moved during either run."""

    threads: int
    group: str
    label: str
    subject: str
    before: float
    after: float
    machine: float           # the limit's rate now, relative to then
    noise: float
    wrong: str = ""          # right then, wrong now

    @property
    def speedup(self) -> float:
        return 0.0 if self.wrong else self.before / self.after / self.machine

    @property
    def verdict(self) -> int:
        """-1 regressed, 1 improved, 0 neither beyond noise."""
        return -1 if self.wrong else differs(self.speedup, self.noise)


def compare(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """A Change for each case, subject and number of threads that both records have timed (or the new one got wrong)."""
    before = {identity(r): r for r in old["rows"] if r.get("time")}
    found = []
    for r in new["rows"]:
        was = before.get(identity(r))
        if was is None or not (r.get("time") or "error" in r):
            continue
        at = (r["threads"], r["group"], r["label"], r["subject"])
        if "error" in r:
            found.append(Change(*at, was["time"]["median"], 0.0, 1.0, 0.0, r["error"]))
            continue
        kind = was["bound_kind"]
        then, now = rate_of(ceilings(old, r["threads"]), kind), rate_of(ceilings(new, r["threads"]), kind)
        machine = now / then if then and now else 1.0
        noise = was["time"]["noise"] + r["time"]["noise"] + drift(old, r["threads"], kind) + drift(new, r["threads"], kind)
        found.append(Change(*at, was["time"]["median"], r["time"]["median"], machine, noise))
    return found


def identity(r: dict[str, Any]) -> tuple[Any, ...]:
    return r["threads"], r["work"], r["shape"], r["subject"]


def drift(document: dict[str, Any], threads: int, kind: str) -> float:
    """How far a limit moved between the beginning and the end of a run, as a share."""
    for session in document["sessions"]:
        if session["threads"] == threads and "ceilings_before" in session:
            first, last = rate_of(session["ceilings_before"], kind), rate_of(session["ceilings_after"], kind)
            return abs(last / first - 1) if first and last else 0.0
    return 0.0


def lines(changes: Sequence[Change], paint: Paint = plain, old: dict[str, Any] | None = None, new: dict[str, Any] | None = None) -> list[str]:
    """Regressions first, then improvements, then how many stayed."""
    found = [""]
    if old and new:
        name = old["commit"] or old["version"]
        found.append(paint(f"Against the record of {old['date'][:10]} ({name})", "bold"))
        if old["machine"]["cpu"] != new["machine"]["cpu"]:
            text = f"  Another machine: {old['machine']['cpu']} then. Times are compared as shares of each machine's limits."
            found += textwrap.wrap(text, WIDTH, subsequent_indent="  ")
    worse, better = [c for c in changes if c.verdict < 0], [c for c in changes if c.verdict > 0]
    for title, style, chosen in (("slower", "bad", worse), ("faster", "good", better)):
        for c in sorted(chosen, key=lambda c: c.speedup):
            found += [paint(text, style) for text in _line(title, c)]
    timed = [c.speedup for c in changes if not c.wrong]
    if not changes:
        found.append("No case is in both records.")
    else:
        found.append(f"{len(worse)} slower, {len(better)} faster, {len(changes) - len(worse) - len(better)} the same within the noise"
                     + (f"; {geomean(timed):.2f}x in all." if timed else "."))  # fmt: skip
    return found


def _line(title: str, c: Change) -> list[str]:
    who = "" if c.subject == "accelnn" else f" {c.subject}"
    where = f"  {title}: {c.group}, {c.label}{who}, {f'{c.threads} thread' if c.threads else 'device'}{'s' * (c.threads > 1)}:"
    what = f"{seconds(c.before)} -> {seconds(c.after)}, {c.speedup:.2f}x (machine {c.machine:.2f}x, noise {100 * c.noise:.0f}%)"
    what = f"right then; {c.wrong}" if c.wrong else what
    return textwrap.wrap(f"{where} {what}", WIDTH, subsequent_indent="      ")
