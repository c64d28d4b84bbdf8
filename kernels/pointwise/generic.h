// The interpreter. A group of four vectors goes through the whole program in registers: an instruction's result waits in them for the next one, operands
// come from where they lie, and only what is read again later is stored. Instruction by instruction over a tile, as it was before, every one of them
// loaded and stored: on Zen 4 a 512-bit store takes two cycles. The jump to an instruction is predicted: the program repeats every group.
// The last elements, fewer than four vectors, run once more through copies, so that a group has no tail.
#pragma once
#include "copy/convert.h"
#include "copy/strided.h"
#include "pointwise/functions.h"
#include "pointwise/program.h"
#include "pool.h"
#include "stream.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace pointwise_rows {

using namespace ::accelnn::pointwise_program;

constexpr int64_t group = 4 * lanes;     // exp is a chain of a dozen dependent operations: four vectors in flight
constexpr int64_t part_floats = 8192, large_part_floats = 32768, far_part_floats = 1 << 17;   // the streams of a part begin with cold misses

struct Code {
  const float* in[3];                    // null: the result of the instruction before
  int64_t mask[3];                       // 0 for what every group reads alike (a scalar, a temporary), else -1
  bool number[3];                        // a scalar
  float* to;                             // null: nobody reads it again
  int64_t to_mask;
  int32_t opcode;
  bool past;                             // past the caches
};

template <int k, bool once> ACCELNN_INLINE void fetch(const Code& s, int64_t j, const vf* before, vf* x) {
  if (once && s.number[k]) {                                           // one load, not four
    const vf v = load(s.in[k]);
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) x[u] = v;
  } else if (const float* p = s.in[k]) {
    p += j & s.mask[k];
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) x[u] = load(p + u * lanes);
  } else {
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) x[u] = before[u];
  }
}
template <int operands, bool once, class F> ACCELNN_INLINE void apply(const Code& s, int64_t j, vf* x) {
  vf a[4], b[4], c[4];
  fetch<0, false>(s, j, x, a);
  if (operands > 1) fetch<1, once>(s, j, x, b);
  if (operands > 2) fetch<2, once>(s, j, x, c);
#pragma GCC unroll 4
  for (int u = 0; u < 4; u++) x[u] = F::of(a[u], operands > 1 ? b[u] : a[u], operands > 2 ? c[u] : a[u]);
}

// Inputs are not called for by instructions. Where stores and loads got into each other's way (below) it paid, three inputs of 32 MB: 0.60 of a copy's
// speed by lines called for into L2, 0.68 into L1, 0.89 both; now 16.8 million floats, add 6.9 ms with and 5.7 without, a * 0.5 + b ... 9.1 and 7.9, with
// tanh and sigmoid 12.0 and 10.9.
// Which way through the groups. A load whose address ends in the same 12 bits as that of a store before it that has not reached the cache waits for it:
// with y 64 to 320 bytes behind x in this sense (Zen 4; nothing at 512) 16 floats of exp take 4.4 ns instead of 3.1, of tanh 5.7 instead of 4.7. An array
// with a header in front of a page beside one without is such a pair. Downwards, the stores before are those above.
struct Sweep { int64_t first, step; };
constexpr uintptr_t close_by = 512;
constexpr int64_t turn_floats = 512;     // looking costs some ns
ACCELNN_APART inline Sweep sweep_of(const Code* code, int n_code, int64_t n) {
  int up = 0, down = 0;
  for (const Code* y = code; y != code + n_code; y++) {
    if (!y->to || !y->to_mask) continue;
    for (const Code* s = code; s != code + n_code; s++)
      for (int k = 0; k < 3; k++) {
        if (!s->in[k] || !s->mask[k]) continue;
        const uintptr_t behind = (reinterpret_cast<uintptr_t>(y->to) - reinterpret_cast<uintptr_t>(s->in[k])) % 4096;
        up += behind && behind < close_by, down += behind > 4096 - close_by;
      }
  }
  return up > down ? Sweep{n - group, -group} : Sweep{0, group};
}

