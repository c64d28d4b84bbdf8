"""Elements by number: rows, single elements, slices; and the way back. Indices are int64 or int32; negative ones count from the end; one outside is a
BoundError that names it and its place, in eager, in a Plan and in a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.dims import AnySize
from ..core.dtypes import DType
from ..core.errors import AttributeValueError, DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply, as_tensor
from .arrange import axis_of
from .elementwise import where
from .matmul import gamma

REDUCE = ("none", "add", "mul", "max", "min")  # ONNX's names, in the kernel's order
_REDUCE = {**{r: i for i, r in enumerate(REDUCE)}, "sum": 1, "prod": 2, "multiply": 2, "amax": 3, "amin": 4}
INDEX = (DType.int64, DType.int32)
OTHERS = (np.uint8, np.int8, np.int32, np.int64, np.float16, np.bool_)


def _indices(name: str, index: Spec) -> None:
    if index.dtype not in INDEX:
        raise DTypeError(f"{name}: the index is {index.dtype.name}; int64 or int32 expected")


# take: rows by number


def _take_shape(x: Spec, index: Spec, axis: int, skip: int) -> Spec:
    _indices("take", index)
    if not 0 <= axis < len(x.shape):
        raise ShapeError(f"take: dimension {axis} of {x}")
    return Spec((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]), x.dtype)


def _row_mask(index: Any, axis: int, skip: int, size: int, rank: int) -> Any:
    """1 where a row is not the one to skip, in the shape that broadcasts to the rows."""
    keep = np.where(np.asarray(index) < 0, np.asarray(index) + size, index) != skip
    return keep.reshape((1,) * axis + np.shape(index) + (1,) * (rank - axis - np.ndim(index)))


def _take_reference(x: Any, index: Any, axis: int, skip: int) -> Any:
    y = np.take(x, np.asarray(index, np.int64), axis)
    return y if skip < 0 else np.where(_row_mask(index, axis, skip, x.shape[axis], y.ndim), y, np.zeros((), y.dtype))


def _take_grad_shape(dy: Spec, index: Spec, axis: int, skip: int, size: AnySize) -> Spec:
    _indices("take_grad", index)
    if dy.dtype != DType.float32 or dy.shape[axis : axis + len(index.shape)] != index.shape:
        raise ShapeError(f"take_grad: float32 rows {index.shape} at dimension {axis} expected, not {dy}")
    return Spec((*dy.shape[:axis], size, *dy.shape[axis + len(index.shape) :]), dy.dtype)


def _take_grad_reference(dy: Any, index: Any, axis: int, skip: int, size: int) -> Any:
    n = np.ndim(index)
    keep = _row_mask(index, axis, skip, size, dy.ndim)
    front = np.moveaxis(np.where(keep, dy, 0.0), tuple(range(axis, axis + n)), tuple(range(n)))
    dx = np.zeros((size, *front.shape[n:]), np.asarray(dy).dtype)
    np.add.at(dx, np.asarray(index, np.int64), front)
    return np.moveaxis(dx, 0, axis)


_TAKES: tuple[Any, ...] = (((5, 3), (4,), 0, -1), ((5, 17), (2, 3), 0, 2), ((2, 6, 4), (5,), 1, -1), ((3, 7), (), 1, -1), ((40,), (9,), 0, 1),
                           ((4, 64), (0,), 0, -1), ((0, 3, 4), (2,), 1, -1), ((300, 130), (50,), 0, 3), ((2, 1, 3), (2, 2), 2, 0),
                           ((70, 1000), (3,), 0, -1))  # fmt: skip


def _index_array(rng: np.random.Generator, size: int, shape: tuple[int, ...], dtype: Any = np.int64) -> Any:
    return rng.integers(-size, size, shape).astype(dtype)


def _take_samples(grad: bool) -> Any:
    def samples() -> Any:
        rng = np.random.default_rng(0)
        found: list[Any] = []
        for i, (shape, index, axis, skip) in enumerate(_TAKES):
            rows = (*shape[:axis], *index, *shape[axis + 1 :])
            given = rng.normal(size=rows if grad else shape).astype(np.float32)
            at = _index_array(rng, shape[axis], index, (np.int64, np.int32)[i % 2])
            found.append(((given, at), {"axis": axis, "skip": skip, **({"size": shape[axis]} if grad else {})}))
        for dtype in () if grad else OTHERS:
            x = rng.integers(0, 2 if dtype == np.bool_ else 100, (6, 3)).astype(dtype)
            found += [((x, _index_array(rng, n, (5,))), {"axis": a, "skip": 1}) for a, n in ((0, 6), (1, 3))]
        return found

    return samples


def _take_grad_bound(dy: Any, index: Any, **attrs: Any) -> Any:
    """gamma_n sum|dy|, n terms at most."""
    return gamma(np.size(index) + 1) * _take_grad_reference(np.abs(dy), index, **attrs)


take_op = Op("take", _take_shape, _take_reference, samples=_take_samples(False))
take_grad = Op("take_grad", _take_grad_shape, _take_grad_reference, samples=_take_samples(True), bound=_take_grad_bound)


@take_op.vjp
def _(dy: Tensor, x: Tensor, index: Tensor, y: Tensor, axis: int, skip: int) -> Any:
    return apply("take_grad", dy, index, axis=axis, skip=skip, size=x.shape[axis]), None


@take_grad.vjp
def _(g: Tensor, dy: Tensor, index: Tensor, dx: Tensor, axis: int, skip: int, size: int) -> Any:
    return apply("take", g, index, axis=axis, skip=skip), None


def _embedding_samples() -> Any:
    rng = np.random.default_rng(0)
    return [((rng.normal(size=(n, d)).astype(np.float32), _index_array(rng, n, s)), {"padding": p})
            for n, d, s, p in ((5, 3, (4,), -1), (9, 16, (2, 3), -1), (3, 33, (), -1), (4, 5, (0,), 2))]  # fmt: skip


class _Embedding(Op):
    """take whose gradient leaves one row alone."""

    def kernel_attrs(self, attrs: dict[str, Any], n_inputs: int) -> dict[str, Any]:
        return {"axis": 0, "skip": -1}


embedding_op = _Embedding("embedding", lambda w, index, padding: _take_shape(w, index, 0, -1), lambda w, index, padding: w[np.asarray(index, np.int64)],
                          kernel="take", samples=_embedding_samples)  # fmt: skip


@embedding_op.vjp
def _(dy: Tensor, w: Tensor, index: Tensor, y: Tensor, padding: int) -> Any:
    return apply("take_grad", dy, index, axis=0, skip=padding, size=w.shape[0]), None


# gather and scatter: one element for every index


def _gather_shape(x: Spec, index: Spec, axis: int) -> Spec:
    _indices("gather", index)
    fits = len(x.shape) == len(index.shape) and 0 <= axis < len(x.shape)
    if not fits or any(d != axis and j > n for d, (j, n) in enumerate(zip(index.shape, x.shape))):
        raise ShapeError(f"gather along dimension {axis}: {index} does not fit {x}")
    return Spec(index.shape, x.dtype)


def _coordinates(index: Any, axis: int, size: int) -> tuple[Any, ...]:
    grid = list(np.indices(np.shape(index)))
    grid[axis] = np.where(np.asarray(index) < 0, np.asarray(index) + size, index).astype(np.int64)
    return tuple(grid)


_UFUNC = (None, np.add, np.multiply, np.maximum, np.minimum)


def _scatter_reference(x: Any, index: Any, s: Any, axis: int, reduce: int) -> Any:
    y, at = np.array(x), _coordinates(index, axis, x.shape[axis])
    s = s[tuple(slice(n) for n in np.shape(index))]
    ufunc = _UFUNC[reduce]
    if ufunc is None:
        for place in np.ndindex(*np.shape(index)):
            y[tuple(c[place] for c in at)] = s[place]
    else:
        ufunc.at(y, at, s)
    return y


def _scatter_shape(x: Spec, index: Spec, s: Spec, axis: int, reduce: int) -> Spec:
    _gather_shape(x, index, axis)
    if s.dtype != x.dtype or len(s.shape) != len(x.shape) or any(a < b for a, b in zip(s.shape, index.shape)):
        raise ShapeError(f"scatter: {s} has no element for every index of {index}, or is not of {x}'s dtype")
    if reduce and x.dtype not in (DType.float32, DType.int32, DType.int64):
        raise DTypeError(f"scatter: {x.dtype.name} is only replaced, not combined")
    return x


# x, index, axis
_GATHERS: tuple[Any, ...] = (((5,), (3,), 0), ((4, 6), (4, 3), 1), ((4, 6), (2, 5), 0), ((2, 3, 5), (2, 7, 4), 1), ((3, 40), (3, 40), 1),
                             ((6, 300), (4, 300), 0),                              ((0, 3), (0, 3), 1), ((2, 3), (2, 0), 1))  # fmt: skip


def _gather_samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = [((rng.normal(size=s).astype(np.float32), _index_array(rng, s[a], i, (np.int64, np.int32)[n % 2])), {"axis": a})
                        for n, (s, i, a) in enumerate(_GATHERS)]  # fmt: skip
    for dtype in OTHERS:
        found.append(((rng.integers(0, 2 if dtype == np.bool_ else 100, (4, 5)).astype(dtype), _index_array(rng, 5, (4, 9))), {"axis": 1}))
    return found


def _distinct(rng: np.random.Generator, size: int, shape: tuple[int, ...], axis: int) -> Any:
    """An index in which no element is named twice: the order in which they are written does not matter to a derivative."""
    lines = rng.permuted(np.broadcast_to(np.arange(size), (*shape[:axis], *shape[axis + 1 :], size)), axis=-1)[..., : shape[axis]]
    return np.ascontiguousarray(np.moveaxis(lines, -1, axis))


def _scatter_samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for n, (s, i, a) in enumerate(_GATHERS):
        i = tuple(min(j, s[d]) if d == a else j for d, j in enumerate(i))
        x, source = (rng.normal(size=k).astype(np.float32) for k in (s, tuple(j + n % 2 for j in i)))
        found.append(((x, _distinct(rng, s[a], i, a), source), {"axis": a, "reduce": 0}))
        found.append(((x, _index_array(rng, s[a], i, (np.int64, np.int32)[n % 2]), source), {"axis": a, "reduce": 1}))
        found += [((x, _distinct(rng, s[a], i, a), source), {"axis": a, "reduce": r}) for r in (2, 3, 4)]
    for dtype in OTHERS:
        given, added = (rng.integers(0, 2 if dtype == np.bool_ else 100, k).astype(dtype) for k in ((4, 5), (4, 9)))
        for r in range(5 if dtype in (np.int32, np.int64) else 1):
            at = _distinct(rng, 5, (4, 5), 1) if dtype == np.float16 else _index_array(rng, 5, (4, 9))
            found.append(((given, at, added), {"axis": 1, "reduce": r}))
    return found


def _combined_bound(reduce: int, size: Any, n: int) -> Any:
    return gamma(n + 1) * size if reduce in (1, 2) else 0 * size


gather_op = Op("gather", _gather_shape, lambda x, index, axis: x[_coordinates(index, axis, x.shape[axis])], samples=_gather_samples)
scatter_op = Op("scatter", _scatter_shape, _scatter_reference, samples=_scatter_samples,
                bound=lambda x, i, s, axis, reduce: _combined_bound(reduce, _scatter_reference(np.abs(x), i, np.abs(s), axis, reduce), np.size(i)))  # fmt: skip


@gather_op.vjp
def _(dy: Tensor, x: Tensor, index: Tensor, y: Tensor, axis: int) -> Any:
    return apply("scatter", x.detach() * 0.0, index, dy, axis=axis, reduce=1), None


def _combined_vjp(dy: Tensor, x: Tensor, s: Tensor, y: Tensor, reduce: int, get: Any, put: Any) -> tuple[Tensor, Tensor]:
    """`get(t)` reads a tensor of x's shape where the indices point; `put(x, s, reduce)` is the op itself. Elements that are equally large share."""
    if reduce == 0:
        return put(dy, s * 0.0, 0), get(dy)
    if reduce == 1:
        return dy, get(dy)
    if reduce == 2:  # a source's own factor is divided out again, but for one that is 0: there the others' product is kept beside it
        none = (s == 0.0).float()
        zeros, product = get(put(x * 0.0, none, 1)), get(put(x, where(none, 1.0, s), 2))
        others = where(none, where(zeros == 1.0, product, 0.0), where(zeros == 0.0, product / where(none, 1.0, s), 0.0))
        return dy * put(x * 0.0 + 1.0, s, 2), get(dy) * others
    own, theirs = (x == y).float(), (s == get(y)).float()
    share = dy / apply("maximum", put(own, theirs, 1), 1.0)
    return share * own, get(share) * theirs


