"""How the time of calls on the host is taken. Devices have a clock of their own (gpu/clock.py)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

Calls = Sequence[Callable[[], Any]]


class CpuClock:
    """A call has ended when it returns."""

    name = "cpu"

    def seconds(self, calls: Calls) -> float:
        """Time of all calls, one after the other."""
        begin = time.perf_counter()
        for call in calls:
            call()
        return time.perf_counter() - begin

    def finish(self) -> None:
        pass
