// Reads a Plan's bytes and believes none of them. After read() every index, offset, text and expression in the tables may be used unchecked;
// what depends on input shapes (sizes, windows inside their buffers) is checked when a Run binds.
#pragma once
#include "plan.h"
#include "status.h"

namespace accelnn {
namespace plan {

// Far above any real network, low enough that a hostile file costs at most a few hundred MiB and a second.
constexpr int64_t max_count = 1 << 20;              // elements of any table
constexpr int64_t max_temporaries = 1 << 15;        // placing them is quadratic
constexpr int64_t max_ports = 1 << 16;
constexpr int64_t max_dims = 1 << 10;
constexpr int64_t max_flows = 1 << 14;
constexpr int max_depth = 32;                       // of blocks in blocks
constexpr int64_t max_terms = 64;
constexpr int64_t max_text = 1024;
constexpr uint32_t max_sections = 64;
constexpr int64_t max_bytes = int64_t(1) << 44;     // of one buffer, and of a whole file
constexpr int64_t max_elements = int64_t(1) << 42;  // of one value

template <class T> struct Span {
  const T* at = nullptr;
  int64_t count = 0;
  ACCELNN_INLINE const T& operator[](int64_t i) const { return at[i]; }
  ACCELNN_INLINE const T* begin() const { return at; }
  ACCELNN_INLINE const T* end() const { return at + count; }
};

struct File {
  size_t bytes = 0;
  Span<char> strings, weights, graph;
  Span<int64_t> numbers;
  Span<Dim> dims;
  Span<Buffer> buffers;
  Span<Value> values;
  Span<AttrValue> attrs;
  Span<uint32_t> operands;
  Span<CallRecord> calls;
  Span<Block> blocks;
  Span<Port> ports;
  Span<Flow> flows;       // these by flow.cpp, out of the sections
  Span<Slice> slices;
  Span<char> flow_section, slice_section;
};

// `bytes` is 64-byte aligned and outlives `file`, which points into it.
Status read(const void* bytes, size_t n, File* file);

Status check_expression(const File& file, Expr e, const char* what, int64_t i);
// The value of an expression that read() has accepted. Overflow and division by zero are errors.
Status evaluate(const File& file, Expr e, const int64_t* dims, int64_t* result);

}  // namespace plan
}  // namespace accelnn
