"""Rows that move, convert and calculate exactly, where the samples of the ops do not go: bit for bit what the CPU's rows give."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from accelnn import _C
from accelnn.core.dtypes import SELDOM, DType, as_dtype
from accelnn.core.graph import Spec
from accelnn.core.registry import OPS
from accelnn.core.remote import Remote, device_named
from accelnn.core.remote_call import DeviceCall, attributes
from accelnn.ops.arithmetic import KINDS, UNARY, has

from .where import DEVICE

SCATTER = "gather.gpu_triton_scatter"


def on_both(name: str, module: str, arrays: list[Any], dtypes: list[DType] | None = None, **attrs: Any) -> tuple[np.ndarray, np.ndarray]:
    """The device's result and the CPU's. dtypes: of the arrays, where numpy lacks one."""
    op, dtypes = OPS[name], dtypes or [as_dtype(a.dtype) for a in arrays]
    outputs = op.specs([Spec(a.shape, d) for a, d in zip(arrays, dtypes)], attrs)
    here = tuple(_C.View.share(np.ascontiguousarray(a).reshape(a.shape), d) for a, d in zip(arrays, dtypes))
    (cpu,) = _C.call(op.number, here, op.packed(attrs, len(arrays)), tuple((s.shape, int(s.dtype)) for s in outputs))
    return on_device(name, module, arrays, dtypes, **attrs), np.asarray(cpu.numpy())


def on_device(name: str, module: str, arrays: list[Any], dtypes: list[DType], **attrs: Any) -> np.ndarray:
    op, device = OPS[name], device_named(DEVICE)
    there = [Remote.of(device, a, d) for a, d in zip(arrays, dtypes)]
    (output,) = op.specs([Spec(a.shape, d) for a, d in zip(arrays, dtypes)], attrs)
    made = Remote.empty(device, output.shape, output.dtype)
    getattr(importlib.import_module(f"accelnn.kernels.{module}"), name).run(DeviceCall(device, there, [made], attributes(op, attrs, len(arrays))))
    return made.numpy()


def numbers(rng: np.random.Generator, dtype: DType) -> np.ndarray:
    """Random ones and those at which a conversion changes its mind."""
    storage = dtype.storage
    if dtype == DType.bool:
        return rng.random(200) < 0.5
    if dtype == DType.bfloat16:
        return rng.integers(0, 1 << 16, 400).astype(np.uint16)
    if dtype.is_float:
        ends = (0, 0.5, 127.5, 128, 129, 255.5, 256, 65504, 65519, 65520, 2.0**31, 2.0**32, 2.0**63, 2.0**64, np.inf)
        halfway = (6e-8, 1e-8, 1 + 2.0**-8, 1 + 2.0**-11, 1 + 2.0**-8 + 2.0**-40, 1 + 2.0**-11 + 2.0**-40)
        edges = [sign * x for sign in (1, -1) for x in ends + halfway]
        with np.errstate(over="ignore"):
            return np.array([*edges, np.nan, *(rng.normal(size=150) * 10.0 ** rng.integers(-45, 39, 150)), *rng.normal(size=100) * 100]).astype(storage)
    whole = np.iinfo(storage)
    return np.concatenate([rng.integers(whole.min, whole.max, 150, storage, endpoint=True), np.array([whole.min, whole.max, whole.max - 1, 0, 1], storage)])


def same(got: np.ndarray, want: np.ndarray, dtype: DType) -> bool:
    """Bit for bit; one NaN is as good as another."""
    if dtype == DType.bfloat16:
        got, want = ((x.view(np.uint16).astype(np.uint32) << 16).view(np.float32) for x in (got, want))
    if got.dtype.kind != "f":
        return np.array_equal(got, want)
    both = np.isnan(got) & np.isnan(want)
    return bool((both | ((got == want) & (np.signbit(got) == np.signbit(want)))).all())


@pytest.mark.parametrize("source", list(DType), ids=lambda d: d.name)
def test_every_cast(source: DType) -> None:
    x = numbers(np.random.default_rng(1), source)
    for target in (DType.bool, DType.int8, DType.uint8, DType.int32, DType.int64, DType.float32, DType.float16, DType.bfloat16, *SELDOM):
        got, want = on_both("cast", "copy.gpu_triton", [x], [source], dtype=target)
        assert same(got, want, target), f"{source.name} to {target.name}"


@pytest.mark.parametrize("reduce", range(5), ids=("none", "add", "mul", "max", "min"))
@pytest.mark.parametrize(("terms", "places", "width"), [(600, 7, 3), (300, 300, 1), (2, 1, 5), (257, 1, 2)])
def test_many_terms_for_one_place(terms: int, places: int, width: int, reduce: int) -> None:
    """More terms than a tile of the sort has, so that runs are merged, and places that get one, several or all of them: sums in the order of the terms."""
    rng = np.random.default_rng(terms + reduce)
    x, s = (rng.normal(size=(n, width)).astype(np.float32) for n in (places, terms))
    index = rng.integers(-places, places, terms)
    for name, at in (("scatter_nd", index[:, None]), ("scatter", rng.integers(-places, places, (terms, width)))):
        got, want = on_both(name, SCATTER, [x, at, s], reduce=reduce, **({"axis": 0} if name == "scatter" else {}))
        assert got.tobytes() == want.tobytes(), name
    if reduce == 1:
        got, want = on_both("take_grad", SCATTER, [s, index.astype(np.int32)], axis=0, skip=places - 1, size=places)
        assert got.tobytes() == want.tobytes()


def test_an_index_outside_reads_nothing_and_writes_nothing() -> None:
    x, ones = np.arange(10, dtype=np.float32).reshape(5, 2) + 1, np.ones((6, 2), np.float32)
    index = np.array([0, 5, -6, 4, 2**62, -(2**62)])
    f, i = DType.float32, DType.int64
    inside = np.array([1, 0, 0, 1, 0, 0], bool)
    read = np.where(inside[:, None], x[np.where(inside, index, 0)], 0)
    assert np.array_equal(on_device("take", "gather.gpu_triton", [x, index], [f, i], axis=0, skip=-1), read)
    assert np.array_equal(on_device("gather_nd", "gather.gpu_triton", [x, index[:, None]], [f, i], batch=0), read)
    assert np.array_equal(on_device("gather", "gather.gpu_triton", [x, np.stack([index, index], 1)], [f, i], axis=0), read)
    added = np.bincount([0, 4], minlength=5).astype(np.float32)[:, None]
    assert np.array_equal(on_device("scatter_nd", SCATTER, [x, index[:, None], ones], [f, i, f], reduce=1), x + added)
    assert np.array_equal(on_device("scatter", SCATTER, [x, np.stack([index, index], 1), ones], [f, i, f], axis=0, reduce=1), x + added)
    assert np.array_equal(on_device("take_grad", SCATTER, [ones, index], [f, i], axis=0, skip=-1, size=5), np.broadcast_to(added, (5, 2)))
    hot = on_device("one_hot", "softmax.gpu_triton_one_hot", [np.array([1, 3, -1])], [i], classes=3)
    assert np.array_equal(hot, [[0, 1, 0], [0, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize("kind", KINDS)
def test_arithmetic_at_the_ends_of_ranges(kind: str) -> None:
    """Divisors of 0 and -1, shifts by more than there are bits, the least number; quotients of more than 53 bits, subnormal and infinite operands."""
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 0.5, 1.5, -2.5, 5e-324, 2.3e-308, 1.7e308, 3, 1e300, -1e-300, 2.0**52 + 1, 709.7, -745.1])
    for dtype in (DType.int8, DType.uint8, DType.int32, DType.int64, DType.uint64, DType.bool, DType.float64):
        if not has(dtype, kind):
            continue
        if dtype == DType.float64:
            few = special
        elif dtype == DType.bool:
            few = np.array([False, True])
        else:
            ends = np.iinfo(dtype.storage)
            chosen = [v for v in (ends.min, ends.min + 1, -9, -2, -1, 0, 1, 2, 3, 7, 8, 31, 32, 63, 64, 65, ends.max) if ends.min <= v <= ends.max]
            few = np.array(chosen, dtype.storage)
        a, b = (np.ascontiguousarray(m) for m in np.meshgrid(few, few))
        operands = [a, b, a != b][: 1 if kind in UNARY else 3 if kind == "select" else 2]
        got, want = on_both("arithmetic", "arithmetic.gpu_triton", operands, kind=KINDS.index(kind))
        if kind in ("exp", "log"):
            with np.errstate(invalid="ignore"):
                close = np.abs(got - want) <= np.abs(want) * 2.0**-49      # 4 ulp each
            assert (close | (got == want) | (np.isnan(got) & np.isnan(want))).all(), dtype
        else:
            assert same(got, want, as_dtype(got.dtype)), dtype
