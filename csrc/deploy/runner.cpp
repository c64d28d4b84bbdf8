// Only in the prebuilt runner: asks the linker for every op. A user's binary defines accelnn_model_tables instead.
#include "engine/flow.h"
#include "op.h"

extern "C" const accelnn::Table* const* accelnn_runner_tables;
const accelnn::Table* const* accelnn_runner_tables = accelnn::all_tables;
extern "C" const char* accelnn_runner_flow;
const char* accelnn_runner_flow = &accelnn_flow;
