// The scheduler of simt.h. A block's threads are fibers; one runs until it meets a barrier or an exchange of its warp.
#include "simt.h"
#include "schedule.h"
#include <cstdio>
#include <cstdlib>
#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <vector>
#include <unistd.h>

#ifndef __x86_64__
#error "the stacks of fibers are switched in x86-64's own code"
#endif

extern "C" void simt_switch(void** save, void* load);
asm(R"(.text
.globl simt_switch
.type simt_switch,@function
simt_switch:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp,(%rdi)
  mov %rsi,%rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
.size simt_switch,.-simt_switch
)");

namespace simt {

Place* here = nullptr;
Index block, block_size, grid;

namespace {

constexpr size_t stack_bytes = 128 << 10, most_threads = 1024, most_warps = most_threads / 32;
constexpr size_t most_shared = 227 << 10;

enum class State { ready, at_barrier, at_exchange, ended };

struct Copy {
  char* to;
  const char* from;
  size_t bytes, zero;
  int group;
};

struct Fiber {
  Place place;
  State state;
  int line;
  unsigned mask;
  int meetings;                           // exchanges so far
  int groups;                             // of copies, committed so far
  std::deque<Copy> copies;                // that have not landed
  void* stack_pointer;
};

Entry* entries = nullptr;
std::vector<Fiber> fibers(most_threads);
std::vector<char*> stacks;
int n_threads;
alignas(64) char slots[2][most_warps][32 * 64];
void* scheduler_stack;
const Entry* running;
const void* arguments;
Schedule schedule;
std::mt19937 chance;
std::map<const void*, std::pair<char*, size_t>> shared_memory;
char* dynamic_memory;
size_t shared_bytes;

Fiber& me() { return fibers[size_t(here->number)]; }

void leave(State s) {
  Fiber& f = me();
  f.state = s;
  simt_switch(&f.stack_pointer, scheduler_stack);
}

void thread_body() {
  running->run(arguments);
  if (!me().copies.empty()) fail("thread %d ends with copies that nobody waits for", here->number);
  leave(State::ended);
}

void start(int number) {
  Fiber& f = fibers[size_t(number)];
  const unsigned n = unsigned(number);
  f.place = {{n % block_size.x, n / block_size.x % block_size.y, n / (block_size.x * block_size.y)}, number};
  f.state = State::ready;
  f.meetings = f.groups = 0;
  f.copies.clear();
  void** top = reinterpret_cast<void**>(stacks[size_t(number)] + stack_bytes);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(thread_body);
  f.stack_pointer = top - 6;
}

void land(const Copy& c) {
  memcpy(c.to, c.from, c.bytes - c.zero);
  memset(c.to + c.bytes - c.zero, 0, c.zero);
}

int count(State s) {
  return int(std::count_if(fibers.begin(), fibers.begin() + n_threads, [&](const Fiber& f) { return f.state == s; }));
}

// Lanes of a warp whose masks are met go on.
bool free_exchanges() {
  bool freed = false;
  for (int first = 0; first < n_threads; first += 32) {
    const int lanes = std::min(32, n_threads - first);
    for (int l = 0; l < lanes; l++) {
      const Fiber& f = fibers[size_t(first + l)];
      if (f.state != State::at_exchange) continue;
      bool met = true;
      for (int k = 0; k < 32 && met; k++) {
        if (!(f.mask >> k & 1)) continue;
        if (k >= lanes) fail("line %d: thread %d waits for lane %d, which its block does not have", f.line, first + l, k);
        const Fiber& g = fibers[size_t(first + k)];
        if (g.state == State::ended) fail("line %d: thread %d waits for lane %d, which has ended", f.line, first + l, k);
        if (g.state == State::at_exchange && (g.line != f.line || g.mask != f.mask || g.meetings != f.meetings))
          fail("lanes of one warp meet at lines %d (mask %#x) and %d (mask %#x)", f.line, f.mask, g.line, g.mask);
        met = g.state == State::at_exchange;
      }
      if (!met) continue;
      const unsigned mask = f.mask;
      for (int k = 0; k < 32; k++)
        if (mask >> k & 1) fibers[size_t(first + k)].state = State::ready;
      freed = true;
    }
  }
  return freed;
}

bool free_barrier() {
  if (count(State::at_barrier) == 0) return false;
  const int ended = count(State::ended);
  if (count(State::at_barrier) + ended < n_threads) return false;
  if (ended) fail("__syncthreads: %d of %d threads have ended", ended, n_threads);
  for (int i = 0; i < n_threads; i++) {
    if (fibers[size_t(i)].line != fibers[0].line) fail("__syncthreads at lines %d and %d of one block", fibers[0].line, fibers[size_t(i)].line);
    fibers[size_t(i)].state = State::ready;
  }
  return true;
}

void order_of_threads(std::vector<int>* order) {
  if (schedule == Schedule::backward) std::reverse(order->begin(), order->end());
  if (schedule == Schedule::random) std::shuffle(order->begin(), order->end(), chance);
  if (schedule < Schedule::first_warp) return;
  // One warp runs ahead until it has to wait for the others.
  std::vector<int> warps;
  for (int i = 0; i < n_threads; i++)
    if (fibers[size_t(i)].state == State::ready && (warps.empty() || warps.back() != i / 32)) warps.push_back(i / 32);
  if (warps.empty()) return;
  const int only = schedule == Schedule::first_warp  ? warps.front()
                   : schedule == Schedule::last_warp ? warps.back()
                                                     : warps[chance() % warps.size()];
  order->resize(size_t(std::min(32, n_threads - 32 * only)));
  std::iota(order->begin(), order->end(), 32 * only);
}

void run_block() {
  for (int i = 0; i < n_threads; i++) start(i);
  std::vector<int> all(static_cast<size_t>(n_threads)), order;
  std::iota(all.begin(), all.end(), 0);
  bool turn = false;
  while (count(State::ended) < n_threads) {
    order = all;
    if (schedule != Schedule::backward || (turn = !turn)) order_of_threads(&order);
    bool ran = false;
    for (const int i : order) {
      Fiber& f = fibers[size_t(i)];
      if (f.state != State::ready) continue;
      here = &f.place;
      ran = true;
      simt_switch(&scheduler_stack, f.stack_pointer);
    }
    if (free_exchanges()) continue;
    if (count(State::ready) == 0 && !free_barrier() && !ran)
      fail("deadlock: %d threads at __syncthreads (line %d), %d at exchanges of their warps, %d have ended", count(State::at_barrier), fibers[0].line,
           count(State::at_exchange), count(State::ended));
  }
}

void release_shared() {
  for (auto& [site, piece] : shared_memory) free(piece.first);
  shared_memory.clear();
  free(dynamic_memory);
  dynamic_memory = nullptr;
}

}  // namespace

Entry::Entry(const char* name, size_t bytes, int most_threads, void (*run)(const void*))
    : name(name), bytes(bytes), most_threads(most_threads), run(run), next(entries) {
  for (const Entry* e = entries; e; e = e->next)
    if (!strcmp(e->name, name)) fail("two kernels are called %s", name);
  entries = this;
}

const Entry* find(const char* name) {
  const Entry* e = entries;
  while (e && strcmp(e->name, name)) e = e->next;
  return e;
}

void fail(const char* format, ...) {
  va_list list;
  va_start(list, format);
  fprintf(stderr, "simt: %s, block %u %u %u: ", running ? running->name : "", block.x, block.y, block.z);
  vfprintf(stderr, format, list);
  fprintf(stderr, "\n");
  va_end(list);
  fflush(stderr);
  _exit(9);
}

void barrier(int line) {
  me().line = line;
  leave(State::at_barrier);
}

const char* exchange(unsigned mask, const void* mine, size_t bytes, int line) {
  Fiber& f = me();
  const int lane = here->number % 32, warp = here->number / 32;
  if (!(mask >> lane & 1)) fail("line %d: lane %d is not in its own mask %#x", line, lane, mask);
  char* const room = slots[f.meetings++ % 2][warp];    // two: who was quick may leave for the next meeting what others still read of this one
  if (bytes) memcpy(room + 64 * lane, mine, bytes);
  f.line = line;
  f.mask = mask;
  leave(State::at_exchange);
  return room;
}

void* shared(const void* site, size_t bytes) {
  auto& piece = shared_memory[site];
  if (!piece.first) {
    piece = {static_cast<char*>(aligned_alloc(16, (bytes + 15) / 16 * 16)), bytes};
    memset(piece.first, 0xFF, bytes);
    shared_bytes += bytes;
    if (shared_bytes > most_shared) fail("%zu bytes of shared memory", shared_bytes);
  }
  return piece.first;
}
void* dynamic_shared() { return dynamic_memory; }

void copy_later(void* to, const void* from, size_t bytes, size_t of_which_zero) {
  const Copy c = {static_cast<char*>(to), static_cast<const char*>(from), bytes, of_which_zero, me().groups};
  if (reinterpret_cast<uintptr_t>(to) % bytes || reinterpret_cast<uintptr_t>(from) % bytes) fail("a copy of %zu bytes that are not aligned", bytes);
  if (int(schedule) % 2) {
    land(c);                              // as soon as can be ...
    me().copies.push_back({c.to, c.to, 0, 0, c.group});
  } else {
    me().copies.push_back(c);             // ... and as late as can be
  }
}
void commit_copies() { me().groups++; }
void wait_for_copies(int groups_left) {
  Fiber& f = me();
  while (!f.copies.empty() && f.copies.front().group < f.groups - groups_left) {
    land(f.copies.front());
    f.copies.pop_front();
  }
}

void launch(const Entry& entry, Index grid_size, int threads, size_t shared_size, const void* given, Schedule how, unsigned seed) {
  running = &entry;
  arguments = given;
  schedule = how;
  chance.seed(seed);
  grid = grid_size;
  block = {0, 0, 0};
  block_size = {unsigned(threads), 1, 1};
  n_threads = threads;
  if (threads < 1 || threads > entry.most_threads) fail("%d threads a block; the kernel is compiled for at most %d", threads, entry.most_threads);
  if (grid.x > 2147483647u || grid.y > 65535 || grid.z > 65535) fail("a grid of %u x %u x %u", grid.x, grid.y, grid.z);
  if (shared_size > most_shared) fail("%zu bytes of dynamic shared memory", shared_size);
  while (stacks.size() < size_t(threads)) stacks.push_back(static_cast<char*>(aligned_alloc(64, stack_bytes)));
  std::vector<unsigned> numbers(size_t(grid.x) * grid.y * grid.z);
  std::iota(numbers.begin(), numbers.end(), 0u);
  if (how == Schedule::backward) std::reverse(numbers.begin(), numbers.end());
  if (how == Schedule::random || how == Schedule::random_warp) std::shuffle(numbers.begin(), numbers.end(), chance);
  for (const unsigned n : numbers) {
    block = {n % grid.x, n / grid.x % grid.y, n / (grid.x * grid.y)};
    shared_bytes = shared_size;
    if (shared_size) {
      dynamic_memory = static_cast<char*>(aligned_alloc(1024, (shared_size + 1023) / 1024 * 1024));
      memset(dynamic_memory, 0xFF, shared_size);
    }
    run_block();
    release_shared();
  }
  running = nullptr;
}

}  // namespace simt
