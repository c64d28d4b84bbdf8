"""Cross-entropy: of logits or log probabilities and labels, as one kernel with its gradient; of probabilities, in plain ops."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dims import AnySize, product
from ..core.dtypes import DType
from ..core.errors import AttributeValueError, DTypeError, GraphError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply, apply_all
from .conv import needs_gradient
from .elementwise import where
from .matmul import EPS, gamma
from .normalize import log_softmax

REDUCTIONS = ("none", "mean", "sum")
_NAMES = ("ignore_index", "label_smoothing", "reduction", "log_input")


def reduction_code(name: str, reduction: str) -> int:
    """none 0, mean 1, sum 2."""
    if reduction not in REDUCTIONS:
        raise AttributeValueError(f"{name}: reduction {reduction!r}; expected mean, sum or none")
    return REDUCTIONS.index(reduction)


def _checked(name: str, logits: Spec, labels: Spec, weight: Spec | None, label_smoothing: float) -> tuple[AnySize, ...]:
    """The shape of the places: logits' without the classes."""
    if len(logits.shape) < 2 or logits.dtype != DType.float32:
        raise ShapeError(f"{name}: float32 logits [N, C, ...] expected, not {logits}")
    places = (logits.shape[0], *logits.shape[2:])
    if labels.dtype != DType.int64 or labels.shape != places:
        raise ShapeError(f"{name}: int64 labels of shape {places} expected for {logits}, not {labels}")
    if weight is not None and weight != Spec(logits.shape[1:2], DType.float32):
        raise ShapeError(f"{name}: a weight {weight} for the {logits.shape[1]} classes of {logits}")
    if not 0 <= label_smoothing <= 1:
        raise AttributeValueError(f"{name}: label_smoothing {label_smoothing}; expected 0 to 1")
    return places


def _shape(logits: Spec, labels: Spec, weight: Spec | None = None, ignore_index: int = -100, label_smoothing: float = 0.0, reduction: int = 0,
           log_input: int = 0) -> tuple[Spec, ...]:  # fmt: skip
    places = Spec(_checked("cross_entropy", logits, labels, weight, label_smoothing), DType.float32)
    one = Spec((), DType.float32)
    return (one if reduction else places, one, *[places] * (0 if log_input else 2))


def _wide(v: Any, x: Any) -> Any:
    return v.reshape(1, -1, *[1] * (x.ndim - 2))


def _truth(x: Any, labels: Any, weight: Any, ignore_index: int, log_input: int) -> tuple[Any, Any, Any, Any]:
    """-log probabilities, [c == label], w (both as wide as x), which places count."""
    labels = np.asarray(labels)
    keep = labels != ignore_index
    hot = np.moveaxis(np.asarray(np.where(keep, labels, 0)[..., None] == np.arange(x.shape[1])), -1, 1) * 1.0
    m = x.max(1, keepdims=True)
    lower = -x if log_input else np.log(np.exp(x - m).sum(1, keepdims=True)) - (x - m)
    return lower, hot, _wide(np.ones(x.shape[1]) if weight is None else weight, x), keep


def _reference(x: Any, labels: Any, weight: Any = None, ignore_index: int = -100, label_smoothing: float = 0.0, reduction: int = 0,
               log_input: int = 0) -> Any:  # fmt: skip
    lower, hot, w, keep = _truth(x, labels, weight, ignore_index, log_input)
    e = label_smoothing
    loss = np.where(keep, ((hot * (1 - e) + e / x.shape[1]) * w * lower).sum(1), 0.0)
    total = np.where(keep, (hot * w).sum(1), 0.0).sum() if reduction == 1 else np.float64(1)
    m = x.max(1)
    saved = () if log_input else (m, np.exp(x - m[:, None]).sum(1))
    return (loss.sum() / total if reduction else loss, total, *saved)


