// qconv2d_packed around the tiles of any ISA: the image is bordered and turned channels last where it is not, then every part computes some lines of
// the map for some outputs.
#include "pool.h"
#include "qconv/tiles.h"
#include "qconv/turn.h"

namespace accelnn {

namespace {

using conv::at_most;
constexpr int64_t block_bytes = 32768;         // of results that wait for their order, on the stack

// Rows [h0, h1) of the bordered copy of one image.
void copy_rows(const QconvProblem& p, const uint8_t* x, uint8_t zero, int64_t h0, int64_t h1, uint8_t* to) {
  const conv::Geometry& g = p.g;
  const auto real = [&](int64_t h) { return h < g.top ? 0 : h - g.top > g.h ? g.h
                                                                            : h - g.top; };      // how many real rows lie above
  const int64_t first = real(h0), end = real(h1);
  uint8_t* const inner = to + g.top * p.row + g.left * g.c;
  if (p.x_last)
    for (int64_t h = first; h < end; h++) std::memcpy(inner + h * p.row, x + h * g.w * g.c, size_t(g.w * g.c));
  else if (g.c == 3)
    for (int64_t h = first; h < end; h++) turn::three_to_channels_last(x + h * g.w, g.h * g.w, 0, g.w, inner + h * p.row);
  else if (p.row == g.w * g.c)
    turn::to_channels_last(x, g.h * g.w, g.c, first * g.w, end * g.w, inner, [&](int64_t i) { return i * g.c; });
  else if (g.w >= 16)
    for (int64_t h = first; h < end; h++)
      turn::to_channels_last(x + h * g.w, g.h * g.w, g.c, 0, g.w, inner + h * p.row, [&](int64_t i) { return i * g.c; });
  else
    turn::to_channels_last(x, g.h * g.w, g.c, first * g.w, end * g.w, inner, [&](int64_t i) { return i / g.w * p.row + i % g.w * g.c; });
  for (int64_t h = h0; h < h1; h++) {
    uint8_t* const row = to + h * p.row;
    if (h < g.top || h >= g.top + g.h) {
      std::memset(row, zero, size_t(p.row));
      continue;
    }
    std::memset(row, zero, size_t(g.left * g.c));
    std::memset(row + (g.left + g.w) * g.c, zero, size_t(p.row - (g.left + g.w) * g.c));
  }
}

// Results that wait: pixels [first, first + count) of a map, qconv_columns outputs each, into y.
void write_block(const QconvProblem& p, const char* block, DType type, int64_t first, int64_t count, int64_t j, int64_t columns, char* map) {
  const conv::Geometry& g = p.g;
  const int64_t size = int64_t(size_of(type));
  if (p.y_last)
    for (int64_t i = 0; i < count; i++) std::memcpy(map + ((first + i) * g.o + j) * size, block + i * qconv_columns * size, size_t(columns * size));
  else if (size == 1)
    turn::to_channels_first(reinterpret_cast<const uint8_t*>(block), qconv_columns, count, columns, reinterpret_cast<uint8_t*>(map) + j * g.pixels + first,
                            g.pixels);
  else
    for (int64_t c = 0; c < columns; c++)
      for (int64_t i = 0; i < count; i++) std::memcpy(map + ((j + c) * g.pixels + first + i) * 4, block + (i * qconv_columns + c) * 4, 4);
}

// What depends on the weights alone: where the sums start, scales in whole tiles, and the weights of a depthwise window in the order of the lanes.
struct Prepared {
  const int32_t* start;
  const float* scale;
  const char* weights;
  bool plain;                                  // every scale is in (0, 1/2]
  bool strips;
};

// Depthwise, by strips: how many times the channels from j on, less than a vector, find room in one.
int64_t fold_of(int64_t channels, int64_t vector) { return vector / (channels <= 16 ? 16 : channels <= 32 && vector == 64 ? 32
                                                                                                                          : vector); }

// The place of channel n of a tile among the lanes of a depthwise kernel: four of every 16 in turn.
int64_t lane_of(int64_t n, int vector_bytes) { return n / vector_bytes * vector_bytes + n % 16 / 4 * (vector_bytes / 4) + n % vector_bytes / 16 * 4 + n % 4; }

Prepared prepare(const Call& call, const QconvProblem& p, const QconvIsa& isa) {
  const conv::Geometry& g = p.g;
  const TensorView& bias = call.in[4];
  const char* const w = call.in[2].as<char>();
  char* const work = static_cast<char*>(call.work);
  int32_t* const start = reinterpret_cast<int32_t*>(work);
  float* const scale = reinterpret_cast<float*>(work + p.scale_at);
  const uint32_t zero = uint32_t(*call.in[1].as<uint8_t>() - (p.winograd ? 128 : isa.offset));
  const int64_t groups = p.depthwise ? 1 : g.groups, og = p.depthwise ? g.c : g.og, panel = (p.quads + 1) * 64;
  bool plain = call.out[0].dtype == DType::u8;
  for (int64_t o = 0; o < g.o; o++) plain = plain && call.in[3].as<float>()[o] > 0.0f && call.in[3].as<float>()[o] <= 0.5f;
  const bool strips = p.strips && plain;
  const int64_t vector = isa.vector_bytes, last = og / vector * vector, space = vector / fold_of(og - last, vector);      // of the last channels
  const auto channel = [&](int64_t n) { return strips && n >= last ? last + (n - last) % space : n; };
  for (int64_t group = 0; group < groups; group++)
    for (int64_t k = 0; k < p.columns; k++) {
      const int64_t at = group * p.columns + (p.depthwise ? lane_of(k, vector) : k), n = channel(k), o = group * og + n;
      uint32_t sum = 0;
      if (n < og) std::memcpy(&sum, w + (group * p.panels + n / 16) * panel + p.quads * 64 + n % 16 * 4, 4);
      start[at] = n < og ? int32_t((bias.absent() ? 0u : uint32_t(bias.as<int32_t>()[o])) - zero * sum) : 0;
      scale[group * p.columns + (plain ? at % p.columns : k)] = n < og ? call.in[3].as<float>()[o] : 0.5f;
    }
  char* const turned = work + p.weights_at;
  if (p.depthwise) {
    const int64_t row_quads = conv::divide_up(g.s, 4), quads = conv::divide_up(g.r, 4) * g.s;
    for (int64_t n = 0; n < p.columns; n += 16)
      for (int64_t q = 0; q < quads; q++) {
        uint32_t rows[16] = {};              // byte b of a channel: row 4 (q / S) + b of column q % S
        for (int64_t b = 0, r = q / g.s * 4; b < 4 && r < g.r && channel(n) < p.panels * 16; b++, r++) {
          uint32_t line[16];
          std::memcpy(line, w + channel(n) / 16 * panel + (r * row_quads + q % g.s / 4) * 64, 64);
          for (int k = 0; k < 16; k++) rows[k] |= (line[k] >> q % g.s % 4 * 8 & 255) << 8 * b;
        }
        char* const to = turned + (n / vector * quads + q) * vector * 4 + n % vector;
        for (int k = 0; k < 4; k++) std::memcpy(to + k * vector, rows + 4 * k, 16);
      }
  }
  return {start, scale, turned, plain, strips};
}

struct Part {
  const QconvProblem& p;
  const QconvIsa& isa;
  const Prepared& prepared;
  const char* w;
  DType type;
  int zero;
  bool relu;
  uint8_t x_zero;

