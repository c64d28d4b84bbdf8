"""The result for people: 80 columns, on a terminal and in a file."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterable
from typing import Any, TextIO

from .ceilings import kinds, rate_of
from .stats import differs, geomean

WIDTH = 80
NAME = 23
BUSY = 0.15  # limits that moved more than this were measured beside somebody else's work
Paint = Callable[[str, str], str]
UNITS = {"fma": "FLOP/s", "bf16": "FLOP/s", "int8": "OP/s"}


def seconds(t: float) -> str:
    """Three digits: 812 ns, 2.71 ms."""
    for scale, unit in ((1e9, "ns"), (1e6, "us"), (1e3, "ms")):
        if t * scale < 999.5:
            return f"{_three(t * scale)} {unit}"
    return f"{_three(t)} s"


def _three(x: float) -> str:
    return f"{x:.2f}" if x < 9.995 else f"{x:.1f}" if x < 99.95 else f"{x:.0f}"


def speed(r: dict[str, Any]) -> str:
    """In the unit of whatever binds: bytes of a level, or operations."""
    if r["bound_kind"] not in UNITS:
        return f"{_three(r['byte_rate'] / 1e9)} GB/s"
    return f"{_three(r['flop_rate'] / 1e9)} G{UNITS[r['bound_kind']]}"


def heading(title: str, last: str = "vs best peer") -> str:
    return f"{title:<{NAME + 2}}{'time':>9}{'±':>4}{'rate':>13}  {'of limit':<9} {last}"


def named(name: str, rest: str) -> str:
    """The name and its numbers; a long name has a line of its own."""
    return f"  {name:<{NAME}}{rest}" if len(name) <= NAME else f"  {name}\n  {'':<{NAME}}{rest}"


def verdict(r: dict[str, Any]) -> int:
    """1 where it is faster than the best peer beyond noise, -1 where slower, 0 otherwise."""
    return differs(r["ratio"], r["ratio_noise"]) if r.get("ratio") else 0


def measured(r: dict[str, Any]) -> str:
    """Time, spread, rate and share of the limit."""
    share = f"{100 * r['share']:.0f}% {r['bound_by']}"
    return f"{seconds(r['time']['median']):>9}{_percent(r['time']['noise']):>4}{speed(r):>13}  {share:<9}"


def _percent(x: float) -> str:
    return f"{min(100 * x, 999):.0f}%"


def line(r: dict[str, Any], paint: Paint, own: bool = False) -> str:
    """One case."""
    name = r["label"] if not own else f"  {r['subject']}"
    if "error" in r:
        return paint(_wrapped(f"  {name}  WRONG: {r['subject']}: {r['error']}"), "bad")
    text = named(name, measured(r))
    if r["best"]:
        text += " " + paint(f"{r['ratio']:.2f}x {r['best']}", {1: "good", -1: "bad", 0: ""}[verdict(r)])
    return text


def row_line(r: dict[str, Any], paint: Paint) -> str:
    """One row of an op's table, for --rows; an arrow at the dispatcher's pick."""
    mark = "->" if r["picked"] else "  "
    if "error" in r:
        return paint(_wrapped(f"{mark} {r['subject']}  WRONG: {r['error']}"), "bad")
    if "refused" in r:
        return paint(_wrapped(f"{mark} {r['subject']}  {r['refused']}"), "dim")
    text = mark + " " + named(r["subject"], measured(r))[2:].replace("\n  ", "\n   ")
    if beaten := r.get("beaten_by"):
        text += "\n" + paint(f"   slower than {beaten['row']}: {beaten['ratio']:.2f}x its time", "bad")
    return paint(text, "good") if r["picked"] and not r.get("beaten_by") else text


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, WIDTH, subsequent_indent="      "))


def ceilings(found: dict[str, Any]) -> list[str]:
    """The machine's limits, a line a kind."""
    peaks = [f"{found[k]['name'].split()[-1]} {_three(found[k]['rate'] / 1e9)} G{UNITS[k]}" for k in ("fma", "int8", "bf16") if k in found]
    reads = [f"{level} {_three(rate / 1e9)}" for level, rate in found["read"].items()]
    small = _three(found["read_4k"]["DRAM"] / 1e9)
    copies = [f"  copies  memory to memory, past the caches {_three(found['copy']['rate'] / 1e9)} GB/s"] if "copy" in found else []
    return [f"  limits  {', '.join(peaks)} ({found['fma']['name'].split()[0]})", f"  reads   {', '.join(reads)} GB/s; on 4 KiB pages DRAM {small}", *copies]


