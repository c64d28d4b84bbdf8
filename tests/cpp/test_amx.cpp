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
  // TDPBUSD C, A, B: C[m][n] += sum over k, i of unsigned A[m][4 k + i] * signed B[k][4 n + i]
  template <int C, int A, int B> static void dot() {
    usable(A), usable(B), usable(C);
    CHECK(config.rows[A] == config.rows[C] && config.row_bytes[B] == config.row_bytes[C] && config.row_bytes[A] == 4 * config.rows[B]);
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
static void product(int64_t k4, int rows, int panels, int64_t a_row) {
  std::vector<char> a(size_t(k4 ? (rows - 1) * a_row + 4 * k4 : 0)), b(size_t(panels * k4 * 64));
  for (char& x : a) x = char(random_byte());
  for (char& x : b) x = char(random_byte() < 64 ? 128 : random_byte());
  AmxSums sums;
  memset(&sums, 0x5a, sizeof sums);
  amx_product<Emulated>(k4, a.data(), a_row, rows, b.data(), panels == 2 ? k4 * 64 : 0, sums);
  CHECK(!Emulated::configured);
  bool right = true;
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < 16 * panels; j++) {
      int32_t expected = 0;
      for (int64_t k = 0; k < 4 * k4; k++)
        expected += uint8_t(a[size_t(i * a_row + k)]) * int8_t(b[size_t(j / 16 * k4 * 64 + k / 4 * 64 + j % 16 * 4 + k % 4)]);
      right = right && sums.at[i][j] == expected;
    }
  CHECK(right);
}

int main() {
  static_assert(sizeof(TileConfig) == 64);
  TileConfig c;
  CHECK(reinterpret_cast<char*>(c.row_bytes) - reinterpret_cast<char*>(&c) == 16 && reinterpret_cast<char*>(c.rows) - reinterpret_cast<char*>(&c) == 48);
  for (int rows = 1; rows <= 32; rows++)
    for (int64_t k4 : {0, 1, 15, 16, 17, 32, 47, 64})
      for (int panels : {1, 2}) product(k4, rows, panels, 4 * k4 + 64);
  product(1024, 32, 2, 4096 + 64);
  return passed("amx");
}
