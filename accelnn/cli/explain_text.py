"""The document of `explain` for a terminal of 80 columns, or a file."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..bench.report import UNITS, seconds
from .terminal import paint

WIDTH = 80
BAR = 10
BEYOND = ("Above 100 %: Winograd's convolutions need fewer operations than are counted, or what is read still lay in a faster cache than so many bytes "
          "would fill.")


def three(x: float) -> str:
    return f"{x:.2f}" if x < 9.995 else f"{x:.1f}" if x < 99.95 else f"{x:,.0f}"


def amount(n: float) -> str:
    """Bytes for people."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if n >= scale:
            return f"{three(n / scale)} {unit}"
    return f"{n:.0f} bytes"


def work(calls: Sequence[Mapping[str, Any]], ns: float) -> tuple[str, str]:
    """('1.40 GFLOP', '105 GFLOP/s') of all calls; OP where integers are among them."""
    n, unit = sum(c["flops"] for c in calls), "OP" if any(c["flops"] and c["peak"] == "int8" for c in calls) else "FLOP"
    prefix, scale = next((p for p in (("G", 1e9), ("M", 1e6)) if n >= p[1]), ("k", 1e3))
    return f"{three(n / scale)} {prefix}{unit}", f"{three(n / max(ns, 1))} G{unit}/s"


def rate(call: Mapping[str, Any]) -> str:
    """Arithmetic where it does any to speak of, else bytes."""
    if not call["ns"]:
        return "not run"
    ns = call["ns"]
    if call["flops"] > 2 * call["bytes"]:
        return f"{three(call['flops'] / ns)} G{UNITS[call['peak']]}"
    return f"{three(call['bytes'] / ns)} GB/s"


def share(call: Mapping[str, Any]) -> str:
    return f"{100 * call['share']:.0f}% {call['bound_by']}" if "share" in call else ""


def cut(text: str, width: int) -> str:
    """The end of a name says more than its beginning."""
    return text if len(text) <= width else "…" + text[len(text) - width + 1 :]


def shape(text: str) -> str:
    """'f32[1, 64]' -> 'f32 1x64'; what is left out is nothing."""
    dtype, _, sizes = text.rstrip("]").partition("[")
    return "" if dtype == "absent" else f"{dtype} {sizes.replace(', ', 'x') or '()'}"


def wrapped(text: str, indent: str = "  ", hang: str = "    ") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent + hang, break_on_hyphens=False)


