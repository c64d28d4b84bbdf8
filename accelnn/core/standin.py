"""The device "emu": memory of this process, and kernels that run without a GPU. The checked interpreter runs their source (TRITON_INTERPRET=1), or
the emulator what Triton compiled of it (otherwise; ACCELNN_EMULATE names the chip, sm_90 when it is not set)."""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .errors import DeviceError
from .optional import need
from .remote import Copy, Launch, Remote, Sizes, Storage

SHARED = {"sm_80": 166912, "sm_90": 232448}  # bytes of shared memory for one block


class StandIn:
    """See remote.Device."""

    name = "emu"
    units = 4  # few, so that persistent kernels come to a second tile in small tests

    def __init__(self) -> None:
        self.interprets = os.environ.get("TRITON_INTERPRET") == "1"
        self.arch = os.environ.get("ACCELNN_EMULATE", "sm_90")
        if self.arch not in SHARED:
            raise DeviceError(f"ACCELNN_EMULATE={self.arch}: the chips that are emulated are {', '.join(SHARED)}")
        self.shared = SHARED[self.arch]
        need("triton", "cuda13")

    def allocate(self, nbytes: int) -> np.ndarray:
        owner = np.full(max(nbytes, 1) + 64, 0xFF, np.uint8)  # NaN until somebody writes
        if not self.interprets:
            from ..emulation.ptx import forget, mark_fresh

            address = self.address(owner)
            mark_fresh(address, max(nbytes, 1))
            weakref.finalize(owner, forget, address)
        return owner

    def address(self, owner: np.ndarray) -> int:
        return -(-owner.ctypes.data // 64) * 64

    def _bytes(self, storage: Storage) -> np.ndarray:
        start = storage.address - storage.owner.ctypes.data
        return storage.owner[start : start + storage.nbytes]  # type: ignore[no-any-return]

    def upload(self, storage: Storage, data: np.ndarray) -> None:
        self._bytes(storage)[: data.size] = data
        if not self.interprets:
            from ..emulation.ptx import filled

            filled(storage.address, data.size)

    def download(self, storage: Storage, offset: int, nbytes: int) -> np.ndarray:
        return self._bytes(storage)[offset : offset + nbytes].copy()

    def synchronize(self) -> None:
        """Everything is done when launch() returns."""

    def launch(self, kernel: Any, grid: Sizes, args: Sequence[Any], constants: dict[str, Any], warps: int, stages: int) -> None:
        self.prepared(Launch(kernel, grid, args, constants, warps, stages))()

    def prepared(self, launch: Launch) -> Callable[[], Any]:
        """The launch as a function of nothing."""
        args = [_pointer(x) if isinstance(x, Remote) else x for x in launch.args]
        if self.interprets:
            from ..emulation.interpreter import launch as interpret

            return partial(interpret, launch.kernel, launch.grid, args, launch.constants, launch.warps, launch.stages)
        from ..emulation.driver import launch as run

        return partial(run, launch.kernel, launch.grid, args, launch.constants, launch.warps, launch.stages, arch=self.arch)

    def record(self, launches: Sequence[Launch]) -> Replay:
        return Replay(self, launches)

    def copy(self, copy: Copy) -> None:
        ctypes.memmove(copy.to, copy.source, copy.nbytes)
        if not self.interprets:
            from ..emulation.ptx import filled

            filled(copy.to, copy.nbytes)


class Replay:
    """See remote.Recorded."""

    def __init__(self, device: StandIn, launches: Sequence[Launch]) -> None:
        self.device, self.steps = device, [device.prepared(launch) for launch in launches]
        if not device.interprets:
            from ..emulation.driver import compiled

            for one in launches:
                compiled(one.kernel, [_pointer(x) if isinstance(x, Remote) else x for x in one.args], one.constants, one.warps, one.stages, device.arch)

    def run(self, before: Sequence[Copy], after: Sequence[Copy]) -> None:
        for copy in before:
            self.device.copy(copy)
        for step in self.steps:
            step()
        for copy in after:
            self.device.copy(copy)


def _pointer(x: Remote) -> Any:
    from ..emulation.arguments import Pointer

    return Pointer(x.address, x.dtype.name, x.storage.nbytes // x.dtype.itemsize - x.offset, x.storage.owner)