  // Lines [line0, line1) of one image for the columns [j0, j1) of a group.
  void run(const uint8_t* image, char* map, int64_t group, int64_t line0, int64_t line1, int64_t j0, int64_t j1) const {
    const conv::Geometry& g = p.g;
    const int64_t og = p.depthwise ? g.c : g.og, panel = (p.quads + 1) * 64, size = int64_t(size_of(type)), most = block_bytes / qconv_columns / size;
    alignas(64) char block[block_bytes];
    alignas(64) int32_t sums[32 * qconv_columns];
    for (int64_t j = j0; j < j1; j += qconv_columns) {
      const int64_t columns = at_most(qconv_columns, og - j);
      const bool direct = p.y_last && prepared.plain && columns % (p.depthwise ? qconv_columns : isa.narrow_columns) == 0;      // straight into y
      const bool narrow = p.panels * 16 - j < isa.columns || columns <= isa.narrow_columns;       // every tile of this block
      const int64_t height = p.depthwise ? qconv_depthwise_pixels : narrow ? isa.narrow_rows
                                                                           : isa.rows;
      QconvFinish f = {prepared.start + group * p.columns + j, prepared.scale + group * p.columns + j, zero, relu, prepared.plain, nullptr,
                       direct ? g.o : qconv_columns, sums};
      int64_t held_from = 0, held = 0;         // pixels in the block
      const auto flush = [&] {
        if (held && !direct) write_block(p, block, type, held_from, held, group * og + j, columns, map);
        held = 0;
      };
      for (int64_t line = line0; line < line1; line++) {
        const int64_t at = p.flat ? g.pixels * line / p.lines : line * g.ow, pixels = p.flat ? g.pixels * (line + 1) / p.lines - at : g.ow;
        const uint8_t* const from = p.flat ? image + at * g.c : image + line * g.sh * p.row;
        const int64_t step = p.flat ? g.c : g.sw * g.c, tiles = (pixels + height - 1) / height;
        for (int64_t tile = 0; tile < tiles; tile++) {
          const int64_t i = pixels * tile / tiles, n = pixels * (tile + 1) / tiles - i;
          if (held + n > most) flush();
          if (!held) held_from = at + i;
          f.y = direct ? reinterpret_cast<uint8_t*>(map) + (at + i) * g.o + group * og + j : reinterpret_cast<uint8_t*>(block) + held * qconv_columns;
          if (p.depthwise) pixels_of_channels(from + i * step + j, n, j, columns, f);
          else pixels_of_columns(from + i * step + group * g.cg, step, int(n), group, j, columns, panel, f);
          if (!prepared.plain) isa.finish(sums, n, type, f, block + held * qconv_columns * size);
          held += n;
        }
      }
      flush();
    }
  }

