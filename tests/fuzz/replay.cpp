// Runs a fuzz target over files, where there is no libFuzzer: replay FILE...
#include <cstdint>
#include <cstdio>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n);

int main(int argc, char** argv) {
  for (int i = 1; i < argc; i++) {
    FILE* f = fopen(argv[i], "rb");
    if (!f || fseek(f, 0, SEEK_END)) return fprintf(stderr, "%s: cannot be read\n", argv[i]), 1;
    const long n = ftell(f);
    rewind(f);
    uint8_t* data = static_cast<uint8_t*>(malloc(n > 0 ? size_t(n) : 1));     // exactly as long: reading behind it is found
    if (n < 0 || !data || fread(data, 1, size_t(n), f) != size_t(n)) return fprintf(stderr, "%s: cannot be read\n", argv[i]), 1;
    fclose(f);
    LLVMFuzzerTestOneInput(data, size_t(n));
    free(data);
  }
  printf("%d files, no fault\n", argc - 1);
  return 0;
}
