"""torch.export of a module, as it stands: in eval mode, recurrent layers whole, named dimensions as torch's."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...core.dims import Dim
from ...core.errors import Error, ShapeError, UnsupportedError
from ...core.optional import need
from .call import HANDLERS
from .guards import hold_always

Dims = Any  # of one input {axis: name or Dim}; of several a sequence of such, or {input's name: such}
_lock = threading.Lock()  # what follows changes torch's global settings for a moment
_namespace = "accelnn_import"
RECURRENT = f"{_namespace}.recurrent.default"
_library: Any = None


def _operator(torch: Any) -> Any:
    """An op that stands for a whole stack of recurrent layers. torch.export runs its own through every time step: the number of steps would be fixed."""
    global _library
    if _library is None:
        library = torch.library.Library(_namespace, "DEF")
        library.define("recurrent(str kind, Tensor x, Tensor[] states, Tensor[] weights, bool bias, int layers, bool bidirectional, bool batch_first)"
                       " -> (Tensor, Tensor, Tensor)")  # fmt: skip

        def shapes(kind: str, x: Any, states: Any, weights: Any, bias: bool, layers: int, bidirectional: bool, batch_first: bool) -> Any:
            h = states[0]
            y = x.new_empty((*x.shape[:-1], h.shape[-1] * (2 if bidirectional else 1)))
            return y, torch.empty_like(h), torch.empty_like(states[-1])

        for key in ("Meta", "CompositeExplicitAutograd"):
            library.impl("recurrent", shapes, key)
        _library = library
    return getattr(torch.ops, _namespace).recurrent


@contextlib.contextmanager
def _recurrent_whole(torch: Any) -> Iterator[None]:
    """Inside, this thread's calls of torch.nn.LSTM, GRU and RNN are calls of that op."""
    names = {"lstm": "lstm", "gru": "gru", "rnn_tanh": "rnn", "rnn_relu": "rnn_relu"}
    op, me, real = _operator(torch), threading.get_ident(), {n: getattr(torch._VF, n) for n in names}

    def replaced(name: str) -> Any:
        def call(x: Any, states: Any, *rest: Any) -> Any:
            packed = not isinstance(rest[0], (list, tuple)) or not isinstance(rest[1], bool)  # x, batch_sizes, states, weights ...
            if threading.get_ident() != me or packed:
                return real[name](x, states, *rest)
            weights, bias, layers, _dropout, training, bidirectional, batch_first = rest
            if training:
                raise UnsupportedError("from_torch: a recurrent layer in training mode")
            states = list(states) if isinstance(states, (list, tuple)) else [states]
            y, h, c = op(names[name], x, states, list(weights), bias, layers, bidirectional, batch_first)
            return (y, h, c) if name == "lstm" else (y, h)

        return call

    try:
        for n in names:
            setattr(torch._VF, n, replaced(n))
        yield
    finally:
        for n in names:
            delattr(torch._VF, n)  # the class looks the real ones up by itself


@contextlib.contextmanager
def _still(module: Any, torch: Any) -> Iterator[None]:
    """Inside, the module is in eval mode, and torch takes none of the shortcuts that hide its operations; afterwards all is as it was."""
    training = [(m, m.training) for m in module.modules()]
    flat = [(m, m._flat_weights) for m in module.modules() if isinstance(m, torch.nn.RNNBase)]
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        for m, _ in training:
            m.training = False
        torch.backends.mha.set_fastpath_enabled(False)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for m, was in training:
            m.training = was
        for m, weights in flat:
            m._flat_weights = weights


