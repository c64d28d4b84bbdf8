"""The document of `explain` as one page that needs nothing else, and its picture: a row a call with a bar of time, who reads whom at the side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ..bench.report import seconds
from .explain_text import BEYOND, amount, counts, named, patterns, rate, shape, share, three, work

COLORS = {"product": "#3b74d9", "convolution": "#12998a", "attention": "#8b5cd6", "recurrence": "#c74f86", "norm": "#d38a1c", "softmax": "#a99a12",
          "pool": "#5c9e3c", "pointwise": "#dc623c", "reduction": "#6f8aa8", "movement": "#948d84"}  # fmt: skip
WIDTH, ROW, TOP = 1080, 21, 34
LANE, OP, LAYER, RESULT, BAR, LONGEST = 118, 134, 304, 552, 704, 236  # where the columns of the picture begin; the longest bar
PER_EM = 6.4  # pixels a character of the picture's text takes

THEME = """--ground:#fbfbf9;--card:#ffffff;--ink:#1d2126;--soft:#68707a;--line:#e2e2dc;--wire:#aab0b8;--hover:#f0f2f5"""
DARK = """--ground:#14171b;--card:#1b1f25;--ink:#e6e8eb;--soft:#98a1ac;--line:#2c323a;--wire:#59626d;--hover:#242a32"""
PICTURE_STYLE = """.g text{font:12px ui-sans-serif,system-ui,sans-serif;fill:var(--ink)}.g .soft{fill:var(--soft)}
.g .num{font-variant-numeric:tabular-nums}.g .wire{fill:none;stroke:var(--wire);stroke-width:1.2}
.g .row:hover .back{fill:var(--hover)}.g .back{fill:transparent}"""
STYLE = """*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 ui-sans-serif,system-ui,sans-serif}
main{max-width:1140px;margin:0 auto;padding:32px 20px 64px}h1{font-size:26px;margin:0}h2{font-size:17px;margin:40px 0 10px}
.soft{color:var(--soft)}.tiles{display:flex;flex-wrap:wrap;gap:12px;margin:22px 0 0}.tile{background:var(--card);border:1px solid var(--line);
border-radius:8px;padding:10px 16px;min-width:128px}.tile b{display:block;font-size:20px;font-variant-numeric:tabular-nums}
.tile span{font-size:12.5px;color:var(--soft)}.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px;overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13px}th{text-align:left;font-weight:600;color:var(--soft);white-space:nowrap}
th,td{padding:4px 10px 4px 4px;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
tr:last-child td{border-bottom:0}tbody tr:hover{background:var(--hover)}code,pre{font:12px/1.45 ui-monospace,monospace}pre{margin:0;overflow-x:auto}
.key{display:inline-flex;align-items:center;gap:6px;margin:0 14px 6px 0;font-size:13px}.dot{width:10px;height:10px;border-radius:3px;display:inline-block}
.stack{display:flex;height:22px;border-radius:5px;overflow:hidden;margin:4px 0 10px}.stack i{display:block;height:100%}.idle{opacity:.5}
summary{cursor:pointer;color:var(--soft)}"""


def fit(text: str, width: float) -> str:
    """The end of a text that would run into the next column."""
    n = int(width / PER_EM)
    return text if len(text) <= n else "…" + text[len(text) - n + 1 :]


def about(c: Mapping[str, Any]) -> str:
    """All that is known of a call, for the pointer."""
    parts = [f"#{c['number']} {c['op']}  {c['label']}", c["row"],
             ", ".join(filter(None, map(shape, c["inputs"]))) + " → " + ", ".join(filter(None, map(shape, c["outputs"]))),
             f"{seconds(c['ns'] / 1e9)}, {rate(c)}" + (f", {share(c)}" if share(c) else ""),
             f"{three(c['flops'] / 1e6)} MFLOP, {amount(c['bytes'])}, of that weights {amount(c['weight_bytes'])}"]  # fmt: skip
    if c["serves"]:
        parts.append(f"an operand of {c['serves']} that does not lie as its kernel wants")
    if len(c["sources"]) > 1:
        parts.append("from " + " + ".join(map(named, c["sources"])))
    return "\n".join(parts)


