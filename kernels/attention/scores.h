// What forward and gradient share: where operands lie, masks, keys that a query does not see, and the numbers of dropout.
#pragma once
#include "attention/attention.h"
#include "attention/tile.h"
#include "lanes.h"
#include "matmul/pack.h"
#include "pool.h"
#include "random/generic.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace attend {

constexpr float log2e = 1.44269504f, ln2 = 0.693147181f;
constexpr float minus_infinity = -__builtin_inff();

// Rows of one head.
struct Rows {
  const float* at;
  int64_t row;
  ACCELNN_INLINE const float* operator[](int64_t i) const { return at + i * row; }
};

// An operand, or its copy with contiguous rows.
struct Operand {
  const float* at;
  int64_t item, head, row;
  Operand(const TensorView& v, bool copied, const float* copy)
      : at(copied ? copy : v.as<float>()),
        item(copied ? v.shape[1] * v.shape[2] * v.shape[3] : v.stride[0]),
        head(copied ? v.shape[2] * v.shape[3] : v.stride[1]),
        row(copied ? v.shape[3] : v.stride[2]) {}
  ACCELNN_INLINE Rows of(int64_t b, int64_t h) const { return {at + b * item + h * head, row}; }
};

// Copies head number `piece` of an operand into rows that are contiguous.
inline void copy_head(const TensorView& v, int64_t piece, float* to) {
  const int64_t rows = v.shape[2], columns = v.shape[3], b = piece / v.shape[1], h = piece % v.shape[1];
  gather(v.as<float>() + b * v.stride[0] + h * v.stride[1], v.stride[2], v.stride[3], rows, columns, to + piece * rows * columns, columns);
}

// Rows [0, n) of `columns` numbers as panels [n / panel][columns][panel], zero behind the last row.
inline void pack_rows(const float* from, int64_t row, int64_t column, int64_t n, int64_t columns, float* to) {
  for (int64_t i = 0; i < n; i += panel, to += columns * panel) {
    if (column != 1 && columns > 1) {
      const int64_t rows = n - i < panel ? n - i : panel;
      gather(from + i * row, column, row, columns, rows, to, panel);
      for (int64_t c = 0; c < columns && rows < panel; c++)
        for (int64_t r = rows; r < panel; r++) to[c * panel + r] = 0.0f;
      continue;
    }
    for (int64_t r = 0; r < panel; r += lanes) {
      const int64_t here = n - i - r;
      const int rows = int(here < 0 ? 0 : here < lanes ? here
                                                       : lanes);
      const float* const first = from + (i + r) * row;
      for (int64_t c = 0; c < columns; c += lanes) {
        const int wide = int(columns - c < lanes ? columns - c : lanes);
        vf v[lanes];
        if (rows == lanes && wide == lanes) {
#pragma GCC unroll 16
          for (int k = 0; k < lanes; k++) v[k] = load(first + k * row + c);
        } else {
          for (int k = 0; k < lanes; k++) v[k] = k < rows ? load(first + k * row + c, wide) : vf{};
        }
        transpose(v);
        if (wide == lanes) {
#pragma GCC unroll 16
          for (int k = 0; k < lanes; k++) store(to + (c + k) * panel + r, v[k]);
        } else {
          for (int k = 0; k < wide; k++) store(to + (c + k) * panel + r, v[k]);
        }
      }
    }
  }
}

// A mask as additions to base-2 scores.
struct Mask {
  const TensorView* v;
  int64_t stride[4];
  explicit Mask(const TensorView& m) : v(&m), stride{} {
    for (int d = 0; d < 4 && !m.absent(); d++) stride[d] = m.shape[d] == 1 ? 0 : m.stride[d];
  }
  ACCELNN_INLINE bool absent() const { return v->absent(); }
  ACCELNN_INLINE int64_t offset(int64_t b, int64_t h) const { return b * stride[0] + h * stride[1]; }
  // What is added to the score. Finite numbers stay finite: float32's smallest number in a mask means "very little", not "never".
  ACCELNN_INLINE float added(int64_t at) const {
    if (v->dtype == DType::boolean) return v->as<uint8_t>()[at] ? 0.0f : minus_infinity;
    const float m = v->as<float>()[at];
    return m < -2e38f && m > minus_infinity ? -3e38f : m * log2e;
  }
};
ACCELNN_INLINE vf finite_mask(vf m) { return select((m < -2e38f) & (m > minus_infinity), splat(-3e38f), m * log2e); }

