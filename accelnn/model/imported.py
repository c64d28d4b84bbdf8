"""A model from a foreign file: one Plan for all sizes of its named dimensions where that can be had, else one for each set of shapes that it meets."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _C
from ..core.dims import Assumption, Dim
from ..core.errors import DTypeError, Error, GraphError, ShapeError
from ..core.tensor import Tensor
from ..formats.onnx import Importer, ValueNeeded, model_of, open_model
from .model import Model
from .profile import Report

if TYPE_CHECKING:
    from .pending import Pending

KEPT = 8  # plans of special shapes
REMEMBERED = 256  # shapes of which is known whether the general Plan takes them


class ImportedModel:
    """Called as a Model is, with Tensors or arrays in the order of the file's inputs, or with `run` by their names.

    `general`: the Model whose Plan serves every size of the named dimensions, or None, and `why` says why not. What the network's structure depends
    on, the shapes then or the value of an input, chooses the Plan: the last few are kept."""

    def __init__(self, proto: Any, folder: str = "", dims: Mapping[str, int | Dim] | None = None) -> None:
        self.proto, self.folder, self.dims = model_of(proto), folder, dict(dims or {})
        graph = self.proto.graph
        weights = {t.name for t in graph.initializer}
        self._open([i.name for i in graph.input if i.name not in weights], [o.name for o in graph.output])

    def _open(self, inputs: list[str], outputs: list[str]) -> None:
        """The Plan for all sizes, if it can be had."""
        self.input_names, self.output_names = inputs, outputs
        self.by_value: tuple[str, ...] = ()      # inputs whose values the structure depends on
        self.plans: OrderedDict[Any, tuple[Model, frozenset[Assumption]]] = OrderedDict()
        self.lock = threading.Lock()
        self.fitting: dict[tuple[Any, ...], bool] = {}
        self.general: Model | None = None
        self.assumed: frozenset[Assumption] = frozenset()
        self.why = ""
        self.runner = _C.Runner(self._call, self._call_feed)
        try:
            self.general, self.assumed = self._plan({}, {})
            if not self.assumed and [n for n, _ in self.general.inputs] == inputs:
                self.runner.remember(self.general.plan, (), None)  # what its Plan can read as it is goes straight to it
        except ValueNeeded as needed:
            self.by_value, self.why = needed.names, needed.why
        except Error as reason:
            self.why = str(reason)

    def _plan(self, shapes: Mapping[str, tuple[int, ...]], given: Mapping[str, np.ndarray]) -> tuple[Model, frozenset[Assumption]]:
        work = Importer(self.proto, self.folder, self.dims, given, shapes)
        return Model(work.graph()), frozenset(work.assumed)

    def model_for(self, feed: Mapping[str, Any]) -> Model:
        """The Model that computes these inputs, Tensors or arrays by name."""
        shapes = {n: tuple(feed[n].shape) for n in self.input_names}
        if self.general is not None and self._fits(self.general, shapes):
            return self.general
        with self.lock:
            while True:
                given = {n: np.asarray(feed[n]) for n in self.by_value}
                key = (tuple(shapes.items()), tuple((n, v.dtype.str, v.tobytes()) for n, v in given.items()))
                if key in self.plans:
                    self.plans.move_to_end(key)
                    return self.plans[key][0]
                try:
                    made = self._plan({n: s for n, s in shapes.items() if n not in given}, given)
                except ValueNeeded as needed:
                    new = [n for n in needed.names if n not in self.by_value]
                    if not new:
                        raise
                    self.by_value = (*self.by_value, *new)
                    continue
                self.plans[key] = made
                while len(self.plans) > KEPT:
                    self.plans.popitem(last=False)
                return made[0]

    def _fits(self, general: Model, shapes: Mapping[str, tuple[int, ...]]) -> bool:
        """Whether the general Plan's assumptions hold for these sizes; remembered, for they are expressions (ten of them took 12 us a call)."""
        key = tuple(shapes.values())
        found = self.fitting.get(key)
        if found is None:
            sizes: dict[str, int] = {}
            for name, spec in general.inputs:
                named: Any = spec.shape      # the ports of a Plan have names for sizes
                sizes |= {size: n for size, n in zip(named, shapes[name]) if isinstance(size, str)}
            if len(self.fitting) > REMEMBERED:
                self.fitting.clear()
            found = self.fitting[key] = all(a.holds(sizes) for a in self.assumed)
        return found

    def _feed(self, args: Sequence[Any]) -> dict[str, Any]:
        if len(args) != len(self.input_names):
            raise ShapeError(f"{len(self.input_names)} inputs expected ({', '.join(self.input_names)}), got {len(args)}")
        return {name: _array(name, x) for name, x in zip(self.input_names, args)}

    def __call__(self, *args: Any) -> Any:
        """One Tensor for one output, else a tuple."""
        return self.runner(*args)

    def _call(self, *args: Any) -> Any:
        feed = self._feed(args)
        model = self.model_for(feed)
        return model(*[feed[n] for n, _ in model.inputs])

    def run(self, feed: Mapping[str, Any]) -> dict[str, Tensor]:
        """By names, as onnxruntime does it."""
        return self.runner.run(feed)

    def run_async(self, feed: Mapping[str, Any]) -> Pending:
        """`run`, in another thread and without the interpreter's lock: see Model.run_async."""
        from .pending import start

        return start(self.run, feed)

    def _call_feed(self, feed: Mapping[str, Any]) -> dict[str, Tensor]:
        if sorted(feed) != sorted(self.input_names):
            raise ShapeError(f"run: inputs {self.input_names} expected, got {sorted(feed)}")
        arrays = {name: _array(name, x) for name, x in feed.items()}
        model = self.model_for(arrays)
        return model.run({n: arrays[n] for n, _ in model.inputs})

    def report(self, *args: Any, profile: bool = False, repeat: int = 20, ceilings: Mapping[str, Any] | None = None) -> Report:
        """Model.report of the Plan that computes these inputs."""
        feed = self._feed(args)
        model = self.model_for(feed)
        return model.report(*[feed[n] for n, _ in model.inputs], profile=profile, repeat=repeat, ceilings=ceilings)

    def save(self, path: str | os.PathLike[str]) -> None:
        """A `.accel` file of the general Plan, or an `.onnx` file of its graph."""
        if self.general is None:
            raise GraphError(f"this model has a Plan for each set of shapes, none for all: {self.why}. "
                             "Load it with sizes: an.load(path, dims={...}), or save model_for(inputs)")  # fmt: skip
        self.general.save(path)

    def __repr__(self) -> str:
        return f"ImportedModel({', '.join(self.input_names)} -> {', '.join(self.output_names)}; {self.general or f'a Plan for each set of shapes: {self.why}'})"


def _array(name: str, x: Any) -> Any:
    """Tensors and arrays as they are, numbers and lists as arrays."""
    if isinstance(x, (Tensor, np.ndarray)):
        return x
    try:
        found = np.asarray(x)
    except ValueError:
        raise ShapeError(f"the input {name!r} is no array: {type(x).__name__}") from None
    if found.dtype.kind not in "fiub":
        raise DTypeError(f"the input {name!r} is no array of numbers: {found.dtype}")
    return found


def load_onnx(path: str | os.PathLike[str], dims: Mapping[str, int | Dim] | None = None) -> ImportedModel:
    """A model from an ONNX file. dims: sizes for its named dimensions, or Dims with bounds."""
    return ImportedModel(open_model(path), os.path.dirname(os.fspath(path)), dims)
