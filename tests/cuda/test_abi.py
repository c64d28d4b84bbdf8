"""Our declarations of the driver (csrc/runtime/cuda/abi.h) against NVIDIA's cuda.h, by the compiler."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from accelnn.deploy import toolchain

from ..conftest import _absent

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = {
    "result": {"success": "CUDA_SUCCESS", "no_binary_for_gpu": "CUDA_ERROR_NO_BINARY_FOR_GPU", "capture_unsupported": "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
               "capture_invalidated": "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "assert_failed": "CUDA_ERROR_ASSERT"},
    "device_attribute": {
        "threads_per_block": "MAX_THREADS_PER_BLOCK", "shared_per_block": "MAX_SHARED_MEMORY_PER_BLOCK", "clock_khz": "CLOCK_RATE",
        "units": "MULTIPROCESSOR_COUNT", "memory_clock_khz": "MEMORY_CLOCK_RATE", "memory_bus_bits": "GLOBAL_MEMORY_BUS_WIDTH", "l2_bytes": "L2_CACHE_SIZE",
        "threads_per_unit": "MAX_THREADS_PER_MULTIPROCESSOR", "major": "COMPUTE_CAPABILITY_MAJOR", "minor": "COMPUTE_CAPABILITY_MINOR",
        "shared_per_unit": "MAX_SHARED_MEMORY_PER_MULTIPROCESSOR", "cooperative": "COOPERATIVE_LAUNCH", "shared_optin": "MAX_SHARED_MEMORY_PER_BLOCK_OPTIN",
        "clusters": "CLUSTER_LAUNCH"},
    "function_attribute": {
        "threads_per_block": "MAX_THREADS_PER_BLOCK", "static_shared": "SHARED_SIZE_BYTES", "local_bytes": "LOCAL_SIZE_BYTES", "registers": "NUM_REGS",
        "max_dynamic_shared": "MAX_DYNAMIC_SHARED_SIZE_BYTES", "large_clusters": "NON_PORTABLE_CLUSTER_SIZE_ALLOWED"},
    "pointer_attribute": {},
    "jit": {"error_log": "CU_JIT_ERROR_LOG_BUFFER", "error_log_bytes": "CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES"},
    "launch_attribute": {"cluster": "CLUSTER_DIMENSION", "overlap": "PROGRAMMATIC_STREAM_SERIALIZATION"},
}  # fmt: skip
PREFIX = {"result": "CUDA_ERROR_", "device_attribute": "CU_DEVICE_ATTRIBUTE_", "function_attribute": "CU_FUNC_ATTRIBUTE_",
          "pointer_attribute": "CU_POINTER_ATTRIBUTE_", "launch_attribute": "CU_LAUNCH_ATTRIBUTE_"}
# A driver's function and ours are called alike when every argument and the result are: as large, and both or neither a pointer.
SAME_CALL = """
#include <cuda.h>
#include <type_traits>
#include "cuda/abi.h"
template <class A, class B> constexpr bool alike() {
  return sizeof(A) == sizeof(B) && std::is_pointer<A>::value == std::is_pointer<B>::value &&
         std::is_floating_point<A>::value == std::is_floating_point<B>::value;
}
template <class F, class G> struct Same { static constexpr bool value = false; };
template <class R, class... A, class S, class... B> struct Same<R (*)(A...), S (*)(B...)> {
  template <bool same, class = void> struct All { static constexpr bool value = false; };
  template <class Unused> struct All<true, Unused> { static constexpr bool value = (alike<A, B>() && ...); };
  static constexpr bool value = alike<R, S>() && All<sizeof...(A) == sizeof...(B)>::value;
};
namespace ours = accelnn::cuda;
"""
LAYOUTS = """
static_assert(sizeof(CUlaunchConfig) == sizeof(ours::LaunchConfig) && sizeof(CUlaunchAttribute) == sizeof(ours::LaunchAttribute), "sizes");
static_assert(offsetof(CUlaunchConfig, blockDimX) == offsetof(ours::LaunchConfig, block) &&
              offsetof(CUlaunchConfig, sharedMemBytes) == offsetof(ours::LaunchConfig, shared) &&
              offsetof(CUlaunchConfig, hStream) == offsetof(ours::LaunchConfig, stream) &&
              offsetof(CUlaunchConfig, attrs) == offsetof(ours::LaunchConfig, attributes) &&
              offsetof(CUlaunchConfig, numAttrs) == offsetof(ours::LaunchConfig, n_attributes), "CUlaunchConfig");
