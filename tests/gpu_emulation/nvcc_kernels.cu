// Kernels that nvcc compiles for the PTX emulator: a tile of shared memory, mma.sync out of registers, and Hopper's pipeline of TMA, mbarriers and
// wgmma. BUG plants one fault a number; 0 is right.
#include <cuda_bf16.h>
#include <stdint.h>

#ifndef BUG
#define BUG 0
#endif

extern "C" __global__ void tiled(const float* a, const float* b, float* c, int m, int n, int k) {
  __shared__ float x[16][17], y[16][17];
  const int column = threadIdx.x, row = threadIdx.y, r = blockIdx.y * 16 + row, q = blockIdx.x * 16 + column;
  float sum = 0;
  for (int at = 0; at < k; at += 16) {
    x[row][column] = r < m && at + column < k ? a[r * k + at + column] : 0;
    y[row][column] = at + row < k && q < n ? b[(at + row) * n + q] : 0;
#if BUG != 1
    __syncthreads();
#endif
    for (int i = 0; i < 16; i++) sum += x[row][i] * y[i][column];
#if BUG != 2
    __syncthreads();
#endif
  }
#if BUG == 3
  c[r * n + q] = sum;
#else
  if (r < m && q < n) c[r * n + q] = sum;
#endif
}

extern "C" __global__ void row_softmax(const float* x, float* y, int n) {
  __shared__ float part[8];
  const float* in = x + (size_t)blockIdx.x * n;
  float* out = y + (size_t)blockIdx.x * n;
  float total[2] = {-INFINITY, 0};
  for (int pass = 0; pass < 2; pass++) {
    float v = pass ? 0 : -INFINITY;
    for (int i = threadIdx.x; i < n; i += blockDim.x) v = pass ? v + __expf(in[i] - total[0]) : fmaxf(v, in[i]);
    for (int d = 16; d; d /= 2) {
      const float o = __shfl_xor_sync(~0u, v, d);
      v = pass ? v + o : fmaxf(v, o);
    }
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
    __syncthreads();
    v = part[0];
    for (int w = 1; w < (int)blockDim.x / 32; w++) v = pass ? v + part[w] : fmaxf(v, part[w]);
    total[pass] = v;
#if BUG != 4
    __syncthreads();
#endif
  }
  for (int i = threadIdx.x; i < n; i += blockDim.x) out[i] = __expf(in[i] - total[0]) / total[1];
}

// c[16, 8] of a warp: a is [m, k], b is [n, k]
extern "C" __global__ void warp_mma(const __nv_bfloat16* a, const __nv_bfloat16* b, float* c, int n, int k) {
  const int lane = threadIdx.x, row = lane / 4, pair = lane % 4 * 2, m0 = blockIdx.y * 16, n0 = blockIdx.x * 8;
  float d[4] = {};
  for (int at = 0; at < k; at += 16) {
    const auto left = [&](int r, int q) { return *(const uint32_t*)&a[(m0 + r) * k + at + q]; };
    const auto right = [&](int q) { return *(const uint32_t*)&b[(n0 + row) * k + at + q]; };
    const uint32_t a0 = left(row, pair), a1 = left(row + 8, pair), a2 = left(row, pair + 8), a3 = left(row + 8, pair + 8);
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
#if BUG == 5
                 : "r"(a0), "r"(a2), "r"(a1), "r"(a3), "r"(right(pair)), "r"(right(pair + 8)));
#else
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(right(pair)), "r"(right(pair + 8)));
#endif
  }
  float* out = c + (m0 + row) * n + n0 + pair;
  out[0] = d[0], out[1] = d[1], out[8 * n] = d[2], out[8 * n + 1] = d[3];
}

#if __CUDA_ARCH_FEAT_SM90_ALL
struct __align__(64) Map {
  char bytes[128];
};
constexpr int STAGES = 3, ROWS = 64, COLUMNS = 32, DEPTH = 64;  // a tile's row of 64 bfloat16 is one swizzled line of 128 bytes
struct Stage {
  __nv_bfloat16 a[ROWS * DEPTH], b[COLUMNS * DEPTH];
};

