// Allocator, Philox, thread pool.
#include <atomic>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>
#include "alloc.h"
#include "check.h"
#include "philox.h"
#include "pool.h"

using namespace accelnn;

static void allocator() {
  for (const size_t n : {size_t(0), size_t(1), size_t(63), size_t(257), size_t(1) << 20, (size_t(4) << 20) + 1}) {
    char* p = static_cast<char*>(allocate(n));
    CHECK(p && reinterpret_cast<uintptr_t>(p) % alignment == 0);
    memset(p, 1, n);
    release(p);
    char* again = static_cast<char*>(allocate(n));
    CHECK(again == p);                  // the same size comes back without a system call
    release(again);
  }
  CHECK(!allocate(size_t(1) << 60));
  release(nullptr);
  const AllocatorStats before = allocator_stats();
  CHECK(before.live == 0 && before.cached > 0);
  release_cached();
  CHECK(allocator_stats().cached == 0);
}

// Known answers of Random123 1.14, kat_vectors, philox4x32-10: counter words c0 c1 c2 c3, key words k0 k1.
static void known_answers() {
  struct { uint64_t seed, call, block; uint32_t v[4]; } const known[] = {
      {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {~0ull, ~0ull, ~0ull, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {0x299f31d0a4093822ull, 0x0370734413198a2eull, 0x85a308d3243f6a88ull, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (const auto& k : known) {
    const Philox4 p = philox(k.seed, k.call, k.block);
    for (int i = 0; i < 4; i++) CHECK(p.v[i] == k.v[i]);
  }
  CHECK(uniform01(0) == 0.0f && uniform01(~0u) < 1.0f && uniform01(0x80000000u) == 0.5f);
}

static int64_t sum_in_parts(int64_t parts) {
  std::vector<int64_t> out(size_t(parts), 0);
  Call call = {};
  call.pool = pool();
  parallel(call, parts, int64_t(1) << 40, [&](int64_t i) { out[size_t(i)] = i * i; });
  int64_t sum = 0;
  for (const int64_t x : out) sum += x;
  return sum;
}

static int64_t expected(int64_t n) { return (n - 1) * n * (2 * n - 1) / 6; }

static void threads() {
  for (const int n : {4, 1, 3}) {
    set_thread_count(n);
    CHECK(thread_count() == n && (pool() == nullptr) == (n == 1));
    for (int64_t parts = 0; parts < 40; parts++) CHECK(sum_in_parts(parts) == expected(parts));
    if (Pool* p = pool()) {
      p->begin_run();
      for (int i = 0; i < 300; i++) CHECK(sum_in_parts(17) == expected(17));
      p->end_run();
    }
  }
  set_thread_count(4);
  usleep(2000);                         // asleep by now
  CHECK(sum_in_parts(1000) == expected(1000));

  // A part that asks again does its parts itself.
  std::atomic<int64_t> nested{0};
  Call call = {};
  call.pool = pool();
  parallel(call, 8, int64_t(1) << 40, [&](int64_t) {
    parallel(call, 8, int64_t(1) << 40, [&](int64_t) { nested.fetch_add(1); });
  });
  CHECK(nested.load() == 64);

  // Callers that meet: one gets the workers, the others compute alone.
  std::vector<pthread_t> callers(4);
  for (pthread_t& t : callers)
    CHECK(!pthread_create(&t, nullptr, [](void*) -> void* {
      for (int i = 0; i < 200; i++) if (sum_in_parts(33) != expected(33)) return reinterpret_cast<void*>(1);
      return nullptr;
    }, nullptr));
  for (pthread_t t : callers) {
    void* wrong = nullptr;
    pthread_join(t, &wrong);
    CHECK(!wrong);
  }
}

// Small work alone wakes nobody; in a row, within a run of a Plan, it does once it is as much as what wakes them alone.
static void waking() {
  constexpr int64_t small = worth_waking / 20;
  set_thread_count(2);
  const Pool* p = pool();
  Call call = {};
  call.pool = pool();
  parallel(call, 2, worth_waking, [](int64_t) {});
  const auto asked = [&] {              // how often until somebody would be woken; on a busy machine gaps may come between
    for (int i = 1; i < 1000; i++)
      if (worth_threads(p, small)) return i;
    return 0;
  };
  usleep(20000);                        // asleep by now
  CHECK(asked() == 0);
  pool()->begin_run();
  const int first = asked();
  usleep(2000);
  const int again = asked();
  pool()->end_run();
  CHECK(first >= 19 && again >= 20 && asked() == 0);
}

// The child has none of the parent's workers and makes its own.
static void forked() {
  set_thread_count(3);
  CHECK(sum_in_parts(50) == expected(50));
  fflush(stdout);
  const pid_t child = fork();
  if (!child) _exit(sum_in_parts(50) == expected(50) ? 0 : 1);
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char**) {
  allocator();
  known_answers();
  threads();
  waking();
  if (argc == 1) forked();              // any argument: not under ThreadSanitizer, which cannot follow threads in a child
  set_thread_count(1);
  return passed("runtime");
}
