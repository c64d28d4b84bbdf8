// The slow truth: the formulas of the contract, block by block.
#include "matmul/activation.h"
#include "sparse_conv/conv2d_sparse.h"

namespace accelnn {

namespace {

using conv::Geometry;

Status valid(const Call& call, const SconvProblem& p, int b) {
  const int32_t* const first = call.in[b].as<int32_t>();
  ACCELNN_TRY(sconv_first(p, first));
  if (call.out[0].count() == 0) return {};
  for (int64_t at = first[0]; at < first[p.strips]; at++) {
    const int64_t k = call.in[b + 1].as<int32_t>()[at];
    ACCELNN_CHECK(k >= 0 && k < p.taps * p.words, format, "an index is out of range: the weights are corrupt");
  }
  return {};
}

// Place of a pixel's channel in x, or -1 outside of it.
int64_t place(const SconvProblem& p, int64_t n, int64_t i, int64_t j, int64_t tap, int64_t c) {
  const Geometry& g = p.g;
  const int64_t h = i * g.sh + tap / g.s * g.dh - g.top, w = j * g.sw + tap % g.s * g.dw - g.left;
  if (h < 0 || h >= g.h || w < 0 || w >= g.w || c >= g.c) return -1;
  return p.x_last ? ((n * g.h + h) * g.w + w) * g.c + c : ((n * g.c + c) * g.h + h) * g.w + w;
}

template <class F> void each_output(const SconvProblem& p, const F& f) {
  const Geometry& g = p.g;
  for (int64_t n = 0; n < g.n; n++)
    for (int64_t o = 0; o < g.o; o++)
      for (int64_t i = 0; i < g.oh; i++)
        for (int64_t j = 0; j < g.ow; j++) f(n, o, i, j, p.y_last ? ((n * g.oh + i) * g.ow + j) * g.o + o : ((n * g.o + o) * g.oh + i) * g.ow + j);
}

}  // namespace

Status conv2d_sparse_f32_ref(const Call& call) {
  const SconvProblem p = sconv_problem(call);
  ACCELNN_TRY(valid(call, p, 1));
  const int32_t *const first = call.in[1].as<int32_t>(), *const index = call.in[2].as<int32_t>();
  each_output(p, [&](int64_t n, int64_t o, int64_t i, int64_t j, int64_t to) {
    double sum = 0;
    for (int64_t b = first[o / 16]; b < first[o / 16 + 1]; b++) {
      const int64_t at = place(p, n, i, j, index[b] / p.words, index[b] % p.words);
      sum += (at < 0 ? 0.0 : double(call.in[0].as<float>()[at])) * double(call.in[3].as<float>()[b * 16 + o % 16]);
    }
    if (!call.in[5].absent()) sum += double(call.in[5].as<float>()[to]);
    if (!call.in[4].absent()) sum += double(call.in[4].as<float>()[o]);
    call.out[0].as<float>()[to] = activate(splat(float(sum)), int(call.integer(conv2d_sparse_attr::activation)))[0];
  });
  return {};
}

Status qconv2d_sparse_u8_ref(const Call& call) {
  const SconvProblem p = sconv_problem(call);
  ACCELNN_TRY(valid(call, p, 2));
  const TensorView &bias = call.in[7], &out_zero = call.in[8], &y = call.out[0];
  const int32_t *const first = call.in[2].as<int32_t>(), *const index = call.in[3].as<int32_t>();
  const uint8_t zero = *call.in[1].as<uint8_t>();
  each_output(p, [&](int64_t n, int64_t o, int64_t i, int64_t j, int64_t to) {
    uint32_t sum = 0;
    for (int64_t b = first[o / 16]; b < first[o / 16 + 1]; b++)
      for (int64_t r = 0; r < 4; r++) {
        const int64_t at = place(p, n, i, j, index[b] / p.words, index[b] % p.words * 4 + r);
        sum += uint32_t((at < 0 ? zero : call.in[0].as<uint8_t>()[at]) * call.in[4].as<int8_t>()[b * 64 + o % 16 * 4 + r]);
      }
    sum -= zero * uint32_t(call.in[6].as<int32_t>()[o]);
    int32_t v = int32_t(sum + (bias.absent() ? 0u : uint32_t(bias.as<int32_t>()[o])));
    if (call.integer(qconv2d_sparse_attr::relu) && v < 0) v = 0;
    const float f = float(v) * call.in[5].as<float>()[o];
    if (y.dtype == DType::i32) y.as<int32_t>()[to] = v;
    else if (y.dtype == DType::f32) y.as<float>()[to] = f;
    else {
      float q = rint(splat(f))[0] + float(*out_zero.as<uint8_t>());
      q = q > 0 ? q : 0;
      y.as<uint8_t>()[to] = uint8_t(q < 255 ? q : 255);
    }
  });
  return {};
}

}  // namespace accelnn
