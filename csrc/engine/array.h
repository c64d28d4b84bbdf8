// An array over the caching allocator: one owner, no exceptions, no libstdc++. Elements are plain data: they start as zero bytes.
#pragma once
#include <cstring>
#include <new>
#include "alloc.h"
#include "status.h"

namespace accelnn {

template <class T> class Array {
 public:
  Array() = default;
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { release(data_); }

  // Forgets what was there. `n` is a checked number: no more than some limit, or as large as something the file holds.
  Status resize(int64_t n) {
    release(data_);
    data_ = nullptr;
    size_ = 0;
    size_t bytes;
    if (n < 0 || __builtin_mul_overflow(size_t(n), sizeof(T), &bytes))
      return fail(Code::memory, "no memory for %lld elements", static_cast<long long>(n));
    if (!n) return {};
    data_ = static_cast<T*>(allocate(bytes));
    ACCELNN_CHECK(data_, memory, "no memory for %zu bytes", bytes);
    memset(static_cast<void*>(data_), 0, bytes);
    size_ = n;
    return {};
  }
  ACCELNN_INLINE T& operator[](int64_t i) { return data_[i]; }
  ACCELNN_INLINE const T& operator[](int64_t i) const { return data_[i]; }
  ACCELNN_INLINE T* data() { return data_; }
  ACCELNN_INLINE const T* data() const { return data_; }
  ACCELNN_INLINE int64_t size() const { return size_; }
  ACCELNN_INLINE T* begin() { return data_; }
  ACCELNN_INLINE T* end() { return data_ + size_; }
  ACCELNN_INLINE const T* begin() const { return data_; }
  ACCELNN_INLINE const T* end() const { return data_ + size_; }

 private:
  T* data_ = nullptr;
  int64_t size_ = 0;
};

// `new` and `delete` without libstdc++. Null when there is no memory.
template <class T> T* create() {
  void* p = allocate(sizeof(T));
  return p ? new (p) T : nullptr;
}
template <class T> void destroy(T* p) {
  if (!p) return;
  p->~T();
  release(p);
}

// Sorts indices [0, n) in place by `before(a, b)`, a strict total order: heap sort, so that a hostile order costs no more than any other.
template <class F> void sort_indices(uint32_t* at, int64_t n, const F& before) {
  const auto sink = [&](int64_t root, int64_t size) {
    for (int64_t child; (child = 2 * root + 1) < size; root = child) {
      if (child + 1 < size && before(at[child], at[child + 1])) child++;
      if (!before(at[root], at[child])) return;
      const uint32_t moved = at[root];
      at[root] = at[child];
      at[child] = moved;
    }
  };
  for (int64_t i = n / 2; i-- > 0;) sink(i, n);
  for (int64_t size = n; --size > 0;) {
    const uint32_t largest = at[0];
    at[0] = at[size];
    at[size] = largest;
    sink(0, size);
  }
}

}  // namespace accelnn