  // The same of depthwise windows of 3 x 3, plain, into a map that is channels last. The image ends at `end`.
  void run_strips(const uint8_t* image, const uint8_t* end, bool copied, char* map, int64_t line0, int64_t line1, int64_t j0, int64_t j1) const {
    const conv::Geometry& g = p.g;
    for (int64_t j = j0; j < j1; j += isa.vector_bytes) {
      const int64_t channels = at_most(g.c - j, isa.vector_bytes);
      const QconvFinish f = {prepared.start + j, prepared.scale + j, zero, relu, true, reinterpret_cast<uint8_t*>(map) + j, g.o, nullptr};
      QconvLines t = {image + j, end, g.h, g.w, g.w * g.c, g.c, g.top, g.left, g.sh, g.sw, x_zero, line0, line1, g.ow, channels,
                      channels < isa.vector_bytes ? fold_of(channels, isa.vector_bytes) : 1, prepared.weights + j * 12, f};
      if (copied) t.h = p.rows, t.w = p.row / g.c, t.row = p.row, t.top = 0, t.left = 0;
      isa.lines(t);
    }
  }

  // Tiles [t0, t1) of one image for the columns [j0, j1), by way of 36 points each.
  void run_winograd(const uint8_t* image, const char* weights, char* slice, char* map, int64_t t0, int64_t t1, int64_t j0, int64_t j1) const {
    const conv::Geometry& g = p.g;
    const WinogradIsa& wino = isa.winograd;
    const int64_t n = t1 - t0, point = p.block * p.tile_row, sums_point = p.block * qconv_columns, panel = 36 * (g.c / 2) * 64;
    int32_t* const products = reinterpret_cast<int32_t*>(slice + 36 * point);
    for (int64_t t = t0; t < t1; t++)
      wino.input(image + t / p.tiles_w * 4 * p.row + t % p.tiles_w * 4 * g.c, p.row, g.c, slice + (t - t0) * p.tile_row, point);
    for (int64_t j = j0; j < j1; j += qconv_columns) {
      const int64_t columns = at_most(qconv_columns, g.o - j), groups = (n + wino.rows - 1) / wino.rows;
      for (int64_t at = 0; at < 36; at++)
        for (int64_t k = 0; k < columns;) {
          const int64_t left = p.panels - (j + k) / 16;
          const bool narrow = left * 16 < wino.columns || columns - k <= wino.narrow_columns;
          const int64_t width = narrow ? wino.narrow_columns : wino.columns;
          for (int64_t i = 0; i < groups; i++) {
            const int64_t r0 = n * i / groups, r1 = n * (i + 1) / groups;
            const char* const w = weights + (j + k) / 16 * panel + at * (g.c / 2) * 64 + (j + k) % 16 * 4;
            int32_t* const to = products + at * sums_point + r0 * qconv_columns + k;
            const auto product = narrow ? wino.narrow : wino.product;
            product(int(r1 - r0), {g.c / 2, slice + at * point + r0 * p.tile_row, p.tile_row, w, left * 16 < width ? 0 : panel, to});
          }
          k += width;
        }
      const int whole = int(conv::round_up(columns, wino.narrow_columns));
      alignas(64) int32_t sums[16 * qconv_columns];
      alignas(64) char block[16 * qconv_columns * 4];
      const QconvFinish f = {prepared.start + j, prepared.scale + j, zero, relu, prepared.plain, reinterpret_cast<uint8_t*>(block), qconv_columns, sums};
      for (int64_t t = t0; t < t1; t++) {
        wino.output(products + (t - t0) * qconv_columns, sums_point, whole, f.start, sums);
        const int64_t h = t / p.tiles_w * 4, v = t % p.tiles_w * 4;
        if (prepared.plain && p.y_last && whole == columns) {            // straight into y
          for (int64_t i = 0; i < at_most(4, g.oh - h); i++) {
            QconvFinish line = f;
            line.y = reinterpret_cast<uint8_t*>(map) + ((h + i) * g.ow + v) * g.o + j;
            line.y_row = g.o;
            wino.plain(sums + 4 * i * qconv_columns, at_most(4, g.ow - v), whole, line);
          }
          continue;
        }
        if (prepared.plain) wino.plain(sums, 16, whole, f);
        else isa.finish(sums, 16, type, f, block);
        write_tile(block, h, v, j, columns, map);
      }
    }
  }

