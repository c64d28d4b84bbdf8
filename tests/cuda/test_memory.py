"""Device memory: copies arrive, and what is no longer there is refused."""

from __future__ import annotations

import numpy as np
import pytest

from accelnn.core.errors import DeviceError

from .fake import Fake, cuda, forked


@forked
def test_there_and_back() -> None:
    fake = Fake()
    a, b = cuda.alloc(1000), cuda.alloc(1000)
    assert a % 256 == b % 256 == 0 and cuda.memory_info() == ((1 << 30) - 2000, 1 << 30)
    x = np.arange(250, dtype=np.float32)
    cuda.upload(a, x)
    cuda.copy(b, a, 1000)
    y = np.zeros_like(x)
    cuda.download(y, b)
    assert np.array_equal(x, y)
    cuda.fill(b + 4, 7, 8)
    cuda.fill(b + 100, 0xDEADBEEF, 2, width=4)
    raw = bytearray(1000)
    cuda.download(raw, b, wait=False)
    assert raw[:16] == x.tobytes()[:4] + b"\7" * 8 + x.tobytes()[12:16] and raw[100:108] == bytes.fromhex("efbeadde" * 2)
    before = fake.calls("cuStreamSynchronize")
    cuda.upload(a, b"1234", wait=False)
    assert fake.calls("cuStreamSynchronize") == before == 2
    cuda.free(a)
    cuda.free(b)
    assert fake.live() == 0 and cuda.memory_info()[0] == 1 << 30


@forked
def test_nothing_asks_nothing() -> None:
    fake = Fake()
    assert cuda.alloc(0) == 0
    cuda.free(0)
    cuda.upload(0, b"")
    cuda.download(bytearray(), 0)
    cuda.copy(0, 0, 0)
    cuda.fill(0, 1, 0)
    assert not any(fake.calls(e) for e in ("cuMemAlloc", "cuMemFree", "cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync", "cuMemcpyDtoDAsync", "cuMemsetD8Async"))


@forked
def test_too_much_freed_and_foreign() -> None:
    with pytest.raises(MemoryError, match=r"cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY \(2, the fake's words\): 1099511627776 bytes on device 0"):
        cuda.alloc(1 << 40)
    a = cuda.alloc(100)
    for wrong in (lambda: cuda.upload(a, bytes(101)), lambda: cuda.download(bytearray(101), a), lambda: cuda.copy(a, a + 1, 100), lambda: cuda.fill(a, 0, 101),
                  lambda: cuda.fill(a + 2, 0, 4, width=4), lambda: cuda.free(a + 4)):  # fmt: skip
        with pytest.raises(DeviceError, match=f"CUDA_ERROR_INVALID_VALUE .*address {a}|CUDA_ERROR_INVALID_VALUE .*address {a + 1}|"
                                              f"CUDA_ERROR_INVALID_VALUE .*address {a + 2}|cuMemFree: .*address {a + 4}"):  # fmt: skip
            wrong()
    cuda.free(a)
    with pytest.raises(DeviceError, match=f"cuMemFree: CUDA_ERROR_INVALID_VALUE .*: address {a} of device 0"):
        cuda.free(a)
    with pytest.raises(DeviceError, match="cuMemcpyHtoDAsync: CUDA_ERROR_INVALID_VALUE"):
        cuda.upload(a, bytes(4))
    with pytest.raises(BufferError):
        cuda.download(b"read-only", a)
    with pytest.raises((BufferError, ValueError)):
        cuda.upload(a, np.zeros((4, 4))[:, ::2])
