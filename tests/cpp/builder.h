// Writes Plans by hand, for tests and for the fuzzer's first corpus. What accelnn/passes/plan.py does, without its help.
#pragma once
#include <cstring>
#include <initializer_list>
#include <string>
#include <vector>
#include "engine/plan.h"

namespace accelnn {

struct Builder {
  std::string strings, weights, graph;
  std::vector<int64_t> numbers;
  std::vector<plan::Dim> dims;
  std::vector<plan::Buffer> buffers;
  std::vector<plan::Value> values;
  std::vector<plan::AttrValue> attrs;
  std::vector<uint32_t> operands;
  std::vector<plan::CallRecord> calls;
  std::vector<plan::Port> ports;
  std::vector<plan::Block> blocks;      // behind the first, which is of all calls
  std::vector<plan::Flow> flows;
  std::vector<plan::Slice> slices;

  plan::Text text(const std::string& s) {
    strings += s;
    return {uint32_t(strings.size() - s.size()), uint32_t(s.size())};
  }
  plan::Expr terms(std::initializer_list<int64_t> pairs) {
    numbers.insert(numbers.end(), pairs);
    return {uint32_t(numbers.size() - pairs.size()), uint32_t(pairs.size() / 2)};
  }
  plan::Expr constant(int64_t x) { return terms({0, x}); }
  plan::Expr dim(int64_t d) { return terms({1, d}); }
  plan::Expr times(int64_t d, int64_t k) { return terms({1, d, 0, k, int64_t(plan::Term::mul), 0}); }

  int64_t add_dim(const std::string& name, int64_t lower = 0, int64_t upper = 0) {
    dims.push_back({text(name), lower, upper});
    return int64_t(dims.size()) - 1;
  }
  uint32_t buffer(plan::Storage storage, uint32_t port = 0, plan::Expr bytes = {0, 0}, uint32_t first = 0, uint32_t last = 0) {
    buffers.push_back({storage, port, bytes, 0, 0, first, last});
    return uint32_t(buffers.size()) - 1;
  }
  uint32_t constant_buffer(const void* data, size_t n) {
    weights.resize((weights.size() + 63) / 64 * 64);
    buffers.push_back({plan::Storage::constant, 0, {0, 0}, weights.size(), n, 0, 0});
    weights.append(static_cast<const char*>(data), n);
    return uint32_t(buffers.size()) - 1;
  }
  uint32_t value(uint32_t buffer, DType dtype, const std::vector<plan::Expr>& shape, const std::vector<plan::Expr>& stride, int64_t offset = 0) {
    plan::Value v = {};
    v.buffer = buffer;
    v.dtype = uint8_t(dtype);
    v.rank = uint8_t(shape.size());
    v.offset = constant(offset);
    for (size_t i = 0; i < shape.size(); i++) {
      v.shape[i] = shape[i];
      v.stride[i] = stride[i];
    }
    values.push_back(v);
    return uint32_t(values.size()) - 1;
  }
  void port(plan::PortKind kind, uint32_t value, const std::string& name) { ports.push_back({kind, value, text(name)}); }
  void call(const std::string& op, std::initializer_list<uint32_t> in, std::initializer_list<uint32_t> out,
            std::initializer_list<plan::AttrValue> given = {}, const std::string& label = "") {
    calls.push_back({text(op), text(label), uint32_t(attrs.size()), uint32_t(given.size()), uint32_t(operands.size()), uint32_t(in.size()),
                     uint32_t(out.size()), 0});
    attrs.insert(attrs.end(), given);
    operands.insert(operands.end(), in);
    operands.insert(operands.end(), out);
  }

  void branch(uint32_t condition, plan::Block first, plan::Block second) {
    flows.push_back({plan::FlowKind::branch, uint32_t(blocks.size()) + 1, condition, plan::no_value, plan::no_value, uint32_t(slices.size()), 0, constant(0)});
    blocks.push_back(first);
    blocks.push_back(second);
  }
  void loop(plan::Block body, plan::Expr most, uint32_t condition, uint32_t trips, uint32_t counter, std::initializer_list<plan::Slice> given = {}) {
    flows.push_back({plan::FlowKind::loop, uint32_t(blocks.size()) + 1, condition, trips, counter, uint32_t(slices.size()), uint32_t(given.size()), most});
    blocks.push_back(body);
    slices.insert(slices.end(), given);
  }

  static void sign(std::string& file) {
    plan::Header h;
    memcpy(&h, file.data(), sizeof h);
    h.bytes = file.size();
    h.checksum = plan::checksum(file.data() + sizeof h, file.size() - sizeof h);
    memcpy(&file[0], &h, sizeof h);
  }
  std::string file() const {
    std::vector<plan::Block> all = {{0, uint32_t(calls.size())}};
    all.insert(all.end(), blocks.begin(), blocks.end());
    struct Part { uint32_t kind; size_t count; const void* at; size_t bytes; };
    const auto part = [](plan::SectionKind kind, const auto& v) { return Part{uint32_t(kind), v.size(), v.data(), v.size() * sizeof v[0]}; };
    const Part parts[] = {part(plan::SectionKind::strings, strings), part(plan::SectionKind::numbers, numbers), part(plan::SectionKind::dims, dims),
                          part(plan::SectionKind::buffers, buffers), part(plan::SectionKind::values, values),   part(plan::SectionKind::attrs, attrs),
                          part(plan::SectionKind::operands, operands), part(plan::SectionKind::calls, calls), part(plan::SectionKind::ports, ports),
                          part(plan::SectionKind::weights, weights), part(plan::SectionKind::blocks, all),
                          part(plan::SectionKind::graph, graph), part(plan::SectionKind::flows, flows), part(plan::SectionKind::slices, slices)};
    const uint32_t n = uint32_t(sizeof parts / sizeof *parts) - (flows.empty() ? 2 : 0);
    std::string out(sizeof(plan::Header) + n * sizeof(plan::Section), '\0');
    for (uint32_t i = 0; i < n; i++) {
      out.resize((out.size() + 63) / 64 * 64);
      const plan::Section s = {parts[i].kind, uint32_t(parts[i].count), out.size(), parts[i].bytes};
      memcpy(&out[sizeof(plan::Header) + i * sizeof s], &s, sizeof s);
      if (parts[i].bytes) out.append(static_cast<const char*>(parts[i].at), parts[i].bytes);
    }
    plan::Header h = {};
    memcpy(h.magic, plan::magic, sizeof h.magic);
    h.version = plan::version;
    h.n_sections = n;
    memcpy(&out[0], &h, sizeof h);
    sign(out);
    return out;
  }
};

}  // namespace accelnn
