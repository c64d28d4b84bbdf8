"""torch, eager, with the memory of the same arrays."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ...core.dtypes import BFLOAT16
from ..arrays import empty
from ..works import Inputs
from . import Make, Prepared
from .torch_norm import PREPARE as NORMS


def about(threads: int) -> str:
    torch.set_num_threads(threads)
    shown, parallel = torch.__config__.show(), torch.__config__.parallel_info()
    blas = next((name for name, word in (("MKL", "BLAS_INFO=mkl"), ("OpenBLAS", "BLAS_INFO=open")) if word in shown), "own BLAS")
    dnn = re.search(r"MKL-DNN v([\d.]+)", shown)
    capability = re.search(r"CPU capability usage: (\S+)", shown)
    pool = "OpenMP" if "OpenMP" in parallel else "own threads"
    return (f"{torch.__version__}, {blas}{f', oneDNN {dnn[1]}' if dnn else ''}, {capability[1] if capability else '?'}, {pool}, "
            f"{torch.get_num_threads()} thread{'s' * (torch.get_num_threads() != 1)}")  # fmt: skip


def tensor(a: np.ndarray) -> Any:
    """The same memory, the same strides."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")      # that an array is read-only
        return torch.from_numpy(a.view(np.uint16)).view(torch.bfloat16) if a.dtype == BFLOAT16 else torch.from_numpy(a)


def _arrays(found: Any) -> list[np.ndarray]:
    listed = found if isinstance(found, (tuple, list)) else (found,)
    return [(t.float() if t.dtype == torch.bfloat16 else t).detach().numpy() for t in listed]


def _into(function: Callable[..., Any], **fixed: Any) -> Make:
    """f(*inputs, out=)."""
    def make(x: Inputs, threads: int) -> Prepared:
        torch.set_num_threads(threads)
        inputs = [tensor(a) for a in x.arrays]
        first = function(*inputs, **fixed)
        out = tensor(empty(tuple(first.shape), first.numpy().dtype))
        return Prepared(lambda: function(*inputs, out=out, **fixed), lambda: _arrays(out))

    return make


def _returning(function: Callable[..., Any]) -> Make:
    """f(inputs, *tensors) -> zero-argument call, for what has no out=."""
    def make(x: Inputs, threads: int) -> Prepared:
        torch.set_num_threads(threads)
        call, kept = function(x, *(None if a is None else tensor(a) for a in x.arrays)), [None]

        def run() -> None:
            kept[0] = call()

        return Prepared(run, lambda: _arrays(kept[0]))

    return make


def _backward(x: Inputs, a: Any, b: Any) -> Any:
    a, b, dy = a.requires_grad_(), b.requires_grad_(), tensor(x.note["dy"])
    y = a @ b
    return lambda: torch.autograd.grad(y, (a, b), dy, retain_graph=True)


def _bfloat16_mm(x: Inputs, a: Any, b: Any) -> Any:
    out = torch.empty(a.shape[0], b.shape[1], dtype=torch.bfloat16)
    return lambda: torch.mm(a, b, out=out)


def _dynamic_linear(x: Inputs, threads: int) -> Prepared:
    torch.set_num_threads(threads)
    a, w, scale = x.arrays
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")      # that torch.ao will move
        layer = torch.ao.nn.quantized.dynamic.Linear(w.shape[0], w.shape[1], bias_=False)
        weight = torch.quantize_per_channel(tensor(w.T * scale[:, None]), tensor(scale), torch.zeros(len(scale), dtype=torch.int64), 0, torch.qint8)
        layer.set_weight_bias(weight, None)
    rows, kept = tensor(a), [None]

    def run() -> None:
        kept[0] = layer(rows)

    return Prepared(run, lambda: _arrays(kept[0]))


def _conv2d(channels_last: bool, function: Callable[..., Any] = torch.conv2d) -> Callable[..., Any]:
    def prepare(x: Inputs, a: Any, w: Any) -> Any:
        g = x.note
        if channels_last:
            last = torch.channels_last if a.dim() == 4 else torch.channels_last_3d
            a, w = a.contiguous(memory_format=last), w.contiguous(memory_format=last)
        return lambda: function(a, w, None, g["stride"], g["padding"], g["dilation"], g["groups"])

    return prepare


def _conv2d_backward(channels_last: bool, function: Callable[..., Any] = torch.conv2d) -> Callable[..., Any]:
    def prepare(x: Inputs, a: Any, w: Any) -> Any:
        g, dy = x.note, tensor(x.note["dy"])
        if channels_last:
            last = torch.channels_last if a.dim() == 4 else torch.channels_last_3d
            a, w, dy = (t.contiguous(memory_format=last) for t in (a, w, dy))
        a, w = a.detach().requires_grad_(), w.detach().requires_grad_()
        y = function(a, w, None, stride=g["stride"], padding=g["padding"], dilation=g["dilation"], groups=g["groups"])
        return lambda: torch.autograd.grad(y, (a, w), dy, retain_graph=True)

    return prepare
def _attention(x: Inputs, q: Any, k: Any, v: Any) -> Any:
    causal = bool(x.attrs["causal"])
    return lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)


def _attention_backward(x: Inputs, q: Any, k: Any, v: Any) -> Any:
    leaves, dy = [t.requires_grad_() for t in (q, k, v)], tensor(x.note["dy"])
    y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=bool(x.attrs["causal"]))
    return lambda: torch.autograd.grad(y, leaves, dy, retain_graph=True)


