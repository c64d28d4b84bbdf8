"""What csrc/bindings gives to Python. tests/test_import.py holds this file and the extension together."""

from collections.abc import Sequence
from typing import Any, Literal, NotRequired, TypedDict, overload

import numpy as np
import numpy.typing as npt

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
    def dlpack(self) -> Any: ...
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

class Attrs:
    """The attributes of a call, packed for one op."""

    def __init__(self, op: int, values: dict[str, Any]) -> None: ...

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

    def __init__(self, bytes: bytes) -> None: ...
    @overload
    def run(self, inputs: tuple[View, ...], states: tuple[View, ...], profile: Literal[False] = False) -> tuple[View, ...]: ...
    @overload
    def run(self, inputs: tuple[View, ...], states: tuple[View, ...], profile: Literal[True]) -> tuple[tuple[View, ...], list[int]]: ...
    def ports(self, kind: int) -> list[Port]: ...
    def graph(self) -> bytes: ...
    @property
    def calls(self) -> list[PlanCall]: ...
    @property
    def n_calls(self) -> int: ...
    @property
    def ops(self) -> list[str]: ...

dtypes: list[str]
cuda_image_bytes: int
plan_version: int

def call(op: int, inputs: Operands, attrs: Attrs, outputs: tuple[tuple[Sequence[Any], int] | None, ...]) -> tuple[Any, ...]: ...
def call_into(op: int, inputs: Operands, attrs: Attrs, outputs: Operands) -> None: ...
def explain(op: int, inputs: Operands, attrs: Attrs, outputs: Operands, isa: int = 0xFFFFFFFF, force: str = "") -> list[tuple[str, str | None]]: ...
def run_row(op: int, row: str, inputs: Operands, attrs: Attrs, outputs: Operands, threads: bool = True) -> str | None: ...
def ops() -> list[OpTable]: ...
def opcodes() -> list[tuple[str, int]]: ...
def machine() -> Machine: ...
def set_threads(n: int) -> None: ...
def release_cached_memory() -> None: ...
def routes(exchange: Any, types: tuple[type, ...], watch: tuple[Any, ...], grad_enabled: Any, empty: Any, /) -> bool: ...
def sample(address: int, bytes: int, /) -> int: ...
def checksum(bytes: bytes, /) -> int: ...
