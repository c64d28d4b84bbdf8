"""docs/layers.md lists what is there: `python -m tests.test_layers_page` writes the list."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import accelnn as an

from .parity.test_signatures import ABSENT

PAGE = Path(__file__).parents[1] / "docs/layers.md"
MARK = "<!-- layers: tests/test_layers_page.py holds this list to accelnn.nn -->\n"


def listed() -> str:
    """A row for each file of accelnn/nn: what its first line says, and its public names."""
    rows = ["| | |", "|---|---|"]
    rooms: dict[str, list[str]] = {}
    for name in sorted(an.nn.__all__):
        thing = getattr(an.nn, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            rooms.setdefault(thing.__module__, []).append(f"`{name}`")
    for room, names in sorted(rooms.items()):
        about = (sys.modules[room].__doc__ or "").partition("\n")[0].partition(".")[0].partition(":")[0]
        rows.append(f"| {about} | {', '.join(names)} |")
    return "\n".join(rows) + "\n"


def test_the_page_lists_every_layer() -> None:
    head, mark, rest = PAGE.read_text().partition(MARK)
    assert mark and rest == listed(), "run: python -m tests.test_layers_page"
    assert all(f"`{name}`" in head for name in ABSENT)


if __name__ == "__main__":
    PAGE.write_text(PAGE.read_text().partition(MARK)[0] + MARK + listed())
