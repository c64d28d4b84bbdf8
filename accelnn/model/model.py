"""Model: a graph whose weights are constants, ready to run, save, compress and build."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .. import _C
from ..core.dims import Dim, Size
from ..core.dispatch import contiguous
from ..core.dtypes import DType
from ..core.errors import DeviceError, FormatError, GraphError, ShapeError
from ..core.graph import Graph, Node, Spec, Value, rewrite
from ..core.remote import device_named
from ..core.tensor import Tensor, as_tensor, asarray, no_grad, tensor
from ..core.trace import trace
from ..formats import accel
from ..passes import DEPLOY, run_passes
from ..passes.plan import SECTIONS, sections, write_plan
from ..passes.plan_memory import schedule
from .profile import Report, add_shares, cost, memory, sizes_of

if TYPE_CHECKING:
    from .device_plan import DevicePlan
    from .pending import Pending


class Model:
    """A frozen network.

    `graph` is what was traced or imported, `lowered` what runs, `file` the bytes of its `.accel` file (a memoryview), where its weights lie too. Calls
    take Tensors or arrays in the order of `inputs`, or a dict by name, and run where those are; concurrent calls from several threads are fine."""

    def __init__(self, graph: Graph, lowered: Graph | None = None) -> None:
        runs = lowered if lowered is not None else run_passes(graph, DEPLOY)
        file, states = write_plan(runs, lambda offsets: accel.encode(runs, offsets))
        if states:
            raise GraphError("a Model's weights are constants; freeze() the network first")
        self._open(file, graph if graph is not lowered else None)

    @classmethod
    def of_file(cls, path: str | os.PathLike[str]) -> Model:
        """The model of a `.accel` file, used where it is mapped: who replaces the file while the model lives writes beside it and renames, as `save`
        does. The engine checks every byte before anything of it runs; its graph is read when somebody asks for it."""
        with open(path, "rb") as f:
            try:
                mapped = mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE | getattr(mmap, "MAP_POPULATE", 0), mmap.PROT_READ)
            except ValueError as reason:        # an empty file
                raise FormatError(f"{os.fspath(path)}: {reason}") from reason
        model = cls.__new__(cls)
        model._open(_C.View.share(np.frombuffer(mapped, np.uint8), DType.uint8), mapped=True)
        if not model.plan.graph():
            raise FormatError(f"{os.fspath(path)}: the file has no graph (it was stripped for a binary); it can be run by an executable only")
        return model

    def _open(self, file: _C.View, graph: Graph | None = None, mapped: bool = False) -> None:
        self.plan = _C.Plan(file, mapped)      # refuses what is not a sound file
        self.file = file.numpy().data
        self._graph = graph
        self._lowered: Graph | None = None
        self.device_plans: dict[Any, DevicePlan] = {}  # by device and the inputs' shapes
        self.ledger: dict[str, dict[str, float]] = {}  # what compression cost, where compress() made this
        self.runner = _C.Runner(self._convert_and_run, self._convert_and_run_feed)  # what the plan can read as it is goes straight to it
        self.runner.remember(self.plan, (), None)
        self.inputs = [(p["name"], Spec(p["shape"], DType(p["dtype"]))) for p in self.plan.ports(0)]
        self.outputs = [(p["name"], Spec(p["shape"], DType(p["dtype"]))) for p in self.plan.ports(1)]

    @property
    def lowered(self) -> Graph:
        """The graph that runs; its constants share the memory of `file`."""
        if self._lowered is None:
            self._lowered = accel.decode(self.plan.graph(), self.file)
        return self._lowered

    @property
    def graph(self) -> Graph:
        return self._graph if self._graph is not None else self.lowered

    def __call__(self, *args: Any) -> Any:
        """One Tensor for one output, else a tuple."""
        return self.runner(*args)

    def _convert_and_run(self, *args: Any) -> Any:
        results = self._run(args)
        return results[0] if len(results) == 1 else tuple(results)

    def run(self, feed: Mapping[str, Any]) -> dict[str, Tensor]:
        """By names, as onnxruntime does it."""
        return self.runner.run(feed)

    def run_async(self, feed: Mapping[str, Any]) -> Pending:
        """`run`, begun now in another thread and without the interpreter's lock. What it returns has concurrent.futures.Future's methods (`result()`,
        `add_done_callback`, `cancel` of what has not begun) and can be awaited. The arrays are read where they lie: leave them alone until it is done."""
        from .pending import start  # its imports cost 10 ms

        return start(self.run, feed)

    def _convert_and_run_feed(self, feed: Mapping[str, Any]) -> dict[str, Tensor]:
        names = [name for name, _ in self.inputs]
        if sorted(names) != sorted(feed):
            raise ShapeError(f"run: inputs {names} expected, got {sorted(feed)}")
        return dict(zip((name for name, _ in self.outputs), self._run([feed[n] for n in names])))

    def _views(self, args: Sequence[Any]) -> tuple[Any, ...]:
        if len(args) != len(self.inputs):
            raise ShapeError(f"{len(self.inputs)} inputs expected ({', '.join(n for n, _ in self.inputs)}), got {len(args)}")
        for a in args:
            if isinstance(a, Tensor) and a.device != "cpu":
                raise DeviceError(f"reports are of runs on the host; an argument is {a.spec} on {a.device}: .cpu() first")
        return tuple(contiguous(_shared(a, spec).view) for a, (_, spec) in zip(args, self.inputs))

    def _run(self, args: Sequence[Any]) -> list[Tensor]:
        device = next((a.device for a in args if isinstance(a, Tensor) and a.device != "cpu"), None)
        if device is not None:
            return self._run_on(device, args)
        return [Tensor(v) for v in self.plan.run(self._views(args), ())]

    def _run_on(self, name: str, args: Sequence[Any]) -> list[Tensor]:
        """On the device on which the arguments are: a Plan for each set of shapes."""
        if len(args) != len(self.inputs):
            raise ShapeError(f"{len(self.inputs)} inputs expected ({', '.join(n for n, _ in self.inputs)}), got {len(args)}")
        given = [as_tensor(a) for a in args]
        key = (name, tuple(t.shape for t in given))
        plan = self.device_plans.get(key)
        if plan is None:
            from .device_plan import DevicePlan, concrete

            plan = self.device_plans[key] = DevicePlan(concrete(self.graph, [t.spec for t in given]), DEPLOY, device_named(name))
        return [Tensor(cast(Any, v)) for v in plan.run(given)]

    def report(self, *args: Any, profile: bool = False, repeat: int = 20, ceilings: Mapping[str, Any] | None = None) -> Report:
        """A row a call: op, layer, kernel row, shapes. With `profile` also the median nanoseconds over `repeat` runs, `flops`, `bytes` (every operand and
        result once) and `weight_bytes` among them; with `ceilings`, as bench.ceilings.measure returns them, `share`: the least time that the limit
        `bound_by` allows, over the time taken. Printed, it is a table."""
        views = self._views(args)
        self.plan.run(views, ())
        if not profile:
            return Report({**call} for call in self.plan.calls)
        times: Any = np.median([self.plan.run(views, (), True)[1] for _ in range(repeat)], axis=0)
        rows = Report({**call, "ns": int(ns)} for call, ns in zip(self.plan.calls, times))
        plan, sizes = schedule(self.lowered), sizes_of(self.lowered, [v.shape for v in views])
        for row, call in zip(rows, plan.calls, strict=True):
            row |= cost(call, sizes)
        if ceilings is not None:
            add_shares(rows, ceilings, memory(plan, sizes, self.weight_bytes, self.plan.arena)["peak"])
        return rows

    @property
    def weight_bytes(self) -> int:
        """Of the constants, as they lie in the file."""
        return len(sections(self.file).get(SECTIONS["weights"], b""))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a `.accel` file: graph, plan and weights (beside, then renamed); by a name that ends in `.onnx`, an ONNX file, as save_onnx does."""
        if os.fspath(path).endswith(".onnx"):
            from ..formats.onnx.writer import write

            return write(self.graph, path)
        beside = Path(f"{os.fspath(path)}.part")
        beside.write_bytes(self.file)
        beside.replace(path)

    def __repr__(self) -> str:
        ports = [", ".join(f"{n}: {s}" for n, s in ports) for ports in (self.inputs, self.outputs)]
        return f"Model({ports[0]} -> {ports[1]}; {self.plan.n_calls} calls, {len(self.file):,} bytes)"


