// Softmax of rows longer than a vector, and of any axis, at full speed. Apart from generic.h, whose body for the last layer's ten classes is in every small
// program.
#pragma once
#include "softmax/cached.h"
#include "softmax/generic.h"
#include "softmax/softmax.h"
#include "softmax/softmax_axis.h"
#include "softmax/softmax_axis_grad.h"
#include "relay.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace softmax {

// Sum of exp(x - m); the exponentials go to e unless it is null. Meanwhile the next row is called for.
template <bool keep> ACCELNN_INLINE float exps_of(const float* x, float* e, float m, int64_t c, int64_t ahead) {
  vf s[4] = {};
  by_fours(c, [&](int64_t i, int u, int k) INLINED {
    call_for(x + i + ahead);
    const vf v = exp_below(or_lowest(x + i, k) - m);
    if constexpr (keep) put_lanes(e + i, v, k);
    s[u] += v;
  });
  return total(s);
}

ACCELNN_INLINE int64_t row_ahead(int64_t c) { return c > 2048 ? c : 2048; }

template <class F> ACCELNN_INLINE void over_parts(const Call& call, int64_t items, int64_t most, int64_t worth, const F& item) {
  const int64_t parts = items < most ? items : most;
  parallel(call, parts, worth, [&](int64_t part) {
    for (int64_t i = items * part / parts; i < items * (part + 1) / parts; i++) item(part, i);
    finish_past();
  });
}

// Past the caches (relay.h) a row is read once, in the loop that writes the one before it: piece by piece its maximum so far, and exponentials below that;
// what a piece lacks to the row's own maximum is part of its factor. Only exponentials lie in L2, and in the place of those that were just read:
// 1024 x 32000 in 6.8 ms, 88 % of a copy's speed. Not so, slower:
// - maximum of row r, exponentials of r - 1, result of r - 2 in one loop, exponentials of two rows in turn: 15.4 ms (9 to 14 on other days: as pages happened
//   to lie in L2), 11 with lines called for into L1 too; logarithms, which keep none: 7.4;
// - pieces, but exponentials of two rows in turn: 11.1; in 8 KiB that are always in L1 (wrong results): 7.3 to 8.1;
// - exponentials computed again for the result: 12 multiply-adds a vector, the time that a copy has for it.
// Pieces of 8, 16, 32 vectors: 7.0, 6.6, 6.8 ms, 8192 x 4096 8.3, 7.7, 7.5; without a call into L1 as far as the next piece 11.9; without one into L2 14.1.
// Rows of 1000: 70 % (8.6 ms, as with three sweeps): seams and ends of rows, some 200 of 980 cycles.
constexpr int64_t piece = 32 * lanes, piece_near = 2 * piece + 256, piece_ahead = 4096;
constexpr int64_t relayed_row = 160 << 10;
ACCELNN_INLINE bool relays(const Rows& r) {
  return r.c >= 4 * lanes && r.c <= relayed_row && r.count >= 4 * softmax_large_parts && r.count * r.c >= softmax_large_floats;
}
// (In the caches it is slower than cached.h: 64 x 1000 23 us instead of 18.5, 512 x 512 70 and 60; logarithms 16.3 and 15.8, 72 and 63.)
// room: softmax_room(c), for exponentials, maxima of pieces and, a vector each, their factors; logarithms need none.
template <bool logarithm> ACCELNN_INLINE void relay_softmax(const float* x, float* y, int64_t c, int64_t begin, int64_t end, float* room) {
  const bool past = holds_floats(y);
  const int64_t pieces = (c + piece - 1) / piece;
  float *factors = room + (c + lanes - 1) / lanes * lanes, *tops = factors + (pieces + 1) * lanes;
  const auto top_of_piece = [&](const float* row, int64_t at) INLINED { return top_of(row + at, c - at < piece ? c - at : piece); };
  float top_before = 0, given = 0;                // of the row that is written: maximum and log sum
  vf coming = top_of_piece(x + begin * c, 0);     // maximum of the piece that is next
  relay(begin, end, y + end * c, [&](int64_t r, Seam& seam, auto writes) INLINED {
    const float *first = x + within(r, begin, end) * c, *following = x + within(r + 1, begin, end) * c, *before = x + (r - 1) * c;
    float* to = y + (r - 1) * c;
    vf s[4] = {}, top = splat(-__FLT_MAX__);      // finite: exponentials of -inf are 0 below it
    const auto read = [&](int64_t i, int u, int k) INLINED {
      if ((u == 0 || k < lanes) && (i & (piece - 1)) == 0) {
        if (coming[0] > top[0]) {                 // some log(pieces) times a row
          const vf less = exp_below(top - coming);
#pragma GCC unroll 4
          for (int q = 0; q < 4; q++) s[q] = s[q] * less;
          top = coming;
        }
        if constexpr (!logarithm) tops[i / piece] = top[0];
        coming = i + piece < c ? top_of_piece(first, i + piece) : top_of_piece(following, 0);
      }
      call_near(first + i + piece_near), call_for(first + i + piece_ahead);
      const vf v = exp_below(or_lowest(first + i, k) - top);
      if constexpr (!logarithm) put_lanes(room + i, v, k);
      s[u] += v;
    };
    const auto result = [&](int64_t i, int k) INLINED {
      if constexpr (logarithm) return (zeroed(before + i, k) - top_before) - given;
      else {
        const int64_t in = i & (piece - 1), next = in > piece - lanes ? in - (piece - lanes) : 0;      // lanes of the next piece
        return zeroed(room + i, k) * load(factors + i / piece * lanes + next);
      }
    };
    if constexpr (decltype(writes)::value) sweep_together(to, c, past, seam, result, read);
    else sweep_together(c, read);
    if constexpr (logarithm) given = log(splat(total(s)))[0], top_before = top[0];
    else {
      const float scale = 1.0f / total(s);
      in_lanes(pieces, [&](int64_t i, int k) INLINED { put_lanes(tops + i, exp_below(zeroed(tops + i, k) - top) * scale, k); });
      for (int64_t n = 0; n < pieces; n++) store(factors + n * lanes, splat(tops[n]));
      store(factors + pieces * lanes, splat(tops[pieces - 1]));
    }
  });
}
template <bool logarithm> ACCELNN_INLINE Status relay_softmax(const Call& call, const Rows& r) {
  constexpr int64_t parts = softmax_large_parts;
  const float* x = call.in[0].as<float>();
  float *y = call.out[0].as<float>(), *room = static_cast<float*>(call.work);
  parallel(call, parts, r.count * r.c * 16, [&](int64_t part) {
    relay_softmax<logarithm>(x, y, r.c, r.count * part / parts, r.count * (part + 1) / parts, room + (logarithm ? 0 : part * softmax_room(r.c)));
  });
  return {};
}

