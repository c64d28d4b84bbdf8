"""Metrics against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from accelnn.core.errors import BoundError, ShapeError
from accelnn.practice import metrics

SCORES = np.array([[5, 1, 0], [0, 5, 1], [4, 1, 0], [0, 1, 5], [0, 3, 2]], np.float32)     # answers 0 1 0 2 1
LABELS = np.array([0, 1, 1, 2, 2])


def test_accuracy_and_confusion() -> None:
    assert metrics.accuracy(SCORES, LABELS) == 0.6
    counts = metrics.confusion(SCORES, LABELS)
    assert counts.tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 1]] and counts.sum() == 5


def test_per_class() -> None:
    found = metrics.per_class(metrics.confusion(SCORES, LABELS))
    assert found.precision.tolist() == [0.5, 0.5, 1.0] and found.recall.tolist() == [1.0, 0.5, 0.5]
    assert found.f1 == pytest.approx([2 / 3, 0.5, 2 / 3])
    absent = metrics.per_class(np.zeros((2, 2), np.int64))
    assert not absent.f1.any()


def test_interval_holds_the_share_and_shrinks() -> None:
    low, high = metrics.accuracy_interval(0.97, 500)
    assert low < 0.97 < high and 0.01 < high - low < 0.04
    assert np.diff(metrics.accuracy_interval(0.97, 50_000)) < (high - low) / 5
    assert metrics.accuracy_interval(1.0, 10)[1] <= 1 + 1e-12 and metrics.accuracy_interval(0.0, 10)[0] >= -1e-12


def test_calibration() -> None:
    sure = np.array([[100.0, 0.0]] * 10, np.float32)
    assert metrics.calibration_error(sure, np.zeros(10, np.int64)) == pytest.approx(0, abs=1e-6)
    assert metrics.calibration_error(sure, np.array([0] * 5 + [1] * 5)) == pytest.approx(0.5)
    assert metrics.softmax(np.array([[1000.0, 0.0]])).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(("scores", "labels", "error"), [
    (SCORES, LABELS[:4], ShapeError), (SCORES[0], LABELS, ShapeError), (SCORES[:0], LABELS[:0], ShapeError), (SCORES, LABELS + 1, BoundError),
    (SCORES, LABELS - 1, BoundError), (np.where(SCORES == 5, np.nan, SCORES), LABELS, BoundError)])  # fmt: skip
def test_what_would_give_a_wrong_number_is_refused(scores: np.ndarray, labels: np.ndarray, error: type[Exception]) -> None:
    for metric in (metrics.accuracy, metrics.confusion, metrics.calibration_error):
        with pytest.raises(error):
            metric(scores, labels)
