// What every kernel looks like from outside: an Op (what may be asked), its Rows (who can answer), a Call (one question).
// Eager Python, the Plan executor and a stand-alone binary meet the kernels here and nowhere else.
#pragma once
#include "isa.h"
#include "tensor.h"

namespace accelnn {

class Pool;

enum class AttrKind : uint8_t { integer,
                                real,
                                integers };
struct AttrDef {
  const char* name;
  AttrKind kind;
  double otherwise;
};   // `otherwise`: the value when it is not given

struct Attr {                 // one slot; the op's definition tells which member is live
  union {
    int64_t i;
    double f;
    const int64_t* list;
  };
  int64_t n;                  // length of `list`
};

struct Call {
  const TensorView* in;
  int n_in;       // as many as the op's max_in, left-out ones absent
  const TensorView* out;
  int n_out;
  const Attr* attrs;
  void* work = nullptr;                 // op.workspace() bytes, 64-byte aligned
  Pool* pool = nullptr;                 // null: one thread

  ACCELNN_INLINE int64_t integer(int slot) const { return attrs[slot].i; }
  ACCELNN_INLINE double real(int slot) const { return attrs[slot].f; }
};

enum class Device : uint8_t { cpu,
                              cuda };

// How a row's result relates to the exact one; the contract header of the op says what the words mean there.
enum class Exactness : uint8_t { reference,
                                 exact,
                                 gamma_k,
                                 ulps };

struct Row {
  const char* name;                     // <op>_<dtype>_<where>, also the symbol
  Status (*run)(const Call&);           // null: not compiled into this library
  uint32_t isa;                         // all of these bits are needed
  DType dtype;                          // of the first input
  Exactness exactness;
  Device device;
  int16_t tile_m, tile_n;               // register tile, 0 where it means nothing
};

struct Chip;
struct Launches;
// A CUDA row (launches.h): what it launches for a call, or the reason for which it does not take it. It sees shapes, strides and addresses of a device.
using LaunchRow = const char* (*)(const Call&, const Chip&, Launches*);

// A row for a device that is no processor, best first whatever its kind: Triton's is a function of accelnn.kernels, CUDA's one of this library. The lists
// of them stand apart from the tables, so that a program for the CPU holds none.
struct DeviceRow {
  const char* name;                     // null: the end of a list
  const char* where;                    // Triton: module:function. CUDA: null
  DType dtype;
  Exactness exactness;
  LaunchRow launches;                   // CUDA. Triton: null
};

struct Op {
  const char* name;
  const AttrDef* attrs;
  int n_attrs;
  int min_in, max_in, max_out;
  Status (*check)(const Call&);                                      // refuses whatever a row could not survive
  const char* (*refuse)(const Row&, const Call&);                    // why this row cannot take a checked call; null: it can
  size_t (*workspace)(const Call&, const Row&);                      // bytes; from shapes, attributes and row alone
};

struct Table {
  const Op* op;
  const Row* const* rows;
  int n_rows;
};  // best row first

// Why a row is not for this machine and call, or null. Pure: `caps` is an argument, so any machine's choice can be asked for.
const char* why_not(const Table&, const Row&, const Call&, const Caps&);
// The first row that may run, or the forced one; the reference row only when forced.
Status select(const Table&, const Call&, const Caps&, const Row** chosen);
// check + select + run with the caller's workspace taken from the caching allocator.
Status execute(const Table&, Call, const Caps&);

// Every op of the library (kernels/ops.inc). Referenced by _C.so and the prebuilt runner only: a user's binary brings its own list.
extern const Table* const all_tables[];
extern const int n_all_tables;
extern const DeviceRow* const all_device_rows[];        // of the same ops
const Table* find_table(const Table* const* tables, int n, const char* name);

const char* refuse_nothing(const Row&, const Call&);
size_t no_workspace(const Call&, const Row&);

// In a table file: the rows of dtypes for which there are no others (dtype.h).
#define ROWS_OF_SELDOM_DTYPES(op)                    \
  ROW(isa::none, op##_f64_base, f64, 0, 0, exact)    \
  ROW(isa::none, op##_f64_ref, f64, 0, 0, reference) \
  ROW(isa::none, op##_i16_base, i16, 0, 0, exact)    \
  ROW(isa::none, op##_i16_ref, i16, 0, 0, reference) \
  ROW(isa::none, op##_u16_base, u16, 0, 0, exact)    \
  ROW(isa::none, op##_u16_ref, u16, 0, 0, reference) \
  ROW(isa::none, op##_u32_base, u32, 0, 0, exact)    \
  ROW(isa::none, op##_u32_ref, u32, 0, 0, reference) \
  ROW(isa::none, op##_u64_base, u64, 0, 0, exact)    \
  ROW(isa::none, op##_u64_ref, u64, 0, 0, reference)

// Used by <op>.cpp, once an op: expands the table file into rows that a linker can drop one by one (-fdata-sections).
//   #define ACCELNN_TABLE "matmul/matmul.inc"
//   #include "define_op.h"
}  // namespace accelnn
