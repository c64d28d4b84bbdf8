"""Whole stacks of RNN, GRU, LSTM layers (export.py has them stand as one op)."""

from __future__ import annotations

from typing import Any

from .... import ops
from ....core.tensor import Tensor, apply
from ....ops.recurrent import recurrent
from ..call import Call, register
from ..export import RECURRENT


def _state(states: Tensor, first: int, n: int) -> Tensor:
    return apply("slice", states, axis=0, start=first, length=n, step=1)


@register(RECURRENT)
def _(c: Call, kind: str, x: Any, states: Any, weights: Any, bias: bool, layers: int, bidirectional: bool, batch_first: bool) -> Any:
    directions = 2 if bidirectional else 1
    cell, relu = ("rnn", True) if kind == "rnn_relu" else (kind, False)
    each = len(weights) // (layers * directions)  # w_ih, w_hh, with b_ih, b_hh, with w_hr
    lasts: list[list[Tensor]] = [[] for _ in states]
    for layer in range(layers):
        own = []
        for d in range(directions):
            given = weights[(layer * directions + d) * each :][:each]
            biases, rest = (given[2:4], given[4:]) if bias else ((None, None), given[2:])
            own.append((given[0], given[1], *biases, rest[0] if rest else None))
        start = [*(_state(s, layer * directions, directions) for s in states), None]
        x, *last = recurrent(cell, x, own, start[0], start[1], batch_first=batch_first, relu=relu)
        for kept, s in zip(lasts, last):
            kept.append(s)
    found = [ops.cat(kept, 0) for kept in lasts]
    return x, found[0], found[-1]