// Past the caches a part has room for a row of exponentials, which would otherwise lie in the output and be written twice.
inline Status softmax_wide(const Call& call) {
  const Rows r = rows_of(call.in[0]);
  const float* x = call.in[0].as<float>();
  float *y = call.out[0].as<float>(), *room = static_cast<float*>(call.work);
  if (room && relays(r)) return relay_softmax<false>(call, r);
  if (!room || !goes_past(y, 2 * r.count * r.c)) {
    over_ranges(call, r.count, r.count * r.c * 12, [&](int64_t begin, int64_t end) { softmax_rows(x + begin * r.c, y + begin * r.c, end - begin, r.c); });
    return {};
  }
  over_parts(call, r.count, softmax_large_parts, r.count * r.c * 16, [&](int64_t part, int64_t i) {
    const float* from = x + i * r.c;
    float* e = room + part * softmax_room(r.c);
    const float scale = 1.0f / exps_of<true>(from, e, top_of(from, r.c)[0], r.c, row_ahead(r.c));
    write_row<true>(y + i * r.c, r.c, [&](int64_t j, int k) INLINED { return zeroed(e + j, k) * scale; });
  });
  return {};
}

inline Status log_softmax_wide(const Call& call) {
  const Rows r = rows_of(call.in[0]);
  const float* x = call.in[0].as<float>();
  float* y = call.out[0].as<float>();
  if (relays(r)) return relay_softmax<true>(call, r);
  if (!goes_past(y, 2 * r.count * r.c)) {
    over_ranges(call, r.count, r.count * r.c * 12, [&](int64_t begin, int64_t end) { log_softmax_rows(x + begin * r.c, y + begin * r.c, end - begin, r.c); });
    return {};
  }
  over_parts(call, r.count, 64, r.count * r.c * 16, [&](int64_t, int64_t i) {
    const float* from = x + i * r.c;
    if (r.c <= lanes) {               // one register from load to store
      const vf v = or_lowest(from, int(r.c)), d = v - max_across(v);
      store(y + i * r.c, d - log(sum_across(exp_below(d))), int(r.c));
      return;
    }
    const float m = top_of(from, r.c)[0], lse = log(splat(exps_of<false>(from, nullptr, m, r.c, row_ahead(r.c))))[0];
    write_row<true>(y + i * r.c, r.c, [&](int64_t j, int k) INLINED { return (zeroed(from + j, k) - m) - lse; });
  });
  return {};
}

