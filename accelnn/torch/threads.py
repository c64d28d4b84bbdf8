"""One team of threads for torch and accelnn: torch's.

torch's OpenMP threads spin on after each operator. Threads of our own would wait for the cores that these hold, so in a process that imports
accelnn.torch our kernels compute on torch's threads, as many as torch.set_num_threads allows; which thread computes a part never changes a bit."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import torch

from .. import _C


def openmp_of_torch() -> ctypes.CDLL | None:
    """The OpenMP runtime that torch is linked with: a process may have others. None where torch brings none of its own or it has no GOMP_parallel."""
    try:
        mapped = Path("/proc/self/maps").read_text()
    except OSError:
        return None
    home = str(Path(torch.__file__).parent)
    paths = dict.fromkeys(line.split(maxsplit=5)[5] for line in mapped.splitlines() if line.count("/") and "omp" in line)
    found = [p for p in paths if Path(p).name.startswith(("libgomp", "libomp", "libiomp"))]
    for path in sorted(found, key=lambda p: not p.startswith(home)):
        library = ctypes.CDLL(path, mode=os.RTLD_NOLOAD)
        if hasattr(library, "GOMP_parallel") and hasattr(library, "omp_get_max_threads"):
            return library
    return None


def share() -> bool:
    """Computes on torch's threads from now on, if they can be found."""
    library = openmp_of_torch()
    if library is None:
        return False
    parallel, most = (ctypes.cast(f, ctypes.c_void_p).value or 0 for f in (library.GOMP_parallel, library.omp_get_max_threads))
    _C.borrow_team(parallel, most)
    return True
