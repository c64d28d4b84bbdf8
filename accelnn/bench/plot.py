"""--plot: the roofline as a picture. Limits are lines, accelnn's points are joined with those of the best peer at the same case."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ..core.optional import need
from .report import UNITS, verdict
from .stats import geomean

COLORS = ("#0b6e99", "#d1495b", "#3a7d44", "#8f5db7", "#c77f1a", "#2a2a72", "#8a5a44", "#5b8e7d", "#b23a48", "#4f6d7a")
INK, FAINT = "#222222", "#8a8a8a"
CROWD = 40  # points in a panel


def roofline(document: dict[str, Any], path: Path) -> None:
    """Writes a PNG: one panel a number of threads, log-log, operations a byte against operations a second."""
    matplotlib = need("matplotlib", "plot")
    matplotlib.use("Agg", force=False)
    pyplot = need("matplotlib.pyplot", "plot")
    rows = [r for r in document["rows"] if r.get("flops") and "time" in r and r["subject"] == "accelnn"]
    threads = sorted({r["threads"] for r in rows}) or [s["threads"] for s in document["sessions"]][:1]
    groups = list(dict.fromkeys(r["group"] for r in rows))
    color = {g: COLORS[i % len(COLORS)] for i, g in enumerate(groups)}
    height = max(6.4, 4.4 + 0.2 * len(groups))
    figure, panels = pyplot.subplots(1, len(threads), figsize=(3.2 + 6.4 * len(threads), height), squeeze=False, sharey=True)
    figure.subplots_adjust(left=0.07, right=0.72, top=0.85, bottom=0.1, wspace=0.06)      # first: the slope of a line on paper depends on it
    for panel, n in zip(panels[0], threads):
        _panel(panel, [r for r in rows if r["threads"] == n], next(s["ceilings"] for s in document["sessions"] if s["threads"] == n), n, color)
    panels[0][0].set_ylabel("operations per second (GFLOP/s, GOP/s)")
    _titles(figure, document, rows)
    _legend(figure, pyplot, rows, groups, color)
    beside = path.with_name(f".{path.stem}.part.png")
    figure.savefig(beside, dpi=160, facecolor="white", bbox_inches="tight", pad_inches=0.25)
    pyplot.close(figure)
    beside.replace(path)


def _panel(axes: Any, rows: list[dict[str, Any]], limits: dict[str, Any], threads: int, color: dict[str, str]) -> None:
    xs = [r["flops"] / r["bytes"] for r in rows] or [1.0]
    peaks = {k: v for k, v in limits.items() if "rate" in v}
    top = max(v["rate"] for v in peaks.values()) / 1e9
    speeds = [s for r in rows for s in (r["flop_rate"], _peer_rate(r)) if s]
    low = min([s / 1e9 for s in speeds] + [peaks["fma"]["rate"] / 1e9 / 20]) / 1.7
    left, right = min(xs) / 2, max(max(xs) * 3, 300)
    axes.set(xscale="log", yscale="log", xlim=(left, right), ylim=(low, top * 1.9), xlabel="operations per byte that has to move")
    axes.set_title(f"{threads} thread{'s' * (threads > 1)}", loc="left", fontsize=11, color=INK)
    axes.grid(True, which="major", color="#ececec", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    _limits(axes, limits, peaks, left, right, top)
    x_of = _apart(rows)
    for r, x in zip(rows, x_of):
        y, peer = r["flop_rate"] / 1e9, _peer_rate(r)
        if peer:
            axes.plot([x, x], [peer / 1e9, y], color=color[r["group"]], linewidth=1.3, alpha=0.7, zorder=3)
            axes.plot([x], [peer / 1e9], marker="o", markersize=5, markerfacecolor="white", markeredgecolor=color[r["group"]], linestyle="", zorder=4)
        axes.plot([x], [y], marker="o", markersize=7, color=color[r["group"]], markeredgecolor="white", markeredgewidth=0.7, linestyle="", zorder=5)
    _labels(axes, rows, x_of)


def _apart(rows: list[dict[str, Any]]) -> list[float]:
    """Where points stand: at their intensity, a little to the right for each group that already has one there."""
    seen: dict[float, list[str]] = {}
    found = []
    for r in rows:
        at = round(math.log10(r["flops"] / r["bytes"]), 1)
        groups = seen.setdefault(at, [])
        if r["group"] not in groups:
            groups.append(r["group"])
        found.append(r["flops"] / r["bytes"] * 1.075 ** groups.index(r["group"]))
    return found


def _limits(axes: Any, limits: dict[str, Any], peaks: dict[str, Any], left: float, right: float, top: float) -> None:
    """Slanted lines of bandwidth up to the highest peak, flat ones of arithmetic; each with its name on it, above where the points can be."""
    fma = peaks["fma"]["rate"] / 1e9
    angle = _angle(axes)
    for level, rate in limits["read"].items():
        slope = rate / 1e9
        axes.plot([left, top / slope], [left * slope, top], color=FAINT, linewidth=1.0, zorder=1)
        y = fma * (1.18 if top > 2 * fma else 0.6)
        axes.text(y / slope, y * 1.03, f"{level} {slope:.0f} GB/s", color=FAINT, fontsize=7.5, rotation=angle, rotation_mode="anchor", va="bottom", zorder=2)
    for kind, peak in peaks.items():
        y = peak["rate"] / 1e9
        axes.plot([y / max(limits["read"].values()) * 1e9, right], [y, y], color=INK, linewidth=1.2, zorder=1)
        axes.text(right, y * 1.04, f"{peak['name']} {y:.0f} G{UNITS[kind]}", color=INK, fontsize=8, ha="right", va="bottom")


def _angle(axes: Any) -> float:
    """Of a line of slope 1 in the panel's log-log coordinates, on paper."""
    figure = axes.figure
    box, (x0, x1), (y0, y1) = axes.get_position(), axes.get_xlim(), axes.get_ylim()
    width, height = box.width * figure.get_figwidth(), box.height * figure.get_figheight()
    return math.degrees(math.atan2(height / math.log10(y1 / y0), width / math.log10(x1 / x0)))