def _like(t: Tensor, index: Tensor) -> Tensor:
    """The corner of t that index uses."""
    for d, n in enumerate(index.shape):
        if t.shape[d] != n:
            t = apply("slice", t, axis=d, start=0, length=n, step=1)
    return t


@scatter_op.vjp
def _(dy: Tensor, x: Tensor, index: Tensor, s: Tensor, y: Tensor, axis: int, reduce: int) -> Any:
    corner = _like(s, index)
    dx, ds = _combined_vjp(dy, x, corner, y, reduce, lambda t: apply("gather", t, index, axis=axis),
                           lambda a, b, r: apply("scatter", a, index, b, axis=axis, reduce=r))  # fmt: skip
    if s.shape != corner.shape:
        ds = apply("pad", ds, low=(0,) * s.ndim, high=tuple(a - b for a, b in zip(s.shape, corner.shape)), step=(), mode=0, value=0.0)
    return dx, None, ds


# gather_nd and scatter_nd: slices by several numbers


def _slices_shape(name: str, x: Spec, index: Spec, batch: int) -> tuple[Any, ...]:
    _indices(name, index)
    k = index.shape[-1] if index.shape else 0
    if not isinstance(k, int) or k < 1 or not 0 <= batch < len(index.shape) or batch + k > len(x.shape) or x.shape[:batch] != index.shape[:batch]:
        raise ShapeError(f"{name}: {index} does not fit {x} ({batch} batch dimensions)")
    return (*index.shape[:-1], *x.shape[batch + k :])