def picture(d: Mapping[str, Any]) -> str:
    """The picture as an SVG of its own, light and dark."""
    return _svg(d, f"<style>svg{{{THEME}}}@media(prefers-color-scheme:dark){{svg{{{DARK}}}}}svg{{background:var(--card)}}{PICTURE_STYLE}</style>")


def _svg(d: Mapping[str, Any], style: str = "") -> str:
    calls, ports = d["calls"], d["inputs"]
    height = TOP + ROW * (len(ports) + len(calls)) + 12
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
             f"<title>{escape(d['model'])}: {len(calls)} calls, {seconds(d['total_ns'] / 1e9)}</title>", style, '<g class="g">']  # fmt: skip
    for x, text in ((OP, "call"), (LAYER, "layer"), (RESULT, "result"), (BAR, "time; solid: the least that the machine's limit allows")):
        parts.append(f'<text class="soft" x="{x}" y="18">{escape(text)}</text>')
    parts += _wires(calls, len(ports))
    for k, port in enumerate(ports):
        y = _y(k)
        sizes = "x".join(map(str, port["shape"]))
        parts.append(f'<g class="row"><title>input {escape(port["name"])}</title><circle cx="{LANE}" cy="{y}" r="4.5" fill="none" stroke="var(--wire)" '
                     f'stroke-width="1.6"/><text class="soft" x="{OP}" y="{y + 4}">input {escape(fit(port["name"], LAYER - OP - 40))}</text>'
                     f'<text class="soft" x="{RESULT}" y="{y + 4}">{escape(port["dtype"])} {sizes}</text></g>')  # fmt: skip
    slowest = max((c["ns"] for c in calls), default=1) or 1
    parts += [_row(c, _y(len(ports) + c["number"]), slowest, max(d["total_ns"], 1)) for c in calls]
    return "\n".join([*parts, "</g></svg>"])


def _y(row: int) -> float:
    return TOP + ROW * row + ROW / 2


def _wires(calls: Sequence[Mapping[str, Any]], first: int) -> Iterator[str]:
    """From the dot of who writes to that of who reads: straight to the next row, an arc to the left further down."""
    for c in calls:
        here = first + c["number"]
        for source in c["reads"]:
            there = first + source if source >= 0 else -1 - source
            a, b = _y(there), _y(here)
            bend = 0.0 if here - there == 1 else min(10 + 15 * math.log2(here - there), LANE - 12)
            title = f"<title>{named(calls[source]) if source >= 0 else 'input'} → {named(c)}</title>".replace("&", "&amp;")
            yield f'<path class="wire" d="M{LANE} {a}C{LANE - bend * 1.3:.0f} {a} {LANE - bend * 1.3:.0f} {b} {LANE} {b}">{title}</path>'


def _row(c: Mapping[str, Any], y: float, slowest: float, total: float) -> str:
    color = COLORS[c["family"]]
    length = max(LONGEST * c["ns"] / slowest, 1.0)
    solid = length * min(c.get("share", 1.0), 1.0)
    result = next(filter(None, map(shape, c["outputs"])), "")
    words = f"{seconds(c['ns'] / 1e9)}  {share(c)}"
    return (f'<g class="row"><title>{escape(about(c))}</title><rect class="back" x="0" y="{y - ROW / 2}" width="{WIDTH}" height="{ROW}"/>'
            f'<circle cx="{LANE}" cy="{y}" r="4.5" fill="{color}"/><text x="{OP}" y="{y + 4}">{escape(fit(c["op"], LAYER - OP))}</text>'
            f'<text class="soft" x="{LAYER}" y="{y + 4}">{escape(fit(c["label"], RESULT - LAYER - 12))}</text>'
            f'<text class="soft num" x="{RESULT}" y="{y + 4}">{escape(fit(result, BAR - RESULT - 8))}</text>'
            f'<rect x="{BAR}" y="{y - 6}" width="{length:.1f}" height="12" rx="2" fill="{color}" opacity="0.38"/>'
            f'<rect x="{BAR}" y="{y - 6}" width="{solid:.1f}" height="12" rx="2" fill="{color}"/>'
            f'<text class="num{"" if c["ns"] > 0.05 * total else " soft"}" x="{BAR + length + 7:.1f}" y="{y + 4}">{escape(words)}</text></g>')  # fmt: skip


