"""One picture of the whole way: how it learned, what it gets wrong, and size, accuracy and time of everything that ran. matplotlib without pyplot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from accelnn.core.optional import need
from accelnn.practice.callbacks import Epoch
from accelnn.practice.data import Split
from accelnn.practice.metrics import accuracy_interval, confusion
from accelnn.practice.report import Row, size_in_words, time_in_words

OURS, PEERS, WRONG = "#1f5fbf", "#b8bec8", "#c8402a"


def picture(path: Path, title: str, history: Sequence[Epoch], kept: Epoch, test: Split, scores: npt.NDArray[np.floating],
            rows: Sequence[Row], foot: str) -> None:
    """Writes a PNG: learning curves, confusion matrix and misread digits of `scores` f32 [N, classes], then size, accuracy and time of every row."""
    need("matplotlib", "plot")
    from matplotlib.figure import Figure  # without pyplot: no window system, no global state

    figure: Any = Figure(figsize=(15, 9), dpi=120, facecolor="white", layout="constrained")
    figure.suptitle(title, fontsize=16, fontweight="bold", x=0.01, ha="left")
    figure.supxlabel(foot, fontsize=8.5, color="#667", x=0.01, ha="left")
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.12, rect=(0, 0.0, 1, 1))
    axes = figure.subplots(2, 3)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.title.set_size(11)
    _curves(axes[0, 0], history, kept)
    _confusion(axes[0, 1], confusion(scores, test.labels))
    _misread(axes[0, 2], test, scores)
    _bars(axes[1, 0], "Size of the model (executable: whole program)", rows, [r.bytes for r in rows], size_in_words)
    _accuracy(axes[1, 1], rows, len(test))
    _bars(axes[1, 2], "Time for one digit (median)", rows, [r.us for r in rows], time_in_words)
    figure.savefig(path)


def _curves(axis: Any, history: Sequence[Epoch], best: Epoch) -> None:
    x = [e.number for e in history]
    axis.plot(x, [e.train_loss for e in history], color=PEERS, lw=2, label="training digits (shifted and turned)")
    axis.plot(x, [e.valid_loss for e in history], color=OURS, lw=2, label="held-out digits")
    axis.plot(best.number, best.valid_loss, "o", color=OURS, ms=8)
    note = f"kept: epoch {best.number}, {best.valid_accuracy:.1%} right"
    side = "right" if 2 * best.number > len(x) else "left"
    axis.annotate(note, (best.number, best.valid_loss), (0, -10), textcoords="offset points", ha=side, va="top", fontsize=9)
    axis.set(title="Learning: error after each pass over the digits", xlabel="epoch", ylabel="loss (log scale)", yscale="log")
    axis.margins(y=0.2)
    axis.legend(frameon=False, fontsize=9)


def _confusion(axis: Any, counts: npt.NDArray[np.int64]) -> None:
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    wrong = ~np.eye(len(counts), dtype=bool)
    axis.imshow(np.where(wrong, np.nan, share), cmap="Blues", vmin=0, vmax=1.6)
    axis.imshow(np.where(wrong & (counts > 0), share, np.nan), cmap="Oranges", vmin=0, vmax=0.1)
    for i, j in zip(*np.nonzero(counts), strict=True):
        axis.text(j, i, counts[i, j], ha="center", va="center", fontsize=9)
    axis.set(title=f"Answers of the executable: {np.trace(counts)} of {counts.sum()} right", xlabel="answer", ylabel="digit",
             xticks=range(10), yticks=range(10))
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)


def _misread(axis: Any, test: Split, scores: npt.NDArray[np.floating], across: int = 5) -> None:
    answers = scores.argmax(1)
    which = np.flatnonzero(answers != test.labels)[: across * 3]
    axis.axis("off")
    axis.set_title("Every digit it misread" if len(which) == (answers != test.labels).sum() else f"{len(which)} of the digits it misread")
    for place, index in enumerate(which):
        inner = axis.inset_axes((place % across / across, 0.72 - place // across * 0.33, 0.9 / across, 0.2))
        inner.imshow(test.images[index, 0], cmap="gray_r")
        inner.set_title(f"{test.labels[index]}, read {answers[index]}", fontsize=8.5, color=WRONG, pad=2)
        inner.axis("off")


def _bars(axis: Any, title: str, rows: Sequence[Row], values: Sequence[float], words: Callable[[Any], str]) -> None:
    y = np.arange(len(rows))[::-1]
    axis.barh(y, values, color=[OURS if r.ours else PEERS for r in rows], height=0.62)
    for at, value in zip(y, values, strict=True):
        axis.text(value, at, f" {words(value)}", va="center", fontsize=10)
    axis.set(title=title, yticks=y, yticklabels=[r.name for r in rows], xticks=[], xlim=(0, max(values) * 1.22))
    axis.spines["bottom"].set_visible(False)
    axis.tick_params(length=0)


def _accuracy(axis: Any, rows: Sequence[Row], n: int) -> None:
    y = np.arange(len(rows))[::-1]
    for at, row in zip(y, rows, strict=True):
        low, high = accuracy_interval(row.accuracy, n)
        axis.plot([low * 100, high * 100], [at, at], color=OURS if row.ours else PEERS, lw=3, alpha=0.45, solid_capstyle="round")
        axis.plot(row.accuracy * 100, at, "o", color=OURS if row.ours else PEERS, ms=9)
        axis.text(row.accuracy * 100, at + 0.2, f"{row.accuracy:.1%}", ha="center", fontsize=10)
    axis.set(title=f"Accuracy on {n} digits never seen (line: 95 %)", yticks=y, yticklabels=[r.name for r in rows],
             xlabel="% right", ylim=(-0.6, len(rows) - 0.2))
    axis.tick_params(axis="y", length=0)
