"""RNN, LSTM and GRU over whole sequences: one layer, one or both directions (kernels/recurrent/recurrent.h has the formulas, and the sources:
Elman 1990; Hochreiter and Schmidhuber 1997, Gers et al. 2000; Cho et al. 2014; the projection of Sak et al. 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ..core import autograd
from ..core.dims import AnySize
from ..core.dtypes import DType, as_dtype, to_bfloat16
from ..core.errors import AttributeValueError, DTypeError, GraphError, ShapeError, UnsupportedError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply, apply_all, enable_grad, mode
from . import recurrent_functions as special, recurrent_math as formulas
from .recurrent_math import GATES, UNITS, Numpy, Tensors
from .recurrent_wgrad import rows_of

INPUTS = ("x", "w_ih", "w_hh", "b_ih", "b_hh", "w_hr", "w_ih2", "w_hh2", "b_ih2", "b_hh2", "w_hr2", "lengths", "h0", "c0",
          "peephole", "peephole2")  # fmt: skip


PACKED = (DType.float32, DType.bfloat16, DType.int8)


def _expect(kind: str, what: str, got: Spec | None, shape: tuple[Any, ...], dtype: DType = DType.float32) -> None:
    if got is not None and got != Spec(shape, dtype):
        raise ShapeError(f"{kind}: {what} is {got}, {Spec(shape, dtype)} expected")


def panels(units: AnySize, rows: AnySize, gates: int, dtype: DType) -> Spec:
    """What recurrent_pack makes of a weight [gates * units, rows]."""
    deep = {DType.bfloat16: 2, DType.int8: 4}.get(dtype, 1)
    return Spec(((units + UNITS - 1) // UNITS, (rows + deep - 1) // deep + (2 if deep == 4 else 0), gates, UNITS * deep), dtype)


def _shape(kind: str, x: Spec, w_ih: Spec, w_hh: Spec, *rest: Spec | None, reverse: int = 0, batch_first: int = 0, packed: int = 0, save: int = 0,
           clip: float = 0.0, linear_before_reset: int = 1, relu: int = 0, hidden: Any = None, activations: Sequence[int] = (),
           input_forget: int = 0) -> Any:  # fmt: skip
    given = dict(zip(INPUTS, (x, w_ih, w_hh, *rest, *[None] * (13 - len(rest)))))
    if len(x.shape) != 3 or x.dtype != DType.float32:
        raise ShapeError(f"{kind}: x float32[T, B, I] (batch_first: [B, T, I]) expected, not {x}")
    steps, batch = (x.shape[1], x.shape[0]) if batch_first else (x.shape[0], x.shape[1])
    gates, w_hr = GATES[kind], given["w_hr"]
    if w_hr is not None and (kind != "lstm" or len(w_hr.shape) != 2):
        raise ShapeError(f"{kind}: w_hr is {w_hr}; only the LSTM has a projection, [P, H]")
    units = w_hr.shape[1] if w_hr is not None else hidden if packed else w_hh.shape[0] // gates
    size = w_hr.shape[0] if w_hr is not None else units
    two = given["w_ih2"] is not None
    for d in ("", "2")[: 1 + two]:
        wi, wh, both = given["w_ih" + d], given["w_hh" + d], f"w_ih{d} and w_hh{d}"
        if wi is None or wh is None:
            raise ShapeError(f"{kind}: {both} are needed")
        if packed:
            _expect(kind, f"packed w_ih{d}", wi, *panels(units, x.shape[2], gates, DType.float32))
            kept = w_hh.dtype if w_hh.dtype in PACKED else DType.float32
            if kept == DType.int8 and not linear_before_reset:
                raise UnsupportedError(f"{kind}: int8 recurrent weights with linear_before_reset=0; bfloat16 and float32 have it")
            _expect(kind, f"packed w_hh{d}", wh, panels(units, size, gates, kept).shape, kept)
        else:
            _expect(kind, f"w_ih{d}", wi, (gates * units, x.shape[2]))
            _expect(kind, f"w_hh{d}", wh, (gates * units, size))
        for b in ("b_ih" + d, "b_hh" + d):
            _expect(kind, b, given[b], (gates * units,))
        if (given["w_hr" + d] is None) != (w_hr is None):
            raise ShapeError(f"{kind}: both directions have a projection, or none")
        _expect(kind, f"w_hr{d}", given["w_hr" + d], (size, units))
    if not two and any(given[n] is not None for n in ("w_hh2", "b_ih2", "b_hh2", "w_hr2")):
        raise ShapeError(f"{kind}: a second direction without its w_ih")
    if clip < 0:
        raise AttributeValueError(f"{kind}: clip is {clip}; 0 (none) or more expected")
    if kind != "lstm" and given["c0"] is not None:
        raise ShapeError(f"{kind}: c0 is a state of LSTMs")
    many = 2 if two else 1
    for n in range(2):
        peephole = given[INPUTS[14 + n]]
        if peephole is not None and (kind != "lstm" or n >= many):
            raise ShapeError(f"{kind}: {INPUTS[14 + n]} is {peephole}: LSTMs have one a direction")
        _expect(kind, INPUTS[14 + n], peephole, (3 * units,))
    if input_forget and kind != "lstm":
        raise AttributeValueError(f"{kind}: input_forget couples gates of the LSTM")
    if len(activations) not in (0, 3 * many * len(special.OF_CELL[kind])):
        raise AttributeValueError(f"{kind}: {many * len(special.OF_CELL[kind])} activations expected")
    if save and (activations or input_forget or given["peephole"] is not None or given["peephole2"] is not None):
        raise AttributeValueError(f"{kind}: no gates are kept with activations, peepholes or input_forget")
    _expect(kind, "lengths", given["lengths"], (batch,), DType.int64)
    _expect(kind, "h0", given["h0"], (many, batch, size))
    _expect(kind, "c0", given["c0"], (many, batch, units))
    f32 = DType.float32
    y = Spec((batch, steps, many * size) if batch_first else (steps, batch, many * size), f32)
    found = [y, Spec((many, batch, size), f32)]
    if kind == "lstm":
        found.append(Spec((many, batch, units), f32))
    if save:
        saved = {"rnn": 1, "lstm": 5 + (w_hr is not None), "gru": 4}[kind]
        found += [Spec((many, steps, batch, saved * units), f32), Spec((many, steps, batch, size), f32)]
    return tuple(found)


def _grad_shape(kind: str, gates: Spec, w_hh: Spec, w_hr: Spec | None = None, w_hh2: Spec | None = None, w_hr2: Spec | None = None,
                lengths: Spec | None = None, dy: Spec | None = None, dh: Spec | None = None, dc: Spec | None = None, before: Spec | None = None,
                reverse: int = 0, batch_first: int = 0, relu: int = 0) -> Any:  # fmt: skip
    many, steps, batch = gates.shape[:3]
    rows, size = w_hh.shape
    units = rows // GATES[kind]
    _expect(f"{kind}_grad", "dy", dy, (batch, steps, many * size) if batch_first else (steps, batch, many * size))
    _expect(f"{kind}_grad", "dh", dh, (many, batch, size))
    _expect(f"{kind}_grad", "dc", dc, (many, batch, units))
    sums, f32 = Spec((many, steps, batch, rows), DType.float32), DType.float32
    found = [sums, Spec((many, batch, size), f32)]
    if kind == "lstm":
        found.append(Spec((many, batch, units), f32))
        if w_hr is not None:
            found.append(Spec((many, steps, batch, size), f32))
    return (*found, sums) if kind == "gru" else tuple(found)


def _flops(kind: str, x: Spec, w_ih: Spec, w_hh: Spec, *rest: Any, **attrs: Any) -> Any:
    y, h = _shape(kind, x, w_ih, w_hh, *rest, **attrs)[:2]
    steps_batch: Any = x.shape[0] * x.shape[1]
    units = rest[2].shape[1] if len(rest) > 2 and rest[2] is not None else h.shape[2]
    flops = 2 * steps_batch * h.shape[0] * GATES[kind] * units * (x.shape[2] + h.shape[2])
    return flops, 4 * (steps_batch * (x.shape[2] + y.shape[2]) + h.shape[0] * GATES[kind] * units * (x.shape[2] + h.shape[2]))


# Samples: (T, B, I, H, P or 0, directions)
_SIZES = ((1, 1, 1, 1, 0, 1), (3, 2, 4, 5, 0, 1), (5, 3, 6, 16, 0, 2), (4, 1, 17, 33, 0, 1), (2, 31, 9, 20, 0, 1), (30, 1, 3, 17, 0, 1), (3, 4, 5, 7, 3, 2),
          (0, 2, 3, 4, 0, 1), (2, 0, 3, 4, 0, 1), (2, 2, 0, 4, 0, 1), (2, 1, 3, 18, 17, 1), (3, 15, 4, 48, 0, 1), (11, 1, 23, 4, 0, 2))  # fmt: skip


def _draw(kind: str, steps: int, batch: int, inputs: int, units: int, size: int, many: int, rng: np.random.Generator) -> list[Any]:
    def array(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32)

    n = GATES[kind]
    scale = np.float32(1 / np.sqrt(max(units, 1)))
    found: list[Any] = [array(steps, batch, inputs)]
    for _ in range(many):
        found += [array(n * units, inputs) * scale, array(n * units, size or units) * scale, array(n * units), array(n * units),
                  array(size, units) * scale if size else None]  # fmt: skip
    found += [None] * (11 - len(found))
    lengths = rng.permutation(np.linspace(min(steps, 1), steps, batch).astype(np.int64)) if batch else np.zeros(0, np.int64)
    peepholes = [array(3 * units) if kind == "lstm" and d < many else None for d in range(2)]
    return [*found, lengths, array(many, batch, size or units), array(many, batch, units) if kind == "lstm" else None, *peepholes]


def _with(arrays: Sequence[Any], peepholes: bool = False, **left_out: Any) -> tuple[Any, ...]:
    """The operands with some of them left out (or in place of those drawn)."""
    return tuple(left_out.get(name, a) for name, a in zip(INPUTS if peepholes else INPUTS[:14], arrays))


def _wholes(kind: str, inputs: Sequence[Any], attrs: dict[str, Any]) -> list[Any]:
    """What the steps round to bytes, one after the other."""
    found: list[Any] = []

    class Watching(Numpy):
        @classmethod
        def byte_product(cls, h: Any, weights: Any) -> Any:
            found.append(special.round_rows(h)[0])
            return super().byte_product(h, weights)

    formulas.forward(Watching, kind, *inputs, **attrs)
    return found


def _steady(kind: str, inputs: Sequence[Any], attrs: dict[str, Any]) -> bool:
    """Whether every row that keeps the contract rounds every state to the same byte. The reference does not see a row's results; where float32 decides
    between two bytes both are right, and what follows differs by more than any bound on rounding. The contract's own allowance (twice the error of the
    formulas in float32, and 4 ulp) says how near to the middle that is. Others are drawn in the place of a sample that comes as near; what happens there
    is held to account by the bench, which follows a result's own bytes (bench/works_recurrent.py)."""
    right = _wholes(kind, [v.astype(np.float64) if v is not None and v.dtype == np.float32 else v for v in inputs], attrs)
    naive = _wholes(kind, inputs, attrs)
    off = max((float(np.abs(a - b).max(initial=0.0)) for a, b in zip(naive, right)), default=0.0)
    near = min((float(np.min(0.5 - np.abs(a - np.rint(a)), initial=0.5)) for a in right), default=0.5)
    return near > 2 * off + 4 * float(np.spacing(np.float32(127)))


