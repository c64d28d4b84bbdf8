#include "isa.h"
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>
#include "text.h"
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace accelnn {

const IsaName isa_levels[] = {
    {"base", isa::none},
    {"avx2", isa::avx2},
    {"avxvnni", isa::avx2 | isa::avxvnni},
    {"avx512", isa::avx2 | isa::avx512},
    {"vnni", isa::avx2 | isa::avx512 | isa::vnni},
    {"bf16", isa::avx2 | isa::avx512 | isa::vnni | isa::bf16},
    {"amx", isa::avx2 | isa::avx512 | isa::vnni | isa::bf16 | isa::amx},
    {"neon", isa::neon},
    {"dotprod", isa::neon | isa::dotprod},
    {"native", ~0u},
};
const int n_isa_levels = sizeof isa_levels / sizeof *isa_levels;

#if defined(__x86_64__)
static uint64_t enabled_state() {        // which registers the operating system saves (XCR0)
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
  uint32_t lo, hi;
  __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  return uint64_t(hi) << 32 | lo;
}

// The tile registers are 8 KiB that a process has to ask for: arch_prctl(ARCH_REQ_XCOMP_PERM, XTILEDATA).
static bool permitted_tiles(uint64_t state) {
  return (state >> 17 & 3) == 3 && syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}

uint32_t detect_isa() {
  uint32_t a, b, c, d, found = 0;
  const uint64_t state = enabled_state();
  if ((state & 6) != 6 || !__get_cpuid(1, &a, &b, &c, &d)) return 0;
  const bool fma = c & bit_FMA, f16c = c & bit_F16C;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
  if ((b & bit_AVX2) && fma && f16c) found |= isa::avx2;
  const uint32_t wide = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
  if (found && (state & 0xe0) == 0xe0 && (b & wide) == wide) {
    found |= isa::avx512;
    if (c & (1u << 11)) found |= isa::vnni;
    const uint32_t tiles = 1u << 22 | 1u << 24 | 1u << 25;         // BF16, TILE, INT8
    if ((d & tiles) == tiles && permitted_tiles(state)) found |= isa::amx;
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 5))) found |= isa::bf16;
  }
  if (found && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 4))) found |= isa::avxvnni;
  return found;
}

const char* cpu_name() {
  static char name[49];
  uint32_t r[12], highest = __get_cpuid_max(0x80000000, nullptr);
  if (highest < 0x80000004) return "x86-64";
  for (uint32_t i = 0; i < 3; i++) __get_cpuid(0x80000002 + i, r + 4 * i, r + 4 * i + 1, r + 4 * i + 2, r + 4 * i + 3);
  memcpy(name, r, 48);
  return name;
}
#elif defined(__aarch64__)
uint32_t detect_isa() {
  constexpr unsigned long asimddp = 1ul << 20;            // HWCAP_ASIMDDP; old headers lack the name
  return isa::neon | (getauxval(AT_HWCAP) & asimddp ? isa::dotprod : 0u);
}
const char* cpu_name() { return "aarch64"; }
#else
uint32_t detect_isa() { return 0; }
const char* cpu_name() { return "unknown"; }
#endif

static char problem[256];

[[maybe_unused]] static int64_t cache_bytes(int key, int64_t otherwise) {
  const long n = sysconf(key);           // -1 or 0 where the C library does not know (musl, some virtual machines)
  return n > 0 ? n : otherwise;
}

// glibc counts the cores of the whole chip, which a virtual machine has few of: 320 MiB where 32 are. The kernel says "32768K".
[[maybe_unused]] static int64_t shared_cache() {
  char text[16] = {};
  const int file = open("/sys/devices/system/cpu/cpu0/cache/index3/size", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  const bool found = read(file, text, sizeof text - 1) > 0;
  close(file);
  return found ? strtol(text, nullptr, 10) << 10 : 0;
}

static Caps read_caps() {
  Caps c;
  c.isa = detect_isa();
#if defined(_SC_LEVEL1_DCACHE_SIZE)
  c.l1 = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, c.l1);
  c.l2 = cache_bytes(_SC_LEVEL2_CACHE_SIZE, c.l2);
  const int64_t shared = shared_cache();
  c.l3 = shared > 0 ? shared : cache_bytes(_SC_LEVEL3_CACHE_SIZE, c.l3);
#endif
  if (const char* cap = getenv("ACCELNN_ISA"); cap && *cap) {
    bool known = false;
    for (const IsaName& level : isa_levels)
      if (!strcmp(level.name, cap) && (level.bits == ~0u || !(level.bits & isa::foreign))) {
        c.isa &= level.bits;
        known = true;
      }
    if (!known) {
      int n = format(problem, sizeof problem, "ACCELNN_ISA=%.40s is not one of", cap);
      for (int i = 0; i < n_isa_levels; i++)
        if (isa_levels[i].bits == ~0u || !(isa_levels[i].bits & isa::foreign))
          n += format(problem + n, sizeof problem - size_t(n), "%s %s", i ? "," : "", isa_levels[i].name);
    }
  }
  if (const char* force = getenv("ACCELNN_KERNEL"); force && *force) c.force = force;
  return c;
}

const Caps& caps() {
  // Read twice at worst when two threads meet here first: same answer, so no lock (and no libstdc++ guard).
  static Caps c;
  static int ready;
  if (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE)) {
    c = read_caps();
    __atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
  }
  return c;
}

const char* caps_problem() {
  caps();
  return *problem ? problem : nullptr;
}

}  // namespace accelnn
