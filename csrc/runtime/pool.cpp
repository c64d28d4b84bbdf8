// One job at a time. Every thread has a range of the parts and claims from its own first, then from the others': the same parts of one call after another
// stay on one core, and in its caches. Cores need not share a last cache (150 ns for a line from one to the other here): with one counter for all, batch
// norm's gradient on two threads took longer than on one.
#include "pool.h"
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <csignal>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace accelnn {

namespace {

constexpr int max_threads = 256;
constexpr int64_t spin_ns = 50'000;                 // after the last job; then the worker sleeps
constexpr int64_t worth_stream = 1'000'000;          // from about 25 us on, sleepers are woken for those of a stream of calls that follow
constexpr int64_t worth_hot = 100'000;              // about 2 us of work: handing it to a spinning worker costs 0.1-0.3 us

constexpr size_t stack_bytes = 1 << 20;             // kernels keep tiles of 64 KB on the stack; musl's default is 128 KB

ACCELNN_INLINE void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

long futex(std::atomic<uint32_t>* word, int operation, uint32_t value) {
  return syscall(SYS_futex, reinterpret_cast<uint32_t*>(word), operation | FUTEX_PRIVATE_FLAG, value, nullptr, nullptr, 0);
}

constexpr int max_ranges = 8;                       // more threads than that share them
struct Range {
  alignas(128) std::atomic<int64_t> next{0};        // a line that its thread alone writes until others have no parts left
  int64_t end = 0;
};
struct State {
  // The job, written by its owner while the gate is shut and nobody is inside.
  alignas(128) void (*task)(void*, int64_t) = nullptr;
  void* context = nullptr;
  int ranges = 1;
  std::atomic<bool> open{false};
  Range range[max_ranges];
  alignas(128) std::atomic<int64_t> tally{0};       // workers inside << 48 | parts that workers ever finished
  alignas(128) std::atomic<uint32_t> signal{0};     // counts jobs, a futex word: what sleepers wait on
  alignas(128) std::atomic<int> sleeping{0}, hot{0};
  std::atomic<bool> stop{false};
  std::atomic_flag busy = ATOMIC_FLAG_INIT;
  pthread_t worker[max_threads];
  std::atomic<int> workers{0};
};
constexpr int64_t one_inside = int64_t(1) << 48;

State state;
Pool the_pool;
std::atomic<TeamParallel> team_parallel{nullptr};   // another runtime's threads instead of ours
std::atomic<TeamMost> team_most{nullptr};
std::atomic<int64_t> last_asked{0}, asked{0};       // when work met sleepers, and how much of it without a gap
int wanted = 0;                                     // 0: not yet decided
pthread_mutex_t setup = PTHREAD_MUTEX_INITIALIZER;

int64_t take_parts(int thread) {
  int64_t taken = 0;
  for (int k = 0; k < state.ranges; k++) {
    Range& range = state.range[(thread + k) % state.ranges];
    for (int64_t i; (i = range.next.fetch_add(1, std::memory_order_relaxed)) < range.end; taken++) state.task(state.context, i);
  }
  return taken;
}

void* worker_main(void* number) {
  uint32_t seen = state.signal.load(std::memory_order_acquire);
  while (!state.stop.load(std::memory_order_acquire)) {
    const int64_t until = now_ns() + spin_ns;
    uint32_t generation;
    for (int i = 0; (generation = state.signal.load(std::memory_order_acquire)) == seen; i++) {
      relax();
      if ((i & 255) != 255 || state.hot.load(std::memory_order_relaxed) || now_ns() < until) continue;
      state.sleeping.fetch_add(1);
      if (state.signal.load() == seen) futex(&state.signal, FUTEX_WAIT, seen);
      state.sleeping.fetch_sub(1);
    }
    seen = generation;
    // Inside before it looks at the gate: an owner that has shut it waits for those inside before it writes the next job.
    state.tally.fetch_add(one_inside);
    state.tally.fetch_add((state.open.load() ? take_parts(int(reinterpret_cast<intptr_t>(number))) : 0) - one_inside);
  }
  return nullptr;
}

void start_workers(int n) {
  sigset_t all, before;
  sigfillset(&all);                                 // signals are the caller's business
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stack_bytes);
  while (state.workers < n && !pthread_create(&state.worker[state.workers], &attributes, worker_main, reinterpret_cast<void*>(intptr_t(state.workers + 1))))
    state.workers++;
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void stop_workers() {
  state.stop = true;
  state.signal.fetch_add(1);
  futex(&state.signal, FUTEX_WAKE, INT_MAX);
  for (int i = 0; i < state.workers; i++) pthread_join(state.worker[i], nullptr);
  state.workers = 0;
  state.stop = false;
}

void forget_workers() {                             // in a forked child the threads do not exist
  team_parallel = nullptr;                          // nor do those of the other runtime, which would wait for them
  state.workers = 0;
  state.sleeping = 0;
  state.tally = 0;
  state.open = false;
  state.hot = 0;
  state.stop = false;
  state.busy.clear();
  pthread_mutex_init(&setup, nullptr);
}

int positive(const char* name) {
  const char* text = getenv(name);
  const int n = text ? atoi(text) : 0;
  return n > 0 ? n : INT_MAX;
}

int cgroup_limit() {                                // cgroup v2: "max 100000" or "150000 100000"
  char line[64] = {};
  const int file = open("/sys/fs/cgroup/cpu.max", O_RDONLY | O_CLOEXEC);
  if (file < 0) return INT_MAX;
  const bool found = read(file, line, sizeof line - 1) > 0;
  close(file);
  char* end = nullptr;
  const long quota = found ? strtol(line, &end, 10) : 0, period = end && end != line ? strtol(end, nullptr, 10) : 0;
  return quota > 0 && period > 0 ? int((quota + period - 1) / period) : INT_MAX;
}

int smaller(int a, int b) { return a < b ? a : b; }

}  // namespace

int default_thread_count() {
  cpu_set_t mask;
  int n = 1;
  if (!sched_getaffinity(0, sizeof mask, &mask)) n = CPU_COUNT(&mask);
  n = smaller(smaller(n, cgroup_limit()), smaller(positive("OMP_NUM_THREADS"), positive("ACCELNN_NUM_THREADS")));
  return smaller(n, max_threads);
}

int thread_count() {
  int n = __atomic_load_n(&wanted, __ATOMIC_ACQUIRE);
  if (n) return n;
  pthread_mutex_lock(&setup);
  if (!wanted) {
    pthread_atfork(nullptr, nullptr, forget_workers);
    __atomic_store_n(&wanted, default_thread_count(), __ATOMIC_RELEASE);
  }
  n = wanted;
  pthread_mutex_unlock(&setup);
  return n;
}

void borrow_team(TeamParallel parallel, TeamMost most) {
  team_most = most;
  team_parallel = parallel;
  if (!parallel) return;
  pthread_mutex_lock(&setup);
  stop_workers();
  pthread_mutex_unlock(&setup);
}

void set_thread_count(int n) {
  thread_count();
  pthread_mutex_lock(&setup);
  stop_workers();
  __atomic_store_n(&wanted, n < 1 ? 1 : smaller(n, max_threads), __ATOMIC_RELEASE);
  pthread_mutex_unlock(&setup);
}

Pool* pool() {
  const int n = thread_count();
  if (n == 1) return nullptr;
  if (team_parallel.load(std::memory_order_relaxed)) return &the_pool;
  if (state.workers.load(std::memory_order_acquire) < n - 1) {
    pthread_mutex_lock(&setup);
    start_workers(n - 1);
    pthread_mutex_unlock(&setup);
  }
  return &the_pool;
}

int Pool::threads() const { return thread_count(); }
void Pool::begin_run() { state.hot.fetch_add(1, std::memory_order_relaxed); }
void Pool::end_run() { state.hot.fetch_sub(1, std::memory_order_relaxed); }

// Whether the other runtime's threads spin or sleep is not known; torch splits from about 30 us of work on.
constexpr int64_t worth_team = 2'000'000;

bool worth_threads(const Pool*, int64_t worth) {
  if (team_parallel.load(std::memory_order_relaxed)) return worth >= worth_team;
  if (worth >= worth_waking || state.sleeping.load(std::memory_order_relaxed) == 0) return worth >= worth_hot;
  if (worth < (state.hot.load(std::memory_order_relaxed) ? worth_hot : worth_stream)) return false;
  // The second of two such calls in a row wakes the sleepers, for the third: they stay awake through gaps of spin_ns. In the runs of a Plan, whose calls
  // follow each other, smaller ones do so together: an MLP of 18 and 6 us run after run took 24.7 us on one core and takes 16.2 on two.
  const int64_t now = now_ns();
  const bool follows = now - last_asked.exchange(now, std::memory_order_relaxed) < 2 * spin_ns;
  const int64_t sum = follows ? asked.load(std::memory_order_relaxed) + worth : worth;
  asked.store(sum, std::memory_order_relaxed);
  return follows && (worth >= worth_stream || sum >= worth_waking);
}

namespace {
struct TeamJob {
  void (*task)(void*, int64_t);
  void* context;
  int64_t parts;
  std::atomic<int64_t> next{0};
};
void work_in_team(void* data) {
  TeamJob& job = *static_cast<TeamJob*>(data);
  for (int64_t i; (i = job.next.fetch_add(1, std::memory_order_relaxed)) < job.parts;) job.task(job.context, i);
}
}  // namespace

void Pool::run(int64_t parts, void (*task)(void*, int64_t), void* context) {
  if (const TeamParallel parallel = team_parallel.load(std::memory_order_acquire)) {
    const TeamMost most = team_most.load(std::memory_order_relaxed);
    TeamJob job = {task, context, parts};
    const int n = smaller(smaller(thread_count(), most ? most() : INT_MAX), parts < INT_MAX ? int(parts) : INT_MAX);
    if (n > 1) parallel(work_in_team, &job, unsigned(n), 0);
    else work_in_team(&job);
    return;
  }
  if (state.busy.test_and_set(std::memory_order_acquire)) {
    for (int64_t i = 0; i < parts; i++) task(context, i);
    return;
  }
  state.open.store(false);                          // the last run shut it; all see it before we look who is inside
  int64_t before;
  while ((before = state.tally.load()) >= one_inside) relax();
  const int n = smaller(thread_count(), max_ranges);
  state.task = task;
  state.context = context;
  state.ranges = n;
  for (int i = 0; i < n; i++) {
    state.range[i].next.store(parts * i / n, std::memory_order_relaxed);
    state.range[i].end = parts * (i + 1) / n;
  }
  state.open.store(true, std::memory_order_release);
  state.signal.fetch_add(1);
  if (state.sleeping.load()) futex(&state.signal, FUTEX_WAKE, INT_MAX);
  const int64_t left = parts - take_parts(0);
  while ((state.tally.load(std::memory_order_acquire) & (one_inside - 1)) - before < left) relax();
  state.open.store(false, std::memory_order_release);
  state.busy.clear(std::memory_order_release);
}

}  // namespace accelnn
