// A model as a program: .npy files in, .npy files or a readable summary out. Everything about kernels, shapes and memory is the engine's.
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <unistd.h>
#include "appended.h"
#include "engine/executor.h"
#include "engine/linked.h"
#include "npy.h"
#include "pool.h"
#include "text.h"

using namespace accelnn;
using plan::PortKind;

namespace {

enum Exit { done = 0,
            bad_usage = 1,
            bad_input = 2,
            run_failed = 3 };

const char help[] =
    "Runs the neural network inside this program.\n"
    "\n"
    "  %s --input x.npy                     print the outputs in short\n"
    "  %s --input x.npy --output y.npy      write them\n"
    "  %s --input a=1.npy --input b=2.npy   when there are several\n"
    "\n"
    "  --input [name=]file    a numpy .npy file; names and shapes: --info\n"
    "  --output [name=]file   written beside, then renamed\n"
    "  --info                 inputs, outputs, kernels, sizes\n"
    "  --bench                latency, for the input or for zeros\n"
    "  --repeat N             runs of --bench (default: a second of them)\n"
    "  --threads N            default: the CPUs it may use\n"
    "  --help\n"
    "\n"
    "Environment: ACCELNN_ISA=base|avx2|...|native caps the instructions,\n"
    "ACCELNN_KERNEL=op:row forces a kernel, ACCELNN_NUM_THREADS=N as --threads.\n"
    "Exit code: 0 done, 1 bad usage, 2 bad input, 3 the run failed.\n";

const char* program = "net";
long long ll(int64_t x) { return static_cast<long long>(x); }

// What is said leaves line by line. A piece that does not fit is cut: longer than any name or path in it.
char line[64 << 10];
size_t held;
int listener = STDOUT_FILENO;
bool lost;                              // something could not be written

void flush() {
  lost |= !write_all(listener, line, held);
  held = 0;
}
void say(const char* text, va_list arguments) {
  held += size_t(vformat(line + held, sizeof line - held, text, arguments));
  if (held >= sizeof line) held = sizeof line - 1;
  if (held == sizeof line - 1 || (held && line[held - 1] == '\n')) flush();
}
__attribute__((format(printf, 1, 2))) void say(const char* text, ...) {
  va_list arguments;
  va_start(arguments, text);
  say(text, arguments);
  va_end(arguments);
}
void turn_to_stderr() {
  flush();
  listener = STDERR_FILENO;
}
__attribute__((format(printf, 2, 3), noreturn)) void stop(Exit code, const char* text, ...) {
  turn_to_stderr();
  say("%s: ", program);
  va_list arguments;
  va_start(arguments, text);
  say(text, arguments);
  va_end(arguments);
  say("\n");
  exit(code);
}
void need(const Status& s, Exit code) {
  if (!s.ok()) stop(code, "%s", s.text);
}

// What the caller brought is bad input; the rest is ours.
Exit blame(const Status& s) {
  return s.code == Code::shape || s.code == Code::dtype || s.code == Code::bound || s.code == Code::aliasing ? bad_input : run_failed;
}

struct Bytes { char text[32]; };
Bytes grouped(int64_t n) {              // 53,216
  char digits[24];
  const int length = format(digits, sizeof digits, "%lld", ll(n));
  Bytes b;
  int at = 0;
  for (int i = 0; i < length; i++) {
    if (i && (length - i) % 3 == 0) b.text[at++] = ',';
    b.text[at++] = digits[i];
  }
  b.text[at] = 0;
  return b;
}

double now_us() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return double(t.tv_sec) * 1e6 + double(t.tv_nsec) * 1e-3;
}

struct Model {
  Plan* plan = nullptr;
  Run* run = nullptr;
  Array<TensorView> inputs, outputs;
  Array<const char*> out_path;
  bool given = false;                   // inputs came from files

  void open();
  int find(PortKind kind, const char* argument, const char** path) const;
  void load(const char* argument);
  void write_to(const char* argument);
  void complete(bool zeros);
  void execute() {
    const Status s = run->run(inputs.data(), outputs.data(), nullptr, pool());
    need(s, blame(s));
  }
};

void Model::open() {
  const void* bytes = accelnn_model_begin;
  size_t n = bytes ? size_t(accelnn_model_end - accelnn_model_begin) : 0;
  if (!bytes) need(map_appended("/proc/self/exe", &bytes, &n), run_failed);
  const Tables tables = linked_tables();
  need(Plan::open(bytes, n, tables.at, tables.n, Plan::Keep::borrow, &plan), run_failed);
  if (plan->n(PortKind::state)) stop(run_failed, "this model keeps state ('%s') and runs from Python alone", plan->port(PortKind::state, 0).name);
  need(Run::open(plan, caps(), &run), run_failed);
  need(inputs.resize(plan->n(PortKind::input)), run_failed);
  need(outputs.resize(plan->n(PortKind::output)), run_failed);
  need(out_path.resize(plan->n(PortKind::output)), run_failed);
  for (TensorView& v : inputs) v = absent_view();
}