 private:
  // 4 x 4 pixels, or as many of them as there are.
  void write_tile(const char* block, int64_t h, int64_t w, int64_t j, int64_t columns, char* map) const {
    const conv::Geometry& g = p.g;
    const int64_t rows = at_most(4, g.oh - h), n = at_most(4, g.ow - w), size = int64_t(size_of(type));
    if (p.y_last) {
      for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < n; k++)
          std::memcpy(map + (((h + i) * g.ow + w + k) * g.o + j) * size, block + (4 * i + k) * qconv_columns * size, size_t(columns * size));
      return;
    }
    if (size == 4) {
      for (int64_t c = 0; c < columns; c++)
        for (int64_t i = 0; i < rows; i++)
          for (int64_t k = 0; k < n; k++)
            std::memcpy(map + ((j + c) * g.pixels + (h + i) * g.ow + w + k) * 4, block + ((4 * i + k) * qconv_columns + c) * 4, 4);
      return;
    }
    for (int64_t c = 0; c < columns; c += 16) {
      turn::bytes16 turned[16];
      turn::turn_16(reinterpret_cast<const uint8_t*>(block) + c, qconv_columns, 16, turned);
      for (int64_t k = 0; k < 16 && c + k < columns; k++) {
        char* const to = map + (j + c + k) * g.pixels + h * g.ow + w;
        const char* const from = reinterpret_cast<const char*>(&turned[k]);
        for (int64_t i = 0; i < rows; i++)
          if (n == 4) std::memcpy(to + i * g.ow, from + 4 * i, 4);
          else std::memcpy(to + i * g.ow, from + 4 * i, size_t(n));
      }
    }
  }

  void pixels_of_columns(const uint8_t* x, int64_t step, int n, int64_t group, int64_t j, int64_t columns, int64_t panel, const QconvFinish& f) const {
    const conv::Geometry& g = p.g;
    QconvTile t = {x, step, p.pieces_h, g.dh * p.row, p.pieces_w, g.dw * g.c, (p.piece + 3) / 4, nullptr, panel, f};
    for (int64_t k = 0; k < columns;) {
      const int64_t left = p.panels - (j + k) / 16;
      const bool narrow = left * 16 < isa.columns || columns - k <= isa.narrow_columns;
      const int64_t width = narrow ? isa.narrow_columns : isa.columns;
      t.b = w + (group * p.panels + (j + k) / 16) * panel + (j + k) % 16 * 4;
      t.b_panel = left * 16 < width ? 0 : panel;       // a last odd panel is read twice rather than past the end
      t.finish.start = f.start + k, t.finish.scale = f.scale + k, t.finish.y = f.y + k, t.finish.sums = f.sums + k;
      (narrow ? isa.narrow : isa.tile)(n, t);
      k += width;
    }
  }

  void pixels_of_channels(const uint8_t* x, int64_t n, int64_t j, int64_t columns, const QconvFinish& f) const {
    const conv::Geometry& g = p.g;
    const int64_t whole = conv::round_up(columns, isa.vector_bytes);
    isa.depthwise({x, g.c, g.sw, n, g.r, g.dh * p.row, g.s, g.dw, prepared.weights + j * conv::divide_up(g.r, 4) * g.s * 4, int(whole), f});
  }
};

}  // namespace

