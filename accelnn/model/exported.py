"""A torch.nn.Module as a Model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import _C
from ..core.dims import Assumption
from ..core.errors import AttributeValueError, Error, ShapeError, UnsupportedError
from ..core.optional import need
from ..core.tensor import Tensor, asarray
from .imported import ImportedModel
from .model import Model


class TorchModel(ImportedModel):
    """Called as the module was: its tensors in order (torch's, accelnn's or arrays) and returned as the module returns them, tuples and dicts included."""

    def __init__(self, module: Any, example: Any, dims: Any = None) -> None:
        from ..formats.torch import exported
        from ..formats.torch.importer import example_shapes, output_names

        self.module, self.example = module, example
        try:
            self.program, self.named = exported(module, example, dims)
            refused = ""
        except UnsupportedError as reason:
            if dims is None or not isinstance(reason.__cause__, Exception):
                raise
            refused = str(reason)  # sizes that the module's shapes depend on: torch exports it anew for each set of shapes
            self.program, self.named = exported(module, example)
        self.anew = bool(refused)
        self.result: list[Any] = []
        signature = self.program.graph_signature
        inputs = [s.arg.name for s in signature.input_specs if s.kind.name == "USER_INPUT" and type(s.arg).__name__ == "TensorArgument"]
        outputs = sum(1 for s in signature.output_specs if s.kind.name == "USER_OUTPUT" and type(s.arg).__name__ == "TensorArgument")
        self._open(inputs, output_names(outputs))
        if self.general is None:  # what no Plan could hold is said now, not at the first call
            self._plan({name: shape for name, shape in example_shapes(self.program).items() if name in inputs}, {})
        form = self.program.call_spec
        given, by_name = form.in_spec.children()
        self.flat = len(given.children()) == len(inputs) and all(g.is_leaf() for g in given.children()) and not by_name.num_leaves  # tensors, nothing else
        self.bare = form.out_spec.is_leaf() and [i for i, _ in self.result] == [0]
        if self.anew:
            self.general, self.why = None, refused
            self.runner = _C.Runner(self._call, self._call_feed)  # which remembers no Plan
        else:
            self.module = self.example = None

    def _plan(self, shapes: Mapping[str, tuple[int, ...]], given: Mapping[str, np.ndarray]) -> tuple[Model, frozenset[Assumption]]:
        from ..formats.torch import Importer, exported
        from ..formats.torch.importer import example_shapes

        program = self.program
        if self.anew and shapes and any(shapes[n] != s for n, s in example_shapes(program).items() if n in shapes):
            program, _ = exported(self.module, self._example(shapes))
        work = Importer(program, self.named, shapes)
        made = Model(work.graph()), frozenset(work.assumed)
        self.result = work.result
        return made

    def _example(self, shapes: Mapping[str, tuple[int, ...]]) -> Any:
        """The example with inputs of other shapes."""
        from ..formats.torch.export import tensors

        torch = need("torch", "torch")
        example, left = tensors(torch, self.example), list(shapes.items())

        def other(key: Any, x: Any) -> Any:
            if not isinstance(x, torch.Tensor):
                return x
            at = next((i for i, (name, _) in enumerate(left) if name == key), 0)
            return torch.zeros(left.pop(at)[1], dtype=x.dtype)

        if isinstance(example, Mapping):
            return {k: other(k, x) for k, x in example.items()}
        return tuple(other(None, x) for x in example)

    def _feed(self, args: Sequence[Any]) -> dict[str, Any]:
        """The tensors among the arguments; what else there is must be what the example had, for that is in the graph."""
        tree = need("torch.utils._pytree", "torch")
        flat, fixed = [], [s.arg.value for s in self.program.graph_signature.input_specs if hasattr(s.arg, "value")]
        for x in tree.tree_leaves(list(args)):
            if isinstance(x, (Tensor, np.ndarray)) or hasattr(x, "detach"):
                flat.append(_ours(x))
            elif x is not None and x not in fixed:
                raise AttributeValueError(f"{type(self).__name__}: the argument {x!r} is no tensor, and not what the example had ({fixed}): "
                                          "from_torch made this model for that")  # fmt: skip
        return super()._feed(flat)

    def __call__(self, *args: Any, **named: Any) -> Any:
        """What the module returns for these arguments, in its own structure, with Tensors in place of torch's."""
        if self.bare and self.flat and not named and len(args) == len(self.input_names):
            return super().__call__(*map(_array, args))
        unknown = sorted(named.keys() - set(self.input_names[len(args) :]))
        if unknown:
            raise ShapeError(f"{type(self).__name__}: {unknown} are no inputs, or given twice; there are {self.input_names}")
        found = super().__call__(*args, *[named[n] for n in self.input_names[len(args) :] if n in named])
        found = found if isinstance(found, tuple) else (found,)
        tree = need("torch.utils._pytree", "torch")
        return tree.tree_unflatten([found[i] if i >= 0 else value for i, value in self.result], self.program.call_spec.out_spec)

    def run(self, feed: Mapping[str, Any]) -> dict[str, Tensor]:
        """By names: the parameters of forward."""
        return super().run({n: _ours(x) for n, x in feed.items()})

    @property
    def graph(self) -> Any:
        """What was imported; its constants share torch's memory."""
        if self.general is None:
            raise Error(f"this model has a Plan for each set of shapes, none for all: {self.why}")
        return self.general.graph

    def __repr__(self) -> str:
        return super().__repr__().replace("ImportedModel", "TorchModel", 1)


def _array(x: Any) -> Any:
    """torch's tensors as arrays, which a Plan reads where they lie."""
    return x.detach().numpy() if hasattr(x, "detach") and not isinstance(x, Tensor) else x


def _ours(x: Any) -> Any:
    return asarray(x.detach().numpy()) if hasattr(x, "detach") and not isinstance(x, Tensor) else x


def from_torch(module: Any, example: Any, dims: Any = None) -> TorchModel:
    """A torch.nn.Module (in eval mode, which it is put into for the moment) or torch.export.ExportedProgram as a Model, through torch.export.

    example: its arguments: a tensor, a tuple of them, or a dict by name. dims: the dimensions that vary, {axis: name or Dim} of the only input, or a
    sequence or dict (by name) of such for several: `from_torch(net, (ids, mask), [{0: "batch", 1: an.Dim("time", upper=512)}] * 2)`. One Plan serves all
    sizes where the network allows it, else one is made for each set of shapes. The graph's constants share torch's memory; a Plan packs its own copy, so
    training the module further needs another from_torch. Needs the extra: torch. UnsupportedError names an op that accelnn does not know, where it is
    called, and the hook to add it (accelnn.formats.torch.register)."""
    return TorchModel(module, example, dims)