// A program of one instruction: no jump for each group, and the function's constants stay in registers. A million floats on one thread, ratio to
// onnxruntime: exp 0.74 -> 0.83, tanh 0.71 -> 0.76, sigmoid 0.89 -> 1.18; now, by vec.h's functions of today and without waiting loads, 1.16, 1.11, 1.57.
template <int operands, class F> __attribute__((noinline)) void run_one(const Code& s, int64_t n, Sweep sweep) {
  for (int64_t j = sweep.first; n > 0; n -= group, j += sweep.step) {
    vf a[4], b[4], c[4], x[4];
    const auto read = [&](int k, vf* v) __attribute__((always_inline)) {
      const float* p = s.in[k] + (j & s.mask[k]);
#pragma GCC unroll 4
      for (int u = 0; u < 4; u++) v[u] = load(p + u * lanes);
    };
    read(0, a);
    if (operands > 1) read(1, b);
    if (operands > 2) read(2, c);
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) x[u] = F::of(a[u], operands > 1 ? b[u] : a[u], operands > 2 ? c[u] : a[u]);
    float* to = s.to + (j & s.to_mask);
    if (s.past) {
#pragma GCC unroll 4
      for (int u = 0; u < 4; u++) store_past(to + u * lanes, x[u]);
    } else {
#pragma GCC unroll 4
      for (int u = 0; u < 4; u++) store(to + u * lanes, x[u]);
    }
  }
}
// Only what is arithmetic enough: the others wait for memory.
template <bool full> ACCELNN_INLINE bool ran_alone(const Code& s, int64_t n, Sweep sweep) {
  switch (s.opcode) {
    case op_exp: return run_one<1, pointwise_function::f_exp>(s, n, sweep), true;
    case op_tanh: return run_one<1, pointwise_function::f_tanh>(s, n, sweep), true;
    case op_sigmoid: return run_one<1, pointwise_function::f_sigmoid>(s, n, sweep), true;
    case op_erf: return run_one<1, pointwise_function::f_erf>(s, n, sweep), true;
    case op_gelu:
      if constexpr (full) run_one<1, pointwise_function::f_gelu>(s, n, sweep);
      return full;
    case op_silu:
      if constexpr (full) run_one<1, pointwise_function::f_silu>(s, n, sweep);
      return full;
    default: return false;
  }
}

// Two of add, sub and mul in a row, where nobody else reads the first: one instruction, both roundings. a * 0.5 + b, relu, * c - a, + 0.25 of 262144
// floats: 136 us without, 110 with.
enum Pair : int { op_mul_add = 128,
                  op_mul_sub,
                  op_sub_of_mul,
                  op_add_mul,
                  op_sub_mul };
inline int pair_of(int first, int second, bool left) {
  if (first == op_mul && second == op_add) return op_mul_add;
  if (first == op_mul && second == op_sub) return left ? op_mul_sub : op_sub_of_mul;
  if (first == op_add && second == op_mul) return op_add_mul;
  if (first == op_sub && second == op_mul) return op_sub_mul;
  return 0;
}
ACCELNN_APART inline int join_pairs(Code* code, int n) {
  int used = 0;
  for (int t = 0; t < n; t++) {
    Code* before = code + used - 1;
    const Code s = code[t];
    const bool left = !s.in[0];
    const int pair = used && !before->to && left != !s.in[1] ? pair_of(before->opcode, s.opcode, left) : 0;
    if (!pair) {
      code[used++] = s;
      continue;
    }
    before->in[2] = s.in[left], before->mask[2] = s.mask[left], before->number[2] = s.number[left];
    before->to = s.to, before->to_mask = s.to_mask, before->past = s.past;
    before->opcode = pair;
  }
  return used;
}

