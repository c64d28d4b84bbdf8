// The GPU code that was compiled into this library, as a fat binary for cuModuleLoadData; empty when nvcc was not there (setup.py: ACCELNN_CUDA).
#pragma once
#include <cstdint>

extern "C" const unsigned char accelnn_cuda_image_begin[], accelnn_cuda_image_end[];
