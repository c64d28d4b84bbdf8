"""Streams, events, and graphs: what is recorded once and replayed."""

from __future__ import annotations

import numpy as np
import pytest

from accelnn.core.errors import AttributeValueError, DeviceError

from .cubin import IMAGE
from .fake import Fake, cuda, forked


@forked
def test_streams_and_events() -> None:
    fake, s, other = Fake(), cuda.Stream(), cuda.Stream(1)
    assert s.device == 0 and other.device == 1 and s.handle and fake.live() == 2
    first, second = cuda.Event(), cuda.Event()
    first.record(s.handle)
    second.record()
    assert second.since(first) == 0.5 and second.happened and cuda.idle(s.handle)
    first.hold(s.handle)
    cuda.synchronize(s.handle)
    cuda.synchronize(other.handle, device=1)
    second.synchronize()
    cuda.synchronize()
    assert fake.calls("cuStreamSynchronize") == 2 and fake.calls("cuCtxSynchronize") == 1 and fake.log() == ["wait for event 1"]
    fake.set(busy=1)
    assert not second.happened and not cuda.idle(s.handle) and not cuda.idle()
    with pytest.raises(DeviceError, match="cuEventElapsedTime: CUDA_ERROR_INVALID_HANDLE"):
        cuda.Event(timing=False).since(first)
    with pytest.raises(DeviceError, match="cuStreamSynchronize: CUDA_ERROR_INVALID_HANDLE .*: a stream of device 0"):
        cuda.synchronize(other.handle)
    del s, other, first, second
    assert fake.live() == 0


@forked
def test_a_graph_replays_what_was_launched() -> None:
    fake, s = Fake(), cuda.Stream()
    scale = cuda.Function(cuda.Module(IMAGE), "scale", "Pidf")
    a, b = cuda.alloc(64), cuda.alloc(64)
    assert not cuda.is_capturing(s.handle)
    cuda.begin_capture(s.handle)
    assert cuda.is_capturing(s.handle)
    cuda.launch(scale, 2, 32, 60000, (a, 8, 1.0, 1.0), s.handle)
    cuda.copy(b, a, 64, s.handle)
    cuda.fill(a, 3, 4, stream=s.handle)
    assert fake.log() == [], "nothing runs yet"
    graph = cuda.end_capture(s.handle)
    assert graph.nodes == 3 and graph.device == 0 and not cuda.is_capturing(s.handle)
    x, y = np.arange(16, dtype=np.float32), np.zeros(16, np.float32)
    for n in (1, 2):
        cuda.upload(a, x * n, s.handle)
        graph.launch(s.handle)
        cuda.download(y, b, s.handle)
        assert np.array_equal(y, x * n)
    assert [line.split()[0] for line in fake.log()] == ["graph", "launch"] * 2
    cuda.free(a)
    cuda.free(b)
    del graph, scale, s
    assert fake.live() == 0


@forked
def test_the_default_stream_cannot_be_recorded() -> None:
    with pytest.raises(AttributeValueError, match="the default stream of device 0 cannot be recorded: give a stream of its own"):
        cuda.begin_capture(0)


@forked
def test_what_spoils_a_capture() -> None:
    """An allocation while recording is refused, and so is the end of the recording; the stream is as before."""
    fake, s = Fake(), cuda.Stream()
    cuda.begin_capture(s.handle)
    with pytest.raises(DeviceError, match="cuMemAlloc: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"):
        cuda.alloc(64)
    with pytest.raises(DeviceError, match="cuStreamEndCapture: CUDA_ERROR_STREAM_CAPTURE_INVALIDATED .*: what was recorded on device 0 is thrown away"):
        cuda.end_capture(s.handle)
    cuda.begin_capture(s.handle)
    with pytest.raises(DeviceError, match="cuStreamSynchronize: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"):
        cuda.synchronize(s.handle)
    with pytest.raises(DeviceError, match="INVALIDATED"):
        cuda.end_capture(s.handle)
    cuda.begin_capture(s.handle)
    assert cuda.end_capture(s.handle).nodes == 0
    with pytest.raises(DeviceError, match="cuStreamEndCapture: CUDA_ERROR_INVALID_VALUE"):
        cuda.end_capture(s.handle)
    assert fake.live() == 1


@forked
def test_the_end_of_the_process_is_no_error() -> None:
    """The driver may be gone before the last object is: it has freed it."""
    import sys

    heard: list[str] = []
    sys.unraisablehook = lambda said: heard.append(str(said.exc_value))
    fake = Fake()
    for make, entry in ((cuda.Stream, "cuStreamDestroy"), (cuda.Event, "cuEventDestroy"),
                        (lambda: cuda.Function(cuda.Module(IMAGE), "nothing"), "cuModuleUnload")):  # fmt: skip
        for code in (4, 999):
            made = make()
            fake.fail(entry, code=code)
            del made
    assert [text.split(":")[0] for text in heard] == ["cuStreamDestroy", "cuEventDestroy", "cuModuleUnload"]