def _bytes_of(kind: str, arrays: Sequence[Any]) -> tuple[Any, ...]:
    """The operands with packed weights, the recurrent ones in int8."""
    packed = {n: _pack_reference(v, GATES[kind], DType.int8 if n.startswith("w_hh") else DType.float32)
              for n, v in zip(INPUTS, arrays) if n.startswith(("w_ih", "w_hh")) and v is not None}  # fmt: skip
    return _with(arrays, **packed)


# Functions without corners first: the derivatives of these samples are compared with differences.
_SETS = ((("Softsign",), ("ScaledTanh", 0.9, 0.6), ("Softplus",)), (("HardSigmoid",), ("Elu", 0.7), ("LeakyRelu", 0.1)),
         (("Affine", 0.3, 0.2), ("ThresholdedRelu", 0.2), ("Relu",)))  # fmt: skip


def _special_samples(kind: str, a: Sequence[Any], many: int, which: int) -> list[Any]:
    n = len(special.OF_CELL[kind])
    chosen = _SETS[:1] if which == 2 else _SETS
    found: list[Any] = [(_with(a, lengths=None), {"activations": special.encode(kind, many, [*one[:n]] * many)}) for one in chosen]
    if kind == "lstm":
        found += [(_with(a, True), {}), (_with(a, True, lengths=None), {"input_forget": 1, "clip": 3.0})]
    if kind == "gru" and which == 3:
        found.append((_with(a, lengths=None), {"activations": special.encode(kind, many, [*_SETS[0][:n]] * many), "linear_before_reset": 0}))
    return found


