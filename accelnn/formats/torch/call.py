"""One call of an exported program as its handler sees it: torch's arguments by name, what torch says of the result, and ways to say what is wrong."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...core.dims import Size
from ...core.dtypes import DType
from ...core.errors import DTypeError, FormatError, UnsupportedError
from ...core.tensor import Tensor, apply, as_tensor
from ...ops.arithmetic import calculate
from ..onnx.call import counted, measured

Handler = Callable[..., Any]
HANDLERS: dict[str, tuple[Handler, frozenset[str]]] = {}
# Arguments without a meaning for the numbers: where and how torch would lay the result out.
IGNORED = frozenset({"device", "layout", "pin_memory", "memory_format", "non_blocking", "copy", "cudnn_enabled", "cudnn_enable", "generator", "implicit",
                     "sparse", "scale_grad_by_freq", "padding_idx", "sorted", "stable"})  # fmt: skip


def register(*names: str) -> Callable[[Handler], Handler]:
    """Decorator: `f(call, ...)` makes the result of these ops, such as "aten.relu.default": a value, or a tuple of them.

    f names its parameters as torch's schema does (`torch.ops.aten.cumsum.default._schema`) and takes as many as it honours: a node that gives another one
    anything but its default is refused. Tensors come as Tensors, sizes as int or Size. What f computes with accelnn's functions becomes part of the
    network."""

    def keep(f: Handler) -> Handler:
        takes = frozenset(list(inspect.signature(f).parameters)[1:])
        for name in names:
            HANDLERS[name if "." in name.partition(".")[2] else f"{name}.default"] = f, takes
        return f

    return keep


def dtype_of(torch_dtype: Any, what: str) -> DType:
    """accelnn's name for a torch dtype."""
    name = str(torch_dtype).removeprefix("torch.")
    if name not in DType.__members__:
        raise DTypeError(f"{what} is {name}, for which accelnn has no kernels" + ("; module.float() makes it float32" if name == "float64" else ""))
    return DType[name]


class Call:
    """A node, while it is imported. `found`: what torch says of the result (a fake tensor, a number, a tuple of them)."""

    def __init__(self, op: str, path: str, found: Any, operands: dict[str, Any]) -> None:
        self.op, self.path, self.found, self.operands = op, path, found, operands

    @property
    def dtype(self) -> DType:
        """The type of the (first) result, by torch's rules of promotion."""
        found = self.found[0] if isinstance(self.found, (tuple, list)) else self.found
        return dtype_of(found.dtype, "the result")

    def tensor(self, x: Any, dtype: Any = None) -> Tensor:
        """A Tensor of the value; numbers become a constant, sizes are measured when the network runs."""
        if isinstance(x, Tensor):
            return x if dtype is None else x.to(dtype)
        if isinstance(x, Size):
            found = measured(_objects([x]).reshape(()))
            return found if dtype is None else found.to(dtype)
        if isinstance(x, (bool, int, float)):
            return as_tensor(x, self.dtype if dtype is None else dtype)
        raise self.bad("an operand is missing" if x is None else f"a tensor expected, not a {type(x).__name__}")

    def common(self, *xs: Any) -> DType:
        """The type in which torch computes with these operands (torch.result_type)."""
        import torch

        def stand_in(x: Any) -> Any:
            if isinstance(x, Tensor):
                return torch.empty((1,) if x.ndim else (), dtype=getattr(torch, x.dtype.name), device="meta")
            return 1 if isinstance(x, Size) else x

        first, *rest = [stand_in(x) for x in xs]
        for other in rest:
            both = torch.result_type(first, other)
            shape = (1,) if any(isinstance(t, torch.Tensor) and t.ndim for t in (first, other)) else ()
            first = torch.empty(shape, dtype=both, device="meta")
        return dtype_of(first.dtype if isinstance(first, torch.Tensor) else torch.result_type(first, first), "the operands' common type")

    def number(self, x: Any, what: str) -> Any:
        """A known number: given as one, or a constant of one element."""
        if isinstance(x, Tensor):
            if x.view is None or x.numel() != 1:
                raise self.refuse(f"{what} is computed from data")
            return x.item()
        return x

    def bad(self, why: str) -> FormatError:
        return FormatError(f"{self}: {why}")

    def refuse(self, why: str) -> UnsupportedError:
        return UnsupportedError(f"{self}: {why}")

    def __repr__(self) -> str:
        return f"{self.op} in {self.path!r}" if self.path else self.op


def _objects(values: Sequence[Any]) -> np.ndarray:
    found = np.empty(len(values), object)
    found[:] = list(values)
    return found


def axis_of(c: Call, axis: int, rank: int) -> int:
    if not -max(rank, 1) <= axis < max(rank, 1):
        raise c.bad(f"dimension {axis} of {rank}")
    return int(axis) % max(rank, 1)


def axes_of(c: Call, dim: Any, rank: int) -> tuple[int, ...]:
    """Dimensions as torch's reductions name them: none is all."""
    if dim is None or (isinstance(dim, (list, tuple)) and not dim):
        return tuple(range(rank))
    return tuple(sorted({axis_of(c, d, rank) for d in (dim if isinstance(dim, (list, tuple)) else (dim,))})) if rank else ()


def sides(x: Any, n: int) -> tuple[Any, ...]:
    """One number for each of n dimensions; torch leaves out those that are equal."""
    found = tuple(x) if isinstance(x, (list, tuple)) else (x,)
    return found * n if len(found) == 1 else found


def elementwise(c: Call, op: str, kind: str, *xs: Any) -> Tensor:
    """A pointwise op of floats, or the same of integers, in the operands' common type; the result in torch's."""
    common = c.common(*xs)
    if common.is_float:
        return apply(op, *[c.tensor(x, common) for x in xs]).to(c.dtype)
    wide = DType.int32 if common == DType.bool else common  # there is no arithmetic of truths; as numbers they are exact
    return calculate(kind, *[c.tensor(x, common).to(wide) for x in xs]).to(c.dtype)


__all__ = ["Call", "HANDLERS", "axes_of", "axis_of", "counted", "dtype_of", "elementwise", "register", "sides"]
