"""Whether a result is right: against float64, within what the op's contract allows (docs/numerics.md), as the contract tests do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.dtypes import BFLOAT16, DType, from_bfloat16
from ..core.registry import Op

TINY = 1e-37  # results in the range of denormals
# Their references are carried out in the op's own arithmetic: every bit is known.
EXACT = {"copy", "matmul_pack", "qmatmul", "qconv2d", "qconv2d_packed", "qconv2d_sparse", "quantize_linear", "one_hot", "random_uniform", "max_pool2d",
         "concat", "pad", "flip", "take", "embedding", "gather", "gather_nd", "topk", "cache_append"}  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """The right results, and by how much each element may differ."""

    values: list[np.ndarray]
    allowed: list[Any]

    def problem(self, results: Sequence[np.ndarray]) -> str | None:
        """What is wrong, in words; None if nothing is."""
        if len(results) != len(self.values):
            return f"{len(results)} results instead of {len(self.values)}"
        for got, want, allowed in zip(results, self.values, self.allowed):
            if got.shape != want.shape:
                return f"a result of shape {got.shape} instead of {want.shape}"
            if not got.size:
                continue
            error = np.abs(got.astype(np.float64) - want)
            excess = np.where(np.isnan(error), np.inf, error - allowed)
            worst = np.unravel_index(int(np.argmax(excess)), error.shape)
            if not (error <= allowed).all():        # NaN fails
                at = ", ".join(map(str, worst))
                return f"[{at}] is {got[worst]:.7g} instead of {want[worst]:.7g}: the contract allows {np.broadcast_to(allowed, error.shape)[worst]:.2g}"
        return None

    def distance(self, results: Sequence[np.ndarray]) -> float:
        """Relative error in the norm: how a peer with an arithmetic of its own is looked at."""
        worst = 0.0
        for got, want in zip(results, self.values):
            if got.shape != want.shape:
                return float("inf")
            size = float(np.linalg.norm(want.astype(np.float64)))
            worst = max(worst, float(np.linalg.norm(got.astype(np.float64) - want)) / size if size else 0.0)
        return worst


def float64(x: Any) -> Any:
    if x is None:
        return None
    x = np.asarray(x)
    x = from_bfloat16(x) if x.dtype == BFLOAT16 else x
    return x.astype(np.float64) if x.dtype == np.float32 else x


def truth_of(op: Op, arrays: Sequence[Any], attrs: dict[str, Any], outputs: Sequence[DType]) -> Truth:
    """By the op's own reference and bound; without a bound, twice the error of the reference in float32, and 4 ulp of the largest result."""
    exact = op.name in EXACT or all(not d.is_float for d in outputs)
    inputs = arrays if exact else [float64(a) for a in arrays]
    values = _listed(op.reference(*inputs, **attrs))
    if exact:
        return Truth(values, [0.0] * len(values))
    if op.bound is not None:
        bounds = op.bound(*inputs, **attrs)
        allowed = [b + TINY for b in (bounds if isinstance(bounds, tuple) else (bounds,))]
        return Truth(values, [_rounded(a, v) if d == DType.bfloat16 else a for a, v, d in zip(allowed, values, outputs, strict=True)])
    if DType.bfloat16 in outputs:
        return Truth(values, [np.abs(v) * 2.0**-8 for v in values])
    naive = [np.asarray(v, np.float64) for v in _listed(op.reference(*arrays, **attrs))]
    return Truth(values, [naive_allowance(n, v) for n, v in zip(naive, values)])


def _rounded(allowed: Any, value: np.ndarray) -> Any:
    """To bfloat16, once more."""
    return allowed + (allowed + np.abs(value)) * 2.0**-8


def naive_allowance(naive: np.ndarray, value: np.ndarray) -> float:
    error = float(np.abs(naive - value).max(initial=0.0))
    return 2 * error + 4 * float(np.spacing(np.float32(np.abs(value).max(initial=0.0))))


def _listed(found: Any) -> list[np.ndarray]:
    arrays = [np.asarray(v) for v in (found if isinstance(found, tuple) else (found,))]
    return [from_bfloat16(v) if v.dtype == BFLOAT16 else v for v in arrays]
