"""What csrc/bindings gives to Python. tests/test_import.py holds this file and the extension together."""

from collections.abc import Sequence
from typing import Any, Literal, NotRequired, TypedDict, overload

import numpy as np
import numpy.typing as npt

from .core.graph import Spec
from .core.tensor import Tensor

Buffer = bytes | bytearray | memoryview | np.ndarray[Any, Any]  # of bytes, without gaps

Shape = tuple[int, ...]
Operands = tuple[View | None, ...]

class Attribute(TypedDict):
    name: str
    kind: Literal["integer", "real", "integers"]
    default: float

class Row(TypedDict):
    name: str
    isa: int  # bits of csrc/runtime/isa.h, all of them needed
    dtype: str  # of the first input; one of `dtypes`
    exactness: Literal["reference", "exact", "gamma_k", "ulps"]
    device: Literal["cpu", "cuda"]
    tile: tuple[int, int]
    runs_here: bool

class DeviceRow(TypedDict):
    name: str
    where: str  # Triton: module:function; CUDA: empty
    dtype: str
    exactness: str

class OpTable(TypedDict):
    number: int
    name: str
    min_in: int
    max_in: int
    max_out: int
    attrs: list[Attribute]
    rows: list[Row]

class Memory(TypedDict):
    live: int
    cached: int
    system_calls: int

class Machine(TypedDict):
    cpu: str
    isa: int  # capped by ACCELNN_ISA
    detected: int
    levels: dict[str, int]
    l1: int
    l2: int
    l3: int
    threads: int
    problem: str | None
    memory: Memory

class Port(TypedDict):
    name: str
    dtype: int
    shape: tuple[Any, ...]  # int, the name of a dim, or None for an expression
    written: bool

class PlanCall(TypedDict):
    op: str
    label: str
    row: str
    inputs: list[str]
    outputs: list[str]
    ns: NotRequired[int]

class View:
    """A strided window on memory: the C++ half of a Tensor. Strides and offsets count elements."""

    @staticmethod
    def empty(shape: Sequence[Any], dtype: int) -> View: ...
    @staticmethod
    def share(array: npt.NDArray[Any], dtype: int) -> View: ...
    @staticmethod
    def from_dlpack(capsule: Any) -> View: ...
    def dlpack(self, versioned: bool = False, copied: bool = False) -> Any: ...
    def numpy(self) -> np.ndarray[Any, Any]: ...
    def strided(self, shape: Sequence[Any], stride: Sequence[Any], offset: int = 0) -> View: ...
    def bump(self) -> None: ...
    @property
    def shape(self) -> Shape: ...
    @property
    def stride(self) -> Shape: ...
    @property
    def dtype(self) -> int: ...
    @property
    def contiguous(self) -> bool: ...
    @property
    def writable(self) -> bool: ...
    @property
    def address(self) -> int: ...
    @property
    def version(self) -> int: ...
    @property
    def lent(self) -> int: ...

class TensorBase:
    """The fields and operators of accelnn.Tensor (csrc/bindings/tensor.cpp)."""

    view: Any  # View, or None while tracing
    node: Any  # Node, or None
    index: int
    requires_grad: bool
    literal: bool
    _grad: Tensor | None
    _spec: Spec | None
    def __init__(self, view: View | None, node: Any = None, index: int = 0, requires_grad: bool = False, literal: bool = False) -> None: ...
    def __add__(self, other: Any) -> Tensor: ...
    def __radd__(self, other: Any) -> Tensor: ...
    def __sub__(self, other: Any) -> Tensor: ...
    def __rsub__(self, other: Any) -> Tensor: ...
    def __mul__(self, other: Any) -> Tensor: ...
    def __rmul__(self, other: Any) -> Tensor: ...
    def __truediv__(self, other: Any) -> Tensor: ...
    def __rtruediv__(self, other: Any) -> Tensor: ...
    def __matmul__(self, other: Any) -> Tensor: ...
    def __rmatmul__(self, other: Any) -> Tensor: ...
    def __pow__(self, other: Any) -> Tensor: ...
    def __rpow__(self, other: Any) -> Tensor: ...
    def __lt__(self, other: Any) -> Tensor: ...
    def __le__(self, other: Any) -> Tensor: ...
    def __gt__(self, other: Any) -> Tensor: ...
    def __ge__(self, other: Any) -> Tensor: ...
    def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]  # elementwise, as numpy does it
    def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]
    def __hash__(self) -> int: ...

