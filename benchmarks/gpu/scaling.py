"""Products of matrices on the machine's processor at 1, 2, 4, 8 and 16 threads beside torch and numpy: one process a number of threads, since libraries
take theirs when they start; a line of JSON for each case as soon as it is there. Not `accelnn bench`, which also measures what the memory can do at
most: that takes longer than all of this."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from typing import Any

THREADS = (1, 2, 4, 8, 16)
SHAPES = ("1024x1024x1024", "2048x2048x2048")


def measure(shape: str, threads: int) -> dict[str, Any]:
    """Median seconds of everybody, results checked before and after."""
    from accelnn.bench import Pace, peers
    from accelnn.bench.device import CpuClock
    from accelnn.bench.measure import Contestant, alternate, input_sets, keeping, wrong
    from accelnn.bench.works import work_named
    from accelnn.core.device import set_num_threads

    set_num_threads(threads)
    work = work_named("matmul")
    sets = input_sets(work, shape)
    truths = [work.right(x) for x in sets]
    ours = [keeping(work.ours(x)) for x in sets]
    everybody = [Contestant("accelnn", "accelnn", [c for c, _ in ours], [r for _, r in ours], strict=True)]
    for peer in peers.peers(work, ("torch", "numpy")):
        prepared = [peer.make(x, threads) for x in sets]
        everybody.append(Contestant(peer.library, peer.label, [p.run for p in prepared], [p.results for p in prepared]))
    about: dict[str, Any] = {"threads": threads, "shape": shape}
    for when in ("before", "after"):
        for contestant in everybody:
            problem = wrong(contestant, truths, work.dtype)
            if problem:
                return about | {"error": f"{contestant.label}, {when} timing: {problem}"}
        if when == "before":
            alternate(everybody, CpuClock(), Pace.quick())
    seconds = {c.label: statistics.median(c.blocks) for c in everybody}
    mine, best = seconds.pop("accelnn"), min(seconds, key=lambda label: seconds[label], default=None)
    ratio = seconds[best] / mine if best else None
    return about | {"seconds": mine, "flop_rate": work.costs(sets[0])[0] / mine, "peers": seconds, "best": best, "ratio": ratio}


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--case", nargs=2, metavar=("SHAPE", "THREADS"), help="this one, in this process")
    p.add_argument("--tiny", action="store_true")
    args = p.parse_args()
    if args.case:
        found = measure(args.case[0], int(args.case[1]))
        print(json.dumps(found), flush=True)
        return int("error" in found)
    from accelnn.bench.worker import THREAD_VARIABLES

    cores, code = len(os.sched_getaffinity(0)), 0
    for shape in ("64x64x64",) if args.tiny else SHAPES:
        for threads in (1,) if args.tiny else [n for n in THREADS if n <= cores]:
            environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
            code |= subprocess.run([sys.executable, "-m", "benchmarks.gpu.scaling", "--case", shape, str(threads)], env=environment).returncode
    return code


if __name__ == "__main__":
    sys.exit(main())
