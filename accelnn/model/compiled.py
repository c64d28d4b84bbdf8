"""compile: a function of tensors as one Plan, traced again for new shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import _C
from ..core.dispatch import contiguous
from ..core.errors import DeviceError, GraphError
from ..core.graph import Graph, Spec
from ..core.tensor import Tensor, as_tensor, mode
from ..core.trace import Slot, fill, trace
from ..passes import STANDARD, Hoisted, Pass, as_eager, hoist, pack, run_passes
from ..passes.plan import write_plan


class CompiledFunction:
    """Calls the Plan of a function: forward pass, or a whole training step. Tensors that the function meets (parameters, learning rate, RNG position)
    are bound by reference; those it assigns to are updated in place. Equal, within the kernels' bounds, to calling the function."""

    def __init__(self, f: Callable[..., Any], passes: Sequence[Pass]) -> None:
        self.function, self.passes = f, tuple(passes)
        self.traced: dict[Any, _Traced] = {}
        self.run = _C.Runner(self._trace_and_run)  # repeats the last call without asking here while nothing has changed

    def __call__(self, *args: Any) -> Any:
        return self.run(*args)

    def _trace_and_run(self, *args: Any) -> Any:
        tensors = [as_tensor(a) for a in args]
        if mode.trace is not None:
            return self.function(*tensors)
        traced = self.plan(*tensors)
        result = traced.run(tensors)
        if traced.single:
            views = [t.view for t in tensors]
            self.run.remember(traced.plan, traced.states, views, mode.grad, [t.view for w in traced.hoisted for t in w.sources], traced.trace.modules)
        return result

    def plan(self, *args: Any) -> _Traced:
        """The Plan for arguments like these (traced if need be, not run)."""
        specs = [as_tensor(a).spec for a in args]
        key = (tuple(specs), mode.grad)
        found = self.traced.get(key)
        if found is None or not found.still_valid():
            found = self.traced[key] = _Traced(self.function, specs, self.passes)
        return found


class _Traced:
    def __init__(self, f: Callable[..., Any], specs: Sequence[Spec], passes: Sequence[Pass]) -> None:
        raw, self.trace, self.result = trace(f, specs)
        self.graph: Graph = run_passes(raw, passes) if passes else as_eager(raw)
        self.hoisted: list[Hoisted] = []
        if passes:
            self.graph, self.hoisted = hoist(pack(self.graph, states=True))
        data, state_nodes = write_plan(self.graph)
        self.plan = _C.Plan(data)
        self.tensors = [node.data for node in state_nodes]
        for t in self.tensors:
            if t.device != "cpu":
                raise DeviceError(f"compile: the traced function reads {t.spec} on {t.device}; Plans run on the host: call it as it is, or .cpu() first")
            if not t.view.contiguous:
                raise GraphError(f"compile: the traced function reads {t.spec} through a non-contiguous tensor; call .contiguous() on it outside")
        self.states = tuple(t.view for t in self.tensors)
        self.single = isinstance(self.result, Slot)  # one Tensor, not a structure of them

    def still_valid(self) -> bool:
        """Layers that were in training when the function was traced still are, and the other way round."""
        return all(m.training == flag for m, flag in self.trace.modules)

    def run(self, tensors: Sequence[Tensor]) -> Any:
        for weight in self.hoisted:
            weight.refresh()
        if any(t.device != "cpu" for t in tensors):
            raise DeviceError(f"compile: an argument is on {next(t.device for t in tensors if t.device != 'cpu')}; Plans run on the host: .cpu() first")
        views = self.plan.run(tuple(contiguous(t.view) for t in tensors), self.states)
        return fill(self.result, [Tensor(v) for v in views])


def compile(f: Callable[..., Any], passes: Sequence[Pass] = STANDARD) -> CompiledFunction:  # noqa: A001 (torch's name)
    """A function (or Module) of tensors -> the same function as a Plan. passes=() keeps every op as it was traced: the bits of eager calls."""
    return CompiledFunction(f, passes)
