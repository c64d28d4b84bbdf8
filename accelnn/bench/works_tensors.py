"""What moves, orders or maps elements."""

from __future__ import annotations

from typing import Any

import numpy as np

import accelnn as an

from ..core.tensor import apply, apply_all
from .arrays import normal
from .check import Truth
from .works import Call, Inputs, Work, add, sizes

CHAINS = {"chain_cheap": lambda a, b, c: (a * 0.5 + b).relu() * c - a + 0.25, "chain_exp": lambda a, b, c: (a * 0.5 + b).tanh() * c.sigmoid() + a}


def _three(rng: np.random.Generator, text: str) -> Inputs:
    return Inputs([normal(rng, *sizes(text, 1, "elements")) for _ in range(3)])


def _chain(name: str) -> Work:
    def ours(x: Inputs) -> Call:
        plan, tensors = an.compile(CHAINS[name]), x.tensors()
        return lambda: plan(*tensors)

    def truth(x: Inputs) -> Truth:
        a, b, c = (v.astype(np.float64) for v in x.arrays)
        if name == "chain_cheap":
            y, size = np.maximum(a * 0.5 + b, 0) * c - a + 0.25, (np.abs(a * 0.5) + np.abs(b)) * np.abs(c) + np.abs(a) + 0.25
        else:
            y, size = np.tanh(a * 0.5 + b) / (1 + np.exp(-c)) + a, 1 + np.abs(a) + np.abs(b)
        return Truth([y], [8 * float(np.finfo(np.float32).eps) * size])

    return Work(name, "pointwise", _three, ours, "elements", truth=truth, cost=lambda x: (6.0 * x.arrays[0].size, 16.0 * x.arrays[0].size), plain=False,
                eager=False)  # fmt: skip


def _rows(grad: bool) -> Any:
    def draw(rng: np.random.Generator, text: str) -> Inputs:
        table, _, count = text.partition(":")
        (n, d), (j,) = sizes(table, 2, "rows x columns:numbers"), sizes(count, 1, "rows x columns:numbers")
        index = rng.integers(0, n, j)
        return Inputs([normal(rng, j if grad else n, d), index], {"axis": 0, "skip": -1, **({"size": n} if grad else {})})

    return draw


def _called(op: str) -> Any:
    def ours(x: Inputs) -> Call:
        tensors, attrs = x.tensors(), x.attrs
        return lambda: apply(op, *tensors, **attrs)

    return ours


def _moved(x: Inputs) -> tuple[float, float]:
    index, rows = x.arrays[1], x.arrays[1].size * x.arrays[0].shape[1]
    return float(rows), 8.0 * rows + index.nbytes + (4.0 * x.attrs["size"] * x.arrays[0].shape[1] if "size" in x.attrs else 0.0)


def _picture(rng: np.random.Generator, text: str) -> Inputs:
    shape, _, n = text.partition(":")
    by = int(n or 1)
    return Inputs([normal(rng, *sizes(shape, 4, "NxCxHxW:padding"))],
                  {"low": (0, 0, by, by), "high": (0, 0, by, by), "step": (), "mode": 0, "value": 0.0}, note={"by": by})  # fmt: skip


def _ordered(op: str) -> Any:
    def draw(rng: np.random.Generator, text: str) -> Inputs:
        x = normal(rng, *sizes(text, 2, "rows x columns"))
        attrs: dict[str, Any] = {"k": min(50, x.shape[1]), "largest": True} if op == "topk" else {"axis": 1, "keepdim": False, "least": False, "last": False}
        return Inputs([x], attrs)

    return draw


def _all_of(op: str) -> Any:
    def ours(x: Inputs) -> Call:
        tensors, attrs = x.tensors(), x.attrs
        return lambda: apply_all(op, *tensors, **attrs)

    return ours


def _upsampled(mode: str) -> Work:
    def truth(x: Inputs) -> Truth:
        from ..ops.resizing import resize_op

        how = {"nearest": (0, 2, 2), "bilinear": (1, 0, 2), "bicubic": (2, 0, 2)}[mode]
        y = x.arrays[0].astype(np.float64)
        largest = float(np.abs(y).max(initial=0))
        for axis in (3, 2):
            attrs = {"mode": how[0], "coordinate": how[1], "nearest": how[2], "cubic_a": -0.75, "outside": 0, "scale": 0.0}
            y = resize_op.reference(y, axis=axis, size=2 * y.shape[axis], **attrs)
        return Truth([y], [16 * float(np.finfo(np.float32).eps) * largest])

    def ours(x: Inputs) -> Call:
        (a,) = x.tensors()
        return lambda: an.interpolate(a, scale_factor=2, mode=mode)

    return Work(f"up_{mode}", "resize", lambda rng, text: Inputs([normal(rng, *sizes(text, 4, "NxCxHxW"))], note={"mode": mode}), ours, "NxCxHxW", truth=truth,
                cost=lambda x: (8.0 * x.arrays[0].size, 20.0 * x.arrays[0].size), plain=False, eager=False)  # fmt: skip


add(_chain("chain_cheap"), _chain("chain_exp"),
    Work("take", "take", _rows(False), _called("take"), "rows x columns:numbers", cost=_moved),
    Work("take_grad", "take_grad", _rows(True), _called("take_grad"), "rows x columns:numbers", cost=_moved),
    Work("pad_picture", "pad", _picture, _called("pad"), "NxCxHxW:padding"),
    Work("topk", "topk", _ordered("topk"), _all_of("topk"), "rows x columns, the 50 largest"),
    Work("argmax", "argmax", _ordered("argmax"), _all_of("argmax"), "rows x columns"),
    *(_upsampled(mode) for mode in ("nearest", "bilinear", "bicubic")))  # fmt: skip
