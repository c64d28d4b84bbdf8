"""The functions of recurrent cells beyond sigmoid and tanh (https://onnx.ai/onnx/operators/onnx__LSTM.html), and the rounding of int8 recurrent weights, as
formulas: `k` is what recurrent_math.py has for numpy and for Tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.errors import AttributeValueError

# ONNX's name: what alpha and beta are when they are not given, in the order of cell_function (kernels/recurrent/recurrent.h).
FUNCTIONS = {"Sigmoid": (0.0, 0.0), "Tanh": (0.0, 0.0), "Relu": (0.0, 0.0), "Affine": (1.0, 0.0), "LeakyRelu": (0.01, 0.0), "ThresholdedRelu": (1.0, 0.0),
             "ScaledTanh": (1.0, 1.0), "HardSigmoid": (0.2, 0.5), "Elu": (1.0, 0.0), "Softsign": (0.0, 0.0), "Softplus": (0.0, 0.0)}  # fmt: skip
NAMES = tuple(FUNCTIONS)
OF_CELL = {"lstm": ("Sigmoid", "Tanh", "Tanh"), "gru": ("Sigmoid", "Tanh"), "rnn": ("Tanh",)}
Function = tuple[int, float, float]
UNITS = 16


def encode(kind: str, directions: int, given: Sequence[Any]) -> tuple[int, ...]:
    """The attribute of `given`: for each direction the cell's functions, each a name or (name, alpha, beta); three integers for each."""
    names = [one if isinstance(one, tuple) else (one,) for one in given]
    if len(names) != directions * len(OF_CELL[kind]):
        raise AttributeValueError(f"{kind}: {len(OF_CELL[kind])} activations a direction expected ({', '.join(OF_CELL[kind])} by default), not {len(names)}")
    found: list[int] = []
    for name, *numbers in names:
        if name not in FUNCTIONS or len(numbers) > 2:
            raise AttributeValueError(f"{kind}: activation {(name, *numbers)}; there are {', '.join(FUNCTIONS)}, with alpha and beta where they have them")
        both = (*numbers, *FUNCTIONS[name][len(numbers) :])
        found += [NAMES.index(name), *(int(np.float32(v).view(np.int32)) for v in both)]
    return tuple(found)


def decode(attribute: Sequence[int]) -> list[Function]:
    numbers = [[float(np.int32(v).view(np.float32)) for v in attribute[i + 1 : i + 3]] for i in range(0, len(attribute), 3)]
    return [(int(code), a, b) for code, (a, b) in zip(attribute[::3], numbers)]


def functions(kind: str, direction: int, attribute: Sequence[int], relu: int) -> list[Function]:
    """Those of a direction."""
    names = ("Relu",) if relu else OF_CELL[kind]
    many = len(names)
    return decode(attribute[direction * many * 3 : (direction + 1) * many * 3]) if attribute else [(NAMES.index(n), 0.0, 0.0) for n in names]


def call(k: Any, function: Function, x: Any) -> Any:
    code, alpha, beta = function
    name = NAMES[code]
    if name == "Sigmoid":
        return k.sigmoid(x)
    if name in ("Tanh", "ScaledTanh"):
        return k.tanh(x) if name == "Tanh" else k.tanh(x * beta) * alpha
    if name == "Affine":
        return x * alpha + beta
    if name == "HardSigmoid":
        line = x * alpha + beta
        return k.relu(line) - k.relu(line - 1.0)
    if name == "ThresholdedRelu":
        return x * (1.0 - k.positive(alpha - x))
    above, below = k.relu(x), k.relu(-x)
    if name == "LeakyRelu":
        return above - below * alpha
    if name == "Elu":
        return above + (k.exp(-below) - 1.0) * alpha
    if name == "Softsign":
        return x / (above + below + 1.0)
    return above + k.log(k.exp(-(above + below)) + 1.0) if name == "Softplus" else above


def round_panels(w: Any, gates: int) -> Any:
    """float32[G * H, K] -> int8 panels: kernels/recurrent/recurrent.h."""
    w = w.astype(np.float32)
    scale = np.abs(w).max(1, initial=0) / np.float32(127)
    with np.errstate(all="ignore"):
        return byte_panels(np.nan_to_num(np.rint(w / scale[:, None]), posinf=0, neginf=0), scale, gates)


def panel_shape(rows: int, columns: int, gates: int) -> tuple[int, ...]:
    """Of the int8 panels of a weight [G * H, K]."""
    return -(-(rows // gates) // UNITS), -(-columns // 4) + 2, gates, UNITS * 4


def byte_panels(whole: Any, scale: Any, gates: int, order: Any = None, out: Any = None) -> Any:
    """Bytes [G * H, K] and their scales [G * H] -> int8 panels. A gate after the other, its rows those of `order`: no copy of all of them is made."""
    columns = whole.shape[1]
    units, shape = len(scale) // gates, panel_shape(len(scale), columns, gates)
    blocks, quads = shape[0], shape[1] - 2
    panels = np.zeros(shape, np.int8) if out is None else out

    def line(v: Any) -> Any:
        return v.reshape(blocks, UNITS).view(np.int8)

    for g in range(gates):
        rows = slice(g * units, (g + 1) * units) if order is None else order[g * units : (g + 1) * units]
        full, scales = np.zeros((blocks * UNITS, quads * 4), np.int8), np.zeros(blocks * UNITS, np.float32)
        full[:units, :columns], scales[:units] = whole[rows], scale[rows]
        panels[:, :quads, g] = full.reshape(blocks, UNITS, quads, 4).transpose(0, 2, 1, 3).reshape(blocks, quads, UNITS * 4)
        panels[:, quads, g], panels[:, quads + 1, g] = line(scales), line(full.sum(1, dtype=np.int32))
    return panels


def unround(panels: Any, units: int, rows: int) -> tuple[Any, Any]:
    """int8 panels -> the bytes [G * H, K] and their scales [G * H]."""
    blocks, gates = panels.shape[0], panels.shape[2]
    body = panels[:, :-2].reshape(blocks, -1, gates, UNITS, 4).transpose(2, 0, 3, 1, 4).reshape(gates, blocks * UNITS, -1)
    scale = np.ascontiguousarray(panels[:, -2]).view(np.float32).transpose(1, 0, 2).reshape(gates, blocks * UNITS)
    return body[:, :units, :rows].reshape(gates * units, rows), scale[:, :units].reshape(gates * units)


def round_rows(h: Any) -> tuple[Any, Any]:
    """What a step makes of h before it meets int8 weights: 127 / m h, not rounded yet, and m / 127."""
    most = np.abs(h).max(1, initial=0)[:, None]
    some = most > 1e-30
    return np.where(some, h * (127 / np.where(some, most, 1)).astype(h.dtype), 0), (np.where(some, most, 0) / 127).astype(h.dtype)