// "name=file", or "file" where there is one port of the kind.
int Model::find(PortKind kind, const char* argument, const char** path) const {
  const char* what = kind == PortKind::input ? "input" : "output";
  const char* sign = strchr(argument, '=');
  for (int i = 0; sign && i < plan->n(kind); i++) {
    const char* name = plan->port(kind, i).name;
    if (strlen(name) == size_t(sign - argument) && !memcmp(name, argument, size_t(sign - argument))) return *path = sign + 1, i;
  }
  *path = argument;
  if (plan->n(kind) == 1) return 0;
  stop(bad_usage, "which of the %d %ss is '%s'? Write --%s NAME=FILE; --info tells the names", plan->n(kind), what, argument, what);
}

void Model::load(const char* argument) {
  const char* path;
  const int i = find(PortKind::input, argument, &path);
  if (!inputs[i].absent()) stop(bad_usage, "input '%s' is given twice", plan->port(PortKind::input, i).name);
  need(npy::load(path, &inputs[i]), bad_input);
  given = true;
}

void Model::write_to(const char* argument) {
  const char* path;
  const int i = find(PortKind::output, argument, &path);
  if (out_path[i]) stop(bad_usage, "output '%s' is given twice", plan->port(PortKind::output, i).name);
  out_path[i] = path;
}

// Inputs that no file gave (all or none of them) and memory for the outputs.
void Model::complete(bool zeros) {
  if (zeros) need(plan->smallest(1, inputs.data()), run_failed);
  for (int i = 0; i < inputs.size(); i++) {
    TensorView& v = inputs[i];
    const char* name = plan->port(PortKind::input, i).name;
    if (v.absent()) stop(bad_usage, "input '%s' is missing: --input %s=FILE", name, name);
    if (!zeros) continue;
    const size_t bytes = size_t(v.count()) * size_of(v.dtype);
    v.data = allocate(bytes);
    if (!v.data) stop(run_failed, "no memory for %zu bytes", bytes);
    memset(v.data, 0, bytes);
  }
  const Status s = plan->shapes(inputs.data(), nullptr, outputs.data());
  need(s, blame(s));
  for (TensorView& v : outputs)
    if (!(v.data = allocate(size_t(v.count()) * size_of(v.dtype)))) stop(run_failed, "no memory for the outputs");
}

void info(const Model& m, bool zeros) {
  const Plan& p = *m.plan;
  say("%s: a network by accelnn, %s bytes (weights %s)\n", program, grouped(int64_t(p.bytes())).text,
      grouped(int64_t(p.weight_bytes())).text);
  const PortKind kinds[] = {PortKind::input, PortKind::output};
  for (const PortKind kind : kinds)
    for (int i = 0; i < p.n(kind); i++)
      say("  %-6s  %-24s  %s\n", kind == PortKind::input ? "input" : "output", p.port(kind, i).name, describe(p.port(kind, i)).text);
  for (int i = 0; i < p.n_dims(); i++) {
    say("  dim     %-24s  %lld", p.dim(i).name, ll(p.dim(i).lower));
    if (p.dim(i).upper) say(" to %lld\n", ll(p.dim(i).upper));
    else say(" or more\n");
  }
  const Status s = m.run->bind(m.inputs.data(), nullptr);
  need(s, blame(s));
  say("\nkernels for %s:\n", zeros ? "the smallest input" : "this input");
  for (int i = 0; i < p.n_calls(); i++) {
    const CallInfo c = m.run->call(i);
    say("  %-22.22s  %-32s  %s\n", *c.label ? c.label : "-", c.row->name, describe(c.call->out[0]).text);
  }
  say("  memory for temporaries: %s bytes\n", grouped(m.run->arena_bytes()).text);
  say("\nmachine: %s\n  instructions:", cpu_name());
  for (int i = 0; i < n_isa_levels; i++)
    if ((caps().isa & isa_levels[i].bits) == isa_levels[i].bits) say(" %s", isa_levels[i].name);
  if (caps().isa & isa::neon) say(" neon");
  if (caps().isa != detect_isa()) say(" (capped by ACCELNN_ISA)");
  say("\n  threads: %d\n", thread_count());
}

double element(const TensorView& v, int64_t i) {
  switch (v.dtype) {
    case DType::f32: return v.as<float>()[i];
    case DType::i8: return v.as<int8_t>()[i];
    case DType::u8:
    case DType::boolean: return v.as<uint8_t>()[i];
    case DType::i32: return v.as<int32_t>()[i];
    case DType::i64: return double(v.as<int64_t>()[i]);
    case DType::f64: return v.as<double>()[i];
    case DType::i16: return v.as<int16_t>()[i];
    case DType::u16: return v.as<uint16_t>()[i];
    case DType::u32: return v.as<uint32_t>()[i];
    case DType::u64: return double(v.as<uint64_t>()[i]);
    case DType::bf16: {
      const uint32_t bits = uint32_t(v.as<uint16_t>()[i]) << 16;
      float x;
      memcpy(&x, &bits, sizeof x);
      return x;
    }
    case DType::f16: {
      const uint16_t bits = v.as<uint16_t>()[i];
      const int exponent = bits >> 10 & 31, fraction = bits & 1023;
      const double x = exponent == 31 ? (fraction ? NAN : INFINITY) : exponent ? ldexp(1024 + fraction, exponent - 25)
                                                                               : ldexp(fraction, -24);
      return bits >> 15 ? -x : x;
    }
  }
  return 0;
}

