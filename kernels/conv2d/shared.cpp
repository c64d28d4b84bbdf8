// qconv2d around the byte tiles of any ISA: signed weights are broadcast, unsigned pixels fill the lanes, four taps to a lane.
#include "conv2d/columns.h"
#include "conv2d/qconv2d.h"
#include "matmul/i8.h"
#include "pool.h"

namespace accelnn {

// 16 pixels (count of them real) for taps in fours: to[k / 4][pixel][k % 4]. Up to 32 bytes behind any tap are read.
static void pack_byte_columns(const uint8_t* base, const int64_t* tap, int64_t taps, const Lanes& group, int64_t count, uint8_t* to) {
  const uint8_t* const from = base + group.start;
#if defined(__x86_64__)
  const int32_t span = group.distance[count - 1] + 1;
  if (span <= 32) {
    // pshufb gives 0 where the control's top bit is set: one control for each half of the 32 bytes
    alignas(16) uint8_t control[2][16];
    for (int i = 0; i < 16; i++) {
      const int32_t at = i < count ? group.distance[i] : 0;
      control[0][i] = at < 16 ? uint8_t(at) : 0x80;
      control[1][i] = at < 16 ? 0x80 : uint8_t(at - 16);
    }
    const __m128i low = _mm_load_si128(reinterpret_cast<const __m128i*>(control[0]));
    const __m128i high = _mm_load_si128(reinterpret_cast<const __m128i*>(control[1]));
    const auto pick = [&](int64_t k) {
      const __m128i* p = reinterpret_cast<const __m128i*>(from + tap[k]);
      return _mm_or_si128(_mm_shuffle_epi8(_mm_loadu_si128(p), low), _mm_shuffle_epi8(_mm_loadu_si128(p + 1), high));
    };
    for (int64_t k = 0; k < taps; k += 4, to += 64) {
      const __m128i a = pick(k), b = pick(k + 1), c = pick(k + 2), d = pick(k + 3);
      const __m128i ab = _mm_unpacklo_epi8(a, b), cd = _mm_unpacklo_epi8(c, d), AB = _mm_unpackhi_epi8(a, b), CD = _mm_unpackhi_epi8(c, d);
      __m128i* q = reinterpret_cast<__m128i*>(to);
      _mm_storeu_si128(q, _mm_unpacklo_epi16(ab, cd)), _mm_storeu_si128(q + 1, _mm_unpackhi_epi16(ab, cd));
      _mm_storeu_si128(q + 2, _mm_unpacklo_epi16(AB, CD)), _mm_storeu_si128(q + 3, _mm_unpackhi_epi16(AB, CD));
    }
    return;
  }
#endif
  for (int64_t k = 0; k < taps; k += 4, to += 64)
    for (int64_t i = 0; i < count; i++)
      for (int q = 0; q < 4; q++) to[4 * i + q] = from[tap[k + q] + group.distance[i]];
}

static int32_t sum_of(const int8_t* w, int64_t count) {      // count: a multiple of 4
  int32_t sum = 0;
  int64_t i = 0;
#if defined(__x86_64__)
  __m128i sums = _mm_setzero_si128();                        // of w + 128, which psadbw adds up by itself
  for (; i + 16 <= count; i += 16) {
    const __m128i unsigned_w = _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w + i)), _mm_set1_epi8(-128));
    sums = _mm_add_epi64(sums, _mm_sad_epu8(unsigned_w, _mm_setzero_si128()));
  }
  sum = _mm_cvtsi128_si32(sums) + _mm_extract_epi32(sums, 2) - int32_t(i) * 128;
#endif
  for (; i < count; i++) sum += w[i];
  return sum;
}