def _samples(kind: str) -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for i, (steps, batch, inputs, units, size, many) in enumerate(_SIZES):
        if size and kind != "lstm":
            continue
        a = _draw(kind, steps, batch, inputs, units, size, many, rng)
        turned = _with(a, x=np.ascontiguousarray(a[0].transpose(1, 0, 2)))
        found += [(_with(a, lengths=None), {"save": 1}), (turned, {"batch_first": 1, "save": 1}), (_with(a, h0=None, c0=None, b_hh=None, b_hh2=None), {})]
        if i in (1, 2, 3):
            found += [(_with(a), {"reverse": 1, "save": 1})]
            if i == 1:      # few numbers: a difference across the corner of one of them would be taken for a wrong derivative
                found += [(_with(a, lengths=None), {"clip": 0.7}), (_with(turned, lengths=None), {"batch_first": 1, "clip": 0.3, "save": 1})]
            if i == 3 or (i == 2 and kind == "lstm"):
                found += _special_samples(kind, a, many, i)
            if kind == "gru":
                found += [(_with(a), {"linear_before_reset": 0, "save": 1}), (_with(a, lengths=None), {"linear_before_reset": 0, "clip": 0.5})]
            if kind == "rnn":
                found += [(_with(a), {"relu": 1, "save": 1}), (_with(a, lengths=None, h0=None), {"relu": 1})]
        if not size and a[0].size:
            many_panels = {n: _pack_reference(v, GATES[kind]) for n, v in zip(INPUTS, a) if n.startswith(("w_ih", "w_hh")) and v is not None}
            half = {n: _pack_reference(v, GATES[kind], DType.bfloat16) for n, v in zip(INPUTS, a) if n.startswith("w_hh") and v is not None}
            attrs = {"packed": 1, "hidden": units}
            found += [(_with(a, **many_panels), attrs), (_with(a, **{**many_panels, **half}), attrs)]
            if batch == 1:      # whole sequences take another way
                found.append((_with(a, **{**many_panels, **half}, lengths=None), attrs))
            drawn = (_draw(kind, steps, batch, inputs, units, size, many, np.random.default_rng((i, n))) for n in range(100))
            found.append((next(one for one in map(partial(_bytes_of, kind), drawn) if _steady(kind, one, attrs)), attrs))
            if i == 1 and kind == "gru":
                found.append((_with(a, **{**many_panels, **half}), {**attrs, "linear_before_reset": 0}))
    return found


