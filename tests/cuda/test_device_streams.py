"""Streams of device="cuda". The fake is lazy in these tests: a stream does nothing before somebody waits for it, and then no more than was waited for, so
that an order that is not asked for is the wrong one."""

from __future__ import annotations

import gc
import sys
import threading
import types
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.core import cuda_memory
from accelnn.core.errors import AttributeValueError, DeviceError

from .fake import Fake, apart, cuda, forked
from .handmade import install, scale


def lazy() -> Any:
    fake, raised, _ = install()
    fake.set(lazy=1, streams=1)
    return fake, raised


def launches(fake: Fake) -> list[str]:
    return [line.split(" in stream ")[1].split(" ")[0] for line in fake.log() if line.startswith("launch")]


def ones(n: int = 64) -> np.ndarray:
    return np.ones(n, np.float32)


@forked
def test_work_goes_into_the_stream_of_the_block() -> None:
    fake, _ = lazy()
    s, t = an.cuda.Stream(), an.cuda.Stream()
    assert an.cuda.current_stream().handle == 0 and s.handle != t.handle and an.cuda.Stream(1).device == 1
    with an.cuda.stream(s) as entered:
        assert entered is s and an.cuda.current_stream().handle == s.handle
        x = an.tensor(ones(), device="cuda")
        y = scale(x, 2.0)
        with an.cuda.stream(t):
            t.wait(s)
            y = scale(y, 3.0)
        y = scale(y, 5.0)
        assert an.cuda.current_stream(1).handle == 0, "of another device"
    z = an.tensor(ones(), device="cuda")
    scale(z, 1.0)
    an.cuda.synchronize()
    assert sorted(launches(fake)) == ["0", "1", "1", "2"]


@forked
def test_what_comes_back_is_what_every_stream_has_written() -> None:
    fake, raised = lazy()
    s = an.cuda.Stream()
    with an.cuda.stream(s):
        y = scale(an.tensor(ones(), device="cuda"), 2.0)
    assert launches(fake) == [] and y.tolist() == [2.0] * 64 and launches(fake) == ["1"]
    with an.cuda.stream(s):
        scale(y, 3.0, into=y)
    assert y.cpu().tolist() == [6.0] * 64 and raised == []


@forked
def test_waiting_orders_streams() -> None:
    fake, _ = lazy()
    s, t = an.cuda.Stream(), an.cuda.Stream()
    with an.cuda.stream(s):
        x = scale(an.tensor(ones(), device="cuda"), 2.0)
    with an.cuda.stream(t):
        out = an.tensor(ones() * 0, device="cuda")
        t.wait(s)
        scale(x, 3.0, into=out)
    t.synchronize()
    assert launches(fake) == ["1", "2"]
    host = np.zeros(64, np.float32)
    cuda.download(host, out.view.address, t.handle)
    assert host.tolist() == [6.0] * 64


def reused(wait: bool) -> list[float]:
    """x is made in the default stream and read in s; then it is dropped, and its memory is used again in the default stream before s has run."""
    fake, raised = lazy()
    if not wait:
        cuda_memory.order = lambda device, first, then: None
    s = an.cuda.Stream()
    with an.cuda.stream(s):
        out = an.tensor(ones() * 0, device="cuda")
    x = an.tensor(ones(), device="cuda")
    address = x.view.address
    with an.cuda.stream(s):
        scale(x, 2.0, into=out)
    del x
    gc.collect()
    again = an.tensor(ones() * 100, device="cuda")
    assert again.view.address == address and raised == []
    host = np.zeros(64, np.float32)
    cuda.download(host, out.view.address, s.handle)
    return [float(v) for v in set(host)]


def test_memory_is_not_used_again_before_every_stream_is_done_with_it() -> None:
    assert apart(reused, True) == [2.0]
    assert apart(reused, False) == [200.0], "the fake shows what happens without"


@forked
def test_a_stream_has_its_own_pieces() -> None:
    fake, _ = lazy()
    s = an.cuda.Stream()
    x = an.tensor(ones(), device="cuda")
    address = x.view.address
    del x
    with an.cuda.stream(s):
        y = an.tensor(ones(), device="cuda")
        theirs = y.view.address
        assert theirs != address
        del y
        assert an.tensor(ones(), device="cuda").view.address == theirs
    assert an.tensor(ones(), device="cuda").view.address == address
    assert not any(line.startswith(("wait", "event")) for line in fake.log()), "memory of one stream needs no events"


