"""The third dimension of a convolution: slabs of planes laid side by side, and added up again. Each op is the other's gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dims import AnySize, product
from ..core.dtypes import DType
from ..core.errors import DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply
from .conv import out_size
from .matmul import gamma


def _slabs(name: str, x: Spec, kernel: int, stride: int, dilation: int, front: int, back: int) -> Spec:
    """[N, OD, C, kernel, P] for x[N, C, D, P]."""
    if len(x.shape) != 4:
        raise ShapeError(f"{name}: planes [N, C, D, P] expected, not {x}")
    if x.dtype != DType.float32:
        raise DTypeError(f"{name}: float32 expected, not {x.dtype.name}")
    n, c, d, p = x.shape
    od = out_size(d, kernel, stride, dilation, front, back)
    if od < 1:
        raise ShapeError(f"{name}: a kernel of {kernel} planes does not fit into {x} with this padding and dilation")
    return Spec((n, od, c, kernel, p), x.dtype)


def _shape(x: Spec, kernel: int, stride: int = 1, dilation: int = 1, front: int = 0, back: int = 0) -> Spec:
    return _slabs("unfold_planes", x, kernel, stride, dilation, front, back)


def _places(od: int, kernel: int, stride: int, dilation: int) -> np.ndarray:
    """Where plane t of slab i lies among the padded planes: [OD, kernel]."""
    return stride * np.arange(od)[:, None] + dilation * np.arange(kernel)[None, :]


def _reference(x: Any, kernel: int, stride: int = 1, dilation: int = 1, front: int = 0, back: int = 0) -> Any:
    padded: Any = np.pad(x, ((0, 0), (0, 0), (front, back), (0, 0)))
    od: Any = out_size(x.shape[2], kernel, stride, dilation, front, back)
    return padded[:, :, _places(od, kernel, stride, dilation)].transpose(0, 2, 1, 3, 4)


CASES: tuple[tuple[tuple[int, ...], dict[str, int]], ...] = (
    ((2, 3, 5, 7), {"kernel": 3, "front": 1, "back": 1}),
    ((1, 2, 9, 17), {"kernel": 2, "stride": 3, "dilation": 2, "back": 2}),
    ((2, 1, 4, 1), {"kernel": 1, "stride": 2}),
    ((1, 2, 3, 2049), {"kernel": 5, "front": 3, "back": 2}),
    ((0, 2, 4, 4), {"kernel": 2}),
    ((2, 2, 4, 0), {"kernel": 2}),
    ((1, 1, 1, 16), {"kernel": 2, "stride": 4, "front": 7, "back": 6}),
)


def _samples() -> Any:
    rng = np.random.default_rng(0)
    return [((rng.normal(size=x).astype(np.float32),), attrs) for x, attrs in CASES]


def _cost(x: Spec, **attrs: int) -> Any:
    y = _shape(x, **attrs)
    return 0, 4 * (product(x.shape) + product(y.shape))


unfold_planes = Op("unfold_planes", _shape, _reference, samples=_samples, cost=_cost)


def _fold_shape(y: Spec, kernel: int, size: AnySize, stride: int = 1, dilation: int = 1, front: int = 0, back: int = 0) -> Spec:
    if len(y.shape) != 5:
        raise ShapeError(f"fold_planes: slabs [N, OD, C, kernel, P] expected, not {y}")
    x = Spec((y.shape[0], y.shape[2], size, y.shape[4]), y.dtype)
    if _slabs("fold_planes", x, kernel, stride, dilation, front, back).shape != y.shape:
        raise ShapeError(f"fold_planes: {y} are not the slabs of {x}")
    return x


def _fold_reference(y: Any, kernel: int, size: int, stride: int = 1, dilation: int = 1, front: int = 0, back: int = 0) -> Any:
    n, od, c, _, p = y.shape
    x = np.zeros((n, c, size + front + back, p), y.dtype)
    for t, place in enumerate(_places(od, kernel, stride, dilation).T):
        x[:, :, place] += y[:, :, :, t].transpose(0, 2, 1, 3)
    return x[:, :, front : front + size]


def _fold_samples() -> Any:
    rng = np.random.default_rng(0)
    return [((rng.normal(size=_shape(Spec(x, DType.float32), **a).shape).astype(np.float32),), {**a, "size": x[2]}) for x, a in CASES]  # type: ignore[arg-type]


def _fold_bound(y: Any, **attrs: int) -> Any:
    return gamma(attrs["kernel"]) * _fold_reference(np.abs(y), **attrs)


def _fold_cost(y: Spec, **_: int) -> Any:
    return product(y.shape), 8 * product(y.shape)


fold_planes = Op("fold_planes", _fold_shape, _fold_reference, samples=_fold_samples, bound=_fold_bound, cost=_fold_cost)


@unfold_planes.vjp
def _(dy: Tensor, x: Tensor, y: Tensor, **attrs: int) -> Any:
    return apply("fold_planes", dy, size=x.shape[2], **attrs)


@fold_planes.vjp
def _(dx: Tensor, y: Tensor, x: Tensor, size: int, **attrs: int) -> Any:
    return apply("unfold_planes", dx, **attrs)
