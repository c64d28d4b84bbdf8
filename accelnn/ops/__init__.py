"""What each operation is, one row an op: shape rule, float64 reference, gradient, cost, samples."""

from __future__ import annotations

from ..core.tensor import connect
from . import (  # noqa: F401
    channel_norm,
    conv,
    ctc,
    dynamic,
    elementwise,
    loss,
    matmul,
    norm,
    normalize,
    pool,
    quantized,
    random,
    reduce,
    shape,
    sparse,
    weight_only,
)
from .channel_norm import batch_norm, group_norm, instance_norm, local_response_norm
from .conv import conv2d
from .ctc import ctc_loss
from .dynamic import dynamic_qmatmul, quantize_weight
from .elementwise import clip, gelu, maximum, minimum, silu, where
from .loss import cross_entropy, log_sigmoid, nll_loss
from .matmul import linear
from .norm import layer_norm, rms_norm
from .normalize import log_softmax, one_hot, softmax
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
__all__ += ["batch_norm", "ctc_loss", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "log_sigmoid",
            "nll_loss",
            "rms_norm"]  # fmt: skip