// The first rows along the last axis: where the largest value is, and the first values.
void print(const char* name, const TensorView& v) {
  constexpr int64_t most_rows = 10, most_values = 5;
  say("%s  %s\n", name, describe(v).text);
  const int64_t width = v.rank ? v.dim(-1) : 1, rows = v.count() ? v.count() / width : 0;
  for (int64_t r = 0; r < rows && r < most_rows; r++) {
    int64_t best = 0;
    for (int64_t i = 1; i < width; i++)
      if (element(v, r * width + i) > element(v, r * width + best)) best = i;
    say("  row %-4lld", ll(r));
    if (width > 1) say("  largest at %-5lld:", ll(best));
    for (int64_t i = 0; i < width && i < most_values; i++) say(" %10.4g", element(v, r * width + i));
    say("%s\n", width > most_values ? " .." : "");
  }
  if (rows > most_rows) say("  and %lld rows more; --output FILE writes all\n", ll(rows - most_rows));
}

void bench(Model& m, int64_t repeat) {
  m.plan->settle();
  constexpr int64_t warm_up = 5, fewest = 20, most = 100'000;
  constexpr double about_us = 1e6;
  for (int64_t i = 0; i < warm_up; i++) m.execute();
  const int64_t limit = repeat ? repeat : most;
  double* times = static_cast<double*>(allocate(size_t(limit) * sizeof(double)));
  if (!times) stop(run_failed, "no memory for %zu bytes", size_t(limit) * sizeof(double));
  int64_t n = 0;
  for (const double end = now_us() + about_us; n < limit && (repeat || n < fewest || now_us() < end); n++) {
    const double start = now_us();
    m.execute();
    times[n] = now_us() - start;
  }
  Array<uint32_t> order;                // not qsort: in a static program it is 9 KB
  need(order.resize(n), run_failed);
  for (int64_t i = 0; i < n; i++) order[i] = uint32_t(i);
  sort_indices(order.data(), n, [&](uint32_t a, uint32_t b) { return times[a] < times[b]; });
  say("latency in microseconds: median %.1f, minimum %.1f (%lld runs, %d thread%s)\n", times[order[n / 2]], times[order[0]], ll(n), thread_count(),
      thread_count() == 1 ? "" : "s");
  for (int i = 0; i < m.inputs.size(); i++)
    say("  input %s: %s%s\n", m.plan->port(PortKind::input, i).name, describe(m.inputs[i]).text, m.given ? "" : " of zeros");
  release(times);
}

int64_t positive(const char* option, const char* text, int64_t most) {
  char* end = nullptr;
  errno = 0;
  const long long n = text ? strtoll(text, &end, 10) : 0;
  if (!text || end == text || *end || errno || n < 1 || n > most) stop(bad_usage, "%s takes a number from 1 to %lld", option, ll(most));
  return n;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 0) program = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
  bool wants_info = false, wants_bench = false, any_input = false;
  int64_t repeat = 0, threads = 0;
  for (int i = 1; i < argc; i++) {
    const char *a = argv[i], *next = i + 1 < argc ? argv[i + 1] : nullptr;
    const auto is = [&](const char* name) { return !strcmp(a, name); };
    if (is("--help") || is("-h")) return say(help, program, program, program), done;
    if (is("--info")) wants_info = true;
    else if (is("--bench")) wants_bench = true;
    else if (is("--repeat")) repeat = positive(a, next, 10'000'000), i++;
    else if (is("--threads")) threads = positive(a, next, 256), i++;
    else if (is("--input") || is("--output")) {
      if (!next) stop(bad_usage, "%s needs a file", a);
      any_input |= is("--input");
      i++;
    } else stop(bad_usage, "unknown option '%s'; --help lists them", a);
  }
  if (!any_input && !wants_info && !wants_bench) return turn_to_stderr(), say(help, program, program, program), bad_usage;
  if (caps_problem()) stop(bad_usage, "%s", caps_problem());
  if (threads) set_thread_count(int(threads));

  Model m;
  m.open();
  bool any_output = false;
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--input")) m.load(argv[++i]);
    else if (!strcmp(argv[i], "--output")) m.write_to(argv[++i]), any_output = true;
    else if (!strcmp(argv[i], "--repeat") || !strcmp(argv[i], "--threads")) i++;
  }
  if (any_output && !any_input) stop(bad_usage, "--output needs --input");
  m.complete(!any_input);
  if (wants_info) info(m, !any_input);
  if (any_input) m.execute();
  for (int i = 0; any_input && i < m.outputs.size(); i++) {
    if (m.out_path[i]) need(npy::save(m.out_path[i], m.outputs[i]), run_failed);
    else if (!any_output && !wants_info && !wants_bench) print(m.plan->port(PortKind::output, i).name, m.outputs[i]);
  }
  if (wants_bench) bench(m, repeat);
  return lost ? run_failed : done;      // memory goes with the process
}
