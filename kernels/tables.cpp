// The list of every op, for _C.so and the prebuilt runner. A stand-alone binary links its own, shorter list instead and never pulls this file in.
#include "op.h"

namespace accelnn {

#define OP(name) extern const Table table_##name;
#include "ops.inc"
#undef OP

#define OP(name) &table_##name,
const Table* const all_tables[] = {
#include "ops.inc"
};
#undef OP
#define OP(name) extern const DeviceRow device_rows_##name[];
#include "ops.inc"
#undef OP

#define OP(name) device_rows_##name,
const DeviceRow* const all_device_rows[] = {
#include "ops.inc"
};
#undef OP
const int n_all_tables = sizeof all_tables / sizeof *all_tables;

}  // namespace accelnn
