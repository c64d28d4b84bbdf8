// What a program is linked with: the ops of its model, and the model's bytes. accelnn/deploy generates the file that defines them; a program without
// them (the Python library, the prebuilt runner) has every op and no model, which the weak references find out.
#pragma once
#include "op.h"

extern "C" {
extern const accelnn::Table* const accelnn_model_tables[] __attribute__((weak));
extern const int accelnn_n_model_tables __attribute__((weak));
extern const unsigned char accelnn_model_begin[] __attribute__((weak));          // at a multiple of 64
extern const unsigned char accelnn_model_end[] __attribute__((weak));
}

namespace accelnn {

extern const Table* const all_tables[] __attribute__((weak));
extern const int n_all_tables __attribute__((weak));

struct Tables {
  const Table* const* at;
  int n;
};
inline Tables linked_tables() {
  if (accelnn_model_tables) return {accelnn_model_tables, accelnn_n_model_tables};
  if (all_tables) return {all_tables, n_all_tables};
  return {nullptr, 0};
}

}  // namespace accelnn
