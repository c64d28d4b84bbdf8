"""CUDA rows: what kernels/<family>/cuda_rows.cpp says to launch, launched by the driver. No compiler, no Triton: the kernels lie in the extension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from .. import _C
from .dtypes import DType
from .errors import KernelError
from .registry import KERNELS
from .remote import Remote, Sizes


class ImageLaunch(NamedTuple):
    """csrc/runtime/launches.h"""

    image: str
    entry: str
    grid: tuple[int, int, int]
    threads: int
    shared: int
    arguments: bytes
    pointers: int  # addresses that the arguments begin with


class Launcher(Protocol):
    """A device that runs kernels of the extension's images."""

    def launch_image(self, launch: ImageLaunch, memory: Sequence[Remote]) -> None:
        """memory: whatever the launch may touch."""


class Images:
    """The kernels of the extension's images on one GPU, each loaded when it is first launched."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.modules: dict[str, Any] = {}
        self.functions: dict[str, Any] = {}

    def launch(self, one: ImageLaunch, stream: int = 0) -> None:
        function = self.functions.get(one.entry)
        if function is None:
            module = self.modules.get(one.image)
            if module is None:
                module = self.modules[one.image] = _C.cuda.Module(_C.cuda_image(one.image))
            function = self.functions[one.entry] = _C.cuda.Function(module, one.entry, None, self.number)
        _C.cuda.launch(function, one.grid, one.threads, one.shared, one.arguments, stream)


class CudaRow:
    """Of a table: asked and run as kernels.launch.Row is."""

    def __init__(self, number: int, name: str) -> None:
        self.number, self.name = number, name

    def plan(self, call: Any, work: int = 0) -> str | tuple[int, list[ImageLaunch]]:
        """Why the row does not take the call; or the bytes of scratch that it needs, and what it launches when scratch lies at `work`."""
        device = call.device
        attrs = _C.Attrs(self.number, call.attrs)
        arch = int(str(device.arch).removeprefix("sm_").rstrip("a"))
        inputs, outputs = (tuple(map(_window, v)) for v in (call.inputs, call.outputs))
        found = _C.device_launches(self.number, self.name, inputs, attrs, outputs, arch, device.units, device.shared, work)
        return found if isinstance(found, str) else (found[0], [ImageLaunch(*one) for one in found[1]])

    def refuse(self, call: Any) -> str | None:
        if not hasattr(call.device, "launch_image"):
            return f"{call.device.name} runs Triton's rows alone"
        if call.recorded:
            return "Plans record Triton's launches alone"
        found = self.plan(call)
        if isinstance(found, str):
            return found
        missing = sorted({one.image for one in found[1]} - _C.cuda_images.keys())
        return f"not built: {', '.join(missing)} (see: accelnn doctor)" if missing else None

    def run(self, call: Any) -> None:
        found = self.plan(call)
        memory = [v for v in (*call.inputs, *call.outputs) if v is not None]
        if not isinstance(found, str) and found[0]:
            scratch = Remote.empty(call.device, (found[0],), DType.uint8)
            memory.append(scratch)
            found = self.plan(call, scratch.address)
        if isinstance(found, str):
            raise KernelError(f"{self.name}: {found}")
        for one in found[1]:
            call.device.launch_image(one, memory)


def _window(v: Any) -> tuple[int, Sizes, Sizes, int] | None:
    return None if v is None else (v.address, v.shape, v.stride, int(v.dtype))


def cuda_rows() -> dict[str, str]:
    """The CUDA row names of every table, and their ops."""
    return {r["name"]: op for op, table in KERNELS.items() for r in _C.device_rows(table["number"]) if not r["where"]}
