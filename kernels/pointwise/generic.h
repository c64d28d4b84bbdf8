// The interpreter: every instruction sweeps one L1-sized tile before the next one starts (0.03-0.05 ns an element and instruction; dispatch is
// invisible from tiles of 256 on). The last elements, fewer than four vectors, run once more through copies, so that a sweep has no tail.
#pragma once
#include "copy/convert.h"
#include "copy/strided.h"
#include "pointwise/functions.h"
#include "pointwise/program.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace pointwise_rows {

using namespace ::accelnn::pointwise_program;

constexpr int64_t group = 4 * lanes;     // exp is a chain of a dozen dependent operations: four vectors in flight
constexpr int64_t part_floats = 8192, large_part_floats = 32768;

struct Operands {
  float* to;
  const float *a, *b, *c;
  int64_t a_mask, b_mask, c_mask;        // 0 for a scalar (one group that repeats), else -1
  int64_t n;                             // a multiple of group
};

template <int operands, class F> void sweep(const Operands& s) {
  for (int64_t i = 0; i < s.n; i += group) {
    const float *pa = s.a + (i & s.a_mask), *pb = s.b + (i & s.b_mask), *pc = s.c + (i & s.c_mask);
    vf a[4], b[4], c[4];
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) {
      a[u] = load(pa + u * lanes);
      b[u] = operands > 1 ? load(pb + u * lanes) : a[u];
      c[u] = operands > 2 ? load(pc + u * lanes) : a[u];
    }
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) store(s.to + i + u * lanes, F::of(a[u], b[u], c[u]));
  }
}

typedef void (*Sweep)(const Operands&);
static const Sweep sweeps[] = {
#define OPCODE(name, operands, cost) sweep<operands, pointwise_function::f_##name>,
#include "pointwise/opcodes.inc"
#undef OPCODE
};

// Where a value's floats are: at[i & mask], after the tile's start is added if it moves.
struct Place {
  float* at;
  int64_t moves, mask;
};

ACCELNN_INLINE void fill(float* to, float x, int64_t n) {               // writes up to `slack` floats too many
  for (int64_t i = 0; i < n; i += lanes) store(to + i, splat(x));
}
ACCELNN_INLINE void copy_floats(float* to, const float* from, int64_t n) {
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store(to + i, load(from + i));
  if (i < n) store(to + i, load(from + i, int(n - i)), int(n - i));
}

template <class T> ACCELNN_APART void gather_type(float* to, const TensorView& x, const Strided& s, int64_t first, int64_t n) {
  const T* base = x.as<T>();
  for_runs(s, first, n, [&](int64_t offset, int64_t stride, int64_t length, int64_t at) __attribute__((always_inline)) {
    const T* from = base + offset;
    if (stride == 0) fill(to + at, widen(*from), length);
    else if (stride == 1)
      for (int64_t i = 0; i < length; i++) to[at + i] = widen(from[i]);
    else
      for (int64_t i = 0; i < length; i++) to[at + i] = widen(from[i * stride]);
  });
}
template <> ACCELNN_APART inline void gather_type<float>(float* to, const TensorView& x, const Strided& s, int64_t first, int64_t n) {
  const float* base = x.as<float>();
  for_runs(s, first, n, [&](int64_t offset, int64_t stride, int64_t length, int64_t at) __attribute__((always_inline)) {
    const float* from = base + offset;
    if (stride == 0) fill(to + at, *from, length);
    else if (stride == 1) copy_floats(to + at, from, length);
    else
      for (int64_t i = 0; i < length; i++) to[at + i] = from[i * stride];
  });
}
ACCELNN_APART inline void gather(float* to, const TensorView& x, const Strided& s, int64_t first, int64_t n) {
  switch (x.dtype) {
    case DType::f32: return gather_type<float>(to, x, s, first, n);
    case DType::f16: return gather_type<half>(to, x, s, first, n);
    case DType::bf16: return gather_type<bfloat>(to, x, s, first, n);
    case DType::i8: return gather_type<int8_t>(to, x, s, first, n);
    case DType::u8: return gather_type<uint8_t>(to, x, s, first, n);
    case DType::boolean: return gather_type<boolean>(to, x, s, first, n);
    default: return;
  }
}

template <class T> ACCELNN_APART void narrow_type(T* to, const float* from, int64_t mask, int64_t n) {
  if (!mask)
    for (int64_t i = 0; i < n; i++) to[i] = narrow<T>(*from);
  else
    for (int64_t i = 0; i < n; i++) to[i] = narrow<T>(from[i]);
}
ACCELNN_APART inline void write(const TensorView& y, int64_t first, const Place& from, int64_t n) {
  if (y.dtype == DType::boolean) return narrow_type(y.as<boolean>() + first, from.at, from.mask, n);
  if (y.dtype == DType::u8) return narrow_type(y.as<uint8_t>() + first, from.at, from.mask, n);
  if (from.mask) copy_floats(y.as<float>() + first, from.at, n);
  else
    for (int64_t i = 0; i < n; i++) y.as<float>()[first + i] = *from.at;
}

