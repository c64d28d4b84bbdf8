// The slow truth: the formula of the contract, product by product.
#include "qconv/qconv2d_packed.h"
#include "vec.h"

namespace accelnn {

Status qconv2d_packed_u8_ref(const Call& call) {
  const TensorView &bias = call.in[4], &out_zero = call.in[5], &y = call.out[0];
  const QconvProblem p = qconv_problem(call);
  const conv::Geometry& g = p.g;
  const uint8_t *x = call.in[0].as<uint8_t>(), zero = *call.in[1].as<uint8_t>();
  const int8_t* w = call.in[2].as<int8_t>();
  const auto weight = [&](int64_t o, int64_t c, int64_t r, int64_t s) {
    const int64_t n = p.depthwise ? o : o % g.og, panel = (p.depthwise ? 0 : o / g.og * p.panels) + n / 16;
    const int64_t piece = p.pieces_w > 1 ? r * g.s + s : r, byte = p.depthwise ? s : p.pieces_w > 1 || g.s == 1 ? c
                                                                                                                : s * g.cg + c;
    return w[(panel * (p.quads + 1) + piece * ((p.piece + 3) / 4) + byte / 4) * 64 + n % 16 * 4 + byte % 4];
  };
  for (int64_t image = 0; image < g.n; image++)
    for (int64_t o = 0; o < g.o; o++)
      for (int64_t pixel = 0; pixel < g.pixels; pixel++) {
        int32_t sum = 0;
        for (int64_t c = 0; c < g.cg; c++)
          for (int64_t r = 0; r < g.r; r++)
            for (int64_t s = 0; s < g.s; s++) {
              const int64_t h = pixel / g.ow * g.sh + r * g.dh - g.top, v = pixel % g.ow * g.sw + s * g.dw - g.left, channel = o / g.og * g.cg + c;
              if (h < 0 || h >= g.h || v < 0 || v >= g.w) continue;
              const int64_t at = p.x_last ? ((image * g.h + h) * g.w + v) * g.c + channel : ((image * g.c + channel) * g.h + h) * g.w + v;
              sum += (x[at] - zero) * weight(o, c, r, s);
            }
        const int64_t at = p.y_last ? (image * g.pixels + pixel) * g.o + o : (image * g.o + o) * g.pixels + pixel;
        int32_t v = int32_t(uint32_t(sum) + (bias.absent() ? 0u : uint32_t(bias.as<int32_t>()[o])));
        if (call.integer(qconv2d_packed_attr::relu) && v < 0) v = 0;
        const float f = float(v) * call.in[3].as<float>()[o];
        if (y.dtype == DType::i32) {
          y.as<int32_t>()[at] = v;
        } else if (y.dtype == DType::f32) {
          y.as<float>()[at] = f;
        } else {
          float q = rint(splat(f))[0] + float(*out_zero.as<uint8_t>());
          q = q > 0 ? q : 0;
          y.as<uint8_t>()[at] = uint8_t(q < 255 ? q : 255);
        }
      }
  return {};
}

}  // namespace accelnn
