"""`accelnn kernels compile`: the kernels that calls would launch on a GPU, compiled on any machine into one file. What runs them needs no Triton:
ACCELNN_KERNELS=FILE, or an.load_kernels(FILE)."""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..core.cuda import target_of
from ..core.errors import AttributeValueError, KernelError
from ..core.kernel_file import Entry, write
from ..core.kernel_files import name_of, source_of
from ..core.optional import need
from ..core.recording import Launch, Question, Recording, launches_of, question_of, questions_of
from ..core.registry import OPS
from ..emulation.ahead import Compiled
from ..emulation.specialize import specialize

EPILOG = """A kernel is compiled for the types, the alignment and the constants of a launch, which follow from the shapes: say the calls, or run them.
  accelnn kernels compile --arch sm_90 --call softmax 64x1000 --call matmul 512x768x3072:bfloat16 -o kernels.zip
  accelnn kernels compile --arch sm_80,sm_90 --run train.py:step -o kernels.zip      (step("cuda:sm_90"), the name of a device without numbers)
Exit code: 0 written; 1 a call that no device row takes, or a kernel that does not compile; 2 wrong usage."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("accelnn kernels compile", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--arch", required=True, help="chips, joined by commas: sm_80, sm_86, sm_89, sm_90, sm_100, sm_120")
    p.add_argument("--op", action="append", default=[], help="every call among the samples of this op that runs on the chip")
    p.add_argument("--call", action="append", default=[], nargs=2, metavar=("OP", "SHAPE"), help="one call, as --explain has it")
    p.add_argument("--attr", action="append", default=[], metavar="NAME=NUMBER", help="an attribute of every --call")
    p.add_argument("--calls", action="append", default=[], metavar="FILE", help='JSON: [{"op": "softmax", "inputs": [["float32", [64, 1000]]], "attrs": {}}]')
    p.add_argument("--run", action="append", default=[], metavar="MODULE:FUNCTION", help="what function(device) launches; MODULE may be a .py file")
    p.add_argument("-o", "--output", type=Path, required=True, help="the file; written when everything has been compiled")
    p.add_argument("--json", action="store_true", help="print what was compiled as JSON")
    return p


def questions(args: argparse.Namespace) -> list[Question]:
    """The calls that must run."""
    from .kernels import attributes, specs

    made = [q for path in args.calls for q in questions_of(path)]
    for op, shape in args.call:
        if op not in OPS:
            raise AttributeValueError(f"no op '{op}'; accelnn kernels lists them all")
        inputs = specs(op, shape)
        made.append(question_of(op, inputs, attributes(op, args.attr, len(inputs))))
    return made


def samples(op: str, arch: str) -> Iterator[Launch]:
    """The launches of an op's samples; of those that no row takes and that have no composition there are none."""
    if op not in OPS:
        raise AttributeValueError(f"no op '{op}'; accelnn kernels lists them all")
    for arrays, attrs in OPS[op].samples():
        device = Recording(arch)
        try:
            question_of(op, arrays, attrs).record(device)
        except KernelError:
            continue
        yield from device.launches


def function_of(where: str) -> Any:
    module, _, name = where.rpartition(":")
    if not module:
        raise AttributeValueError(f"--run {where}: MODULE:FUNCTION or FILE.py:FUNCTION expected")
    if module.endswith(".py"):
        sys.path.insert(0, str(Path(module).resolve().parent))
        module = Path(module).stem
    else:
        sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module), name)
    except (ModuleNotFoundError, AttributeError) as reason:
        raise AttributeValueError(f"--run {where}: {reason}") from reason


def recorded(args: argparse.Namespace, arch: str) -> Iterator[Launch]:
    for question in questions(args):
        device = Recording(arch)
        question.record(device)
        yield from device.launches
    for op in args.op:
        yield from samples(op, arch)
    for where in args.run:
        yield from launches_of(function_of(where), arch)


Job = tuple[str, str, str, str]  # kernel, source, key, target


def jobs(args: argparse.Namespace) -> dict[Job, Launch]:
    """Each kind of launch once."""
    found: dict[Job, Launch] = {}
    for arch in args.arch.split(","):
        target = target_of(arch)
        for launch in recorded(args, arch):
            name = name_of(launch.kernel)
            key = specialize(name, launch.kernel, launch.args, launch.constants).key(launch.warps, launch.stages)
            found.setdefault((name, source_of(launch.kernel), key, target), launch)
    return found


def entry(job: Job, made: Compiled) -> Entry:
    name, source, key, target = job
    scratch = int(made.metadata.get("global_scratch_size") or 0)
    return Entry(name, source, key, target, hashlib.sha256(made.image).hexdigest(), made.entry, made.warps, made.shared, scratch, made.parameters)


def main(argv: Sequence[str] | None = None) -> int:
    p = parser()
    args = p.parse_args(argv)
    if not (args.op or args.call or args.calls or args.run):
        p.error("say which calls: --op, --call, --calls or --run")
    triton = need("triton", "cuda13")
    found = jobs(args)
    # Two at a time: Triton gives up the interpreter's lock while LLVM and ptxas run, and a process of its own for each would import Triton again.
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda item: entry_and_image(*item), found.items()))
    wrong = [text for text, _, _ in done if text]
    if wrong:
        print("\n".join(f"accelnn kernels compile: {text}" for text in wrong), file=sys.stderr)
        return 1
    entries = [e for _, e, _ in done if e is not None]
    write(args.output, entries, {e.image: image for _, e, image in done if e is not None}, {"triton": triton.__version__})
    size, images = args.output.stat().st_size, len({e.image for e in entries})
    if args.json:
        print(json.dumps({"file": str(args.output), "bytes": size, "images": images, "kernels": [{"kernel": e.kernel, "target": e.target} for e in entries]}))
    else:
        print(f"{args.output}: {len(entries)} kinds of launches of {len({e.kernel for e in entries})} kernels, {images} images, {size:,} bytes")
    return 0


def entry_and_image(job: Job, launch: Launch) -> tuple[str, Entry | None, bytes]:
    """What went wrong, or the entry and its image."""
    try:
        made = launch.compile(job[3])
    except Exception as reason:  # whatever the compiler raises: all of it is told, not the first alone
        return f"{job[0]} for {job[3]}: {type(reason).__name__}: {str(reason)[:2000]}", None, b""
    return "", entry(job, made), made.image
