// Runs rows of kernels for a Python on another processor: built for that processor, started once under qemu-user, it reads calls from stdin and
// writes what every asked row made of them to stdout (tests/contracts/remote.py is the other end). Little endian, no padding.
//   at start  -> u32 instructions found
//   <- i32 op; attributes in the op's order (i64 | f64 | i64 n, n x i64); max_in operands, max_out outputs (i32 rank, -1 absent; i32 dtype; rank x i64
//      shape; of an operand also rank x i64 stride, i64 bytes, bytes); i32 rows, each i32 length, name
//   -> for each row i32 outcome: 0, then i32 damage, bytes of the outputs;  1 refused or 2 failed, then i32 length, reason
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include "op.h"

using namespace accelnn;

namespace {

constexpr int max_operands = 32, guard = 64;
enum Damage { none,
              outside_output,
              input_written };

void read(void* to, size_t n) {
  if (fread(to, 1, n, stdin) != n) exit(3);
}
template <class T> T get() {
  T v;
  read(&v, sizeof v);
  return v;
}
template <class T> void put(T v) { fwrite(&v, sizeof v, 1, stdout); }

void answer(int outcome, const char* reason) {
  put(int32_t(outcome));
  put(int32_t(strlen(reason)));
  fwrite(reason, 1, strlen(reason), stdout);
}

struct Memory {                           // `bytes` of them at a multiple of 64, guards on both sides
  char* raw = nullptr;
  size_t bytes = 0;
  char* data() const { return raw + guard; }
  void take(size_t n) {
    bytes = n;
    raw = static_cast<char*>(aligned_alloc(64, (n + 2 * guard + 63) / 64 * 64));
    if (!raw) exit(4);
    memset(raw, 0xa5, guard);
    memset(data() + n, 0xa5, guard);
  }
  bool whole() const {
    for (int i = 0; i < guard; i++)
      if (raw[i] != char(0xa5) || data()[bytes + size_t(i)] != char(0xa5)) return false;
    return true;
  }
};

TensorView get_view(bool with_memory, Memory* memory, Memory* copy) {
  TensorView v;
  v.rank = get<int32_t>();
  if (v.rank < 0) return absent_view();
  if (v.rank > max_rank) exit(3);
  v.dtype = DType(get<int32_t>());
  for (int i = 0; i < v.rank; i++) v.shape[i] = get<int64_t>();
  v.set_contiguous();
  if (with_memory)
    for (int i = 0; i < v.rank; i++) v.stride[i] = get<int64_t>();
  memory->take(with_memory ? size_t(get<int64_t>()) : size_t(v.count()) * size_of(v.dtype));
  v.data = memory->data();
  if (with_memory) {
    read(v.data, memory->bytes);
    copy->take(memory->bytes);
    memcpy(copy->data(), v.data, memory->bytes);
  }
  return v;
}

void run_row(const Table& table, const Row& row, const Call& call, const TensorView* out, Memory* const* memory, const Memory* copies) {
  for (int i = 0; i < call.n_out; i++)
    if (!out[i].absent()) memset(out[i].data, 0xff, memory[1][i].bytes);      // NaN as float
  const Row* const alone[] = {&row};
  const Table only = {table.op, alone, 1};
  Caps c = caps();
  char force[256];
  snprintf(force, sizeof force, "%s:%s", table.op->name, row.name);
  c.force = force;
  if (const char* why = why_not(only, row, call, c)) return answer(1, why);
  const Status s = execute(only, call, c);
  if (!s.ok()) return answer(2, s.text);
  put(int32_t(0));
  int32_t damage = none;
  for (int i = 0; i < call.n_out; i++)
    if (!out[i].absent() && !memory[1][i].whole()) damage = outside_output;
  for (int i = 0; i < call.n_in; i++)
    if (!call.in[i].absent() && memcmp(memory[0][i].data(), copies[i].data(), copies[i].bytes)) damage = input_written;
  put(damage);
  for (int i = 0; i < call.n_out; i++)
    if (!out[i].absent()) fwrite(out[i].data, 1, memory[1][i].bytes, stdout);
}

}  // namespace

int main() {
  put(detect_isa());
  for (int32_t number; fread(&number, sizeof number, 1, stdin) == 1;) {
    if (number < 0 || number >= n_all_tables) exit(3);
    const Table& table = *all_tables[number];
    const Op& op = *table.op;
    Attr attrs[max_operands] = {};
    int64_t* lists[max_operands] = {};
    for (int i = 0; i < op.n_attrs; i++) {
      if (op.attrs[i].kind == AttrKind::integer) attrs[i].i = get<int64_t>();
      else if (op.attrs[i].kind == AttrKind::real) attrs[i].f = get<double>();
      else {
        attrs[i].n = get<int64_t>();
        attrs[i].list = lists[i] = static_cast<int64_t*>(malloc(size_t(attrs[i].n + 1) * 8));
        read(lists[i], size_t(attrs[i].n) * 8);
      }
    }
    TensorView in[max_operands], out[max_operands];
    Memory ins[max_operands], copies[max_operands], outs[max_operands];
    Memory* const memory[] = {ins, outs};
    for (int i = 0; i < op.max_in; i++) in[i] = get_view(true, ins + i, copies + i);
    for (int i = 0; i < op.max_out; i++) out[i] = get_view(false, outs + i, nullptr);
    const Call call = {in, op.max_in, out, op.max_out, attrs};
    for (int32_t rows = get<int32_t>(); rows > 0; rows--) {
      char name[128] = {};
      const int32_t length = get<int32_t>();
      if (length < 0 || length >= int32_t(sizeof name)) exit(3);
      read(name, size_t(length));
      const Row* row = nullptr;
      for (int i = 0; i < table.n_rows; i++)
        if (!strcmp(table.rows[i]->name, name)) row = table.rows[i];
      const Status s = op.check(call);
      if (!row) answer(2, "no such row");
      else if (!s.ok()) answer(2, s.text);
      else run_row(table, *row, call, out, memory, copies);
      fflush(stdout);
    }
    for (int i = 0; i < max_operands; i++) free(lists[i]), free(ins[i].raw), free(copies[i].raw), free(outs[i].raw);
  }
  return 0;
}
