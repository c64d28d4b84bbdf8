"""A kernel for the fake driver that needs no Triton: y[i] = x[i] * f, in grids of programs of 32 elements."""

from __future__ import annotations

import ctypes
import struct
from typing import Any

import numpy as np

from accelnn.core import kernel_files
from accelnn.core.cuda import Cuda
from accelnn.core.remote import Remote
from accelnn.core.tensor import Tensor
from accelnn.emulation import ahead

from .cubin import cubin
from .fake import Fake, Launched

IMAGE = cubin({"scaled": ((8, 8, 4, 4, 8, 8), 0, 0)})


class Kernel:
    """What of a @triton.jit function the device looks at."""

    arg_names = ("y", "x", "n", "f", "BLOCK")


kernel = Kernel()


def install(scratch: int = 0, shared: int = 0) -> tuple[Fake, list[BaseException], list[tuple[Any, ...]]]:
    """The fake, on which that kernel runs; what running it raised; what the compiler was asked for."""
    fake, asked = Fake(), []

    def compile(kernel: Any, given: Any, constants: Any, target: str, warps: int, stages: int) -> ahead.Compiled:
        asked.append((target, warps, stages, constants))
        parameters = (("y", "*fp32"), ("x", "*fp32"), ("n", "i32"), ("f", "fp32"))
        return ahead.Compiled("scaled", target, IMAGE, "", "scaled", parameters, warps, shared, {"global_scratch_size": scratch})

    kernel_files.compiled = compile
    return fake, fake.on_launch(run), asked


def run(launched: Launched) -> None:
    y, x, n, f = struct.unpack_from("<QQif", ctypes.string_at(launched.parameters, launched.parameter_bytes))
    assert (launched.grid[0] - 1) * 32 < n <= launched.grid[0] * 32
    if n:
        memory = [np.ctypeslib.as_array((ctypes.c_float * n).from_address(a)) for a in (y, x)]
        memory[0][:] = memory[1] * np.float32(f)


def scale(x: Tensor, f: float, into: Tensor | None = None) -> Tensor:
    """x * f, by the kernel."""
    view: Any = x.view
    y = Remote.empty(view.device, view.shape, view.dtype) if into is None else into.view
    n = x.numel()
    assert isinstance(view.device, Cuda)
    view.device.launch(kernel, (-(-n // 32), 1, 1), (y, view, n, f), {"BLOCK": 32}, 4, 2)
    return Tensor(y)  # type: ignore[arg-type]