def _gather_nd_reference(x: Any, index: Any, batch: int) -> Any:
    index = np.asarray(index, np.int64)
    lead, rest = index.shape[:batch], index.shape[batch:-1]
    places = tuple(np.broadcast_to(np.arange(n).reshape((1,) * d + (n,) + (1,) * (batch - 1 - d + len(rest))), (*lead, *rest)) for d, n in enumerate(lead))
    return x[(*places, *np.moveaxis(index, -1, 0))]


def _scatter_nd_shape(x: Spec, index: Spec, s: Spec, reduce: int) -> Spec:
    if s.shape != _slices_shape("scatter_nd", x, index, 0) or s.dtype != x.dtype:
        raise ShapeError(f"scatter_nd: slices {s} for {x} at {index}")
    if reduce and x.dtype not in (DType.float32, DType.int32, DType.int64):
        raise DTypeError(f"scatter_nd: {x.dtype.name} is only replaced, not combined")
    return x


def _scatter_nd_reference(x: Any, index: Any, s: Any, reduce: int) -> Any:
    y, ufunc, index = np.array(x), _UFUNC[reduce], np.asarray(index, np.int64)
    for place in np.ndindex(*index.shape[:-1]):
        at = tuple(index[place])
        y[at] = s[place] if ufunc is None else ufunc(y[at], s[place])
    return y