def page(d: Mapping[str, Any]) -> str:
    """The whole page."""
    name = escape(Path(d["model"]).name)
    body = [f"<h1>{name}</h1>", f'<div class="soft">{_about_run(d)}</div>', _tiles(d), "<h2>Calls, in the order they run</h2>", _keys(d),
            f'<div class="card">{_svg(d)}</div>', _beyond(d), "<h2>Where the time goes</h2>", _ops(d), "<h2>What each pass did</h2>", _passes(d),
            "<h2>Every call</h2>", _table(d), "<h2>Graph</h2>", _graph(d)]  # fmt: skip
    style = f":root{{color-scheme:light dark;{THEME}}}@media(prefers-color-scheme:dark){{:root{{{DARK}}}}}{STYLE}{PICTURE_STYLE}"
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>{name}</title><style>{style}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body><main>\n{chr(10).join(body)}\n</main></body></html>\n'


def _about_run(d: Mapping[str, Any]) -> str:
    ports = ", ".join(f"{p['name']} {p['dtype']} {'x'.join(map(str, p['shape'])) or '()'}" for p in d["inputs"])
    note = " (example sizes)" if d["example_sizes"] else ""
    threads = f"{d['threads']} thread{'s' if d['threads'] > 1 else ''}"
    special = f"<br>a Plan for these sizes alone: {escape(d['special'])}" if d["special"] else ""
    return f"{escape(ports)}{note}<br>{escape(d['machine']['cpu'])}, {d['machine']['isa']}, {threads}{special}"


def _tiles(d: Mapping[str, Any]) -> str:
    total, m = max(d["total_ns"], 1), d["memory"]
    done, speed = work(d["calls"], total)
    before, after = (sum(d["graph"][k].values()) for k in ("before", "after"))
    least = sum(c["ns"] * min(c["share"], 1.0) for c in d["calls"] if "share" in c) / total
    tiles = [(seconds(total / 1e9), "one run"), (speed, done), (f"{100 * least:.0f}%", "of the machine's limit"),
             (f"{before} → {len(d['calls'])}", f"nodes → calls ({after} nodes)"),
             (amount(m["weights"]), "weights"), (amount(m["arena"]), "arena"),
             (amount(m["peak"]), "peak of a run")]  # fmt: skip
    return '<div class="tiles">' + "".join(f'<div class="tile"><b>{escape(a)}</b><span>{escape(b)}</span></div>' for a, b in tiles) + "</div>"


def _keys(d: Mapping[str, Any]) -> str:
    used = {c["family"] for c in d["calls"]}
    keys = [f'<span class="key"><i class="dot" style="background:{color}"></i>{name}</span>' for name, color in COLORS.items() if name in used]
    return f"<div>{''.join(keys)}</div>"


def _beyond(d: Mapping[str, Any]) -> str:
    return f'<p class="soft">{BEYOND}</p>' if any(c.get("share", 0) > 1.05 for c in d["calls"]) else ""


def _ops(d: Mapping[str, Any]) -> str:
    family = {c["op"]: c["family"] for c in d["calls"]}
    bars = "".join(f'<i title="{escape(o["op"])} {100 * o["part"]:.1f}%" style="width:{100 * o["part"]:.2f}%;background:{COLORS[family[o["op"]]]};'
                   f'opacity:{0.75 + 0.25 * (i % 2)}"></i>' for i, o in enumerate(d["ops"]))  # fmt: skip
    rows = [_tr([escape(o["op"]), (str(o["calls"]),), (seconds(o["ns"] / 1e9),), (f"{100 * o['part']:.1f}%",)]) for o in d["ops"]]
    kernels = [_tr([f"<code>{escape(o['row'])}</code>", (str(o["calls"]),), (seconds(o["ns"] / 1e9),), (f"{100 * o['part']:.1f}%",)]) for o in d["rows"]]
    heads: list[Cell] = [("calls",), ("time",), ("of all",)]
    return (f'<div class="card"><div class="stack">{bars}</div>{_tabled(["op", *heads], rows)}</div><br>'
            f'<div class="card">{_tabled(["kernel row", *heads], kernels)}</div>')  # fmt: skip


