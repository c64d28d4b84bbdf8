"""What a classifier's scores are worth: accuracy, confusion, precision and recall per class, calibration. numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accelnn.core.errors import BoundError, ShapeError
from accelnn.practice.data import Labels, check_finite

Reals = npt.NDArray[np.float64]


def _checked(scores: npt.NDArray[np.floating], labels: Labels) -> None:
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or not len(labels):
        raise ShapeError(f"scores {scores.shape} and labels {labels.shape}: expected [N, classes] and [N] with N > 0")
    check_finite(scores, "scores")   # argmax of NaN answers 0 without a word
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise BoundError(f"labels {labels.min()}..{labels.max()} do not fit scores of {scores.shape[1]} classes")


def accuracy(scores: npt.NDArray[np.floating], labels: Labels) -> float:
    """Share of examples whose highest score is the right class; scores [N, classes], labels i64 [N]."""
    _checked(scores, labels)
    return float((scores.argmax(1) == labels).mean())


def accuracy_interval(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval: where the true accuracy lies (95 %) when `share` of n examples were right. 500 examples leave about +-1 point."""
    centre, spread = share + z * z / (2 * n), z * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    return (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)


def confusion(scores: npt.NDArray[np.floating], labels: Labels) -> npt.NDArray[np.int64]:
    """counts i64 [classes, classes]: entry (i, j) counts examples of class i that were taken for j."""
    _checked(scores, labels)
    classes = scores.shape[1]
    return np.bincount(labels * classes + scores.argmax(1), minlength=classes * classes).reshape(classes, classes)


@dataclass(frozen=True)
class PerClass:
    """Each f64 [classes]; a class that never came up, or was never answered, scores 0. `f1.mean()` is the macro F1."""

    precision: Reals
    recall: Reals
    f1: Reals


def per_class(counts: npt.NDArray[np.int64]) -> PerClass:
    """Precision, recall and F1 out of confusion counts."""
    right, asked, answered = np.diag(counts).astype(float), counts.sum(1), counts.sum(0)
    return PerClass(right / np.maximum(answered, 1), right / np.maximum(asked, 1), 2 * right / np.maximum(asked + answered, 1))


def softmax(scores: npt.NDArray[np.floating]) -> Reals:
    """Probabilities f64 [N, classes]."""
    e = np.exp(scores.astype(np.float64) - scores.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))


def calibration_error(scores: npt.NDArray[np.floating], labels: Labels, bins: int = 15) -> float:
    """Expected calibration error: how far stated confidence and accuracy lie apart, averaged over equal bins of confidence."""
    _checked(scores, labels)
    p = softmax(scores)
    confidence, right = p.max(1), p.argmax(1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return float(np.abs(np.bincount(place, confidence - right, bins)).sum() / len(labels))