class Mode:
    """The switches of this thread."""

    trace: Any  # the Trace that records, or None
    grad: bool

class Caller:
    """An op as a function of Tensors (csrc/bindings/caller.cpp): one Tensor, or a tuple where the op has several outputs."""

    __name__: str
    def __init__(self, name: str) -> None: ...
    def __call__(self, *inputs: Any, **attrs: Any) -> Any: ...

class Attrs:
    """The attributes of a call, packed for one op."""

    def __init__(self, op: int, values: dict[str, Any]) -> None: ...

Window = tuple[int, Shape, Shape, int] | None  # address, shape, strides, dtype
Launch = tuple[str, str, tuple[int, int, int], int, int, bytes, int]  # image, entry, grid, threads, shared, arguments, addresses at their beginning

OperandSpec = tuple[Sequence[Any], Sequence[Any] | None, int] | None  # shape, strides (None: contiguous), dtype

class Bound:
    """A prepared call of an op: checked once, then called with the addresses of its operands, inputs before outputs."""

    def __new__(cls, op: int, inputs: tuple[OperandSpec, ...], attrs: dict[str, Any], outputs: tuple[OperandSpec, ...]) -> Bound: ...
    def __call__(self, *addresses: int) -> None: ...
    @property
    def row(self) -> str: ...
    @property
    def workspace(self) -> int: ...

class Route:
    """Prepared calls on one weight. route(x, weight, ..., flag): the result of the one that fits, or None where anything is not as it was."""

    def __call__(self, *operands: Any) -> Any: ...
    def add(self, operands: tuple[Any, ...], bound: Bound, shape: Shape, version: int, flag: int, large: bool, sample_bytes: int, address: int,
            owner: Any, /) -> None: ...  # fmt: skip

class Plan:
    """A compiled graph, bound to this machine when it first runs."""

    def __init__(self, bytes: Buffer | View, mapped: bool = False) -> None: ...
    @overload
    def run(self, inputs: tuple[View, ...], states: tuple[View, ...], profile: Literal[False] = False) -> tuple[View, ...]: ...
    @overload
    def run(self, inputs: tuple[View, ...], states: tuple[View, ...], profile: Literal[True]) -> tuple[tuple[View, ...], list[int]]: ...
    def ports(self, kind: int) -> list[Port]: ...
    def graph(self) -> bytes: ...
    @property
    def calls(self) -> list[PlanCall]: ...
    @property
    def arena(self) -> int: ...  # bytes of the last run's temporaries and workspace
    @property
    def n_calls(self) -> int: ...
    @property
    def ops(self) -> list[str]: ...

class Runner:
    """A Plan as a function of Tensors. Calls that `remember` was not told of, or no longer holds for, go to `slow`, those by name to `slow_feed`."""

    def __init__(self, slow: Any, slow_feed: Any = None) -> None: ...
    def __call__(self, *inputs: Any) -> Any: ...
    def run(self, feed: Any, /) -> dict[str, Tensor]: ...
    def remember(self, plan: Plan, states: tuple[View, ...], inputs: Sequence[View] | None, grad: bool = False,
                 versions: list[View] = ..., flags: list[tuple[Any, bool]] = ..., places: list[tuple[Tensor, View]] = ...) -> None: ...

