// What is written once and compiled for every element type that has rows of its own on each ISA (dtype.h names the others): ACCELNN_EVERY_DTYPE(ROWS) is
// ROWS(f32) ROWS(f16) ..., by the names that rows have.
#pragma once
#define ACCELNN_EVERY_DTYPE(ROWS) ROWS(f32) ROWS(f16) ROWS(bf16) ROWS(i8) ROWS(u8) ROWS(i32) ROWS(i64) ROWS(bool)
