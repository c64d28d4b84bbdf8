"""`accelnn build`: a model as an executable, or as a library for the user's own program."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from ..deploy import link
from ..deploy.build import build


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("accelnn build", description=__doc__, epilog="Exit code: 0 built; 1 failed, or --verify found a difference; 2 wrong usage.")
    p.add_argument("model", type=Path, help=".accel or .onnx")
    p.add_argument("-o", "--output", type=Path, required=True, help="the executable; with --lib NAME, libNAME.a and NAME.h")
    p.add_argument("--lib", action="store_true", help="a static library and its C header instead of an executable")
    p.add_argument("--static", nargs="?", const="musl", choices=("musl", "glibc"),
                   help="needs no library at run time: musl (the cross extra), or the larger glibc")
    p.add_argument("--target", default="native", choices=link.TARGETS, help="any but native is cross-compiled and static (the cross extra)")
    p.add_argument("--prebuilt", action="store_true", help="use the prebuilt runner with every kernel; the default where there is no compiler")
    p.add_argument("--verify", action="store_true", help="run it on random inputs and compare with Python, before it is put in its place")
    p.add_argument("--json", action="store_true", help="print what was built as JSON")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    built = build(args.model, args.output, args.target, args.static, args.lib, args.verify, args.prebuilt)
    if args.json:
        print(json.dumps(built.as_dict()))
        return 0
    print(built)
    if not args.lib and args.target == "native":
        program = args.output if args.output.is_absolute() else f"./{args.output}"
        print(f"try it: {program} --info")
    return 0