class CudaDevice(TypedDict):
    name: str
    arch: str  # "sm_90"
    units: int  # streaming multiprocessors
    warp: int
    threads_per_block: int
    threads_per_unit: int
    shared: int  # bytes that one block may ask for
    shared_without_asking: int
    shared_per_unit: int
    l2: int
    memory: int
    clock_khz: int
    memory_clock_khz: int
    memory_bus_bits: int
    cooperative: bool
    clusters: bool
    driver: str  # the newest CUDA that the driver knows: "13.0"

class cuda:
    """The CUDA driver, opened by the first call (csrc/runtime/cuda). Addresses and streams are plain numbers: those of torch and CuPy are as good."""

    class Module:
        """A cubin, a fat binary or PTX; loaded once a device, with the first Function there. Must live as long as graphs that launch its functions."""

        def __init__(self, image: Buffer) -> None: ...

    class Function:
        """A kernel on a device. signature: a letter for each parameter: P address, b B i8 u8, h H 16 bits, i I 32, q Q 64, f f32, d f64, T tensor map;
        None: launches take all parameters as bytes, at the offsets that `parameters` says."""

        def __init__(self, module: cuda.Module, name: str, signature: str | None = None, device: int = 0,
                     cluster: tuple[int, int, int] = (1, 1, 1), cooperative: bool = False, overlap: bool = False) -> None: ...  # fmt: skip
        @property
        def name(self) -> str: ...
        @property
        def device(self) -> int: ...
        @property
        def registers(self) -> int: ...
        @property
        def local(self) -> int: ...  # bytes a thread spilled
        @property
        def static_shared(self) -> int: ...
        @property
        def threads(self) -> int: ...  # the most of one block
        @property
        def parameters(self) -> list[tuple[int, int]]: ...  # offset, bytes

    class Stream:
        def __init__(self, device: int = 0) -> None: ...
        @property
        def handle(self) -> int: ...
        @property
        def device(self) -> int: ...

    class Event:
        def __init__(self, device: int = 0, timing: bool = True) -> None: ...
        def record(self, stream: int = 0) -> None: ...
        def hold(self, stream: int = 0) -> None: ...  # what comes next in the stream waits for the event
        def synchronize(self) -> None: ...
        def since(self, start: cuda.Event, /) -> float: ...  # milliseconds
        @property
        def happened(self) -> bool: ...

    class Graph:
        """What was launched between begin_capture and end_capture."""

        def launch(self, stream: int = 0) -> None: ...
        @property
        def nodes(self) -> int: ...
        @property
        def device(self) -> int: ...

    class Replay:
        """Launches that are done again and again: one by one when it first runs, then as one graph."""

        def __init__(self, device: int = 0) -> None: ...
        def append(self, function: cuda.Function, grid: int | tuple[int, ...], block: int | tuple[int, ...], shared: int, args: Any) -> None: ...
        def run(self, before: Sequence[tuple[int, int, int]] = (), after: Sequence[tuple[int, int, int]] = (), stream: int = 0) -> None: ...  # to, from, bytes
        @property
        def launches(self) -> int: ...
        @property
        def recorded(self) -> bool: ...
        @property
        def nodes(self) -> int: ...

    @staticmethod
    def available() -> tuple[int, str]: ...  # devices, and why there are none
    @staticmethod
    def device_info(device: int = 0) -> CudaDevice: ...
    @staticmethod
    def memory_info(device: int = 0) -> tuple[int, int]: ...  # free, total
    @staticmethod
    def alloc(bytes: int, device: int = 0) -> int: ...
    @staticmethod
    def free(address: int, device: int = 0) -> None: ...
    @staticmethod
    def owner_of(address: int) -> int: ...  # the device that has the memory
    @staticmethod
    def upload(to: int, host: Any, stream: int = 0, device: int = 0, wait: bool = True) -> None: ...
    @staticmethod
    def download(host: Any, address: int, stream: int = 0, device: int = 0, wait: bool = True) -> None: ...
    @staticmethod
    def copy(to: int, address: int, bytes: int, stream: int = 0, device: int = 0) -> None: ...
    @staticmethod
    def fill(to: int, value: int, count: int, width: Literal[1, 4] = 1, stream: int = 0, device: int = 0) -> None: ...
    @staticmethod
    def tensor_map(dtype: str, address: int, shape: Sequence[int], stride: Sequence[int], box: Sequence[int], step: Sequence[int] = ..., swizzle: int = 0,
                   promotion: int = 128, nan: bool = False, device: int = 0) -> bytes: ...  # fmt: skip
    @staticmethod
    def launch(function: cuda.Function, grid: int | tuple[int, ...], block: int | tuple[int, ...], shared: int, args: tuple[Any, ...] | bytes,
               stream: int = 0, /) -> None: ...  # fmt: skip
    @staticmethod
    def synchronize(stream: int | None = None, device: int = 0) -> None: ...  # None: the whole device
    @staticmethod
    def idle(stream: int = 0, device: int = 0) -> bool: ...
    @staticmethod
    def begin_capture(stream: int, device: int = 0) -> None: ...
    @staticmethod
    def end_capture(stream: int, device: int = 0) -> cuda.Graph: ...
    @staticmethod
    def is_capturing(stream: int, device: int = 0) -> bool: ...

