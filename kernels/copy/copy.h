// copy: the same elements, contiguous.
//
//   y[i0, i1, ...] = x[i0, i1, ...]
//
// x: any dtype, any strides >= 0 (0 repeats, transposed views included). y: x's shape and dtype, contiguous, no memory shared with x.
// Alignment: the elements' own. Empty: nothing is written. Bitwise exact, NaN payloads too.
#pragma once
#include "op.h"
