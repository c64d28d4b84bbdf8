"""RNN, GRU, LSTM. ONNX orders the gates of the LSTM i o f c and those of the GRU z r h; ours have torch's order: i f g o, r z n."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....core.dtypes import DType
from ....ops.recurrent import INPUTS
from ....ops.recurrent_functions import NAMES as FUNCTION_NAMES
from ..handlers.recurrent import WITH_ALPHA, WITH_BETA
from ..step import Step, writes

TO_ONNX = {"rnn": (0,), "gru": (1, 0, 2), "lstm": (0, 3, 1, 2)}
NAMES = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}


def _gates(s: Step, name: str, operand: str, value: str) -> str:
    """Rows in ONNX's order; numbers that are known are written in it."""
    order = TO_ONNX[s.op]
    if len(order) == 1:
        return value
    array = s.known(INPUTS.index(operand))
    if array is not None and array.dtype == np.float32:
        rows = array.reshape(len(order), -1, *array.shape[1:])[list(order)].reshape(array.shape)
        return s.work.const(rows, hint=name)
    rows_of: Any = s.spec(INPUTS.index(operand)).shape[0]
    n = rows_of // len(order)
    return str(s.add("Concat", *(s.slice(value, 0, g * n, (g + 1) * n) for g in order), axis=0))


def _stacked(s: Step, parts: list[str]) -> str:
    """One for each direction, in front."""
    front = [s.add("Unsqueeze", p, s.ints(0)) for p in parts]
    return front[0] if len(front) == 1 else str(s.add("Concat", *front, axis=0))


def _activations(s: Step) -> dict[str, Any]:
    """Names for each direction, and the numbers of those that have any (ops/recurrent_functions.py: three integers for each)."""
    codes = list(s["activations"] or ())
    names = [FUNCTION_NAMES[n] for n in codes[::3]]
    alphas, betas = (np.array(codes[i::3], np.int32).view(np.float32).tolist() for i in (1, 2))
    found = {"activations": names, "activation_alpha": [a for n, a in zip(names, alphas) if n in WITH_ALPHA],
             "activation_beta": [b for n, b in zip(names, betas) if n in WITH_BETA]}  # fmt: skip
    return {k: v for k, v in found.items() if v}


@writes("rnn", "gru", "lstm")
def _(s: Step, *inputs: str | None) -> Any:
    given: dict[str, Any] = dict(zip(INPUTS, (*inputs, *[None] * (len(INPUTS) - len(inputs)))))
    if s["packed"] or given["w_hr"] is not None:
        s.refuse("packed weights and projections")
    states = 3 if s.op == "lstm" else 2
    if any(s.wanted[states:]):
        s.refuse("gates that are kept for the gradient")
    if s["reverse"] and given["w_ih2"] is not None:
        s.refuse("two directions, the backward one first")
    both = [""] if given["w_ih2"] is None else ["", "2"]
    y_spec, h_spec = s.outputs[:2]
    units: Any = h_spec.shape[2]
    gates = len(TO_ONNX[s.op])
    weights = [_stacked(s, [_gates(s, w, w + d, given[w + d]) for d in both]) for w in ("w_ih", "w_hh")]
    bias = None
    if any(given[b + d] is not None for b in ("b_ih", "b_hh") for d in both):
        zeros = s.const(np.zeros(gates * units))
        bias = _stacked(s, [s.add("Concat", *(zeros if given[b + d] is None else _gates(s, b, b + d, given[b + d]) for b in ("b_ih", "b_hh")), axis=0)
                            for d in both])  # fmt: skip
    lengths = None if given["lengths"] is None else s.cast(given["lengths"], DType.int32)
    x = s.transpose(given["x"], 1, 0, 2) if s["batch_first"] else given["x"]
    how: dict[str, Any] = {"hidden_size": units, "direction": "bidirectional" if len(both) > 1 else "reverse" if s["reverse"] else "forward"}
    if s.op == "gru":
        how["linear_before_reset"] = s.whole("linear_before_reset")
    if s.op == "rnn" and s.node.attrs.get("relu"):
        how["activations"] = ["Relu"] * len(both)
    how |= _activations(s)
    if s["clip"]:
        how["clip"] = float(s["clip"])
    operands = [x, *weights, bias, lengths, given["h0"]]
    if s.op == "lstm":
        peepholes = [given[p] for p in ("peephole", "peephole2")[: len(both)]]
        missing = s.const(np.zeros(3 * units)) if any(p is not None for p in peepholes) else None
        operands += [given["c0"], None if missing is None else _stacked(s, [p or missing for p in peepholes])]
        if s["input_forget"]:
            how["input_forget"] = 1
    y, *last = s.add(NAMES[s.op], *operands, outputs=states, **how)
    order = (2, 0, 1, 3) if s["batch_first"] else (0, 2, 1, 3)  # of [T, D, B, H]
    y = s.reshape(s.transpose(y, *order), y_spec.shape)
    return (y, *last, *[""] * (len(s.outputs) - states))
