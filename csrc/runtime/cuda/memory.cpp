#include "cuda/memory.h"

namespace accelnn::cuda {

namespace {
Status finish(StreamHandle stream, bool wait, const char* what) {
  if (wait) ACCELNN_CUDA(cuStreamSynchronize, (stream), "after %s", what);
  return {};
}
}  // namespace

Status memory_info(int device, size_t* free_bytes, size_t* total) {
  return on(device, [&]() -> Status {
    ACCELNN_CUDA(cuMemGetInfo, (free_bytes, total), "device %d", device);
    return {};
  });
}

Status alloc(int device, size_t bytes, Address* out) {
  *out = 0;
  if (!bytes) return {};                  // cuMemAlloc refuses 0
  return on(device, [&]() -> Status {
    ACCELNN_CUDA(cuMemAlloc, (out, bytes), "%zu bytes on device %d", bytes, device);
    return {};
  });
}

Status free(int device, Address address) {
  if (!address) return {};
  return on(device, [&]() -> Status {
    ACCELNN_CUDA(cuMemFree, (address), "address %llu of device %d", address, device);
    return {};
  });
}

Status owner_of(int device, Address address, int* owner) {
  return on(device, [&]() -> Status {
    ACCELNN_CUDA(cuPointerGetAttribute, (owner, pointer_attribute::device_ordinal, address), "address %llu, which no device has", address);
    return {};
  });
}

Status upload(int device, Address to, const void* from, size_t bytes, StreamHandle stream, bool wait) {
  if (!bytes) return {};
  return on(device, [&]() -> Status {
    ACCELNN_CUDA(cuMemcpyHtoDAsync, (to, from, bytes, stream), "%zu bytes to address %llu of device %d", bytes, to, device);
    return finish(stream, wait, "a copy to the device");
  });
}

Status download(int device, void* to, Address from, size_t bytes, StreamHandle stream, bool wait) {
  if (!bytes) return {};
  return on(device, [&]() -> Status {
    ACCELNN_CUDA(cuMemcpyDtoHAsync, (to, from, bytes, stream), "%zu bytes from address %llu of device %d", bytes, from, device);
    return finish(stream, wait, "a copy from the device");
  });
}

Status copy(int device, Address to, Address from, size_t bytes, StreamHandle stream) {
  if (!bytes) return {};
  return on(device, [&]() -> Status {
    ACCELNN_CUDA(cuMemcpyDtoDAsync, (to, from, bytes, stream), "%zu bytes from address %llu to %llu of device %d", bytes, from, to, device);
    return {};
  });
}

Status fill(int device, Address to, unsigned value, int width, size_t count, StreamHandle stream) {
  ACCELNN_CHECK(width == 1 || width == 4, attribute, "cuda: fill: elements of %d bytes: 1 or 4 expected", width);
  ACCELNN_CHECK(width == 4 || value < 256, bound, "cuda: fill: %u does not fit into one byte", value);
  if (!count) return {};
  return on(device, [&]() -> Status {
    if (width == 1)
      ACCELNN_CUDA(cuMemsetD8Async, (to, static_cast<unsigned char>(value), count, stream), "%zu bytes at address %llu of device %d", count, to, device);
    else
      ACCELNN_CUDA(cuMemsetD32Async, (to, value, count, stream), "%zu words at address %llu of device %d", count, to, device);
    return {};
  });
}

}  // namespace accelnn::cuda
