"""A device's record for people, in 80 columns."""

from __future__ import annotations

import textwrap
from typing import Any, TextIO

from ..report import NAME, WIDTH, Paint, _three, named, plain, seconds, verdict
from ..stats import geomean
from .targets import Answer

SHOWN = {"copy": "of copy", "f32": "of f32", "bf16": "of bf16", "f16": "of f16", "int8": "of int8", "fp8": "of fp8"}


def rate(r: dict[str, Any]) -> str:
    """Bytes a second where the memory is the limit, else operations."""
    if r["bound_kind"] == "copy":
        return f"{_three(r['byte_rate'] / 1e12)} TB/s"
    unit = "TOP/s" if r["bound_kind"] == "int8" else "TFLOP/s"
    return f"{_three(r['flop_rate'] / 1e12)} {unit}"


def share(r: dict[str, Any], limits: dict[str, Any]) -> float | None:
    """Of the limit that was measured in the same run."""
    limit = limits.get(r["bound_kind"])
    if limit is None or not r.get("time"):
        return None
    return float((r["byte_rate"] if r["bound_kind"] == "copy" else r["flop_rate"]) / limit["rate"])


def line(r: dict[str, Any], limits: dict[str, Any], paint: Paint = plain) -> list[str]:
    name = r["label"] if r["subject"] == "accelnn" else f"  {r['subject']}"
    if "error" in r:
        return [paint(text, "bad") for text in _wrapped(f"  {name}  WRONG: {r['error']}")]
    if "refused" in r:
        found = _wrapped(f"  {name}  no row: {r['refused']}")
        return [paint(text, "dim") for text in found] + _peers(r)
    if r["time"] is None:
        return [f"  {name}: right ({r['row']}); nothing timed"]
    part = share(r, limits)
    percent = f"{100 * part:.0f}% {SHOWN.get(r['bound_kind'], '')}" if part is not None else ""
    text = named(name, f"{seconds(r['time']['median']):>9}{100 * r['time']['noise']:>3.0f}%{rate(r):>14}  {percent:<13}")
    if r["best"]:
        text += " " + paint(f"{r['ratio']:.2f}x", {1: "good", -1: "bad", 0: ""}[verdict(r)])
    return [text.rstrip(), *_peers(r)]


def _peers(r: dict[str, Any]) -> list[str]:
    """A line a peer, the best marked."""
    found = []
    for label, p in r["peers"].items():
        if p["time"] is None:
            continue
        note = "" if p["how"] == "graph" else f", {p['how']}"
        mark = "*" if label == r["best"] else " "
        found.append(f"    {mark} {label + note:<{NAME + 8}} {seconds(p['time']['median']):>9}" + ("" if p["same"] else f"  ({p['arithmetic']})"))
    return found


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="      ")


class Printer:
    """Prints lines as they come, a heading for each group."""

    def __init__(self, out: TextIO, paint: Paint = plain) -> None:
        self.out, self.paint, self.group = out, paint, ""

    def say(self, text: str = "") -> None:
        print(text, file=self.out, flush=True)

    def opening(self, document: dict[str, Any]) -> None:
        gpu, built = document["machine"]["gpu"], document["commit"] or document["version"]
        driver = f", driver for CUDA {gpu['driver']}" if gpu["driver"] else ""
        self.say(self.paint(f"accelnn {built} on {gpu['name']}, {gpu['arch']}, {gpu['units']} units{driver}", "bold"))
        self.say(f"  {document['libraries'].get('torch', 'torch: not installed')}")
        how = ("Medians of replays of one CUDA graph with many calls, operands taking turns beyond the L2, in turns with the peers; results checked before and "
               "after. x: how many times as long the best peer (*) of the same arithmetic takes.")  # fmt: skip
        for text in textwrap.wrap(how, WIDTH):
            self.say(text)

    def limits(self, found: dict[str, Any]) -> None:
        for kind, limit in found.items():
            unit = "TB/s" if kind == "copy" else "TOP/s" if kind == "int8" else "TFLOP/s"
            self.say(f"  limit {kind:<5} {_three(limit['rate'] / 1e12)} {unit}  ({limit['name']})")

    def row(self, r: dict[str, Any], limits: dict[str, Any]) -> None:
        if r["group"] != self.group:
            self.group = r["group"]
            self.say()
            self.say(self.paint(self.group, "bold"))
        for text in line(r, limits, self.paint):
            self.say(text)

    def closing(self, document: dict[str, Any], answers: list[Answer]) -> None:
        rows = [r for r in document["rows"] if r.get("ratio")]
        self.say()
        if rows:
            slower = sum(verdict(r) < 0 for r in rows)
            self.say(f"{geomean(r['ratio'] for r in rows):.2f}x the best peer, geometric mean of {len(rows)} cases; slower in {slower}.")
        for text in targets(answers, self.paint):
            self.say(text)
        wrong = [r for r in document["rows"] if "error" in r]
        if wrong:
            self.say(self.paint(f"{len(wrong)} wrong: {', '.join(r['key'] for r in wrong)}", "bad"))
        elif document["settings"].get("checked"):
            self.say("All results were right, before and after timing.")
        else:
            self.say("No result was checked.")


def targets(answers: list[Answer], paint: Paint = plain) -> list[str]:
    """What was to be reached, and what was."""
    if not answers:
        return []
    found = [paint(f"{'target':<44}{'wanted':>12}{'found':>12}", "bold")]
    for a in answers:
        value = "not measured" if a.value is None else f"{a.value:.3g} {a.unit}".strip()
        style = "" if a.met is None else "good" if a.met else "bad"
        sign = "<=" if a.at_most else ">="
        found.append(paint(f"{a.name:<44}{f'{sign} {a.wanted:g} {a.unit}'.strip():>14}{value:>14}  {a.verdict}", style))
    return found
