// byte_table(x u8 [...], table u8[256]) -> y u8, x's shape:  y[i] = table[x[i]]
//   Any chain of functions of one quantized tensor that ends in bytes again. Contiguous, any alignment; y may be x's own memory, no other overlap.
#pragma once
#include "pool.h"

#define ACCELNN_OP byte_table
#define ACCELNN_TABLE "quantize/byte_table.inc"
#include "attr_slots.h"