def _grad_samples(kind: str) -> Any:
    found: list[Any] = []
    rng = np.random.default_rng(1)
    for i, (steps, batch, inputs, units, size, many) in enumerate(_SIZES):
        if size and kind != "lstm":
            continue
        a = dict(zip(INPUTS, _draw(kind, steps, batch, inputs, units, size, many, rng)))
        every: tuple[dict[str, Any], ...] = ({}, {"batch_first": 1}, {"reverse": 1})
        for k, attrs in enumerate(every):
            lengths = None if k == 0 else a["lengths"]
            x = a["x"].transpose(1, 0, 2) if "batch_first" in attrs else a["x"]
            relu: dict[str, Any] = {"relu": 1} if kind == "rnn" and k == 2 else {}
            outs = formulas.forward(Numpy, kind, **{**a, "x": x, "lengths": lengths}, **attrs, **relu, save=1)
            outs = [o.astype(np.float32) for o in outs]
            if relu:
                outs[-2] = rng.normal(size=outs[-2].shape).astype(np.float32)      # away from the corner, where differences see both sides
            dy, dh = rng.normal(size=outs[0].shape).astype(np.float32), rng.normal(size=outs[1].shape).astype(np.float32)
            dc = rng.normal(size=outs[2].shape).astype(np.float32) if kind == "lstm" else None
            none = i % 3
            found.append(((outs[-2], a["w_hh"], a["w_hr"], a["w_hh2"], a["w_hr2"], lengths, None if none == 1 and k else dy, None if none == 2 else dh,
                           None if none == 1 else dc, outs[-1] if kind == "gru" else None), {**attrs, **relu}))  # fmt: skip
    return found


class Recurrent(Op):
    """A row of the kernel `recurrent` or `recurrent_grad`; its `cell` comes from the op's name."""

    def kernel_attrs(self, attrs: dict[str, Any], n_inputs: int) -> dict[str, Any]:
        cell = {"rnn": 1 if attrs.get("relu") else 0, "lstm": 2, "gru": 3}[self.name.partition("_")[0]]
        return {"cell": cell, **super().kernel_attrs(attrs, n_inputs)}


def _reference(kind: str, x: Any, w_ih: Any, w_hh: Any, *rest: Any, **attrs: Any) -> Any:
    return formulas.forward(Numpy, kind, x, w_ih, w_hh, *rest, **attrs)


