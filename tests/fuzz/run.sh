#!/bin/sh
# tests/fuzz/run.sh [seconds] [work folder]: fuzzes the Plan reader (with bind and run) for `seconds` (default 60), then the .npy header for a fifth of it.
# With clang++ and libFuzzer; without, replays the corpus and the seeds under g++'s sanitizers. A finding is left in the work folder, exit code not 0.
# New inputs that reach new code are kept in the work folder; the committed corpus (tests/fuzz/corpus) holds past findings and nothing else.
set -eu
seconds=${1:-60}
cd "$(dirname "$0")/../.."
work=${2:-${TMPDIR:-/tmp}/accelnn_fuzz}
mkdir -p "$work/plan" "$work/npy"
flags="-std=c++17 -g -O1 -ffp-contract=off -fno-strict-aliasing -fno-threadsafe-statics -DACCELNN_TARGET=base -Icsrc/runtime -Icsrc -I."
plan="tests/fuzz/plan_fuzz.cpp csrc/engine/reader.cpp csrc/engine/plan.cpp csrc/engine/executor.cpp csrc/engine/flow.cpp csrc/runtime/*.cpp"
npy="tests/fuzz/npy_fuzz.cpp csrc/deploy/npy.cpp csrc/runtime/status.cpp csrc/runtime/text.cpp csrc/runtime/alloc.cpp"

clang=
for name in "${CLANGXX:-clang++}" clang++ clang++-19 clang++-18 clang++-17 clang++-16 clang++-15 clang++-14; do
  if command -v "$name" >/dev/null 2>&1 && echo 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' |
     "$name" -x c++ -fsanitize=fuzzer,address - -o "$work/probe" >/dev/null 2>&1; then clang=$name; break; fi
done
cxx=${clang:-g++}
sanitize=-fsanitize=address,undefined driver=tests/fuzz/replay.cpp
[ -z "$clang" ] || sanitize=-fsanitize=fuzzer,address,undefined driver=

$cxx $flags tests/fuzz/seeds.cpp csrc/engine/reader.cpp csrc/runtime/*.cpp -o "$work/seeds" -lpthread
"$work/seeds" "$work/seed"
for target in plan npy; do
  eval "sources=\$$target"
  $cxx $flags $sanitize -fno-sanitize-recover=all $sources $driver -o "$work/${target}_fuzz" -lpthread
done
export ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=1
for target in plan npy; do
  corpus=tests/fuzz/corpus/$target
  if [ -n "$clang" ]; then
    [ -d "$corpus" ] || corpus=
    "$work/${target}_fuzz" -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
      -artifact_prefix="$work/finding_${target}_" "$work/$target" "$work/seed/$target" $corpus
    seconds=$((seconds / 5 + 1))
  else
    find "$work/seed/$target" "$work/$target" $( [ -d "$corpus" ] && echo "$corpus" ) -type f -exec "$work/${target}_fuzz" {} +
  fi
done
