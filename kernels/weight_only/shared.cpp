// The loops around the int4 tiles, compiled once for all ISAs.
#include <cstring>
#include "pool.h"
#include "weight_only/matmul_int4.h"

namespace accelnn {

Status matmul_int4(const Call& call, const Int4Isa& isa) {
  const Int4Problem p = int4_problem(call);
  if (p.m == 0 || p.n == 0) return {};
  const float* a = call.in[0].as<float>();
  const float* bias = call.in[2].absent() ? nullptr : call.in[2].as<float>();
  const uint8_t* w = call.in[1].as<uint8_t>();
  float* y = call.out[0].as<float>();
  char* const work = static_cast<char*>(call.work);
  float* const scale = reinterpret_cast<float*>(work + p.a_bytes);
  int32_t* const start = reinterpret_cast<int32_t*>(work + p.a_bytes + p.scale_bytes);
  const double products = double(p.m) * double(p.n) * double(p.k) / (p.int8 ? 2 : 0.5);
  const int64_t worth = products < 1e18 ? int64_t(products) : int64_t(1e18);

  if (p.copy_a)
    parallel(call, p.m, p.m * p.k * 8, [&](int64_t i) {
      const float* from = a + i * p.k;
      char* to = work + i * p.a_row;
      if (p.int8) return isa.quantize(from, p.k, p.group, reinterpret_cast<int8_t*>(to), scale + i * p.groups, start + i * p.groups, p.zero_points ? -1 : -8);
      std::memcpy(to, from, size_t(p.k) * 4);
      std::memset(to + p.k * 4, 0, size_t(p.a_row - p.k * 4));
    });

  const int most = p.int8 ? isa.rows_int8 : isa.rows_f32;
  const auto tile = p.int8 ? isa.tile_int8 : isa.tile_f32;
  parallel(call, p.row_parts * p.column_parts, worth, [&](int64_t part) {
    const int64_t row_part = part / p.column_parts, column_part = part % p.column_parts;
    const int64_t m0 = row_part * p.row_block, rows = p.m - m0 < p.row_block ? p.m - m0 : p.row_block;
    const int64_t tiles = (rows + most - 1) / most;
    Int4Tile t;
    t.groups = p.groups;
    t.blocks = int(p.group / 32);
    t.zero_points = p.zero_points;
    t.a_row = p.a_row;
    t.c_row = p.n;
    for (int64_t s = p.strips * column_part / p.column_parts; s < p.strips * (column_part + 1) / p.column_parts; s++) {
      t.w = w + s * p.groups * p.group_bytes;
      t.bias = bias ? bias + s * int4_strip : nullptr;
      t.columns = int(p.n - s * int4_strip < int4_strip ? p.n - s * int4_strip : int4_strip);
      for (int64_t i = 0; i < tiles; i++) {            // balanced: 16 rows are 8 + 8, not 13 + 3
        const int64_t i0 = m0 + rows * i / tiles, i1 = m0 + rows * (i + 1) / tiles;
        t.a = (p.copy_a ? work : reinterpret_cast<const char*>(a)) + i0 * p.a_row;
        t.scale = scale + i0 * p.groups;
        t.start = start + i0 * p.groups;
        t.c = y + i0 * p.n + s * int4_strip;
        tile(int(i1 - i0), t);
      }
    }
  });
  return {};
}

}  // namespace accelnn
