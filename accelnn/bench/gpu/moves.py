"""What moves, maps, adds up or orders elements. Bytes limit all of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.dtypes import DType
from ..works import Inputs, sizes
from .numbers import Numbers
from .works import Work, add, along, whole

ROWS = "rows x columns"


def _rows(n: int = 1, **attrs: Any) -> Any:
    """n operands of one shape."""

    def draw(numbers: Numbers, text: str) -> Inputs:
        s = sizes(text, 2, ROWS)
        return Inputs([numbers.normal(*s) for _ in range(n)], dict(attrs))

    return draw


def _turned(numbers: Numbers, text: str) -> Inputs:
    m, n = sizes(text, 2, ROWS)
    return Inputs([numbers.normal(n, m).T])


def _taken(numbers: Numbers, text: str) -> Inputs:
    table, _, count = text.partition(":")
    (n, d), (j,) = sizes(table, 2, "rows x columns:numbers"), sizes(count, 1, "rows x columns:numbers")
    return Inputs([numbers.normal(n, d), numbers.integers(n, j)], {"axis": 0, "skip": -1})


def _taken_cost(x: Inputs) -> tuple[float, float]:
    return 0.0, 8.0 * x.arrays[1].size * x.arrays[0].shape[1] + x.arrays[1].nbytes


def _picture(numbers: Numbers, text: str) -> Inputs:
    window = {"kernel_h": 3, "kernel_w": 3, "stride_h": 2, "stride_w": 2} | dict.fromkeys(("pad_top", "pad_left", "pad_bottom", "pad_right"), 1)
    return Inputs([numbers.normal(*sizes(text, 4, "NxCxHxW"))], window)


def _uniform(numbers: Numbers, text: str) -> Inputs:
    return Inputs([np.array([1234, 5])], {"shape": tuple(sizes(text, 2, ROWS))})


def _chosen(numbers: Numbers, text: str) -> Inputs:
    condition, a, b = _rows(3)(numbers, text).arrays
    return Inputs([np.maximum(condition, 0), a, b])


def _topk(numbers: Numbers, text: str) -> Inputs:
    x = _rows()(numbers, text)
    return Inputs(x.arrays, {"k": min(50, x.arrays[0].shape[1]), "largest": True})


def _same(n_results: int = 1) -> Any:
    return along({0: 0}, dict.fromkeys(range(n_results), 0))


for _op in ("gelu", "silu", "exp", "tanh"):
    add(Work(_op, _op, ROWS, _rows(), _same()))
add(Work("add", "add", ROWS, _rows(2), along({0: 0, 1: 0}, {0: 0})),
    Work("where", "where", f"{ROWS}, half of them true", _chosen, along({0: 0, 1: 0, 2: 0}, {0: 0})),
    Work("sum_rows", "sum", ROWS, _rows(axes=(1,), keepdim=False), _same()),
    Work("sum_columns", "sum", ROWS, _rows(axes=(0,), keepdim=False), along({0: 1}, {0: 0})),
    Work("max_rows", "max", ROWS, _rows(axes=(1,), keepdim=False), _same()),
    Work("cumsum", "cumsum", ROWS, _rows(axis=1, exclusive=False, reverse=False), _same()),
    Work("argmax", "argmax", ROWS, _rows(axis=1, keepdim=False, least=False, last=False), _same()),
    Work("topk", "topk", f"{ROWS}, the 50 largest", _topk, _same(2)),
    Work("copy_turned", "copy", f"{ROWS} that lie as columns", _turned, _same()),
    Work("cast_bf16", "cast", f"{ROWS}, float32 to bfloat16", _rows(dtype=DType.bfloat16), _same()),
    Work("concat", "concat", f"{ROWS}, two side by side", _rows(2, axis=1), along({0: 0, 1: 0}, {0: 0})),
    Work("take", "take", "rows x columns:numbers", _taken, along({1: 0}, {0: 0}), cost=_taken_cost),
    Work("max_pool2d", "max_pool2d", "NxCxHxW, 3x3 at a stride of 2", _picture, along({0: 0}, {0: 0}, 2)),
    Work("dynamic_quantize", "dynamic_quantize", ROWS, _rows(), whole),
    Work("random_uniform", "random_uniform", ROWS, _uniform, whole))  # fmt: skip

