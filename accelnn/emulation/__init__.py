"""GPU kernels without a GPU: what Triton compiles or interprets is run, and checked, on the CPU.

    violation     what every checker raises
    arguments     a pointer into the CPU's memory that Triton takes for a tensor
    memory        which bytes a program may touch, and who touched them before
    narrow        bfloat16 and float8 by hand: numpy has neither
    interpreter   the Triton interpreter, checked (TRITON_INTERPRET=1)
    ahead         compiling for a GPU that is not there, and what came out: registers, spills, shared memory, instructions

Needs numpy, and triton once something is launched or compiled; nothing imports this room that does not emulate."""

from .violation import Violation

__all__ = ["Violation"]
