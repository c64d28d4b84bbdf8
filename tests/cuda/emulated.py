"""Kernels that Triton compiled, run on the fake driver: a launch that reaches it is executed by the PTX emulator on the fake's memory, with the arguments,
the grid and the scratch that the driver got. The emulator runs the PTX from which the cubin that was loaded was assembled."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from accelnn.emulation import ahead
from accelnn.emulation.arguments import Pointer
from accelnn.emulation.ptx.parser import Kernel, parse
from accelnn.emulation.ptx.run import Arguments, execute

from .fake import Fake, Launched


class Emulator:
    """While it is installed, launches run. `raised`: what their checks found."""

    def __init__(self) -> None:
        self.fake = Fake()
        self.compiled: list[ahead.Compiled] = []
        self.kernels: dict[bytes, Kernel] = {}
        compile = ahead.compile

        def kept(*args: Any) -> ahead.Compiled:
            self.compiled.append(compile(*args))
            return self.compiled[-1]

        ahead.compile = kept
        self.raised = self.fake.on_launch(self.run)

    def kernel(self, launched: Launched) -> Kernel:
        image = ctypes.string_at(launched.image, launched.image_bytes)
        if image not in self.kernels:
            name = launched.kernel.decode()
            (found,) = {c.text for c in self.compiled if c.image.startswith(image) and c.entry == name}
            self.kernels[image] = parse(found)[name]
        return self.kernels[image]

    def run(self, launched: Launched) -> None:
        kernel = self.kernel(launched)
        raw = np.frombuffer(ctypes.string_at(launched.parameters, launched.parameter_bytes), np.uint8)
        parameters = np.zeros(raw.size + 16, np.uint8)
        parameters[: raw.size] = raw
        addresses = {p.offset: int(raw[p.offset : p.offset + 8].view(np.uint64)[0]) for p in kernel.parameters if p.size == 8}
        blocks = {offset: self.fake.block(address) for offset, address in addresses.items()}
        bases = {block: Pointer(block[0], "uint8", block[1] - block[0]) for block in blocks.values() if block}
        memory = Arguments(list(bases.values()), kernel.constants)
        memory.seal()
        for offset, block in blocks.items():
            if block:
                place = memory.place(bases[block]) + addresses[offset] - block[0]
                parameters[offset : offset + 8] = np.array([place], np.uint64).view(np.uint8)
        try:
            execute(kernel, memory.heap, _three(launched.grid), _three(launched.block), parameters, launched.shared)
        finally:
            memory.back()


def _three(sizes: Any) -> tuple[int, int, int]:
    x, y, z = sizes
    return x, y, z
