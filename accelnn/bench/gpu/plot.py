"""The roofline of a device's record as a PNG: limits are lines, accelnn's points are joined with those of the best peer at the same case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.optional import need
from ..plot import COLORS, FAINT, INK
from ..stats import geomean


def roofline(record: dict[str, Any], path: Path) -> bool:
    """Writes the picture; False where the record has nothing that was timed, and nothing is written."""
    rows = [r for r in record["rows"] if r.get("time") and r.get("flops") and r["subject"] == "accelnn"]
    if not rows:
        return False
    matplotlib = need("matplotlib", "plot")
    matplotlib.use("Agg", force=False)
    pyplot = need("matplotlib.pyplot", "plot")
    limits = record["sessions"][0]["ceilings"]
    groups = list(dict.fromkeys(r["group"] for r in rows))
    color = {g: COLORS[i % len(COLORS)] for i, g in enumerate(groups)}
    figure, axes = pyplot.subplots(figsize=(11.5, max(6.4, 3.5 + 0.2 * len(groups))))
    figure.subplots_adjust(left=0.07, right=0.68, top=0.88, bottom=0.1)
    xs = [r["flops"] / r["bytes"] for r in rows]
    left, right = min(xs) / 2, max(xs) * 2
    axes.set(xscale="log", yscale="log", xlabel="operations per byte that has to move", ylabel="TFLOP/s, TOP/s")
    axes.grid(True, which="major", color="#ececec", linewidth=0.8)
    flat = {k: v["rate"] / 1e12 for k, v in limits.items() if k != "copy"}
    for kind, y in flat.items():
        axes.plot([left, right], [y, y], color=INK, linewidth=1.0, zorder=1)
        axes.text(right, y * 1.03, f"{limits[kind]['name']} {y:.0f}", color=INK, fontsize=8, ha="right")
    if "copy" in limits:
        slope = limits["copy"]["rate"] / 1e12
        axes.plot([left, right], [left * slope, right * slope], color=FAINT, linewidth=1.0, zorder=1)
        axes.text(left * 1.1, left * slope * 1.25, f"copies {slope:.2f} TB/s", color=FAINT, fontsize=8)
    for r, x in zip(rows, xs):
        y, peer = r["flop_rate"] / 1e12, r["flops"] / r["peers"][r["best"]]["time"]["median"] / 1e12 if r["best"] else None
        if peer:
            axes.plot([x, x], [peer, y], color=color[r["group"]], linewidth=1.2, alpha=0.7, zorder=3)
            axes.plot([x], [peer], marker="o", markersize=5, markerfacecolor="white", markeredgecolor=color[r["group"]], linestyle="", zorder=4)
        axes.plot([x], [y], marker="o", markersize=7, color=color[r["group"]], markeredgecolor="white", linestyle="", zorder=5)
    speeds = [r["flop_rate"] / 1e12 for r in rows]
    axes.set(xlim=(left, right), ylim=(min(speeds) / 3, max([*speeds, *flat.values()]) * 2))
    compared = [r["ratio"] for r in rows if r["ratio"]]
    mean = f"{geomean(compared):.2f}x the best peer (geometric mean of {len(compared)} cases)" if compared else "no peers"
    figure.suptitle(f"accelnn on {record['machine']['gpu']['name']}: {mean}", x=0.02, ha="left", fontsize=13, fontweight="bold", color=INK)
    figure.text(0.02, 0.915, f"{record['libraries'].get('torch', 'no torch')}; {record['date'][:10]}, {record['commit'] or record['version']}", fontsize=8.5,
                color=FAINT)  # fmt: skip
    handles = [pyplot.Line2D([], [], marker="s", markersize=7, color=color[g], linestyle="", label=g) for g in groups]
    handles.append(pyplot.Line2D([], [], marker="o", markersize=5, markerfacecolor="white", markeredgecolor=FAINT, linestyle="", label="best peer"))
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.69, 0.88), frameon=False, fontsize=8.5, labelcolor=INK)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
    return True
