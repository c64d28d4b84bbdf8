// Slow truth: the definition, element by element.
#include "philox.h"
#include "random/random_uniform.h"

namespace accelnn {

Status random_uniform_i64_ref(const Call& call);
Status random_uniform_i64_ref(const Call& call) {
  const uint64_t seed = call.in[0].as<uint64_t>()[0], number = call.in[0].as<uint64_t>()[1];
  const TensorView &u = call.out[0], &next = call.out[1];
  const int64_t n = u.count();
  for (int64_t i = 0; i < n; i++) u.as<float>()[i] = uniform01(philox(seed, number, uint64_t(i / 4)).v[i % 4]);
  if (!next.absent()) next.as<uint64_t>()[0] = seed, next.as<uint64_t>()[1] = number + 1;
  return {};
}

}  // namespace accelnn
