"""What the chip can do at most, measured in the same run: copies within its memory, and products of large random matrices by the best library that is there."""

from __future__ import annotations

from typing import Any

from ... import _C
from .clock import EventClock
from .session import Bench, number_of

SIZE = 1 << 30  # bytes that are copied: read, and written
# Kind of arithmetic -> how a library is asked for it, and the size of its square product.
PRODUCTS = {"bf16": 8192, "f16": 8192, "f32": 4096, "tf32": 8192, "fp8": 8192, "int8": 8192}
REPEATS = 10


def measure(bench: Bench) -> dict[str, Any]:
    """{"copy": {"name", "rate": bytes/s}, "bf16": {"name", "rate": operations/s} ...}: the best of several. What cannot be measured is not there."""
    if not bench.timed:
        return {}
    found: dict[str, Any] = {"copy": {"name": "device copy", "rate": copy(bench)}}
    if bench.peers is not None:
        for kind, n in PRODUCTS.items():
            rate = product(bench, kind, n)
            if rate:
                found[kind] = rate
    return found


def copy(bench: Bench, size: int = SIZE) -> float:
    number = number_of(bench.device)
    size = min(size, _C.cuda.memory_info(number)[0] // 4)
    clock, here, there = EventClock(number), _C.cuda.alloc(size, number), _C.cuda.alloc(size, number)
    try:
        _C.cuda.fill(there, 0x5A, size, device=number)
        best = min(clock.time(lambda: _C.cuda.copy(here, there, size, device=number)) for _ in range(REPEATS))
    finally:
        for address in (here, there):
            _C.cuda.free(address, number)
    return 2 * size / best


def product(bench: Bench, kind: str, n: int) -> dict[str, Any] | None:
    """By torch; None where it cannot."""
    from .peers import blas, tf32, torch

    def draw(dtype: Any) -> Any:
        return torch.randn(n, n, device="cuda").to(dtype)

    try:
        if kind == "fp8":
            one = torch.ones((), device="cuda")
            a, b = draw(torch.float8_e4m3fn), draw(torch.float8_e4m3fn).t()
            name, call = "torch._scaled_mm", lambda: torch._scaled_mm(a, b, one, one, out_dtype=torch.bfloat16, use_fast_accum=True)
        elif kind == "int8":
            a, b = (torch.randint(-128, 128, (n, n), device="cuda", dtype=torch.int8) for _ in range(2))
            name, call = "torch._int_mm", lambda: torch._int_mm(a, b)
        else:
            dtype = {"bf16": torch.bfloat16, "f16": torch.float16}.get(kind, torch.float32)
            a, b = draw(dtype), draw(dtype)
            name, call = "torch.mm cuBLASLt", lambda: torch.mm(a, b)
        with blas("cublaslt"), tf32(kind == "tf32"):
            for _ in range(3):
                call()
            best = min(bench.clock.time(call) for _ in range(REPEATS))
    except RuntimeError:  # of a chip or a torch that has no such arithmetic: then there is no such limit in the record
        return None
    return {"name": f"{name} {kind}", "rate": 2.0 * n**3 / best}


def launch_cost(bench: Bench, kernel_launches: int = 200, rounds: int = 20) -> float | None:
    """Seconds of the host for one launch that is prepared, of a kernel with four arguments that does nothing: the median of the rounds' means."""
    if not bench.timed:
        return None
    import statistics
    import time

    number = number_of(bench.device)
    function = _C.cuda.Function(_C.cuda.Module(NOTHING.encode()), "nothing", "PPPi", number)
    args, means = (0, 0, 0, 1), []
    for _ in range(rounds):
        _C.cuda.synchronize(device=number)  # an empty queue: a full one would wait for the device
        begin = time.perf_counter()
        for _ in range(kernel_launches):
            _C.cuda.launch(function, 1, 32, 0, args)
        means.append((time.perf_counter() - begin) / kernel_launches)
    _C.cuda.synchronize(device=number)
    return statistics.median(means)


NOTHING = """.version 7.0
.target sm_70
.address_size 64
.visible .entry nothing(.param .u64 a, .param .u64 b, .param .u64 c, .param .u32 n)
{
  ret;
}
"""
