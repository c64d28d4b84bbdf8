/* Runs a linked model through the C API alone, as a user's program would: `accelnn build --lib --verify` compiles it against libnet.a and net.h.
 *   harness IN... OUT...    a file each: accelnn_tensor's fields dtype, rank, shape, then the elements */
#include <stdio.h>
#include <stdlib.h>
#include "engine/accelnn.h"

static const size_t size_of[] = {4, 2, 2, 1, 1, 4, 8, 1};
static size_t bytes_of(const accelnn_tensor* t) {
  size_t n = size_of[t->dtype];
  for (int i = 0; i < t->rank; i++) n *= (size_t)t->shape[i];
  return n;
}
static int header(FILE* f, accelnn_tensor* t, size_t (*io)(void*, size_t, size_t, FILE*)) {
  return io(&t->dtype, sizeof t->dtype, 1, f) == 1 && io(&t->rank, sizeof t->rank, 1, f) == 1 && io(t->shape, sizeof t->shape, 1, f) == 1;
}
static size_t get(void* p, size_t size, size_t n, FILE* f) { return fread(p, size, n, f); }
static size_t put(void* p, size_t size, size_t n, FILE* f) { return fwrite(p, size, n, f); }
static int stop(const char* what) {
  fprintf(stderr, "%s: %s\n", what, accelnn_last_error());
  return 1;
}

int main(int argc, char** argv) {
  accelnn_model* net = accelnn_open_linked();
  if (!net) return stop("open");
  const int n_in = accelnn_input_count(net), n_out = accelnn_output_count(net);
  if (argc != 1 + n_in + n_out) return stop("as many files as inputs and outputs expected");
  accelnn_tensor* t = (accelnn_tensor*)calloc((size_t)(n_in + n_out), sizeof(accelnn_tensor));
  for (int i = 0; i < n_in; i++) {
    FILE* f = fopen(argv[1 + i], "rb");
    if (!f || !header(f, &t[i], get)) return stop(argv[1 + i]);
    t[i].data = malloc(bytes_of(&t[i]) + 1);
    if (fread(t[i].data, 1, bytes_of(&t[i]), f) != bytes_of(&t[i])) return stop(argv[1 + i]);
    fclose(f);
  }
  if (accelnn_output_shapes(net, t, t + n_in)) return stop("shapes");
  for (int i = n_in; i < n_in + n_out; i++) t[i].data = malloc(bytes_of(&t[i]) + 1);
  if (accelnn_run(net, t, t + n_in)) return stop("run");
  for (int i = n_in; i < n_in + n_out; i++) {
    FILE* f = fopen(argv[1 + i], "wb");
    if (!f || !header(f, &t[i], put) || fwrite(t[i].data, 1, bytes_of(&t[i]), f) != bytes_of(&t[i]) || fclose(f)) return stop(argv[1 + i]);
    free(t[i].data);
  }
  for (int i = 0; i < n_in; i++) free(t[i].data);
  free(t);
  accelnn_close(net);
  return 0;
}