Status qconv2d_packed(const Call& call, const QconvIsa& isa) {
  const QconvProblem p = qconv_problem(call);
  const conv::Geometry& g = p.g;
  const TensorView &x = call.in[0], &out_zero = call.in[5], &y = call.out[0];
  if (y.count() == 0) return {};
  const Prepared prepared = prepare(call, p, isa);
  // Four by four outputs at a time are four pieces of four bytes in each plane: 64 x 56 x 56 took 51 us more than channels last; turned as a whole 3 us more.
  QconvProblem inner = p;
  const bool turn_back = p.turn_back && (p.winograd || prepared.strips), copy = p.copy && !(prepared.strips && p.x_last);
  inner.y_last = p.y_last || turn_back;
  const Part part = {inner, isa, prepared, call.in[2].as<char>(), y.dtype, out_zero.absent() ? 0 : *out_zero.as<uint8_t>(),
                     call.integer(qconv2d_packed_attr::relu) != 0, *call.in[1].as<uint8_t>()};
  uint8_t* const copies = static_cast<uint8_t*>(call.work) + p.image_at;
  const int64_t groups = p.depthwise ? 1 : g.groups, og = p.depthwise ? g.c : g.og, tiles = conv::divide_up(og, qconv_columns);
  const int64_t rows = p.rows, pieces = conv::at_least(at_most(at_most(8, rows), g.h * g.w / 64), 1), in_bytes = g.c * g.h * g.w,
                out_bytes = g.o * g.pixels * int64_t(size_of(y.dtype));
  char* const slices = static_cast<char*>(call.work) + p.slice_at;
  char* const points = slices + size_t(p.parts) * p.slice;              // the weights at 36 points
  if (p.winograd)
    parallel(call, p.panels, g.o * g.c * 200, [&](int64_t i) {
      isa.winograd.weights(part.w + i * (p.quads + 1) * 64, g.c, points + i * 36 * (g.c / 2) * 64);
    });
  for (int64_t n0 = 0; n0 < g.n; n0 += p.images) {
    const int64_t images = at_most(p.images, g.n - n0);
    const uint8_t* const from = x.as<uint8_t>() + n0 * in_bytes;
    if (copy)
      parallel(call, images * pieces, images * p.image, [&](int64_t i) {
        const int64_t image = i / pieces, piece = i % pieces;
        copy_rows(p, from + image * in_bytes, part.x_zero, rows * piece / pieces, rows * (piece + 1) / pieces, copies + image * p.image);
      });
    const uint8_t* const source = copy ? copies : from;
    const int64_t source_image = copy ? p.image : in_bytes;
    const auto map_of = [&](int64_t image) {
      return turn_back ? static_cast<char*>(call.work) + p.map_at + image * out_bytes : y.as<char>() + (n0 + image) * out_bytes;
    };
    if (p.winograd) {
      const int64_t units = images * p.blocks * p.column_parts;
      parallel(call, p.parts, images * 2 * g.o * g.pixels * g.k / 8, [&](int64_t number) {
        for (int64_t i = units * number / p.parts; i < units * (number + 1) / p.parts; i++) {
          const int64_t cut = i % p.column_parts, block = i / p.column_parts % p.blocks, image = i / p.column_parts / p.blocks;
          part.run_winograd(source + image * p.image, points, slices + size_t(number) * p.slice, map_of(image),
                            p.tiles * block / p.blocks, p.tiles * (block + 1) / p.blocks, tiles * cut / p.column_parts * qconv_columns,
                            at_most(tiles * (cut + 1) / p.column_parts * qconv_columns, g.o));
        }
      });
    } else {
      const int64_t per_image = groups * p.bands * p.column_parts;
      parallel(call, images * per_image, images * 2 * g.o * g.pixels * g.k / (p.depthwise ? 1 : 4), [&](int64_t i) {
        const int64_t image = i / per_image, rest = i % per_image, cut = rest % p.column_parts, band = rest / p.column_parts % p.bands;
        const int64_t line0 = p.lines * band / p.bands, line1 = p.lines * (band + 1) / p.bands;
        const int64_t j0 = tiles * cut / p.column_parts * qconv_columns, j1 = at_most(tiles * (cut + 1) / p.column_parts * qconv_columns, og);
        const uint8_t* const x0 = source + image * source_image;
        if (prepared.strips) part.run_strips(x0, x0 + source_image, copy, map_of(image), line0, line1, j0, j1);
        else part.run(x0, map_of(image), rest / p.column_parts / p.bands, line0, line1, j0, j1);
      });
    }
    if (turn_back) {
      constexpr int64_t some = 32;                    // channels
      const int64_t cuts = conv::divide_up(g.o, some);
      parallel(call, images * cuts, images * out_bytes, [&](int64_t i) {
        const int64_t c = i % cuts * some, image = i / cuts;
        turn::to_channels_first(static_cast<const uint8_t*>(call.work) + p.map_at + image * out_bytes + c, g.o, g.pixels, at_most(some, g.o - c),
                                y.as<uint8_t>() + (n0 + image) * out_bytes + c * g.pixels, g.pixels);
      });
    }
  }
  return {};
}

}  // namespace accelnn