class Named:
    """The dimensions of the inputs that have names: torch's Dims for the export, ours for the graph."""

    def __init__(self, torch: Any, example: Any, dims: Dims) -> None:
        self.torch = torch
        self.ours: dict[str, Dim] = {}
        self.theirs: dict[str, Any] = {}
        keys = list(example) if isinstance(example, Mapping) else list(range(len(example)))
        self.axes: dict[Any, dict[int, str]] = {k: {} for k in keys}  # input -> axis -> name
        if dims is None:
            return
        if isinstance(dims, Mapping) and all(isinstance(k, int) for k in dims) and keys:
            dims = {keys[0]: dims} if not any(isinstance(v, Mapping) for v in dims.values()) else dims
        elif not isinstance(dims, Mapping):
            dims = dict(zip(keys, dims))
        for key, axes in dims.items():
            if key not in self.axes:
                raise ShapeError(f"from_torch: dims of {key!r}, but the inputs are {keys}")
            for axis, given in dict(axes or {}).items():
                self._one(example, key, axis, given)

    def _one(self, example: Any, key: Any, axis: int, given: Any) -> None:
        x = example[key]
        if not isinstance(x, self.torch.Tensor) or not -x.ndim <= axis < x.ndim:
            raise ShapeError(f"from_torch: dims of {key!r} name its dimension {axis}, which it does not have")
        name = given.name if isinstance(given, Dim) else str(given)
        low, high = (given.lower, given.upper) if isinstance(given, Dim) else (0, 0)
        self.ours.setdefault(name, Dim(name, hint=max(int(x.shape[axis]), 2), lower=low, upper=high))
        self.theirs.setdefault(name, self.torch.export.Dim(name, min=low if low > 1 else None, max=high or None))
        self.axes[key][axis % x.ndim] = name

    def widened(self, example: Any) -> Any:
        """The example with named dimensions of 1 doubled: torch takes a size of 1 for a constant."""

        def wide(key: Any, x: Any) -> Any:
            for axis in self.axes[key]:
                x = x.repeat_interleave(2, axis) if x.shape[axis] == 1 else x
            return x

        if isinstance(example, Mapping):
            return {k: wide(k, x) for k, x in example.items()}
        return tuple(wide(i, x) for i, x in enumerate(example))

    def dynamic_shapes(self, example: Any) -> Any:
        if not self.ours:
            return None
        found = {k: {a: self.theirs[n] for a, n in axes.items()} if isinstance(example[k], self.torch.Tensor) else None for k, axes in self.axes.items()}
        return found if isinstance(example, Mapping) else tuple(found.values())


def tensors(torch: Any, example: Any) -> Any:
    """Arrays and Tensors of ours as torch's, in a tuple or a dict."""
    import numpy as np

    from ...core.tensor import Tensor

    def one(x: Any) -> Any:
        if isinstance(x, (Tensor, np.ndarray)):
            return torch.from_numpy(np.ascontiguousarray(x.numpy() if isinstance(x, Tensor) else x))
        return x

    if isinstance(example, Mapping):
        return {k: one(x) for k, x in example.items()}
    return tuple(one(x) for x in (example if isinstance(example, Sequence) and not isinstance(example, str) else (example,)))


def exported(module: Any, example: Any, dims: Dims = None) -> tuple[Any, Named]:
    """torch.export's program of the module, without in-place operations, and the dimensions with names. `module` may be such a program already."""
    torch = need("torch", "torch")
    need("torch.export", "torch")

    if isinstance(module, torch.export.ExportedProgram):
        if dims is not None:
            raise Error("from_torch: an exported program has its dimensions; dims are for a module")
        return simpler(torch, module), Named(torch, (), None)
    if not isinstance(module, torch.nn.Module):
        raise Error(f"from_torch: a torch.nn.Module or an exported program expected, not a {type(module).__name__}")
    example = tensors(torch, example)
    named = Named(torch, example, dims)
    example = named.widened(example)
    args, kwargs = ((), example) if isinstance(example, Mapping) else (example, {})
    shapes = named.dynamic_shapes(example)
    if shapes is not None and not isinstance(example, Mapping):
        shapes = _by_position(module, shapes)
    refused: Any = None
    with _lock, _still(module, torch), _recurrent_whole(torch):
        for deferred in (False, True) if shapes is not None else (False,):
            try:
                program = torch.export.export(module, args, kwargs, dynamic_shapes=shapes, strict=False, prefer_deferred_runtime_asserts_over_guards=deferred)
                if not deferred or hold_always(program):
                    return simpler(torch, program), named
            except Error:
                raise
            except Exception as reason:  # torch raises many kinds, its own and Python's
                refused = refused or reason
        raise UnsupportedError(f"from_torch: torch.export refuses {type(module).__name__}: {_first(refused)}") from refused


def simpler(torch: Any, program: Any) -> Any:
    """The program without in-place operations, and with torch's own definitions in place of those operations that no handler knows."""
    program = program.run_decompositions({})
    for _ in range(3):
        unknown = {n.target for n in program.graph.nodes if n.op == "call_function" and hasattr(n.target, "_schema") and str(n.target) not in HANDLERS}
        defined = torch.export.default_decompositions() if unknown else {}
        chosen = {op: defined[op] for op in unknown if op in defined}
        if not chosen:
            break
        program = program.run_decompositions(chosen)
    return program


def _by_position(module: Any, shapes: tuple[Any, ...]) -> Any:
    """torch wants the dimensions of *args in a tuple of their own."""
    import inspect

    parameters = list(inspect.signature(module.forward).parameters.values())
    star = next((i for i, p in enumerate(parameters) if p.kind == p.VAR_POSITIONAL), None)
    return shapes if star is None else (*shapes[:star], tuple(shapes[star:]))


def _first(reason: Exception) -> str:
    """What torch says first, without its advice on logs."""
    lines = [line.strip() for line in str(reason).replace('For more information, run with TORCH_LOGS="+dynamic".', "").splitlines() if line.strip()]
    return " ".join(lines[:2]) or type(reason).__name__
