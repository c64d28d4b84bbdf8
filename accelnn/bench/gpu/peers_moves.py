"""torch's elementwise functions, sums, copies and orders."""

from __future__ import annotations

from typing import Any

from ..works import Inputs
from .peers import Call, nn, peer, torch

for _name, _function in (("gelu", nn.gelu), ("silu", nn.silu), ("exp", torch.exp), ("tanh", torch.tanh)):
    peer(_name, "torch")(lambda x, a, f=_function: lambda: f(a))
peer("add", "torch")(lambda x, a, b: lambda: torch.add(a, b))
peer("where", "torch")(lambda x, c, a, b: lambda: torch.where(c != 0, a, b))
for _name, _function in (("sum_rows", torch.sum), ("sum_columns", torch.sum), ("max_rows", torch.amax)):
    peer(_name, "torch")(lambda x, a, f=_function: lambda: f(a, x.attrs["axes"]))
peer("cumsum", "torch")(lambda x, a: lambda: torch.cumsum(a, 1))
peer("argmax", "torch")(lambda x, a: lambda: torch.argmax(a, 1))
peer("topk", "torch")(lambda x, a: lambda: torch.topk(a, x.attrs["k"]))
peer("copy_turned", "torch")(lambda x, a: lambda: a.contiguous())
peer("cast_bf16", "torch", "bf16")(lambda x, a: lambda: a.to(torch.bfloat16))
peer("concat", "torch")(lambda x, a, b: lambda: torch.cat((a, b), 1))
peer("take", "torch")(lambda x, a, index: lambda: torch.index_select(a, 0, index))
peer("max_pool2d", "torch")(lambda x, a: lambda: nn.max_pool2d(a, 3, 2, 1))


@peer("rotary", "torch")
def _turned(x: Inputs, a: Any, cos: Any, sin: Any) -> Call:
    """Plain tensor operations, as models write it."""
    half, c, s = a.shape[3] // 2, cos[:, None], sin[:, None]

    def call() -> Any:
        first, second = a[..., :half], a[..., half:]
        return torch.cat((first * c - second * s, second * c + first * s), -1)

    return call


@peer("random_uniform", "torch", "other numbers")
def _random(x: Inputs, state: Any) -> Call:
    return lambda: torch.rand(x.attrs["shape"], device=state.device)
