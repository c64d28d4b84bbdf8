// matmul(a[..., M, K], b, bias?[N], residual?[..., M, N]) -> y[..., M, N], f32; or a and b bf16, y bf16 or f32
//   y[..., i, j] = activation(scale * sum_k a[..., i, k] * b[..., k, j] + residual[..., i, j] + bias[j])
//   b is [..., K, N], or with packed = 1 what matmul_pack made of a [K, N]: [ceil(N/16), K, 16], contiguous, the same for the whole batch.
//   bias f32, or bf16 beside bf16 operands; residual of y's dtype.
//   activation: kernels/matmul/activation.h.
// matmul_pack(b[K, N]) -> the panels that all CPU rows read
//   f32 -> f32 [ceil(N/16), K, 16]:              p[q, k, j] = b[k, 16 q + j], zero beyond N
//   bf16 -> bf16 [ceil(N/16), ceil(K/2), 32]:    p[q, k, 2 j + r] = b[2 k + r, 16 q + j], zero beyond K and N
//   i8  -> i8  [ceil(N/16), ceil(K/4) + 1, 64]:  p[q, k, 4 j + r] = b[4 k + r, 16 q + j], zero beyond K and N; the last row holds the 16
//                                                column sums as int32, from which the kernel takes out the activations' zero point
// a, b: any strides, any alignment. bias, residual and packed panels contiguous. y contiguous, overlapping no input, but it may be the residual's own
// memory (y += a b): the residual is added with the first block of k, by the tile that then writes there. All sizes from 0; an empty sum is 0.
// Error: |y - exact| <= gamma_(K+4) (|scale| |A| |B| + |residual| + |bias|) before the activation, which adds a few ulp (vec.h). The sum, the scale as
// float32 and its product, the residual and the bias round once each; without residual and scale it is gamma_(K+1).
// bf16: products are exact and sums are kept in f32, so the same bound holds; AVX512-BF16 takes denormal operands and results for zeros, which adds
// 2^-126 (2 K + sum_k |a| + sum_k |b|). A bf16 y is rounded once more, to nearest even: 2^-8 of its own size.
// Every output is a sum whose order depends on shapes, strides and the ISA alone: batch items, parts and threads never change a bit. Few rows
// (skinny.h; bf16: up to 32) and packed panels have orders of their own.
#pragma once
#include "op.h"

#define ACCELNN_OP matmul
#define ACCELNN_TABLE "matmul/matmul.inc"
#include "attr_slots.h"

namespace accelnn {

// Which body reads b, and from where.
enum class MatmulPath : uint8_t { tiles,      // register tiles of gemm.h: b in place while it is small, otherwise in panels
                                  rows,       // skinny.h: up to 4 rows, b row by row
                                  strips,     // up to 32 rows, strips of b
                                  dots,       // up to 4 rows, b transposed
                                  swapped };  // more rows, b transposed: y^T = b^T a^T

// A checked call, taken apart. A function of shapes and strides; block_rows also of the size of L2, which changes no bit.
struct MatmulProblem {
  int64_t batch, m, n, k;             // batch dims that only repeat b are folded into m
  int64_t a_row, a_k, b_k, b_column;  // strides of one item, in elements
  MatmulPath path;
  bool packed, panels;                // b was packed, and the body reads panels (or, turned, the one column in them)
  bool turned;                        // one column: computed as one row, y^T = b^T a^T
  bool copy_a, copy_b;                // a -> rows at copied_a_row (swapped: panels of a^T); b -> panels
  bool fresh;                         // b's panels are made where they are used, block by block
  bool shared;                        // b's panels are made by the part that needs them first, a is copied block by block
  int64_t copied_a_row;               // elements
  int64_t row_parts, column_parts;    // of one item
  int64_t unit;                       // columns that a part has a multiple of
  int64_t item_parts;                 // so many parts go through items of their own, copies included; 0: one item after the other, each in parts
  size_t a_bytes, b_bytes;            // workspace of an item, multiples of 64
  int64_t block_rows;                 // shared: of a that stay in L2
  size_t state_bytes;                 // of b_bytes, at the end: who packs which panels
  int64_t k_parts;                    // rows: sums over parts of k, in b_bytes, added up in order; 0: not so
  int64_t work;                       // work_beside_b of an item
  ACCELNN_INLINE int64_t slots() const { return item_parts ? item_parts : m && n && batch ? 1
                                                                                          : 0; }
};
MatmulProblem matmul_operands(const Call&);                              // sizes and strides alone
MatmulProblem matmul_problem(const Call&);                               // and what the f32 bodies make of them
int64_t work_of(int64_t m, int64_t n, int64_t k);                         // floating-point operations, at most 1e18
// The same as the pool counts it: a large b is on its way to the core for longer than one row of work takes (1 x 900 x 900: 114 us, of them 40 of work).
int64_t work_beside_b(int64_t m, int64_t n, int64_t k);
bool addressable(int64_t rows, int64_t columns);                         // a copy of so many elements can be thought of
int64_t column_parts_of(int64_t m, int64_t n, int64_t k, int64_t row_parts);       // whole strips each
int64_t batch_offset(const TensorView&, int64_t item, int batch_dims);   // in elements

constexpr int64_t k_block = 512;      // 128: 77, 256: 86, 384: 87, 512: 93 GFLOP/s at 2048. Not from the caches of a machine: it orders the sums
constexpr int64_t row_block = 168;    // 12 tiles of 14 rows x k_block of A stay in L2; 84 and 280 are within noise
constexpr int64_t fresh_rows = 2 * row_block, fresh_columns = 128, fresh_block = fresh_columns * k_block;      // 256 KiB of panels
constexpr int64_t rows_of_memory = 1 << 22, rows_beyond_l2 = 1 << 19;      // elements of b: product_by_parts_of_k (generic.h)
constexpr int64_t strip = 32;         // columns that one part at least has: the widest tile

}  // namespace accelnn
