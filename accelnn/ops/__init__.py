"""What each operation is, one row an op: shape rule, float64 reference, gradient, cost, samples."""

from __future__ import annotations

from . import conv, elementwise, matmul, normalize, pool, quantized, random, reduce, shape, sparse, weight_only
from .conv import conv2d
from .elementwise import clip, gelu, maximum, minimum, silu, where
from .matmul import linear
from .normalize import cross_entropy, log_softmax, one_hot, softmax
from .pool import avg_pool2d, max_pool2d
from .quantized import dequantize, quantize
from .random import dropout, seed, uniform as rand
from .sparse import SparseWeight, matmul_sparse, pack_sparse, sparsify
from .weight_only import Int4Weight, matmul_int4, quantize_int4

__all__ = ["Int4Weight", "SparseWeight", "avg_pool2d", "clip", "conv", "conv2d", "cross_entropy", "dequantize", "dropout", "elementwise", "gelu",
           "linear", "log_softmax", "matmul", "matmul_int4", "matmul_sparse", "max_pool2d", "maximum", "minimum", "normalize", "one_hot",
           "pack_sparse", "pool", "quantize", "quantize_int4", "quantized", "rand", "random", "reduce", "seed", "shape", "silu", "softmax", "sparse",
           "sparsify", "weight_only", "where"]  # fmt: skip
