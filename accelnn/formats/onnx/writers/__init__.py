"""Writers of ops as ONNX nodes, by family."""

from . import convolution, flow, indexing, network, normalization, pointwise, quantized, recurrent, shapes  # noqa: F401