// In the caches a row is summed in the loop that writes the one before it: 128 x 1000 in 25 us, 27 with one loop after the other, 512 x 512 46 and 52;
// logarithms 25 and 28, 48 and 53. Not so, slower: one after the other with the next row called for (512 x 512: 61), with lines of the result called for while
// the sum is taken (61). Past them it gains nothing: 32768 x 1000 16.3 ms, 14.9 in turn (70 % of a copy's speed); 1024 x 32000 14.1 and 13.8, 15.4 with
// calls 16 KiB ahead.
template <bool logarithm> ACCELNN_INLINE void relay_grad(const float* dy, const float* y, float* dx, int64_t c, int64_t begin, int64_t end) {
  vf sum = {};                                    // of the row that is written
  relay(begin, end, dx + end * c, [&](int64_t r, Seam& seam, auto writes) INLINED {
    const int64_t here = within(r, begin, end) * c, before = (r - 1) * c;
    vf s[4] = {};
    const auto read = [&](int64_t i, int u, int k) INLINED {
      if constexpr (logarithm) s[u] += zeroed(dy + here + i, k);
      else s[u] = fma(zeroed(dy + here + i, k), zeroed(y + here + i, k), s[u]);
    };
    const auto result = [&](int64_t i, int k) INLINED { return grad_of<logarithm>(zeroed(dy + before + i, k), zeroed(y + before + i, k), sum); };
    if constexpr (decltype(writes)::value) sweep_together(dx + before, c, false, seam, result, read);
    else sweep_together(c, read);
    sum = sum_across((s[0] + s[1]) + (s[2] + s[3]));
  });
}
template <bool logarithm> ACCELNN_INLINE Status rows_grad(const Call& call) {
  const Rows r = rows_of(call.in[0]);
  const float *dy = call.in[0].as<float>(), *y = call.in[1].as<float>();
  float* dx = call.out[0].as<float>();
  const int64_t worth = r.count * r.c * (logarithm ? 12 : 9);
  if (!goes_past(dx, 3 * r.count * r.c)) {
    over_ranges(call, r.count, worth, [&](int64_t begin, int64_t end) {
      if (r.c >= 4 * lanes) relay_grad<logarithm>(dy, y, dx, r.c, begin, end);
      else rows_of_grad<logarithm>(dy + begin * r.c, y + begin * r.c, dx + begin * r.c, end - begin, r.c);
    });
    return {};
  }
  over_parts(call, r.count, 64, worth, [&](int64_t, int64_t row) {
    const float *g = dy + row * r.c, *v = y + row * r.c;
    const float sum = sum_for_grad<logarithm>(g, v, r.c)[0];
    write_row<true>(dx + row * r.c, r.c, [&](int64_t i, int k) INLINED { return grad_of<logarithm>(zeroed(g + i, k), zeroed(v + i, k), splat(sum)); });
  });
  return {};
}
inline Status softmax_grad_wide(const Call& call) { return rows_grad<false>(call); }
inline Status log_softmax_grad_wide(const Call& call) { return rows_grad<true>(call); }

