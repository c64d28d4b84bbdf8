"""Module: a tree of parameters and other modules, found by looking at the fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core.dtypes import DType, as_dtype
from ..core.errors import DTypeError, Error, ShapeError
from ..core.tensor import Tensor, asarray, check_device, mode, tensor
from .state import Saved, array_of


def Parameter(data: Any, requires_grad: bool = True) -> Tensor:  # noqa: N802 (torch's name)
    """A tensor that training changes."""
    return tensor(data, requires_grad=requires_grad)


class Module:
    """Base of all layers. Subclasses set Tensors and Modules as fields and define `forward`; `shown` names the fields that repr shows."""

    shown: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.training = True

    def forward(self, *args: Any, **named: Any) -> Any:
        raise Error(f"{type(self).__name__} defines no forward()")

    def __call__(self, *args: Any, **named: Any) -> Any:
        trace = mode.trace
        if trace is not None:
            trace.modules.append((self, self.training))
            trace.path.append(trace.name_of(self))
        try:
            return self.forward(*args, **named)
        except Error as error:
            error.add_note(f"in {type(self).__name__}({self.extra_repr()})")  # the traceback shows which layer, and what it was made for
            raise
        finally:
            if trace is not None:
                trace.path.pop()

    def named_fields(self) -> Iterable[tuple[str, Any]]:
        """What stands in this module: tensors, modules and everything else."""
        return vars(self).items()

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Direct sub-modules with their field names."""
        for name, field in vars(self).items():
            if isinstance(field, Module):
                yield name, field

    def children(self) -> Iterator[Module]:
        """Direct sub-modules."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module (its name is the prefix) and all below it, with their paths."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        return (m for _, m in self.named_modules())

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor of the state: parameters and buffers, each once, by its path."""
        seen: set[int] = set()
        for path, module in self.named_modules():
            for name, field in module.named_fields():
                if isinstance(field, Tensor) and id(field) not in seen:
                    seen.add(id(field))
                    yield f"{path}.{name}" if path else name, field

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """The tensors that training changes: those that require a gradient."""
        return ((n, t) for n, t in self.named_tensors() if t.requires_grad)

    def parameters(self) -> Iterator[Tensor]:
        return (t for _, t in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """The tensors that training leaves alone: running statistics, masks, frozen weights."""
        return ((n, t) for n, t in self.named_tensors() if not t.requires_grad)

    def buffers(self) -> Iterator[Tensor]:
        return (t for _, t in self.named_buffers())

    def register_buffer(self, name: str, tensor: Tensor | None) -> None:
        """Torch's name for a field that holds a tensor without a gradient: `self.name = tensor` does the same."""
        setattr(self, name, tensor)

    def apply(self, fn: Callable[[Module], Any]) -> Any:
        """Calls fn with every module below this one, then with this one; returns this one."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def to(self, *args: Any, **named: Any) -> Any:
        """This module, with its tensors on that device (they stay the objects that an optimizer holds). Parameters are float32: DTypeError otherwise."""
        for what in (*args, *named.values()):
            if isinstance(what, str) and what not in DType.__members__:
                check_device(what)
                for _, t in self.named_tensors():
                    t.view = t.detach().to(what).view
                    t.grad = None if t.grad is None else t.grad.to(what)
            elif not isinstance(what, (bool, Tensor)) and what is not None and as_dtype(what) != DType.float32:
                raise DTypeError(f"{type(self).__name__}.to({what!r}): parameters are float32; see compress and freeze for smaller ones")
        return self

    def cpu(self) -> Any:
        return self.to("cpu")

    def cuda(self, device: int = 0) -> Any:
        """With its tensors on GPU number `device`."""
        return self.to(f"cuda:{device}" if device else "cuda")

    def float(self) -> Any:
        return self

    def train(self, mode: bool = True) -> Any:
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Any:
        return self.train(False)

    def zero_grad(self) -> None:
        for p in self.parameters():
            p.grad = None

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all tensors by path, with torch's names."""
        return {name: np.array(t.to("cpu").numpy()) for name, t in self.named_tensors()}

    def load_state_dict(self, state: Mapping[str, Any] | str | Path, strict: bool = True) -> None:
        """Copies into the tensors that are there: from a state_dict of this module's or of torch's (Parameters, any float type), or from a safetensors file,
        of which only the tensors that are wanted are read. Nothing is changed unless everything fits."""
        if isinstance(state, (str, Path)):
            state = Saved(state)
        own = dict(self.named_tensors())
        missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if strict and (missing or unknown):
            raise Error(f"load_state_dict: missing {missing}, unknown {unknown}; pass strict=False to load what fits")
        new = {name: asarray(array_of(state[name])).to(t.dtype) for name, t in own.items() if name in state}
        for name, value in new.items():
            if value.shape != own[name].shape:
                raise ShapeError(f"load_state_dict: {name} is {own[name].spec}, the file has {value.spec}")
        for name, value in new.items():
            own[name].assign(value)

    def save(self, path: str | Path) -> None:
        """Writes the state as safetensors (beside, then renamed)."""
        from safetensors.numpy import save_file

        beside = Path(f"{path}.part")
        save_file({name: np.ascontiguousarray(t.to("cpu").numpy()) for name, t in self.named_tensors()}, beside)
        beside.replace(path)

    def load(self, path: str | Path, strict: bool = True) -> None:
        """Reads a safetensors file into this module."""
        self.load_state_dict(path, strict)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self.shown)

    def __repr__(self) -> str:
        lines = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()]
        body = self.extra_repr() + ("\n  " + "\n  ".join(lines) + "\n" if lines else "")
        return f"{type(self).__name__}({body})"


__all__ = ["Module", "Parameter"]
