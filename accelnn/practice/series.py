"""Time series of different lengths: the .ts files of the UEA archive, as aeon ships them. numpy only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from accelnn.core.errors import FormatError
from accelnn.practice.data import Floats, Labels, check_finite, shipped


@dataclass(frozen=True)
class Series:
    """N series, padded at the end with 0: values f32 [N, longest, dimensions], lengths i64 [N], labels i64 [N] in 0..classes-1."""

    values: Floats
    lengths: Labels
    labels: Labels
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[tuple[Floats, Labels, Labels]]:
        """Whole batches in a random order, each example at most once."""
        order = rng.permutation(len(self))
        for start in range(0, len(self) - size + 1, size):
            pick = order[start : start + size]
            yield self.values[pick], self.lengths[pick], self.labels[pick]


def load_japanese_vowels() -> tuple[Series, Series]:
    """Which of nine speakers said two vowels: 270 series to learn from and 370 to be judged by, 7 to 29 steps of 12 cepstral coefficients
    (Kudo, Toyama and Shimbo, 1999), from aeon's copy of the UEA archive."""
    train, test = (read_ts(shipped("aeon", f"datasets/data/JapaneseVowels/JapaneseVowels_{part}.ts", "pip install --no-deps aeon==1.6.0"))
                   for part in ("TRAIN", "TEST"))  # fmt: skip
    return train, test


def read_ts(path: Path) -> Series:
    """A .ts file with class labels: after @data a series a line, its dimensions separated by `:`, its values by commas, then the label."""
    classes: tuple[str, ...] = ()
    found: list[Floats] = []
    labels: list[int] = []
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    for _, line in lines:
        if line.lower().startswith("@classlabel true"):
            classes = tuple(line.split()[2:])
        if line.strip().lower() == "@data":
            break
    if not classes:
        raise FormatError(f"{path}: no line '@classLabel true ...' before the data")
    for number, line in lines:
        if not line.strip():
            continue
        *dimensions, label = line.split(":")
        try:
            values = [np.array(d.split(","), np.float32) for d in dimensions]
        except ValueError as error:
            raise FormatError(f"{path}, line {number}: {error}") from None
        if label.strip() not in classes or not values or len({len(v) for v in values}) != 1 or (found and len(values) != found[0].shape[1]):
            raise FormatError(f"{path}, line {number}: {len(values)} dimensions of {sorted({len(v) for v in values})} values and the label {label.strip()!r}")
        check_finite(np.stack(values), f"{path}, line {number}: values")
        found.append(np.stack(values, 1))
        labels.append(classes.index(label.strip()))
    if not found:
        raise FormatError(f"{path}: no series")
    padded = np.zeros((len(found), max(map(len, found)), found[0].shape[1]), np.float32)
    for row, series in zip(padded, found):
        row[: len(series)] = series
    return Series(padded, np.array([len(s) for s in found]), np.array(labels), classes)
