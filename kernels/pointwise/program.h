// A checked pointwise program made ready to run: dims collapsed, scalars hoisted, tile slots assigned. Pure analysis, shared by all SIMD rows.
#pragma once
#include "pointwise/pointwise.h"

namespace accelnn {
namespace pointwise_program {

constexpr int max_in = 16, max_out = 8, max_instructions = 64, max_values = max_in + max_instructions;
constexpr int64_t slack = 16;            // floats behind a slot that a fill may overwrite
constexpr int64_t tile_floats = 6144;    // all tile slots together: 24 KB, so that they and the streams through them stay in 32 KB of L1
constexpr int64_t whole_part = 1 << 20;  // the tile where nothing is copied into one
constexpr int64_t pattern_floats = 4096, pattern_tile = 512, long_pattern_tile = 2048;   // a tile costs 10 ns: 512 floats of a sum are 60
constexpr int64_t area_floats = 16384;   // a thread's whole area, on its stack: 64 KB

enum Number : int {
#define OPCODE(name, operands, cost) op_##name,
#include "pointwise/opcodes.inc"
#undef OPCODE
};
constexpr int plain_row = 2;             // a plain row's tile_m
constexpr int last_plain = op_cos;       // what the plain rows know

struct Program {                         // the attribute, unpacked; valid after parse()
  int n_in, n_out, n_instructions;
  const int64_t* out_value;
  const int64_t* code;                   // 4 numbers an instruction
};
Status parse(const Call&, Program*);     // checks everything about the program and the operand counts

// Where the elements of an input are when a tile begins.
enum class Source : uint8_t {
  unused,
  dense,      // f32, contiguous: read in place
  scalar,     // one element: splat once
  pattern,    // a short row or plane that repeats: laid out once as P + tile floats, read in place at i % P. A bias row of 10 columns costs no copies
  gathered,   // strided, widened, or in danger of being overwritten: copied into a slot, tile by tile
};

struct Step { uint8_t opcode, to, a, b, c; };

struct Prepared {
  int64_t count, tile, group;            // group: floats of four vectors, the unit of every loop
  int n_in, n_out, n_values, n_once, n_steps;
  int rank;
  int64_t shape[max_rank], stride[max_in][max_rank];
  Source source[max_in];
  int64_t period[max_in];
  bool scalar[max_values];               // the same value in every element: computed once a part
  int8_t direct[max_values];             // output that the value is computed into, or -1
  bool read_back[max_values];            // some step but the next one reads it, so it is kept: in its output, or in a group of its own
  int16_t slot[max_values];              // tile slot (gathered inputs; outputs that are converted), or -1
  int64_t splat_at[max_values], tail_at[max_values], temp_at[max_values], pattern_at[max_in];   // offsets into the area
  int64_t slots_at;
  Step once[max_instructions], steps[max_instructions];
  int64_t out_value[max_out];
  int64_t worth;
};
void prepare(const Call&, int64_t group, Prepared*);

}  // namespace pointwise_program
}  // namespace accelnn