__device__ uint32_t shared_address(const void* p) { return (uint32_t)__cvta_generic_to_shared(p); }

__device__ void wait(uint64_t* barrier, int parity) {
  asm volatile(
      "{ .reg .pred done; again: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1; @!done bra again; }"
      :
      : "r"(shared_address(barrier)), "r"(parity)
      : "memory");
}

__device__ void copy_tile(void* to, const Map* map, uint64_t* barrier, int column, int row) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];"
      :
      : "r"(shared_address(to)), "l"(map), "r"(shared_address(barrier)), "r"(column), "r"(row)
      : "memory");
}

__device__ uint64_t descriptor(const void* tile) {  // K-major, 128-byte swizzle: groups of 8 rows lie 1024 bytes apart
#if BUG == 10
  constexpr uint64_t groups = 512 >> 4;
#else
  constexpr uint64_t groups = 1024 >> 4;
#endif
  return (shared_address(tile) & 0x3FFFF) >> 4 | 1ull << 16 | groups << 32 | 1ull << 62;
}

// c[64, 32] of a block: warps 0 to 3 multiply, warp 4 feeds them. a is [m, k], b is [n, k], k a multiple of 64.
extern "C" __global__ void __launch_bounds__(160) hopper(const __grid_constant__ Map a, const __grid_constant__ Map b, float* c, int n, int k) {
  extern __shared__ __align__(1024) char memory[];
  Stage* stages = (Stage*)memory;
  uint64_t *full = (uint64_t*)(stages + STAGES), *empty = full + STAGES;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, m0 = blockIdx.y * ROWS, n0 = blockIdx.x * COLUMNS, steps = k / DEPTH;
  if (threadIdx.x == 0)
    for (int s = 0; s < STAGES; s++) {
      asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(full + s)));
#if BUG == 16
      asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(empty + s)));
#else
      asm volatile("mbarrier.init.shared::cta.b64 [%0], 4;" ::"r"(shared_address(empty + s)));
#endif
    }
  __syncthreads();
  if (warp == 4) {
    if (lane == 0)
      for (int i = 0; i < steps; i++) {
        const int s = i % STAGES;
#if BUG != 11
        if (i >= STAGES) wait(empty + s, i / STAGES - 1 & 1);
#endif
        const int bytes = (ROWS + COLUMNS) * DEPTH * 2 - (BUG == 12 ? 64 : BUG == 13 ? -64
                                                                                     : 0);
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(full + s)), "r"(bytes) : "memory");
        copy_tile(stages[s].a, &a, full + s, i * DEPTH, m0);
        copy_tile(stages[s].b, &b, full + s, i * DEPTH, n0);
      }
    return;
  }
  float d[16] = {};
  for (int i = 0; i < steps; i++) {
    const int s = i % STAGES;
#if BUG != 14
    wait(full + s, i / STAGES & 1);
#endif
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
    for (int j = 0; j < DEPTH; j += 16)
      asm volatile(
          "wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}, %16, %17, "
          "1, 1, 1, 0, 0;"
          : "+f"(d[0]), "+f"(d[1]),
#if BUG == 15
            "+f"(d[3]), "+f"(d[2]),
#else
            "+f"(d[2]), "+f"(d[3]),
#endif
            "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]),
            "+f"(d[14]), "+f"(d[15])
          : "l"(descriptor(stages[s].a + j)), "l"(descriptor(stages[s].b + j)));
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#if BUG != 17
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#endif
#if BUG == 16
    if (threadIdx.x == 0)
#else
    if (lane == 0)
#endif
      asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(empty + s)) : "memory");
  }
  const int row = m0 + warp * 16 + lane / 4, column = n0 + lane % 4 * 2;
  for (int j = 0; j < 4; j++)
    for (int half = 0; half < 2; half++) {
      float* out = c + (row + 8 * half) * n + column + 8 * j;
      out[0] = d[4 * j + 2 * half], out[1] = d[4 * j + 2 * half + 1];
    }
}
#endif
