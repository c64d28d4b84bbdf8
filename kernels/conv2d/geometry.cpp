#include "conv2d/sizes.h"

namespace accelnn {
namespace conv {

namespace {

// Register tiles of the widest row: the layout is the same for all rows, so that a plan bound for one needs no more memory for another.
constexpr int64_t widest_rows = 14, widest_columns = 32;

// Pixels packed before the tiles run over them: one panel stays in L1 for a few tiles; many tiles of weights want to be read once for several panels.
int64_t columns_for(int64_t row_tiles, int64_t bytes_per_column, int64_t pixels) {
  const int64_t panels = row_tiles <= 2 ? 1 : at_most(row_tiles, 8), fit = (int64_t(256) << 10) / at_least(bytes_per_column * widest_columns, 1);
  return at_most(round_up(at_least(pixels, 1), widest_columns), widest_columns * at_least(at_most(panels, fit), 1));
}

void finish(Layout& l, int64_t units, Cut shared, Cut slice) {
  l.parts = at_most(units, most_parts);
  l.part = shared.at;
  l.slice = slice.at;
  l.bytes = size_t(plus(shared.at, times(l.parts, slice.at)));
}

}  // namespace

Geometry geometry(const Call& call, const TensorView& x, const TensorView& w, const TensorView& y) {
  Geometry g;
  g.n = x.shape[0], g.c = x.shape[1], g.h = x.shape[2], g.w = x.shape[3];
  g.o = w.shape[0], g.r = w.shape[2], g.s = w.shape[3];
  g.oh = y.shape[2], g.ow = y.shape[3];
  g.sh = call.integer(stride_h), g.sw = call.integer(stride_w), g.dh = call.integer(dilation_h), g.dw = call.integer(dilation_w);
  g.top = call.integer(pad_top), g.left = call.integer(pad_left), g.bottom = call.integer(pad_bottom), g.right = call.integer(pad_right);
  g.groups = call.integer(groups);
  // A column of pixels is a row of them: register tiles hold neighbours of a row (127 pixels of 16 channels under 64 taps: 28 GFLOP/s as a column, 116 as
  // a row).
  if (g.w == 1 && g.s == 1 && !g.left && !g.right) {
    g.w = g.h, g.ow = g.oh, g.s = g.r, g.sw = g.sh, g.dw = g.dh, g.left = g.top, g.right = g.bottom;
    g.h = g.oh = g.r = g.sh = g.dh = 1;
    g.top = g.bottom = 0;
  }
  g.cg = g.c / g.groups, g.og = g.o / g.groups, g.k = g.cg * g.r * g.s, g.pixels = g.oh * g.ow;
  g.padded = g.top || g.left || g.bottom || g.right;
  return g;
}

Band band(const Geometry& g, int64_t pixels, bool always_copy) {
  Band b;
  b.rows = at_least(at_most(pixels / at_least(g.ow, 1), g.oh), 1);
  b.count = divide_up(g.oh, b.rows);
  b.rows = divide_up(g.oh, at_least(b.count, 1));
  b.copy = always_copy || g.padded;
  b.in_rows = plus(times(b.rows - 1, g.sh), (g.r - 1) * g.dh + 1);
  b.row = g.left + g.w + g.right;
  b.plane = b.copy ? times(b.in_rows, b.row) : g.h * g.w;
  b.groups16 = divide_up(b.rows * g.ow, group_pixels);
  return b;
}

Layout forward_layout(const Geometry& g) {
  Layout l = {};
  l.band = band(g, 1024, false);
  // Blocks of k as in the matrix product: 512 taps of 14 rows stay in L1, those of all rows in L2.
  l.k_block = g.k <= 768 ? g.k : divide_up(g.k, divide_up(g.k, 512));
  l.columns = columns_for(divide_up(g.og, widest_rows), l.k_block * 4, l.band.rows * g.ow);
  Cut shared, slice;
  l.taps = shared.take(g.k * 8);
  l.lanes = shared.take(times(l.band.groups16, sizeof(Lanes)));
  l.plane = slice.take(l.band.copy ? times(times(g.cg, l.band.plane), 4) : 0);
  l.panel = slice.take(times(l.columns, l.k_block * 4));
  // A small image is one band: the outputs are divided, and every part gathers the columns for itself.
  const int64_t units = times(g.n * g.groups, l.band.count);
  l.cuts = units > 0 && units < most_parts ? at_least(at_most(most_parts / units, g.og / (4 * widest_rows)), 1) : 1;
  finish(l, times(units, l.cuts), shared, slice);
  return l;
}

Layout quantized_layout(const Geometry& g) {
  Layout l = {};
  l.band = band(g, 1024, true);
  l.k_block = round_up(g.k, 4);
  l.columns = columns_for(divide_up(g.og, 8), l.k_block, l.band.rows * g.ow);
  Cut shared, slice;
  l.taps = shared.take(l.k_block * 8);
  l.lanes = shared.take(times(l.band.groups16, sizeof(Lanes)));
  l.weights = shared.take(l.k_block == g.k ? 0 : times(g.o, l.k_block));
  l.start = shared.take(g.o * 4);
  l.plane = slice.take(plus(times(g.cg, l.band.plane), 2 * group_pixels));      // two vectors are read from any tap
  l.panel = slice.take(times(l.columns, l.k_block));
  finish(l, times(g.n * g.groups, l.band.count), shared, slice);
  return l;
}

void fill_tables(const Geometry& g, const Band& b, int64_t channels, int64_t taps, int64_t* tap, Lanes* lanes) {
  int64_t k = 0;
  for (int64_t c = 0; c < channels; c++)
    for (int64_t r = 0; r < g.r; r++)
      for (int64_t s = 0; s < g.s; s++) tap[k++] = c * b.plane + r * g.dh * b.row + s * g.dw;
  while (k < taps) tap[k++] = 0;
  int64_t i = 0, j = 0;                 // the pixel in its band
  for (int64_t at = 0; at < b.groups16; at++)
    for (int lane = 0; lane < group_pixels; lane++) {
      const int64_t here = i * g.sh * b.row + j * g.sw;
      if (lane == 0) lanes[at].start = here;
      lanes[at].distance[lane] = i < b.rows ? int32_t(here - lanes[at].start) : 0;
      if (++j == g.ow) j = 0, i++;
    }
}

Status check_floats(const char* op, const Call& call) {
  for (int i = 0; i <= call.n_in; i++) {
    const TensorView& v = i < call.n_in ? call.in[i] : call.out[0];
    ACCELNN_CHECK(v.absent() || v.dtype == DType::f32, dtype, "%s: an operand is %s, expected f32", op, describe(v).text);
  }
  return {};
}

Status check_vector(const char* op, const char* name, const TensorView& v, DType dtype, int64_t length) {
  ACCELNN_CHECK(v.dtype == dtype, dtype, "%s: %s is %s, expected %s", op, name, name_of(v.dtype), name_of(dtype));
  ACCELNN_CHECK(v.rank == 1 && v.shape[0] == length && v.contiguous(), shape, "%s: %s is %s, expected contiguous [%lld]", op, name, describe(v).text,
                static_cast<long long>(length));
  return {};
}

Status check_scalar(const char* op, const char* name, const TensorView& v, DType dtype) {
  ACCELNN_CHECK(v.dtype == dtype && v.rank == 0, shape, "%s: %s is %s, expected one %s", op, name, describe(v).text, name_of(dtype));
  return {};
}

Status check(const char* op, const Call& call, const TensorView& x, const TensorView& w, const TensorView& y) {
  const TensorView* views[] = {&x, &w, &y};
  const char* names[] = {"image", "weight", "output map"};
  constexpr int64_t limit = int64_t(1) << 31;
  for (int i = 0; i < 3; i++) {
    const TensorView& v = *views[i];
    ACCELNN_CHECK(v.rank == 4, shape, "%s: the %s is %s, expected rank 4", op, names[i], describe(v).text);
    for (int d = 0; d < 4; d++)
      ACCELNN_CHECK(v.shape[d] >= 0 && v.shape[d] < limit, shape, "%s: the %s is %s, a dimension is out of range", op, names[i], describe(v).text);
    ACCELNN_CHECK(v.contiguous(), shape, "%s: the %s must be contiguous", op, names[i]);
  }
  static const char* const slot_names[] = {"stride_h", "stride_w", "pad_top", "pad_left", "pad_bottom",
                                           "pad_right", "dilation_h", "dilation_w", "groups"};
  for (int slot = 0; slot < first_own; slot++) {
    const int64_t value = call.integer(slot), least = slot >= pad_top && slot <= pad_right ? 0 : 1;
    ACCELNN_CHECK(value >= least && value < limit, attribute, "%s: %s = %lld, expected at least %lld and below 2^31", op, slot_names[slot],
                  static_cast<long long>(value), static_cast<long long>(least));
  }
  const int64_t g = call.integer(groups), c = x.shape[1], o = w.shape[0];
  ACCELNN_CHECK(c % g == 0 && o % g == 0, shape, "%s: %lld groups must divide both %lld channels and %lld outputs", op,
                static_cast<long long>(g), static_cast<long long>(c), static_cast<long long>(o));
  ACCELNN_CHECK(w.shape[1] == c / g, shape, "%s: the weight is %s, expected %lld channels in dimension 1 (%lld over %lld groups)", op,
                describe(w).text, static_cast<long long>(c / g), static_cast<long long>(c), static_cast<long long>(g));
  ACCELNN_CHECK(w.shape[2] >= 1 && w.shape[3] >= 1, shape, "%s: the weight is %s, its window is empty", op, describe(w).text);
  for (int axis = 0; axis < 2; axis++) {
    const int64_t reach = (w.shape[2 + axis] - 1) * call.integer(dilation_h + axis) + 1;
    const int64_t size = x.shape[2 + axis] + call.integer(pad_top + axis) + call.integer(pad_bottom + axis);
    ACCELNN_CHECK(reach <= size, shape, "%s: a window of %lld (dilated) does not fit %lld (padded) in %s", op,
                  static_cast<long long>(reach), static_cast<long long>(size), axis ? "width" : "height");
    const int64_t expect = (size - reach) / call.integer(stride_h + axis) + 1;
    ACCELNN_CHECK(y.shape[2 + axis] == expect, shape, "%s: the output map is %s, expected %lld in dimension %d", op, describe(y).text,
                  static_cast<long long>(expect), 2 + axis);
  }
  ACCELNN_CHECK(y.shape[0] == x.shape[0] && y.shape[1] == o, shape, "%s: the output map is %s, expected [%lld, %lld, ...]", op, describe(y).text,
                static_cast<long long>(x.shape[0]), static_cast<long long>(o));
  ACCELNN_CHECK(times(times(w.shape[1], w.shape[2]), w.shape[3]) < limit, unsupported, "%s: the weight is %s, too many products a sum", op,
                describe(w).text);
  // 16 pixels in a row must lie within 2^31 elements of each other.
  const int64_t row = x.shape[3] + call.integer(pad_left) + call.integer(pad_right);
  const int64_t far = times(at_most(group_pixels, y.shape[2] - 1), times(row, call.integer(stride_h)));
  ACCELNN_CHECK(far + group_pixels * call.integer(stride_w) < limit, unsupported, "%s: rows of %lld (padded) with these strides are too long", op,
                static_cast<long long>(row));
  // The copy with borders must stay in proportion to real data: attributes alone may not ask for a huge workspace.
  const int64_t bordered = times(times(c / g, row), x.shape[2] + call.integer(pad_top) + call.integer(pad_bottom));
  const int64_t real = plus(times(times(c, x.shape[2]), x.shape[3]), times(times(o, y.shape[2]), y.shape[3]));
  ACCELNN_CHECK(bordered <= plus(int64_t(1) << 26, times(16, real)), unsupported, "%s: the padding is out of proportion to the image %s", op,
                describe(x).text);
  for (int i = 0; i < call.n_in; i++)
    ACCELNN_CHECK(call.in[i].absent() || !overlap(call.in[i], call.out[0]), aliasing, "%s: the output overlaps input %d", op, i);
  return {};
}

}  // namespace conv
}  // namespace accelnn
