"""accelerate(model): nn.Linear becomes accelnn's Linear where it stands; restore(model): back again."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import torch

from .layers import AcceleratedLinear, Linear


@dataclass(frozen=True)
class Row:
    path: str  # in the model; "" is the model itself
    kind: str  # the class it had
    size: str
    replaced: bool
    why: str  # why it was left, or what to know of a replaced one


@dataclass(frozen=True)
class Report:
    """What accelerate() did: one row for each layer that computes x @ W^T."""

    rows: tuple[Row, ...]

    @property
    def replaced(self) -> tuple[str, ...]:
        return tuple(r.path for r in self.rows if r.replaced)

    @property
    def left(self) -> dict[str, str]:
        return {r.path: r.why for r in self.rows if not r.replaced}

    def __str__(self) -> str:
        out = io.StringIO()
        print(f"accelnn: {len(self.replaced)} of {len(self.rows)} linear layers replaced", file=out)
        width = max((len(r.path or "(model)") for r in self.rows), default=0)
        for r in self.rows:
            print(f"  {'x' if r.replaced else '-'} {r.path or '(model)':{width}}  {r.kind} {r.size}{': ' if r.why else ''}{r.why}", file=out)
        return out.getvalue().rstrip()


def accelerate(model: torch.nn.Module, pack: bool = True) -> Report:
    """Replaces every nn.Linear in `model` that our kernels can serve and says what was left, and why.

    The instance stays: its class changes (as torch's own parametrize does), so that parameters, hooks, optimizers, references held elsewhere and a
    layer that stands in several places need no care, and the model itself may be a single layer. `pack=False`: no packed copies of weights."""
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"accelerate: a torch.nn.Module expected, not {type(model).__name__}")
    rows = []
    owners = _owners(model)
    for path, module in model.named_modules(remove_duplicate=True):
        if not _looks_linear(module):
            continue
        kind, why = type(module).__name__, _why_left(module, path, owners)
        if why is None:
            module.__class__ = AcceleratedLinear
            if not pack:
                module.pack = False
        notes = why if why is not None else "; ".join(_notes(module, path, owners))
        rows.append(Row(path, kind, _size(module), why is None, notes))
    return Report(tuple(rows))


def restore(model: torch.nn.Module) -> tuple[str, ...]:
    """Undoes accelerate(): the same instances, parameters and hooks, nn.Linear again. Layers that were built as accelnn.torch.Linear stay.
    Returns their paths."""
    paths = []
    for path, module in model.named_modules():
        if type(module) is AcceleratedLinear:
            module.__dict__.pop("pack", None)
            module.__class__ = torch.nn.Linear  # type: ignore[assignment]
            paths.append(path)
    return tuple(paths)


def _looks_linear(module: torch.nn.Module) -> bool:
    return isinstance(module, torch.nn.Linear) or "Linear" in type(module).__name__ or "Linear" in str(getattr(module, "original_name", ""))


def _size(module: Any) -> str:
    if isinstance(module, torch.jit.ScriptModule) or not hasattr(module, "in_features"):
        return ""
    return f"{module.in_features} -> {module.out_features}"


def _owners(model: torch.nn.Module) -> dict[int, list[tuple[str, Any]]]:
    """Who holds each module, by its id."""
    owners: dict[int, list[tuple[str, Any]]] = {}
    for path, parent in model.named_modules():
        for name, child in parent.named_children():
            owners.setdefault(id(child), []).append((f"{path}.{name}" if path else name, parent))
    return owners


def _why_left(module: Any, path: str, owners: dict[int, list[tuple[str, Any]]]) -> str | None:
    if isinstance(module, Linear):
        return "is accelnn's already"
    if any(isinstance(parent, torch.nn.MultiheadAttention) for _, parent in owners.get(id(module), [])):
        return "attention reads its weight and never calls it"
    if isinstance(module, torch.jit.ScriptModule):
        return "scripted: it runs without Python"
    if any(torch.nn.parameter.is_lazy(p) for p in module._parameters.values()):
        return "lazy, without weights yet: run the model once, then accelerate it"
    if torch.nn.utils.parametrize.is_parametrized(module):
        return "parametrized: its weight is computed at every call; remove_parametrizations first"
    if type(module) is not torch.nn.Linear:
        return f"{type(module).__module__}.{type(module).__qualname__}, not nn.Linear itself: it may compute something else"
    if "forward" in module.__dict__:
        return "its forward is replaced on the instance"
    for name in ("weight", "bias"):
        t = getattr(module, name)
        if t is None:
            continue
        if type(t) not in (torch.Tensor, torch.nn.Parameter):
            return f"its {name} is a {type(t).__name__}"
        if t.device.type != "cpu" or t.dtype is not torch.float32:
            return f"its {name} is {str(t.dtype).removeprefix('torch.')} on {t.device}: float32 on the CPU is ours"
    return None


def _notes(module: Any, path: str, owners: dict[int, list[tuple[str, Any]]]) -> list[str]:
    """What to know of a replaced layer."""
    notes = []
    places = [place for place, _ in owners.get(id(module), []) if place != path]
    if places:
        notes.append(f"the same layer as {', '.join(places)}")
    if any(isinstance(parent, torch.nn.TransformerEncoderLayer) for _, parent in owners.get(id(module), [])):
        notes.append("in eval mode without gradients torch's fused encoder reads the weight itself, unless torch.backends.mha.set_fastpath_enabled(False)")
    if module.training and module.weight.requires_grad:
        notes.append("trains: packed only where no gradient is needed")
    return notes
