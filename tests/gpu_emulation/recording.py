"""Device rows and the ops that they are rows of; how their launches are recorded stands in accelnn/core/recording.py."""

from __future__ import annotations

import accelnn.passes  # noqa: F401  (registers the fused op, so that every kernel has an op)
from accelnn.core.errors import KernelError
from accelnn.core.kernel_files import name_of, source_of
from accelnn.core.recording import Launch, Question, Recording, question_of
from accelnn.core.registry import OPS, Op
from accelnn.core.remote_call import TableRow, kernel_of, rows_of
from accelnn.emulation.specialize import specialize

__all__ = ["Launch", "Question", "Recording", "device_rows", "kinds", "ops_of", "question_of"]


def device_rows() -> dict[str, tuple[str, TableRow]]:
    """Every Triton row of every table: its name -> the op's kernel, and the row."""
    return {row.name: (kernel, row) for kernel in sorted({kernel_of(op) for op in OPS.values() if op.view is None}) for row in rows_of(kernel) if row.where}


def ops_of(kernel: str) -> list[Op]:
    return [op for op in OPS.values() if op.view is None and kernel_of(op) == kernel]


def kinds() -> set[tuple[str, str, str]]:
    """All kinds of launches of all samples."""
    found = set()
    for op in OPS.values():
        for arrays, attrs in op.samples() if op.view is None else ():
            device = Recording("sm_90")
            try:
                question_of(op.name, arrays, attrs).record(device)
            except KernelError:  # a call that no device row takes
                continue
            for launch in device.launches:
                name = name_of(launch.kernel)
                key = specialize(name, launch.kernel, launch.args, launch.constants).key(launch.warps, launch.stages)
                found.add((name, source_of(launch.kernel), key))
    return found
