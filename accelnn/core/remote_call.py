"""One op call on a device: a window, the first row of the op's table that takes it, or the op's composition. Never another device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any, cast

from .. import _C
from .cuda_rows import CudaRow
from .dims import product
from .dispatch import operands
from .dtypes import DType
from .errors import AliasError, DeviceError, KernelError
from .graph import Spec
from .kernel_files import files
from .registry import KERNELS, OPS, Op
from .remote import Device, Remote
from .row_modules import row_module, triton_is_here
from .tensor import Tensor, mode, no_grad

OTHERWISE: dict[str, Callable[[Any], Any]] = {"integer": int, "real": float, "integers": lambda _: ()}


class DeviceCall:
    """What a row is given (kernels/launch.py, Call)."""

    recorded = False  # whether its launches are kept and done later, at addresses that are not known yet

    __slots__ = ("attrs", "device", "inputs", "outputs")

    def __init__(self, device: Device, inputs: Sequence[Any], outputs: Sequence[Remote], attrs: dict[str, Any]) -> None:
        self.device, self.inputs, self.outputs, self.attrs = device, tuple(inputs), tuple(outputs), attrs

    def launch(self, kernel: Any, grid: Sequence[int], *args: Any, warps: int = 4, stages: int = 2, **constants: Any) -> None:
        sizes = (*grid, 1, 1)[:3]
        if 0 not in sizes:
            self.device.launch(kernel, sizes, args, constants, warps, stages)

    def scratch(self, shape: Sequence[int], dtype: Any) -> Remote:
        return Remote.empty(self.device, shape, dtype)


class TableRow:
    """A TRITON line of an op's table, with its function, which is imported when it is first asked for, or a CUDA line (`where` is empty)."""

    def __init__(self, name: str, where: str, dtype: str, exactness: str, number: int = -1) -> None:
        self.number = number
        self.name, self.where, self.dtype, self.exactness = name, where, DType(_C.dtypes.index(dtype)), exactness

    @property
    def row(self) -> Any:
        if not self.where:
            return CudaRow(self.number, self.name)
        module, _, function = self.where.partition(":")
        return getattr(row_module(module), function)

    def why_not(self, call: DeviceCall) -> str | None:
        """Why it does not take this call, or None."""
        first = call.inputs[0] if call.inputs else None
        if first is not None and first.dtype != self.dtype:
            return "made for another dtype"
        reason: str | None = self.row.refuse(call)
        return reason


@cache
def rows_of(kernel: str) -> tuple[TableRow, ...]:
    """The device rows of a kernel's table, best first."""
    number = KERNELS[kernel]["number"]
    return tuple(TableRow(**r, number=number) for r in _C.device_rows(number))


def chosen(kernel: str, call: DeviceCall) -> TableRow | None:
    """The first row of the table that takes the call; a CUDA row before one of Triton's whose kernels nobody here can compile or has compiled."""
    taking = (row for row in rows_of(kernel) if row.why_not(call) is None)
    first = next(taking, None)
    if first is not None and first.where and not has_compiled():
        return next((row for row in taking if not row.where), first)
    return first


def has_compiled() -> bool:
    """Whether there is Triton, or a file of what it compiled."""

    return triton_is_here() or bool(files())


def kernel_of(op: Op) -> str:
    return op.kernel or "pointwise"


def attributes(op: Op, attrs: dict[str, Any], n_inputs: int) -> dict[str, Any]:
    """The kernel's attributes by name, with what the table says of those that were not given."""
    return kernel_attributes(kernel_of(op), op.kernel_attrs(attrs, n_inputs))


def kernel_attributes(kernel: str, given: dict[str, Any]) -> dict[str, Any]:
    return {a["name"]: given[a["name"]] if a["name"] in given else OTHERWISE[a["kind"]](a["default"]) for a in KERNELS[kernel]["attrs"]}


def device_of(views: Sequence[Any]) -> Device | None:
    """The device of the first operand that is on one."""
    return next((v.device for v in views if isinstance(v, Remote)), None)


@lru_cache(maxsize=1024)
def _literal(x: Tensor, device: Any) -> Remote:
    return Remote.of(device, x.view.numpy(), x.dtype)


def placed(name: str, x: Tensor | None, device: Device) -> Any:
    """The operand's window on the device. From the host come literals, and single numbers, however often they are repeated."""
    if x is None:
        return None
    view = x.view
    if isinstance(view, Remote):
        if view.device is not device:
            raise DeviceError(f"{name}: operands on {device.name} and on {view.device.name}; move one with .to(...)")
        return view
    if x.literal:
        return _literal(x, device)  # type: ignore[arg-type]
    if not any(view.stride) or product(view.shape) == 1:
        one = view.strided((1,) * len(view.shape), view.stride)
        return Remote.of(device, one.numpy(), x.dtype).strided(view.shape, (0,) * len(view.shape))
    raise DeviceError(f"{name}: operands on {device.name} and on cpu ({x.spec}); move one with .to({device.name!r})")


