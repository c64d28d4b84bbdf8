"""Launches of a Plan on "cuda": one graph of the driver (csrc/runtime/cuda/replay.h)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import _C
from .remote import Copy, Launch, Remote

if TYPE_CHECKING:
    from .cuda import Cuda


class Replay:
    """See remote.Recorded. The graph is recorded after the first run, which loads what the driver loads late."""

    def __init__(self, device: Cuda, launches: Sequence[Launch]) -> None:
        self.device, self.launches = device, _C.cuda.Replay(device.number)
        self.owners: dict[int, Any] = {}  # of all memory: the graph keeps none
        self.noted: set[int] = set()  # streams in which it has run
        self.last: int | None = None
        for launch in launches:
            kernel, grid, args, constants, warps, stages = launch
            function, compiled, passed, _ = device.found(kernel, args, constants, warps, stages)
            values = [args[i].address if isinstance(args[i], Remote) else args[i] for i in passed]
            size = int(compiled.metadata.get("global_scratch_size") or 0)
            scratch = device.allocate(size * grid[0] * grid[1] * grid[2]) if size else None
            self.launches.append(function, grid, 32 * compiled.warps, compiled.shared, (*values, scratch.address if scratch else 0, 0))
            for owner in (scratch, *(x.storage.owner for x in args if isinstance(x, Remote))):
                self.owners[id(owner)] = owner

    def run(self, before: Sequence[Copy], after: Sequence[Copy]) -> None:
        stream = self.device.stream()
        if stream != self.last and self.last is not None:  # both runs write the same memory
            event = _C.cuda.Event(self.device.number, False)
            event.record(self.last)
            event.hold(stream)
        self.last = stream
        if stream not in self.noted:
            for owner in self.owners.values():
                if owner is not None:
                    self.device.use(owner)
            self.noted.add(stream)
        for copy in before:
            self.device.use(copy.owner)
        self.launches.run([c[:3] for c in before], [c[:3] for c in after], stream)
