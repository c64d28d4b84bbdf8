"""ONNX -> Graph.

`Importer` walks the model's nodes; `register` teaches it a new op. What only depends on shapes is computed while it walks (values.py), so that the
`Shape -> Gather -> Concat -> Reshape` dances of exporters leave nothing in the graph."""

from .call import Call, ValueNeeded, register
from .importer import Importer
from .reader import model_of, open_model, parse

__all__ = ["Call", "Importer", "ValueNeeded", "model_of", "open_model", "parse", "register"]
