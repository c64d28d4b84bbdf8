"""`accelnn bench`: kernels beside named peers and the machine's own limits, checked against float64."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..bench import Job, Pace, Printer, cases, load, measure, peers
from ..bench.document import check, default_threads, text
from ..bench.worker import start
from ..core.errors import AttributeValueError, DeviceError, FormatError
from ..core.remote import device_named
from .terminal import paint, wants_color

EPILOG = """SHAPES, separated by commas:
  matmul  512x512x512                     M x K x N
  conv2d  1x64x56x56:64x64x3x3:padding=1  image, weights, options
  others  64x1000 or 4096:4096            operands joined by `:`, NAME=NUMBER

A kernel of your own, in mine.py, then: accelnn bench matmul --with mine.py
  import accelnn as an
  an.bench.register("mine", op="matmul", run=lambda a, b: my_matmul(a, b))

Exit code: 0 done; 1 a wrong result, a regression (--compare), a pick that is
not the fastest row (--rows), or no such device; 2 wrong usage."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("accelnn bench", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("ops", nargs="*", metavar="OP", help="ops, or works like matmul_nk; default: everything")
    p.add_argument("--shapes", default="", metavar="S,S", help="in place of those of shapes.toml")
    p.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda: device rows beside torch's libraries (docs/bench.md)")
    p.add_argument("--threads", default="", metavar="N,N", help="default: 1 and all")
    p.add_argument("--against", default=",".join(peers.LIBRARIES), metavar="P,P", help="torch,numpy,onnxruntime, or none")
    p.add_argument("--with", dest="modules", action="append", default=[], metavar="MODULE", help="module or file.py that registers kernels of your own")
    p.add_argument("--rows", action="store_true", help="every row of the op's table, the dispatcher's pick marked")
    p.add_argument("--quick", action="store_true", help="short blocks, few shapes: an impression, not a record")
    p.add_argument("--json", metavar="FILE", help="the record; - for stdout (the text then goes to stderr)")
    p.add_argument("--plot", metavar="FILE", type=Path, help="roofline as a PNG (extra: plot)")
    p.add_argument("--compare", metavar="OLD.json", type=Path, help="what has become slower since, beyond the noise of both")
    return p


def thread_counts(text: str) -> list[int]:
    """'1,2' -> [1, 2]; 1 and all where nothing is said."""
    if not text:
        return sorted({1, default_threads()})
    try:
        found = [int(n) for n in text.split(",")]
    except ValueError:
        found = [0]
    if min(found) < 1:
        raise AttributeValueError(f"--threads {text}: numbers from 1 up, separated by commas")
    return found


def record(path: Path) -> dict[str, Any]:
    """An earlier run's document."""
    try:
        return check(json.loads(path.read_text()), str(path))
    except (OSError, ValueError) as reason:
        raise FormatError(f"{path}: {reason}") from reason


def no_gpu(reason: str) -> int:
    """What the doctor sees, and why nothing can be measured."""
    from . import doctor

    print(f"accelnn bench --device cuda: no GPU: {reason}", file=sys.stderr)
    for finding in doctor.gpu():
        print(f"  {finding.name}: {finding.value}", file=sys.stderr)
    return 1


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.plot and args.rows:
        parser().error("--plot draws cases beside their peers, not --rows")
    old = record(args.compare) if args.compare else None     # before minutes of measuring
    if args.plot:
        from ..core.optional import need

        need("matplotlib", "plot")
    if args.device == "cuda":
        return on_gpu(args, old)
    for module in args.modules:
        load(module)                                          # here, so that an error comes before any measurement
    chosen = cases(args.ops, [s for s in args.shapes.split(",") if s], args.quick)
    job = Job(chosen, 1, Pace.quick() if args.quick else Pace(), tuple(peers.names(args.against)), args.rows)
    out = sys.stderr if args.json == "-" else sys.stdout
    printer = Printer(out, partial(paint, stream=out), sys.stderr if wants_color(sys.stderr) else None)
    found = measure(job, thread_counts(args.threads), printer, lambda job, emit: start(job, args.modules, emit))
    keep(args, found)
    if args.plot:
        from ..bench.plot import roofline

        roofline(found, args.plot)
        printer.say(f"Roofline in {args.plot}")
    return verdict(found, old, printer)


def on_gpu(args: argparse.Namespace, old: dict[str, Any] | None) -> int:
    """--device cuda: device rows, in this process."""
    from ..bench import gpu

    if args.threads or args.modules:
        parser().error(f"{'--threads' if args.threads else '--with'} is for the CPU, not for --device cuda")
    try:
        device_named("cuda")
    except DeviceError as reason:
        return no_gpu(str(reason))
    chosen = gpu.cases(args.ops, [s for s in args.shapes.split(",") if s], "quick" if args.quick else "shapes")
    out = sys.stderr if args.json == "-" else sys.stdout
    printer = gpu.Printer(out, partial(paint, stream=out))
    found = gpu.run(chosen, "cuda", "quick" if args.quick else "full", peers.names(args.against), args.rows, printer=printer)
    keep(args, found)
    if args.plot:
        from ..bench.gpu.plot import roofline

        drawn = roofline(found, args.plot)
        printer.say(f"Roofline in {args.plot}" if drawn else "No roofline: nothing was timed")
    return verdict(found, old, printer)


def keep(args: argparse.Namespace, found: dict[str, Any]) -> None:
    if args.json == "-":
        print(json.dumps(found))
    elif args.json:
        write(Path(args.json), text(found))


def verdict(found: dict[str, Any], old: dict[str, Any] | None, printer: Any) -> int:
    """The exit code; what has changed since an old record is printed before."""
    regressed = False
    if old:
        from ..bench.compare import compare, lines

        changes = compare(old, found)
        for line in lines(changes, printer.paint, old, found):
            printer.say(line)
        regressed = any(c.verdict < 0 for c in changes)
    return int(regressed or any("error" in r or r.get("beaten_by") for r in found["rows"]))


def write(path: Path, content: str) -> None:
    """Beside, then renamed: a record is whole or not there."""
    import os

    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(content)
    beside.replace(path)
