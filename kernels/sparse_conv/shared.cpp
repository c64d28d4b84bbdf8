// The loops around the tiles, compiled once for all ISAs: the blocks' offsets, the image laid out, then every part computes some lines for some outputs.
#include "pool.h"
#include "qconv/turn.h"
#include "sparse_conv/tiles.h"

namespace accelnn {

namespace {

using conv::at_least;
using conv::at_most;
using conv::divide_up;

struct Map {
  const Call& call;
  const SconvProblem& p;
  const SconvIsa& isa;
  const int32_t *first, *offset, *starts;
  const float* scale;
  const char* values;
  bool plain;                           // every scale is in (0, 1/2]
  int zero;                             // bytes: of the output
  int64_t group;                        // lines that a tile takes together
  int32_t fill;                         // of the borders

  // Lines [group * first_group, group * end_group) of the image number `image` for the strips [s0, s1); s0 in whole tiles of 64 outputs.
  // `source`: null, or the image itself, of which every line is laid out when it is due, in the place of the first: it is read again from L1 or L2.
  void run(int32_t* x, const char* source, int64_t image, int64_t first_group, int64_t end_group, int64_t s0, int64_t s1) const {
    const conv::Geometry& g = p.g;
    const int64_t lines_end = at_most(end_group * group, p.lines);
    for (int64_t line = first_group * group; line < lines_end;) {
      int64_t together = group;
      while (together > lines_end - line) together /= 2;
      const int64_t at = line * p.width, width = p.flat ? at_most(p.width, g.pixels - at) : p.width;
      const int64_t tiles = together > 1 ? 1 : divide_up(width, isa.rows);
      const int64_t place = source ? first_group : line;
      if (source) isa.lay_out(p, source, line, fill, x + place * p.row_words);
      for (int64_t tile = 0; tile < tiles; tile++) {
        const int64_t i = width * tile / tiles, n = width * (tile + 1) / tiles - i;
        SconvTile t = {};
        t.x = x + place * p.line_rows * p.row_words + i;
        t.line = p.line_rows * p.row_words;
        if (p.bytes) byte_strips(t, image, at + i, int(together), int(n), s0, s1);
        else float_strips(t, image, at + i, int(together), int(n), s0, s1);
      }
      line += together;
    }
  }

 private:
  void blocks(SconvTile& t, int64_t s) const {
    t.offset = offset + first[s];
    t.count = first[s + 1] - first[s];
    t.values = values + int64_t(first[s]) * 64;
  }

  void float_strips(SconvTile& t, int64_t image, int64_t pixel, int lines, int pixels, int64_t s0, int64_t s1) const {
    const conv::Geometry& g = p.g;
    const TensorView &bias = call.in[4], &residual = call.in[5];
    t.y_last = p.y_last;
    t.y_row = p.y_last ? g.o : g.pixels;
    t.how = int(call.integer(conv2d_sparse_attr::activation));
    for (int64_t s = s0; s < s1; s++) {
      const int64_t o = s * sconv_strip, at = image * g.o * g.pixels + (p.y_last ? pixel * g.o + o : o * g.pixels + pixel);
      blocks(t, s);
      t.bias = bias.absent() ? nullptr : bias.as<float>() + o;
      t.residual = residual.absent() ? nullptr : residual.as<float>() + at;
      t.y = call.out[0].as<float>() + at;
      t.columns = int(at_most(g.o - o, sconv_strip));
      isa.tile(lines, pixels, t);
    }
  }

