// What we use of DLPack (dmlc/dlpack v1.2), restated: it is an ABI.
#pragma once
#include <cstdint>

namespace accelnn::dlpack {

constexpr int32_t cpu = 1;

struct Version { uint32_t major, minor; };
struct Device { int32_t type, id; };
struct DataType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct Tensor {
  void* data;
  Device device;
  int32_t ndim;
  DataType dtype;
  int64_t* shape;
  int64_t* strides;
  uint64_t byte_offset;
};
inline bool is_f32(DataType t) { return t.code == 2 && t.bits == 32 && t.lanes == 1; }

// A capsule holds one of these two: the first until 1.0, the second when its receiver says that it knows version 1.
struct Managed {
  Tensor tensor;
  void* context;
  void (*deleter)(Managed*);
};
struct Versioned {
  Version version;
  void* context;
  void (*deleter)(Versioned*);
  uint64_t flags;
  Tensor tensor;
};
constexpr uint64_t read_only = 1, copied = 2;

using FromPyObject = int (*)(void* object, Tensor* out);   // borrowed, until control returns to the owner; -1 with a Python error set

struct ExchangeTable {
  Version version;
  const ExchangeTable* older;
  void* allocate;
  void* own;
  void* give;
  FromPyObject read;
  void* stream;
};

}  // namespace accelnn::dlpack
