"""`accelnn kernels tune`: the block sizes of an op's kernels, measured on this machine's GPU and written into the table that rows read
(gpu_configs.json, by device and shape; a shape without an entry gets the nearest one's)."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from ..bench.tune import Asked, Config, Events, Found, Measure, asked_by, search, starts, write
from ..core.errors import AttributeValueError, DeviceError
from ..core.recording import Question, question_of
from ..core.registry import OPS
from ..core.remote import device_named
from .kernels import SHAPES, attributes, specs
from .terminal import columns

EPILOG = f"""{SHAPES}
  accelnn kernels tune matmul 4096x4096x4096:bfloat16 16x4096x4096:bfloat16
Exit code: 0 done; 1 no GPU, or an op whose kernels have no table; 2 wrong usage."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("accelnn kernels tune", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("op")
    p.add_argument("shape", nargs="+", help="the calls, one after the other")
    p.add_argument("--attr", action="append", default=[], metavar="NAME=NUMBER", help="an attribute of the op")
    p.add_argument("--device", default="cuda", help="cuda (default), cuda:1 ...")
    p.add_argument("--most", type=int, default=64, help="configurations that are tried at most for a shape (default 64)")
    p.add_argument("--dry-run", action="store_true", help="measure, but leave the table as it is")
    p.add_argument("--json", action="store_true")
    return p


def described(config: Config) -> str:
    return " ".join(f"{k}={v}" for k, v in config.items())


def report(question: Question, asked: Asked, found: Found, arch: str) -> dict[str, Any]:
    return {"op": question.op, "table": asked.kernel, "shape": asked.shape, "device": arch, "before": found.before, "best": found.best,
            "before_ms": found.time_of(found.before), "best_ms": found.time_of(found.best),
            "times": [{"ms": t, **c} for t, c in found.times], "unfit": [{"why": why, **c} for c, why in found.unfit]}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.op not in OPS:
        raise AttributeValueError(f"no op '{args.op}'; accelnn kernels lists them all")
    questions = []
    for shape in args.shape:
        inputs = specs(args.op, shape)
        questions.append(question_of(args.op, inputs, attributes(args.op, args.attr, len(inputs))))
    for question in questions:
        asked_by(question, "sm_90")  # an op without a table is told before a GPU is asked for
    try:
        device: Any = device_named(args.device)
    except DeviceError as reason:
        raise DeviceError(f"kernels are tuned by measuring them on a GPU, and there is none: {reason}") from reason
    done = []
    for question in questions:
        row, asked, before = asked_by(question, device.arch)
        found = search(before, starts(asked), Measure(device, question, row, asked, Events(device.number)), args.most)
        done.append(report(question, asked, found, device.arch))
        if not args.json:
            print(f"{asked.kernel} {'x'.join(map(str, asked.shape))} on {device.arch}: {len(found.times)} ran, {len(found.unfit)} did not")
            print("\n".join(columns([(f"{t:.4f} ms", described(c), "now" if c == before else "") for t, c in found.times[:8]])))
        if found.best != before and not args.dry_run:
            path = write(asked, device.arch, found.best)
            if not args.json:
                print(f"{path}: {described(found.best)}")
    if args.json:
        print(json.dumps(done))
    return 0