def _bound(x: Any, labels: Any, weight: Any = None, ignore_index: int = -100, label_smoothing: float = 0.0, reduction: int = 0, log_input: int = 0) -> Any:
    """kernels/cross_entropy/cross_entropy.h; a mean or sum over places is rounded once more, its terms are added in double."""
    lower, hot, w, keep = _truth(x, labels, weight, ignore_index, log_input)
    u, c, e = EPS / 2, x.shape[1], label_smoothing
    m = x.max(1, keepdims=True)
    error = u * (2 * np.abs(lower) + (0 if log_input else 2 * (m - x) + 5 * np.log(c) + c / 4 + 8)) + gamma(c // 4 + 12) * np.abs(lower)
    place = np.where(keep, ((hot * (1 - e) + e / c) * np.abs(w) * error).sum(1), 0.0)
    weights = np.where(keep, (hot * w).sum(1), 0.0).sum()
    loss = place if not reduction else place.sum() / (weights if reduction == 1 else 1)
    exps = np.exp(x - m)
    sums = (exps * u * ((m - x) + 8)).sum(1) + gamma(c // 4 + 12) * exps.sum(1)
    size = np.abs(_reference(x, labels, weight, ignore_index, e, reduction, log_input)[0])
    return (loss + 2 * u * size, u * np.abs(weights), *(() if log_input else (0 * sums, sums)))


CASES: tuple[tuple[tuple[int, ...], dict[str, Any]], ...] = (
    ((1, 1), {}), ((64, 10), {}), ((5, 17), {"reduction": 1}), ((3, 1000), {"reduction": 2}), ((0, 4), {}), ((37, 16), {"reduction": 1, "weighted": 1}),
    ((6, 33), {"label_smoothing": 0.1, "reduction": 1}), ((4, 5), {"label_smoothing": 0.3, "weighted": 1, "ignored": 1, "reduction": 1}),
    ((9, 70), {"ignored": 1, "ignore_index": 3, "label_smoothing": 0.2, "weighted": 1}), ((2, 3, 4), {}), ((2, 5, 7, 9), {"reduction": 1, "weighted": 1}),
    ((3, 4, 65), {"label_smoothing": 0.1, "ignored": 1, "reduction": 1}), ((1, 21, 5, 16), {"label_smoothing": 0.2, "weighted": 1, "reduction": 2}),
    ((8, 20), {"log_input": 1, "reduction": 1, "weighted": 1, "ignored": 1}), ((2, 4, 18), {"log_input": 1}),
    ((5, 6), {"log_input": 1, "label_smoothing": 0.1}),
    ((70, 4097), {"reduction": 1}))  # fmt: skip


def _samples() -> Any:
    rng = np.random.default_rng(0)
    for s, given in CASES:
        attrs = {k: v for k, v in given.items() if k in _NAMES}
        x = (rng.normal(size=s) * 3).astype(np.float32)
        if attrs.get("log_input"):
            x = np.log(np.exp(x) / np.exp(x).sum(1, keepdims=True)).astype(np.float32)
        labels = rng.integers(0, s[1], (s[0], *s[2:]))
        if "ignored" in given:
            labels[rng.random(labels.shape) < 0.3] = attrs.get("ignore_index", -100)
        yield (x, labels, rng.uniform(0.3, 2, s[1]).astype(np.float32) if "weighted" in given else None), attrs


def _cost(x: Spec, *_: Any, **attrs: Any) -> Any:
    return 20 * product(x.shape), 4 * product(x.shape)


cross_entropy_op = Op("cross_entropy", _shape, _reference, samples=lambda: list(_samples()), bound=_bound, cost=_cost)


def _classes(x: Tensor) -> int:
    c = x.shape[1]
    if not isinstance(c, int):
        raise ShapeError("cross_entropy: the number of classes is not known")
    return c


def _terms(x: Tensor, labels: Tensor, weight: Tensor | None, ignore_index: int, log_input: int) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """As _truth, in plain ops; log probabilities in place of their negatives."""
    number = labels.to(DType.float32)
    keep = apply("ne", number, float(ignore_index))
    hot = apply("one_hot", where(keep, number, 0.0).to(DType.int64), classes=x.shape[1])
    hot = hot.permute(0, x.ndim - 1, *range(1, x.ndim - 1))
    return x if log_input else log_softmax(x, 1), hot, None if weight is None else weight.reshape(1, x.shape[1], *[1] * (x.ndim - 2)), keep


@cross_entropy_op.vjp
def _(dloss: Tensor, dtotal: None, *rest: Any, ignore_index: int = -100, label_smoothing: float = 0.0, reduction: int = 0, log_input: int = 0) -> Any:
    saved = 0 if log_input else 2
    others, (x, labels, *weights), (loss, total, *stats) = rest[:saved], rest[saved : -2 - saved], rest[-2 - saved :]
    if dloss is None or dtotal is not None or any(d is not None for d in others):
        raise GraphError("cross_entropy: total, max and sum are kept for the gradient and have none themselves")
    attrs = {"ignore_index": ignore_index, "label_smoothing": label_smoothing, "reduction": reduction, "log_input": log_input}
    weight = weights[0] if weights else None
    dx = apply("cross_entropy_grad", x, labels, dloss, total, *(stats or (None, None)), weight, **attrs)
    if weight is None or not needs_gradient(weight):
        return dx, None, None
    logp, hot, w, keep = _terms(x, labels, weight, ignore_index, log_input)
    counts, e, axes = keep.float().unsqueeze(1), label_smoothing, (0, *range(2, x.ndim))
    share = (hot * (1.0 - e) + e / _classes(x)) * counts
    if reduction != 1:
        return dx, None, (share * -logp * (dloss.unsqueeze(1) if reduction == 0 else dloss)).sum(axes)
    return dx, None, dloss / (hot * w * counts).sum() * ((share * -logp).sum(axes) - loss * (hot * counts).sum(axes))


def _grad_shape(logits: Spec, labels: Spec, dloss: Spec, total: Spec, top: Spec | None = None, sums: Spec | None = None, weight: Spec | None = None,
                ignore_index: int = -100, label_smoothing: float = 0.0, reduction: int = 0, log_input: int = 0) -> Spec:  # fmt: skip
    places = _checked("cross_entropy_grad", logits, labels, weight, label_smoothing)
    if dloss != Spec(() if reduction else places, DType.float32):
        raise ShapeError(f"cross_entropy_grad: a cotangent {dloss} for {labels}")
    return logits


def _grad_reference(x: Any, labels: Any, dloss: Any, total: Any, top: Any = None, sums: Any = None, weight: Any = None, ignore_index: int = -100,
                    label_smoothing: float = 0.0, reduction: int = 0, log_input: int = 0) -> Any:  # fmt: skip
    """From logits, labels and weight alone: what was saved is a function of them."""
    lower, hot, w, keep = _truth(x, labels, weight, ignore_index, log_input)
    e, c, keep = label_smoothing, x.shape[1], np.expand_dims(keep, 1)
    p = 0 if log_input else np.exp(-lower) * ((1 - e) * (hot * w).sum(1, keepdims=True) + e / c * w.sum())
    d = np.expand_dims(dloss, 1) if reduction == 0 else dloss / ((hot * w * keep).sum() if reduction == 1 else 1)
    return np.where(keep, (p - (hot * (1 - e) + e / c) * w) * d, 0.0)


def _grad_bound(x: Any, labels: Any, dloss: Any, total: Any, top: Any = None, sums: Any = None, weight: Any = None, ignore_index: int = -100,
                label_smoothing: float = 0.0, reduction: int = 0, log_input: int = 0) -> Any:  # fmt: skip
    lower, hot, w, keep = _truth(x, labels, weight, ignore_index, log_input)
    e, c, keep, w = label_smoothing, x.shape[1], np.expand_dims(keep, 1), np.abs(w)
    d = np.abs(np.expand_dims(dloss, 1) if reduction == 0 else dloss / ((hot * w * keep).sum() if reduction == 1 else 1))
    p = 0 if log_input else np.exp(-lower) * ((1 - e) * (hot * w).sum(1, keepdims=True) + e / c * w.sum())
    error = (2 * (x.max(1, keepdims=True) - x) + c / 4 + 16) * p + 8 * (hot + e / c) * w
    return np.where(keep, d * (EPS / 2 * error + 2.0**-126), 0.0)


def _grad_samples() -> Any:
    rng = np.random.default_rng(1)
    for (x, labels, weight), attrs in _samples():
        loss, total, *saved = _reference(x.astype(np.float64), labels, weight, **attrs)
        saved = [s.astype(np.float32) for s in saved] or [None, None]
        yield (x, labels, rng.normal(size=np.shape(loss)).astype(np.float32), np.float32(total), *saved, weight), attrs


def _grad_composition(x: Tensor, labels: Tensor, dloss: Tensor, total: Tensor, top: Any = None, sums: Any = None, weight: Tensor | None = None,
                      ignore_index: int = -100, label_smoothing: float = 0.0, reduction: int = 0, log_input: int = 0) -> Tensor:  # fmt: skip
    logp, hot, w, keep = _terms(x, labels, weight, ignore_index, log_input)
    e, c = label_smoothing, _classes(x)
    wanted = hot * (1.0 - e) + e / c
    heavy = hot if w is None else hot * w
    g = -wanted if w is None else -wanted * w
    if not log_input:
        g = g + logp.exp() * (heavy.sum(1, keepdim=True) * (1.0 - e) + (e if w is None else w.sum() * (e / c)))
    counts = keep.float().unsqueeze(1)
    d = dloss.unsqueeze(1) if reduction == 0 else dloss / (heavy * counts).sum() if reduction == 1 else dloss
    return where(keep.unsqueeze(1), g * d, 0.0)


Op("cross_entropy_grad", _grad_shape, _grad_reference, samples=lambda: list(_grad_samples()), bound=_grad_bound, composition=_grad_composition)


def reduced(loss: Tensor, reduction: str, name: str = "loss") -> Tensor:
    """The mean or sum of all elements, or the elements."""
    code = reduction_code(name, reduction)
    return loss if code == 0 else loss.mean() if code == 1 else loss.sum()


def _labelled(name: str, x: Tensor, target: Tensor, weight: Tensor | None, reduction: str, **attrs: Any) -> Tensor:
    code = reduction_code(name, reduction)
    single = x.ndim == 1
    if single:
        x, target = x.unsqueeze(0), target.reshape(1)
    loss = apply_all("cross_entropy", x, target.to(DType.int64), weight, reduction=code, **attrs)[0]
    return loss.reshape(()) if single and code == 0 else loss


def cross_entropy(logits: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean",
                  label_smoothing: float = 0.0) -> Tensor:  # fmt: skip
    """-log softmax(logits) at the target. Logits float32 [N, C], [N, C, d...] or [C]; target: integer labels of logits' shape without C, each in [0, C) or
    ignore_index, or probabilities of logits' shape; weight [C] of each class. "mean": over the weights of the labels that count (of probabilities: over
    places). ShapeError, DTypeError where these do not fit, IndexError-like BoundError where a label is none."""
    if not target.dtype.is_float:
        smoothing = float(label_smoothing)
        return _labelled("cross_entropy", logits, target, weight, reduction, ignore_index=int(ignore_index), label_smoothing=smoothing, log_input=0)
    if target.shape != logits.shape:
        raise ShapeError(f"cross_entropy: probabilities {target.spec} for logits {logits.spec}")
    at = min(1, logits.ndim - 1)
    c: Any = logits.shape[at]
    wanted = target if label_smoothing == 0 else target * (1.0 - label_smoothing) + label_smoothing / c
    terms = wanted * log_softmax(logits, at)
    loss = -(terms if weight is None else terms * weight.reshape(*[c if i == at else 1 for i in range(logits.ndim)])).sum(at)
    return reduced(loss, reduction, "cross_entropy")


def nll_loss(log_probabilities: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """-log_probabilities[N, C, d...] (or [C]) at the labels; otherwise as cross_entropy."""
    if target.dtype.is_float:
        raise DTypeError(f"nll_loss: integer labels expected, not {target.spec}")
    return _labelled("nll_loss", log_probabilities, target, weight, reduction, ignore_index=int(ignore_index), label_smoothing=0.0, log_input=1)


__all__ = ["cross_entropy", "nll_loss"]
