"""compile: a function of tensors as one Plan, traced again for new shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter, is_
from typing import TYPE_CHECKING, Any, cast

from .. import _C
from ..core.dispatch import contiguous
from ..core.errors import DeviceError, GraphError
from ..core.graph import Spec
from ..core.remote import device_named
from ..core.tensor import Tensor, as_tensor, mode
from ..core.trace import Slot, fill, trace
from ..passes import STANDARD, Hoisted, Pass, as_eager, hoist, pack, run_passes
from ..passes.plan import write_plan

if TYPE_CHECKING:
    from .device_plan import DevicePlan


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
        if traced.single and traced.plan is not None:
            views = [t.view for t in tensors]
            self.run.remember(traced.plan, traced.states, views, mode.grad, [t.view for w in traced.hoisted for t in w.sources], traced.trace.modules,
                              list(zip(traced.read, traced.places)))  # fmt: skip
        return result

    def plan(self, *args: Any) -> _Traced:
        """The Plan for arguments like these (traced if need be, not run)."""
        tensors = [as_tensor(a) for a in args]
        specs, device = [t.spec for t in tensors], next((t.device for t in tensors if t.device != "cpu"), None)
        key = (tuple(specs), mode.grad, device)
        found = self.traced.get(key)
        if found is None or not found.still_valid():
            self.traced.pop(key, None)
            found = None  # its memory may be needed
            found = self.traced[key] = _Traced(self.function, specs, self.passes, device)
        return found


class _Traced:
    """`plan`: the engine's, for the host; `device_plan`: a device's. One of them is None."""

    def __init__(self, f: Callable[..., Any], specs: Sequence[Spec], passes: Sequence[Pass], device: str | None = None) -> None:
        raw, self.trace, self.result = trace(f, specs, device)
        self.hoisted: list[Hoisted] = []
        self.plan: Any = None
        self.device_plan: DevicePlan | None = None
        self.single = isinstance(self.result, Slot)  # one Tensor, not a structure of them
        if self.trace.device != "cpu":
            from .device_plan import DevicePlan

            self.device_plan = DevicePlan(raw, passes, device_named(self.trace.device))
            self.graph, self.tensors, self.hoisted = self.device_plan.graph, self.device_plan.tensors, self.device_plan.hoisted
            self._remember_places()
            return
        self.graph = run_passes(raw, passes) if passes else as_eager(raw)
        if passes:
            self.graph, self.hoisted = hoist(pack(self.graph, states=True))
        data, state_nodes = write_plan(self.graph)
        self.plan = _C.Plan(data)
        self.tensors = [node.data for node in state_nodes]
        for t in self.tensors:
            if t.device != "cpu":
                raise DeviceError(f"compile: the traced function runs on the host and reads {t.spec}, which is now on {t.device}")
            if not t.view.contiguous:
                raise GraphError(f"compile: the traced function reads {t.spec} through a non-contiguous tensor; call .contiguous() on it outside")
        self.states = tuple(t.view for t in self.tensors)
        self._remember_places()

    def _remember_places(self) -> None:
        self.read = [*self.tensors, *(t for w in self.hoisted for t in w.sources)]
        self.places = [t.view for t in self.read]

    def still_valid(self) -> bool:
        """Layers that were in training when the function was traced still are, and the other way round; tensors that it reads lie where they lay; those
        that were moved to a device are as they were."""
        return (all(m.training == flag for m, flag in self.trace.modules) and all(map(is_, map(attrgetter("view"), self.read), self.places))
                and all(t.view.version == n for t, n in self.trace.copies))  # fmt: skip

    def run(self, tensors: Sequence[Tensor]) -> Any:
        if self.device_plan is not None:
            return fill(self.result, [Tensor(cast(Any, v)) for v in self.device_plan.run(tensors)])
        for weight in self.hoisted:
            weight.refresh()
        views = self.plan.run(tuple(contiguous(t.view) for t in tensors), self.states)
        return fill(self.result, [Tensor(v) for v in views])


def compile(f: Callable[..., Any], passes: Sequence[Pass] = STANDARD) -> CompiledFunction:  # noqa: A001 (torch's name)
    """A function (or Module) of tensors -> the same function as a Plan. passes=() keeps every op as it was traced: the bits of eager calls."""
    return CompiledFunction(f, passes)
