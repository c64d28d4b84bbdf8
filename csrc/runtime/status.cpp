#include "status.h"
#include "text.h"

namespace accelnn {

Status fail(Code code, const char* format, ...) {
  Status s;
  s.code = code;
  va_list arguments;
  va_start(arguments, format);
  vformat(s.text, sizeof s.text, format, arguments);
  va_end(arguments);
  return s;
}

}  // namespace accelnn
