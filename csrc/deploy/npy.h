// numpy's .npy files, versions 1 and 2: C order, little-endian, f4 f2 i1 u1 i4 i8 b1. Anything else is refused with a sentence.
#pragma once
#include "tensor.h"

namespace accelnn {
namespace npy {

struct Header {
  DType dtype;
  int rank;
  int64_t shape[max_rank];
  int64_t data, bytes;
};   // data: offset in the file

// `text` is the first `n` bytes of a file of `file_bytes`. Refuses a file that is longer or shorter than its shape says.
constexpr size_t longest_header = 64 << 10;
Status parse(const void* text, size_t n, int64_t file_bytes, Header* header);

// The array in memory from allocate(): release(view->data).
Status load(const char* path, TensorView* view);
// Contiguous views. Writes beside `path`, then renames, so that `path` is the old file or the new one, whole. bf16 is widened to float32.
Status save(const char* path, const TensorView& view);

}  // namespace npy
}  // namespace accelnn