@forked
def test_threads_have_their_own_current_stream() -> None:
    lazy()
    s, seen = an.cuda.Stream(), []
    with an.cuda.stream(s):
        thread = threading.Thread(target=lambda: seen.append(an.cuda.current_stream().handle))
        thread.start()
        thread.join()
        assert an.cuda.current_stream().handle == s.handle
    assert seen == [0] and an.cuda.current_stream().handle == 0
    with pytest.raises(ZeroDivisionError), an.cuda.stream(s):
        raise ZeroDivisionError
    assert an.cuda.current_stream().handle == 0


def fake_torch(handles: dict[int, int], initialised: bool = True, raw: bool = True) -> Any:
    """What of torch the device looks at."""
    torch = types.ModuleType("torch")
    torch.cuda = types.SimpleNamespace(is_initialized=lambda: initialised,  # type: ignore[attr-defined]
                                       current_stream=lambda device: types.SimpleNamespace(cuda_stream=handles[device]))  # fmt: skip
    torch._C = types.SimpleNamespace(**({"_cuda_getCurrentRawStream": handles.__getitem__} if raw else {}))  # type: ignore[attr-defined]
    return torch


@pytest.mark.parametrize("raw", [True, False])
def test_torchs_current_stream_is_respected(raw: bool) -> None:
    apart(_torchs_stream, raw)


def _torchs_stream(raw: bool) -> None:
    fake, _ = lazy()
    theirs, ours = cuda.Stream(), an.cuda.Stream()
    handles = {0: theirs.handle, 1: 0}
    x = an.tensor(ones(), device="cuda")
    for torch, expected in ((None, 0), (types.ModuleType("torch"), 0), (fake_torch(handles, False, raw), 0), (fake_torch(handles, True, raw), theirs.handle)):
        sys.modules.pop("torch", None)
        if torch is not None:
            sys.modules["torch"] = torch
        assert an.cuda.current_stream().handle == expected
    assert an.cuda.current_stream(1).handle == 0
    y = scale(x, 2.0)
    with an.cuda.stream(ours):
        scale(y, 2.0)
    handles[0] = 0
    scale(y, 3.0)
    an.cuda.synchronize()
    assert sorted(launches(fake)) == ["0", "1", "2"]


@forked
def test_streams_of_others() -> None:
    lazy()
    raw = cuda.Stream()
    torchs = types.SimpleNamespace(cuda_stream=raw.handle, device=types.SimpleNamespace(index=0))
    cupys = types.SimpleNamespace(ptr=raw.handle, device_id=-1)
    protocol = types.SimpleNamespace(__cuda_stream__=lambda: (0, raw.handle))
    for given in (raw, raw.handle, torchs, cupys, protocol):
        with an.cuda.stream(given) as s:
            assert s.handle == raw.handle and s.device == 0 and an.cuda.current_stream().handle == raw.handle
    with an.cuda.stream(1) as s:
        assert s.handle == 0, "another name of the default stream"
    other = cuda.Stream(1)
    with an.cuda.stream(types.SimpleNamespace(cuda_stream=other.handle, device=types.SimpleNamespace(index=1))) as s:
        assert s.device == 1 and an.cuda.current_stream(1).handle == other.handle and an.cuda.current_stream().handle == 0
    with an.cuda.stream(other.handle, device=1) as s:
        assert s.device == 1
    for wrong in ("s", None, -1, 1.5, object()):
        with pytest.raises(AttributeValueError, match="is no stream: expected the handle, or a stream of accelnn, torch or CuPy"), an.cuda.stream(wrong):
            pass
    with pytest.raises(AttributeValueError, match="stream 2 is another one in each thread"), an.cuda.stream(2):
        pass
    ours = an.cuda.Stream()
    with pytest.raises(DeviceError, match=r"Stream\(0x[0-9a-f]+ of cuda:0\) in accelnn.cuda.stream\(..., device=1\)"), an.cuda.stream(ours, device=1):
        pass


@forked
def test_a_stream_lives_as_long_as_its_memory_may() -> None:
    fake, _ = lazy()
    with an.cuda.stream(an.cuda.Stream()) as s:
        x = scale(an.tensor(ones(), device="cuda"), 2.0)
        handle = s.handle
    del s
    gc.collect()
    with an.cuda.stream(an.cuda.Stream()) as other:
        assert other.handle != handle
    assert x.tolist() == [2.0] * 64 and fake.calls("cuStreamDestroy") == 0
