// .npy and appended Plans: round trips, and everything that is refused.
#include <string>
#include <unistd.h>
#include <vector>
#include "alloc.h"
#include "check.h"
#include "deploy/appended.h"
#include "deploy/npy.h"

using namespace accelnn;

static std::string folder;
static std::string path(const char* name) { return folder + "/" + name; }
static void put(const std::string& file, const std::string& bytes) {
  FILE* f = fopen(file.c_str(), "wb");
  CHECK(f && fwrite(bytes.data(), 1, bytes.size(), f) == bytes.size() && !fclose(f));
}
static std::string npy_bytes(const std::string& header, size_t data, int version = 1) {
  std::string s = "\x93NUMPY";
  s += char(version);
  s += '\0';
  s += char(header.size() & 255);
  s += char(header.size() >> 8);
  if (version == 2) s += std::string(2, '\0');
  return s + header + std::string(data, '\0');
}
static Status load(const std::string& bytes, TensorView* v) {
  put(path("in.npy"), bytes);
  return npy::load(path("in.npy").c_str(), v);
}
static Status refused(const std::string& bytes) {
  TensorView v;
  return load(bytes, &v);
}

static void round_trips() {
  const DType all[] = {DType::f32, DType::f16, DType::i8, DType::u8, DType::i32, DType::i64, DType::boolean,
                       DType::f64, DType::i16, DType::u16, DType::u32, DType::u64};
  for (const DType t : all)
    for (int rank = 0; rank <= max_rank; rank++) {
      TensorView v, back;
      v.dtype = t;
      v.rank = rank;
      for (int i = 0; i < rank; i++) v.shape[i] = i == 5 ? 0 : i + 1;
      v.set_contiguous();
      std::vector<uint8_t> data(size_t(v.count()) * size_of(t) + 1);
      for (size_t i = 0; i < data.size(); i++) data[i] = uint8_t(i);
      v.data = data.data();
      CHECK_OK(npy::save(path("x.npy").c_str(), v));
      CHECK_OK(npy::load(path("x.npy").c_str(), &back));
      CHECK(back.dtype == t && same_shape(v, back) && !memcmp(back.data, v.data, size_t(v.count()) * size_of(t)));
      release(back.data);
    }
  uint16_t bf16[2] = {0x3f80, 0xc040};  // 1, -3
  TensorView v, back;
  v.data = bf16;
  v.dtype = DType::bf16;
  v.rank = 1;
  v.shape[0] = 2;
  v.set_contiguous();
  CHECK_OK(npy::save(path("x.npy").c_str(), v));
  CHECK_OK(npy::load(path("x.npy").c_str(), &back));
  CHECK(back.dtype == DType::f32 && back.as<float>()[0] == 1.0f && back.as<float>()[1] == -3.0f);
  release(back.data);
  CHECK_FAILS(npy::save("/nowhere/x.npy", v), unsupported, "No such file");
}

static void refusals() {
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n";
  TensorView v;
  for (const int version : {1, 2}) {
    CHECK_OK(load(npy_bytes(good, 24, version), &v));
    CHECK(v.rank == 2 && v.shape[1] == 3);
    release(v.data);
  }
  CHECK_OK(load(npy_bytes("{\"shape\":(2,), 'fortran_order':False,'descr':'=f4'}", 8), &v));
  release(v.data);
  for (size_t n = 0; n < npy_bytes(good, 24).size(); n++) CHECK(!refused(npy_bytes(good, 24).substr(0, n)).ok());
  CHECK_FAILS(refused(npy_bytes(good, 25)), format, "needs 24 bytes, the file has 25");
  CHECK_FAILS(refused(npy_bytes(good, 24, 3)), format, "version 3.0");
  CHECK_FAILS(refused("hello, I am a text"), format, "not a .npy file");
  struct {
    const char* header;
    const char* says;
  } const bad[] = {
      {"{'descr': '<c16', 'fortran_order': False, 'shape': (2,), }", "'<c16' are not supported"},
      {"{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", "big-endian"},
      {"{'descr': '<U7', 'fortran_order': False, 'shape': (2,), }", "not supported"},
      {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", "fields"},
      {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }", "Fortran"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }", "malformed"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2), }", "malformed"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", "malformed"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", "too large"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4294967296, 4294967296), }", "too large"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", "more than 8"},
      {"{'descr': '<f4', 'fortran_order': False, }", "malformed"},
      {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "malformed"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), } import os", "malformed"},
      {"{'descr': '<f4", "fields"},
  };
  for (const auto& b : bad) {
    const Status s = refused(npy_bytes(b.header, 8));
    if (s.ok() || !strstr(s.text, b.says)) printf("%s -> '%s', expected '%s'\n", b.header, s.text, b.says);
    CHECK(!s.ok() && strstr(s.text, b.says));
  }
  CHECK_FAILS(npy::load(folder.c_str(), &v), format, "not a file");
  CHECK_FAILS(npy::load(path("missing.npy").c_str(), &v), format, "No such file");
}

static void appended() {
  const void* bytes = nullptr;
  size_t n = 0;
  std::string program(1000, 'p');
  put(path("program"), program);
  CHECK_FAILS(map_appended(path("program").c_str(), &bytes, &n), format, "carries no model");
  const auto with = [&](size_t at, size_t size) {
    std::string all = program;
    all.resize(at);
    all += std::string(777, 'm');
    Trailer t = {};
    memcpy(t.magic, trailer_magic, sizeof t.magic);
    t.offset = at;
    t.bytes = size;
    all.append(reinterpret_cast<char*>(&t), sizeof t);
    put(path("program"), all);
    return map_appended(path("program").c_str(), &bytes, &n);
  };
  for (const size_t at : {1024, 4096, 4160}) {
    CHECK_OK(with(at, 777));
    CHECK(n == 777 && reinterpret_cast<uintptr_t>(bytes) % 64 == 0 && static_cast<const char*>(bytes)[776] == 'm');
  }
  CHECK_FAILS(with(1024, 778), format, "damaged");
  CHECK_FAILS(with(1000, 777), format, "damaged");
}

int main() {
  char temporary[] = "/tmp/accelnn_npy_XXXXXX";
  CHECK(mkdtemp(temporary));
  folder = temporary;
  round_trips();
  refusals();
  appended();
  for (const char* name : {"in.npy", "x.npy", "program"}) unlink(path(name).c_str());
  CHECK(!rmdir(temporary) && allocator_stats().live == 0);
  release_cached();
  return passed("npy");
}
