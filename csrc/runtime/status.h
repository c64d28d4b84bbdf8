// The result of anything that can fail, without exceptions: a code and a sentence that names what came and what was expected.
#pragma once
#include <cstdarg>
#include "dtype.h"

namespace accelnn {

enum class Code : int { ok = 0,
                        shape,
                        dtype,
                        attribute,
                        aliasing,
                        unsupported,
                        kernel,
                        format,
                        memory,
                        bound };

struct [[nodiscard]] Status {
  Code code = Code::ok;
  char text[252];                       // written only on failure, so that success costs one word
  ACCELNN_INLINE Status() { text[0] = 0; }
  ACCELNN_INLINE bool ok() const { return code == Code::ok; }
};

Status fail(Code code, const char* format, ...) __attribute__((format(printf, 2, 3), cold));

#define ACCELNN_TRY(expression)                             \
  do {                                                      \
    ::accelnn::Status status_ = (expression);               \
    if (__builtin_expect(!status_.ok(), 0)) return status_; \
  } while (0)

#define ACCELNN_CHECK(condition, code, ...)                                                            \
  do {                                                                                                 \
    if (__builtin_expect(!(condition), 0)) return ::accelnn::fail(::accelnn::Code::code, __VA_ARGS__); \
  } while (0)

}  // namespace accelnn
