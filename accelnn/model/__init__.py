"""Model: a network whose weights stand still, as a Plan; and load, save. What a run does not need (compile, compress, importers) is imported when asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..core.dims import Dim
from ..core.errors import GraphError
from .model import Model, freeze, save


def load(path: str | os.PathLike[str], dims: Mapping[str, int | Dim] | None = None) -> Any:
    """A Model from a `.accel` file, or an ImportedModel from an `.onnx` file. dims: sizes for the named dimensions of an ONNX model.

    Large weights are read where the file is mapped, while the model lives: who replaces it writes beside it and renames."""
    if os.fspath(path).endswith(".onnx"):
        from .imported import load_onnx

        return load_onnx(path, dims)
    return Model.of_file(path)


def save_onnx(model: Any, path: str | os.PathLike[str], example: Any = None, opset: int = 21, dynamic_batch: bool = True,
              external_over: int | None = None) -> None:  # fmt: skip
    """Writes a Model's graph, or that of a Module traced on `example` (as freeze does it), as an ONNX file (extra: onnx), checked by onnx.checker.

    opset: 21 to 23. external_over: weights of at least as many bytes lie in `<path>.data` beside it; without it only those of a model of 2 GB or more.
    UnsupportedError names the first op, and its layer, that ONNX does not have; what passes made for this machine (a `.accel` file's graph) is such."""
    from ..formats.onnx.writer import write
    from .imported import ImportedModel

    if isinstance(model, ImportedModel):
        if model.general is None:
            raise GraphError(f"this model has a graph for each set of shapes, none for all: {model.why}. Load it with sizes: an.load(path, dims={{...}})")
        model = model.general
    if not isinstance(model, Model):
        if example is None:
            raise GraphError("save_onnx: a network without its Model needs an example of its input")
        model = freeze(model, example, dynamic_batch)
    write(model.graph, path, opset, external_over)


__all__ = ["Model", "freeze", "load", "save", "save_onnx"]
