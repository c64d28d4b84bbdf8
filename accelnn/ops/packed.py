"""Prepacked weights: a matrix in the layout that the kernels read (kernels/matmul/matmul.h), made once and used many times."""

from __future__ import annotations

from typing import Any

from ..core.errors import ShapeError
from ..core.graph import Spec
from ..core.registry import OPS
from ..core.tensor import Tensor, apply
from .matmul import ACTIVATIONS

_matmul = OPS["matmul"].call


class Packed:
    """What `pack` made of a weight [K, N]: the right operand of `x @ packed` and `matmul(x, packed, bias)`. A copy: later changes of the weight do
    not reach it."""

    __slots__ = ("panels", "shape", "dtype")

    def __init__(self, weight: Tensor) -> None:
        if weight.ndim != 2:
            raise ShapeError(f"pack: a matrix [K, N] expected, not {weight.spec}")
        self.shape, self.dtype = weight.shape, weight.dtype
        self.panels = apply("matmul_pack", weight.detach())

    def matmul(self, x: Tensor, bias: Tensor | None = None, activation: str = "none") -> Tensor:
        """activation(x[..., K] @ weight + bias[N]) -> [..., N]"""
        if activation not in ACTIVATIONS:
            raise ShapeError(f"pack: activation {activation!r}; there are {', '.join(ACTIVATIONS)}")
        y: Tensor = _matmul(x, self.panels, bias, packed=1, columns=self.shape[1], activation=ACTIVATIONS.index(activation))
        return y

    def __rmatmul__(self, x: Tensor) -> Tensor:
        return self.matmul(x)

    def __accelnn_function__(self, name: str, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> Tensor:
        if name != "matmul" or len(inputs) > 3 or inputs[1] is not self or attrs:
            raise ShapeError(f"{name}: a packed weight can only be the right operand of a matrix product")
        y: Tensor = self.matmul(inputs[0], *inputs[2:])
        return y

    def __repr__(self) -> str:
        return f"Packed({Spec(self.shape, self.dtype)}, {self.panels.spec})"


def pack(weight: Tensor) -> Packed:
    """A weight [K, N] in the kernels' layout: worth it from the second product on. `an.freeze` and `an.compile` do it by themselves."""
    return Packed(weight)


__all__ = ["Packed", "pack"]