dtypes: list[str]
mode: Mode
cuda_images: dict[str, int]  # name -> bytes
plan_version: int

def call(op: int, inputs: Operands, attrs: Attrs, outputs: tuple[tuple[Sequence[Any], int] | None, ...]) -> tuple[Any, ...]: ...
def call_into(op: int, inputs: Operands, attrs: Attrs, outputs: Operands) -> None: ...
def explain(op: int, inputs: Operands, attrs: Attrs, outputs: Operands, isa: int = 0xFFFFFFFF, force: str = "") -> list[tuple[str, str | None]]: ...
def run_row(op: int, row: str, inputs: Operands, attrs: Attrs, outputs: Operands, threads: bool = True) -> str | None: ...
def connect(tensor: type[Tensor], slow: Any, resolve: Any, tape: Any, mixed: Any, callers: list[Caller]) -> None: ...
def ops(rows: bool = True) -> list[OpTable]: ...
def rows(op: int) -> list[Row]: ...
def device_rows(op: int) -> list[DeviceRow]: ...
def device_launches(op: int, row: str, inputs: tuple[Window, ...], attrs: Attrs, outputs: tuple[Window, ...], arch: int, units: int, shared: int,
                    work: int = 0, /) -> str | tuple[int, list[Launch]]: ...  # fmt: skip
def cuda_image(name: str, /) -> bytes: ...
def opcodes() -> list[tuple[str, int]]: ...
def machine() -> Machine: ...
def set_threads(n: int) -> None: ...
def borrow_team(parallel: int, most: int) -> None: ...
def release_cached_memory() -> None: ...
def ceiling(kind: str, bytes: int = 0, milliseconds: float = 30.0, threads: int = 1, huge_pages: bool = True, repeats: int = 1) -> tuple[str, float] | None: ...
def routes(exchange: Any, types: tuple[type, ...], watch: tuple[Any, ...], grad_enabled: Any, empty: Any, strided: tuple[Any, Any],
           held: tuple[dict[int, Any], str], level: tuple[Any, str], /) -> bool: ...  # fmt: skip
def routed(x: Any, weight: Any, /, *rest: Any) -> Any: ...
def dlpack(device: tuple[int, int], address: int, shape: Sequence[int], stride: Sequence[int], dtype: int, owner: Any, versioned: bool = False,
           read_only: bool = False) -> Any: ...  # fmt: skip
def from_dlpack(capsule: Any) -> tuple[tuple[int, int], int, tuple[int, ...], tuple[int, ...], int, Any, bool]: ...
def sample(address: int, bytes: int, /) -> int: ...
def fingerprint(address: int, bytes: int, /) -> int: ...
def checksum(bytes: Buffer, /) -> int: ...
