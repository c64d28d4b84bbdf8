/* accelnn from C: opens a compiled model (a Plan), runs it on the caller's memory. C99, no dependencies but libc and libm.
 *
 *   accelnn_model* net = accelnn_open_linked();               // or accelnn_open(bytes, size)
 *   accelnn_tensor x = {pixels, ACCELNN_F32, 4, {1, 1, 28, 28}};
 *   float scores[10];
 *   accelnn_tensor y = {scores, ACCELNN_F32, 2, {1, 10}};
 *   if (!net || accelnn_run(net, &x, &y)) puts(accelnn_last_error());
 *   accelnn_close(net);
 *
 * Every function that returns int gives ACCELNN_OK or the kind of the failure; accelnn_last_error() then holds a sentence.
 * Tensors are contiguous, row-major, little-endian; data is aligned to its element. Outputs overlap neither inputs nor each other.
 * Any number of threads may run one model at the same time: each run takes a workspace of its own from the model, which keeps it for the next.
 * (Runs share one pool of worker threads; the run that finds it busy computes alone. The results are the same bits.) */
#ifndef ACCELNN_H
#define ACCELNN_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

enum { ACCELNN_MAX_RANK = 8 };
enum { ACCELNN_F32 = 0,
       ACCELNN_F16 = 1,
       ACCELNN_BF16 = 2,
       ACCELNN_I8 = 3,
       ACCELNN_U8 = 4,
       ACCELNN_I32 = 5,
       ACCELNN_I64 = 6,
       ACCELNN_BOOL = 7,
       ACCELNN_F64 = 8,
       ACCELNN_I16 = 9,
       ACCELNN_U16 = 10,
       ACCELNN_U32 = 11,
       ACCELNN_U64 = 12 };
enum {
  ACCELNN_OK = 0,
  ACCELNN_SHAPE = 1,
  ACCELNN_DTYPE = 2,
  ACCELNN_ATTRIBUTE = 3,
  ACCELNN_ALIASING = 4,
  ACCELNN_UNSUPPORTED = 5,
  ACCELNN_KERNEL = 6,
  ACCELNN_FORMAT = 7,
  ACCELNN_MEMORY = 8,
  ACCELNN_BOUND = 9
};

typedef struct accelnn_model accelnn_model;

typedef struct {
  void* data;                                /* of an input: only read */
  int32_t dtype, rank;
  int64_t shape[ACCELNN_MAX_RANK];
} accelnn_tensor;

typedef struct {
  const char* name;                          /* valid until accelnn_close */
  int32_t dtype, rank;
  int64_t shape[ACCELNN_MAX_RANK];           /* -1: depends on the inputs */
  const char* dim_name[ACCELNN_MAX_RANK];    /* of a size that is exactly one named dim; else null */
} accelnn_port;

/* The bytes are used where they lie and must outlive the model; from an address that is not a multiple of 64 they are copied. The program must hold
 * the kernels of every op that the model calls. Null on failure. */
accelnn_model* accelnn_open(const void* bytes, size_t size);
/* The model that was linked into this program (accelnn build --lib). Null on failure. */
accelnn_model* accelnn_open_linked(void);
/* No run may be under way. Null is fine. */
void accelnn_close(accelnn_model* model);

int accelnn_input_count(const accelnn_model* model);
int accelnn_output_count(const accelnn_model* model);
int accelnn_describe_input(const accelnn_model* model, int i, accelnn_port* port);
int accelnn_describe_output(const accelnn_model* model, int i, accelnn_port* port);

/* Shapes and dtypes of the outputs for inputs of these shapes: inputs' data is not looked at, outputs' data is left alone. */
int accelnn_output_shapes(const accelnn_model* model, const accelnn_tensor* inputs, accelnn_tensor* outputs);
/* `inputs` and `outputs` are arrays in the order of the descriptions. */
int accelnn_run(accelnn_model* model, const accelnn_tensor* inputs, accelnn_tensor* outputs);

/* Threads of the whole process, the caller's included; not while a run is under way. */
void accelnn_set_threads(int n);
int accelnn_threads(void);

/* Of the last failure on this thread; "" when there was none. */
const char* accelnn_last_error(void);

#ifdef __cplusplus
}
#endif
#endif
