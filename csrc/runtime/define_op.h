// Expands one table file. No include guard: an <op>.cpp that defines two ops includes it twice.
//   #define ACCELNN_OP matmul
//   #define ACCELNN_TABLE "matmul/matmul.inc"
//   #include "define_op.h"
// gives: enum of attribute slots `namespace matmul_attr`, the rows, `table_matmul`; the .cpp then defines `op_matmul` with attributes `matmul_attrs`.
// ATTRIBUTE(kind, name, default)
// ROW(isa bits, symbol, dtype of the first input, tile m, tile n, exactness)
// TRITON(name, dtype of the first input, "family.gpu_triton:function", exactness)   runs on a device, launched from Python or a Plan: no symbol
// CUDA(name, dtype of the first input, exactness)   the same from cuda_*.cu: `name` is a function that says what to launch (launches.h)
// The rows of every processor stand in every library, so that Python on one can choose for a program on another: those of a foreign one have no code.
#include "op.h"

#define ACCELNN_JOIN_(a, b) a##b
#define ACCELNN_JOIN(a, b) ACCELNN_JOIN_(a, b)

namespace accelnn {

#define ATTRIBUTE(kind, name, otherwise) {#name, AttrKind::kind, otherwise},
#define ROW(...)
#define TRITON(...)
#define CUDA(...)
static const AttrDef ACCELNN_JOIN(ACCELNN_OP, _attrs)[] = {
#include ACCELNN_TABLE
    {nullptr, AttrKind::integer, 0}};
#undef ATTRIBUTE
#undef ROW

#define ATTRIBUTE(...)
#define ROW(needs, symbol, type, m, n, how) \
  Status symbol(const Call&);               \
  extern const Row row_##symbol;            \
  const Row row_##symbol = {#symbol, (needs) & isa::foreign ? nullptr : symbol, needs, DType::type, Exactness::how, Device::cpu, m, n};
#include ACCELNN_TABLE
#undef ROW

#define ROW(needs, symbol, type, m, n, how) &row_##symbol,
static const Row* const ACCELNN_JOIN(ACCELNN_OP, _rows)[] = {
#include ACCELNN_TABLE
};
#undef ROW
#undef TRITON
#undef CUDA

#define ROW(...)
#define TRITON(...)
#define CUDA(name, type, how) const char* name(const Call&, const Chip&, Launches*);
#include ACCELNN_TABLE
#undef TRITON
#undef CUDA
#define TRITON(name, type, where, how) {#name, where, DType::type, Exactness::how, nullptr},
#define CUDA(name, type, how) {#name, nullptr, DType::type, Exactness::how, name},
extern const DeviceRow ACCELNN_JOIN(device_rows_, ACCELNN_OP)[];
const DeviceRow ACCELNN_JOIN(device_rows_, ACCELNN_OP)[] = {
#include ACCELNN_TABLE
    {nullptr, nullptr, DType::f32, Exactness::reference, nullptr}};
#undef ROW
#undef TRITON
#undef CUDA
#undef ATTRIBUTE

extern const Op ACCELNN_JOIN(op_, ACCELNN_OP);
extern const Table ACCELNN_JOIN(table_, ACCELNN_OP);
const Table ACCELNN_JOIN(table_, ACCELNN_OP) = {&ACCELNN_JOIN(op_, ACCELNN_OP), ACCELNN_JOIN(ACCELNN_OP, _rows),
                                                int(sizeof ACCELNN_JOIN(ACCELNN_OP, _rows) / sizeof(Row*))};

}  // namespace accelnn

#undef ACCELNN_OP
#undef ACCELNN_TABLE
