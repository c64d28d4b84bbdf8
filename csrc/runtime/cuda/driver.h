// The CUDA driver, opened when it is first asked for: a machine without one only finds that out then. Nothing here ends the process; every failure is a
// Status with the driver's own words. The objects of this folder stand in libaccelnn.a, but only _C.so names them: programs do not carry them.
#pragma once
#include "cuda/abi.h"
#include "status.h"

namespace accelnn::cuda {

constexpr int max_devices = 32;
constexpr Code device_code = Code(int(Code::bound) + 1);      // behind those that a program's C API knows (accelnn.h): only Python gets to see it

extern Driver api;                        // filled by open(); every function below opens first

Status open();                            // $ACCELNN_LIBCUDA, else libcuda.so.1 and where containers and WSL keep it. What it found stays found.
Status device_count(int* n);              // a driver without a device counts 0

struct DeviceInfo {
  char name[96];
  int major, minor, units, warp, threads_per_block, threads_per_unit, shared_per_block, shared_optin, shared_per_unit, l2_bytes, clock_khz,
      memory_clock_khz, memory_bus_bits, cooperative, clusters, driver;       // driver: 1000 * major + 10 * minor of the newest CUDA it knows
  size_t memory;
};
Status device_info(int device, const DeviceInfo** info);

// Makes the device's primary context, which torch and CuPy share, the calling thread's own. `before`: what to give back to leave().
Status enter(int device, Context* before);
Status leave(int device, Context before);
Status synchronize(int device);

// Runs f on a device. Whoever had another device current keeps it.
template <class F> Status on(int device, const F& f) {
  Context before;
  ACCELNN_TRY(enter(device, &before));
  const Status done = f();
  const Status left = __builtin_expect(before == nullptr, 1) ? Status() : leave(device, before);
  return done.ok() ? left : done;
}

// "cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY (2, out of memory): <what was asked>".
Status failed(Result r, const char* entry, const char* format, ...) __attribute__((format(printf, 3, 4), cold));

#define ACCELNN_CUDA(entry, arguments, ...)                                                              \
  do {                                                                                                   \
    const ::accelnn::cuda::Result result_ = ::accelnn::cuda::api.entry arguments;                        \
    if (__builtin_expect(result_ != 0, 0)) return ::accelnn::cuda::failed(result_, #entry, __VA_ARGS__); \
  } while (0)

}  // namespace accelnn::cuda
