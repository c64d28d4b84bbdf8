"""What each operation is, one row an op: shape rule, float64 reference, gradient, cost, samples."""

from __future__ import annotations

from . import conv, dynamic, elementwise, matmul, normalize, pool, quantized, random, reduce, shape
from .conv import conv2d
from .dynamic import dynamic_qmatmul, quantize_weight
from .elementwise import clip, gelu, maximum, minimum, silu, where
from .matmul import linear
from .normalize import cross_entropy, log_softmax, one_hot, softmax
from .pool import avg_pool2d, max_pool2d
from .quantized import dequantize, quantize
from .random import dropout, seed, uniform as rand

__all__ = ["avg_pool2d", "clip", "conv", "conv2d", "cross_entropy", "dequantize", "dropout", "dynamic", "dynamic_qmatmul", "elementwise", "gelu", "linear",
           "log_softmax", "matmul", "max_pool2d", "maximum", "minimum", "normalize", "one_hot", "pool", "quantize", "quantize_weight", "quantized", "rand",
           "random", "reduce", "seed", "shape", "silu", "softmax", "where"]  # fmt: skip
