#include "op.h"
#include <cstring>
#include "alloc.h"

namespace accelnn {

const char* refuse_nothing(const Row&, const Call&) { return nullptr; }
size_t no_workspace(const Call&, const Row&) { return 0; }

const Table* find_table(const Table* const* tables, int n, const char* name) {
  for (int i = 0; i < n; i++)
    if (!strcmp(tables[i]->op->name, name)) return tables[i];
  return nullptr;
}

// The row part of "op:row" in ACCELNN_KERNEL for this op, and its length.
static const char* forced_row(const Op& op, const Caps& caps, size_t* length) {
  const size_t n = strlen(op.name);
  for (const char* p = caps.force; p && *p;) {
    const char* end = strchr(p, ',');
    const size_t item = end ? size_t(end - p) : strlen(p);
    if (item > n && !strncmp(p, op.name, n) && p[n] == ':') {
      *length = item - n - 1;
      return p + n + 1;
    }
    p = end ? end + 1 : nullptr;
  }
  return nullptr;
}

static bool is_called(const Row& row, const char* wanted, size_t length) {
  const size_t n = strlen(row.name);
  if (n < length || strncmp(row.name + n - length, wanted, length)) return false;
  return n == length || row.name[n - length - 1] == '_';
}

static const char* cannot_run(const Table& table, const Row& row, const Call& call, const Caps& caps) {
  if (!row.run) return "not compiled into this library";
  if ((row.isa & caps.isa) != row.isa) return "this CPU (or ACCELNN_ISA) lacks the instructions";
  if (call.n_in && row.dtype != call.in[0].dtype) return "made for another dtype";
  return table.op->refuse(row, call);
}

const char* why_not(const Table& table, const Row& row, const Call& call, const Caps& caps) {
  size_t length = 0;
  const char* wanted = forced_row(*table.op, caps, &length);
  if (wanted && !is_called(row, wanted, length)) return "another row is forced by ACCELNN_KERNEL";
  if (!wanted && row.exactness == Exactness::reference) return "reference: runs only when forced";
  return cannot_run(table, row, call, caps);
}

Status select(const Table& table, const Call& call, const Caps& caps, const Row** chosen) {
  for (int i = 0; i < table.n_rows; i++)
    if (!why_not(table, *table.rows[i], call, caps)) {
      *chosen = table.rows[i];
      return {};
    }
  size_t length = 0;
  if (const char* wanted = forced_row(*table.op, caps, &length))
    return fail(Code::kernel, "%s: ACCELNN_KERNEL forces row '%.*s', which cannot run this call (%s); see: accelnn kernels --explain",
                table.op->name, int(length), wanted, call.n_in ? describe(call.in[0]).text : "no input");
  return fail(Code::kernel, "%s: no row for %s on this machine; see: accelnn kernels --explain", table.op->name,
              call.n_in ? describe(call.in[0]).text : "no input");
}

Status execute(const Table& table, Call call, const Caps& caps) {
  ACCELNN_TRY(table.op->check(call));
  const Row* row = nullptr;
  ACCELNN_TRY(select(table, call, caps, &row));
  const size_t bytes = table.op->workspace(call, *row);
  if (bytes) {
    call.work = allocate(bytes);
    ACCELNN_CHECK(call.work, memory, "%s: no memory for a workspace of %zu bytes", table.op->name, bytes);
  }
  Status s = row->run(call);
  if (bytes) release(call.work);
  return s;
}

}  // namespace accelnn