def counts(ops: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {op}" for op, n in ops.items()) or "nothing"


def named(node: Mapping[str, str]) -> str:
    return f"{node['op']} {node['label']}".rstrip()


def patterns(changes: Sequence[Mapping[str, Any]]) -> list[tuple[int, str, Mapping[str, Any]]]:
    """(how often, "conv2d + relu -> conv2d", the first) of changes, most often first."""
    found: Counter[str] = Counter()
    first: dict[str, Mapping[str, Any]] = {}
    for change in changes:
        runs: list[list[Any]] = []
        for node in change["from"]:
            if runs and runs[-1][0] == node["op"]:
                runs[-1][1] += 1
            else:
                runs.append([node["op"], 1])
        text = " + ".join(op if n == 1 else f"{n} {op}" for op, n in runs) + f" -> {change['into']['op']}"
        found[text] += 1
        first.setdefault(text, change)
    return [(n, text, first[text]) for text, n in found.most_common()]


def lines(d: Mapping[str, Any]) -> Iterator[str]:
    yield from _head(d)
    yield from _graph(d)
    yield from _calls(d)
    yield from _sums(d)
    for which in ("before", "after"):
        if text := d["graph"].get(f"{which}_text"):
            yield from ("", paint(f"graph {which}", "bold"), *(f"  {line}" for line in text.splitlines()))


def _head(d: Mapping[str, Any]) -> Iterator[str]:
    yield paint(f"{d['model']}", "bold") + f"  {amount(d['bytes'])}"
    for port in d["inputs"]:
        note = "   sizes are examples: --input, --dims" if port["name"] in d["example_sizes"] else ""
        yield from wrapped(f"input   {port['name']}  {port['dtype']} {'x'.join(map(str, port['shape'])) or '()'}  of {port['spec']}{note}")
    for port in d["outputs"]:
        yield from wrapped(f"output  {port['name']}  {port['spec']}")
    if d["special"]:
        yield from wrapped(f"a Plan for these sizes alone: {d['special']}")
    n = d["threads"]
    yield f"  on      {d['machine']['cpu']}, {d['machine']['isa']}, {n} thread{'s' if n > 1 else ''}"
    limits = [f"{v['name'].split()[-1]} {three(v['rate'] / 1e9)} G{UNITS[k]}" for k, v in d["ceilings"].items() if k in UNITS]
    limits += [f"{level} {three(v / 1e9)} GB/s" for level, v in d["ceilings"].get("read", {}).items()]
    yield from wrapped(f"limits  {', '.join(limits)}, measured now")


def _graph(d: Mapping[str, Any]) -> Iterator[str]:
    before, after = d["graph"]["before"], d["graph"]["after"]
    yield ""
    yield paint(f"graph   {sum(before.values())} nodes -> {sum(after.values())} nodes, {len(d['calls'])} calls", "bold")
    if not d["passes"]:
        yield from wrapped(f"{counts(after)}", "  ")
        yield from wrapped("the file holds the graph as it runs; what it was made of is not in it")
        return
    yield from wrapped(f"before  {counts(before)}", "  ", "        ")
    yield from wrapped(f"after   {counts(after)}", "  ", "        ")
    yield ""
    yield paint("passes", "bold")
    for step in d["passes"]:
        yield from pass_lines(step)


def pass_lines(step: Mapping[str, Any]) -> Iterator[str]:
    a, b = step["nodes"]
    idle = not step["changed"] and not step["fused"] and not step["replaced"]
    text = f"  {step['pass']:<22}{a:>5} -> {b:<5}"
    if idle:
        yield paint(f"{text}nothing", "dim")
        return
    changed = ", ".join(f"{n:+} {op}" for op, n in sorted(step["changed"].items(), key=lambda one: one[1])) or "the same ops"
    yield from textwrap.wrap(text + changed, WIDTH, subsequent_indent=" " * 36, break_on_hyphens=False)
    for n, what, first in patterns(step["fused"])[:6]:
        parts = " + ".join(dict.fromkeys(node["label"] for node in first["from"] if node["label"]))
        yield from wrapped(f"{n:>4}x {what}" + (f"   such as {parts}" if parts else ""), "    ", "      ")
    for n, what, _ in patterns(step["replaced"])[:6]:
        yield from wrapped(f"{n:>4}x {what}", "    ", "      ")
    for word, key in (("computed now", "folded"), ("taken out", "dropped")):
        if step[key]:
            yield from wrapped(f"{word}: {counts(dict(Counter(n['op'] for n in step[key]).most_common()))}", "     ", "      ")
    if step["merged"]:
        yield from wrapped(f"computed once: {counts(dict(Counter(c['into']['op'] for c in step['merged']).most_common()))}", "     ", "      ")


def _calls(d: Mapping[str, Any]) -> Iterator[str]:
    total = max(d["total_ns"], 1)
    yield ""
    yield paint("calls", "bold")
    yield paint(f"  {'#':>3} {'op':<16}{'layer':<18}{'time':>8}{'of all':>7}{'rate':>13}  of limit", "dim")
    for c in d["calls"]:
        part = c["ns"] / total
        text = f"  {c['number']:>3} {cut(c['op'], 15):<16}{cut(c['label'], 17):<18}{seconds(c['ns'] / 1e9):>8}{100 * part:>6.1f}%{rate(c):>13}  {share(c)}"
        yield paint(text.rstrip(), "warn" if part >= 0.1 else "")
        shapes = ", ".join(filter(None, map(shape, c["inputs"]))) + " -> " + ", ".join(filter(None, map(shape, c["outputs"])))
        sources = c["sources"]
        yield from (paint(line, "dim") for line in wrapped(f"{c['row']}  {shapes}", " " * 6, ""))
        if c["serves"]:
            yield paint(f"      an operand of {c['serves']} that does not lie as its kernel wants", "dim")
        if len(sources) > 1:
            text = "from " + " + ".join(map(named, sources[:12])) + (" ..." if len(sources) > 12 else "")
            yield from (paint(line, "dim") for line in wrapped(text, " " * 6, "  "))


def _sums(d: Mapping[str, Any]) -> Iterator[str]:
    total = max(d["total_ns"], 1)
    yield ""
    yield paint(f"total   {seconds(total / 1e9)}, {', '.join(work(d['calls'], total))}", "bold")
    if any(c.get("share", 0) > 1.05 for c in d["calls"]):
        yield from (paint(line, "dim") for line in wrapped(BEYOND, "  ", ""))
    yield ""
    for key, title in (("op", "time by op"), ("row", "time by kernel row")):
        yield paint(title, "bold")
        for one in d["ops" if key == "op" else "rows"]:
            bar = "#" * max(round(BAR * one["part"]), 1 if one["part"] > 0.01 else 0)
            yield f"  {cut(one[key], 40):<41}{one['calls']:>4}{seconds(one['ns'] / 1e9):>10}{100 * one['part']:>6.1f}%  {bar}".rstrip()
        yield ""
    m = d["memory"]
    yield paint("memory", "bold")
    yield f"  weights {amount(m['weights'])}, arena {amount(m['arena'])}, inputs {amount(m['inputs'])}, outputs {amount(m['outputs'])}"
    yield f"  peak of a run {amount(m['peak'])}"
