"""Model: a network whose weights stand still, as a Plan; and compile, compress, load, save."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..core.dims import Dim
from .compiled import compile
from .compress import compress
from .from_torch import from_torch
from .model import Model, freeze, save


def load(path: str | os.PathLike[str], dims: Mapping[str, int | Dim] | None = None) -> Any:
    """A Model from a `.accel` file, or an ImportedModel from an `.onnx` file (extra: onnx). dims: sizes for the named dimensions of an ONNX model."""
    if os.fspath(path).endswith(".onnx"):
        from .imported import load_onnx

        return load_onnx(path, dims)
    return Model.of_file(path)


__all__ = ["Model", "compile", "compress", "freeze", "from_torch", "load", "save"]
