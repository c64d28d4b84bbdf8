// Measures a ceiling of this machine: every thread runs the loop on memory of its own, from one starting signal on, for some milliseconds.
#include <atomic>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>
#include <sys/mman.h>
#include "view.h"
#include "ceilings/ceilings.h"

namespace accelnn {

namespace {

struct Part {
  const Ceiling* ceiling;
  char* data = nullptr;
  int64_t bytes, steps_at_once;
  double work = 0, began = 0, ended = 0;
};

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

const Ceiling* find_ceiling(const std::string& kind) {
  std::vector<const Ceiling*> all;         // widest first
#if defined(__x86_64__)
  for (const Ceiling& c : ceilings_x86_amx) all.push_back(&c);
  for (const Ceiling& c : ceilings_x86_vnni) all.push_back(&c);
  for (const Ceiling& c : ceilings_x86_bf16) all.push_back(&c);
  for (const Ceiling& c : ceilings_x86_avx512) all.push_back(&c);
  for (const Ceiling& c : ceilings_x86_avx2) all.push_back(&c);
#endif
  for (const Ceiling& c : ceilings_base) all.push_back(&c);
  bool known = kind == "int8" || kind == "bf16";
  for (const Ceiling* c : all) {
    known |= kind == c->kind;
    if (kind == c->kind && (c->isa & caps().isa) == c->isa) return c;
  }
  if (!known) refuse(Code::attribute, "ceiling: '" + kind + "' is none of fma, int8, bf16, read, copy");
  return nullptr;
}

void work(Part* part, std::atomic<int>* waiting, double seconds, bool touched) {
  alignas(64) char sink[64];
  const auto once = [&] { part->ceiling->loop(part->steps_at_once, part->data, part->bytes, sink); };
  if (!touched) {
    if (part->bytes) std::memset(part->data, 1, size_t(part->bytes));   // by the thread that reads it: pages come from its own node
    once();
  }
  waiting->fetch_sub(1);
  while (waiting->load() > 0) std::this_thread::yield();
  part->began = part->ended = now();
  int64_t rounds = 0;
  while (part->ended - part->began < seconds) {
    once();
    rounds++;
    part->ended = now();
  }
  part->work = double(rounds) * double(part->steps_at_once) * (part->bytes ? double(part->bytes) : part->ceiling->per_step);
}

// (name of the instruction, operations or bytes a second of all threads together), or None where the CPU (or ACCELNN_ISA) has no such instruction.
// The best of `repeats` on the same memory: four times a last cache of 480 MB takes longer to be touched than to be read twenty times.
py::object ceiling(const std::string& kind, int64_t bytes, double milliseconds, int threads, bool huge_pages, int repeats) {
  const Ceiling* found = find_ceiling(kind);
  if (!found) return py::none();
  if (threads < 1 || threads > 1024 || !(milliseconds > 0) || repeats < 1) refuse(Code::attribute, "ceiling: at least one thread, some time and one repeat");
  if (found->per_step ? bytes != 0 : bytes < 4096 || bytes % 4096) refuse(Code::attribute, "ceiling: a read needs a multiple of 4096 bytes, others none");
  constexpr int64_t huge = 2 << 20;
  const int64_t each = (bytes + huge - 1) / huge * huge, all = each * threads + huge;
  char* memory = nullptr;
  if (bytes) {
    void* p = mmap(nullptr, size_t(all), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) refuse(Code::memory, "ceiling: no memory for " + std::to_string(all) + " bytes");
    madvise(p, size_t(all), huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    memory = static_cast<char*>(p);
  }
  char* const first = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(memory) + huge - 1) / huge * huge);
  std::vector<Part> parts(static_cast<size_t>(threads));
  for (int i = 0; i < threads; i++) {
    Part& part = parts[size_t(i)];
    part.ceiling = found;
    part.bytes = bytes;
    if (bytes) part.data = first + i * each;
    part.steps_at_once = bytes ? 1 + (1 << 20) / bytes : 4096;        // some 20 us between two looks at the clock
  }
  double best = 0;
  {
    py::gil_scoped_release unlocked;
    for (int repeat = 0; repeat < repeats; repeat++) {
      std::atomic<int> waiting{threads};
      std::vector<std::thread> others;
      for (int i = 1; i < threads; i++) others.emplace_back(work, &parts[size_t(i)], &waiting, milliseconds / 1e3, repeat > 0);
      work(&parts[0], &waiting, milliseconds / 1e3, repeat > 0);
      for (std::thread& t : others) t.join();
      double sum = 0, began = parts[0].began, ended = parts[0].ended;
      for (const Part& p : parts) {
        sum += p.work;
        began = p.began < began ? p.began : began;
        ended = p.ended > ended ? p.ended : ended;
      }
      best = sum / (ended - began) > best ? sum / (ended - began) : best;
    }
  }
  if (memory) munmap(memory, size_t(all));
  return py::make_tuple(found->instruction, best);
}

}  // namespace

void bind_ceilings(py::module_& m) {
  m.def("ceiling", &ceiling, py::arg("kind"), py::arg("bytes") = 0, py::arg("milliseconds") = 30.0, py::arg("threads") = 1, py::arg("huge_pages") = true,
        py::arg("repeats") = 1);
}

}  // namespace accelnn
