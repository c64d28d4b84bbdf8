"""One node of ours as its writer sees it: attributes, Specs of operands and results, and ways to add ONNX nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ...core.dtypes import DType
from ...core.errors import UnsupportedError
from ...core.graph import Node, Spec
from ...core.registry import KERNELS, OPS

if TYPE_CHECKING:
    from .writer import Writer

Written = Callable[..., Any]
WRITERS: dict[str, Written] = {}
ONNX_TYPES = {DType.float32: 1, DType.float16: 10, DType.bfloat16: 16, DType.int8: 3, DType.uint8: 2, DType.int32: 6, DType.int64: 7, DType.bool: 9,
              DType.float64: 11, DType.int16: 5, DType.uint16: 4, DType.uint32: 12, DType.uint64: 13}  # fmt: skip
COUNTED = (DType.float32, DType.float64, DType.int32, DType.int64)  # what runtimes calculate in


def writes(*ops: str) -> Callable[[Written], Written]:
    """Decorator: `f(step, *inputs)` adds the ONNX nodes of these ops and returns the name of the result, or a tuple of them ("" for one that nobody
    wants). An input is the name of an ONNX value, None where the operand is left out."""

    def keep(f: Written) -> Written:
        WRITERS.update(dict.fromkeys(ops, f))
        return f

    return keep


class Step:
    """A node, while it is written."""

    def __init__(self, work: Writer, node: Node, wanted: Sequence[bool]) -> None:
        self.work, self.node, self.op, self.outputs, self.wanted = work, node, node.op, node.outputs, tuple(wanted)
        self.inputs: list[Spec | None] = [None if v is None else v.spec for v in node.inputs]
        kernel = OPS[node.op].kernel
        self.attrs: dict[str, Any] = {a["name"]: a["default"] for a in (KERNELS[kernel]["attrs"] if kernel else [])} | node.attrs

    def __repr__(self) -> str:
        return f"{self.op}{f' ({self.node.label})' if self.node.label else ''}"

    def __getitem__(self, attribute: str) -> Any:
        return self.attrs[attribute]

    def whole(self, attribute: str) -> int:
        return int(self.attrs[attribute])

    def spec(self, i: int = 0) -> Spec:
        found = self.inputs[i] if i < len(self.inputs) else None
        if found is None:
            self.refuse(f"operand {i} is left out")
        return found

    def refuse(self, why: str) -> NoReturn:
        raise UnsupportedError(f"{self}: ONNX out: {why}")

    def add(self, op_type: str, *inputs: str | None, outputs: int = 1, **attrs: Any) -> Any:
        """An ONNX node; the name of its result, or a tuple of names."""
        return self.work.add(op_type, inputs, outputs, attrs)

    def const(self, value: Any, dtype: Any = np.float32) -> str:
        return self.work.const(np.asarray(value, dtype))

    def ints(self, *values: Any) -> str:
        """int64[n] of sizes, of which some may be known only when the file runs."""
        return self.work.sizes(values)

    def cast(self, x: str, dtype: DType) -> str:
        return str(self.add("Cast", x, to=ONNX_TYPES[dtype]))

    def counted(self, dtype: DType) -> DType:
        """The type that runtimes calculate in and that holds every number of this one."""
        if dtype == DType.uint64:
            self.refuse("numbers of uint64: onnxruntime has no kernel for them")
        return dtype if dtype in COUNTED else DType.float32 if dtype.is_float else DType.int64 if dtype == DType.uint32 else DType.int32

    def float(self, x: str, spec: Spec) -> str:
        return x if spec.dtype == DType.float32 else self.cast(x, DType.float32)

    def reshape(self, x: str, shape: Sequence[Any]) -> str:
        # 0 is a size of ours, not ONNX's "as it was"
        zeros = {"allowzero": 1} if any(isinstance(s, int) and s == 0 for s in shape) else {}
        inferred = [i for i, s in enumerate(shape) if not isinstance(s, int)]
        if len(inferred) == 1 and not zeros:        # the one size that is not known follows from the others
            shape = [-1 if i in inferred else s for i, s in enumerate(shape)]
            if all(s != 0 for s in shape):
                return str(self.add("Reshape", x, self.ints(*shape)))
        return str(self.add("Reshape", x, self.ints(*shape), **zeros))

    def transpose(self, x: str, *axes: int) -> str:
        return str(self.add("Transpose", x, perm=list(axes)))

    def slice(self, x: str, axis: int, start: Any, end: Any, step: int = 1) -> str:
        return str(self.add("Slice", x, self.ints(start), self.ints(end), self.ints(axis), self.ints(step)))

    def known(self, i: int) -> np.ndarray | None:
        """The numbers of an operand that is a constant."""
        v = self.node.inputs[i] if i < len(self.node.inputs) else None
        return v.node.data.numpy() if v is not None and v.node.op in ("constant", "state") and v.node.data is not None else None

    def unpacked(self, i: int, undo: Callable[[np.ndarray], np.ndarray]) -> str:
        """Packed weights as they were, where they are known."""
        panels = self.known(i)
        if panels is None:
            self.refuse("packed weights that are no constants")
        return self.work.const(np.ascontiguousarray(undo(panels)), self.spec(i).dtype, "weight")
