// flip(x) -> y, attribute axes:  y[i] = x[j],  j[d] = n_d - 1 - i[d] for d in axes, else i[d].
// Axes in [0, rank), none twice. Any dtype. Contiguous, y has x's shape and shares no memory with it. Any alignment. Bitwise exact.
#pragma once
#include "op.h"

#define ACCELNN_OP flip
#define ACCELNN_TABLE "arrange/flip.inc"
#include "attr_slots.h"