// Along an inner axis: [outer, C, inner], some KB of neighbouring columns at a time, their maxima and sums in L1. (Four vectors of columns in registers were
// 0.8 times torch at inner = 1024: lines 4 KiB apart share the sets of L1, and no prefetcher follows them.)
constexpr int64_t block_columns = 512;
struct Axis {
  int64_t outer = 1, c, inner = 1;
  ACCELNN_INLINE int64_t blocks() const { return (inner + block_columns - 1) / block_columns; }
};
ACCELNN_INLINE Axis axis_of(const TensorView& x, int64_t axis) {
  Axis a;
  a.c = x.shape[axis];
  for (int64_t i = 0; i < x.rank; i++) (i < axis ? a.outer : a.inner) *= i == axis ? 1 : x.shape[i];
  return a;
}
// block(first element, columns) of every block
template <class F> ACCELNN_INLINE void over_columns(const Call& call, const Axis& a, int64_t work, const F& block) {
  over_parts(call, a.outer * a.blocks(), 64, a.outer * a.c * a.inner * work, [&](int64_t, int64_t item) {
    const int64_t begin = item % a.blocks() * block_columns, left = a.inner - begin;
    block(item / a.blocks() * a.c * a.inner + begin, left < block_columns ? left : block_columns);
  });
}
// f(place in the memory, column, lanes) down the rows
template <class F> ACCELNN_INLINE void down(const Axis& a, int64_t width, const F& f) {
  for (int64_t j = 0; j < a.c; j++) {
    int64_t i = 0;
    for (; i + lanes <= width; i += lanes) f(j * a.inner + i, i, lanes);
    if (i < width) f(j * a.inner + i, i, int(width - i));
  }
}

template <bool logarithm> ACCELNN_INLINE Status columns_softmax(const Call& call) {
  const Axis a = axis_of(call.in[0], call.integer(softmax_axis_attr::axis));
  over_columns(call, a, 16, [&](int64_t at, int64_t width) {
    const float* x = call.in[0].as<float>() + at;
    float *y = call.out[0].as<float>() + at, m[block_columns], s[block_columns];
    for (int64_t i = 0; i < width; i += lanes) store(m + i, lowest()), store(s + i, vf{});
    down(a, width, [&](int64_t p, int64_t i, int k) INLINED { store(m + i, larger(zeroed(x + p, k), load(m + i))); });
    down(a, width, [&](int64_t p, int64_t i, int k) INLINED {
      const vf e = exp_below(zeroed(x + p, k) - load(m + i));
      if (!logarithm) put_lanes(y + p, e, k);
      store(s + i, load(s + i) + e);
    });
    for (int64_t i = 0; i < width; i += lanes) store(s + i, logarithm ? log(load(s + i)) : 1.0f / load(s + i));
    down(a, width, [&](int64_t p, int64_t i, int k) INLINED {
      put_lanes(y + p, logarithm ? (zeroed(x + p, k) - load(m + i)) - load(s + i) : zeroed(y + p, k) * load(s + i), k);
    });
  });
  return {};
}
inline Status softmax_axis(const Call& call) {
  return call.integer(softmax_axis_attr::log) ? columns_softmax<true>(call) : columns_softmax<false>(call);
}

template <bool logarithm> ACCELNN_INLINE Status columns_grad(const Call& call) {
  const Axis a = axis_of(call.in[0], call.integer(softmax_axis_grad_attr::axis));
  over_columns(call, a, logarithm ? 12 : 6, [&](int64_t at, int64_t width) {
    const float *dy = call.in[0].as<float>() + at, *y = call.in[1].as<float>() + at;
    float *dx = call.out[0].as<float>() + at, s[block_columns];
    for (int64_t i = 0; i < width; i += lanes) store(s + i, vf{});
    down(a, width, [&](int64_t p, int64_t i, int k) INLINED {
      store(s + i, logarithm ? load(s + i) + zeroed(dy + p, k) : fma(zeroed(dy + p, k), zeroed(y + p, k), load(s + i)));
    });
    down(a, width, [&](int64_t p, int64_t i, int k) INLINED {
      const vf g = zeroed(dy + p, k), v = zeroed(y + p, k), sum = load(s + i);
      put_lanes(dx + p, logarithm ? g - exp_below(v) * sum : (g - sum) * v, k);
    });
  });
  return {};
}
inline Status softmax_axis_grad(const Call& call) {
  return call.integer(softmax_axis_grad_attr::log) ? columns_grad<true>(call) : columns_grad<false>(call);
}

}  // namespace softmax
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
