// The whole test framework: a failed check says where and ends the program.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include "status.h"

inline int n_checks = 0;

#define CHECK(condition)                                                                                 \
  do {                                                                                                   \
    n_checks++;                                                                                          \
    if (!(condition)) { printf("%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); exit(1); }      \
  } while (0)

#define CHECK_OK(expression)                                                                             \
  do {                                                                                                   \
    n_checks++;                                                                                          \
    const accelnn::Status s_ = (expression);                                                             \
    if (!s_.ok()) { printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #expression, s_.text); exit(1); }      \
  } while (0)

// Fails with this code and a sentence that has `part` in it.
#define CHECK_FAILS(expression, wanted, part)                                                            \
  do {                                                                                                   \
    n_checks++;                                                                                          \
    const accelnn::Status s_ = (expression);                                                             \
    if (s_.code != accelnn::Code::wanted || !strstr(s_.text, part)) {                                    \
      printf("%s:%d: %s: code %d, '%s'; expected %s, '%s'\n", __FILE__, __LINE__, #expression,           \
             int(s_.code), s_.text, #wanted, part);                                                      \
      exit(1);                                                                                           \
    }                                                                                                    \
  } while (0)

inline int passed(const char* what) {
  printf("%s: %d checks passed\n", what, n_checks);
  return 0;
}
