// random_uniform: counter-based random numbers in [0, 1) on a grid of 2^-24.
//
//   u[i] = uniform01(philox(seed, call, i / 4).v[i % 4])      i: row-major index of the output;  state = (seed, call)
//   next_state = (seed, call + 1)                             modulo 2^64
//
// state: i64[2], contiguous. u: f32, any shape, contiguous. next_state: i64[2], contiguous, may be left out, may be exactly state's memory.
// No other overlap. The same bits on every ISA, for any number of threads; a shape without elements still gives next_state.
#pragma once
#include "op.h"