def _labels(axes: Any, rows: list[dict[str, Any]], x_of: list[float]) -> None:
    """Names beside the points, as many as fit without covering anything: the largest differences first, and of a crowd one of each group."""
    from matplotlib.patheffects import withStroke

    axes.figure.canvas.draw()
    halo = [withStroke(linewidth=2.2, foreground="white")]
    taken = [_box(axes, x, speed / 1e9) for r, x in zip(rows, x_of) for speed in (r["flop_rate"], _peer_rate(r)) if speed]
    taken += [t.get_window_extent(axes.figure.canvas.get_renderer()) for t in axes.texts]
    named: set[str] = set()
    for r, x in sorted(zip(rows, x_of), key=lambda pair: -abs(math.log(pair[0]["ratio"] or 1))):
        if len(rows) > CROWD and r["group"] in named:
            continue
        text = r["label"].split(":")[0] + (f"  {r['ratio']:.2f}x" if r["ratio"] else "")
        for offset, align in (((7, -3), "left"), ((-7, -3), "right"), ((7, 5), "left"), ((-7, 5), "right"), ((7, -11), "left"), ((-7, -11), "right")):
            label = axes.annotate(text, (x, r["flop_rate"] / 1e9), xytext=offset, textcoords="offset points", fontsize=7, color=INK, ha=align,
                                  zorder=6, path_effects=halo)  # fmt: skip
            box, inside = label.get_window_extent(axes.figure.canvas.get_renderer()), axes.get_window_extent()
            if box.x0 >= inside.x0 and box.x1 <= inside.x1 and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                named.add(r["group"])
                break
            label.remove()


def _box(axes: Any, x: float, y: float) -> Any:
    from matplotlib.transforms import Bbox

    cx, cy = axes.transData.transform((x, y))
    return Bbox.from_extents(cx - 5, cy - 5, cx + 5, cy + 5)


def _peer_rate(r: dict[str, Any]) -> float | None:
    return r["flops"] / r["peers"][r["best"]]["time"]["median"] if r["best"] else None


def _titles(figure: Any, document: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    compared = [r for r in rows if r["ratio"]]
    mean = f"{geomean(r['ratio'] for r in compared):.2f}x the best peer (geometric mean of {len(compared)} cases)" if compared else "no peers"
    m = document["machine"]
    figure.suptitle(f"accelnn: {mean}", x=0.02, ha="left", fontsize=14, fontweight="bold", color=INK)
    versions = ", ".join(f"{name} {text.split(',')[0]}" for name, text in document["libraries"].items() if name in document["settings"]["against"])
    built = document["commit"] or document["version"]
    figure.text(0.02, 0.925, f"{m['cpu']}, {m['isa']}; against {versions or 'nobody'}; {document['date'][:10]}, {built}", fontsize=8.5, color=FAINT, ha="left")


def _legend(figure: Any, pyplot: Any, rows: list[dict[str, Any]], groups: list[str], color: dict[str, str]) -> None:
    line = pyplot.Line2D
    handles = [line([], [], marker="o", markersize=7, color=FAINT, linestyle="", label="accelnn"),
               line([], [], marker="o", markersize=5, markerfacecolor="white", markeredgecolor=FAINT, linestyle="", label="best peer")]  # fmt: skip
    for group in groups:
        chosen = [r for r in rows if r["group"] == group and r["ratio"]]
        slower = sum(verdict(r) < 0 for r in chosen)
        text = f"{group}: {geomean(r['ratio'] for r in chosen):.2f}x" + (f", {slower} of {len(chosen)} slower" if slower else "") if chosen else group
        handles.append(line([], [], marker="s", markersize=7, color=color[group], linestyle="", label=text))
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.735, 0.86), frameon=False, fontsize=8.5, labelcolor=INK)
