// A Plan at the end of an executable: the prebuilt runner plus a model, joined without a linker.
//   executable, zeros to a multiple of 64, Plan, Trailer
#pragma once
#include "status.h"

namespace accelnn {

struct Trailer {
  char magic[8];
  uint64_t offset, bytes;
};       // of the Plan in the file
constexpr char trailer_magic[8] = {'A', 'C', 'C', 'E', 'L', 'E', 'N', 'D'};
static_assert(sizeof(Trailer) == 24);

// The Plan behind the executable `path`, mapped for good, at a multiple of 64.
Status map_appended(const char* path, const void** bytes, size_t* n);

}  // namespace accelnn
