"""Modules, functions, and what of a launch reaches the driver."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from accelnn.core.errors import BoundError
from accelnn.deploy import toolchain

from ..conftest import _absent
from .cubin import IMAGE, KERNELS, PTX, cubin
from .fake import Fake, apart, cuda, forked, library


@forked
def test_arguments_arrive_as_the_kernel_declares_them() -> None:
    fake, m = Fake(), cuda.Module(IMAGE)
    scale = cuda.Function(m, "scale", "Pidf")
    assert scale.parameters == [(0, 8), (8, 4), (16, 8), (24, 4)] and scale.threads == 1024 and scale.name == "scale" and scale.device == 0
    address = cuda.alloc(4000)
    cuda.launch(scale, (4, 2), 128, 1024, (address, -5 & 0x7FFFFFFF, 2.5, 1.0))
    cuda.launch(scale, 1, (32, 2, 3), 0, (None, -1, 1, -0.0))
    wide = cuda.Function(m, "wide", "QhHqPb")
    cuda.launch(wide, (2147483647, 65535, 65535), 1, 0, (2**64 - 1, -2, 65535, -(2**63), 1, True))
    cuda.launch(cuda.Function(m, "nothing", ""), 1, 1, 0, ())
    assert fake.log() == [
        f"launch scale grid 4,2,1 block 128,1,1 shared 1024 args {address} 2147483643 {0x4004000000000000} {0x3F800000}",
        f"launch scale grid 1,1,1 block 32,2,3 shared 0 args 0 {2**32 - 1} {0x3FF0000000000000} {0x80000000}",
        f"launch wide grid 2147483647,65535,65535 block 1,1,1 shared 0 args {2**64 - 1} 65534 65535 {2**63} 1 1",
        "launch nothing grid 1,1,1 block 1,1,1 shared 0 args",
    ]


@forked
def test_packed_arguments() -> None:
    """Without a signature the driver's own list of parameters says where the bytes lie."""
    import struct

    fake, m = Fake(), cuda.Module(IMAGE)
    scale = cuda.Function(m, "scale")
    cuda.launch(scale, 1, 1, 0, struct.pack("<Qi4xdf", 77, 3, 1.0, 2.0))
    assert fake.log() == [f"launch scale grid 1,1,1 block 1,1,1 shared 0 args 77 3 {0x3FF0000000000000} {0x40000000}"]


def _without_param_info() -> None:
    m = cuda.Module(IMAGE)
    cuda.launch(cuda.Function(m, "scale", "Pidf"), 1, 1, 0, (1, 2, 3.0, 4.0))
    assert Fake().log() == [f"launch scale grid 1,1,1 block 1,1,1 shared 0 args 1 2 {0x4008000000000000} {0x40800000}"]
    with pytest.raises(NotImplementedError, match="scale: this driver cannot say what parameters a kernel has: a signature is needed"):
        cuda.Function(m, "scale")


def test_an_older_driver_needs_a_signature() -> None:
    apart(_without_param_info, env={"ACCELNN_LIBCUDA": library("FAKE_IS_OLD")})


@forked
def test_ptx() -> None:
    fake = Fake()
    cuda.launch(cuda.Function(cuda.Module(PTX), "scale", "Pidf"), 1, 32, 0, (5, 6, 0.0, 0.0))
    assert fake.log() == ["launch scale grid 1,1,1 block 32,1,1 shared 0 args 5 6 0 0"]
    with pytest.raises(ValueError, match="cuModuleLoadDataEx: CUDA_ERROR_INVALID_PTX .*: ptxas fatal: no .target in the fake's reading"):
        cuda.Function(cuda.Module(b".version 8.0"), "scale")


@forked
def test_an_image_for_another_chip() -> None:
    with pytest.raises(ValueError, match="cuModuleLoadDataEx: CUDA_ERROR_NO_BINARY_FOR_GPU .*: an image of [0-9]+ bytes on device 0"):
        cuda.Function(cuda.Module(cubin(KERNELS, arch=80)), "scale", "Pidf")


@forked
def test_a_module_is_loaded_once_a_device() -> None:
    fake, m = Fake(), cuda.Module(IMAGE)
    functions = [cuda.Function(m, name, device=device) for device in (0, 1, 0, 1) for name in ("scale", "nothing")]
    assert fake.calls("cuModuleLoadDataEx") == 2 == fake.live()
    for f in functions:
        cuda.launch(f, 1, 1, 0, bytes(28) if f.name == "scale" else b"")
    assert len(fake.log()) == 8
    del m
    assert fake.live() == 2, "functions keep their module"
    functions.clear()
    del f
    assert fake.live() == 0


@forked
def test_shared_memory_above_48_kb_is_asked_for_once() -> None:
    fake, m = Fake(), cuda.Module(IMAGE)
    scale, mapped = cuda.Function(m, "scale", "Pidf"), cuda.Function(m, "mapped", "TPb")
    assert mapped.static_shared == 4096 and mapped.threads == 256
    for shared in (49152, 100000, 65536, 232448, 232448):
        cuda.launch(scale, 1, 1, shared, (0, 0, 0.0, 0.0))
    assert fake.calls("cuFuncSetAttribute") == 2
    one = (bytes(128), 0, 0)
    cuda.launch(mapped, 1, 1, 49152 - 4096, one)
    assert fake.calls("cuFuncSetAttribute") == 2
    cuda.launch(mapped, 1, 1, 232448 - 4096, one)
    assert fake.calls("cuFuncSetAttribute") == 3
    with pytest.raises(BoundError, match="mapped: 228353 bytes of dynamic shared memory, and 4096 of its own: a block of device 0 has 232448"):
        cuda.launch(mapped, 1, 1, 232448 - 4096 + 1, one)
    fake.fail("cuFuncSetAttribute")
    fresh = cuda.Function(m, "scale", "Pidf")
    with pytest.raises(RuntimeError, match="cuFuncSetAttribute: CUDA_ERROR_UNKNOWN .*: 50000 bytes of shared memory for scale"):
        cuda.launch(fresh, 1, 1, 50000, (0, 0, 0.0, 0.0))
    cuda.launch(fresh, 1, 1, 50000, (0, 0, 0.0, 0.0))