template <bool full> ACCELNN_APART void run_code(const Code* code, int n_code, int64_t n) {
  const Code* const end = code + n_code;
  const Sweep sweep = n >= turn_floats && !code[n_code - 1].past ? sweep_of(code, n_code, n) : Sweep{0, group};
  if (n_code == 1 && n > group && code->to && ran_alone<full>(*code, n, sweep)) return;
  for (int64_t j = sweep.first; n > 0; n -= group, j += sweep.step) {
    vf x[4] = {};
    for (const Code* s = code; s != end; s++) {
      switch (s->opcode) {
#define OPCODE(name, operands, cost)                                                                                                  \
  case op_##name:                                                                                                                     \
    if constexpr (full || op_##name <= last_plain) apply<operands, (op_##name > last_plain), pointwise_function::f_##name>(*s, j, x); \
    break;
#include "pointwise/opcodes.inc"
#undef OPCODE
        case op_mul_add: apply<3, true, pointwise_function::f_mul_add>(*s, j, x); break;
        case op_mul_sub: apply<3, true, pointwise_function::f_mul_sub>(*s, j, x); break;
        case op_sub_of_mul: apply<3, true, pointwise_function::f_sub_of_mul>(*s, j, x); break;
        case op_add_mul: apply<3, true, pointwise_function::f_add_mul>(*s, j, x); break;
        case op_sub_mul: apply<3, true, pointwise_function::f_sub_mul>(*s, j, x); break;
      }
      if (float* to = s->to) {
        to += j & s->to_mask;
        if (s->past) {
#pragma GCC unroll 4
          for (int u = 0; u < 4; u++) store_past(to + u * lanes, x[u]);
        } else {
#pragma GCC unroll 4
          for (int u = 0; u < 4; u++) store(to + u * lanes, x[u]);
        }
      }
    }
  }
}

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

template <bool full> void run_part(const Call& call, const Prepared& p, const int64_t* words, int64_t begin, int64_t end, bool past) {
  alignas(64) float area[area_floats];
  Place place[max_values];
  Code code[max_instructions];
  const auto encode = [&](Code* to, const Step& s, int before, int64_t i) {
    const uint8_t operand[3] = {s.a, s.b, s.c};
    for (int k = 0; k < 3; k++) {
      const Place& from = place[operand[k]];
      to->in[k] = operand[k] == before ? nullptr : from.at + (i & from.moves);
      to->mask[k] = from.mask;
      to->number[k] = p.scalar[operand[k]];
    }
    const Place& at = place[s.to];
    to->to = at.at ? at.at + (i & at.moves) : nullptr;
    to->to_mask = at.mask;
    to->opcode = s.opcode;
    to->past = false;
  };
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
    if (s.opcode == op_const) fill(place[s.to].at, float_of(uint32_t(words[4 * (s.to - p.n_in) + 1])), group);
    else {
      encode(code, s, -1, 0);
      run_code<full>(code, 1, group);
    }
  }
  for (int t = 0; t < p.n_steps; t++) {
    const int v = p.steps[t].to;
    if (p.direct[v] >= 0) place[v] = {call.out[p.direct[v]].as<float>(), -1, -1};
    else if (p.slot[v] >= 0) place[v] = {area + p.slots_at + p.slot[v] * (p.tile + slack), 0, -1};
    else if (p.read_back[v]) place[v] = {area + p.temp_at[v], 0, 0};
    else place[v] = {nullptr, 0, 0};
  }

  const auto tile = [&](int64_t i, int64_t n, int64_t live) __attribute__((noinline)) {
    for (int k = 0; k < p.n_in; k++) {
      if (p.source[k] == Source::gathered) gather(place[k].at, call.in[k], view(k), i, live);
      else if (p.source[k] == Source::pattern) place[k].at = area + p.pattern_at[k] + i % p.period[k];
    }
    for (int t = 0; t < p.n_steps; t++) {
      encode(code + t, p.steps[t], t ? p.steps[t - 1].to : -1, i);
      code[t].past = past && n == live && n > group && p.direct[p.steps[t].to] >= 0 && !p.read_back[p.steps[t].to];
    }
    run_code<full>(code, join_pairs(code, p.n_steps), n);
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

// Beyond the last cache: results go past the caches where no line of theirs is an input's too, and the store is one of whole aligned vectors.
constexpr int64_t far_bytes = int64_t(8) << 20;
ACCELNN_INLINE bool goes_past(const Call& call, const Prepared& p) {
  if (vector_bytes < 32 || p.count * int64_t(sizeof(float)) < far_bytes) return false;
  for (int o = 0; o < p.n_out; o++) {
    if (reinterpret_cast<uintptr_t>(call.out[o].data) % vector_bytes) return false;
    for (int i = 0; i < p.n_in; i++)
      if (call.in[i].data == call.out[o].data) return false;
  }
  return true;
}

template <bool full> Status run(const Call& call) {
  Prepared p;
  prepare(call, group, &p);
  const int64_t* words = call.attrs[pointwise_attr::program].list + 1 + p.n_out;
  const int64_t size = p.count < (1 << 18) ? part_floats : p.count < (1 << 22) ? large_part_floats
                                                                               : far_part_floats;
  const bool past = goes_past(call, p);
  parallel(call, (p.count + size - 1) / size, p.worth, [&](int64_t part) {
    const int64_t begin = part * size, end = begin + size;
    run_part<full>(call, p, words, begin, end < p.count ? end : p.count, past);
    if (past) finish_past();
  });
  return {};
}

}  // namespace pointwise_rows
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
