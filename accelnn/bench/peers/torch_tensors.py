"""torch's calls for works_tensors.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

from ..works import Inputs
from ..works_tensors import CHAINS
from . import Make
from .torch import _returning


def _chain(name: str) -> Make:
    def prepare(x: Inputs, a: Any, b: Any, c: Any) -> Any:
        return lambda: CHAINS[name](a, b, c)

    return _returning(prepare)


def _unary(function: Callable[..., Any]) -> Make:
    return _returning(lambda x, a: lambda: function(a))


def _take(x: Inputs, a: Any, index: Any) -> Any:
    return lambda: F.embedding(index, a)


def _take_grad(x: Inputs, dy: Any, index: Any) -> Any:
    return lambda: torch.ops.aten.embedding_dense_backward(dy, index, x.attrs["size"], -1, False)


def _concat(x: Inputs, *parts: Any) -> Any:
    return lambda: torch.cat(parts, x.attrs["axis"])


def _pad(x: Inputs, a: Any) -> Any:
    return lambda: F.pad(a, (x.note["by"],) * 4)


def _topk(x: Inputs, a: Any) -> Any:
    return lambda: torch.topk(a, x.attrs["k"], largest=x.attrs["largest"])


def _up(x: Inputs, a: Any) -> Any:
    return lambda: F.interpolate(a, scale_factor=2, mode=x.note["mode"])


WORKS: dict[str, dict[str, Make]] = {
    **{name: {"torch": _chain(name)} for name in CHAINS},
    **{name: {"torch": _unary(getattr(F, name))} for name in ("gelu", "silu", "hardswish", "mish", "leaky_relu")},
    "elu": {"torch": _returning(lambda x, a: lambda: F.elu(a, x.attrs["alpha"]))},
    "take": {"torch": _returning(_take)},
    "take_grad": {"torch": _returning(_take_grad)},
    "concat": {"torch": _returning(_concat)},
    "pad_picture": {"torch": _returning(_pad)},
    "topk": {"torch": _returning(_topk)},
    "argmax": {"torch": _returning(lambda x, a: lambda: torch.argmax(a, x.attrs["axis"]))},
    "cumsum": {"torch": _returning(lambda x, a: lambda: torch.cumsum(a, x.attrs["axis"]))},
    **{f"up_{mode}": {"torch": _returning(_up)} for mode in ("nearest", "bilinear", "bicubic")},
}  # fmt: skip
