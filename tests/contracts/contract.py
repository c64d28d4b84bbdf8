"""Calls that every row of an op has to answer, and what an answer has to be: shared by this machine's rows and those of another processor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import accelnn.passes  # noqa: F401  (registers the fused op, so that every kernel has an op)
from accelnn import _C
from accelnn.bench.check import EXACT, TINY
from accelnn.core.dispatch import operands
from accelnn.core.dtypes import BFLOAT16, SELDOM, DType, as_dtype, from_bfloat16
from accelnn.core.graph import Spec
from accelnn.core.registry import KERNELS, OPS

INTEGER = {DType.uint8, DType.int8, DType.int32, DType.int64, DType.bool, *SELDOM} - {DType.float64}


@dataclass(frozen=True)
class Sample:
    """One call of an op."""

    op: Any
    name: str
    arrays: tuple[Any, ...]
    attrs: dict[str, Any]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Rows of every processor for the dtype of the first operand."""
        short = _C.dtypes[as_dtype(np.asarray(self.arrays[0]).dtype)]
        return [row for row in KERNELS[self.op.kernel or "pointwise"]["rows"] if row["dtype"] == short]

    def call(self) -> tuple[tuple[Any, ...], tuple[Spec, ...]]:
        """Operands as the kernel wants them, and Specs of the outputs."""
        views = [share(a) for a in self.arrays]
        outputs = self.op.specs(specs(views), self.attrs)
        return operands(self.op, views, outputs, self.attrs), outputs


def share(x: Any) -> Any:
    """An operand's view; None where a sample leaves it out."""
    return None if x is None else _C.View.share(np.asarray(x), as_dtype(np.asarray(x).dtype))


def specs(views: list[Any]) -> list[Spec | None]:
    return [None if v is None else Spec(v.shape, DType(v.dtype)) for v in views]


def turned(a: Any) -> Any:
    """The same matrix lying transposed in memory."""
    return np.ascontiguousarray(a.swapaxes(-1, -2)).swapaxes(-1, -2) if np.ndim(a) > 1 else a


def spaced(a: Any) -> Any:
    """The same matrix with five columns of something else between its rows."""
    if np.ndim(a) < 2:
        return a
    wide = np.full((*a.shape[:-1], a.shape[-1] + 5), 77, a.dtype)
    wide[..., : a.shape[-1]] = a
    return wide[..., : a.shape[-1]]


def samples() -> list[Sample]:
    """Every sample of every op with a kernel; of kernels that take strides, also with other strides."""
    found = []
    for op in OPS.values():
        if op.view is not None:
            continue
        for i, (arrays, attrs) in enumerate(op.samples()):
            arrays = tuple(a if a is None else np.ascontiguousarray(a) if np.ndim(a) else np.asarray(a) for a in arrays)
            found.append(Sample(op, f"{op.name}-{i}", arrays, attrs))
            if op.strided and op.kernel:
                packed = 1 if attrs.get("packed") else len(arrays)      # what was packed stays as it is
                for how in (turned, spaced):
                    found.append(Sample(op, f"{op.name}-{i}-{how.__name__}", (*map(how, arrays[:packed]), *arrays[packed:]), attrs))
    return found


def float64(x: Any) -> Any:
    if x is None:
        return None
    x = np.asarray(x)
    x = from_bfloat16(x) if x.dtype == BFLOAT16 else x
    return x.astype(np.float64) if x.dtype == np.float32 else x


def naive_error(op: Any, arrays: tuple[Any, ...], attrs: dict[str, Any], truth: list[np.ndarray]) -> list[float]:
    """The error of the reference carried out in float32: what any float32 computation is entitled to."""
    got = op.reference(*arrays, **attrs)
    got = got if isinstance(got, tuple) else (got,)
    return [float(np.abs(np.asarray(g, np.float64) - t).max()) if t.size else 0.0 for g, t in zip(got, truth)]


def judge(sample: Sample, outputs: Sequence[Spec], results: Sequence[np.ndarray]) -> None:
    """Fails where a result (bfloat16: as uint16) is further from the float64 reference than the op's contract allows."""
    op, arrays, attrs = sample.op, sample.arrays, sample.attrs
    exact = all(s.dtype in INTEGER for s in outputs) or op.name in EXACT
    inputs = arrays if exact else tuple(float64(a) for a in arrays)
    found = op.reference(*inputs, **attrs)
    truth = [np.asarray(t) for t in (found if isinstance(found, tuple) else (found,))]
    if exact:
        allowed: list[Any] = [0.0] * len(truth)
    elif op.bound is not None:
        bounds = op.bound(*inputs, **attrs)
        allowed = [b + TINY for b in (bounds if isinstance(bounds, tuple) else (bounds,))]
    else:
        naive = naive_error(op, arrays, attrs, truth)
        allowed = [2 * e + 4 * float(np.spacing(np.float32(np.abs(t).max(initial=0.0)))) for e, t in zip(naive, truth)]
    for spec, got, want, tolerance in zip(outputs, results, truth, allowed, strict=True):
        if spec.dtype == DType.bfloat16 and exact:
            want = want.view(np.uint16)
        elif spec.dtype == DType.bfloat16:      # rounded once more
            got, tolerance = from_bfloat16(got), (tolerance + np.abs(want) if op.bound else np.abs(want)) * 2.0**-8 + (tolerance if op.bound else 0)
        assert got.shape == want.shape
        if got.dtype.kind in "iub" or exact:
            wrong = np.argwhere(got != want.astype(got.dtype))
            assert not len(wrong), f"first difference at {tuple(wrong[0])}: {got[tuple(wrong[0])]} instead of {want[tuple(wrong[0])]}"
        elif got.size:
            with np.errstate(invalid="ignore"):
                error = np.where(got == want, 0.0, np.abs(got.astype(np.float64) - want))      # an infinity is as far from itself as any number
            excess = np.where(np.isnan(error), np.inf, error - tolerance)
            worst = np.unravel_index(np.argmax(excess), error.shape)
            assert (error <= tolerance).all(), f"at {worst}: {got[worst]} instead of {want[worst]}, {excess[worst]:.3g} more than the contract allows"
