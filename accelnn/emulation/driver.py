"""Triton's compiled kernels on the CPU: a driver that gives the JIT an NVIDIA target, and launches that run the PTX it wrote on the emulator.

    launch(kernel, grid, (x, y, n), {"BLOCK": 128}, warps=4, stages=2, arch="sm_90")

compiles as for a GPU: the same specialisation of arguments, pipelines, layouts and inline assembly that it would run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .ahead import SHARED
from .arguments import TYPES, Pointer
from .ptx.parser import Kernel, parse
from .ptx.run import Arguments, execute, parameter_bytes
from .ptx.tma import TensorMap
from .violation import Violation

ARCHITECTURES = ("sm_80", "sm_90")
_drivers: dict[str, Any] = {}
_kernels: dict[str, Kernel] = {}


def _driver(arch: str) -> Any:
    """A driver without a device. Its device number is the architecture's, so that Triton keeps what it compiled for each apart."""
    if arch not in ARCHITECTURES:
        raise ValueError(f"launch: architecture {arch!r} is not emulated; expected one of {', '.join(ARCHITECTURES)}")
    if arch in _drivers:
        return _drivers[arch]
    from triton.backends.compiler import GPUTarget
    from triton.backends.driver import DriverBase

    number = int(arch[3:])

    class Emulated(DriverBase):  # type: ignore[misc]
        def __init__(self) -> None:
            self.get_current_device = lambda: number
            self.get_current_stream = lambda device: 0
            self.set_current_device = lambda device: None

        @classmethod
        def is_active(cls) -> bool:
            return True

        def get_current_target(self) -> Any:
            return GPUTarget("cuda", number, 32)

        def map_python_to_cpp_type(self, name: str) -> str:
            return name

        def get_active_torch_device(self) -> Any:
            import torch

            return torch.device("cpu")

        def get_benchmarker(self) -> Any:
            raise RuntimeError("nothing is timed on an emulator: call the kernel with its constants, not through triton.autotune")

    _drivers[arch] = Emulated()
    return _drivers[arch]


def compiled(kernel: Any, args: Sequence[Any], constants: Mapping[str, Any], warps: int, stages: int, arch: str) -> Any:
    """Triton's CompiledKernel for these arguments; kept by Triton, in memory and on disk."""
    from triton.runtime import driver as active
    from triton.runtime.jit import JITFunction

    name = getattr(kernel, "__name__", str(kernel))
    if not isinstance(kernel, JITFunction):
        raise TypeError(f"{name} is a {type(kernel).__name__}: expected a @triton.jit function, imported without TRITON_INTERPRET")
    active.set_active(_driver(arch))
    run_time = [n for n in kernel.arg_names if n not in constants]
    if len(args) > len(run_time):
        raise TypeError(f"{name}: got {len(args)} arguments for {run_time}")
    done = kernel.warmup(**dict(zip(run_time, args)), **constants, grid=(1,), num_warps=warps, num_stages=stages)
    return done.result() if hasattr(done, "result") else done


def _pointer(value: Any) -> Pointer:
    """A Pointer as it is; of a tensor its whole storage, as it may be passed at an offset or with strides."""
    if isinstance(value, Pointer):
        return value
    dtype = str(value.dtype).removeprefix("torch.")
    if dtype not in TYPES:
        raise TypeError(f"{type(value).__name__} of {dtype}: expected one of {', '.join(TYPES)}")
    if hasattr(value, "untyped_storage"):
        storage = value.untyped_storage()
        return Pointer(storage.data_ptr(), "uint8", storage.nbytes(), storage)
    return Pointer(value.data_ptr(), dtype, value.numel(), value)


def _is_descriptor(value: Any) -> bool:
    return hasattr(value, "block_shape") and hasattr(value, "base")


def launch(kernel: Any, grid: Sequence[int], args: Sequence[Any], constants: Mapping[str, Any], warps: int = 4, stages: int = 2, arch: str = "sm_90",
           seed: int | None = None) -> int:  # fmt: skip
    """Compiles (once a specialisation) and runs a @triton.jit function. args: its run-time arguments in order: Pointers or objects like them
    (`data_ptr()`, `dtype`, `numel()`), ints, floats, None, Triton's TensorDescriptors. seed: warps run in a random order. -> instructions executed.

    Raises Violation for what a GPU does not forgive, naming kernel, line of the PTX and address."""
    done = compiled(kernel, args, constants, warps, stages, arch)
    three = (*(int(g) for g in grid), 1, 1)[:3]
    if done.metadata.shared > SHARED[arch]:
        raise Violation(done.metadata.name, f"asks for {done.metadata.shared} bytes of shared memory; a block on {arch} has {SHARED[arch]}")
    values = dict(zip([n for n in kernel.arg_names if n not in constants], args))
    return run_compiled(done, [values.get(n) for n in kernel.arg_names], (three[0], three[1], three[2]), seed)


def run_compiled(done: Any, values: Sequence[Any], grid: tuple[int, int, int], seed: int | None = None, text: str | None = None) -> int:
    """Runs what Triton compiled. values: of all parameters in order, constants too (they are not looked at). text: other PTX in place of the kernel's."""
    source = text or done.asm["ptx"]
    key = done.hash if text is None else source
    if key not in _kernels:
        _kernels[key] = parse(source)[done.metadata.name]
    ptx, metadata = _kernels[key], done.metadata
    given = [v for (_, kind), v in zip(done.src.signature.items(), values) if kind != "constexpr"]
    bases = [_pointer(v.base) if _is_descriptor(v) else _pointer(v) for v in given if _is_descriptor(v) or hasattr(v, "data_ptr")]
    memory = Arguments(bases, ptx.constants)
    programs = grid[0] * grid[1] * grid[2]
    scratch_size = getattr(metadata, "global_scratch_size", 0) * programs
    scratch = memory.heap.add(scratch_size) if scratch_size else 0
    memory.seal()
    described = list(getattr(metadata, "tensordesc_meta", None) or [])
    out: list[Any] = []
    for value in given:
        if _is_descriptor(value):
            out += _descriptor(value, described.pop(0) if described else None, memory)
        elif hasattr(value, "data_ptr"):
            base = _pointer(value)
            out.append(memory.place(base) + value.data_ptr() - base.address)
        else:
            out.append(0 if value is None else value)
    out += [scratch, 0][: len(ptx.parameters) - len(out)]
    try:
        return execute(ptx, memory.heap, grid, (32 * metadata.num_warps, 1, 1), parameter_bytes(ptx, out), metadata.shared, seed)
    finally:
        memory.back()


def _descriptor(value: Any, described: Mapping[str, Any] | None, memory: Arguments) -> list[Any]:
    """A host TensorDescriptor: its tensor map, shape and strides. Chips without TMA get a pointer in place of the map, and shape and strides twice."""
    base = _pointer(value.base)
    place = memory.place(base) + value.base.data_ptr() - base.address
    if described is None:
        padding = int(getattr(value, "padding", "zero") == "nan")
        return [place, *value.shape, *value.strides, padding, *value.shape, *value.strides]
    size = TYPES[str(value.base.dtype).removeprefix("torch.")][1]
    strides = tuple(int(s) * size for s in value.strides[:-1])
    fill_nan = getattr(value, "padding", "zero") == "nan"
    tensor = TensorMap(place, size, tuple(value.shape), strides, tuple(described["block_size"]), described["swizzle"], fill_nan)
    return [tensor.pack(), *value.shape, *value.strides]