@forked
def test_clusters_cooperation_and_overlap() -> None:
    fake, m = Fake(), cuda.Module(IMAGE)
    cuda.launch(cuda.Function(m, "nothing", "", cluster=(4, 2, 1)), (8, 2, 1), 1, 0, ())
    assert fake.calls("cuFuncSetAttribute") == 0
    cuda.launch(cuda.Function(m, "nothing", "", cluster=(16, 1, 1), cooperative=True, overlap=True), 32, 1, 0, ())
    assert fake.calls("cuFuncSetAttribute") == 1, "more than 8 blocks in a cluster have to be allowed"
    assert fake.log() == ["launch nothing grid 8,2,1 block 1,1,1 shared 0 cluster 4,2,1 args",
                          "launch nothing grid 32,1,1 block 1,1,1 shared 0 cluster 16,1,1 cooperative overlap args"]  # fmt: skip


def _on_sm_80(cluster: tuple[int, int, int], overlap: bool) -> None:
    Fake().set(arch=80)
    m = cuda.Module(cubin(KERNELS, arch=80))
    cuda.launch(cuda.Function(m, "nothing", "", cooperative=True), 1, 1, 0, ())
    with pytest.raises(NotImplementedError, match="nothing: clusters and overlapping launches need sm_90 or newer, the device is sm_80"):
        cuda.Function(m, "nothing", "", cluster=cluster, overlap=overlap)


def test_an_older_chip_has_no_clusters() -> None:
    apart(_on_sm_80, (2, 1, 1), False)
    apart(_on_sm_80, (1, 1, 1), True)


@forked
def test_a_freed_address_loses_the_device() -> None:
    fake, scale = Fake(), cuda.Function(cuda.Module(IMAGE), "scale", "Pidf")
    address = cuda.alloc(64)
    cuda.free(address)
    cuda.launch(scale, 1, 1, 0, (address, 0, 0.0, 0.0))
    for ask in (cuda.synchronize, lambda: cuda.alloc(4), lambda: cuda.launch(scale, 1, 1, 0, (0, 0, 0.0, 0.0))):
        with pytest.raises(RuntimeError, match=r"CUDA_ERROR_ILLEGAL_ADDRESS \(700, the fake's words\): .*; the device is lost to this process"):
            ask()
    assert len(fake.log()) == 1


@forked
def test_a_launch_costs_under_three_microseconds() -> None:
    """Ours: the fake answers at once."""
    fake, scale = Fake(), cuda.Function(cuda.Module(IMAGE), "scale", "Pidf")
    fake.set(quick=1)
    best = 1e9
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(2000):
            cuda.launch(scale, (4, 4, 1), (128, 1, 1), 0, (1 << 40, 1000, 2.5, 1.0), 0)
        best = min(best, (time.perf_counter() - began) / 2000)
    assert best < 3e-6, f"{best * 1e6:.2f} us"


SOURCE = """
struct alignas(64) Map { unsigned long long w[16]; };
extern "C" __global__ void scale(float* x, int n, double a, float b) { extern __shared__ float s[]; s[threadIdx.x] = n; x[n] = s[0] * a + b; }
extern "C" __global__ void mapped(const __grid_constant__ Map m, float* y, char c) {
  __shared__ float t[1024];
  t[threadIdx.x] = c; __syncthreads(); y[threadIdx.x] = t[threadIdx.x ^ 1] + m.w[3];
}
extern "C" __global__ void __launch_bounds__(128) nothing() {}
"""


def _nvcc_image(path: str, arch: int) -> list[Any]:
    Fake().set(arch=arch)
    m = cuda.Module(Path(path).read_bytes())
    signatures = {"scale": "Pidf", "mapped": "TPb", "nothing": ""}
    for name, signature in signatures.items():
        cuda.launch(cuda.Function(m, name, signature), 1, 1, 0, {"scale": (1, 2, 0.5, 0.25), "mapped": (bytes(range(128)), 3, -1), "nothing": ()}[name])
    with pytest.raises(ValueError, match='mapped has 3 parameters, the signature "PPb P" 5|holds  :'):
        cuda.Function(m, "mapped", "PPb P")
    return [Fake().log(), cuda.Function(m, "mapped").static_shared, cuda.Function(m, "nothing").threads]


@pytest.mark.parametrize("arch", [80, 90, 120])
def test_what_nvcc_makes(arch: int, tmp_path: Path) -> None:
    nvcc = toolchain.find_nvcc()
    if nvcc is None:
        _absent("no GPU compiler: nvcc is not installed")
    (tmp_path / "k.cu").write_text(SOURCE)
    subprocess.run([str(nvcc), "-cubin", f"-arch=sm_{arch}", "-o", str(tmp_path / "k.cubin"), str(tmp_path / "k.cu")], check=True, capture_output=True)
    log, shared, threads = apart(_nvcc_image, str(tmp_path / "k.cubin"), arch)
    assert log == [f"launch scale grid 1,1,1 block 1,1,1 shared 0 args 1 2 {0x3FE0000000000000} {0x3E800000}",
                   f"launch mapped grid 1,1,1 block 1,1,1 shared 0 args {0x0706050403020100} 3 255",
                   "launch nothing grid 1,1,1 block 1,1,1 shared 0 args"]  # fmt: skip
    assert (shared, threads) == (4096, 128)
