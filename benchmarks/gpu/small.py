"""One small call of every function that is a row, each operand and result in an allocation of its own, without a byte to spare: what compute-sanitizer
looks at. A line a row, before and after, so that what was running is known where it stops."""

from __future__ import annotations

import sys
import time
from typing import Any

from accelnn import _C
from accelnn.bench.gpu.placed import Placed
from accelnn.bench.gpu.session import number_of
from accelnn.core.remote import device_named

from .calls import arguments, calls, shard_of


class Exact:
    """Memory of just that size, given back at once: one byte further is another's, or nobody's."""

    def __init__(self, number: int, nbytes: int) -> None:
        self.number, self.nbytes, self.home = number, nbytes, 0
        self.others: set[int] = set()  # streams
        self.address = _C.cuda.alloc(max(nbytes, 1), number)

    def __del__(self) -> None:
        _C.cuda.free(self.address, self.number)


def main() -> int:
    p = arguments("Small calls of all rows.")
    p.add_argument("--seconds", type=float, default=1e9, help="no call is begun later")
    args = p.parse_args()
    device: Any = device_named(args.device)
    if args.device.startswith("cuda"):
        device.allocate = lambda nbytes: Exact(number_of(device), nbytes)
    begin, done = time.monotonic(), 0
    for row, op, x in calls(device, *shard_of(args), distinct=True):
        if isinstance(x, str):
            print(f"{row.name}: {x}", flush=True)
            continue
        if time.monotonic() - begin > args.seconds or done >= args.most:
            print("the rest: no time", flush=True)
            break
        print(f"{row.name}: {op}", flush=True)
        placed = Placed(device, op, x)
        row.row.run(placed.call())
        device.synchronize()
        placed.results()
        done += 1
    print(f"{done} calls", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