def _shared(x: Any, spec: Spec) -> Tensor:
    """Arrays that are already what the plan wants are read where they lie; everything else is copied."""
    if isinstance(x, (np.ndarray, np.generic)) and (x.dtype == np.float32 or x.dtype.kind in "iub" or x.dtype == spec.dtype.storage):
        return asarray(np.ascontiguousarray(x) if x.ndim else np.asarray(x))
    return as_tensor(x)


def freeze(net: Any, example: Any, dynamic_batch: bool = True, upper: int = 0) -> Model:
    """A Module (or function of tensors) as a Model: traced in eval mode on `example` (Tensor, array, or a tuple of them), parameters copied as constants.

    With dynamic_batch the first dimension of every input becomes the dim "N" (at most `upper`, where given), so that one plan serves every batch."""
    if isinstance(net, Model):
        return net
    examples = [as_tensor(x) for x in (example if isinstance(example, (tuple, list)) else (example,))]
    specs = [t.spec for t in examples]
    if dynamic_batch:
        sizes: set[Any] = {s.shape[0] for s in specs if s.shape}
        n = Size.of(Dim("N", hint=max(int(max(sizes, default=2)), 1), lower=0, upper=upper))
        specs = [Spec((n, *s.shape[1:]), s.dtype) if s.shape else s for s in specs]
    modules = [(m, m.training) for m in net.modules()] if hasattr(net, "modules") else []
    for m, _ in modules:
        m.training = False
    try:
        with no_grad():
            graph, _, _ = trace(net, specs)
    finally:
        for m, training in modules:
            m.training = training
    if graph.updates:
        raise GraphError("freeze: the traced function changes tensors (random numbers, running statistics?); a Model cannot")

    def constants(node: Node, _: Any) -> Any:
        return [Value(Node("constant", (), {}, node.outputs, node.label, data=_copy(node.data)))] if node.op == "state" else None

    return Model(rewrite(graph, constants))


def _copy(t: Tensor) -> Tensor:
    fresh = tensor(t.to("cpu").numpy(), t.dtype)
    fresh.literal = True
    return fresh


def save(model: Model, path: str | os.PathLike[str]) -> None:
    model.save(path)
