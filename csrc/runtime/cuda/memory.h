// Memory of a device. Addresses are numbers: tensors of CuPy and torch are as good as what alloc() gives.
#pragma once
#include "cuda/driver.h"

namespace accelnn::cuda {

Status memory_info(int device, size_t* free_bytes, size_t* total);
Status alloc(int device, size_t bytes, Address* out);         // 256-byte aligned; 0 bytes give address 0
Status free(int device, Address address);                     // 0 is fine

// Whose memory an address is; an error for memory of the host. `device`: any that has a context.
Status owner_of(int device, Address address, int* owner);

// In the stream's order. `wait`: return when it is done (not while the stream is being captured); else the host's memory must stay until then.
Status upload(int device, Address to, const void* from, size_t bytes, StreamHandle stream, bool wait);
Status download(int device, void* to, Address from, size_t bytes, StreamHandle stream, bool wait);
Status copy(int device, Address to, Address from, size_t bytes, StreamHandle stream);
Status fill(int device, Address to, unsigned value, int width, size_t count, StreamHandle stream);      // width: bytes of one element, 1 or 4

}  // namespace accelnn::cuda
