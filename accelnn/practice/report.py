"""What came out, for people: timing that treats everybody alike, and a table in words for the terminal (picture.py draws it)."""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from accelnn.practice.data import Floats


@dataclass(frozen=True)
class Row:
    """One way of running the same network. `accuracy` is a share of the test examples, `us` the median time for one of them."""

    name: str
    what: str
    accuracy: float
    bytes: int
    us: float
    needs: str
    ours: bool = True


def timed(run: Callable[[Floats], object], inputs: Sequence[Floats], seconds: float = 0.2) -> Callable[[], float]:
    """A block for `alternate`: calls run(x), taking turns over the inputs, for `seconds`; median microseconds a call."""
    def block() -> float:
        spent, end = [], time.perf_counter() + seconds
        for x in itertools.cycle(inputs):
            begin = time.perf_counter()
            run(x)
            after = time.perf_counter()
            spent.append(after - begin)
            if after > end:
                break
        return statistics.median(spent) * 1e6
    return block


def alternate(blocks: Mapping[str, Callable[[], float]], rounds: int = 5, idle: float = 0.1) -> dict[str, float]:
    """Median of each block over rounds in which all take turns: a slow moment of the machine hits everybody.

    The gap lets thread pools fall asleep."""
    for block in blocks.values():
        block()                                                   # warm: code, caches, clock
    taken: dict[str, list[float]] = {name: [] for name in blocks}
    for _ in range(rounds):
        for name, block in blocks.items():
            time.sleep(idle)
            taken[name].append(block())
    return {name: statistics.median(values) for name, values in taken.items()}


def size_in_words(n: int) -> str:
    return f"{n / 1e6:.1f} MB" if n >= 1e6 else f"{n / 1e3:.0f} KB"


def time_in_words(us: float) -> str:
    return f"{us / 1e3:.1f} ms" if us >= 1e3 else f"{us:.0f} us"


def table(rows: Sequence[Row], n: int, out: TextIO = sys.stdout) -> None:
    """Prints the rows: with rich where it is installed, in plain columns otherwise; n is the number of test digits."""
    heads = ("what runs", "in words", f"right, of {n} digits\nit has never seen", "size", "time for\none digit", "what must be installed")
    cells = [(r.name, r.what, f"{round(r.accuracy * n)} = {r.accuracy:.1%}", size_in_words(r.bytes), time_in_words(r.us), r.needs) for r in rows]
    try:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        flat = [tuple(head.replace("\n", " ") for head in heads), *cells]
        widths = [max(map(len, column)) for column in zip(*flat, strict=True)]
        print(*("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in flat), sep="\n", file=out)
        return
    console = Console(file=out, highlight=False, width=None if out.isatty() else 150)
    grid = Table(box=SIMPLE_HEAD, pad_edge=False)
    for head in heads:
        grid.add_column(head, justify="right" if head[:4] in ("righ", "size", "time") else "left", no_wrap=head == "what runs")
    for row, cell in zip(rows, cells, strict=True):
        grid.add_row(*cell, style="bold" if row.ours else "dim")
    console.print(grid)
