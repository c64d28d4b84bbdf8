"""The record of a run: one JSON document with everything that a figure depends on."""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import _C
from ..core.device import isa_level
from ..core.errors import FormatError
from ..version import __version__
from . import ceilings as limits

SCHEMA = "accelnn bench 1"
NEEDED = {"schema", "date", "version", "commit", "machine", "libraries", "settings", "sessions", "rows"}


def commit() -> str | None:
    """The checkout's commit, with a + where files differ from it; None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        def git(*arguments: str) -> str:
            return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True).stdout.strip()

        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def new(settings: dict[str, Any]) -> dict[str, Any]:
    """A document without results."""
    m = _C.machine()
    machine = {"cpu": m["cpu"].strip().rstrip("\0"), "isa": isa_level(), "cores": default_threads(), "l1": m["l1"], "l2": m["l2"], "l3": m["l3"],
               "system": platform.platform()}  # fmt: skip
    return {"schema": SCHEMA, "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), "version": __version__, "commit": commit(),
            "machine": machine, "libraries": {"python": sys.version.split()[0], "numpy": np.__version__}, "settings": settings, "sessions": [],
            "rows": []}  # fmt: skip


def default_threads() -> int:
    return int(_C.machine()["threads"])


def add(document: dict[str, Any], event: dict[str, Any]) -> None:
    """What an event of a session adds."""
    kind, rest = event["event"], {k: v for k, v in event.items() if k != "event"}
    if kind == "start":
        document["sessions"].append({k: v for k, v in rest.items() if k != "cases"})
        document["libraries"] |= {name: text for name, text in event["libraries"].items()}
    elif kind == "row":
        document["rows"].append(rest)
    elif kind == "end":
        finish(document, event["ceilings_after"])


def finish(document: dict[str, Any], after: dict[str, Any]) -> None:
    """The session's limits become the higher of before and after, and the rows' shares those of them: a busy moment at the start would flatter."""
    session = document["sessions"][-1]
    session["ceilings_before"], session["ceilings_after"] = session["ceilings"], after
    session["ceilings"] = limits.best([session["ceilings"], after])
    for r in document["rows"]:
        if r["threads"] == session["threads"] and "share" in r:
            new = limits.rate_of(session["ceilings"], r["bound_kind"])
            r["share"], r["limit_rate"] = r["share"] * r["limit_rate"] / new, new


def text(document: dict[str, Any]) -> str:
    """The document as a file: a line for each case, so that two records can be read side by side, and four digits of what is known to two."""
    short = _short(document)
    listed = {key: ",\n  ".join(json.dumps(v) for v in short.pop(key)) for key in ("sessions", "rows")}
    head = json.dumps(short, indent=1).removesuffix("\n}")
    return head + "".join(f',\n "{key}": [\n  {lines}\n ]' for key, lines in listed.items()) + "\n}\n"


def _short(x: Any) -> Any:
    if isinstance(x, float):
        return float(f"{x:.4g}")
    if isinstance(x, dict):
        return {k: _short(v) for k, v in x.items()}
    return [_short(v) for v in x] if isinstance(x, (list, tuple)) else x


def check(found: Any, name: str) -> dict[str, Any]:
    """The document, or an error that says that it is none of ours."""
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise FormatError(f"{name}: not a record of accelnn bench ({SCHEMA})")
    if lacking := NEEDED - set(found):
        raise FormatError(f"{name}: {', '.join(sorted(lacking))} missing")
    return found


def ceilings(document: dict[str, Any], threads: int) -> dict[str, Any]:
    return next((s["ceilings"] for s in document["sessions"] if s["threads"] == threads), {})


def problems(document: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """Rows whose results were wrong."""
    return [r for r in document["rows"] if "error" in r]
