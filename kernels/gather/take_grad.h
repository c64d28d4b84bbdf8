// take_grad(dy [outer.., J.., inner..], index [J..]) -> dx [outer.., A, inner..], attribute axis (of A): rows added up by number.
//
//   dx[o, a, i] = sum over j with index[j] = a of dy[o, j, i], in the order of j;   0 where there is none, and where a is `skip`
//
// torch's index_add to zeros, the gradient of take. f32. index: i64 or i32, as in take. Contiguous, no overlap, any alignment.
// |err| <= gamma_(m - 1) sum |dy|, m terms. The order of a sum is that of j whatever the threads.
// On a device, which cannot stop a kernel, what an index outside names is left out; no memory outside y is written.
#pragma once
#include "op.h"

#define ACCELNN_OP take_grad
#define ACCELNN_TABLE "gather/take_grad.inc"
#include "attr_slots.h"
