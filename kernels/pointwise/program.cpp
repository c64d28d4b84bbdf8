#include "pointwise/program.h"
#include "copy/strided.h"

namespace accelnn {
namespace pointwise_program {

static const int8_t operands_of[] = {
#define OPCODE(name, operands, cost) operands,
#include "pointwise/opcodes.inc"
#undef OPCODE
};
static const int8_t costs[] = {
#define OPCODE(name, operands, cost) cost,
#include "pointwise/opcodes.inc"
#undef OPCODE
};

Status parse(const Call& call, Program* p) {
  const Attr& attr = call.attrs[pointwise_attr::program];
  int n_in = 0, n_out = 0;
  while (n_in < call.n_in && !call.in[n_in].absent()) n_in++;
  while (n_out < call.n_out && !call.out[n_out].absent()) n_out++;
  for (int i = n_in; i < call.n_in; i++)
    ACCELNN_CHECK(call.in[i].absent(), shape, "pointwise: input %d is given, but input %d is not", i, n_in);
  for (int i = n_out; i < call.n_out; i++)
    ACCELNN_CHECK(call.out[i].absent(), shape, "pointwise: output %d is given, but output %d is not", i, n_out);
  ACCELNN_CHECK(n_in >= 1 && n_in <= max_in, shape, "pointwise: 1 to %d inputs are expected, got %d", max_in, n_in);
  ACCELNN_CHECK(n_out >= 1 && n_out <= max_out, shape, "pointwise: 1 to %d outputs are expected, got %d", max_out, n_out);
  ACCELNN_CHECK(attr.n >= 1 + n_out && attr.list && attr.list[0] == n_out, attribute,
                "pointwise: the program is made for another number of outputs than the %d given", n_out);
  const int64_t rest = attr.n - 1 - n_out;
  ACCELNN_CHECK(rest % 4 == 0 && rest / 4 <= max_instructions, attribute,
                "pointwise: %lld numbers of code; 4 an instruction and at most %d instructions are expected", static_cast<long long>(rest),
                max_instructions);
  *p = {n_in, n_out, int(rest / 4), attr.list + 1, attr.list + 1 + n_out};
  for (int k = 0; k < p->n_instructions; k++) {
    const int64_t* word = p->code + 4 * k;
    ACCELNN_CHECK(word[0] >= 0 && word[0] < int64_t(sizeof operands_of), attribute, "pointwise: instruction %d has the unknown opcode %lld", k,
                  static_cast<long long>(word[0]));
    if (word[0] == op_const)
      ACCELNN_CHECK(word[1] >= INT32_MIN && word[1] <= int64_t(UINT32_MAX), attribute, "pointwise: instruction %d: a constant has 32 bits", k);
    for (int j = 0; j < operands_of[word[0]]; j++)
      ACCELNN_CHECK(word[1 + j] >= 0 && word[1 + j] < n_in + k, attribute,
                    "pointwise: instruction %d (opcode %d) reads value %lld; only 0 to %d exist before it",
                    k, int(word[0]), static_cast<long long>(word[1 + j]), n_in + k - 1);
  }
  for (int o = 0; o < n_out; o++)
    ACCELNN_CHECK(p->out_value[o] >= 0 && p->out_value[o] < n_in + p->n_instructions, attribute,
                  "pointwise: output %d is value %lld; only 0 to %d exist", o, static_cast<long long>(p->out_value[o]), n_in + p->n_instructions - 1);
  return {};
}

static bool is_scalar(const Prepared& p, int i) {
  for (int d = 0; d < p.rank; d++)
    if (p.stride[i][d]) return false;
  return true;
}
static bool is_dense(const Prepared& p, int i) {
  int64_t expect = 1;
  for (int d = p.rank - 1; d >= 0; expect *= p.shape[d--])
    if (p.stride[i][d] != expect) return false;
  return true;
}
// Elements after which the input repeats, or the whole count.
static int64_t period_of(const Prepared& p, int i) {
  int64_t n = 1;
  int first = 0;
  while (first < p.rank && p.stride[i][first] == 0) first++;
  for (int d = first; d < p.rank; d++) n *= p.shape[d];
  return n;
}

void prepare(const Call& call, int64_t group, Prepared* out) {
  Prepared& p = *out;
  Program program;
  if (!parse(call, &program).ok()) __builtin_unreachable();          // check() has seen it
  const int n_in = p.n_in = program.n_in, n_code = program.n_instructions, n_values = p.n_values = n_in + n_code;
  p.n_out = program.n_out;
  p.group = group;
  p.count = call.out[0].count();
  p.rank = collapse(call.in, n_in, p.shape, p.stride);

  int last[max_values];                  // last instruction that reads the value; n_code: an output needs it at the end
  int direct_at[max_out];                // instruction that writes the output; n_code: a copy at the end
  for (int v = 0; v < n_values; v++) last[v] = -1, p.direct[v] = -1, p.slot[v] = -1, p.splat_at[v] = p.tail_at[v] = p.temp_at[v] = 0, p.read_back[v] = false;
  for (int k = 0; k < n_code; k++) {
    const int64_t* word = program.code + 4 * k;
    for (int j = 0; j < operands_of[word[0]]; j++) last[word[1 + j]] = k;
  }
  for (int o = 0; o < p.n_out; o++) last[p.out_value[o] = program.out_value[o]] = n_code;

  int64_t pattern_used = 0, wanted = 0;
  for (int i = 0; i < n_in; i++)
    if (const int64_t n = period_of(p, i); last[i] >= 0 && n > 1 && n < p.count && n <= pattern_floats) wanted += n + long_pattern_tile + 2 * slack;
  const int64_t tile = wanted <= pattern_floats ? long_pattern_tile : pattern_tile;
  for (int i = 0; i < n_in; i++) {
    p.scalar[i] = is_scalar(p, i);
    if (last[i] < 0) p.source[i] = Source::unused;
    else if (p.scalar[i]) p.source[i] = Source::scalar;
    else if (is_dense(p, i)) p.source[i] = call.in[i].dtype == DType::f32 ? Source::dense : Source::gathered;
    else {
      const int64_t n = p.period[i] = period_of(p, i), bytes = n + tile + slack;
      const bool fits = n * 2 <= p.count && p.count >= 256 && pattern_used + bytes <= pattern_floats;
      p.source[i] = fits ? Source::pattern : Source::gathered;
      if (fits) p.pattern_at[i] = pattern_used, pattern_used += (bytes + 15) & ~int64_t(15);
    }
  }
  int64_t cost = 4 * (n_in + p.n_out);
  p.n_once = p.n_steps = 0;
  for (int k = 0; k < n_code; k++) {
    const int64_t* word = program.code + 4 * k;
    const int v = n_in + k, operands = operands_of[word[0]];
    Step s = {uint8_t(word[0]), uint8_t(v), 0, 0, 0};
    if (operands > 0) s.a = uint8_t(word[1]);
    s.b = operands > 1 ? uint8_t(word[2]) : s.a;
    s.c = operands > 2 ? uint8_t(word[3]) : s.a;
    p.scalar[v] = operands == 0 || (p.scalar[s.a] && p.scalar[s.b] && p.scalar[s.c]);
    if (last[v] < 0) continue;                                       // nobody reads it
    if (p.scalar[v]) p.once[p.n_once++] = s;
    else p.steps[p.n_steps++] = s, cost += costs[s.opcode];
  }
  for (int o = 0; o < p.n_out; o++) {
    const int v = int(p.out_value[o]);
    const bool direct = v >= n_in && !p.scalar[v] && p.direct[v] < 0 && call.out[o].dtype == DType::f32;
    if (direct) p.direct[v] = int8_t(o);
    direct_at[o] = direct ? v - n_in : n_code;
  }
  // An input whose memory an output overwrites before the last read goes through a slot.
  for (int i = 0; i < n_in; i++)
    for (int o = 0; o < p.n_out && p.source[i] == Source::dense; o++)
      if (call.in[i].data == call.out[o].data && (last[i] > direct_at[o] || last[i] == n_code)) p.source[i] = Source::gathered;

  for (int t = 0; t < p.n_steps; t++) {
    const Step& s = p.steps[t];
    const int before = t ? p.steps[t - 1].to : -1;                    // still in registers
    const uint8_t operand[3] = {s.a, s.b, s.c};
    for (int j = 0; j < 3; j++) p.read_back[operand[j]] = p.read_back[operand[j]] || operand[j] != before;
  }
  for (int o = 0; o < p.n_out; o++) {                                  // two outputs of one value: the second is copied from the first
    const int64_t v = p.out_value[o];
    if (p.direct[v] >= 0 && p.direct[v] != o) p.read_back[v] = true;
  }
  int n_slots = 0;
  for (int v = 0; v < n_values; v++) {
    const bool gathered = v < n_in && p.source[v] == Source::gathered, converted = v >= n_in && last[v] == n_code && !p.scalar[v] && p.direct[v] < 0;
    if (gathered || converted) p.slot[v] = int16_t(n_slots++);
  }

  int64_t at = 0;
  for (int v = 0; v < n_values; v++) {
    if (last[v] < 0) continue;
    if (p.scalar[v]) p.splat_at[v] = at, at += group;
    else if (p.direct[v] >= 0 || (v < n_in && p.source[v] == Source::dense)) p.tail_at[v] = at, at += group;
    else if (v >= n_in && p.slot[v] < 0 && p.read_back[v]) p.temp_at[v] = at, at += group;
  }
  for (int i = 0; i < n_in; i++) p.pattern_at[i] += at;
  at += pattern_used;
  p.slots_at = at;
  p.tile = n_slots ? pattern_tile : pattern_used ? tile
                                                 : whole_part;
  if (n_slots * (p.tile + slack) > tile_floats) {
    p.tile = (tile_floats / n_slots - slack) / 64 * 64;
    if (p.tile < 64) p.tile = 64;
  }
  p.worth = p.count > INT64_MAX / 4096 ? INT64_MAX : p.count * cost;
}

}  // namespace pointwise_program
}  // namespace accelnn
