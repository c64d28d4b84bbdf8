// Names the attribute slots of one op for its kernels. No include guard: once an op.
//   #define ACCELNN_OP matmul
//   #define ACCELNN_TABLE "matmul/matmul.inc"
//   #include "attr_slots.h"        // matmul_attr::transpose, ...
#define ACCELNN_JOIN_(a, b) a##b
#define ACCELNN_JOIN(a, b) ACCELNN_JOIN_(a, b)
#define ATTRIBUTE(kind, name, otherwise) name,
#define ROW(...)
#define TRITON(...)
#define CUDA(...)
namespace accelnn {
namespace ACCELNN_JOIN(ACCELNN_OP, _attr) {
enum Slot : int {
#include ACCELNN_TABLE
  count_
};
}
}  // namespace accelnn
#undef ATTRIBUTE
#undef ROW
#undef TRITON
#undef CUDA
#undef ACCELNN_OP
#undef ACCELNN_TABLE