Status qconv2d(const Call& call, const I8Isa& isa) {
  const TensorView &x = call.in[0], &w = call.in[2], &bias = call.in[4], &out_zero = call.in[5], &y = call.out[0];
  const conv::Geometry g = conv::geometry(call, x, w, y);
  const conv::Layout l = conv::quantized_layout(g);
  char* const work = static_cast<char*>(call.work);
  int64_t* const tap = slice_at<int64_t>(work, l.taps);
  Lanes* const lane = slice_at<Lanes>(work, l.lanes);
  const int64_t units = g.n * g.groups * l.band.count, taps = l.k_block;
  if (units == 0 || g.o == 0) return {};
  conv::fill_tables(g, l.band, g.cg, taps, tap, lane);
  const uint8_t zero = *call.in[1].as<uint8_t>();

  // Rows of weights whose taps do not come in fours are copied with zeros behind; sums of the weights take the zero point out of the products.
  const int8_t* weights = w.as<int8_t>();
  if (taps != g.k) {
    int8_t* const padded = slice_at<int8_t>(work, l.weights);
    for (int64_t o = 0; o < g.o; o++) {
      std::memcpy(padded + o * taps, weights + o * g.k, size_t(g.k));
      for (int64_t k = g.k; k < taps; k++) padded[o * taps + k] = 0;
    }
    weights = padded;
  }
  int32_t* const start = slice_at<int32_t>(work, l.start);
  for (int64_t o = 0; o < g.o; o++) {
    const uint32_t sum = uint32_t(sum_of(weights + o * taps, taps));
    start[o] = int32_t((bias.absent() ? 0u : uint32_t(bias.as<int32_t>()[o])) - sum * uint32_t(zero - isa.offset));
  }
  const Requantize rule = {y.dtype, call.in[3].as<float>(), start, out_zero.absent() ? 0 : *out_zero.as<uint8_t>(),
                           call.integer(qconv2d_attr::relu) != 0};
  const int64_t tiles = tiles_of(g.og, isa.rows), size = int64_t(size_of(y.dtype));

  parallel(call, l.parts, 2 * g.n * g.o * g.pixels * g.k / 4, [&](int64_t part) {
    char* const slice = work + l.part + part * l.slice;
    uint8_t *const plane = slice_at<uint8_t>(slice, l.plane), *const panel = slice_at<uint8_t>(slice, l.panel);
    I8Sums sums;
    for (int64_t unit = part * units / l.parts; unit < (part + 1) * units / l.parts; unit++) {
      const Unit u(g, l.band, unit);
      copy_band(g, l.band, x.as<uint8_t>() + (u.image * g.c + u.group * g.cg) * g.h * g.w, g.cg, u.first_row, u.rows, zero, plane);
      char* const out = y.as<char>() + ((u.image * g.o + u.group * g.og) * g.pixels + u.first_row * g.ow) * size;
      for (int64_t p = 0; p < u.pixels; p += l.columns) {
        const int64_t columns = conv::at_most(l.columns, u.pixels - p);
        for (int64_t q = 0; q < columns; q += conv::group_pixels)
          pack_byte_columns(plane, tap, taps, lane[(p + q) / conv::group_pixels], conv::at_most(conv::group_pixels, columns - q), panel + q * taps);
        for (int64_t tile = 0; tile < tiles; tile++) {
          const int64_t o = tile_start(g.og, tiles, tile), tile_height = tile_start(g.og, tiles, tile + 1) - o, all = u.group * g.og + o;
          Requantize mine = rule;
          mine.scale += all, mine.start += all;
          for (int64_t q = 0; q < columns; q += isa.columns) {
            const uint8_t* const b = panel + q / panel_columns * panel_columns * taps + q % panel_columns * 4;
            isa.tile(int(tile_height), {taps / 4, weights + all * taps, taps, b, 64, panel_columns * taps}, sums);
            isa.finish(sums, int(tile_height), int(conv::at_most(isa.columns, columns - q)), out + (o * g.pixels + p + q) * size, g.pixels, mine);
          }
        }
      }
    }
  });
  return {};
}

}  // namespace accelnn