def call(op: Op, inputs: Sequence[Tensor | None], attrs: dict[str, Any]) -> Any:
    """Runs an op of which an operand is on a device. A Tensor, or a tuple of them."""
    from .questions import tape

    device = device_of([x.view for x in inputs if x is not None])
    assert device is not None
    views = [placed(op.name, x, device) for x in inputs]
    outputs = op.specs([None if v is None else Spec(v.shape, v.dtype) for v in views], attrs)
    made = tuple(Tensor(cast(Any, v)) for v in run(op, views, attrs, outputs, device))
    if mode.grad and any(x is not None and (x.requires_grad or x.node is not None) for x in inputs):
        tape(op.name, tuple(Tensor(v) if x is not None and not isinstance(x.view, Remote) else x for x, v in zip(inputs, views)), attrs, made)
    return made if len(made) > 1 else made[0]


def run(op: Op, views: Sequence[Any], attrs: dict[str, Any], outputs: tuple[Spec, ...], device: Device, into: Sequence[Remote] = ()) -> Sequence[Remote]:
    """The output windows of a call on operands that are all there; with `into`, a row writes there, and an op's view or composition elsewhere."""
    if op.view is not None:
        return [window(op, views[0], attrs, outputs[0])]
    if not all(w.writable for w in into):
        raise AliasError(f"{op.name}: an output is read-only")
    made = list(into) or [Remote.empty(device, s.shape, s.dtype) for s in outputs]
    if not any(product(s.shape) for s in outputs):
        return made
    if op.name == "copy" and views[0].contiguous and hasattr(device, "duplicate"):
        cast(Any, device).duplicate(views[0], made[0])  # the driver's own copy: no kernel to be compiled for it
        return made
    question = DeviceCall(device, operands(op, views, outputs, attrs), made, attributes(op, attrs, len(views)))
    row = chosen(kernel_of(op), question)
    if row is not None:
        row.row.run(question)
        return made
    if op.composition is not None:
        with no_grad():
            y = op.composition(*[None if v is None else Tensor(v) for v in views], **attrs)
        return [t.contiguous().view for t in (y if isinstance(y, (tuple, list)) else (y,))]
    said = "; ".join(f"{r.name}: {r.why_not(question)}" for r in rows_of(kernel_of(op)))
    raise KernelError(f"{op.name}: no row of {kernel_of(op)} takes this call on {device.name} ({said or 'it has none for devices'}), and the op "
                      f"has no composition; compute it on the host: .cpu()")  # fmt: skip


def window(op: Op, source: Remote, attrs: dict[str, Any], output: Spec) -> Remote:
    """What an op that is a view makes of its operand; of a copy, where strides cannot say it."""
    assert op.view is not None
    found = op.view(source.shape, source.stride, output.shape, attrs)
    if found is None:
        source = compact(source)
        found = op.view(source.shape, source.stride, output.shape, attrs)
        assert found is not None, f"{op.name} has no view of contiguous memory"
    return source.strided(*found)


def compact(view: Remote) -> Remote:
    """The same elements in row-major order."""
    if view.contiguous:
        return view
    return run(OPS["copy"], [view], {}, (Spec(view.shape, view.dtype),), view.device)[0]


def copy_into(source: Remote, target: Remote) -> None:
    """Overwrites a window's elements by those of another of its shape and dtype."""
    if not target.writable:
        raise AliasError("copy: an output is read-only")
    question = DeviceCall(target.device, (source,), (target,), attributes(OPS["copy"], {}, 1))
    for row in rows_of("copy"):
        if product(target.shape) and row.why_not(question) is None:
            row.row.run(question)
            return
    if product(target.shape):
        raise KernelError(f"copy: no row takes {source.dtype.name}{source.shape} on {target.device.name}")


def moved(x: Tensor, name: str) -> Any:
    """The view of x on the device of that name; x's own where it is there already."""
    view = x.view
    if name == "cpu":
        if not isinstance(view, Remote):
            return view
        return _C.View.share(view.numpy(), view.dtype)
    from .remote import device_named

    device = device_named(name)
    if isinstance(view, Remote):
        return view if view.device is device else Remote.of(device, view.numpy(), x.dtype)
    return Remote.of(device, view.numpy(), x.dtype)