def _composition(kind: str, *inputs: Any, **attrs: Any) -> Any:
    return formulas.forward(Tensors, kind, *inputs, **attrs)


def _moves(x: Any) -> bool:
    return x is not None and x.dtype.is_float and (x.requires_grad or x.node is not None)


def _by_composition(kind: str, dys: Sequence[Any], inputs: Sequence[Any], attrs: dict[str, Any]) -> list[Any]:
    """Every case that the gradient kernel leaves out, and the second derivatives: through the plain ops of the formulas."""
    record = mode.grad
    if attrs.get("packed"):
        raise GraphError(f"{kind}: packed weights have no gradient; packing comes after differentiation")
    with enable_grad():
        fresh = [autograd._fresh(x) if _moves(x) else x for x in inputs]
        outputs = _composition(kind, *fresh, **attrs)
        wanted = [x for x, old in zip(fresh, inputs) if _moves(old)]
        pairs = [(y, d) for y, d in zip(outputs, dys) if d is not None]
        found = iter(autograd.grad_of([y for y, _ in pairs], wanted, [d for _, d in pairs], create_graph=record))
    return [next(found) if _moves(x) else None for x in inputs]


def _vjp(kind: str, *args: Any, **attrs: Any) -> Any:
    n = 2 + (kind == "lstm") + 2 * bool(attrs.get("save"))
    dys, inputs, outputs = args[:n], args[n : len(args) - n], args[len(args) - n :]
    saved = attrs.get("save") and dys[-1] is None and dys[-2] is None
    if not saved or attrs.get("packed") or attrs.get("clip") or not attrs.get("linear_before_reset", 1):
        return _by_composition(kind, dys, inputs, attrs)
    given = dict(zip(INPUTS, (*inputs, *[None] * (len(INPUTS) - len(inputs)))))
    gates, before = outputs[-2:]
    first = bool(attrs.get("batch_first"))
    passed = {name: attrs[name] for name in ("reverse", "batch_first", "relu") if name in attrs}
    dc = dys[2] if kind == "lstm" else None
    found = apply_all(f"{kind}_grad", gates, given["w_hh"], given["w_hr"], given["w_hh2"], given["w_hr2"], given["lengths"], dys[0], dys[1], dc,
                      before if kind == "gru" else None, **passed)  # fmt: skip
    di, dj = found[0], found[2] if kind == "gru" else None
    x, many = given["x"], 2 if given["w_ih2"] is not None else 1
    result: dict[str, Any] = {"h0": found[1], "c0": found[2] if kind == "lstm" else None}
    if any(_moves(given[n + end]) for n in ("w_ih", "w_hh", "b_ih", "b_hh") for end in ("", "2")[:many]):
        sums = apply_all("recurrent_wgrad", di, x, before, dj, **({"batch_first": 1} if first else {}))
        for name, one in zip(("w_ih", "w_hh", "b_ih", "b_hh"), (*sums, sums[2])):
            for d, end in enumerate(("", "2")[:many]):
                result[name + end] = one.reshape(*one.shape[1:]) if many == 1 else one[d]
    if _moves(x):
        parts = [rows_of(di, d) @ given["w_ih" + end] for d, end in enumerate(("", "2")[:many])]
        dx = (parts[0] if many == 1 else parts[0] + parts[1]).reshape(*before.shape[1:3], x.shape[2])
        result["x"] = dx.transpose(0, 1) if first else dx
    for d, end in enumerate(("", "2")[:many]):
        if given["w_hr"] is not None:
            result["w_hr" + end] = rows_of(found[3], d).mT @ rows_of(gates, d)[:, 5 * found[2].shape[2] :]
    return [None if given[name] is None else result.get(name) for name in INPUTS[: len(inputs)]]


for _kind in GATES:
    _op = Recurrent(_kind, partial(_shape, _kind), partial(_reference, _kind), kernel="recurrent", samples=partial(_samples, _kind),
                    cost=partial(_flops, _kind))  # fmt: skip
    _op.vjp(partial(_vjp, _kind))
    Recurrent(f"{_kind}_grad", partial(_grad_shape, _kind), partial(formulas.backward, Numpy, _kind), kernel="recurrent_grad",
              samples=partial(_grad_samples, _kind), composition=partial(formulas.backward, Tensors, _kind))  # fmt: skip