ACCELNN_INLINE void step(const Step& s, const Place* place, int64_t i, int64_t n) {
  const Place &to = place[s.to], &a = place[s.a], &b = place[s.b], &c = place[s.c];
  sweeps[s.opcode]({to.at + (i & to.moves), a.at + (i & a.moves), b.at + (i & b.moves), c.at + (i & c.moves), a.mask, b.mask, c.mask, n});
}

inline void run_part(const Call& call, const Prepared& p, const int64_t* code, int64_t begin, int64_t end) {
  alignas(64) float area[area_floats];
  Place place[max_values];
  const auto view = [&](int i) { return Strided{p.rank, p.shape, p.stride[i]}; };

  for (int i = 0; i < p.n_in; i++) {
    const TensorView& x = call.in[i];
    switch (p.source[i]) {
      case Source::unused: place[i] = {area, 0, -1}; break;
      case Source::dense: place[i] = {x.as<float>(), -1, -1}; break;
      case Source::gathered: place[i] = {area + p.slots_at + p.slot[i] * (p.tile + slack), 0, -1}; break;
      case Source::scalar: {
        place[i] = {area + p.splat_at[i], 0, 0};
        float value[slack] = {};
        gather(value, x, {0, p.shape, p.stride[i]}, 0, 1);
        fill(place[i].at, value[0], group);
        break;
      }
      case Source::pattern: {
        float* to = area + p.pattern_at[i];
        const int64_t n = p.period[i], whole = n + p.tile;
        gather(to, x, view(i), 0, n);
        for (int64_t have = n; have < whole; have *= 2) copy_floats(to + have, to, have < whole - have ? have : whole - have);
        place[i] = {to, 0, -1};
        break;
      }
    }
  }
  for (int t = 0; t < p.n_once; t++) {
    const Step& s = p.once[t];
    place[s.to] = {area + p.splat_at[s.to], 0, 0};
    if (s.opcode == op_const) fill(place[s.to].at, float_of(uint32_t(code[4 * (s.to - p.n_in) + 1])), group);
    else step(s, place, 0, group);
  }
  for (int t = 0; t < p.n_steps; t++) {
    const int v = p.steps[t].to;
    if (p.direct[v] >= 0) place[v] = {call.out[p.direct[v]].as<float>(), -1, -1};
    else place[v] = {area + p.slots_at + p.slot[v] * (p.tile + slack), 0, -1};
  }

  const auto tile = [&](int64_t i, int64_t n, int64_t live) __attribute__((noinline)) {
    for (int k = 0; k < p.n_in; k++) {
      if (p.source[k] == Source::gathered) gather(place[k].at, call.in[k], view(k), i, live);
      else if (p.source[k] == Source::pattern) place[k].at = area + p.pattern_at[k] + i % p.period[k];
    }
    for (int t = 0; t < p.n_steps; t++) step(p.steps[t], place, i, n);
    for (int o = 0; o < p.n_out; o++) {
      const int64_t v = p.out_value[o];
      if (p.direct[v] == o && place[v].moves) continue;
      write(call.out[o], i, {place[v].at + (i & place[v].moves), 0, place[v].mask}, live);
    }
  };

  int64_t i = begin;
  for (; end - i >= group;) {
    const int64_t left = end - i, n = left < p.tile ? left & -group : p.tile;
    tile(i, n, n);
    i += n;
  }
  if (i == end) return;
  // Fewer than four vectors are left: what would be read or written in place goes through a group of its own.
  const int64_t n = end - i;
  for (int v = 0; v < p.n_values; v++) {
    const bool dense = v < p.n_in && p.source[v] == Source::dense;
    if (!dense && p.direct[v] < 0) continue;
    float* at = area + p.tail_at[v];
    if (dense) copy_floats(at, call.in[v].as<float>() + i, n);
    place[v] = {at, 0, -1};
  }
  tile(i, group, n);
}

inline Status run(const Call& call) {
  Prepared p;
  prepare(call, group, &p);
  const int64_t* code = call.attrs[pointwise_attr::program].list + 1 + p.n_out;
  const int64_t size = p.count < (1 << 18) ? part_floats : large_part_floats;
  parallel(call, (p.count + size - 1) / size, p.worth, [&](int64_t part) {
    const int64_t begin = part * size, end = begin + size;
    run_part(call, p, code, begin, end < p.count ? end : p.count);
  });
  return {};
}

}  // namespace pointwise_rows
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
