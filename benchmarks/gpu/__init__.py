"""`make gpu`: everything that needs a GPU, in nine minutes: build, tests of device rows, emulator against hardware, compute-sanitizer, measurements
(docs/gpu.md). `--dry` goes through every step without one."""
