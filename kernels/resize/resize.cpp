#include "resize/resize.h"
#include "resize/resize_grad.h"
#define ACCELNN_OP resize
#define ACCELNN_TABLE "resize/resize.inc"
#include "define_op.h"
#define ACCELNN_OP resize_grad
#define ACCELNN_TABLE "resize/resize_grad.inc"
#include "define_op.h"

namespace accelnn {

static_assert(int(resize_attr::scale) == int(resize_grad_attr::scale));        // one file of attributes: the slots are resize's

static long long ll(int64_t x) { return static_cast<long long>(x); }

static Status check_pair(const char* op, const Call& call, const TensorView& x, const TensorView& y) {
  const auto at = [&](int slot) { return call.integer(slot); };
  const int64_t axis = at(resize_attr::axis);
  ACCELNN_CHECK(!x.absent() && !y.absent() && x.contiguous() && y.contiguous(), shape, "%s: an operand is missing or not contiguous", op);
  ACCELNN_CHECK(x.dtype == DType::f32 && y.dtype == DType::f32, dtype, "%s: %s to %s; f32 is expected", op, name_of(x.dtype), name_of(y.dtype));
  ACCELNN_CHECK(axis >= 0 && axis < x.rank && x.rank == y.rank, attribute, "%s: axis %lld of %s and %s", op, ll(axis), describe(x).text,
                describe(y).text);
  for (int d = 0; d < x.rank; d++)
    ACCELNN_CHECK(d == axis || x.shape[d] == y.shape[d], shape, "%s: %s and %s differ in dim %d, which is not resized", op, describe(x).text,
                  describe(y).text, d);
  const int64_t from = x.shape[axis], to = y.shape[axis];
  ACCELNN_CHECK(from >= 1 || y.count() == 0, shape, "%s: %s has nothing to sample", op, describe(x).text);
  ACCELNN_CHECK(from < INT32_MAX && to < INT32_MAX, shape, "%s: %lld to %lld elements; fewer than 2^31 are expected", op, ll(from), ll(to));
  const double scale = call.real(resize_attr::scale);
  ACCELNN_CHECK(at(resize_attr::mode) >= 0 && at(resize_attr::mode) <= 2 && at(resize_attr::coordinate) >= 0 && at(resize_attr::coordinate) <= 4 &&
                    at(resize_attr::nearest) >= 0 && at(resize_attr::nearest) <= 3 && scale >= 0 && scale < 1e6 && (scale == 0 || scale > 1e-6),
                attribute, "%s: mode %lld, coordinate %lld, nearest %lld, scale %g", op, ll(at(resize_attr::mode)), ll(at(resize_attr::coordinate)),
                ll(at(resize_attr::nearest)), scale);
  ACCELNN_CHECK(!overlap(call.in[0], call.out[0]), aliasing, "%s: the output shares memory with the input", op);
  return {};
}
static Status check_resize(const Call& call) { return check_pair("resize", call, call.in[0], call.out[0]); }
static Status check_resize_grad(const Call& call) { return check_pair("resize_grad", call, call.out[0], call.in[0]); }

int resize_taps_of(const Call& call) {
  const int64_t mode = call.integer(resize_attr::mode);
  return mode == resize_mode::nearest ? 1 : mode == resize_mode::linear ? 2
                                                                        : 4;
}

static double place_of(const Call& call, int64_t b, int64_t from, int64_t count) {
  const double scale = call.real(resize_attr::scale), r = scale != 0 ? 1 / scale : double(from) / double(count);
  const double half = (double(b) + 0.5) * r - 0.5;
  switch (call.integer(resize_attr::coordinate)) {
    case 1: return count > 1 ? half : 0;
    case 2: return double(b) * r;
    case 3: return count > 1 ? double(b) * double(from - 1) / double(count - 1) : 0;
    case 4: {
      const double exact = scale != 0 ? scale * double(from) : double(count), middle = double(from) / 2;
      return middle * (1 - double(count) / exact) + half;
    }
    default: return half;
  }
}
static int64_t nearest_of(double p, int64_t how) {
  switch (how) {
    case 0: return int64_t(__builtin_ceil(p - 0.5));
    case 1: return int64_t(__builtin_floor(p + 0.5));
    case 2: return int64_t(__builtin_floor(p));
    default: return int64_t(__builtin_ceil(p));
  }
}

void resize_taps(const Call& call, const TensorView& x, const TensorView& y, ResizeTaps* taps) {
  const int64_t axis = call.integer(resize_attr::axis), mode = call.integer(resize_attr::mode);
  ResizeTaps& r = *taps;
  r.outer = r.inner = 1;
  for (int d = 0; d < axis; d++) r.outer *= x.shape[d];
  for (int d = int(axis) + 1; d < x.rank; d++) r.inner *= x.shape[d];
  r.from = x.shape[axis];
  r.count = y.shape[axis];
  r.taps = resize_taps_of(call);
  r.at = static_cast<int32_t*>(call.work);
  r.weight = reinterpret_cast<float*>(r.at + r.taps * r.count);
  const bool outside = call.integer(resize_attr::outside) != 0;
  const double a = call.real(resize_attr::cubic_a);
  for (int64_t b = 0; b < r.count; b++) {
    const double p = place_of(call, b, r.from, r.count), low = __builtin_floor(p), f = p - low;
    double w[4] = {1, 0, 0, 0};
    int64_t first = int64_t(low);
    if (mode == resize_mode::nearest) first = nearest_of(p, call.integer(resize_attr::nearest));
    else if (mode == resize_mode::linear) w[0] = 1 - f, w[1] = f;
    else {
      const double g = 1 - f;
      first -= 1;
      w[0] = ((a * (f + 1) - 5 * a) * (f + 1) + 8 * a) * (f + 1) - 4 * a;
      w[1] = ((a + 2) * f - (a + 3)) * f * f + 1;
      w[2] = ((a + 2) * g - (a + 3)) * g * g + 1;
      w[3] = ((a * (g + 1) - 5 * a) * (g + 1) + 8 * a) * (g + 1) - 4 * a;
    }
    double sum = 0;
    for (int t = 0; t < r.taps; t++) {
      const int64_t k = first + t;
      if (outside && mode != resize_mode::nearest && (k < 0 || k >= r.from)) w[t] = 0;
      sum += w[t];
      r.at[t * r.count + b] = int32_t(k < 0 ? 0 : k >= r.from ? r.from - 1
                                                              : k);
    }
    for (int t = 0; t < r.taps; t++) r.weight[t * r.count + b] = float(outside && mode != resize_mode::nearest ? w[t] / sum : w[t]);
  }
}

static size_t workspace(const Call& call, const TensorView& y) {
  return size_t(y.shape[call.integer(resize_attr::axis)] * resize_taps_of(call)) * (sizeof(int32_t) + sizeof(float));
}
static size_t resize_workspace(const Call& call, const Row&) { return workspace(call, call.out[0]); }
static size_t resize_grad_workspace(const Call& call, const Row&) { return workspace(call, call.in[0]); }

const Op op_resize = {"resize", resize_attrs, resize_attr::count_, 1, 1, 1, check_resize, refuse_nothing, resize_workspace};
const Op op_resize_grad = {"resize_grad", resize_grad_attrs, resize_grad_attr::count_, 1, 1, 1, check_resize_grad, refuse_nothing, resize_grad_workspace};

}  // namespace accelnn