# x, index without its last dimension, K, batch
_SLICES: tuple[Any, ...] = (((5,), (3,), 1, 0), ((4, 6), (7,), 2, 0), ((4, 6), (3,), 1, 0), ((2, 3, 5), (2, 4), 1, 1), ((3, 4, 5, 2), (6,), 3, 0),
                            ((2, 3, 4, 3), (2, 3, 5), 1, 2), ((8, 1030), (4,), 1, 0), ((3, 0), (2,), 1, 0))  # fmt: skip


def _slice_index(rng: np.random.Generator, sizes: tuple[int, ...], shape: tuple[int, ...], distinct: bool) -> Any:
    if distinct:
        flat = rng.permutation(int(np.prod(sizes)))[: int(np.prod(shape))]
        return np.stack(np.unravel_index(flat, sizes), -1).reshape(*shape, len(sizes)).astype(np.int64)
    return np.stack([rng.integers(-n, n, shape) for n in sizes], -1)


def _gather_nd_samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = [((rng.normal(size=s).astype(np.float32), _slice_index(rng, s[b : b + k], i, False)), {"batch": b}) for s, i, k, b in _SLICES]
    for dtype in OTHERS:
        x = rng.integers(0, 2 if dtype == np.bool_ else 100, (4, 5, 3)).astype(dtype)
        found += [((x, _slice_index(rng, (4, 5, 3)[:k], (6,), False)), {"batch": 0}) for k in (2, 3)]
    return found