def _pack_shape(w: Spec, gates: int = 1, dtype: Any = DType.float32) -> Spec:
    if len(w.shape) != 2 or w.dtype != DType.float32:
        raise ShapeError(f"recurrent_pack: a weight float32[G * H, K] expected, not {w}")
    if as_dtype(dtype) not in PACKED:
        raise DTypeError(f"recurrent_pack: to float32, bfloat16 or int8, not {as_dtype(dtype).name}")
    return panels(w.shape[0] // gates, w.shape[1], gates, as_dtype(dtype))


def _pack_reference(w: Any, gates: int = 1, dtype: Any = DType.float32) -> Any:
    if as_dtype(dtype) == DType.int8:
        return special.round_panels(w, gates)
    units, rows, pair = w.shape[0] // gates, w.shape[1], 2 if as_dtype(dtype) == DType.bfloat16 else 1
    blocks, depth = -(-units // UNITS), -(-rows // pair)
    full = np.zeros((gates, blocks * UNITS, depth * pair), w.dtype)
    full[:, :units, :rows] = w.reshape(gates, units, rows)
    made = full.reshape(gates, blocks, UNITS, depth, pair).transpose(1, 3, 0, 2, 4).reshape(blocks, depth, gates, UNITS * pair)
    return to_bfloat16(made) if pair == 2 and w.dtype == np.float32 else np.ascontiguousarray(made)


def _pack_samples() -> Any:
    rng = np.random.default_rng(0)
    sizes = ((1, 1, 1), (4, 5, 3), (3, 16, 16), (4, 33, 20), (3, 4, 0))
    return [((rng.normal(size=(g * h, k)).astype(np.float32),), {"gates": g, "dtype": t}) for g, h, k in sizes for t in PACKED]


recurrent_pack = Op("recurrent_pack", _pack_shape, _pack_reference, samples=_pack_samples)


def recurrent(kind: str, x: Tensor, weights: Sequence[Sequence[Tensor | None]], h0: Tensor | None = None, c0: Tensor | None = None,
              lengths: Tensor | None = None, batch_first: bool = False, reverse: bool = False, clip: float = 0.0, relu: bool = False,
              linear_before_reset: bool = True, hidden: int = 0, peepholes: Sequence[Tensor] = (), activations: Sequence[Any] = (),
              input_forget: bool = False) -> tuple[Tensor, ...]:  # fmt: skip
    """One layer: y, h (and c) of kind "rnn", "lstm" or "gru". x float32[T, B, I] (batch_first: [B, T, I]); `weights`: for each direction (w_ih, w_hh, b_ih,
    b_hh, w_hr), in torch's layouts and order of gates, the last three or None; h0, c0 float32[D, B, ...]; lengths int64[B]: beyond them y is 0, and h, c
    are the states of each sequence's last step. Options as ONNX has them: peepholes float32[3H] (i, o, f) for each direction of an LSTM; activations: for each
    direction the functions of the cell (recurrent_functions.OF_CELL), a name or (name, alpha, beta). hidden: the number of units, where w_ih and w_hh
    come from pack_weights."""
    if kind not in GATES:
        raise AttributeValueError(f"recurrent: kind {kind!r}; there are {', '.join(GATES)}")
    flat: list[Any] = [w for one in weights for w in (*one, *[None] * (5 - len(one)))]
    operands = [x, *flat, *[None] * (10 - len(flat)), lengths, h0, c0, *peepholes]
    attrs: dict[str, Any] = {}
    for name, on in (("reverse", reverse), ("batch_first", batch_first), ("relu", relu), ("input_forget", input_forget)):
        if on:
            attrs[name] = 1
    if clip:
        attrs["clip"] = float(clip)
    if not linear_before_reset:
        attrs["linear_before_reset"] = 0
    if activations:
        attrs["activations"] = special.encode(kind, len(weights), activations)
    if hidden:
        attrs |= {"packed": 1, "hidden": hidden}
    elif not (activations or peepholes or input_forget) and mode.grad and any(_moves(t) for t in operands if isinstance(t, Tensor)):
        attrs["save"] = 1
    found = apply_all(kind, *operands, **attrs)
    return found[: 2 + (kind == "lstm")]


def pack_weights(w: Tensor, gates: int, dtype: Any = DType.float32) -> Tensor:
    """A weight [gates * H, K] in the panels that the kernels read. bfloat16 and int8 (a scale a row) are for w_hh."""
    dtype = as_dtype(dtype)
    return apply("recurrent_pack", w, gates=gates) if dtype == DType.float32 else apply("recurrent_pack", w, gates=gates, dtype=dtype)
