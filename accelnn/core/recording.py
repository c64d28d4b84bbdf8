"""A device without memory, on which rows only say what they would launch: kernels, arguments and constants, to be compiled for a chip that is not there."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..emulation.ahead import SHARED, Compiled, compile
from ..emulation.arguments import Pointer
from .dispatch import operands
from .dtypes import BFLOAT16, DType, as_dtype
from .errors import DeviceError, FormatError
from .graph import Spec
from .registry import OPS
from .remote import Copy, Device, Launch as Planned, Remote, Sizes, Storage, _devices
from .remote_call import DeviceCall, TableRow, attributes, kernel_of, rows_of

# Multiprocessors of A100, RTX 3090, RTX 4090, H100, B200, RTX 5090, MI300X; shared memory of one block, where it is not the target's.
UNITS = {"sm_80": 108, "sm_86": 82, "sm_89": 128, "sm_90": 132, "sm_100": 148, "sm_120": 170, "gfx942": 304}
LITTLE = 99 * 1024


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
    """See remote.Device. Every piece of memory lies at an address that is divisible by whatever one likes, as a real device's pieces are by 512."""

    def __init__(self, arch: str) -> None:
        if arch not in UNITS:
            raise DeviceError(f"no chip {arch!r} is known; expected one of {', '.join(UNITS)}")
        self.name, self.arch, self.units, self.shared = f"cuda:{arch}", arch, UNITS[arch], SHARED.get(arch, LITTLE)
        self.launches: list[Launch] = []

    def allocate(self, nbytes: int) -> None:
        return None

    def address(self, owner: None) -> int:
        return 1 << 20

    def upload(self, storage: Storage, data: np.ndarray) -> None: ...

    def download(self, storage: Storage, offset: int, nbytes: int) -> np.ndarray:
        raise DeviceError(f"{self.name} has no numbers: what is recorded may not read any (.item(), .cpu(), .numpy())")

    def synchronize(self) -> None: ...

    def launch(self, kernel: Any, grid: Sizes, args: Sequence[Any], constants: dict[str, Any], warps: int, stages: int) -> None:
        given = tuple(Pointer(a.address, a.dtype.name, a.storage.nbytes // a.dtype.itemsize - a.offset) if isinstance(a, Remote) else a for a in args)
        self.launches.append(Launch(kernel, given, constants, warps, stages, int(np.prod(grid))))

    def record(self, launches: Sequence[Planned]) -> Nothing:
        """Of a Plan: what it would launch again and again, once."""
        for one in launches:
            self.launch(*one)
        return Nothing()


class Nothing:
    """See remote.Recorded: a Plan's launches have been noted, and there is no memory to copy."""

    def run(self, before: Sequence[Copy], after: Sequence[Copy]) -> None: ...


@contextlib.contextmanager
def recording(arch: str) -> Iterator[Recording]:
    """A chip that people reach as device="cuda:sm_90" inside."""
    device = Recording(arch)
    _devices[device.name] = device
    try:
        yield device
    finally:
        del _devices[device.name]


@dataclass(frozen=True)
class Question:
    """A call of an op by shapes alone. inputs: (dtype, shape), None where an operand is left out."""

    op: str
    inputs: tuple[tuple[str, tuple[int, ...]] | None, ...]
    attrs: dict[str, Any]

    def on(self, device: Device) -> DeviceCall:
        """Memory in which anything may stand."""
        return self.of(device, [None if i is None else Remote.empty(device, i[1], DType[i[0]]) for i in self.inputs])

    def of(self, device: Device, views: Sequence[Remote | None]) -> DeviceCall:
        """The call of these operands."""
        op = OPS[self.op]
        outputs = self.outputs()
        made = [Remote.empty(device, s.shape, s.dtype) for s in outputs]
        return DeviceCall(device, operands(op, views, outputs, self.attrs), made, attributes(op, self.attrs, len(views)))

    def outputs(self) -> tuple[Spec, ...]:
        return OPS[self.op].specs([None if i is None else Spec(i[1], DType[i[0]]) for i in self.inputs], self.attrs)

    def launches(self, row: TableRow, target: str) -> list[Launch] | None:
        """What the row launches for it; None where it refuses."""
        device = Recording(target)
        call = self.on(device)
        if row.why_not(call) is not None:
            return None
        row.row.run(call)
        return device.launches

    def record(self, device: Recording) -> None:
        """Runs the call there as remote_call does: by the first row that takes it, or by its composition."""
        from .remote_call import run

        views = [None if i is None else Remote.empty(device, i[1], DType[i[0]]) for i in self.inputs]
        run(OPS[self.op], views, self.attrs, self.outputs(), device)

    def explained(self, arch: str) -> list[tuple[TableRow, str | None]]:
        """Every device row of the op, and why it would not take the call on this chip; None: it would. The first of those does."""
        call = self.on(Recording(arch))
        return [(row, row.why_not(call)) for row in rows_of(kernel_of(OPS[self.op]))]


def question_of(op: str, arrays: Sequence[Any], attrs: dict[str, Any]) -> Question:
    """The question that operands like these would be: Specs, arrays or None."""

    def described(a: Any) -> tuple[str, tuple[int, ...]] | None:
        if a is None:
            return None
        dtype = a.dtype if isinstance(a, Spec) else np.asarray(a).dtype
        return "bfloat16" if dtype == BFLOAT16 else as_dtype(dtype).name, tuple(a.shape if isinstance(a, Spec) else np.shape(a))

    return Question(op, tuple(map(described, arrays)), attrs)


def questions_of(path: str | os.PathLike[str]) -> list[Question]:
    """Calls out of a JSON list: [{"op": "softmax", "inputs": [["float32", [64, 1000]], null], "attrs": {}}, ...]."""
    try:
        found = json.loads(Path(path).read_text())
    except (OSError, ValueError) as reason:
        raise FormatError(f"{path}: a list of calls expected: {reason}") from reason
    made = []
    for call in found if isinstance(found, list) else [found]:
        try:
            inputs = tuple(None if i is None else (DType[i[0]].name, tuple(int(n) for n in i[1])) for i in call["inputs"])
            made.append(Question(OPS[call["op"]].name, inputs, {k: tuple(v) if isinstance(v, list) else v for k, v in call.get("attrs", {}).items()}))
        except (KeyError, TypeError, IndexError, ValueError, AttributeError) as reason:
            expected = '{"op": "softmax", "inputs": [["float32", [64, 1000]]], "attrs": {}} expected'
            raise FormatError(f"{path}: {str(call)[:200]} is no call: {expected}") from reason
    return made


def launches_of(function: Callable[[str], Any], arch: str) -> list[Launch]:
    """What function(device) launches when it is given the name of such a chip as its device."""
    with recording(arch) as device:
        function(device.name)
        return device.launches