def _scatter_nd_samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for s, i, k, b in _SLICES:
        if b:
            continue
        i = (min(i[0], int(np.prod(s[:k]))),)
        for reduce in range(5):
            x, source = rng.normal(size=s).astype(np.float32), rng.normal(size=(*i, *s[k:])).astype(np.float32)
            found.append(((x, _slice_index(rng, s[:k], i, reduce != 1), source), {"reduce": reduce}))
    for dtype in OTHERS:
        given, added = (rng.integers(0, 2 if dtype == np.bool_ else 100, n).astype(dtype) for n in ((4, 5, 3), (6, 3)))
        for reduce in range(5 if dtype in (np.int32, np.int64) else 1):
            found.append(((given, _slice_index(rng, (4, 5), (6,), dtype == np.float16), added), {"reduce": reduce}))
    return found


gather_nd_op = Op("gather_nd", lambda x, index, batch: Spec(_slices_shape("gather_nd", x, index, batch), x.dtype), _gather_nd_reference,
                  samples=_gather_nd_samples)  # fmt: skip
scatter_nd_op = Op("scatter_nd", _scatter_nd_shape, _scatter_nd_reference, samples=_scatter_nd_samples,
                   bound=lambda x, i, s, reduce: _combined_bound(reduce, _scatter_nd_reference(np.abs(x), i, np.abs(s), reduce), np.size(i)))  # fmt: skip


@gather_nd_op.vjp
def _(dy: Tensor, x: Tensor, index: Tensor, y: Tensor, batch: int) -> Any:
    if not batch:
        return apply("scatter_nd", x.detach() * 0.0, index, dy, reduce=1), None
    return _batched(index, dy, x, batch), None


def _batched(index: Tensor, dy: Tensor, x: Tensor, batch: int) -> Tensor:
    """scatter_nd with the batch dimensions' own numbers in front of each index."""
    lead, rest = index.shape[:batch], index.shape[batch:-1]
    if any(not isinstance(n, int) for n in (*lead, *rest)):
        raise ShapeError("the gradient of gather_nd with batch dimensions of unknown size")
    whole: Any = (*lead, *rest)
    grid = np.stack(list(np.indices(whole))[:batch], -1).astype(np.int64)
    joined = apply("concat", as_tensor(grid), index.to(DType.int64), axis=batch + len(rest))
    return apply("scatter_nd", x.detach() * 0.0, joined, dy, reduce=1)


@scatter_nd_op.vjp
def _(dy: Tensor, x: Tensor, index: Tensor, s: Tensor, y: Tensor, reduce: int) -> Any:
    dx, ds = _combined_vjp(dy, x, s, y, reduce, lambda t: apply("gather_nd", t, index, batch=0),
                           lambda a, b, r: apply("scatter_nd", a, index, b, reduce=r))  # fmt: skip
    return dx, None, ds


# What users call


def index_of(index: Any) -> Tensor:
    """Numbers, lists and arrays as int64 tensors."""
    return index if isinstance(index, Tensor) else as_tensor(index if isinstance(index, int) else np.asarray(index, np.int64), DType.int64)


def index_select(x: Tensor, dim: int, index: Any) -> Tensor:
    """Slices of `dim` by number: x.shape[:dim] + index.shape + x.shape[dim + 1:] (torch.index_select, ONNX Gather)."""
    return apply("take", x, index_of(index), axis=axis_of("index_select", dim, x.ndim), skip=-1)


