"""Which calls our kernels take, and where the others went."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch.autograd import forward_ad

TENSORS = (torch.Tensor, torch.nn.Parameter)
MOST_DIMS = 8  # of a view in C++
# Each answers with something true while a mode or transform is at work that must see aten's operators.
WATCHED = (torch._C._len_torch_function_stack, torch._C._len_torch_dispatch_stack, torch._C._functorch.peek_interpreter_stack,
           torch._C._is_any_autocast_enabled, torch._C._get_tracing_state)  # fmt: skip

_counted: Counter[str] = Counter()


def why_not(x: Any, weight: Any, bias: Any = None) -> str | None:
    """Why linear(x, weight, bias) would go to torch.nn.functional.linear at this moment; None: our kernels take it.

    The answer for float32 tensors in CPU memory, whatever their strides; everything else is torch's, silently."""
    return _why_not_now() or _why_not_these(x, weight, bias)


def _why_not_now() -> str | None:
    """What goes on around the call. Modes and transforms know aten's operators and not ours."""
    if torch.compiler.is_exporting():
        return "torch.export: the exported program must run without accelnn"
    if torch._C._is_any_autocast_enabled():
        return "autocast chooses another dtype"
    if torch._C._len_torch_function_stack() or torch._C._len_torch_dispatch_stack():
        return "a TorchFunctionMode or TorchDispatchMode is active"
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return "inside a torch.func transform"
    if torch._C._get_tracing_state():
        return "torch.jit is tracing"
    if forward_ad._current_level >= 0:
        return "forward-mode derivatives"
    return None


def _why_not_these(x: Any, weight: Any, bias: Any) -> str | None:
    for name, t in (("input", x), ("weight", weight), ("bias", bias)):
        if t is None and name == "bias":
            continue
        if type(t) not in TENSORS:
            return f"the {name} is a {type(t).__module__}.{type(t).__qualname__}"
        if not t.is_cpu:
            return f"the {name} is on {t.device}"
        if t.dtype is not torch.float32:
            return f"the {name} is {t.dtype}".replace("torch.", "")
        if t.layout is not torch.strided:
            return f"the {name} is {t.layout}".replace("torch.", "")
        if t.is_neg():
            return f"the {name} is a view with a pending negation"
    if weight.dim() != 2 or not 1 <= x.dim() <= MOST_DIMS or x.shape[-1] != weight.shape[1]:
        return f"shapes {tuple(x.shape)} and {tuple(weight.shape)}"
    if bias is not None and (bias.shape != weight.shape[:1] or not bias.is_contiguous()):
        return f"a bias of shape {tuple(bias.shape)} and strides {bias.stride()} for a weight of shape {tuple(weight.shape)}"
    return None


def to_torch(x: Any, weight: Any, bias: Any) -> Any:
    """torch.nn.functional.linear, counted with the reason."""
    _counted[why_not(x, weight, bias) or "under torch.compile"] += 1
    return torch.nn.functional.linear(x, weight, bias)


def fallbacks(reset: bool = False) -> dict[str, int]:
    """How many calls of this process went to torch, by reason (eager calls; a compiled graph decides once, when it is traced)."""
    counted = dict(_counted)
    if reset:
        _counted.clear()
    return counted
