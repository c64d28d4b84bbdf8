"""Measures kernels beside named peers and the machine's own limits: `accelnn bench` on the command line, `run` from Python (docs/bench.md).

    an.bench.register("mine", op="matmul", run=lambda a, b: my_library.matmul(a, b))
    record = an.bench.run("matmul", shapes=["512x512x512"])"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from ..core.device import get_num_threads
from . import document as records, peers
from .cases import Case, cases
from .measure import Pace
from .own import OWN, load, register
from .report import Printer, closing, plain, rows_closing, show
from .session import Job, run as run_here


def run(*ops: str, shapes: Sequence[str] = (), against: Sequence[str] = peers.LIBRARIES, device: str = "cpu", threads: int | None = None, rows: bool = False,
        quick: bool = False, pace: Pace | None = None, printer: Any = None) -> dict[str, Any]:
    """Measures in this process and returns the record (the document of --json). Nothing is printed without a printer (bench.Printer; for a device
    bench.gpu.Printer). numpy keeps the number of threads that it started with; the command sets it for every peer. device: "cpu" or "cuda"."""
    if device != "cpu":
        from . import gpu

        how = "quick" if quick else "shapes"
        return gpu.run(gpu.cases(ops, shapes, how), device, "quick" if quick else "full", against, rows, printer=printer)
    return measure(Job(cases(ops, shapes, quick), threads or get_num_threads(), pace or (Pace.quick() if quick else Pace()), tuple(against), rows),
                   (None,), printer, lambda job, emit: run_here(job, emit))


def measure(job: Job, threads: Sequence[int | None], printer: Printer | None, start: Callable[[Job, Callable[[dict[str, Any]], None]], None]) -> dict[str, Any]:
    """Runs the job for each number of threads (None: the job's own) by `start`, and collects the record."""
    asked = {"against": list(job.against), "device": "cpu", "rows": job.rows, "threads": [n or job.threads for n in threads]}
    made = records.new(asdict(job.pace) | asked)
    if printer:
        printer.opening(made)

    def emit(event: dict[str, Any]) -> None:
        records.add(made, event)
        if printer:
            printer.event(event)

    for n in threads:
        start(Job(job.cases, n or job.threads, job.pace, job.against, job.rows), emit)
    if printer:
        for text in (rows_closing if job.rows else closing)(made, printer.paint):
            printer.say(text)
    return made


__all__ = ["OWN", "Case", "Job", "Pace", "Printer", "cases", "load", "measure", "plain", "register", "run", "show"]
