// ACCELNN_HERE(copy_f32): the row's name with this file's instruction set behind it, copy_f32_x86_avx512.
#pragma once

#define ACCELNN_HERE_JOINED(name, target) name##_##target
#define ACCELNN_HERE_EXPANDED(name, target) ACCELNN_HERE_JOINED(name, target)
#define ACCELNN_HERE(name) ACCELNN_HERE_EXPANDED(name, ACCELNN_TARGET)
