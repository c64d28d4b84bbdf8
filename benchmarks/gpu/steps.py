"""Steps: processes with a limit of time. Nothing that one of them does, or fails to do, keeps the next one from being run, or the whole from ending in time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GRACE = 2.0  # seconds between asking a process to end and ending it, and again until it is no longer waited for
LEAST = 3.0  # a step that would have less is not begun


@dataclass(frozen=True)
class Step:
    """commands: processes that run beside each other. limit: seconds for all of them; least: what is kept for this step while others before it run.
    done_by: files that count as the step's work when its time is up."""

    name: str
    commands: Sequence[Sequence[str]]
    limit: float
    least: float
    environment: Mapping[str, str] = field(default_factory=dict)
    each: Sequence[Mapping[str, str]] = ()  # environment of each command
    skip: str = ""  # why it is not run here
    needed: bool = False  # without it nothing that follows makes sense


@dataclass
class Outcome:
    name: str
    status: str  # done, failed, stopped, skipped
    seconds: float
    why: str = ""

    def json(self) -> dict[str, Any]:
        return {"name": self.name, "status": self.status, "seconds": round(self.seconds, 1), "why": self.why}


class Runner:
    """Runs steps one after the other within `seconds`. tick: called about once a second while one runs."""

    def __init__(self, folder: Path, seconds: float, tick: Callable[[], None] = lambda: None) -> None:
        self.folder, self.deadline, self.tick = folder, time.monotonic() + seconds, tick
        self.outcomes: list[Outcome] = []

    def run(self, steps: Sequence[Step], say: Callable[[str], None]) -> list[Outcome]:
        for i, step in enumerate(steps):
            reserved = 2 * GRACE + sum(later.least + 2 * GRACE for later in steps[i + 1 :])
            limit = min(step.limit, self.deadline - time.monotonic() - reserved)
            outcome = self._run(step, limit)
            self.outcomes.append(outcome)
            say(f"{step.name}: {outcome.status} after {outcome.seconds:.1f} s" + (f": {outcome.why}" if outcome.why else ""))
            self.tick()
            if step.needed and outcome.status != "done" and not step.skip:
                self.outcomes += [Outcome(later.name, "skipped", 0.0, f"{step.name} {outcome.status}") for later in steps[i + 1 :]]
                break
        return self.outcomes

    def log(self, step: Step, i: int) -> Path:
        return self.folder / f"{step.name}{f'-{i}' if len(step.commands) > 1 else ''}.log"

    def _run(self, step: Step, limit: float) -> Outcome:
        if step.skip:
            return Outcome(step.name, "skipped", 0.0, step.skip)
        if limit < LEAST:
            return Outcome(step.name, "skipped", 0.0, "no time was left")
        begin = time.monotonic()
        running: list[subprocess.Popen[bytes]] = []
        try:
            for i, command in enumerate(step.commands):
                extra = step.each[i] if step.each else {}
                with open(self.log(step, i), "wb") as log:
                    running.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
                                                    env={**os.environ, **step.environment, **extra}))  # fmt: skip
            while any(p.poll() is None for p in running) and time.monotonic() - begin < limit:
                time.sleep(0.05)
                if int((time.monotonic() - begin) * 20) % 20 == 0:
                    self.tick()
        except OSError as error:
            return Outcome(step.name, "failed", time.monotonic() - begin, str(error))
        finally:
            late = [p for p in running if p.poll() is None]
            end(running)
        spent, bad = time.monotonic() - begin, [i for i, p in enumerate(running) if p.returncode]
        if late:
            return Outcome(step.name, "stopped", spent, f"{len(late)} of {len(running)} processes were still running at the limit of {limit:.0f} s")
        if bad:
            return Outcome(step.name, "failed", spent, f"exit code {running[bad[0]].returncode}; {last_line(self.log(step, bad[0]))}")
        return Outcome(step.name, "done", spent)


def end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ends processes and what they started: asked first, then not. One that the system cannot end is left behind."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        alive = [p for p in processes if p.poll() is None or how == signal.SIGKILL]
        for p in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(p.pid, how)  # also of one that has ended: its children are of its group
        until = time.monotonic() + GRACE
        while any(p.poll() is None for p in alive) and time.monotonic() < until:
            time.sleep(0.02)


def last_line(path: Path) -> str:
    try:
        lines = [text.strip() for text in path.read_text(errors="replace").splitlines() if text.strip()]
    except OSError:
        return ""
    return lines[-1][:300] if lines else ""
