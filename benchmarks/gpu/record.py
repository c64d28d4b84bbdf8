"""The record of `make gpu`: what the steps have left so far, in one document. What was not measured is null."""

from __future__ import annotations

import datetime
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .sanitizer import reports
from .steps import Outcome

MOST = 200  # failures that are written out


def json_lines(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Lines of JSON of several files; what a process was writing when it was ended is left out, and what else it printed."""
    found = []
    for path in paths:
        for line in path.read_text(errors="replace").splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                found.append(value)
    return found


def document(path: Path) -> dict[str, Any] | None:
    """The last line of a file that is a document, or the whole file as one."""
    if not path.exists():
        return None
    text = path.read_text(errors="replace")
    for candidate in (text, *reversed(text.splitlines())):
        try:
            value = json.loads(candidate)
        except ValueError:
            continue
        if isinstance(value, dict):
            return value
    return None


def tests(folder: Path) -> dict[str, Any] | None:
    found = json_lines(sorted(folder.glob("tests-report-*.jsonl")))
    if not found:
        return None
    counts = Counter(r["outcome"] for r in found)
    failed = [r for r in found if r["outcome"] == "failed"]
    return {"passed": counts["passed"], "failed": counts["failed"], "skipped": counts["skipped"],
            "failures": [{"test": r["test"], "why": r["why"]} for r in failed[:MOST]]}  # fmt: skip


def conformance(folder: Path) -> dict[str, Any] | None:
    found = json_lines(sorted(folder.glob("conformance*.log")))
    if not found:
        return None
    counts = Counter(r["outcome"] for r in found)
    bits = sum(r["outcome"] == "same" and r.get("how") == "bits" for r in found)
    return {"rows": len(found), "same_bits": bits, "within_bound": counts["same"] - bits, "different": counts["different"], "errors": counts["error"],
            "no_call": counts["no call"], "findings": [r for r in found if r["outcome"] in ("different", "error")][:MOST]}  # fmt: skip


def assemble(folder: Path, outcomes: Sequence[Outcome], dry: bool) -> dict[str, Any]:
    """Everything that there is. The head is the machine's step's, or the bench's own when it is further."""
    head = document(folder / "machine.log") or {}
    bench = document(folder / "bench.json") or {}
    made = {"schema": "accelnn bench 1", "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), "version": None, "commit": None,
            "machine": None, "libraries": {}, "settings": {}, "sessions": [], "rows": [], "launch_seconds": None, "targets": None,
            "versions": None}  # fmt: skip
    made |= {k: v for k, v in head.items() if k in made} | {k: v for k, v in bench.items() if k in made}
    if head.get("machine") and made["machine"]:
        made["machine"] = head["machine"] | made["machine"]
    scaling = json_lines(sorted(folder.glob("cpu.log")))
    return made | {"dry": dry, "steps": [o.json() for o in outcomes], "tests": tests(folder), "conformance": conformance(folder),
                   "sanitizer": reports(folder), "cpu_matmul": scaling or None}  # fmt: skip


def name_of(record: dict[str, Any]) -> str:
    """gpu-<name>-<date>: "NVIDIA H100 80GB HBM3" is h100-80gb-hbm3."""
    gpu = ((record["machine"] or {}).get("gpu") or {}).get("name") or "unknown"
    slug = re.sub(r"[^a-z0-9]+", "-", gpu.lower().replace("nvidia", "")).strip("-") or "unknown"
    return f"gpu-{slug}-{record['date'][:10]}"


def problems(record: dict[str, Any]) -> list[str]:
    """What is wrong, a line each; nothing that is merely not measured."""
    found = []
    if record["tests"] and record["tests"]["failed"]:
        found.append(f"{record['tests']['failed']} tests failed; the first: {record['tests']['failures'][0]['test']}: {record['tests']['failures'][0]['why']}")
    seen = record["conformance"]
    if seen and (seen["different"] or seen["errors"]):
        found.append(f"emulator and hardware: {seen['different']} rows differ, {seen['errors']} could not be run; the first: {seen['findings'][0]['row']}: "
                     f"{seen['findings'][0]['why']}")  # fmt: skip
    for tool, report in record["sanitizer"].items():
        if report and report["errors"]:
            first = report["findings"][0] if report["findings"] else {"what": "?", "where": "?"}
            found.append(f"{tool}: {report['errors']} errors; the first: {first['what']} in {first['where']}")
    found += [f"wrong result: {r['key']}: {r['error']}" for r in record["rows"] if "error" in r]
    found += [f"step {s['name']} failed: {s['why']}" for s in record["steps"] if s["status"] == "failed"]
    return found


def unfinished(record: dict[str, Any]) -> list[str]:
    return [f"step {s['name']}: {s['status']}: {s['why']}" for s in record["steps"] if s["status"] in ("stopped", "skipped")]


def text(record: dict[str, Any]) -> str:
    """As a file: a line a case, so that two records can be read side by side."""
    rest = {k: v for k, v in record.items() if k != "rows"}
    head = json.dumps(_short(rest), indent=1).removesuffix("\n}")
    rows = ",\n  ".join(json.dumps(_short(r)) for r in record["rows"])
    return head + f',\n "rows": [\n  {rows}\n ]\n}}\n'


def _short(x: Any) -> Any:
    """Four digits of what is known to two."""
    if isinstance(x, float):
        return float(f"{x:.4g}")
    if isinstance(x, dict):
        return {k: _short(v) for k, v in x.items()}
    return [_short(v) for v in x] if isinstance(x, (list, tuple)) else x