class Printer:
    """Prints events as they come: headings when a group begins, its geometric mean when it ends, progress on a terminal's stderr."""

    def __init__(self, out: TextIO, paint: Paint, progress: TextIO | None = None) -> None:
        self.out, self.paint, self.progress = out, paint, progress
        self.group: str | None = None
        self.key: str | None = None
        self.rows: list[dict[str, Any]] = []
        self.limits: dict[str, Any] = {}
        self.case_seconds = 0.0

    def say(self, text: str = "") -> None:
        self.clear()
        print(text, file=self.out, flush=True)

    def clear(self) -> None:
        if self.progress:
            print("\r\x1b[K", end="", file=self.progress, flush=True)

    def opening(self, document: dict[str, Any]) -> None:
        m, settings = document["machine"], document["settings"]
        self.case_seconds = settings["rounds"] * (settings["block"] + settings["gap"]) * 4       # four contestants, as a rule
        built = f"accelnn {document['version']}" + (f" ({document['commit']})" if document["commit"] else "")
        self.say(self.paint(f"{built} on {m['cpu']}, {m['isa']}, {m['cores']} core{'s' * (m['cores'] > 1)}", "bold"))
        how = (f"{document['date'][:10]}. {settings['rounds']} blocks of {settings['block']} s for each, in turns, {settings['gap']} s idle between: medians, "
               "and how far apart (±) their quartiles are. Inputs take turns, 2 or 3 sets; caches are as warm as these leave them.")  # fmt: skip
        for text in textwrap.wrap(how, WIDTH):
            self.say(text)

    def event(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "start":
            self.start(event)
        elif kind == "tick" and self.progress:
            text = f"[{event['done'] + 1}/{event['of']}] {event['what']}"
            print(f"\r\x1b[K{text[: WIDTH - 1]}", end="", file=self.progress, flush=True)
        elif kind == "row":
            self.row(event)
        elif kind == "end":
            self.finish_group()
            self.clear()
            moved, limit = max((abs(rate_of(event["ceilings_after"], k) / rate_of(self.limits, k) - 1), k) for k in kinds(self.limits))
            if moved > BUSY:
                self.say()
                self.say(self.paint(_wrapped(f"The machine was not quiet: its limit '{limit}' changed by {100 * moved:.0f} % during this run. The record takes "
                                             "shares of the higher of both; ratios to peers are less affected."), "warn"))  # fmt: skip

    def start(self, event: dict[str, Any]) -> None:
        n, self.limits = event["threads"], event["ceilings"]
        self.say()
        self.say(self.paint(f"{n} thread{'s' * (n > 1)}", "bold"))
        for text in ceilings(event["ceilings"]):
            self.say(text)
        for name, about in event["libraries"].items():
            for text in textwrap.wrap(about, WIDTH - 10, subsequent_indent="  "):
                self.say(f"  {name[:7] if name != 'onnxruntime' else 'ort':<8}{text}")
                name = ""
        if (minutes := event.get("cases", 0) * self.case_seconds / 60) > 1:
            self.say(f"  {event['cases']} cases, about {minutes:.0f} minutes")
        for name, packages in event["absent"].items():
            self.say(f"  {name}: absent ({', '.join(packages)} not installed)")

    def row(self, r: dict[str, Any]) -> None:
        variant = "picked" in r
        if r["group"] != self.group:
            self.finish_group()
            self.group = r["group"]
            self.say()
            self.say(self.paint(heading(r["group"], "" if variant else "vs best peer").rstrip() if len(r["group"]) <= NAME + 1 else
                                r["group"] + "\n" + heading("", "" if variant else "vs best peer").rstrip(), "bold"))  # fmt: skip
        if variant:
            if r["key"] != self.key:
                self.say(f"  {r['label']}")
            self.say(row_line(r, self.paint))
        else:
            self.say(line(r, self.paint, own=r["subject"] != "accelnn"))
            if r["key"] != self.key:
                for label, why in r.get("left_out", {}).items():
                    self.say(self.paint(_wrapped(f"    {label} left out: {why}"), "dim"))
        self.key = r["key"]
        self.rows.append(r)

    def finish_group(self) -> None:
        for text in group_means(self.rows):
            self.say(text)
        self.group, self.rows, self.key = None, [], None


def subjects(rows: Iterable[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(r["subject"] for r in rows if "picked" not in r))


def group_means(rows: list[dict[str, Any]]) -> list[str]:
    """The geometric mean of a group, for each subject, where there is more than one case."""
    found = []
    for subject in subjects(rows):
        compared = [r for r in rows if r["subject"] == subject and r.get("ratio")]
        if len(compared) > 1:
            least = min(compared, key=lambda r: r["ratio"])
            who = "geomean" if subject == "accelnn" else f"geomean, {subject}"
            text = f"{geomean(r['ratio'] for r in compared):.2f}x, least {least['ratio']:.2f}x at {least['label']}"
            found.append(_wrapped(f"  {who} {text}"))
    return found


def closing(document: dict[str, Any], paint: Paint) -> list[str]:
    """Geometric means a group and number of threads, and the verdict."""
    rows, found = document["rows"], [""]
    threads = sorted({r["threads"] for r in rows})
    for subject in subjects(rows):
        compared = [r for r in rows if r["subject"] == subject and r.get("ratio")]
        if not compared:
            continue
        found.append(paint(f"{subject} against the best peer of each case (above 1: {subject} is faster)", "bold"))
        head = "".join(f"{n:>5} thread{'s' if n > 1 else ' '}" for n in threads)
        found.append(f"  {'':<44}{head}")
        for group in dict.fromkeys(r["group"] for r in compared):
            cells = [[r["ratio"] for r in compared if r["group"] == group and r["threads"] == n] for n in threads]
            found.append(f"  {group[:44]:<44}" + "".join(f"{geomean(c):>11.2f}x" if c else f"{'':>12}" for c in cells))
        for n in threads:
            of_n = [r for r in compared if r["threads"] == n]
            if of_n:
                found += _summary(n, of_n, paint)
    wrong = [r for r in rows if "error" in r]
    if wrong:
        where = ", ".join(dict.fromkeys(f"{r['subject']} {r['label']}" for r in wrong))
        found.append(paint(_wrapped(f"{len(wrong)} wrong result{'s' * (len(wrong) > 1)}: {where}"), "bad"))
    elif rows:
        found.append("All results were right, before and after timing.")
    return [text for block in found for text in _fitted(block)]


def _summary(n: int, rows: list[dict[str, Any]], paint: Paint) -> list[str]:
    faster, slower = [r for r in rows if verdict(r) > 0], [r for r in rows if verdict(r) < 0]
    text = (f"{n} thread{'s' * (n > 1)}: {geomean(r['ratio'] for r in rows):.2f}x geomean of {len(rows)} case{'s' * (len(rows) > 1)}; faster in {len(faster)}, "
            f"as fast within the noise in {len(rows) - len(faster) - len(slower)}, slower in {len(slower)}")  # fmt: skip
    found = [paint(text, "good" if not slower else "")]
    if slower:
        worst = sorted(slower, key=lambda r: r["ratio"])
        found += [f"  slower: {r['group']}, {r['label']}: {r['ratio']:.2f}x {r['best']}" for r in worst[:6]]
        found += [f"  and {len(worst) - 6} more"] if len(worst) > 6 else []
    return found


def _fitted(text: str) -> list[str]:
    """Lines of at most 80 columns; colours do not count, so what is painted is short or wrapped before."""
    if "\x1b" in text or len(text) <= WIDTH:
        return [text]
    return textwrap.wrap(text, WIDTH, subsequent_indent="    ") or [""]


def rows_closing(document: dict[str, Any], paint: Paint) -> list[str]:
    """--rows: what the dispatcher's choices were worth."""
    picks = [r for r in document["rows"] if r.get("picked") and "time" in r]
    bad = [r for r in picks if r.get("beaten_by")]
    found = ["", f"The dispatcher picks the fastest row in {len(picks) - len(bad)} of {len(picks)} cases (beyond noise)."]
    found += [paint(f"  {r['group']}, {r['label']}, {r['threads']} thread{'s' * (r['threads'] > 1)}: {r['beaten_by']['row']}", "bad") for r in bad]
    return [text for block in found for text in _fitted(block)]


def plain(text: str, style: str) -> str:
    return text


def show(document: dict[str, Any], out: TextIO | None = None, paint: Paint = plain) -> None:
    """A finished document, as it would have been printed."""
    printer = Printer(out or sys.stdout, paint)
    printer.opening(document)
    for session in document["sessions"]:
        printer.start(session)
        for r in document["rows"]:
            if r["threads"] == session["threads"]:
                printer.row(r)
        printer.finish_group()
    for text in (rows_closing if any("picked" in r for r in document["rows"]) else closing)(document, paint):
        printer.say(text)
