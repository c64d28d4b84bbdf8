"""LSTM and GRU layers: forward with packed weights, with bfloat16 recurrent weights, and forward and backward together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import accelnn as an

from ..core.dtypes import BFLOAT16, DType
from ..core.registry import OPS
from ..core.tensor import apply_all, no_grad
from ..ops.recurrent import pack_weights
from ..ops.recurrent_functions import round_rows
from ..ops.recurrent_math import GATES, Numpy, backward, forward
from .arrays import normal, placed
from .check import Truth, float64, naive_allowance, truth_of
from .works import Call, Inputs, Work, add, sizes

RECURRENT = "batch x steps x inputs x units"


def _draw(kind: str) -> Callable[[np.random.Generator, str], Inputs]:
    def draw(rng: np.random.Generator, text: str) -> Inputs:
        batch, steps, inputs, units = sizes(text, 4, RECURRENT)
        rows, scale = GATES[kind] * units, np.float32(1 / np.sqrt(units))
        weights = [placed(normal(rng, *shape) * scale) for shape in ((rows, inputs), (rows, units), (rows,), (rows,))]
        return Inputs([normal(rng, batch, steps, inputs), *weights], {"batch_first": 1}, {"kind": kind})

    return draw


def _packed(dtype: DType) -> Callable[[Inputs], Inputs]:
    def pack(x: Inputs) -> Inputs:
        gates, (a, w_ih, w_hh, *biases) = GATES[x.note["kind"]], x.arrays
        panels = pack_weights(an.asarray(w_ih), gates).numpy(), pack_weights(an.asarray(w_hh), gates, dtype).numpy(raw=True)
        half = panels[1].view(BFLOAT16) if dtype == DType.bfloat16 else panels[1]
        return Inputs([a, placed(panels[0]), placed(half), *biases], {**x.attrs, "packed": 1, "hidden": w_hh.shape[1]}, x.note)

    return pack


def _forward(dtype: DType) -> Callable[[Inputs], Call]:
    def ours(x: Inputs) -> Call:
        packed = _packed(dtype)(x)
        tensors, attrs, kind = packed.tensors(), packed.attrs, x.note["kind"]
        return lambda: apply_all(kind, *tensors, **attrs)[0]

    return ours


def _truth(x: Inputs) -> Truth:
    found = truth_of(OPS[x.note["kind"]], x.arrays, x.attrs, [DType.float32])
    return Truth(found.values[:1], found.allowed[:1])


def _half_truth(x: Inputs) -> Truth:
    """That of the rounded weights: what they multiply stays float32."""
    a, w_ih, w_hh, *biases = x.arrays
    with no_grad():
        rounded = an.asarray(w_hh).to("bfloat16").float().numpy()
    return _truth(Inputs([a, w_ih, rounded, *biases], x.attrs, x.note))


@dataclass(frozen=True)
class ByteTruth(Truth):
    """Of int8 recurrent weights. In each step h is rounded to bytes, and a state near the middle between two of them is rounded as its last bit has it: two
    right results may go different ways from there on. A result is held to the formulas with the bytes that its own states round to, which float32 fixes
    exactly (127 / m h is rounded twice, in the same order by everybody): within twice the error of those in float32, and 4 ulp, without room for any byte."""

    packed: Inputs | None = None

    def problem(self, results: Sequence[np.ndarray]) -> str | None:
        assert self.packed is not None
        x, found = self.packed, results[0]
        if found.shape != self.values[0].shape:
            return super().problem(results)
        right, naive = (_with_states(x, found, convert) for convert in (float64, np.asarray))
        return Truth([right], [naive_allowance(naive.astype(np.float64), right)]).problem(results)


def _with_states(x: Inputs, y: np.ndarray, convert: Callable[[Any], Any]) -> np.ndarray:
    """y by the formulas; where a step rounds its h, that is taken from the given y."""
    before = iter([np.zeros_like(y[:, 0]), *(y[:, t] for t in range(y.shape[1] - 1))])

    class Told(Numpy):
        @classmethod
        def byte_product(cls, h: Any, weights: tuple[Any, Any]) -> Any:
            whole, scale = round_rows(next(before))
            total = np.rint(whole).astype(np.float64) @ weights[0].T.astype(np.float64)
            return total.astype(h.dtype) * (scale.astype(h.dtype) * weights[1].astype(h.dtype))

    found: np.ndarray = forward(Told, x.note["kind"], *(convert(v) for v in x.arrays), **x.attrs)[0]
    return found


def _byte_truth(x: Inputs) -> Truth:
    packed = _packed(DType.int8)(x)
    found = truth_of(OPS[x.note["kind"]], packed.arrays, packed.attrs, [DType.float32])
    return ByteTruth(found.values[:1], found.allowed[:1], packed)


def _training(x: Inputs) -> Call:
    """y.sum().backward() of a layer; both weights' gradients."""
    kind, (a, *weights) = x.note["kind"], x.tensors()
    for w in weights:
        w.requires_grad_()

    def call() -> Any:
        for w in weights:
            w.grad = None
        apply_all(kind, a, *weights, batch_first=1, save=1)[0].sum().backward()
        return weights[0].grad, weights[1].grad

    return call


def _gradients(x: Inputs, dtype: Any) -> list[np.ndarray]:
    kind, (a, w_ih, w_hh, b_ih, b_hh) = x.note["kind"], [v.astype(dtype) for v in x.arrays]
    y, *_, gates, before = OPS[kind].reference(a, w_ih, w_hh, b_ih, b_hh, batch_first=1, save=1)
    found = backward(Numpy, kind, gates, w_hh, dy=np.ones_like(y), before=before if kind == "gru" else None, batch_first=1)
    di, dj = found[0][0], found[2][0] if kind == "gru" else found[0][0]
    rows = a.transpose(1, 0, 2).reshape(-1, a.shape[2])
    return [di.reshape(-1, di.shape[2]).T @ rows, dj.reshape(-1, dj.shape[2]).T @ before[0].reshape(-1, before.shape[3])]


def _training_truth(x: Inputs) -> Truth:
    right, naive = _gradients(x, np.float64), _gradients(x, np.float32)
    return Truth(right, [naive_allowance(n.astype(np.float64), r) for n, r in zip(naive, right)])


def _training_cost(x: Inputs) -> tuple[float, float]:
    kind = x.note["kind"]
    flops, moved = OPS[kind].cost(*x.specs(), **x.attrs)  # type: ignore[misc]
    return 3.0 * float(flops), 3.0 * float(moved)


for _kind in ("lstm", "gru"):
    add(Work(_kind, _kind, _draw(_kind), _forward(DType.float32), f"{RECURRENT}, weights packed once", truth=_truth, called=_packed(DType.float32),
             plain=False),
        Work(f"{_kind}_bf16", _kind, _draw(_kind), _forward(DType.bfloat16), f"{RECURRENT}, recurrent weights bfloat16", peers=_kind, truth=_half_truth,
             peer_truth=_truth, called=_packed(DType.bfloat16), plain=False),
        Work(f"{_kind}_int8", _kind, _draw(_kind), _forward(DType.int8), f"{RECURRENT}, recurrent weights int8", peers=_kind, truth=_byte_truth,
             peer_truth=_truth, called=_packed(DType.int8), plain=False),
        Work(f"{_kind}_training", _kind, _draw(_kind), _training, f"{RECURRENT}, forward and backward", truth=_training_truth, cost=_training_cost,
             plain=False, eager=False))  # fmt: skip