  void byte_strips(SconvTile& t, int64_t image, int64_t pixel, int lines, int pixels, int64_t s0, int64_t s1) const {
    const conv::Geometry& g = p.g;
    const TensorView& y = call.out[0];
    const int64_t n = int64_t(lines) * pixels, size = int64_t(size_of(y.dtype));
    alignas(64) int32_t sums[sconv_most * sconv_columns];
    alignas(64) char block[sconv_most * sconv_columns * 4];
    for (int64_t s = s0; s < s1; s += sconv_columns / sconv_strip) {
      const int64_t o = s * sconv_strip, columns = at_most(at_most(s1, s + sconv_columns / sconv_strip) * sconv_strip, g.o) - o;
      for (int64_t k = 0; k < divide_up(columns, sconv_strip); k++) {
        blocks(t, s + k);
        t.start = starts + o + k * sconv_strip;
        t.sums = sums + k * sconv_strip;
        isa.tile(lines, pixels, t);
      }
      char* const map = y.as<char>() + image * g.o * g.pixels * size;
      const bool through = plain && p.y_last && columns == sconv_columns;      // straight into y
      const QconvFinish f = {nullptr, scale + o, zero, call.integer(qconv2d_sparse_attr::relu) != 0, plain,
                             through ? reinterpret_cast<uint8_t*>(map) + pixel * g.o + o : reinterpret_cast<uint8_t*>(block), through ? g.o : sconv_columns,
                             nullptr};
      if (plain) isa.plain(sums, n, sconv_columns, f);
      else isa.finish(sums, n, y.dtype, f, block);
      if (through) continue;
      if (p.y_last)
        for (int64_t i = 0; i < n; i++) std::memcpy(map + ((pixel + i) * g.o + o) * size, block + i * sconv_columns * size, size_t(columns * size));
      else if (size == 1)
        turn::to_channels_first(reinterpret_cast<const uint8_t*>(block), sconv_columns, n, columns, reinterpret_cast<uint8_t*>(map) + o * g.pixels + pixel,
                                g.pixels);
      else
        for (int64_t c = 0; c < columns; c++)
          for (int64_t i = 0; i < n; i++) std::memcpy(map + ((o + c) * g.pixels + pixel + i) * 4, block + (i * sconv_columns + c) * 4, 4);
    }
  }
};

}  // namespace

Status conv2d_sparse(const Call& call, const SconvIsa& isa) {
  const SconvProblem p = sconv_problem(call);
  const conv::Geometry& g = p.g;
  const int b = p.bytes ? 2 : 1;        // of the blocks' operands
  const int32_t *const first = call.in[b].as<int32_t>(), *const index = call.in[b + 1].as<int32_t>();
  ACCELNN_TRY(sconv_first(p, first));
  if (call.out[0].count() == 0) return {};

  char* const work = static_cast<char*>(call.work);
  int32_t *const offset = reinterpret_cast<int32_t*>(work), *const starts = reinterpret_cast<int32_t*>(work + p.starts_at);
  float* const scale = reinterpret_cast<float*>(work + p.scale_at);
  int32_t* const table = reinterpret_cast<int32_t*>(work + p.table_at);
  for (int64_t tap = 0; tap < p.taps; tap++) {
    const int64_t q = tap % g.s * g.dw;
    table[tap] = int32_t(tap / g.s * p.tap_row + q % g.sw * p.phase + q / g.sw - tap * p.words * p.pitch);
  }
  constexpr int64_t together = 16;      // strips
  int corrupt = 0;
  parallel(call, divide_up(p.strips, together), 4 * p.blocks, [&](int64_t part) {
    const int64_t from = first[part * together], to = first[at_most((part + 1) * together, p.strips)];
    if (!isa.offsets(index + from, to - from, p, table, offset + from)) __atomic_store_n(&corrupt, 1, __ATOMIC_RELAXED);
  });
  ACCELNN_CHECK(!corrupt, format, "%s: an index is not within 0..%lld: the weights are corrupt", p.bytes ? "qconv2d_sparse" : "conv2d_sparse",
                static_cast<long long>(p.taps * p.words - 1));

  Map map = {call, p, isa, first, offset, starts, scale, call.in[b + 2].as<char>(), p.bytes && call.out[0].dtype == DType::u8, 0, 1, 0};
  int32_t fill = 0;
  if (p.bytes) {
    const TensorView &bias = call.in[7], &zero = call.in[8];
    const uint32_t x_zero = *call.in[1].as<uint8_t>();
    fill = int32_t(x_zero * 0x01010101u);
    map.fill = fill;
    map.zero = zero.absent() ? 0 : *zero.as<uint8_t>();
    const int32_t* const sums = call.in[6].as<int32_t>();
    for (int64_t o = 0; o < conv::round_up(g.o, sconv_columns); o++) {
      const bool real = o < g.o;
      const uint32_t first_sum = real && !bias.absent() ? uint32_t(bias.as<int32_t>()[o]) : 0u;
      const float each = real ? call.in[5].as<float>()[o] : 0.5f;
      scale[o] = each;
      map.plain = map.plain && each > 0.0f && each <= 0.5f;
      starts[o] = real ? int32_t(first_sum - (x_zero - uint32_t(isa.offset)) * uint32_t(sums[o])) : 0;
    }
  }
  // Lines of a map of up to 14 or 7 pixels go two or four at a time.
  while (!p.flat && map.group < isa.lines && 2 * map.group * p.width <= isa.rows && 2 * map.group <= p.lines) map.group *= 2;

  const int64_t groups = divide_up(p.lines, map.group), tiles = divide_up(g.o, sconv_columns);
  const double work_done = 2.0 * double(p.blocks) * double(g.pixels) * 16;
  for (int64_t n0 = 0; n0 < g.n; n0 += p.images) {
    const int64_t images = at_most(p.images, g.n - n0);
    int32_t* const laid = reinterpret_cast<int32_t*>(work + p.image_at);
    const int64_t pixel_bytes = p.bytes ? 1 : 4;
    const char* const x = call.in[0].as<char>() + n0 * g.c * g.h * g.w * pixel_bytes;
    const int64_t bands = at_most(groups, 16), cuts = at_least(at_most(divide_up(16, images * bands), tiles), 1);
    const double worth = double(images) * work_done;
    // It is not what such a call waits for (504 us after 476, of them 176 products): sconv_turn's blocks of 16 x 16 take some 300 cycles each.
    const bool line_by_line = p.flat && !p.direct && cuts == 1;         // 3 MiB less traffic at 256 x 56 x 56
    const auto image_of = [&](int64_t i) { return x + i * g.c * g.h * g.w * pixel_bytes; };
    if (!p.direct && !line_by_line)
      parallel(call, images * p.rows, images * p.image * 8, [&](int64_t i) {
        isa.lay_out(p, image_of(i / p.rows), i % p.rows, fill, laid + i / p.rows * p.image + i % p.rows * p.row_words);
      });
    // Only written to where lines are laid out.
    int32_t* const from = p.direct ? reinterpret_cast<int32_t*>(const_cast<char*>(x)) : laid;
    parallel(call, images * bands * cuts, worth < 1e18 ? int64_t(worth) : int64_t(1e18), [&](int64_t i) {
      const int64_t cut = i % cuts, band = i / cuts % bands, image = i / cuts / bands;
      const int64_t s0 = tiles * cut / cuts * (sconv_columns / sconv_strip), s1 = tiles * (cut + 1) / cuts * (sconv_columns / sconv_strip);
      map.run(from + image * p.image, line_by_line ? image_of(image) : nullptr, n0 + image, groups * band / bands, groups * (band + 1) / bands, s0,
              at_most(s1, p.strips));
    });
  }
  return {};
}

}  // namespace accelnn
