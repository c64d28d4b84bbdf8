"""Small calls of device rows: for each row the smallest sample of its ops that it takes. What the emulator is compared on, and what is run under
compute-sanitizer."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np

import accelnn.passes  # noqa: F401  (registers the fused op, so that every kernel has an op)
from accelnn.bench.gpu.placed import Placed
from accelnn.bench.works import Inputs
from accelnn.core.dtypes import as_dtype
from accelnn.core.errors import Error
from accelnn.core.registry import OPS
from accelnn.core.remote import Device
from accelnn.core.remote_call import TableRow, kernel_of, rows_of

Call = tuple[TableRow, str, Inputs]


def device_rows() -> list[tuple[str, TableRow]]:
    """Every device row with its kernel, the first row of each function before those that share one."""
    kernels = sorted({kernel_of(op) for op in OPS.values() if op.view is None})
    seen: dict[str, int] = {}
    found = []
    for kernel in kernels:
        for row in rows_of(kernel):
            found.append((seen.setdefault(row.where, 0), kernel, row))
            seen[row.where] += 1
    return [(kernel, row) for _, kernel, row in sorted(found, key=lambda f: f[0])]


def smallest(kernel: str, row: TableRow, device: Device) -> tuple[str, Inputs] | None:
    """The op and the operands of the smallest sample with results that the row takes."""
    candidates = []
    for op in OPS.values():
        if op.view is not None or kernel_of(op) != kernel:
            continue
        for i, (arrays, attrs) in enumerate(op.samples()):
            if arrays[0] is not None and as_dtype(np.asarray(arrays[0]).dtype) != row.dtype:
                continue
            size = sum(np.asarray(a).size for a in arrays if a is not None)
            candidates.append((size, i, op.name, Inputs([None if a is None else np.asarray(a) for a in arrays], attrs)))
    for _, _, name, x in sorted(candidates, key=lambda c: c[:3]):
        placed = Placed(device, name, x)
        if all(0 not in s.shape for s in placed.specs) and row.why_not(placed.call()) is None:
            return name, x
    return None


def calls(device: Device, place: int, of: int, distinct: bool = False) -> Iterator[tuple[TableRow, str, Inputs | str]]:
    """Those of one shard: a row, an op, its operands; or why there are none. distinct: one row of each function."""
    rows = device_rows()
    if distinct:
        first = {row.where: (kernel, row) for kernel, row in reversed(rows)}
        rows = [(kernel, row) for kernel, row in rows if first[row.where][1] is row]
    for kernel, row in rows[place::of]:
        try:
            found = smallest(kernel, row, device)
        except Error as error:
            yield row, "", str(error)
            continue
        yield (row, *found) if found else (row, "", "no sample of its ops is one that it takes")


def arguments(text: str) -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=text)
    p.add_argument("--device", default="cuda")
    p.add_argument("--shard", default="0/1", help="place/number of processes")
    p.add_argument("--most", type=int, default=10**9, help="calls at most")
    return p


def shard_of(args: Any) -> tuple[int, int]:
    place, of = args.shard.split("/")
    return int(place), int(of)
