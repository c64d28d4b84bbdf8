// The slow truth: the formulas of the contract, loop by loop, in double.
#include "conv2d_nhwc/conv2d_nhwc.h"
#include "matmul/activation.h"

namespace accelnn {

namespace {

using conv::Geometry;

// Winograd's matrices by the polynomials that they are (Toom and Cook): A^T, G, B^T of F(m, r) at `finite` points and infinity.
// Row (point, phase, c) of weights packed for `strided`, -1 for a phase that the point has nothing of.
int64_t strided_row(int i, int j, int64_t a, int64_t b, int64_t c, int64_t per_group) {
  if ((a && i == 4) || (b && j == 4)) return -1;
  int64_t before = 0;
  for (int p = 0; p < i * 5 + j; p++) before += (p / 5 < 4 ? 2 : 1) * (p % 5 < 4 ? 2 : 1);
  return (before + a * (j < 4 ? 2 : 1) + b) * per_group + c;
}

struct Matrices {
  int m, r, t;
  double at[4][6], g[6][5], bt[6][6];
  Matrices(int algorithm) {
    static const double four[] = {0, 1, -1}, five[] = {1.25, -1.25, 0.5, -0.5}, six[] = {0, 2.0 / 3, -2.0 / 3, 1.5, -1.5};
    const double* const x = algorithm == conv::winograd2 ? four : algorithm == conv::strided ? five
                                                                                             : six;
    m = algorithm == conv::winograd4 || algorithm == conv::strided ? 4 : algorithm == conv::folded ? 3
                                                                                                   : 2;
    r = algorithm == conv::strided ? 2 : algorithm == conv::folded ? 4
        : algorithm == conv::winograd5                             ? 5
                                                                   : 3;
    t = m + r - 1;
    for (int j = 0; j < t; j++) {
      const bool last = j == t - 1;
      double product[7] = {1}, scale = 1, power = 1;      // of (x - point) over the other points: coefficients from the lowest
      int degree = 0;
      for (int i = 0; i < t - 1; i++) {
        if (i == j) continue;
        for (int k = ++degree; k >= 0; k--) product[k] = (k ? product[k - 1] : 0.0) - x[i] * product[k];
        if (!last) scale *= x[j] - x[i];
      }
      for (int k = 0; k < t; k++) bt[j][k] = k <= degree ? product[k] : 0.0;
      for (int k = 0; k < (m > r ? m : r); k++, power *= last ? 1.0 : x[j]) {
        if (k < m) at[k][j] = last ? double(k == m - 1) : power;
        if (k < r) g[j][k] = last ? double(k == r - 1) : power / scale;
      }
    }
  }
};

double finished(const Call& call, double sum, int64_t at, int64_t o) {
  if (!call.in[3].absent()) sum += double(call.in[3].as<float>()[at]);
  if (!call.in[2].absent()) sum += double(call.in[2].as<float>()[o]);
  return double(activate(splat(float(sum)), int(call.integer(conv2d_nhwc_attr::activation)))[0]);
}

double pixel(const Geometry& g, const float* x, int64_t n, int64_t h, int64_t w, int64_t c) {
  return h >= 0 && h < g.h && w >= 0 && w < g.w ? double(x[((n * g.h + h) * g.w + w) * g.c + c]) : 0.0;
}

void by_taps(const Call& call, const Geometry& g, bool grouped_panels) {
  const float *x = call.in[0].as<float>(), *packed = call.in[1].as<float>();
  for (int64_t n = 0; n < g.n; n++)
    for (int64_t i = 0; i < g.oh; i++)
      for (int64_t j = 0; j < g.ow; j++)
        for (int64_t o = 0; o < g.o; o++) {
          const int64_t group = o / g.og, column = grouped_panels ? o % g.og : o;
          const int64_t panel = (grouped_panels ? group * conv::divide_up(g.og, 16) : 0) + column / 16;
          double sum = 0;
          for (int64_t p = 0; p < g.r; p++)
            for (int64_t q = 0; q < g.s; q++)
              for (int64_t c = 0; c < g.cg; c++)
                sum += pixel(g, x, n, i * g.sh + p * g.dh - g.top, j * g.sw + q * g.dw - g.left, group * g.cg + c) *
                    double(packed[(panel * g.k + (p * g.s + q) * g.cg + c) * 16 + column % 16]);
          const int64_t at = ((n * g.oh + i) * g.ow + j) * g.o + o;
          call.out[0].as<float>()[at] = float(finished(call, sum, at, o));
        }
}

// B^T d B of the tile at (h, w), channel c (of the folded image).
void transformed(const Geometry& g, const Matrices& a, int fold, const float* x, int64_t n, int64_t h, int64_t w, int64_t c, double (*v)[6]) {
  double d[6][6], half[6][6];
  for (int i = 0; i < a.t; i++)
    for (int j = 0; j < a.t; j++)
      d[i][j] = fold == 2 ? pixel(g, x, n, 2 * (h + i) + c / (2 * g.c) - g.top, 2 * (w + j) + c / g.c % 2 - g.left, c % g.c)
                          : pixel(g, x, n, h + i * g.dh - g.top, w + j * g.dw - g.left, c);
  for (int i = 0; i < a.t; i++)
    for (int j = 0; j < a.t; j++) {
      half[i][j] = 0;
      for (int k = 0; k < a.t; k++) half[i][j] += a.bt[i][k] * d[k][j];
    }
  for (int i = 0; i < a.t; i++)
    for (int j = 0; j < a.t; j++) {
      v[i][j] = 0;
      for (int k = 0; k < a.t; k++) v[i][j] += half[i][k] * a.bt[j][k];
    }
}

void pack_strided(const TensorView& w, const Matrices& m, float* packed) {
  const int64_t o = w.shape[0], per_group = w.shape[1], panels = conv::divide_up(o, 16);
  for (int64_t output = 0; output < panels * 16; output++)
    for (int64_t c = 0; c < per_group; c++)
      for (int point = 0; point < 25; point++)
        for (int phase = 0; phase < 4; phase++) {
          const int a = phase / 2, b = phase % 2;
          const int64_t row = strided_row(point / 5, point % 5, a, b, c, per_group);
          double sum = 0;
          for (int i = 0; i < 2 - a; i++)
            for (int k = 0; k < 2 - b; k++)
              if (output < o) sum += m.g[point / 5][i] * double(w.as<float>()[((output * per_group + c) * 3 + 2 * i + a) * 3 + 2 * k + b]) * m.g[point % 5][k];
          if (row >= 0) packed[(output / 16 * 81 * per_group + row) * 16 + output % 16] = float(sum);
        }
}

void by_tiles(const Call& call, const Geometry& g, int algorithm) {
  const Matrices a(algorithm);
  const bool phases = algorithm == conv::strided;
  const int fold = algorithm == conv::folded || phases ? 2 : 1;
  const int64_t channels = fold == 2 ? 4 * g.c : g.cg;
  const float *x = call.in[0].as<float>(), *packed = call.in[1].as<float>();
  for (int64_t n = 0; n < g.n; n++)
    for (int64_t h = 0; h < g.oh; h += h % g.dh == g.dh - 1 ? (a.m - 1) * g.dh + 1 : 1)          // as many tiles side by side as the dilation
      for (int64_t w = 0; w < g.ow; w += w % g.dw == g.dw - 1 ? (a.m - 1) * g.dw + 1 : 1)
        for (int64_t o = 0; o < g.o; o++) {
          double products[6][6] = {};
          for (int64_t c = 0; c < channels; c++) {
            double v[6][6];
            transformed(g, a, fold, x, n, h, w, o / g.og * g.cg + c, v);
            const int64_t row = conv::in_lanes(g) ? c ^ o % g.og : c;
            for (int i = 0; i < a.t; i++)
              for (int j = 0; j < a.t; j++) {
                const int64_t at = phases ? strided_row(i, j, c / (2 * g.c), c / g.c % 2, c % g.c, g.c) : (i * a.t + j) * channels + row;
                if (at >= 0) products[i][j] += v[i][j] * double(packed[(o / 16 * (phases ? 81 * g.c : a.t * a.t * channels) + at) * 16 + o % 16]);
              }
          }
          for (int64_t i = 0; i < a.m && h + i * g.dh < g.oh; i++)
            for (int64_t j = 0; j < a.m && w + j * g.dw < g.ow; j++) {
              double sum = 0;
              for (int p = 0; p < a.t; p++)
                for (int q = 0; q < a.t; q++) sum += a.at[i][p] * products[p][q] * a.at[j][q];
              const int64_t at = ((n * g.oh + h + i * g.dh) * g.ow + w + j * g.dw) * g.o + o;
              call.out[0].as<float>()[at] = float(finished(call, sum, at, o));
            }
        }
}

}  // namespace

Status conv2d_nhwc_f32_ref(const Call& call) {
  const Geometry g = conv::geometry_nhwc(call);
  const int algorithm = int(call.integer(conv2d_nhwc_attr::algorithm));
  if (conv::by_tiles(algorithm)) by_tiles(call, g, algorithm);
  else by_taps(call, g, algorithm == conv::panels);
  return {};
}

Status conv2d_pack_f32_ref(const Call& call) {
  const TensorView& w = call.in[0];
  const int64_t o = w.shape[0], per_group = w.shape[1], r = w.shape[2], s = w.shape[3], groups = call.integer(conv2d_pack_attr::groups);
  const int algorithm = int(call.integer(conv2d_pack_attr::algorithm));
  const conv::PackedShape shape = conv::packed_shape(algorithm, o, per_group, r, s, groups);
  const bool winograd = conv::by_tiles(algorithm);
  const int64_t parts = algorithm == conv::panels ? groups : 1, mine = o / parts, each = shape.panels / (parts ? parts : 1);
  const Matrices a(winograd ? algorithm : int(conv::winograd2));
  const int64_t channels = algorithm == conv::folded ? 4 * per_group : per_group;
  if (algorithm == conv::strided) {
    pack_strided(w, a, call.out[0].as<float>());
    return {};
  }
  for (int64_t panel = 0; panel < shape.panels; panel++)
    for (int64_t row = 0; row < shape.taps; row++)
      for (int64_t j = 0; j < 16; j++) {
        const int64_t column = panel % each * 16 + j, output = panel / each * mine + column;
        float& to = call.out[0].as<float>()[(panel * shape.taps + row) * 16 + j];
        to = 0.0f;
        if (column >= mine) continue;
        const int64_t tap = row / channels, c = winograd && conv::in_lanes(groups, o) ? row % channels ^ column % channels : row % channels;
        if (!winograd) {
          to = w.as<float>()[(output * per_group + c) * r * s + tap];
          continue;
        }
        double sum = 0;
        for (int i = 0; i < a.r; i++)
          for (int k = 0; k < a.r; k++) {
            const int64_t p = algorithm == conv::folded ? 2 * i + c / (2 * per_group) : i, q = algorithm == conv::folded ? 2 * k + c / per_group % 2 : k;
            if (p < r && q < s) sum += a.g[tap / a.t][i] * double(w.as<float>()[((output * per_group + c % per_group) * r + p) * s + q]) * a.g[tap % a.t][k];
          }
        to = float(sum);
      }
  return {};
}

}  // namespace accelnn
