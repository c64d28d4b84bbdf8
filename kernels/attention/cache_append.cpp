#include "attention/cache_append.h"

#define ACCELNN_OP cache_append
#define ACCELNN_TABLE "attention/cache_append.inc"
#include "define_op.h"

namespace accelnn {

Status check_append_positions(const Call& c) {
  const int64_t rows = c.in[1].shape[2], more = c.in[0].shape[2];
  for (int64_t b = 0; b < c.in[0].shape[0]; b++) {
    const int64_t at = c.in[2].as<int64_t>()[b * c.in[2].stride[0]];
    ACCELNN_CHECK(at >= 0 && at <= rows - more, bound, "cache_append: %lld rows at position %lld of a cache of %lld", static_cast<long long>(more),
                  static_cast<long long>(at), static_cast<long long>(rows));
  }
  return {};
}

static Status check(const Call& c) {
  const TensorView &x = c.in[0], &cache = c.in[1], &at = c.in[2], &scale = c.in[3];
  ACCELNN_CHECK(x.dtype == DType::f32 && (cache.dtype == DType::f32 || cache.dtype == DType::bf16 || cache.dtype == DType::i8), dtype,
                "cache_append: x %s, cache %s: f32, and f32, bf16 or i8 expected", describe(x).text, describe(cache).text);
  ACCELNN_CHECK(x.rank == 4 && cache.rank == 4 && x.shape[0] == cache.shape[0] && x.shape[1] == cache.shape[1] && x.shape[3] == cache.shape[3], shape,
                "cache_append: x %s, cache %s: [B, G, L, D] and [B, G, S, D] expected", describe(x).text, describe(cache).text);
  ACCELNN_CHECK(at.dtype == DType::i64 && at.rank == 1 && at.shape[0] == x.shape[0], shape,
                "cache_append: position is %s; i64[%lld] expected", describe(at).text, static_cast<long long>(x.shape[0]));
  const bool scaled = cache.dtype == DType::i8;
  ACCELNN_CHECK(scaled != scale.absent(), dtype, "cache_append: a cache of i8, and no other, has scales");
  bool fits = !scaled || (scale.dtype == DType::f32 && scale.rank == 3);
  for (int d = 0; d < 3 && fits && scaled; d++) fits = scale.shape[d] == cache.shape[d];
  ACCELNN_CHECK(fits, shape, "cache_append: scale is %s for a cache %s; f32[B, G, S] expected", describe(scale).text, describe(cache).text);
  for (int i = 0; i < 1 + scaled; i++) {
    const TensorView &from = i ? scale : cache, &to = c.out[i];
    ACCELNN_CHECK(!to.absent() && to.dtype == from.dtype && same_shape(to, from) && to.contiguous(), shape, "cache_append: output %d is %s, expected %s", i,
                  describe(to).text, describe(from).text);
    for (int j = 0; j < 4; j++)
      ACCELNN_CHECK(c.in[j].absent() || (&c.in[j] == &from && same_memory(from, to)) || !overlap(c.in[j], to), aliasing,
                    "cache_append: output %d overlaps input %d", i, j);
  }
  ACCELNN_CHECK(!scaled || !overlap(c.out[0], c.out[1]), aliasing, "cache_append: the outputs overlap");
  ACCELNN_CHECK(scaled || c.out[1].absent(), shape, "cache_append: a cache without scales has one output");
  return {};
}

const Op op_cache_append = {"cache_append", cache_append_attrs, cache_append_attr::count_, 3, 4, 2, check, refuse_nothing, no_workspace};

}  // namespace accelnn
