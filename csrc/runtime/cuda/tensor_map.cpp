#include "cuda/tensor_map.h"

namespace accelnn::cuda {

namespace {

// Powers of two as the driver numbers them: 0 is none, `first` is 1.
int step_of(int bytes, int first) { return bytes < first ? 0 : 1 + __builtin_ctz(unsigned(bytes / first)); }

bool is_one_of(int bytes, int first, int last) { return bytes == 0 || (bytes >= first && bytes <= last && !(bytes & (bytes - 1))); }

// The driver answers all of these with CUDA_ERROR_INVALID_VALUE and nothing else.
Status check(const MapSpec& s) {
  ACCELNN_CHECK(s.rank >= 1 && s.rank <= max_map_rank, shape, "cuda: tensor map: %d dimensions: 1 to %d expected", s.rank, max_map_rank);
  ACCELNN_CHECK(is_one_of(s.swizzle, 32, 128), attribute, "cuda: tensor map: a swizzle of %d bytes: 0, 32, 64 or 128 expected", s.swizzle);
  ACCELNN_CHECK(is_one_of(s.promotion, 64, 256), attribute, "cuda: tensor map: L2 promotion to %d bytes: 0, 64, 128 or 256 expected", s.promotion);
  ACCELNN_CHECK(s.address % 16 == 0, bound, "cuda: tensor map: address %llu is not a multiple of 16", s.address);
  for (int d = 0; d < s.rank; d++) {
    ACCELNN_CHECK(s.shape[d] >= 1 && s.shape[d] <= (1ULL << 32), shape, "cuda: tensor map: dimension %d has %llu elements: 1 to 2^32 expected", d,
                  static_cast<unsigned long long>(s.shape[d]));
    ACCELNN_CHECK(d == 0 || (s.stride[d] % 16 == 0 && s.stride[d] < (1ULL << 40)), shape,
                  "cuda: tensor map: stride %d of %llu bytes: a multiple of 16 below 2^40 expected",
                  d, static_cast<unsigned long long>(s.stride[d]));
    ACCELNN_CHECK(s.box[d] >= 1 && s.box[d] <= 256, shape, "cuda: tensor map: a box of %u in dimension %d: 1 to 256 expected", s.box[d], d);
    ACCELNN_CHECK(s.step[d] >= 1 && s.step[d] <= 8, attribute, "cuda: tensor map: a step of %u in dimension %d: 1 to 8 expected", s.step[d], d);
  }
  ACCELNN_CHECK(s.stride[0] == uint64_t(s.element), shape, "cuda: tensor map: the innermost stride is %llu bytes: that of an element, %d, expected",
                static_cast<unsigned long long>(s.stride[0]), s.element);
  const uint64_t inner = uint64_t(s.box[0]) * uint64_t(s.element);
  ACCELNN_CHECK(inner % 16 == 0 && (!s.swizzle || inner <= uint64_t(s.swizzle)), shape,
                "cuda: tensor map: the box is %llu bytes wide: a multiple of 16, at most the swizzle of %d, expected",
                static_cast<unsigned long long>(inner), s.swizzle);
  return {};
}

}  // namespace

Status encode(int device, const MapSpec& s, TensorMap* map) {
  ACCELNN_TRY(check(s));
  const DeviceInfo* info = nullptr;
  ACCELNN_TRY(device_info(device, &info));
  ACCELNN_CHECK(info->major >= 9, unsupported, "cuda: tensor maps need sm_90 or newer, device %d is sm_%d%d", device, info->major, info->minor);
  void* const address = reinterpret_cast<void*>(s.address);
  const int swizzle = step_of(s.swizzle, 32), promotion = step_of(s.promotion, 64);
  return on(device, [&]() -> Status {
    ACCELNN_CUDA(cuTensorMapEncodeTiled, (map, s.type, unsigned(s.rank), address, s.shape, s.stride + 1, s.box, s.step, 0, swizzle, promotion, s.nan),
                 "%d dimensions of type %d at address %llu", s.rank, s.type, s.address);
    return {};
  });
}

}  // namespace accelnn::cuda
