// What this CPU can do, capped by ACCELNN_ISA, and the sizes of its caches.
#pragma once
#include "dtype.h"

namespace accelnn {

namespace isa {
enum : uint32_t {
  none = 0,            // x86-64-v2 or any 64-bit Arm
  avx2 = 1u << 0,      // with FMA and F16C
  avx512 = 1u << 1,    // F, BW, DQ, VL
  vnni = 1u << 2,      // AVX512-VNNI
  bf16 = 1u << 3,      // AVX512-BF16
  avxvnni = 1u << 4,   // vpdpbusd with 256 bits, without AVX-512
  amx = 1u << 5,       // AMX-TILE and AMX-INT8, permitted by the system
  neon = 1u << 8,
};
}

struct Caps {
  uint32_t isa = 0;
  int64_t l1 = 32 << 10, l2 = 512 << 10, l3 = 8 << 20;   // data bytes; l1 and l2 a core
  const char* force = nullptr;                           // ACCELNN_KERNEL: "op:row[,op:row]", or null
};

// Reads cpuid and the environment once a process; an ACCELNN_ISA that names no level leaves a sentence in `problem`.
const Caps& caps();
const char* caps_problem();

struct IsaName {
  const char* name;
  uint32_t bits;
};
extern const IsaName isa_levels[];      // "base", "avx2", ... "native": what ACCELNN_ISA accepts, in order
extern const int n_isa_levels;
uint32_t detect_isa();                  // uncapped
const char* cpu_name();

}  // namespace accelnn
