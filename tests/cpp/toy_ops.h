// Small ops with real checks, so that engine tests need no kernel:
//   add(a, b) -> y            same shapes, contiguous; y may be a or b exactly
//   scale(x) factor -> y      any strides of x
//   total(x) times -> y[]     over parts of 64 elements, with a workspace and the pool; `times` (an integer) multiplies
//   take(x[n], index i64[m]) -> y[m]     refuses indices in data
#pragma once
#include "op.h"
#include "pool.h"

namespace accelnn {
namespace toy {

constexpr int64_t limit = 1 << 16;      // elements: the fuzzer must not wait for a hostile broadcast
inline Status floats(const Call& c) {
  for (int i = 0; i < c.n_in; i++) {
    ACCELNN_CHECK(!c.in[i].absent(), shape, "toy: input %d is missing", i);
    ACCELNN_CHECK(c.in[i].count() <= limit, unsupported, "toy: too large");
  }
  ACCELNN_CHECK(!c.out[0].absent() && c.out[0].dtype == DType::f32 && c.out[0].contiguous() && c.out[0].count() <= limit, dtype, "toy: bad output %s",
                describe(c.out[0]).text);
  ACCELNN_CHECK(c.in[0].dtype == DType::f32, dtype, "toy: input is %s, expected f32", describe(c.in[0]).text);
  return {};
}

inline Status check_add(const Call& c) {
  ACCELNN_TRY(floats(c));
  for (int i = 0; i < 2; i++) {
    ACCELNN_CHECK(c.in[i].dtype == DType::f32 && c.in[i].contiguous() && same_shape(c.in[i], c.out[0]), shape, "add: operands are %s, output %s",
                  describe(c.in[i]).text, describe(c.out[0]).text);
    ACCELNN_CHECK(!overlap(c.in[i], c.out[0]) || same_memory(c.in[i], c.out[0]), aliasing, "add: an input overlaps the output in part");
  }
  return {};
}
inline Status run_add(const Call& c) {
  const float *a = c.in[0].as<float>(), *b = c.in[1].as<float>();
  float* y = c.out[0].as<float>();
  for (int64_t i = 0; i < c.out[0].count(); i++) y[i] = a[i] + b[i];
  return {};
}

inline Status check_scale(const Call& c) {
  ACCELNN_TRY(floats(c));
  ACCELNN_CHECK(same_shape(c.in[0], c.out[0]), shape, "scale: %s to %s", describe(c.in[0]).text, describe(c.out[0]).text);
  ACCELNN_CHECK(!overlap(c.in[0], c.out[0]), aliasing, "scale: the output overlaps the input");
  return {};
}
inline Status run_scale(const Call& c) {
  const TensorView& x = c.in[0];
  for (int64_t i = 0; i < x.count(); i++) {
    int64_t rest = i, at = 0;
    for (int k = x.rank - 1; k >= 0; k--) { at += rest % x.shape[k] * x.stride[k]; rest /= x.shape[k]; }
    c.out[0].as<float>()[i] = x.as<float>()[at] * float(c.real(0));
  }
  return {};
}

constexpr int64_t part = 64;
inline Status check_total(const Call& c) {
  ACCELNN_TRY(floats(c));
  ACCELNN_CHECK(c.in[0].contiguous() && c.out[0].rank == 0 && !overlap(c.in[0], c.out[0]), shape, "total: %s to %s", describe(c.in[0]).text,
                describe(c.out[0]).text);
  return {};
}
inline size_t work_total(const Call& c, const Row&) { return size_t((c.in[0].count() + part - 1) / part) * sizeof(double); }
inline Status run_total(const Call& c) {
  const int64_t n = c.in[0].count(), parts = (n + part - 1) / part;
  double* sums = static_cast<double*>(c.work);
  parallel(c, parts, 1 << 30, [&](int64_t p) {
    sums[p] = 0;
    for (int64_t i = p * part; i < n && i < (p + 1) * part; i++) sums[p] += double(c.in[0].as<float>()[i]);
  });
  double sum = 0;
  for (int64_t p = 0; p < parts; p++) sum += sums[p];
  *c.out[0].as<float>() = float(sum * double(c.integer(0)));
  return {};
}

inline Status check_take(const Call& c) {
  ACCELNN_TRY(floats(c));
  ACCELNN_CHECK(c.in[1].dtype == DType::i64 && c.in[1].rank == 1 && c.in[0].rank == 1 && c.in[0].contiguous() && c.in[1].contiguous() &&
                    same_shape(c.in[1], c.out[0]) && !overlap(c.in[0], c.out[0]) && !overlap(c.in[1], c.out[0]),
                shape, "take: %s by %s", describe(c.in[0]).text, describe(c.in[1]).text);
  return {};
}
inline Status run_take(const Call& c) {
  for (int64_t i = 0; i < c.in[1].count(); i++) {
    const int64_t at = c.in[1].as<int64_t>()[i];
    ACCELNN_CHECK(at >= 0 && at < c.in[0].count(), bound, "take: index %lld of %lld", static_cast<long long>(at),
                  static_cast<long long>(c.in[0].count()));
    c.out[0].as<float>()[i] = c.in[0].as<float>()[at];
  }
  return {};
}

#define TOY_OP(name, n_in, attr_count, attr, kind, work)                                                              \
  inline const Row row_##name = {#name "_f32_base", run_##name, isa::none, DType::f32, Exactness::exact, Device::cpu, 0, 0}; \
  inline const Row* const rows_##name[] = {&row_##name};                                                              \
  inline const AttrDef attrs_##name[] = {{attr, AttrKind::kind, 1}};                                                  \
  inline const Op op_##name = {#name, attrs_##name, attr_count, n_in, n_in, 1, check_##name, refuse_nothing, work};   \
  inline const Table table_##name = {&op_##name, rows_##name, 1};
TOY_OP(add, 2, 0, "", integer, no_workspace)
TOY_OP(scale, 1, 1, "factor", real, no_workspace)
TOY_OP(total, 1, 1, "times", integer, work_total)
TOY_OP(take, 2, 0, "", integer, no_workspace)
#undef TOY_OP

inline const Table* const tables[] = {&table_add, &table_scale, &table_total, &table_take};
constexpr int n_tables = 4;

}  // namespace toy
}  // namespace accelnn