def _passes(d: Mapping[str, Any]) -> str:
    if not d["passes"]:
        return '<p class="soft">The file holds the graph as it runs; what it was made of is not in it.</p>'
    rows = []
    for step in d["passes"]:
        changed = ", ".join(f"{n:+} {op}" for op, n in sorted(step["changed"].items(), key=lambda one: one[1]))
        done = [escape(changed)] if changed else []
        for n, what, first in patterns([*step["fused"], *step["replaced"]]):
            labels = " + ".join(dict.fromkeys(node["label"] for node in first["from"] if node["label"]))
            done.append(f"{n}× {escape(what)}" + (f' <span class="soft">such as {escape(labels)}</span>' if labels else ""))
        for word, key in (("computed now", "folded"), ("taken out", "dropped"), ("computed once", "merged")):
            if step[key]:
                done.append(f"{word}: {len(step[key])}")
        rows.append(_tr([f'<span title="{escape(step["says"])}">{escape(step["pass"])}</span>', (f"{step['nodes'][0]} → {step['nodes'][1]}",),
                         "<br>".join(done) or '<span class="soft">nothing</span>'], "pass" if done else "pass idle"))  # fmt: skip
    return f'<div class="card">{_tabled(["pass", ("nodes",), "what it did"], rows)}</div>'


def _table(d: Mapping[str, Any]) -> str:
    total, rows = max(d["total_ns"], 1), []
    for c in d["calls"]:
        sources = " + ".join(map(named, c["sources"])) if len(c["sources"]) > 1 else ""
        layer = escape(c["label"]) + (f'<br><span class="soft">from {escape(sources)}</span>' if sources else "")
        shapes = ", ".join(filter(None, map(shape, c["inputs"]))) + " → " + ", ".join(filter(None, map(shape, c["outputs"])))
        rows.append(_tr([(str(c["number"]),), f'<i class="dot" style="background:{COLORS[c["family"]]}"></i> {escape(c["op"])}', layer,
                         f'<code>{escape(c["row"])}</code><br><span class="soft">{escape(shapes)}</span>', (seconds(c["ns"] / 1e9),),
                         (f"{100 * c['ns'] / total:.1f}%",), (rate(c),), (share(c),)], "call"))  # fmt: skip
    heads: list[Cell] = [("#",), "op", "layer", "kernel row, shapes", ("time",), ("of all",), ("rate",), ("of limit",)]
    return f'<div class="card">{_tabled(heads, rows)}</div>'


def _graph(d: Mapping[str, Any]) -> str:
    found = [f'<div class="card"><p>before: {escape(counts(d["graph"]["before"]))}</p><p>after: {escape(counts(d["graph"]["after"]))}</p>']
    for which in ("before", "after"):
        if text := d["graph"].get(f"{which}_text"):
            found.append(f"<details><summary>every node {which}</summary><pre>{escape(text)}</pre></details>")
    return "".join([*found, "</div>"])


Cell = str | tuple[str]  # HTML; in a tuple, a number as text


def _tr(cells: Sequence[Cell], kind: str = "") -> str:
    inside = "".join(f'<td class="n">{escape(c[0])}</td>' if isinstance(c, tuple) else f"<td>{c}</td>" for c in cells)
    return f'<tr class="{kind}">{inside}</tr>' if kind else f"<tr>{inside}</tr>"


def _tabled(heads: Sequence[Cell], rows: Sequence[str]) -> str:
    top = "".join(f'<th class="n">{h[0]}</th>' if isinstance(h, tuple) else f"<th>{h}</th>" for h in heads)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
