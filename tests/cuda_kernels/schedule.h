// Orders in which simt.cpp lets the threads of a block run, and its launch.
#pragma once
#include <cstdarg>
#include "simt.h"

namespace simt {

enum class Schedule { forward,
                      backward,           // every second round
                      random,
                      first_warp,         // the first warp that can goes on until it has to wait
                      last_warp,
                      random_warp };
constexpr int n_schedules = 6;

const Entry* find(const char* name);
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
void launch(const Entry& entry, Index grid, int threads, size_t shared, const void* arguments, Schedule how, unsigned seed);

}  // namespace simt
