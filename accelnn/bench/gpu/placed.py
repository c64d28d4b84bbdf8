"""A call of an op on a device, ready to be made again and again: its operands and results in memory, its row, and what the row launches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.dispatch import operands
from ...core.dtypes import DType, as_dtype, from_bfloat16
from ...core.errors import KernelError
from ...core.graph import Spec
from ...core.registry import OPS
from ...core.remote import Device, Remote
from ...core.remote_call import DeviceCall, TableRow, attributes, kernel_of, rows_of
from ..works import Inputs


def place(device: Device, array: Any) -> Remote | None:
    """A copy on the device that lies as the array does: its dimensions in the same order."""
    if array is None:
        return None
    array = np.asarray(array)
    dtype = as_dtype(array.dtype)
    order = sorted(range(array.ndim), key=lambda d: -array.strides[d])
    flat = np.ascontiguousarray(array.transpose(order))
    there = Remote.of(device, flat.view(dtype.storage), dtype)
    stride = [0] * array.ndim
    for d, step in zip(order, there.stride):
        stride[d] = step
    return there.strided(array.shape, stride)


def back(x: Remote) -> np.ndarray:
    """A copy on the host, bfloat16 as float32."""
    found = x.numpy()
    return from_bfloat16(found) if x.dtype == DType.bfloat16 else found


class Operands:
    """One set of operands on a device."""

    def __init__(self, device: Device, x: Inputs) -> None:
        self.device = device
        self.views = [place(device, a) for a in x.arrays]


class Placed(Operands):
    """One set of operands of an op on a device, and memory for its results."""

    def __init__(self, device: Device, op: str, x: Inputs) -> None:
        super().__init__(device, x)
        self.op, self.attrs = OPS[op], x.attrs
        self.specs = self.op.specs([None if v is None else Spec(v.shape, v.dtype) for v in self.views], x.attrs)
        self.outputs = [Remote.empty(device, s.shape, s.dtype) for s in self.specs]
        self._operands = operands(self.op, self.views, self.specs, x.attrs)
        self._attrs = attributes(self.op, x.attrs, len(self.views))

    def call(self, device: Any = None) -> DeviceCall:
        return DeviceCall(device or self.device, self._operands, self.outputs, self._attrs)

    def rows(self) -> list[tuple[TableRow, str | None]]:
        """Every row of the op's table, with the reason why it does not take this call."""
        return [(row, row.why_not(self.call())) for row in rows_of(kernel_of(self.op))]

    def pick(self) -> TableRow:
        """The row that the dispatcher takes. KernelError, with everybody's reasons, where there is none."""
        refused = []
        for row, why in self.rows():
            if why is None:
                return row
            refused.append(f"{row.name}: {why}")
        raise KernelError(f"{self.op.name}: no row takes this call: {'; '.join(refused) or 'there is none for devices'}")

    def poison(self) -> None:
        """NaN into all results: whatever a call does not write is seen."""
        for out in self.outputs:
            n = out.storage.nbytes
            if n:
                self.device.upload(out.storage, np.full(n, 0xFF, np.uint8))

    def results(self) -> list[np.ndarray]:
        return [back(out) for out in self.outputs]


def forward(device: Device) -> Any:
    """Runs an op on the device: its results on the host, in their own dtype. For what a gradient needs of the forward pass."""

    def run(op: str, arrays: Sequence[Any], attrs: dict[str, Any]) -> list[np.ndarray]:
        made = Placed(device, op, Inputs(list(arrays), attrs))
        made.pick().row.run(made.call())
        return made.results()

    return run
