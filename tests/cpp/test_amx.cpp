// The index arithmetic of the AMX row, on tile registers emulated by plain loops: few machines have the real ones. The emulation is strict where the
// hardware faults (a tile that is not configured, shapes that do not fit), and clears the tiles where a configuration or a release does.
#include <vector>
#include "check.h"
#include "matmul/amx.h"

using namespace accelnn;

struct Emulated {
  static TileConfig config;
  static bool configured;
  static uint8_t tile[8][16][64];

  static void configure(const TileConfig& c) {
    config = c;
    configured = true;
    memset(tile, 0, sizeof tile);
    CHECK(c.palette == 1 && c.start_row == 0);
    for (uint8_t r : c.reserved) CHECK(r == 0);
    for (int t = 0; t < 16; t++) {
      CHECK(c.rows[t] <= 16 && c.row_bytes[t] <= 64 && (c.rows[t] == 0) == (c.row_bytes[t] == 0));
      CHECK(t < 8 || c.rows[t] == 0);
    }
  }
  static void release() {
    configured = false;
    memset(tile, 0, sizeof tile);
  }
  static void usable(int t) { CHECK(configured && config.rows[t] > 0); }
  template <int T> static void zero() {
    usable(T);
    memset(tile[T], 0, sizeof tile[T]);
  }
  template <int T> static void load(const void* p, int64_t row) {
    zero<T>();
    for (int r = 0; r < config.rows[T]; r++) memcpy(tile[T][r], static_cast<const char*>(p) + r * row, config.row_bytes[T]);
  }
  template <int T> static void store(void* p, int64_t row) {
    usable(T);
    for (int r = 0; r < config.rows[T]; r++) memcpy(static_cast<char*>(p) + r * row, tile[T][r], config.row_bytes[T]);
  }
  static void copy_rest(char* to, const char* from, int64_t bytes) {
    memset(to, 0, 64);
    memcpy(to, from, size_t(bytes));
  }
  template <int C, int A, int B> static void fits() {
    usable(A), usable(B), usable(C);
    CHECK(config.rows[A] == config.rows[C] && config.row_bytes[B] == config.row_bytes[C] && config.row_bytes[A] == 4 * config.rows[B]);
  }
};
// TDPBUSD C, A, B: C[m][n] += sum over k, i of unsigned A[m][4 k + i] * signed B[k][4 n + i]
struct Bytes : Emulated {
  template <int C, int A, int B> static void dot() {
    fits<C, A, B>();
    for (int m = 0; m < config.rows[C]; m++)
      for (int n = 0; n < config.row_bytes[C] / 4; n++) {
        uint32_t sum;
        memcpy(&sum, tile[C][m] + 4 * n, 4);
        for (int k = 0; k < config.rows[B]; k++)
          for (int i = 0; i < 4; i++) sum += uint32_t(int32_t(tile[A][m][4 * k + i]) * int8_t(tile[B][k][4 * n + i]));
        memcpy(tile[C][m] + 4 * n, &sum, 4);
      }
  }
};
TileConfig Emulated::config;
bool Emulated::configured;
uint8_t Emulated::tile[8][16][64];

static uint32_t random_state = 1;
static uint8_t random_byte() { return uint8_t((random_state = random_state * 1664525u + 1013904223u) >> 24); }

// Buffers of exactly the bytes that may be read: AddressSanitizer sees one too many.
static void product(int64_t k, int rows, int columns, int64_t a_row, bool accumulate) {
  const int64_t groups = (k + 3) / 4, panels = (columns + 15) / 16;
  std::vector<char> a(size_t(k ? (rows - 1) * a_row + k : 0)), b(size_t(panels * groups * 64));
  for (char& x : a) x = char(random_byte());
  for (char& x : b) x = char(random_byte() < 64 ? 128 : random_byte());
  std::vector<int32_t> sums(size_t(rows * 16 * panels), 7);
  amx_begin<Bytes>(rows < 16 ? rows : 16);
  amx_tile<Bytes>({k, a.data(), a_row, b.data(), groups * 64, reinterpret_cast<char*>(sums.data()), 64 * panels, accumulate}, rows, columns);
  Emulated::release();
  bool right = true;
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < 16 * panels; j++) {
      int32_t expected = accumulate ? 7 : 0;
      for (int64_t g = 0; g < k; g++)
        expected += uint8_t(a[size_t(i * a_row + g)]) * int8_t(b[size_t(j / 16 * groups * 64 + g / 4 * 64 + j % 16 * 4 + g % 4)]);
      right = right && sums[size_t(i * 16 * panels + j)] == expected;
    }
  CHECK(right);
}

int main() {
  static_assert(sizeof(TileConfig) == 64);
  TileConfig c;
  CHECK(reinterpret_cast<char*>(c.row_bytes) - reinterpret_cast<char*>(&c) == 16 && reinterpret_cast<char*>(c.rows) - reinterpret_cast<char*>(&c) == 48);
  for (int rows = 1; rows <= 32; rows++)
    for (int64_t k : {0, 1, 60, 63, 64, 66, 67, 128, 188, 256})
      for (int columns : {1, 16, 17, 32, 48, 61}) {
        if (rows <= 16 || columns <= 48) product(k, rows, columns, k + 61, rows % 2);
      }
  product(4096, 32, 48, 4096 + 64, false);

  // Tiles from row 3 on cover every row once, with no row outside.
  for (int64_t m = 1; m <= 100; m++) {
    int64_t i = 3;
    while (i < 3 + m) {
      const AmxRows r = amx_rows_from(i, 3, 3 + m);
      CHECK(r.first >= 3 && r.first <= i && i < r.first + r.rows && r.first + r.rows <= 3 + m && r.rows <= 32 && (r.rows >= 16 || r.rows == m));
      i = r.first + r.rows;
    }
    CHECK(i == 3 + m);
  }
  return passed("amx");
}
