"""Connectionist temporal classification (Graves, Fernandez, Gomez, Schmidhuber 2006)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.dtypes import DType
from ..core.errors import DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply, tensor
from .elementwise import where
from .loss import reduction_code


def _checked(name: str, log_probs: Spec, targets: Spec, input_lengths: Spec, target_lengths: Spec) -> Any:
    """N."""
    if len(log_probs.shape) != 3 or log_probs.dtype != DType.float32:
        raise ShapeError(f"{name}: float32 log_probs [T, N, C] expected, not {log_probs}")
    n = log_probs.shape[1]
    if len(targets.shape) != 2 or targets.shape[0] != n or any(s.shape != (n,) for s in (input_lengths, target_lengths)):
        raise ShapeError(f"{name}: targets {targets}, lengths {input_lengths} and {target_lengths} for {log_probs}; [N, S], [N] and [N] expected")
    if any(s.dtype != DType.int64 for s in (targets, input_lengths, target_lengths)):
        raise DTypeError(f"{name}: int64 targets and lengths expected, not {targets}, {input_lengths}, {target_lengths}")
    return n


def _shape(log_probs: Spec, targets: Spec, input_lengths: Spec, target_lengths: Spec, blank: int = 0) -> Spec:
    return Spec((_checked("ctc_loss", log_probs, targets, input_lengths, target_lengths),), DType.float32)


def _states(target: Any, blank: int) -> tuple[Any, Any]:
    """A blank between any two symbols and at both ends; which states may be reached from the one before the last."""
    symbols = np.full(2 * len(target) + 1, blank)
    symbols[1::2] = target
    skips = np.zeros(len(symbols), bool)
    skips[3::2] = symbols[3::2] != symbols[1:-2:2]
    return symbols, skips


def _step(row: Any, skips: Any, emit: Any) -> Any:
    """The next row of forward variables."""
    low = row.dtype.type(-np.inf)
    near, beyond = np.concatenate(([low], row[:-1])), np.where(skips, np.concatenate(([low, low], row[:-2]))[: len(row)], low)
    return np.logaddexp(np.logaddexp(row, near), beyond) + emit


def _forwards(log_probs: Any, symbols: Any, skips: Any) -> Any:
    """[T, states] of one sequence."""
    emit = log_probs[:, symbols]
    rows = np.full_like(emit, -np.inf)
    rows[0, :2] = emit[0, :2]
    for t in range(1, len(emit)):
        rows[t] = _step(rows[t - 1], skips, emit[t])
    return rows


def _total(rows: Any, steps: int, states: int, dtype: Any) -> Any:
    if steps == 0:
        return dtype.type(0 if states == 1 else np.inf)
    return -np.logaddexp.reduce(rows[-1, -2:])


def _reference(log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0) -> Any:
    found = []
    for i, (steps, length) in enumerate(zip(np.asarray(input_lengths), np.asarray(target_lengths))):
        symbols, skips = _states(np.asarray(targets)[i, :length], blank)
        rows = _forwards(log_probs[:steps, i], symbols, skips) if steps else None
        found.append(_total(rows, steps, len(symbols), log_probs.dtype))
    return np.array(found, log_probs.dtype)


def _grad_reference(log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, dloss: Any, blank: int = 0) -> Any:
    dx = np.zeros_like(log_probs)
    for i, (steps, length) in enumerate(zip(np.asarray(input_lengths), np.asarray(target_lengths))):
        if not steps or dloss[i] == 0:
            continue
        symbols, skips = _states(np.asarray(targets)[i, :length], blank)
        x = log_probs[:steps, i]
        alpha = _forwards(x, symbols, skips)
        # Backwards is forwards with time and states turned around.
        turned, back = symbols[::-1], np.zeros_like(skips)
        back[3::2] = turned[3::2] != turned[1:-2:2]
        beta = _forwards(x[::-1], turned, back)[::-1, ::-1]
        loss = _total(alpha, steps, len(symbols), x.dtype)
        with np.errstate(invalid="ignore"):
            p = np.exp(np.where(alpha == -np.inf, -np.inf, alpha + beta - x[:, symbols]) + loss)
        for t in range(steps):
            np.add.at(dx[t, i], symbols, -dloss[i] * p[t])
    return dx


def _samples() -> Any:
    rng = np.random.default_rng(0)
    for t, n, c, s, blank in ((1, 1, 2, 1, 0), (6, 2, 4, 2, 0), (12, 3, 5, 4, 4), (30, 4, 20, 9, 1), (50, 2, 7, 20, 0), (8, 2, 3, 0, 0)):
        x = rng.normal(size=(t, n, c)) * 2
        log_probs = (x - np.log(np.exp(x).sum(2, keepdims=True))).astype(np.float32)
        targets = rng.integers(0, c - 1, (n, s))
        targets += targets >= blank
        lengths = rng.integers(0, s + 1, n) if n > 1 else np.array([s])
        repeats = np.array([int((a[1:k] == a[: k - 1][: max(k - 1, 0)]).sum()) if k > 1 else 0 for a, k in zip(targets, lengths)])
        steps = np.minimum(t, np.maximum(lengths + repeats, rng.integers(t // 2, t + 1, n)))
        yield (log_probs, targets, np.maximum(steps, 1), lengths), {"blank": blank}


def _grad_samples() -> Any:
    rng = np.random.default_rng(1)
    return [((*arrays, rng.normal(size=len(arrays[2])).astype(np.float32)), attrs) for arrays, attrs in _samples()]


def _cost(log_probs: Spec, targets: Spec, *_: Any, **attrs: Any) -> Any:
    t, n, c = log_probs.shape
    return 60 * t * n * (2 * targets.shape[1] + 1), 4 * t * n * c


ctc_loss_op = Op("ctc_loss", _shape, _reference, samples=lambda: list(_samples()), cost=_cost)


def _grad_shape(log_probs: Spec, targets: Spec, input_lengths: Spec, target_lengths: Spec, dloss: Spec, blank: int = 0) -> Spec:
    n = _checked("ctc_loss_grad", log_probs, targets, input_lengths, target_lengths)
    if dloss != Spec((n,), DType.float32):
        raise ShapeError(f"ctc_loss_grad: a cotangent {dloss} for {n} sequences")
    return log_probs


Op("ctc_loss_grad", _grad_shape, _grad_reference, samples=_grad_samples)


@ctc_loss_op.vjp
def _(dloss: Tensor, log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor, loss: Tensor, blank: int = 0) -> Any:
    return apply("ctc_loss_grad", log_probs, targets, input_lengths, target_lengths, dloss, blank=blank), None, None, None


def _lengths(x: Tensor | Sequence[int] | int) -> Tensor:
    return x.to(DType.int64).reshape(-1) if isinstance(x, Tensor) else tensor(np.atleast_1d(np.asarray(x, np.int64)))


def ctc_loss(log_probs: Tensor, targets: Tensor, input_lengths: Tensor | Sequence[int] | int, target_lengths: Tensor | Sequence[int] | int, blank: int = 0,
             reduction: str = "mean", zero_infinity: bool = False) -> Tensor:  # fmt: skip
    """-log of the probability of `targets` under log_probs float32 [T, N, C] or [T, C]. targets: integers [N, S], [S], or all sequences one after the other
    [sum of target_lengths]. "mean": of each loss over its target's length (at least 1). zero_infinity: 0, without a gradient, for a target that does not fit
    into its input, which otherwise is +inf. First derivatives only."""
    code = reduction_code("ctc_loss", reduction)
    single = log_probs.ndim == 2
    x = log_probs.unsqueeze(1) if single else log_probs
    steps, lengths, wanted = _lengths(input_lengths), _lengths(target_lengths), targets.to(DType.int64)
    if single:
        wanted = wanted.reshape(1, -1) if wanted.numel() else wanted.reshape(1, 0)
    elif wanted.ndim == 1:
        sizes = lengths.numpy()
        if int(sizes.sum()) != wanted.shape[0]:
            raise ShapeError(f"ctc_loss: {wanted.spec} holds {wanted.shape[0]} targets, target_lengths {int(sizes.sum())}")
        rows, flat = np.zeros((len(sizes), int(sizes.max(initial=0))), np.int64), wanted.numpy()
        for i, (end, size) in enumerate(zip(np.cumsum(sizes), sizes)):
            rows[i, :size] = flat[end - size : end]
        wanted = tensor(rows)
    loss = apply("ctc_loss", x, wanted, steps, lengths, blank=int(blank))
    if zero_infinity:
        loss = where(loss == float("inf"), 0.0, loss)
    if code == 1:
        size = lengths.to(DType.float32)
        loss = loss / where(size < 1.0, 1.0, size)
        return loss.mean()
    return loss.sum() if code == 2 else loss.reshape(()) if single else loss


__all__ = ["ctc_loss"]
