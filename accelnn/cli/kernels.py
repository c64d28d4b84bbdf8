"""`accelnn kernels`: the tables of the library, and the choice that a call would get."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from typing import Any

from .. import _C
from ..core.device import isa_level
from ..core.dispatch import explain
from ..core.dtypes import DType, as_dtype
from ..core.errors import AttributeValueError, KernelError, ShapeError
from ..core.graph import Spec
from ..core.registry import OPS
from ..core.remote_call import rows_of
from .terminal import columns, paint

SHAPES = """SHAPE: the sizes of each input, joined by x, the inputs by commas; a dtype may follow a colon, `-` leaves one out.
  matmul 1x768x768                         (M x K x N, short for 1x768,768x768)
  conv2d 1x3x32x32,16x3x3x3 --attr pad_top=1
  softmax 64x1000:f32"""
COMMANDS = ("compile", "tune")
ALSO = """accelnn kernels compile --help: kernels for GPUs, compiled into a file; accelnn kernels tune --help: their block sizes, measured on this GPU."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("accelnn kernels", description=__doc__, epilog=f"{SHAPES}\n{ALSO}\nExit code: 0 done; 1 no kernel would run; 2 wrong usage.",
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("op", nargs="?", help="only this op")
    p.add_argument("--explain", nargs=2, metavar=("OP", "SHAPE"), help="every row, why each was refused, and the pick")
    p.add_argument("--device", metavar="CHIP", help="with --explain: which device row takes the call on this GPU: sm_80, sm_90 ...")
    p.add_argument("--matrix", action="store_true", help="ops x dtypes x instruction sets, as a Markdown table")
    p.add_argument("--attr", action="append", default=[], metavar="NAME=NUMBER", help="an attribute of the op")
    p.add_argument("--json", action="store_true")
    return p


def instructions(bits: int) -> str:
    """The lowest ISA level that has the bits."""
    levels: dict[str, int] = _C.machine()["levels"]
    return next((name for name, has in levels.items() if has & bits == bits and name != "native"), "more than any level")


def listing(op: str | None, as_json: bool) -> int:
    ops = [o for o in _C.ops() if op in (None, o["name"])]
    if not ops:
        raise AttributeValueError(f"no op '{op}'; accelnn kernels lists them all")
    if as_json:
        print(json.dumps([{**o, "rows": [{**r, "instructions": instructions(r["isa"])} for r in o["rows"]],
                           "device_rows": [{"name": r.name, "dtype": r.dtype.name, "exactness": r.exactness, "where": r.where} for r in rows_of(o["name"])]}
                          for o in ops]))  # fmt: skip
        return 0
    for o in ops:
        print(paint(o["name"], "bold") + f"   {', '.join(a['name'] for a in o['attrs']) or 'no attributes'}")
        table = [(r["name"], r["dtype"], instructions(r["isa"]), "x".join(map(str, r["tile"])) if any(r["tile"]) else "", r["exactness"],
                  "" if r["runs_here"] else "not on this machine") for r in o["rows"]]
        for row, line in zip(o["rows"], columns(table), strict=True):
            print(line.rstrip() if row["runs_here"] else paint(line, "dim"))
        if device := rows_of(o["name"]):
            print("  on GPUs:")
            print("\n".join(line.rstrip() for line in columns([(r.name, r.dtype.name, r.exactness, r.where) for r in device])))
    return 0


def matrix(op: str | None, as_json: bool) -> int:
    """What can be computed on which machine: one line an op and dtype of its first input; and what needs no kernel of its own."""
    ops = [o for o in _C.ops() if op in (None, o["name"])]
    levels = [name for name in _C.machine()["levels"] if name != "native"]
    found = {(o["name"], r["dtype"]): [x for x in o["rows"] if x["dtype"] == r["dtype"]] for o in ops for r in o["rows"]}
    table = {key: {level: any(instructions(r["isa"]) == level and r["exactness"] != "reference" for r in rows) for level in levels}
             for key, rows in found.items()}  # fmt: skip
    lowered = {"pointwise": [n for n, o in OPS.items() if o.program], "view": [n for n, o in OPS.items() if o.view]}
    if as_json:
        rows = [{"op": name, "dtype": dtype, **row} for (name, dtype), row in table.items()]
        print(json.dumps({"rows": rows, "lowered": lowered}))
        return 0
    print(f"| op | dtype | {' | '.join(levels)} |\n|---|---|{'---|' * len(levels)}")
    for (name, dtype), row in table.items():
        print(f"| {name} | {dtype} | {' | '.join('yes' if row[level] else '' for level in levels)} |")
    if op is None:
        print(f"\nAs a `pointwise` program: {', '.join(lowered['pointwise'])}.\nAs a view, without any work: {', '.join(lowered['view'])}.")
    return 0


