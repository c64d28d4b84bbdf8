"""What each operation is, one row an op: shape rule, float64 reference, gradient, cost, samples."""

from __future__ import annotations

from ..core.tensor import connect
from . import conv, dynamic, elementwise, matmul, normalize, pool, qconv, quantized, random, reduce, shape, sparse, weight_only  # noqa: F401
from .conv import conv2d
from .dynamic import dynamic_qmatmul, quantize_weight
from .elementwise import clip, gelu, maximum, minimum, silu, where
from .matmul import linear
from .normalize import cross_entropy, log_softmax, one_hot, softmax
from .packed import Packed, pack
from .pool import avg_pool2d, max_pool2d
from .quantized import dequantize, quantize
from .random import dropout, seed, uniform as rand
from .sparse import SparseWeight, matmul_sparse, pack_sparse, sparsify
from .weight_only import Int4Weight, matmul_int4, quantize_int4

connect()

__all__ = ["Int4Weight", "Packed", "SparseWeight", "avg_pool2d", "clip", "conv2d", "cross_entropy", "dequantize", "dropout", "dynamic_qmatmul", "gelu",
           "linear", "log_softmax", "matmul_int4", "matmul_sparse", "max_pool2d", "maximum", "minimum", "one_hot", "pack", "pack_sparse", "quantize",
           "quantize_int4", "quantize_weight", "rand", "seed", "silu", "softmax", "sparsify", "where"]  # fmt: skip