// n <= lanes neighbours of it.
ACCELNN_INLINE vf added(const Mask& m, int64_t at, int n) {
  const int64_t step = m.stride[3];
  if (step == 1 && m.v->dtype == DType::f32) return finite_mask(load(m.v->as<float>() + at, n));
  if (step == 1) return select(load_bytes(m.v->as<uint8_t>() + at, n) != 0, vf{}, splat(minus_infinity));
  float some[lanes] = {};
  for (int i = 0; i < n; i++) some[i] = m.added(at + i * step);
  return load(some);
}

// Adds mask row i, keys [k0, k0 + n), to scores.
inline void add_mask(const Mask& m, int64_t at, int64_t n, float* s) {
  const int64_t step = m.stride[3];
  int64_t j = 0;
  if (step == 1 && m.v->dtype == DType::f32) {
    const float* p = m.v->as<float>() + at;
    for (; j + lanes <= n; j += lanes) store(s + j, load(s + j) + finite_mask(load(p + j)));
  } else if (step == 1) {
    const uint8_t* p = m.v->as<uint8_t>() + at;
    for (; j + lanes <= n; j += lanes) store(s + j, select(load_bytes(p + j) != 0, load(s + j), splat(minus_infinity)));
  }
  for (; j < n; j++) s[j] += m.added(at + j * step);
}

// One row of scores becomes weights relative to the row's maximum so far; returns their sum. 2.98 ns a vector of 16 (0.36 of it the maximum): a table of
// 32 powers (vpermi2ps) and degree 2 instead of 5 gave 2.87 at an error of 3.3e-7 instead of 2.1e-7; without any scaling by 2^n it would be 2.3.
ACCELNN_INLINE float weigh(float* s, int64_t columns, float* most) {
  vf a = splat(minus_infinity), b = a;
  for (int64_t j = 0; j < columns; j += 2 * lanes) {
    a = larger(load(s + j), a);
    b = larger(load(s + j + lanes), b);
  }
  const float here = max_across(larger(a, b))[0], top = here > *most ? here : *most;
  *most = top;
  const float shift = top == minus_infinity ? 0.0f : top;      // a row that sees nothing: exp2(-inf - 0) = 0
  vf sum = vf{}, other = vf{};
  for (int64_t j = 0; j < columns; j += 2 * lanes) {
    const vf x = exp2(load(s + j) - shift), z = exp2(load(s + j + lanes) - shift);
    sum += x;
    other += z;
    store(s + j, x);
    store(s + j + lanes, z);
  }
  return sum_across(sum + other)[0];
}

// Hides columns from `from` on.
ACCELNN_INLINE void hide(float* s, int64_t from, int64_t columns) {
  const int64_t start = from / lanes * lanes;
  if (start < columns) store(s + start, select(ramp() < int32_t(from - start), load(s + start), splat(minus_infinity)));
  for (int64_t j = start + lanes; j < columns; j += lanes) store(s + j, splat(minus_infinity));
}

// keep[j] for keys [k0, k0 + n) of score row `row`: 0, or 1 / (1 - p). k0 is a multiple of 4; room for n rounded up to whole draws.
constexpr int64_t draw = philox_blocks * 4;
inline void draw_keep(const AttentionProblem& p, int64_t row, int64_t k0, int64_t n, float* keep) {
  const uint64_t first = uint64_t(row) * uint64_t((p.keys + 3) / 4) + uint64_t(k0) / 4;
  const vf kept = splat(1.0f / (1.0f - p.drop));
  for (int64_t j = 0; j < n; j += draw) {
    uniform_blocks(p.state[0], p.state[1], first + uint64_t(j) / 4, keep + j);
    for (int64_t i = j; i < j + draw; i += lanes) store(keep + i, select(load(keep + i) >= p.drop, kept, vf{}));
  }
}

}  // namespace attend
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
