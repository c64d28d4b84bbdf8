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
  amx = 1u << 5,       // AMX-TILE, AMX-INT8 and AMX-BF16 (none has one alone), permitted by the system
  neon = 1u << 8,      // with fused multiply-add: every 64-bit Arm, but base rounds twice there too
  dotprod = 1u << 9,   // sdot, udot: Armv8.4 and most of 8.2
  x86 = 0xffu,         // bits of the one processor, bits of the other
  arm = 0xff00u,
};
#if defined(__x86_64__)
constexpr uint32_t foreign = arm;
#elif defined(__aarch64__)
constexpr uint32_t foreign = x86;
#else
constexpr uint32_t foreign = x86 | arm;
#endif
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
extern const IsaName isa_levels[];      // what ACCELNN_ISA accepts, of every processor, in order
extern const int n_isa_levels;
uint32_t detect_isa();                  // uncapped
const char* cpu_name();

}  // namespace accelnn
