// The Plan: a compiled Graph as bytes. Little-endian, every structure of fixed size, every offset checked before use (reader.cpp), usable where a
// file is mapped. accelnn/passes/plan.py writes it; nothing in it names a row or a machine.
//
//   file     = Header, Section[n_sections], sections (each at a multiple of 64 bytes)
//   strings  = bytes; a Text is (offset, length) into it, UTF-8, not terminated
//   numbers  = int64[]: expressions and attribute lists
//
// A size is an expression over named dims (Dim), in postfix order: pairs (code, argument) in `numbers`. Values are windows on buffers; a buffer's
// lifetime is the range of calls that touch it. Calls run in order; block 0 holds all of them. Other blocks are the bodies of branches and loops
// (docs/adr/0014): ranges of the same list, which a Flow makes run or not, or again. A Plan without them has neither flows nor slices.
//
// Beyond what the fields say, the reader demands: a call's attrs and operands follow those of the call before; no call writes an input or a constant;
// temporaries and outputs are written before they are read, and every output is written; a port's value covers its buffer from the first element,
// contiguous, and values in a port's buffer have its dtype; every dim stands alone as a size of some input or state, which is where it is read from.
#pragma once
#include "op.h"

namespace accelnn {
namespace plan {

constexpr char magic[8] = {'A', 'C', 'C', 'E', 'L', 'P', 'L', 'N'};
constexpr uint32_t version = 1;
constexpr uint64_t section_alignment = 64;

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t n_sections;
  uint64_t bytes;             // of the whole file
  uint64_t checksum;          // checksum() of everything behind the header
};
static_assert(sizeof(Header) == 32);

enum class SectionKind : uint32_t {
  strings = 1,
  numbers = 2,
  dims = 3,
  buffers = 4,
  values = 5,
  attrs = 6,
  operands = 7,
  calls = 8,
  blocks = 9,
  ports = 10,
  weights = 11,
  flows = 12,
  slices = 13,
  graph = 64,                 // JSON for Python; the engine skips it and every other kind above 63
};
// count: elements; not read for strings, weights and graph, where `bytes` says it.
struct Section {
  uint32_t kind;
  uint32_t count;
  uint64_t offset, bytes;
};

struct Text { uint32_t offset, length; };
struct Expr { uint32_t offset, terms; };                                        // terms pairs in numbers; 1 <= terms <= 64

enum class Term : int64_t { constant = 0,
                            dim = 1,
                            add = 2,
                            sub = 3,
                            mul = 4,
                            floordiv = 5,
                            ceildiv = 6,
                            max = 7,
                            min = 8 };

struct Dim {
  Text name;
  int64_t lower, upper;
};                                // upper 0: unbounded

enum class Storage : uint32_t { temporary = 0,
                                input = 1,
                                output = 2,
                                state = 3,
                                constant = 4 };
struct Buffer {
  Storage storage;
  uint32_t port;         // port: index among inputs, outputs or states
  Expr bytes;                             // temporary only; others are as large as their value
  uint64_t offset, length;                // constant only: in the weights section, offset a multiple of 64
  uint32_t first, last;                   // temporary only: calls that touch it
};
struct Value {
  uint32_t buffer;
  uint8_t dtype;
  uint8_t rank;
  uint16_t reserved;
  Expr offset;                            // elements from the start of the buffer
  Expr shape[max_rank], stride[max_rank];
};

// kind: AttrKind. real: value = bits of a double. integers: count numbers from offset `value` in numbers. An integer that depends on dims has kind
// attr_expression: count = terms, value = offset in numbers.
struct AttrValue {
  uint32_t kind, count;
  int64_t value;
};
constexpr uint32_t attr_expression = 3;
constexpr uint32_t no_value = 0xffffffffu;                                      // an operand that is left out
struct CallRecord {
  Text op, label;                         // label: the layer path, for messages and reports
  uint32_t first_attr, n_attrs;           // attrs of the op's definition in order, all of them
  uint32_t first_operand, n_in, n_out;    // operands: value numbers, inputs then outputs
  uint32_t reserved;
};
struct Block { uint32_t first_call, n_calls; };

// Stands before the first call of its blocks. Flows are in the order of those calls, an outer one before those inside it; their blocks follow each
// other in `blocks` from 1 on, hold a call or more and lie inside or beside those of others. Values of flows have one element.
// branch: two blocks, one behind the other: the first runs if the condition is true, else the second.
// loop: one block. Before each step k = 0, 1, ...: the end, if k is `most`, or `trips` as it was before the first, or the condition is false; then the
// counter is k, and each slice that is read, part = whole[k]. After the step, for each that is written, whole[k] = part.
enum class FlowKind : uint32_t { branch = 0,
                                 loop = 1 };
struct Flow {
  FlowKind kind;
  uint32_t block;
  uint32_t condition;                     // bool; of a loop no_value: always true
  uint32_t trips, counter;                // loop: int64, or no_value
  uint32_t first_slice, n_slices;         // loop: following those of the flow before
  Expr most;                              // loop: steps; with slices that is their length, and where one is written there is no earlier end
};
struct Slice { uint32_t whole, part, written; };                                // contiguous, of any one dtype; part has the shape of whole[k]

enum class PortKind : uint32_t { input = 0,
                                 output = 1,
                                 state = 2 };
struct Port {
  PortKind kind;
  uint32_t value;
  Text name;
};                      // inputs, then outputs, then states, each in call order

static_assert(sizeof(Section) == 24 && sizeof(Dim) == 24 && sizeof(Buffer) == 40 && sizeof(Value) == 144 && sizeof(AttrValue) == 16 &&
                  sizeof(CallRecord) == 40 && sizeof(Block) == 8 && sizeof(Port) == 16 && sizeof(Flow) == 36 && sizeof(Slice) == 12,
              "the structures are the file's bytes: no padding");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a Plan is read where it lies");

// Against accidents, not against forgers (who recompute it). Four lanes of 64 bits over stripes of 32 bytes, the last stripe padded with zeros:
// lane = rotate((lane ^ word) * odd constant, 29), every step invertible, so that damage within one word never goes unseen; then the lanes and the
// length are folded by the same step. A lane waits 5 cycles for its multiply and rotate; four of them hide it.
uint64_t checksum(const void* bytes, size_t n);

}  // namespace plan
}  // namespace accelnn
