"""Products of matrices: float32, bfloat16, bytes, four bits."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import accelnn as an

from ...core.errors import ShapeError
from ...core.tensor import apply
from ..works import MATMUL, Inputs, sizes
from .numbers import Numbers
from .works import Sample, Work, add, draw_floats, some

COLUMNS, STRIPS = 64, 2  # that are looked at; of 16 columns each in packed weights


def _draw(dtype: str) -> Any:
    def draw(numbers: Numbers, text: str) -> Inputs:
        m, k, n = sizes(text, 3, MATMUL)
        return Inputs([draw_floats(numbers, dtype, m, k), draw_floats(numbers, dtype, k, n)])

    return draw


def _corner(columns: dict[int, int]) -> Any:
    """Some rows of the first operand against some columns of the others: {operand: the axis of its columns}."""

    def samples(x: Inputs) -> list[Sample]:
        first = next(iter(columns))
        rows, places = some(16, x.arrays[0].shape[0]), some(COLUMNS, x.arrays[first].shape[columns[first]])
        arrays = [x.arrays[0][rows], *x.arrays[1:]]
        for i, axis in columns.items():
            arrays[i] = np.ascontiguousarray(np.take(arrays[i], places, axis))
        return [Sample(Inputs(arrays, x.attrs), lambda found: [found[0][rows][:, places]])]

    return samples


def _cost(itemsize: int, result: int) -> Any:
    def cost(x: Inputs) -> tuple[float, float]:
        (m, k), n = x.arrays[0].shape, x.arrays[1].shape[1]
        return 2.0 * m * k * n, float(itemsize * (m * k + k * n) + result * m * n)

    return cost


def _static(numbers: Numbers, text: str) -> Inputs:
    m, k, n = sizes(text, 3, MATMUL)
    return Inputs([numbers.unsigned(m, k), np.array(128, np.uint8), numbers.signed(k, n), numbers.uniform(1e-4, 1e-3, n)], {"out": "float32"})


def _static_cost(x: Inputs) -> tuple[float, float]:
    (m, k), n = x.arrays[0].shape, x.arrays[2].shape[1]
    return 2.0 * m * k * n, float(m * k + k * n + 4 * m * n)


def _dynamic(numbers: Numbers, text: str) -> Inputs:
    m, k, n = sizes(text, 3, MATMUL)
    return Inputs([numbers.normal(m, k), numbers.signed(k, n), numbers.uniform(1e-3, 1e-2, n)])


def _int4(compute: int) -> Any:
    def draw(numbers: Numbers, text: str) -> Inputs:
        shape, _, option = text.partition(":group=")
        m, k, n = sizes(shape, 3, f"{MATMUL}[:group=128]")
        group = int(option or 128)
        if k % group:
            raise ShapeError(f"'{text}': K is no multiple of the group")
        q, scales = numbers.unsigned(n, k) & 15, numbers.uniform(1e-3, 1e-2, n, k // group).astype(np.float16).astype(np.float32)
        packed = apply("matmul_int4_pack", an.asarray(q), an.asarray(scales), group=group).numpy()
        return Inputs([numbers.normal(m, k), packed], {"columns": n, "group": group, "compute": compute}, {"q": q, "scales": scales})

    return draw


def _strips(x: Inputs) -> list[Sample]:
    """Some rows against the first and the last strips of columns."""
    a, w = x.arrays
    rows, n, found = some(16, a.shape[0]), x.attrs["columns"], []
    for part in (slice(0, STRIPS), slice(max(len(w) - STRIPS, 0), len(w))):
        begin, end = 16 * part.start, min(16 * part.stop, n)
        small = Inputs([a[rows], np.ascontiguousarray(w[part])], x.attrs | {"columns": end - begin})
        found.append(Sample(small, partial(_columns, rows, slice(begin, end))))
    return found


def _columns(rows: np.ndarray, columns: slice, results: list[np.ndarray]) -> list[np.ndarray]:
    return [results[0][rows][:, columns]]


def _int4_cost(x: Inputs) -> tuple[float, float]:
    (m, k), n = x.arrays[0].shape, x.attrs["columns"]
    return 2.0 * m * k * n, float(4 * m * k + x.arrays[1].nbytes + 4 * m * n)


add(Work("matmul", "matmul", MATMUL, _draw("f32"), _corner({1: 1}), peak="f32"),
    Work("matmul_bf16", "matmul", MATMUL, _draw("bf16"), _corner({1: 1}), peak="bf16", dtype="bf16"),
    Work("matmul_f16", "matmul", MATMUL, _draw("f16"), _corner({1: 1}), peak="f16", dtype="f16"),
    Work("matmul_fp8", "matmul", MATMUL, _draw("bf16"), _corner({1: 1}), peak="fp8", dtype="bf16", absent="there is no dtype float8 yet", cost=_cost(1, 2)),
    Work("qmatmul", "qmatmul", MATMUL, _static, _corner({2: 1, 3: 0}), peak="int8", dtype="i8", cost=_static_cost),
    Work("dynamic_qmatmul", "dynamic_qmatmul", MATMUL, _dynamic, _corner({1: 1, 2: 0}), peak="int8", dtype="i8"),
    Work("matmul_int4", "matmul_int4", f"{MATMUL}[:group=128]", _int4(0), _strips, peak="f32", dtype="i4", cost=_int4_cost),
    Work("matmul_int4_int8", "matmul_int4", f"{MATMUL}[:group=128]", _int4(1), _strips, peak="int8", dtype="i4", cost=_int4_cost))  # fmt: skip