def _attention_decode(x: Inputs, q: Any, k: Any, v: Any) -> Any:
    q = q.to(k.dtype)
    return lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=k.shape[1] != q.shape[1])


def _softmax(x: Inputs, a: Any) -> Any:
    return lambda: torch.softmax(a, -1)


def _log_softmax(x: Inputs, a: Any) -> Any:
    return lambda: torch.log_softmax(a, -1)


def _pool(function: Callable[..., Any], outside: float) -> Callable[..., Any]:
    """`outside` is what stands where the kernel's own padding cannot: torch pads both sides alike, so that what one side has more is laid around first."""
    def prepare(x: Inputs, a: Any) -> Any:
        g = x.attrs
        kernel, stride = (g["kernel_h"], g["kernel_w"]), (g.get("stride_h", 1), g.get("stride_w", 1))
        top, bottom, left, right = (g.get(f"pad_{side}", 0) for side in ("top", "bottom", "left", "right"))
        if (top, left) == (bottom, right):
            return lambda: function(a, kernel, stride, (top, left))
        return lambda: function(torch.nn.functional.pad(a, (left, right, top, bottom), value=outside), kernel, stride)

    return prepare


def _reduce(function: Callable[..., Any]) -> Callable[..., Any]:
    def prepare(x: Inputs, a: Any) -> Any:
        axes, keep = tuple(x.attrs["axes"]), bool(x.attrs["keepdim"])
        return lambda: function(a, axes, keepdim=keep)

    return prepare


def _copy(x: Inputs, a: Any) -> Any:
    out = torch.empty(a.shape)
    return lambda: out.copy_(a)


def _layer(x: Inputs) -> Any:
    """torch.nn.LSTM or GRU with the weights of the inputs."""
    units, kind = x.arrays[2].shape[1], x.note["kind"]
    layer = getattr(torch.nn, kind.upper())(x.arrays[1].shape[1], units, batch_first=True)
    layer.load_state_dict(dict(zip(layer.state_dict(), map(tensor, x.arrays[1:]))))
    return layer


def _recurrent(x: Inputs, a: Any, *weights: Any) -> Any:
    layer = _layer(x)

    def run() -> Any:
        with torch.no_grad():
            return layer(a)[0]

    return run


def _recurrent_training(x: Inputs, a: Any, *weights: Any) -> Any:
    layer = _layer(x)

    def run() -> Any:
        layer.zero_grad()
        layer(a)[0].sum().backward()
        return layer.weight_ih_l0.grad, layer.weight_hh_l0.grad

    return run


WORKS: dict[str, dict[str, Make]] = {
    "matmul": {"torch.mm": _into(torch.mm)},
    "matmul_backward": {"torch.grad": _returning(_backward)},
    "matmul_bf16": {"torch.mm": _returning(_bfloat16_mm)},
    "dynamic_qmatmul": {"torch dyn": _dynamic_linear},
    "conv2d": {"torch NCHW": _returning(_conv2d(False)), "torch NHWC": _returning(_conv2d(True))},
    "conv2d_backward": {"torch NCHW": _returning(_conv2d_backward(False)), "torch NHWC": _returning(_conv2d_backward(True))},
    "conv3d": {f"torch {layout}": _returning(_conv2d(layout == "NHWC", torch.conv3d)) for layout in ("NCHW", "NHWC")},
    "conv3d_backward": {f"torch {layout}": _returning(_conv2d_backward(layout == "NHWC", torch.conv3d)) for layout in ("NCHW", "NHWC")},
    "conv_transpose3d_backward": {
        f"torch {layout}": _returning(_conv2d_backward(layout == "NHWC", torch.conv_transpose3d)) for layout in ("NCHW", "NHWC")
    },
    "conv_transpose2d_backward": {f"torch {layout}": _returning(_conv2d_backward(layout == "NHWC", torch.conv_transpose2d)) for layout in ("NCHW", "NHWC")},
    "attention": {"torch sdpa": _returning(_attention)},
    "attention_backward": {"torch.grad": _returning(_attention_backward)},
    "attention_decode": {"torch sdpa": _returning(_attention_decode)},
    "attention_decode_bf16": {"torch sdpa": _returning(_attention_decode)},
    "softmax": {"torch": _returning(_softmax)},
    "log_softmax": {"torch": _returning(_log_softmax)},
    **{name: {"torch": _returning(prepare)} for name, prepare in NORMS.items()},
    "max_pool2d": {"torch": _returning(_pool(torch.nn.functional.max_pool2d, float("-inf")))},
    "avg_pool2d": {"torch": _returning(_pool(torch.nn.functional.avg_pool2d, 0.0))},
    "copy": {"torch": _returning(_copy)},
    **{kind: {"torch": _returning(_recurrent)} for kind in ("lstm", "gru")},
    **{f"{kind}_training": {"torch": _returning(_recurrent_training)} for kind in ("lstm", "gru")},
    **{name: {"torch": _into(getattr(torch, name))} for name in (
        "add", "sub", "mul", "div", "neg", "abs", "exp", "log", "sqrt", "tanh", "sigmoid", "erf", "maximum", "minimum", "pow")},
    "matmul_packed": {"torch.mm": _into(torch.mm)},
    "relu": {"torch": _into(torch.clamp_min, min=0)},
    **{name: {"torch": _returning(_reduce(function))} for name, function in (
        ("sum", torch.sum), ("mean", torch.mean), ("max", torch.amax), ("min", torch.amin))},
}  # fmt: skip

from .torch_tensors import WORKS as _TENSORS  # noqa: E402  (its calls are made with the helpers above)

WORKS.update(_TENSORS)
