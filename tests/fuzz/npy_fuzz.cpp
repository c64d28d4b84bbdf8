// libFuzzer on the .npy header. An accepted one must describe exactly the file's bytes.
#include <cstdlib>
#include <initializer_list>
#include "deploy/npy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n) {
  accelnn::npy::Header h;
  for (const int64_t file_bytes : {int64_t(n), int64_t(1) << 40}) {
    if (!accelnn::npy::parse(data, n, file_bytes, &h).ok()) continue;
    int64_t bytes = int64_t(accelnn::size_of(h.dtype));
    if (h.rank < 0 || h.rank > accelnn::max_rank) abort();
    for (int i = 0; i < h.rank; i++) bytes *= h.shape[i];
    if (bytes != h.bytes || h.data < 10 || h.data + h.bytes != file_bytes) abort();
  }
  return 0;
}
