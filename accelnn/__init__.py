"""accelnn: hand-written kernels that train, compress and become executables."""

from __future__ import annotations

import importlib
from typing import Any

from . import ops
from .core.autograd import grad, grad_of
from .core.dtypes import DType
from .core.errors import Error, MissingExtra
from .core.registry import OPS as _OPS
from .core.tensor import Tensor, asarray, enable_grad, from_dlpack, no_grad, ones, tensor, zeros
from .ops import *  # noqa: F403
from .version import __version__

float32, float16, bfloat16, float64 = DType.float32, DType.float16, DType.bfloat16, DType.float64
int8, int16, int32, int64 = DType.int8, DType.int16, DType.int32, DType.int64
uint8, uint16, uint32, uint64 = DType.uint8, DType.uint16, DType.uint32, DType.uint64
bool_ = DType.bool
matmul = _OPS["matmul"].call  # the operator @, with every operand of the op: matmul(a, b, bias)

# Rooms that a program may not need: imported when they are first named.
_LAZY = {"nn": ".nn", "optim": ".optim", "practice": ".practice", "bench": ".bench", "cuda": ".cuda"}
_LAZY_NAMES = {"compile": ".model.compiled", "load": ".model", "save": ".model", "save_onnx": ".model", "freeze": ".model", "Model": ".model",
               "compress": ".model.compress", "from_torch": ".model.exported", "build": ".deploy.build", "check_grads": ".core.check", "Dim": ".core.dims",
               "explain": ".core.dispatch", "set_num_threads": ".core.device", "get_num_threads": ".core.device",
               "load_kernels": ".core.kernel_files"}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(_LAZY[name], __name__)
    if name in _LAZY_NAMES:
        return getattr(importlib.import_module(_LAZY_NAMES[name], __name__), name)
    raise AttributeError(f"module 'accelnn' has no attribute {name!r}")


__all__ = ["DType", "Error", "MissingExtra", "Tensor", "__version__", "asarray", "bfloat16", "bool_", "enable_grad", "float16", "float32", "float64",
           "from_dlpack", "grad", "grad_of", "int16", "int32", "int64", "int8", "matmul", "no_grad", "ones", "ops", "tensor", "uint16", "uint32", "uint64",
           "uint8", "zeros", *ops.__all__, *_LAZY, *_LAZY_NAMES]  # fmt: skip
