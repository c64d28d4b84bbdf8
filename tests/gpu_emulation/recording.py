"""A device without memory, on which rows only say what they would launch: kernels, arguments and constants, to be compiled for any target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import accelnn.passes  # noqa: F401  (registers the fused op, so that every kernel has an op)
from accelnn.core.dims import product
from accelnn.core.dispatch import operands
from accelnn.core.dtypes import DType
from accelnn.core.graph import Spec
from accelnn.core.registry import OPS, Op
from accelnn.core.remote import Remote, Sizes, Storage
from accelnn.core.remote_call import DeviceCall, TableRow, attributes, kernel_of, rows_of
from accelnn.emulation.ahead import SHARED, Compiled, compile
from accelnn.emulation.arguments import Pointer

UNITS = {"sm_80": 108, "sm_90": 132, "sm_100": 148, "sm_120": 170, "gfx942": 304}  # of A100, H100, B200, RTX 5090, MI300X


@dataclass(frozen=True)
class Launch:
    kernel: Any
    args: tuple[Any, ...]
    constants: dict[str, Any]
    warps: int
    stages: int
    programs: int

    def compile(self, target: str) -> Compiled:
        return compile(self.kernel, self.args, self.constants, target, self.warps, self.stages)


class Recording:
    """See remote.Device. Every piece of memory lies at an address that is divisible by whatever one likes."""

    name = "recording"

    def __init__(self, target: str) -> None:
        self.arch, self.units, self.shared = target, UNITS[target], SHARED[target]
        self.launches: list[Launch] = []

    def allocate(self, nbytes: int) -> None:
        return None

    def address(self, owner: None) -> int:
        return 1 << 20

    def upload(self, storage: Storage, data: np.ndarray) -> None: ...

    def download(self, storage: Storage, offset: int, nbytes: int) -> np.ndarray:
        raise AssertionError("a row asked for numbers in memory")

    def synchronize(self) -> None: ...

    def launch(self, kernel: Any, grid: Sizes, args: Sequence[Any], constants: dict[str, Any], warps: int, stages: int) -> None:
        given = tuple(Pointer(a.address, a.dtype.name, a.storage.nbytes // a.dtype.itemsize - a.offset) if isinstance(a, Remote) else a for a in args)
        self.launches.append(Launch(kernel, given, constants, warps, stages, product(grid)))


@dataclass(frozen=True)
class Question:
    """A call of an op by shapes alone. inputs: (dtype, shape), None where an operand is left out."""

    op: str
    inputs: tuple[tuple[str, tuple[int, ...]] | None, ...]
    attrs: dict[str, Any]

    def on(self, device: Recording) -> DeviceCall:
        op = OPS[self.op]
        views = [None if i is None else Remote.empty(device, i[1], DType[i[0]]) for i in self.inputs]
        outputs = op.specs([None if v is None else Spec(v.shape, v.dtype) for v in views], self.attrs)
        made = [Remote.empty(device, s.shape, s.dtype) for s in outputs]
        return DeviceCall(device, operands(op, views, outputs, self.attrs), made, attributes(op, self.attrs, len(views)))

    def launches(self, row: TableRow, target: str) -> list[Launch] | None:
        """What the row launches for it; None where it refuses."""
        device = Recording(target)
        call = self.on(device)
        if row.why_not(call) is not None:
            return None
        row.row.run(call)
        return device.launches


def device_rows() -> dict[str, tuple[str, TableRow]]:
    """Every device row of every table: its name -> the op's kernel, and the row."""
    return {row.name: (kernel, row) for kernel in sorted({kernel_of(op) for op in OPS.values() if op.view is None}) for row in rows_of(kernel)}


def ops_of(kernel: str) -> list[Op]:
    return [op for op in OPS.values() if op.view is None and kernel_of(op) == kernel]
