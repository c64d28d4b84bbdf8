// The GPU code that was compiled into this library: for each kernels/<family>/cuda_*.cu a fat binary for cuModuleLoadData. The list is empty when nvcc was
// not there (setup.py: ACCELNN_CUDA). Only _C.so names it: a program names the images that its rows need, one by one.
#pragma once
#include <cstdint>

struct CudaImage {
  const char* name;                       // "softmax/cuda_softmax"; null: the end of the list
  const unsigned char *begin, *end;
};
extern "C" const CudaImage accelnn_cuda_images[];
