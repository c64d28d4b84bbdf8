"""Launches that are recorded once and replayed as one graph (cuda.Replay), and what a failure on the way leaves behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accelnn.core.errors import DeviceError

from .cubin import IMAGE
from .fake import Fake, cuda, forked

DRIVER = ("cuLaunchKernelEx", "cuGraphLaunch", "cuMemcpyDtoDAsync", "cuStreamBeginCapture", "cuGraphInstantiateWithFlags", "cuMemAlloc")


def made(n: int = 3) -> tuple[Any, int]:
    """n launches of "scale" on an address."""
    scale, replay, address = cuda.Function(cuda.Module(IMAGE), "scale", "Pidf"), cuda.Replay(), cuda.alloc(64)
    for i in range(n):
        replay.append(scale, (i + 1, 2), 32, 60000 if i == 1 else 0, (address, i, 0.5, 2.0))
    return replay, address


@forked
def test_one_graph_and_one_call_a_replay() -> None:
    fake = Fake()
    replay, address = made()
    assert replay.launches == 3 and not replay.recorded and fake.log() == []
    replay.run()
    once = fake.log()
    assert [line.split(" shared")[0] for line in once] == [f"launch scale grid {i + 1},2,1 block 32,1,1" for i in range(3)]
    assert replay.recorded and replay.nodes == 3 and fake.calls("cuLaunchKernelEx") == 6, "one warm run, one recording"
    for n in range(1, 4):
        before = {entry: fake.calls(entry) for entry in DRIVER}
        replay.run()
        assert {e: fake.calls(e) - before[e] for e in DRIVER} == {e: int(e == "cuGraphLaunch") for e in DRIVER}
        assert fake.log() == once + ["graph of 3", *once] * n
    cuda.free(address)
    del replay
    assert fake.live() == 0


@forked
def test_copies_come_before_and_behind() -> None:
    fake = Fake()
    replay, address = made(1)
    source, target = cuda.alloc(64), cuda.alloc(64)
    for n in (1, 2, 3):
        x, y = np.full(16, n, np.float32), np.zeros(16, np.float32)
        cuda.upload(source, x)
        replay.run([(address, source, 64)], [(target, address, 64)])
        cuda.download(y, target)
        assert np.array_equal(x, y)
    assert fake.calls("cuMemcpyDtoDAsync") == 6 and replay.nodes == 1, "copies are not in the graph: their addresses may be others each time"
    for a in (address, source, target):
        cuda.free(a)


@forked
def test_nothing_to_launch() -> None:
    fake, replay = Fake(), cuda.Replay()
    replay.run()
    replay.run()
    assert replay.recorded and replay.nodes == 0 and fake.calls("cuGraphLaunch") == 0


@forked
def test_a_failing_recording_is_ended_and_made_again() -> None:
    """The run has been done, the device is as before, and nothing stays behind."""
    fake = Fake()
    for entry, nth in (("cuStreamCreate", 1), ("cuStreamBeginCapture", 1), ("cuLaunchKernelEx", 5), ("cuStreamEndCapture", 1), ("cuGraphGetNodes", 1),
                       ("cuGraphInstantiateWithFlags", 1), ("cuGraphDestroy", 1), ("cuStreamDestroy", 1)):  # fmt: skip
        replay, address = made()
        n, lines = fake.live(), len(fake.log())
        fake.fail(entry, nth)
        with pytest.raises(DeviceError, match=f"{entry}: CUDA_ERROR_UNKNOWN"):
            replay.run()
        assert not replay.recorded and len(fake.log()) == lines + 3, f"{entry}: the run has been done"
        leaks = entry in ("cuGraphDestroy", "cuStreamDestroy")          # what the driver does not take back stays
        assert fake.live() == n + leaks, entry
        cuda.free(cuda.alloc(64))
        replay.run()
        assert replay.recorded and replay.nodes == 3 and len(fake.log()) == lines + 6
        cuda.free(address)
        del replay


@forked
def test_a_failing_run_says_what_failed() -> None:
    fake = Fake()
    replay, address = made()
    fake.fail("cuLaunchKernelEx", 2)
    with pytest.raises(DeviceError, match="cuLaunchKernelEx: CUDA_ERROR_UNKNOWN .*: scale, 2 x 2 x 1 blocks of 32 threads, 60000 bytes shared"):
        replay.run()
    assert not replay.recorded and fake.calls("cuStreamBeginCapture") == 0
    replay.run()
    fake.fail("cuGraphLaunch")
    with pytest.raises(DeviceError, match="cuGraphLaunch: CUDA_ERROR_UNKNOWN .*: a graph of 3 nodes on device 0"):
        replay.run()
    replay.run()
    fake.fail("cuMemcpyDtoDAsync")
    with pytest.raises(DeviceError, match="cuMemcpyDtoDAsync"):
        replay.run([(address, address, 4)])
