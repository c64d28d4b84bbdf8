// What we use of the CUDA driver's ABI (CUDA 12.0 and later; libcuda.so.1), restated: no cuda.h is needed to build, no library to link.
// tests/cuda/test_abi.py compares every type and number here with NVIDIA's header where that is installed.
#pragma once
#include <cstddef>
#include <cstdint>

namespace accelnn::cuda {

using Result = int;                       // CUresult
using Address = unsigned long long;       // CUdeviceptr
using Context = struct ContextTag*;
using ModuleHandle = struct ModuleTag*;
using FunctionHandle = struct FunctionTag*;
using StreamHandle = struct StreamTag*;
using EventHandle = struct EventTag*;
using GraphHandle = struct GraphTag*;
using GraphExec = struct GraphExecTag*;
using GraphNode = struct GraphNodeTag*;

namespace result {
constexpr Result success = 0, invalid_value = 1, out_of_memory = 2, not_initialized = 3, deinitialized = 4, device_unavailable = 46, no_device = 100,
                 invalid_image = 200, no_binary_for_gpu = 209, ecc_uncorrectable = 214, invalid_ptx = 218, unsupported_ptx_version = 222,
                 not_found = 500, not_ready = 600, illegal_address = 700, launch_timeout = 702, assert_failed = 710, hardware_stack_error = 714,
                 illegal_instruction = 715, misaligned_address = 716, invalid_address_space = 717, invalid_pc = 718, launch_failed = 719,
                 capture_unsupported = 900, capture_invalidated = 901, unknown = 999;
}

namespace device_attribute {
constexpr int threads_per_block = 1, shared_per_block = 8, warp_size = 10, clock_khz = 13, units = 16, memory_clock_khz = 36, memory_bus_bits = 37,
              l2_bytes = 38, threads_per_unit = 39, major = 75, minor = 76, shared_per_unit = 81, cooperative = 95, shared_optin = 97, clusters = 120;
}

namespace function_attribute {
constexpr int threads_per_block = 0, static_shared = 1, local_bytes = 3, registers = 4, max_dynamic_shared = 8, large_clusters = 14;
}

namespace pointer_attribute {
constexpr int device_ordinal = 9;
}

namespace jit {
constexpr int error_log = 5, error_log_bytes = 6;
}

namespace launch_attribute {
constexpr int cooperative = 2, cluster = 4, overlap = 6;      // overlap: CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION
}

constexpr unsigned stream_non_blocking = 1, event_no_timing = 2;
constexpr int capture_thread_local = 1, capture_active = 1;

struct LaunchAttribute {                  // CUlaunchAttribute
  int id;
  char pad[4];
  union {
    char bytes[64];
    int flag;
    struct { unsigned x, y, z; } cluster;
  } value;
};

struct LaunchConfig {                     // CUlaunchConfig
  unsigned grid[3], block[3], shared;
  StreamHandle stream;
  LaunchAttribute* attributes;
  unsigned n_attributes;
};

struct alignas(128) TensorMap { uint64_t words[16]; };         // CUtensorMap: opaque, passed by value; CUDA 12 aligns it to 64, 13 to 128

// F(field and name of the entry point, its symbol, arguments). The _v2 symbols are those that cuda.h maps the plain names to.
#define ACCELNN_CUDA_ENTRIES(F)                                                                                                                             \
  F(cuInit, "cuInit", unsigned)                                                                                                                             \
  F(cuDriverGetVersion, "cuDriverGetVersion", int*)                                                                                                         \
  F(cuGetErrorName, "cuGetErrorName", Result, const char**)                                                                                                 \
  F(cuGetErrorString, "cuGetErrorString", Result, const char**)                                                                                             \
  F(cuDeviceGetCount, "cuDeviceGetCount", int*)                                                                                                             \
  F(cuDeviceGet, "cuDeviceGet", int*, int)                                                                                                                  \
  F(cuDeviceGetName, "cuDeviceGetName", char*, int, int)                                                                                                    \
  F(cuDeviceTotalMem, "cuDeviceTotalMem_v2", size_t*, int)                                                                                                  \
  F(cuDeviceGetAttribute, "cuDeviceGetAttribute", int*, int, int)                                                                                           \
  F(cuDevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain", Context*, int)                                                                                    \
  F(cuCtxGetCurrent, "cuCtxGetCurrent", Context*)                                                                                                           \
  F(cuCtxSetCurrent, "cuCtxSetCurrent", Context)                                                                                                            \
  F(cuCtxSynchronize, "cuCtxSynchronize", void)                                                                                                             \
  F(cuModuleLoadDataEx, "cuModuleLoadDataEx", ModuleHandle*, const void*, unsigned, int*, void**)                                                           \
  F(cuModuleUnload, "cuModuleUnload", ModuleHandle)                                                                                                         \
  F(cuModuleGetFunction, "cuModuleGetFunction", FunctionHandle*, ModuleHandle, const char*)                                                                 \
  F(cuFuncGetAttribute, "cuFuncGetAttribute", int*, int, FunctionHandle)                                                                                    \
  F(cuFuncSetAttribute, "cuFuncSetAttribute", FunctionHandle, int, int)                                                                                     \
  F(cuLaunchKernelEx, "cuLaunchKernelEx", const LaunchConfig*, FunctionHandle, void**, void**)                                                              \
  F(cuMemGetInfo, "cuMemGetInfo_v2", size_t*, size_t*)                                                                                                      \
  F(cuMemAlloc, "cuMemAlloc_v2", Address*, size_t)                                                                                                          \
  F(cuMemFree, "cuMemFree_v2", Address)                                                                                                                     \
  F(cuMemcpyHtoDAsync, "cuMemcpyHtoDAsync_v2", Address, const void*, size_t, StreamHandle)                                                                  \
  F(cuMemcpyDtoHAsync, "cuMemcpyDtoHAsync_v2", void*, Address, size_t, StreamHandle)                                                                        \
  F(cuMemcpyDtoDAsync, "cuMemcpyDtoDAsync_v2", Address, Address, size_t, StreamHandle)                                                                      \
  F(cuMemsetD8Async, "cuMemsetD8Async", Address, unsigned char, size_t, StreamHandle)                                                                       \
  F(cuMemsetD32Async, "cuMemsetD32Async", Address, unsigned, size_t, StreamHandle)                                                                          \
  F(cuPointerGetAttribute, "cuPointerGetAttribute", void*, int, Address)                                                                                    \
  F(cuStreamCreate, "cuStreamCreate", StreamHandle*, unsigned)                                                                                              \
  F(cuStreamDestroy, "cuStreamDestroy_v2", StreamHandle)                                                                                                    \
  F(cuStreamSynchronize, "cuStreamSynchronize", StreamHandle)                                                                                               \
  F(cuStreamQuery, "cuStreamQuery", StreamHandle)                                                                                                           \
  F(cuStreamWaitEvent, "cuStreamWaitEvent", StreamHandle, EventHandle, unsigned)                                                                            \
  F(cuEventCreate, "cuEventCreate", EventHandle*, unsigned)                                                                                                 \
  F(cuEventDestroy, "cuEventDestroy_v2", EventHandle)                                                                                                       \
  F(cuEventRecord, "cuEventRecord", EventHandle, StreamHandle)                                                                                              \
  F(cuEventQuery, "cuEventQuery", EventHandle)                                                                                                              \
  F(cuEventSynchronize, "cuEventSynchronize", EventHandle)                                                                                                  \
  F(cuEventElapsedTime, "cuEventElapsedTime", float*, EventHandle, EventHandle)                                                                             \
  F(cuStreamBeginCapture, "cuStreamBeginCapture_v2", StreamHandle, int)                                                                                     \
  F(cuStreamIsCapturing, "cuStreamIsCapturing", StreamHandle, int*)                                                                                         \
  F(cuStreamEndCapture, "cuStreamEndCapture", StreamHandle, GraphHandle*)                                                                                   \
  F(cuGraphGetNodes, "cuGraphGetNodes", GraphHandle, GraphNode*, size_t*)                                                                                   \
  F(cuGraphInstantiateWithFlags, "cuGraphInstantiateWithFlags", GraphExec*, GraphHandle, unsigned long long)                                                \
  F(cuGraphLaunch, "cuGraphLaunch", GraphExec, StreamHandle)                                                                                                \
  F(cuGraphExecDestroy, "cuGraphExecDestroy", GraphExec)                                                                                                    \
  F(cuGraphDestroy, "cuGraphDestroy", GraphHandle)                                                                                                          \
  F(cuTensorMapEncodeTiled, "cuTensorMapEncodeTiled", TensorMap*, int, unsigned, void*, const uint64_t*, const uint64_t*, const unsigned*, const unsigned*, \
    int, int, int, int)
// Null where the driver is older (12.4).
#define ACCELNN_CUDA_OPTIONAL_ENTRIES(F) F(cuFuncGetParamInfo, "cuFuncGetParamInfo", FunctionHandle, size_t, size_t*, size_t*)

struct Driver {
#define ACCELNN_FIELD(name, symbol, ...) Result (*name)(__VA_ARGS__);
  ACCELNN_CUDA_ENTRIES(ACCELNN_FIELD)
  ACCELNN_CUDA_OPTIONAL_ENTRIES(ACCELNN_FIELD)
#undef ACCELNN_FIELD
};

}  // namespace accelnn::cuda
