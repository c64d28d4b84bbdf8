"""`accelnn run`: a model on .npy files, in Python; the same options as a built program."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import _C
from ..core.dtypes import DType
from ..core.errors import FormatError, ShapeError
from ..deploy.build import plan_bytes
from ..deploy.verify import INPUT, OUTPUT, in_python

Files = dict[str, Path]


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("accelnn run", description=__doc__, epilog="Exit code: 0 done; 1 failed; 2 wrong usage.")
    p.add_argument("model", type=Path, help=".accel or .onnx")
    p.add_argument("--input", action="append", default=[], metavar="[NAME=]FILE", help="once for each input")
    p.add_argument("--output", action="append", default=[], metavar="[NAME=]FILE", help="once for each output that is wanted")
    p.add_argument("--json", action="store_true", help="print shapes and dtypes of the outputs as JSON")
    return p


def assign(given: Sequence[str], ports: Sequence[_C.Port], what: str) -> Files:
    """NAME=FILE, or FILE where there is one port."""
    files: Files = {}
    names = [port["name"] for port in ports]
    for text in given:
        name, sign, path = text.partition("=")
        if not sign or name not in names:
            if len(names) != 1:
                raise ShapeError(f"which {what} is '{text}'? Write --{what} NAME=FILE with one of {', '.join(names)}")
            name, path = names[0], text
        files[name] = Path(path)
    return files


def read(path: Path, dtype: DType) -> Any:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as reason:
        raise FormatError(f"{path}: {reason}") from reason
    wanted = np.dtype(np.float32) if dtype == DType.bfloat16 else dtype.storage
    if array.dtype != wanted:
        raise FormatError(f"{path}: {wanted} expected, not {array.dtype}")
    return array


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    plan = _C.Plan(plan_bytes(args.model))
    inputs, outputs = plan.ports(INPUT), plan.ports(OUTPUT)
    files = assign(args.input, inputs, "input")
    wanted = assign(args.output, outputs, "output")
    if missing := [f"{p['name']} {DType(p['dtype']).name}{list(p['shape'])}" for p in inputs if p["name"] not in files]:
        raise ShapeError(f"missing --input: {', '.join(missing)}")
    answers = in_python(plan, {p["name"]: read(files[p["name"]], DType(p["dtype"])) for p in inputs})
    for name, path in wanted.items():
        beside = path.with_name(f".{path.name}.{os.getpid()}.npy")
        np.save(beside, answers[name])
        beside.replace(path)
    if args.json:
        print(json.dumps({name: {"shape": list(a.shape), "dtype": str(a.dtype)} for name, a in answers.items()}))
    elif not wanted:
        for name, a in answers.items():
            print(f"{name}  {a.dtype}{list(a.shape)}\n{a}")
    return 0
