"""The kernels, as the package accelnn.kernels: C++ and CUDA sources (package data) and, where a row is written in Triton, Python modules."""

if __name__ == "kernels":
    raise ImportError("import accelnn.kernels, not kernels: the checkout's root is on sys.path, and a second copy of the package would be loaded")
