// Runs launches for Python (device.py is the other end), each request under all six schedules. Little endian, no padding.
//   <- i32 pieces of memory, each i64 bytes, bytes;  i32 launches, each i32 length, entry; i64 grid[3]; i32 threads, shared; i32 length, arguments;
//      i32 addresses at the arguments' beginning, each i32 piece (-1: null), i64 offset
//   -> i32 0 and the bytes of all pieces, or i32 length > 0 and a sentence: two schedules left different bits
// Anything worse ends the process with its reason on stderr.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>
#include "schedule.h"

namespace {

void read(void* to, size_t n) {
  if (n && fread(to, 1, n, stdin) != n) exit(3);
}
template <class T> T get() {
  T v;
  read(&v, sizeof v);
  return v;
}
template <class T> void put(T v) { fwrite(&v, sizeof v, 1, stdout); }

struct Address {
  int32_t piece;
  int64_t offset;
};
struct Request {
  std::string entry;
  int64_t grid[3];
  int32_t threads, shared;
  std::vector<char> arguments;
  std::vector<Address> addresses;
};

// Memory of its exact size, so that the sanitizer sees what lies outside; at a multiple of 256, as a driver gives it.
struct Piece {
  char* data = nullptr;
  size_t bytes = 0;
  explicit Piece(const std::vector<char>& content) : bytes(content.size()) {
    void* made = nullptr;
    if (posix_memalign(&made, 256, bytes)) exit(4);
    data = static_cast<char*>(made);
    memcpy(data, content.data(), bytes);
  }
  Piece(Piece&& other) : data(other.data), bytes(other.bytes) { other.data = nullptr; }
  ~Piece() { free(data); }
};

std::vector<char> get_bytes(size_t n) {
  std::vector<char> v(n);
  read(v.data(), n);
  return v;
}

Request get_request() {
  Request r;
  const std::vector<char> name = get_bytes(size_t(get<int32_t>()));
  r.entry.assign(name.begin(), name.end());
  for (int64_t& g : r.grid) g = get<int64_t>();
  r.threads = get<int32_t>();
  r.shared = get<int32_t>();
  r.arguments = get_bytes(size_t(get<int32_t>()));
  r.addresses.resize(size_t(get<int32_t>()));
  for (Address& a : r.addresses) {
    a.piece = get<int32_t>();
    a.offset = get<int64_t>();
  }
  return r;
}

void launch(Request r, const std::vector<Piece>& pieces, int schedule) {
  const simt::Entry* const entry = simt::find(r.entry.c_str());
  if (!entry) simt::fail("no kernel %s", r.entry.c_str());
  if (entry->bytes != r.arguments.size()) simt::fail("%s: %zu bytes of arguments, %zu expected", r.entry.c_str(), r.arguments.size(), entry->bytes);
  for (size_t i = 0; i < r.addresses.size(); i++) {
    const Address a = r.addresses[i];
    char* const place = a.piece < 0 ? nullptr : pieces[size_t(a.piece)].data + a.offset;
    memcpy(r.arguments.data() + i * sizeof place, &place, sizeof place);
  }
  const simt::Index grid = {unsigned(r.grid[0]), unsigned(r.grid[1]), unsigned(r.grid[2])};
  simt::launch(*entry, grid, r.threads, size_t(r.shared), r.arguments.data(), simt::Schedule(schedule), unsigned(schedule) + 7);
}

}  // namespace

int main() {
  for (int first = getc(stdin); first != EOF; first = getc(stdin)) {
    ungetc(first, stdin);
    std::vector<std::vector<char>> given(size_t(get<int32_t>())), found;
    for (auto& g : given) {
      const size_t n = size_t(get<int64_t>());
      g = get_bytes(n);
    }
    std::vector<Request> requests(size_t(get<int32_t>()));
    for (Request& r : requests) r = get_request();
    std::string wrong;
    for (int schedule = 0; schedule < simt::n_schedules && wrong.empty(); schedule++) {
      std::vector<Piece> pieces;
      for (const auto& g : given) pieces.emplace_back(g);
      for (const Request& r : requests) launch(r, pieces, schedule);
      for (size_t i = 0; i < pieces.size(); i++) {
        if (schedule == 0)
          found.emplace_back(pieces[i].data, pieces[i].data + pieces[i].bytes);
        else if (memcmp(found[i].data(), pieces[i].data, pieces[i].bytes))
          wrong = "schedule " + std::to_string(schedule) + " leaves other bits in memory " + std::to_string(i) + " than schedule 0";
      }
    }
    put(int32_t(wrong.size()));
    if (!wrong.empty())
      fwrite(wrong.data(), 1, wrong.size(), stdout);
    else
      for (const auto& f : found) fwrite(f.data(), 1, f.size(), stdout);
    fflush(stdout);
  }
}
