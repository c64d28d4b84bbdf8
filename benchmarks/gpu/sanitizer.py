"""compute-sanitizer's reports, read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
# What a finding begins with; the lines below it say where.
FINDING = re.compile(r"^========= (?P<what>(?:Invalid|Uninitialized|Error: Race|Warning: Race|Potential|Barrier error|Race|Program hit|Divergent|Misaligned|"
                     r"Stack|Leaked|Out-of-range|Unused|Internal|Error: (?!Target)).*)$")  # fmt: skip
WHERE = re.compile(r"^=========\s+at (?:0x[0-9a-f]+ in )?(?:\S+::)?(?P<kernel>\w+)(?:\(|\+|:)")
ERRORS = re.compile(r"^========= ERROR SUMMARY: (\d+) error", re.M)
HAZARDS = re.compile(r"^========= RACECHECK SUMMARY: (\d+) hazards? displayed \((\d+) errors?, (\d+) warnings?\)", re.M)
MOST = 40  # kinds of findings in a record


def read(text: str) -> dict[str, Any]:
    """{"finished", "errors", "warnings", "findings": [{"what", "where", "count"}]}. Without a summary the tool did not come to its end, and nothing is
    known: errors is None."""
    hazards, errors = HAZARDS.search(text), ERRORS.search(text)
    found: dict[tuple[str, str], int] = {}
    lines = text.splitlines()
    for i, line in enumerate(lines):
        match = FINDING.match(line)
        if match:
            below = (WHERE.match(below) for below in lines[i + 1 : i + 8])
            inline = re.search(r"access at (\w+)", line)
            kernel = next((m["kernel"] for m in below if m), inline[1] if inline else "")
            what = re.sub(r"0x[0-9a-f]+|\d{4,}|\+.*", "", match["what"]).strip()
            found[what, kernel] = found.get((what, kernel), 0) + 1
    findings = [{"what": what, "where": kernel, "count": n} for (what, kernel), n in sorted(found.items(), key=lambda f: -f[1])]
    if hazards:
        counts: tuple[int | None, int | None] = int(hazards[2]), int(hazards[3])
    else:
        counts = (int(errors[1]), 0) if errors else (None, None)
    return {"finished": counts[0] is not None, "errors": counts[0], "warnings": counts[1], "findings": findings[:MOST]}


def reports(folder: Path) -> dict[str, Any]:
    """Every tool's report in a folder; None for one that left none."""
    found: dict[str, Any] = {}
    for tool in TOOLS:
        path = folder / f"{tool}.txt"
        found[tool] = read(path.read_text(errors="replace")) if path.exists() else None
    return found
