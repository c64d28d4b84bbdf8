"""Colour where it is wanted: on a terminal, and not under NO_COLOR."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

CODES = {"good": "32", "bad": "31;1", "dim": "2", "bold": "1", "warn": "33"}


def wants_color(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, stream: TextIO | None = None) -> str:
    """The text in a colour, or as it is."""
    return f"\x1b[{CODES[style]}m{text}\x1b[0m" if style and wants_color(stream or sys.stdout) else text


def columns(rows: Sequence[Sequence[str]], indent: str = "  ") -> list[str]:
    """Rows of cells under each other; the last column is as long as it is."""
    widths = [max((len(row[i]) for row in rows if i < len(row) - 1), default=0) for i in range(max(map(len, rows), default=0))]
    return [indent + "  ".join(cell.ljust(widths[i]) if i < len(row) - 1 else cell for i, cell in enumerate(row)) for row in rows]
