"""Tensor: memory with a shape and a dtype, and the place that it has on the tape."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from .. import _C
from .dims import Shape, product
from .dtypes import BFLOAT16, DType, as_dtype, from_bfloat16, to_bfloat16
from .errors import DeviceError, DTypeError, GraphError, ShapeError
from .graph import Spec, Value
from .methods import Methods
from .registry import OPS

# What goes on in this thread: `mode.trace`, the Trace that records or None; `mode.grad`, whether a tape is kept.
mode = _C.mode


def _no_method(view: Any, *shape: Any) -> Any:
    raise TypeError(f"x.view is a tensor's memory, not torch's method: write x.reshape{_flat(shape)}, which copies only where it must")


_C.View.__call__ = _no_method  # type: ignore[method-assign]


@contextlib.contextmanager
def no_grad() -> Iterator[None]:
    """Inside, no tape is kept."""
    before, mode.grad = mode.grad, False
    try:
        yield
    finally:
        mode.grad = before


@contextlib.contextmanager
def enable_grad() -> Iterator[None]:
    before, mode.grad = mode.grad, True
    try:
        yield
    finally:
        mode.grad = before


class Tensor(_C.TensorBase, Methods):
    """An n-dimensional array on a device.

    `view` is its memory (None while tracing: then it only has a Spec). Arithmetic, comparison and indexing follow numpy's broadcasting and torch's
    names. Only `assign` changes memory in place. The fields and the operators stand in csrc/bindings/tensor.cpp: a call of an op reads them there."""

    __slots__ = ()
    __array_priority__ = 100  # numpy_array * tensor is ours

    # What it is

    @property
    def spec(self) -> Spec:
        if self._spec is None:
            self._spec = self.node.outputs[self.index] if self.view is None and self.node else Spec(self.view.shape, DType(self.view.dtype))
        return self._spec

    @property
    def shape(self) -> Shape:
        return self.spec.shape

    @property
    def dtype(self) -> DType:
        return self.spec.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def device(self) -> str:
        """"cpu", "cuda", "cuda:1", "emu"; of a traced tensor, where the recording is for."""
        if self.view is None:
            return "cpu" if mode.trace is None else mode.trace.device
        return "cpu" if type(self.view) is _C.View else self.view.device.name

    @property
    def is_traced(self) -> bool:
        return self.view is None

    def numel(self) -> int:
        return product(self.shape)  # type: ignore[return-value]

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def __len__(self) -> int:
        if not self.shape:
            raise ShapeError("len() of a 0-dimensional tensor")
        return self.shape[0]  # type: ignore[return-value]

    # The tape

    @property
    def grad(self) -> Tensor | None:
        """What backward() has accumulated here (during a trace: what it will)."""
        return self._grad if mode.trace is None else mode.trace.grads.get(id(self))

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if mode.trace is None:
            self._grad = value
        else:
            mode.trace.set_grad(self, value)

    @property
    def value(self) -> Value:
        """The graph's name for a traced tensor."""
        if self.node is None:
            raise GraphError("this tensor is not part of a graph")
        return Value(self.node, self.index)

    def backward(self, gradient: Tensor | None = None) -> None:
        """Adds d(self)/d(leaf), times `gradient` (default 1, for a single element), to `.grad` of every leaf that requires it."""
        from .autograd import backward

        backward(self, gradient)

    def detach(self) -> Tensor:
        """The same memory without the tape."""
        return apply("detach", self) if self.is_traced else Tensor(self.view)

    def requires_grad_(self, on: bool = True) -> Tensor:
        if on and not self.dtype.is_float:
            raise DTypeError(f"only floating-point tensors have gradients, not {self.dtype.name}")
        self.requires_grad = on
        return self

    # Out of accelnn

    def _concrete(self, what: str) -> Any:
        if self.view is None:
            raise GraphError(f"{what} asks for the value of a traced tensor, which does not exist until the Plan runs; keep it outside the compiled function")
        return self.view

    def numpy(self, raw: bool = False) -> np.ndarray:
        """The elements as a numpy array that shares memory; bfloat16 is widened to a float32 copy, or given as uint16 with raw=True."""
        view = self._concrete(".numpy()")
        if type(view) is not _C.View:
            raise DeviceError(f".numpy() of a tensor on {view.device.name} cannot share its memory: write .cpu().numpy()")
        if view.dtype == DType.bfloat16 and not raw:
            return (view.numpy().astype(np.uint32) << 16).view(np.float32)
        return view.numpy()

    def item(self) -> Any:
        """The only element as a Python number."""
        if self._concrete(".item()") and type(self.view) is not _C.View:
            return self.to("cpu").item()
        array = self.numpy()
        if array.size != 1:
            raise ShapeError(f"item() needs exactly one element, not {self.spec}")
        return array.reshape(()).item()

    def tolist(self) -> Any:
        return self.to("cpu").numpy().tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __bool__(self) -> bool:
        self._concrete("bool()")
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __dlpack__(self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None) -> Any:
        from .exchange import dlpack

        return dlpack(Tensor(self._concrete("DLPack export")), stream, max_version, dl_device, copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        from .exchange import dlpack_device

        return dlpack_device(self._concrete("DLPack export"))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        from .exchange import interface

        return interface(self)

    def __repr__(self) -> str:
        if self.view is None:
            return f"Tensor(traced {self.spec})"
        body = np.array2string(self.detach().to("cpu").numpy(), separator=", ", prefix="tensor(")
        extra = "" if self.dtype == DType.float32 else f", dtype={self.dtype!r}"
        extra += "" if self.device == "cpu" else f", device={self.device!r}"
        return f"tensor({body}{extra}{', requires_grad=True' if self.requires_grad else ''})"

    # In place

    def assign(self, value: Any) -> Tensor:
        """Overwrites this tensor's memory with `value` (same shape, dtype). The only mutation: a backward pass that saved the old contents raises;
        in a trace the Plan writes the tensor's own buffer when it ends."""
        value = as_tensor(value, self.dtype)
        if value.spec != self.spec:
            raise ShapeError(f"assign: {value.spec} does not fit {self.spec}")
        if mode.trace is not None:
            mode.trace.assign(self, value)
            return self
        if self.node is not None:
            raise GraphError("assign: this tensor is the result of an operation on the tape; assign to a leaf, or detach() it first")
        if type(self.view) is _C.View and type(value.view) is _C.View:
            _C.call_into(OPS["copy"].number, (value.view,), OPS["copy"].packed({}, 1), (self.view,))
        else:
            from .remote_call import copy_into, moved

            copy_into(moved(value, self.device), self.view)
        self.view.bump()
        return self

    # Shapes

    def reshape(self, *shape: Any) -> Tensor:
        """One size may be -1."""
        return apply("reshape", self, shape=_resolve(self, _flat(shape)))

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        start, end = _axis(start_dim, self.ndim), _axis(end_dim, self.ndim)
        return self.reshape(*self.shape[:start], product(self.shape[start : end + 1]), *self.shape[end + 1 :])

    def permute(self, *axes: Any) -> Tensor:
        return apply("permute", self, axes=tuple(_axis(a, self.ndim) for a in _flat(axes)))

    def transpose(self, a: int, b: int) -> Tensor:
        axes = list(range(self.ndim))
        a, b = _axis(a, self.ndim), _axis(b, self.ndim)
        axes[a], axes[b] = axes[b], axes[a]
        return self.permute(axes)

    @property
    def mT(self) -> Tensor:  # noqa: N802 (torch's name)
        """The last two dimensions exchanged."""
        return self.transpose(-1, -2)

    @property
    def T(self) -> Tensor:  # noqa: N802
        return self.permute(tuple(reversed(range(self.ndim))))

    def expand(self, *shape: Any) -> Tensor:
        return apply("expand", self, shape=_flat(shape))

    def unsqueeze(self, dim: int) -> Tensor:
        at = dim + self.ndim + 1 if dim < 0 else dim
        return self.reshape(*self.shape[:at], 1, *self.shape[at:])

    def squeeze(self, dim: int) -> Tensor:
        at = _axis(dim, self.ndim)
        return self.reshape(*self.shape[:at], *self.shape[at + 1 :]) if self.shape[at] == 1 else self

    def contiguous(self) -> Tensor:
        return self if self.view is not None and self.view.contiguous else apply("copy", self)

    def clone(self) -> Tensor:
        return apply("copy", self)

    def to(self, *to: Any, device: Any = None, dtype: Any = None) -> Tensor:
        """Another element type, another device ("cpu", "cuda", "cuda:1", "emu"), or both; the tensor itself where nothing changes. Gradients flow back
        to where they came from. In a trace a device says nothing: where a Plan runs is told when it is bound."""
        for what in to:
            if isinstance(what, str) and what.partition(":")[0] in DEVICES:
                device = what
            else:
                dtype = what
        y = self if device is None or device == self.device or self.is_traced else _move(self, device)
        return y if dtype is None or as_dtype(dtype) == y.dtype else apply("cast", y, dtype=as_dtype(dtype))

    def cuda(self, device: int = 0) -> Tensor:
        """On GPU number `device`."""
        return self.to(f"cuda:{device}" if device else "cuda")

    def float(self) -> Tensor:
        return self.to(DType.float32)

    def __getitem__(self, key: Any) -> Tensor:
        from .indexing import index

        return index(self, key)

    # Operators

    def __neg__(self) -> Tensor:
        return apply("neg", self)

    # Reductions

    def sum(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        return _reduce(self, "sum", dim, keepdim)

    def mean(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        return _reduce(self, "mean", dim, keepdim)

    def max(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        return _reduce(self, "max", dim, keepdim)

    def min(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        return _reduce(self, "min", dim, keepdim)

    # Functions

    def exp(self) -> Tensor:
        return apply("exp", self)

    def log(self) -> Tensor:
        return apply("log", self)

    def sqrt(self) -> Tensor:
        return apply("sqrt", self)

    def abs(self) -> Tensor:
        return apply("abs", self)

    def tanh(self) -> Tensor:
        return apply("tanh", self)

    def sigmoid(self) -> Tensor:
        return apply("sigmoid", self)

    def relu(self) -> Tensor:
        return apply("relu", self)

    def softmax(self, dim: int = -1) -> Tensor:
        axis = _axis(dim, self.ndim)
        return apply("softmax", self) if axis == self.ndim - 1 else apply("softmax_axis", self, axis=axis, log=0)


def _flat(args: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(args[0]) if len(args) == 1 and isinstance(args[0], (tuple, list)) else tuple(args)


def _axis(axis: int, ndim: int) -> int:
    if not -ndim <= axis < ndim:
        raise ShapeError(f"dimension {axis} of a tensor with {ndim} dimensions")
    return axis % ndim


def _resolve(x: Tensor, shape: Shape) -> Shape:
    """Replaces a -1 by what is left."""
    if sum(1 for s in shape if isinstance(s, int) and s == -1) > 1:
        raise ShapeError(f"reshape to {shape}: only one size may be -1")
    known: Any = 1
    for s in shape:
        known = known * (1 if isinstance(s, int) and s == -1 else s)
    if not any(isinstance(s, int) and s == -1 for s in shape):
        return shape
    if isinstance(known, int) and (known == 0 or x.numel() % known != 0):
        raise ShapeError(f"reshape: {x.spec} does not divide into {shape}")
    return tuple(x.numel() // known if isinstance(s, int) and s == -1 else s for s in shape)


def _reduce(x: Tensor, kind: str, dim: Any, keepdim: bool) -> Tensor:
    dims = range(x.ndim) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
    if kind == "sum" and (not x.dtype.is_float or x.dtype == DType.float64):
        from .count import count

        return count(x, sorted(_axis(d, x.ndim) for d in dims), keepdim)
    return apply(kind, x, axes=tuple(sorted(_axis(d, x.ndim) for d in dims)), keepdim=bool(keepdim))


# Into accelnn


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False, device: str = "cpu") -> Tensor:
    """A Tensor with a copy of `data` (numbers, nested lists, numpy arrays, tensors). Python floats and float64 become float32, ints int64."""
    if not isinstance(data, (np.ndarray, list, tuple, int, float, Tensor)) and _is_on_gpu(data):
        data = asarray(data)
    if device != "cpu":
        if isinstance(data, Tensor) and data.device != "cpu":
            moved = Tensor(data.view).to(device=device, dtype=data.dtype if dtype is None else dtype)
            return Tensor((moved.clone() if moved.view.storage is data.view.storage else moved).view).requires_grad_(requires_grad)
        return tensor(data, dtype).to(device=device).requires_grad_(requires_grad)
    if isinstance(data, Tensor):
        data = data.to("cpu")
        data = data.numpy(raw=True) if dtype is None and data.dtype == DType.bfloat16 else data.numpy()
    array = np.asarray(data)
    if array.dtype == BFLOAT16 or array.dtype.name == "bfloat16":
        array, dtype = from_bfloat16(array.view(np.uint16)), DType.bfloat16 if dtype is None else dtype
    if dtype is None:
        dtype = DType.float32 if array.dtype.kind == "f" and array.dtype != np.float16 else None
    target = as_dtype(array.dtype if dtype is None else dtype)
    if target == DType.bfloat16:
        return Tensor(_share(to_bfloat16(array.astype(np.float32)).view(np.uint16), target)).requires_grad_(requires_grad)
    if array.dtype.kind not in "fiub":
        raise DTypeError(f"tensor(): cannot hold {array.dtype} ({type(data).__name__})")
    fresh = _C.View.empty(array.shape, target)
    fresh.numpy()[...] = array
    return Tensor(fresh).requires_grad_(requires_grad) if requires_grad else Tensor(fresh)


def asarray(data: Any) -> Tensor:
    """A Tensor that shares the memory of a numpy array (any strides that are not negative), or of an array on a GPU (CuPy, numba, torch), and keeps it
    alive."""
    if isinstance(data, Tensor):
        return data
    if type(data) is not np.ndarray and _is_on_gpu(data):
        from .exchange import shared

        return shared(data)
    array = np.asarray(data)
    return Tensor(_share(array, as_dtype(array.dtype)))


def _is_on_gpu(data: Any) -> bool:
    if not hasattr(data, "__cuda_array_interface__") and not hasattr(data, "__dlpack_device__"):
        return False
    from .exchange import is_on_gpu

    return is_on_gpu(data)


def _share(array: np.ndarray, dtype: DType) -> Any:
    return _C.View.share(array, dtype)


def from_dlpack(source: Any) -> Tensor:
    """A Tensor that shares the memory of any object with `__dlpack__` (torch, numpy, CuPy, jax ...), on the CPU or on a GPU."""
    if not hasattr(source, "__dlpack__"):
        raise DTypeError(f"from_dlpack: {type(source).__name__} has no __dlpack__")
    from .exchange import from_dlpack

    return from_dlpack(source)


def full(shape: Sequence[int], value: float, dtype: Any = DType.float32, requires_grad: bool = False, device: str = "cpu") -> Tensor:
    """A tensor with `value` everywhere."""
    dtype = as_dtype(dtype)
    if device != "cpu":
        return full((), value, dtype).to(device=device).expand(*shape).clone().requires_grad_(requires_grad)
    if dtype == DType.bfloat16:
        return full(shape, value).to(dtype).requires_grad_(requires_grad)
    view = _C.View.empty(shape, dtype)
    view.numpy()[...] = value
    return Tensor(view).requires_grad_(requires_grad)


def zeros(*shape: Any, dtype: Any = DType.float32, requires_grad: bool = False, device: str = "cpu") -> Tensor:
    return full(_flat(shape), 0, dtype, requires_grad, device)


def ones(*shape: Any, dtype: Any = DType.float32, requires_grad: bool = False, device: str = "cpu") -> Tensor:
    return full(_flat(shape), 1, dtype, requires_grad, device)


DEVICES = ("cpu", "cuda", "emu")  # kinds; "cuda:1" is a second GPU


def _move(x: Tensor, device: str) -> Tensor:
    """A copy on another device; on the tape, where x is."""
    from .questions import tape
    from .remote_call import moved

    if mode.trace is not None and device != "cpu":
        if mode.grad and x.requires_grad:
            raise GraphError(f"to({device!r}) of {x.spec}, which requires a gradient, in a traced function: no gradient would flow back; move it outside")
        mode.trace.copies.append((x, x.view.version))
    y = Tensor(moved(x, device))
    if mode.grad and (x.requires_grad or x.node is not None):
        tape("move", (x,), {"device": device}, (y,))
    return y


def check_device(device: str) -> None:
    """DeviceError unless `device` is there."""
    if device != "cpu":
        from .remote import device_named

        device_named(device)


@lru_cache(maxsize=1024)
def _literal(x: float, dtype: DType, sign: float) -> Tensor:
    """`sign` tells 0.0 and -0.0 apart, which are equal as cache keys."""
    return Tensor(tensor(x, dtype).view, literal=True)


def as_tensor(x: Any, like: DType | None = None) -> Tensor:
    """Tensors as they are; numbers as 0-dimensional literals of dtype `like` (floats of an integer tensor: float32); arrays are copied."""
    if isinstance(x, Tensor):
        return x
    if isinstance(x, (bool, int, float, np.generic)) or (isinstance(x, np.ndarray) and x.ndim == 0):
        number = x.item() if isinstance(x, (np.generic, np.ndarray)) else x
        if like is None or (isinstance(number, float) and not like.is_float):
            like = DType.float32
        return _literal(number, like, math.copysign(1.0, number))
    if isinstance(x, (np.ndarray, list, tuple)):
        t = tensor(x)
        t.literal = True
        return t
    raise DTypeError(f"expected a Tensor, a number or an array, not {type(x).__name__}")


def apply_all(name: str, *inputs: Any, **attrs: Any) -> tuple[Tensor, ...]:
    """Calls an op: the one door for eager computation and tracing. None stands for an operand that is left out."""
    y = OPS[name].call(*inputs, **attrs)
    return y if isinstance(y, tuple) else (y,)


def apply(name: str, *inputs: Any, **attrs: Any) -> Tensor:
    """The first output of apply_all."""
    y = OPS[name].call(*inputs, **attrs)
    return y[0] if isinstance(y, tuple) else y  # type: ignore[no-any-return]


__all__ = ["Tensor", "apply", "apply_all", "as_tensor", "asarray", "enable_grad", "from_dlpack", "full", "mode", "no_grad", "ones", "tensor",
           "zeros"]  # fmt: skip
