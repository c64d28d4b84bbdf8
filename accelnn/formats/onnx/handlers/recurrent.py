"""RNN, GRU, LSTM. ONNX orders the gates of the LSTM i o f c and those of the GRU z r h; accelnn's kernels have torch's order: i f g o, r z n."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .... import ops
from ....core.dtypes import DType
from ....core.tensor import Tensor, apply
from ....ops.recurrent import pack_weights, recurrent
from ....ops.recurrent_functions import FUNCTIONS, OF_CELL
from ..call import Call, register

ORDER = {"rnn": (0,), "gru": (1, 0, 2), "lstm": (0, 2, 3, 1)}
WITH_BETA = ("Affine", "ScaledTanh", "HardSigmoid")
WITH_ALPHA = (*WITH_BETA, "LeakyRelu", "ThresholdedRelu", "Elu")


def _gates(t: Tensor, kind: str, direction: int) -> Tensor:
    """Rows of one direction in torch's order."""
    one = apply("slice", t, axis=0, start=direction, length=1, step=1).reshape(*t.shape[1:])
    order = ORDER[kind]
    if len(order) == 1:
        return one
    rows: Any = one.shape[0]
    n = rows // len(order)
    return ops.cat([apply("slice", one, axis=0, start=g * n, length=n, step=1) for g in order], 0)


def _functions(kind: str, c: Call, directions: int) -> tuple[bool, list[Any]]:
    """Whether all are Relu of an RNN; else the cell's functions with their numbers, none for the default ones. activation_alpha and activation_beta hold
    the numbers of just those functions that have them, in order."""
    known = {name.lower(): name for name in FUNCTIONS}
    given = [str(a) for a in c.get("activations", [])]
    alphas, betas = iter(c.get("activation_alpha", [])), iter(c.get("activation_beta", []))
    found: list[Any] = []
    for name in given:
        if name.lower() not in known:
            raise c.refuse(f"the activation {name}")
        name = known[name.lower()]
        alpha, beta = FUNCTIONS[name]
        numbers = [float(next(alphas, alpha))] if name in WITH_ALPHA else []
        found.append((name, *numbers, *([float(next(betas, beta))] if name in WITH_BETA else [])))
    if [f[0] for f in found] in ([], list(OF_CELL[kind]) * directions):
        return False, []
    return (True, []) if kind == "rnn" and {f[0] for f in found} == {"Relu"} else (False, found)


def imported(kind: str, c: Call, x: Any, w: Any, r: Any, b: Any = None, lengths: Any = None, h0: Any = None, c0: Any = None, p: Any = None,
             narrow: Callable[[int, np.ndarray], tuple[Tensor, Tensor]] | None = None) -> Any:  # fmt: skip
    """`narrow(d, rows)`: what a direction's input meets, float32[G H, K] with its rows in this order, and its recurrent weights as int8 panels: for cells
    as they are by default; then the numbers of w and r are not looked at."""
    x, w, r = c.tensor(x), c.tensor(w), c.tensor(r)
    c.ignore("hidden_size")
    directions = {"forward": 1, "reverse": 1, "bidirectional": 2}.get(c.get("direction", "forward"))
    if directions is None or w.shape[0] != directions:
        raise c.bad(f"direction {c.get('direction')!r} and weights {w.shape}")
    relu, functions = _functions(kind, c, directions)
    first = bool(c.get("layout", 0))
    weights = []
    for d in range(directions):
        halves: tuple[Any, Any] = (None, None)
        if b is not None:
            bias = c.tensor(b)
            rows: Any = w.shape[1]
            both = apply("slice", bias, axis=0, start=d, length=1, step=1)
            halves = tuple(_gates(apply("slice", both, axis=1, start=k * rows, length=rows, step=1), kind, 0) for k in (0, 1))  # type: ignore[assignment]
        weights.append((_gates(w, kind, d), _gates(r, kind, d), *halves, None))
    hidden = 0
    if narrow is not None and not functions and p is None and not c.get("input_forget", 0):
        hidden = int(r.shape[2])
        rows = np.concatenate([np.arange(g * hidden, (g + 1) * hidden) for g in ORDER[kind]])
        for d, one in enumerate(weights):
            wide, panels = narrow(d, rows)
            weights[d] = (pack_weights(c.tensor(wide), len(ORDER[kind])), c.tensor(panels), *one[2:])
    states = [None if s is None else c.tensor(s) for s in (h0, c0)]
    if first:
        states = [None if s is None else s.transpose(0, 1) for s in states]
    peepholes = [] if p is None else [apply("slice", c.tensor(p), axis=0, start=d, length=1, step=1).reshape(-1) for d in range(directions)]
    found = recurrent(kind, x, weights, states[0], states[1], None if lengths is None else c.tensor(lengths, DType.int64), first,
                      c.get("direction", "forward") == "reverse", float(c.get("clip", 0.0)), relu, bool(c.get("linear_before_reset", 0)) or kind != "gru",
                      peepholes=peepholes, activations=functions, input_forget=bool(c.get("input_forget", 0)), hidden=hidden)  # fmt: skip
    y, *last = found
    units = y.shape[2] // directions
    y = y.reshape(y.shape[0], y.shape[1], directions, units)
    if first:
        last = [s.transpose(0, 1) for s in last]
    else:
        y = y.permute((0, 2, 1, 3)) if directions > 1 else y.reshape(y.shape[0], 1, y.shape[1], units)
    return (y, *last)[: len(c.outputs)]


for _kind, _name in (("rnn", "RNN"), ("gru", "GRU"), ("lstm", "LSTM")):
    register(_name)(lambda c, *inputs, kind=_kind: imported(kind, c, *inputs))