def specs(op: str, text: str) -> list[Spec | None]:
    """The inputs that SHAPE describes; dtypes that it leaves out are those of the op's samples."""
    parts = text.split(",")
    samples = list(OPS[op].samples())
    if op == "matmul" and len(parts) == 1 and len(sizes := parts[0].split(":")[0].split("x")) == 3:
        (m, k, n), dtype = sizes, text[len(parts[0].split(":")[0]) :]
        parts = [f"{m}x{k}{dtype}", f"{k}x{n}{dtype}"]
    sample = next((s for s, _ in samples if len(s) == len(parts)), samples[0][0] if samples else ())
    made: list[Spec | None] = []
    for i, part in enumerate(parts):
        shape, _, dtype = part.partition(":")
        if shape == "-":
            made.append(None)
            continue
        try:
            dims = tuple(int(d) for d in shape.split("x")) if shape not in ("", "()") else ()
        except ValueError:
            raise ShapeError(f"'{part}' is no shape\n{SHAPES}") from None
        known = sample[i] if i < len(sample) else None
        made.append(Spec(dims, as_dtype(dtype) if dtype else as_dtype(known.dtype) if known is not None else DType.float32))
    return made


def attributes(op: str, given: Sequence[str], n: int) -> dict[str, Any]:
    sample = next((a for s, a in OPS[op].samples() if len(s) == n), {})
    named = {a["name"] for a in next((o["attrs"] for o in _C.ops() if o["name"] == OPS[op].kernel), [])}
    made = {k: v for k, v in sample.items() if k not in named}      # what the shape rule cannot do without
    for text in given:
        name, sign, value = text.partition("=")
        try:
            made[name] = [int(v) for v in value.split(",")] if "," in value else int(value)
        except ValueError:
            raise AttributeValueError(f"--attr {text}: NAME=NUMBER expected") from None
    return made


def explanation(op: str, text: str, attr: Sequence[str], as_json: bool, device: str | None = None) -> int:
    if op not in OPS:
        raise AttributeValueError(f"no op '{op}'; there are {', '.join(sorted(OPS))}")
    inputs = specs(op, text)
    attrs = attributes(op, attr, len(inputs))
    if device is not None:
        return on_device(op, inputs, attrs, device, as_json)
    rows = explain(op, inputs, attrs)
    chosen = next((name for name, why in rows if why is None), None)
    if as_json:
        document = {"op": op, "inputs": [None if s is None else {"shape": s.shape, "dtype": s.dtype.name} for s in inputs], "attrs": attrs,
                    "chosen": chosen, "rows": [{"name": name, "refused": why} for name, why in rows], "isa": isa_level()}
        print(json.dumps(document))
        return 0 if chosen else 1
    known = {r["name"]: r for o in _C.ops() for r in o["rows"]}
    print(f"{op}({', '.join('-' if s is None else repr(s) for s in inputs)}) on {_C.machine()['cpu']} with {isa_level()}")
    table = [("->" if name == chosen else "  ", name, instructions(known[name]["isa"]),
              "chosen" if name == chosen else why or "would do, but comes after the choice")
             for name, why in rows]
    for (name, _), line in zip(rows, columns(table, ""), strict=True):
        print(paint(line, "good" if name == chosen else "dim"))
    return 0 if chosen else 1


def on_device(op: str, inputs: Sequence[Spec | None], attrs: dict[str, Any], arch: str, as_json: bool) -> int:
    """The device rows of the op, and the one that would take the call on this chip: neither the chip nor Triton need be there."""
    from ..core.recording import Recording, question_of

    question, recorder, failure = question_of(op, inputs, attrs), Recording(arch), ""
    asked = question.explained(arch) if OPS[op].view is None else []
    try:
        question.record(recorder)
    except KernelError as reason:
        failure = str(reason)
    launched = [launch.kernel.__name__ for launch in recorder.launches]
    chosen = next((row.name for row, why in asked if why is None), None)
    how = chosen or failure or ("a view: nothing runs" if OPS[op].view is not None else "its composition of other ops")
    if as_json:
        print(json.dumps({"op": op, "device": arch, "inputs": [None if s is None else {"shape": s.shape, "dtype": s.dtype.name} for s in inputs],
                          "attrs": attrs, "chosen": chosen, "how": how, "launches": launched,
                          "rows": [{"name": row.name, "refused": why} for row, why in asked]}))  # fmt: skip
        return 1 if failure else 0
    print(f"{op}({', '.join('-' if s is None else repr(s) for s in inputs)}) on {arch}")
    table = [("->" if r.name == chosen else "  ", r.name, "chosen" if r.name == chosen else why or "would do, but comes after the choice") for r, why in asked]
    for (r, _), line in zip(asked, columns(table, ""), strict=True):
        print(paint(line, "good" if r.name == chosen else "dim"))
    print(f"{'' if chosen else how + '; '}launches: {', '.join(launched) or 'none'}")
    return 1 if failure else 0


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[2:] if argv is None else argv)
    if words and words[0] in COMMANDS:
        return int(importlib.import_module(f".kernels_{words[0]}", __package__).main(words[1:]))
    args = parser().parse_args(words)
    if args.device is not None and not args.explain:
        raise AttributeValueError("--device says where --explain OP SHAPE asks")
    if args.explain:
        op, shape = args.explain
        return explanation(op, shape, args.attr, args.json, args.device)
    return (matrix if args.matrix else listing)(args.op, args.json)
