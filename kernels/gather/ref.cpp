// Slow truth: the formulas, element by element, sums in double.
#include <cstring>
#include "every_dtype.h"
#include "gather/gather.h"
#include "gather/gather_nd.h"
#include "gather/index.h"
#include "gather/scatter.h"
#include "gather/scatter_nd.h"
#include "gather/take.h"
#include "gather/take_grad.h"

namespace accelnn {

namespace {

using namespace gather_index;

void copy(const TensorView& y, int64_t to, const TensorView& x, int64_t from) {
  const size_t n = size_of(x.dtype);
  std::memcpy(y.as<char>() + to * int64_t(n), x.as<char>() + from * int64_t(n), n);
}

Status take(const Call& call) {
  const TensorView &x = call.in[0], &y = call.out[0];
  const Rows r = rows_of(x, call.integer(take_attr::axis), call.in[1]);
  FirstBad bad;
  for (int64_t o = 0; o < r.outer; o++)
    for (int64_t j = 0; j < r.indices; j++) {
      int64_t a = Index(call.in[1])[j];
      if (!inside(&a, r.size)) {
        bad.note(j);
        continue;
      }
      for (int64_t i = 0; i < r.inner; i++) {
        const int64_t to = (o * r.indices + j) * r.inner + i;
        copy(y, to, x, (o * r.size + a) * r.inner + i);
        if (a == call.integer(take_attr::skip)) std::memset(y.as<char>() + to * int64_t(size_of(y.dtype)), 0, size_of(y.dtype));
      }
    }
  return index_status("take", bad, call.in[1], &r.size, 1);
}

// The numbers of the combined dtypes as double (f32, i32: exact) or, i64, as they are.
template <class T> T combined(int64_t reduce, T a, T b) {
  switch (reduce) {
    case scatter_reduce::add: return a + b;
    case scatter_reduce::mul: return a * b;
    case scatter_reduce::max: return a >= b || a != a ? a : b;
    case scatter_reduce::min: return a <= b || a != a ? a : b;
    default: return b;
  }
}
void combine(int64_t reduce, const TensorView& y, int64_t to, const TensorView& s, int64_t from) {
  if (reduce == scatter_reduce::replace) return copy(y, to, s, from);
  if (y.dtype == DType::f32) y.as<float>()[to] = combined(reduce, y.as<float>()[to], s.as<float>()[from]);
  else if (y.dtype == DType::i32) y.as<int32_t>()[to] = int32_t(combined<int64_t>(reduce, y.as<int32_t>()[to], s.as<int32_t>()[from]));
  else y.as<int64_t>()[to] = combined(reduce, y.as<int64_t>()[to], s.as<int64_t>()[from]);
}

// visit(element of index, offset in x of what it names)
template <class F> Status over(const char* op, const TensorView& x, const TensorView& index, int64_t axis, const F& visit) {
  FirstBad bad;
  const int64_t count = index.count(), size = x.shape[axis];
  for (int64_t e = 0; e < count; e++) {
    int64_t rest = e, at = 0, step = 1, i = Index(index)[e];
    if (!inside(&i, size)) {
      bad.note(e);
      continue;
    }
    for (int d = index.rank - 1; d >= 0; d--) {
      at += (d == axis ? i : rest % index.shape[d]) * step;
      rest /= index.shape[d];
      step *= x.shape[d];
    }
    visit(e, at);
  }
  return index_status(op, bad, index, &size, 1);
}

Status gather(const Call& call) {
  return over("gather", call.in[0], call.in[1], call.integer(gather_attr::axis), [&](int64_t e, int64_t at) { copy(call.out[0], e, call.in[0], at); });
}

Status scatter(const Call& call) {
  const TensorView &index = call.in[1], &s = call.in[2], &y = call.out[0];
  for (int64_t i = 0; i < y.count(); i++) copy(y, i, call.in[0], i);
  return over("scatter", y, index, call.integer(scatter_attr::axis), [&](int64_t e, int64_t at) {
    int64_t from = 0, step = 1;
    for (int d = index.rank - 1; d >= 0; e /= index.shape[d], step *= s.shape[d], d--) from += e % index.shape[d] * step;
    combine(call.integer(scatter_attr::reduce), y, at, s, from);
  });
}

template <class F> Status over_slices(const char* op, const TensorView& x, const TensorView& index, int64_t batch, const F& visit) {
  const Slices s = slices_of(x, index, batch);
  FirstBad bad;
  for (int64_t j = 0; j < s.batches * s.count; j++) {
    int64_t at = 0;
    const int64_t offset = slice_at(s, Index(index), j, &at);
    if (offset < 0) bad.note(at);
    else
      for (int64_t i = 0; i < s.inner; i++) visit(j * s.inner + i, offset + i);
  }
  return index_status(op, bad, index, s.size, s.k);
}

Status gather_nd(const Call& call) {
  return over_slices("gather_nd", call.in[0], call.in[1], call.integer(gather_nd_attr::batch),
                     [&](int64_t e, int64_t at) { copy(call.out[0], e, call.in[0], at); });
}
Status scatter_nd(const Call& call) {
  const TensorView& y = call.out[0];
  for (int64_t i = 0; i < y.count(); i++) copy(y, i, call.in[0], i);
  return over_slices("scatter_nd", y, call.in[1], 0,
                     [&](int64_t e, int64_t at) { combine(call.integer(scatter_nd_attr::reduce), y, at, call.in[2], e); });
}

}  // namespace

Status take_grad_f32_ref(const Call& call);
Status take_grad_f32_ref(const Call& call) {
  const TensorView &dy = call.in[0], &dx = call.out[0];
  const Rows r = rows_of(dx, call.integer(take_grad_attr::axis), call.in[1]);
  FirstBad bad;
  for (int64_t o = 0; o < r.outer; o++)
    for (int64_t a = 0; a < r.size; a++)
      for (int64_t i = 0; i < r.inner; i++) {
        double sum = 0;
        for (int64_t j = 0; j < r.indices; j++) {
          int64_t k = Index(call.in[1])[j];
          if (!inside(&k, r.size)) bad.note(j);
          else if (k == a && a != call.integer(take_grad_attr::skip)) sum += double(dy.as<float>()[(o * r.indices + j) * r.inner + i]);
        }
        dx.as<float>()[(o * r.size + a) * r.inner + i] = float(sum);
      }
  return index_status("take_grad", bad, call.in[1], &r.size, 1);
}

#define PUBLISH(dtype)                                                         \
  Status take_##dtype##_ref(const Call& call);                                 \
  Status take_##dtype##_ref(const Call& call) { return take(call); }           \
  Status gather_##dtype##_ref(const Call& call);                               \
  Status gather_##dtype##_ref(const Call& call) { return gather(call); }       \
  Status gather_nd_##dtype##_ref(const Call& call);                            \
  Status gather_nd_##dtype##_ref(const Call& call) { return gather_nd(call); } \
  Status scatter_##dtype##_ref(const Call& call);                              \
  Status scatter_##dtype##_ref(const Call& call) { return scatter(call); }     \
  Status scatter_nd_##dtype##_ref(const Call& call);                           \
  Status scatter_nd_##dtype##_ref(const Call& call) { return scatter_nd(call); }
ACCELNN_EVERY_DTYPE(PUBLISH)
#define SELDOM(dtype, type, bits) PUBLISH(dtype)
ACCELNN_SELDOM_DTYPES(SELDOM)

}  // namespace accelnn
