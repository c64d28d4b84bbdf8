// What the machine can do at most: loops of one instruction on registers, and of loads from a buffer. No op: `accelnn bench` divides by them, through
// _C.ceiling, and a user's binary never refers to them.
#pragma once
#include "isa.h"

namespace accelnn {

// `steps` times the loop's instructions: steps x per_step operations (a multiply-add counts as two). A loop of reads goes `steps` times over `bytes` of
// data (a multiple of 4096), a loop of copies from its first half to its second: what was read and what was written both count.
// Something of the result goes to `sink` (64 bytes), or the compiler would drop the loop.
typedef void CeilingLoop(int64_t steps, const void* data, int64_t bytes, void* sink);

struct Ceiling {
  const char* kind;                       // "fma", "int8", "bf16", "read", "copy"
  const char* instruction;                // as a person would name it
  uint32_t isa;
  double per_step;                        // operations; 0 for reads and copies, whose unit is the byte
  CeilingLoop* loop;
};

extern const Ceiling ceilings_base[3], ceilings_x86_avx2[4], ceilings_x86_avx512[3], ceilings_x86_vnni[1], ceilings_x86_bf16[1], ceilings_x86_amx[2];

}  // namespace accelnn
