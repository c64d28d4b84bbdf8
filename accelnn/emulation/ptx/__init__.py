"""An emulator of PTX, what nvcc and Triton write before the machine's own code: it runs kernels on numpy arrays and checks what a GPU does not forgive.

    parser      text -> instructions
    values      types as numpy arrays
    memory      heap with red zones, shared memory with a race check
    machine     registers and operands of all threads that run together
    schedule    which threads run when; barriers, deadlocks
    run         a launch
    arithmetic, moves, warp, mma     instructions of every chip
    barriers, tma, wgmma             Hopper's

What it does not show: time, weak memory order between blocks, clusters of several blocks, tcgen05."""

from .run import filled, forget, mark_fresh, run_ptx
from .tma import TensorMap

__all__ = ["TensorMap", "filled", "forget", "mark_fresh", "run_ptx"]