static_assert(offsetof(CUlaunchAttribute, value) == offsetof(ours::LaunchAttribute, value), "CUlaunchAttribute");
static_assert(sizeof(CUtensorMap) == sizeof(ours::TensorMap) && alignof(CUtensorMap) <= alignof(ours::TensorMap), "CUtensorMap");
static_assert(CU_STREAM_NON_BLOCKING == ours::stream_non_blocking && CU_EVENT_DISABLE_TIMING == ours::event_no_timing, "flags");
static_assert(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL == ours::capture_thread_local && CU_STREAM_CAPTURE_STATUS_ACTIVE == ours::capture_active, "capture");
static_assert(CU_TENSOR_MAP_DATA_TYPE_UINT8 == 0 && CU_TENSOR_MAP_DATA_TYPE_INT32 == 3 && CU_TENSOR_MAP_DATA_TYPE_INT64 == 5 &&
              CU_TENSOR_MAP_DATA_TYPE_FLOAT16 == 6 &&
              CU_TENSOR_MAP_DATA_TYPE_FLOAT32 == 7 && CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 == 9 && CU_TENSOR_MAP_DATA_TYPE_TFLOAT32 == 11, "types");
static_assert(CU_TENSOR_MAP_SWIZZLE_32B == 1 && CU_TENSOR_MAP_SWIZZLE_128B == 3 && CU_TENSOR_MAP_L2_PROMOTION_L2_64B == 1 &&
              CU_TENSOR_MAP_L2_PROMOTION_L2_256B == 3 && CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA == 1, "tensor maps");
"""


def _header_folder() -> Path:
    nvcc = toolchain.find_nvcc()
    places = [os.environ.get("CUDA_HOME"), "/usr/local/cuda", *(str(p) for p in ([nvcc.resolve().parents[1]] if nvcc else []))]
    for place in places:
        if place and (Path(place) / "include/cuda.h").exists():
            return Path(place) / "include"
    _absent("no GPU toolkit: cuda.h is not installed")
    raise AssertionError


def _compiles(code: str, folder: Path, include: Path) -> str:
    compiler = toolchain.compiler()
    if compiler is None:
        _absent("no C++ compiler")
    assert compiler is not None
    (folder / "abi.cpp").write_text(code)
    command = [*compiler, "-std=c++17", "-fsyntax-only", f"-isystem{include}", *toolchain.includes(ROOT), str(folder / "abi.cpp")]
    return subprocess.run(command, capture_output=True, text=True).stderr


def test_it_is_what_nvidia_declares(tmp_path: Path) -> None:
    include = _header_folder()
    header = (ROOT / "csrc/runtime/cuda/abi.h").read_text()
    if "cuLaunchKernelEx" not in (include / "cuda.h").read_text():
        pytest.skip("no GPU toolkit of CUDA 12 or newer: its cuda.h knows no cuLaunchKernelEx")
    entries = re.findall(r'F\((cu\w+), "(cu\w+)"', header)
    calls = [f'static_assert(Same<decltype(&::{symbol}), decltype(ours::Driver::{name})>::value, "{name}");' for name, symbol in entries]
    numbers = []
    for space, body in re.findall(r"namespace (\w+) \{\nconstexpr (?:int|Result) (.*?);", header, re.S):
        for name in re.findall(r"(\w+) = \d+", body):
            theirs = NUMBERS[space].get(name, name.upper())
            theirs = theirs if theirs.startswith("CU") else PREFIX[space] + theirs
            numbers.append(f'static_assert(int({theirs}) == int(ours::{space}::{name}), "{space} {name}");')
    assert len(calls) == 49 and len(numbers) == 53, (len(calls), len(numbers))
    assert _compiles(SAME_CALL + LAYOUTS + "\n".join(calls + numbers), tmp_path, include) == ""
    for right, wrong in ((calls[0], calls[0].replace("&::cuInit", "&::cuCtxSynchronize")), (numbers[1], numbers[1].replace("::invalid_value", "::success"))):
        assert right != wrong and "error: static assertion failed" in _compiles(SAME_CALL + wrong, tmp_path, include), "the comparison sees a difference"