def take_along_dim(x: Tensor, indices: Any, dim: int) -> Tensor:
    """As gather, sizes of 1 broadcast."""
    at, axis = index_of(indices), axis_of("take_along_dim", dim, x.ndim)
    if at.ndim != x.ndim:
        raise ShapeError(f"take_along_dim: {at.spec} and {x.spec} differ in rank")
    whole = tuple(max(a, b) for a, b in zip(x.shape, at.shape))
    return gather(x.expand(*(x.shape[d] if d == axis else n for d, n in enumerate(whole))), axis,
                  at.expand(*(at.shape[d] if d == axis else n for d, n in enumerate(whole))))  # fmt: skip


def gather(x: Tensor, dim: int, index: Any) -> Tensor:
    """y[.., j, ..] = x[.., index[.., j, ..], ..] along `dim` (torch.gather, ONNX GatherElements)."""
    return apply("gather", x, index_of(index), axis=axis_of("gather", dim, x.ndim))


def gather_nd(x: Tensor, index: Any, batch_dims: int = 0) -> Tensor:
    """ONNX GatherND."""
    return apply("gather_nd", x, index_of(index), batch=batch_dims)


def _reduction(name: str, reduce: str | None) -> int:
    if (reduce or "none") not in _REDUCE:
        raise AttributeValueError(f"{name}: reduce {reduce!r}; expected one of {', '.join(REDUCE)}")
    return _REDUCE[reduce or "none"]


def scatter(x: Tensor, dim: int, index: Any, src: Any, reduce: str | None = None) -> Tensor:
    """x with y[.., index[.., j, ..], ..] = src[.., j, ..] along `dim`; `reduce`: add, mul, max or min instead of replace. torch.scatter (src may be a
    number), ONNX ScatterElements. Where an index stands twice the last one stays."""
    at = index_of(index)
    source = as_tensor(src, x.dtype)
    if source.ndim == 0 and at.ndim:
        source = source.expand(*at.shape)
    return apply("scatter", x, at, source, axis=axis_of("scatter", dim, x.ndim), reduce=_reduction("scatter", reduce))


def scatter_add(x: Tensor, dim: int, index: Any, src: Tensor) -> Tensor:
    """x with src added where index points."""
    return scatter(x, dim, index, src, "add")


def scatter_nd(x: Tensor, index: Any, src: Tensor, reduce: str | None = None) -> Tensor:
    """x with the slices that index[.., K] names replaced by, or combined with, those of src (ONNX ScatterND)."""
    return apply("scatter_nd", x, index_of(index), src, reduce=_reduction("scatter_nd", reduce))


def index_add(x: Tensor, dim: int, index: Any, src: Tensor) -> Tensor:
    """x with the slices of src added to those of `dim` that index[J] names."""
    axis = axis_of("index_add", dim, x.ndim)
    return x + apply("take_grad", src, index_of(index), axis=axis, skip=-1, size=x.shape[axis])


def index_put(x: Tensor, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Tensor:
    """x with y[indices[0], indices[1], ...] = values, or += with accumulate; the indices broadcast (torch.index_put)."""
    at = joined(indices)
    slices = at.shape[:-1] + x.shape[len(indices) :]
    return scatter_nd(x, at, as_tensor(values, x.dtype).expand(*slices), "add" if accumulate else None)


def joined(indices: Sequence[Any]) -> Tensor:
    """Several broadcast indices as the last dimension of one."""
    from .arrange import stack
    from .elementwise import broadcast

    parts = [index_of(i).to(DType.int64) for i in indices]
    shape = broadcast("indexing", *(p.shape for p in parts))
    return stack([p.expand(*shape) for p in parts], -1)


def embedding(input: Any, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Rows of weight[N, D] by number: [..., D]. The row `padding_idx` gets no gradient. The gradient adds up the rows that were used."""
    n: Any = weight.shape[0]
    if padding_idx is not None and not -n <= padding_idx < n:
        raise AttributeValueError(f"embedding: padding_idx {padding_idx} of {n} rows")
    return apply("embedding", weight, index_of(input), padding=-1 if padding_idx is None else padding_idx % n)


def masked_fill(x: Tensor, mask: Tensor, value: float) -> Tensor:
    """value where mask is true, x elsewhere."""
    return where(mask, value, x)


__all__ = ["embedding", "gather", "gather_nd", "index_add", "index_put", "index_select", "masked_fill", "scatter", "scatter_add", "scatter_nd",
           "take_along_dim"]  # fmt: skip
