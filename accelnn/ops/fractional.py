"""Fractional max pooling (Graham, arXiv 1412.6071): windows that begin at random places, in each channel others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..core.dtypes import DType
from ..core.errors import AttributeValueError, ShapeError
from ..core.tensor import Tensor, as_tensor
from .arrange import cat
from .places import largest
from .pooling import batched, sides
from .random import uniform


def _starts(sample: Tensor, n: int, kernel: int, out: int) -> Tensor:
    """float32[N, C, out]: where windows begin, by the paper's pseudorandom sequence floor(alpha (i + u)); the last one ends at the border."""
    last = as_tensor(np.float32(n - kernel)).to(sample.device).expand(*sample.shape, 1)
    if out == 1:
        return last
    alpha = float(np.float32(n - kernel) / np.float32(out - 1))
    u = sample.unsqueeze(-1)
    return cat([((u + as_tensor(np.arange(out - 1, dtype=np.float32))) * alpha).floor() - (u * alpha).floor(), last], -1)


def _fractional(x: Tensor, n: int, kernel_size: Any, output_size: Any, output_ratio: Any, return_indices: bool, samples: Tensor | None) -> Any:
    name = f"fractional_max_pool{n}d"
    if (output_size is None) == (output_ratio is None):
        raise AttributeValueError(f"{name}: either output_size or output_ratio")
    x, alone = batched(name, x, n)
    have: Any = x.shape[2:]
    if any(not isinstance(s, int) for s in have):
        raise ShapeError(f"{name}: {x.spec}; known sizes are expected")
    kernel = sides(name, kernel_size, n)
    if output_ratio is not None:
        ratios = sides(name, output_ratio, n)
        if not all(0 < r < 1 for r in ratios):
            raise AttributeValueError(f"{name}: output_ratio {output_ratio} is not between 0 and 1")
        out = tuple(int(s * r) for s, r in zip(have, ratios))
    else:
        out = sides(name, output_size, n)
    if min(*kernel, *out) < 1 or any(k + o - 1 > s for k, o, s in zip(kernel, out, have)):
        raise ShapeError(f"{name}: {out} windows of {kernel} do not fit into {x.spec}")
    if samples is None:
        samples = uniform(*x.shape[:2], n)
    if samples.shape != (*x.shape[:2], n):
        raise ShapeError(f"{name}: _random_samples {samples.spec}; [{x.shape[0]}, {x.shape[1]}, {n}] expected")
    order = (1, 0) if n == 2 else (0, 1, 2)  # torch's: of a picture the first number is for its width
    starts = [_starts(samples[:, :, i], s, k, o) for i, s, k, o in zip(order, have, kernel, out)]

    def candidates() -> Iterator[Tensor]:
        for element in np.ndindex(*kernel):
            place = as_tensor(0.0).to(x.device).expand(*x.shape[:2], *(1,) * n)
            for d, (start, e) in enumerate(zip(starts, element)):
                place = place * float(have[d]) + (start + float(e)).reshape(*x.shape[:2], *(out[d] if i == d else 1 for i in range(n)))
            yield place.reshape(*x.shape[:2], -1).to(DType.int64)

    found = largest(name, x, candidates(), out)
    y, at = (t.squeeze(0) for t in found) if alone else found
    return (y, at) if return_indices else y


def fractional_max_pool2d(input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
                          _random_samples: Tensor | None = None) -> Any:  # fmt: skip
    """Largest element of each of output_size windows of x[N, C, H, W] that begin at random places; also their places, int64."""
    return _fractional(input, 2, kernel_size, output_size, output_ratio, return_indices, _random_samples)


def fractional_max_pool3d(input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
                          _random_samples: Tensor | None = None) -> Any:  # fmt: skip
    """fractional_max_pool2d for x[N, C, D, H, W]."""
    return _fractional(input, 3, kernel_size, output_size, output_ratio, return_indices, _random_samples)


__all__ = ["fractional_max_pool2d", "fractional_max_pool3d"]
