"""Light augmentation of images: every one is shifted, turned and scaled a little, by bilinear sampling. numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accelnn.practice.data import Floats


@dataclass(frozen=True)
class Affine:
    """A random affine map for each image of a batch, drawn evenly: shift in pixels, turn in degrees, relative scale, and shear.

    The defaults keep a digit what it was: more turn makes 6 and 9 of each other, more shift cuts strokes off."""

    shift: float = 2.0
    turn: float = 15.0
    scale: float = 0.15
    shear: float = 0.2

    def __call__(self, images: Floats, rng: np.random.Generator) -> Floats:
        """images f32 [N, C, H, W] -> f32 [N, C, H, W]; what comes in from outside the picture is 0."""
        n = len(images)
        turn = np.radians(rng.uniform(-self.turn, self.turn, n))
        scale = 1 + rng.uniform(-self.scale, self.scale, (2, n))
        shear = rng.uniform(-self.shear, self.shear, n)
        shift = rng.uniform(-self.shift, self.shift, (2, n))
        cos, sin = np.cos(turn), np.sin(turn)
        matrix = np.array([[cos * scale[0], (shear * cos - sin) * scale[0]], [sin * scale[1], (shear * sin + cos) * scale[1]]])
        return sample(images, np.moveaxis(matrix, 2, 0), shift.T)


def sample(images: Floats, matrix: npt.NDArray[np.floating], shift: npt.NDArray[np.floating]) -> Floats:
    """y[n, c, i, j] = x[n, c] read bilinearly at matrix[n] @ ((i, j) - centre) + centre + shift[n].

    images f32 [N, C, H, W], matrix [N, 2, 2] and shift [N, 2] in (row, column) order -> f32 [N, C, H, W]."""
    n, c, h, w = images.shape
    padded = np.zeros((n, c, h + 3, w + 3), np.float32)   # a border of zeros: clipped coordinates read it, so nothing needs a mask
    padded[:, :, 1 : h + 1, 1 : w + 1] = images
    m, s = matrix.astype(np.float32), shift.astype(np.float32)
    i, j = np.arange(h, dtype=np.float32) - (h - 1) / 2, np.arange(w, dtype=np.float32) - (w - 1) / 2

    def coordinate(axis: int, size: int) -> tuple[npt.NDArray[np.int32], Floats]:   # whole part and fraction, each [N, H, W]
        rows = m[:, axis, 0, None] * i + (s[:, axis, None] + ((size - 1) / 2 + 1))
        at = rows[:, :, None] + (m[:, axis, 1, None] * j)[:, None, :]
        np.clip(at, np.float32(0), np.float32(size + 1), out=at)
        whole = at.astype(np.int32)
        return whole, np.subtract(at, whole, dtype=np.float32)

    (r, fr), (q, fq) = coordinate(0, h), coordinate(1, w)
    flat = padded.reshape(n, c, -1)
    base = (np.arange(n * c, dtype=np.int32) * flat.shape[2]).reshape(n, c, 1, 1) + (r * np.int32(w + 3) + q)[:, None]
    fq, fr = fq[:, None], fr[:, None]
    source = padded.reshape(-1)

    def row(offset: int) -> Floats:   # one take of a pair would be strided; two takes of a shifted view keep both contiguous
        left: Floats = source[offset:].take(base)
        right: Floats = source[offset + 1 :].take(base)
        right -= left
        right *= fq
        right += left
        return right

    top, bottom = row(0), row(w + 3)
    bottom -= top
    bottom *= fr
    bottom += top
    return bottom
