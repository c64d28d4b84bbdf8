#include "appended.h"
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace accelnn {

Status map_appended(const char* path, const void** bytes, size_t* n) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  ACCELNN_CHECK(fd >= 0, format, "%.160s: %s", path, strerror(errno));
  struct stat info;
  Trailer t;
  const bool there = !fstat(fd, &info) && info.st_size > int64_t(sizeof t) &&
      pread(fd, &t, sizeof t, info.st_size - int64_t(sizeof t)) == int64_t(sizeof t) &&
      !memcmp(t.magic, trailer_magic, sizeof t.magic);
  if (!there) {
    close(fd);
    return fail(Code::format, "this program carries no model: `accelnn build model.accel -o net` makes one that does");
  }
  const uint64_t end = uint64_t(info.st_size) - sizeof t;
  Status s;
  if (t.offset % 64 || t.offset > end || t.bytes != end - t.offset) {
    s = fail(Code::format, "this program's model is cut short or damaged");
  } else {
    const uint64_t within = t.offset % uint64_t(sysconf(_SC_PAGESIZE));
    void* map = mmap(nullptr, size_t(t.bytes + within), PROT_READ, MAP_PRIVATE, fd, off_t(t.offset - within));
    if (map == MAP_FAILED) s = fail(Code::memory, "the model behind this program cannot be mapped: %s", strerror(errno));
    else *bytes = static_cast<char*>(map) + within, *n = size_t(t.bytes);
  }
  close(fd);
  return s;
}

}  // namespace accelnn
