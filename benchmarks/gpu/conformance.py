"""The emulator against the hardware: every row on the same operands on both. Where the compiled code consists of operations that IEEE 754 or the PTX
manual defines to the bit, the bits must be the same; where it has approximations of the chip's, or sums of its tensor cores, both must be within what the
op's contract allows. A line of JSON a row."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from typing import Any

from accelnn.bench.check import truth_of
from accelnn.bench.gpu.clock import launches_of
from accelnn.bench.gpu.placed import Placed
from accelnn.bench.works import Inputs
from accelnn.core.cuda import target_of
from accelnn.core.registry import OPS
from accelnn.core.remote import Device, Remote, device_named
from accelnn.core.remote_call import TableRow
from accelnn.emulation.ahead import compile
from accelnn.emulation.arguments import Pointer

from .calls import arguments, calls, shard_of

# Approximations whose last bits are the chip's own; products of tensor cores (those of integers are exact), whose sums round in an order of their own.
OWN = re.compile(r"\b(?:\w+\.approx\S*|div\.full\S*|(?:wgmma\.mma_async|mma)\.\S*\.f32\S*|(?:tanh|ex2)\.\S+)")


def undefined(text: str) -> str | None:
    """The first instruction of a kernel's PTX whose result is not defined to the bit."""
    found = OWN.search(text)
    return found[0] if found else None


def ptx_of(placed: Placed, row: TableRow, target: str) -> str:
    """What the row's launches are compiled to."""
    texts = []
    for one in launches_of(placed, row):
        given = [Pointer(x.address, x.dtype.name, x.storage.nbytes // x.dtype.itemsize - x.offset) if isinstance(x, Remote) else x for x in one.args]
        texts.append(compile(one.kernel, given, one.constants, target, one.warps, one.stages).text)
    return "\n".join(texts)


def run(device: Device, row: TableRow, op: str, x: Inputs) -> tuple[Placed, list[Any]]:
    placed = Placed(device, op, x)
    placed.poison()
    row.row.run(placed.call())
    device.synchronize()
    return placed, placed.results()


def compare(row: TableRow, op: str, x: Inputs, hardware: Device, emulator: Device) -> dict[str, Any]:
    there, here = run(hardware, row, op, x)[1], run(emulator, row, op, x)
    same = all(a.tobytes() == b.tobytes() for a, b in zip(there, here[1], strict=True))
    if same:
        return {"how": "bits", "outcome": "same"}
    own = undefined(ptx_of(here[0], row, emulator.arch))
    if own is None:
        places = sum(int((a != b).sum()) for a, b in zip(there, here[1]))
        return {"how": "bits", "outcome": "different", "why": f"{places} results differ, and every instruction is defined to the bit"}
    truth = truth_of(OPS[op], x.arrays, x.attrs, [s.dtype for s in here[0].specs])
    for who, found in (("hardware", there), ("emulator", here[1])):
        problem = truth.problem(found)
        if problem:
            return {"how": f"bound ({own})", "outcome": "different", "why": f"{who}: {problem}"}
    return {"how": f"bound ({own})", "outcome": "same"}


def main() -> int:
    args = arguments("Emulator against hardware.").parse_args()
    hardware = device_named(args.device)
    if args.device != "emu":
        os.environ["ACCELNN_EMULATE"] = target_of(hardware.arch)  # the code that the hardware runs
    emulator = device_named("emu")
    for n, (row, op, x) in enumerate(calls(emulator, *shard_of(args))):
        if n >= args.most:
            break
        begin = time.perf_counter()
        if isinstance(x, str):
            line: dict[str, Any] = {"outcome": "no call", "why": x}
        else:
            try:
                line = compare(row, op, x, hardware, emulator)
            except Exception as error:  # of one row: the next ones are still to come
                line = {"outcome": "error", "why": f"{type(error).__name__}: {error}"[:400]}
        print(json.dumps({"row": row.name, "op": op, **line, "seconds": round(time.perf_counter() - begin, 2)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
