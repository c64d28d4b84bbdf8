"""The arithmetic of recurrent layers, forward and backward through time, step by step. Written once for numpy (the ops' references) and for Tensors (their
compositions, from which second derivatives come): `k` says which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.dtypes import BFLOAT16, from_bfloat16
from ..core.tensor import Tensor, apply, zeros
from . import recurrent_functions as special
from .arrange import cat

GATES = {"rnn": 1, "lstm": 4, "gru": 3}
UNITS = special.UNITS  # of a panel: kernels/recurrent/recurrent.h


class Numpy:
    """What the formulas need beyond operators and slices, for arrays."""

    @staticmethod
    def product(a: Any, b: Any) -> Any:
        """In float32 term after term, one chain a sum, as a plain loop has it: what the error of a kernel is compared with (docs/numerics.md)."""
        if a.dtype != np.float32:
            return a @ b
        total = np.zeros((a.shape[0], b.shape[1]), np.float32)
        for i in range(a.shape[1]):
            total += a[:, i : i + 1] * b[i]
        return total

    tanh, relu = staticmethod(np.tanh), staticmethod(lambda x: np.maximum(x, 0))
    exp, log = staticmethod(np.exp), staticmethod(np.log)

    @classmethod
    def byte_product(cls, h: Any, weights: tuple[Any, Any]) -> Any:
        """h, rounded row by row, times int8 weights."""
        whole, scale = special.round_rows(h)
        total = np.rint(whole).astype(np.float64) @ weights[0].T.astype(np.float64)
        return total.astype(h.dtype) * (scale * weights[1].astype(h.dtype))

    transpose = staticmethod(np.transpose)

    @staticmethod
    def sigmoid(x: Any) -> Any:
        return 1 / (1 + np.exp(-x))

    @staticmethod
    def positive(x: Any) -> Any:
        return (x > 0).astype(x.dtype)

    @staticmethod
    def clip(x: Any, limit: float) -> Any:
        return np.clip(x, -limit, limit)

    @staticmethod
    def stack(parts: Sequence[Any], like: Any, shape: Any) -> Any:
        return np.stack(parts) if parts else np.zeros((0, *shape), like.dtype)

    @staticmethod
    def zeros(like: Any, *shape: int) -> Any:
        return np.zeros(shape, like.dtype)

    @staticmethod
    def has_step(lengths: Any, t: int, like: Any) -> Any:
        return (np.asarray(lengths) > t).astype(like.dtype)[:, None]


class Tensors:
    """The same for Tensors, in ops that have gradients."""

    @staticmethod
    def product(a: Tensor, b: Tensor) -> Tensor:
        return a @ b

    @staticmethod
    def tanh(x: Tensor) -> Tensor:
        return x.tanh()

    @staticmethod
    def relu(x: Tensor) -> Tensor:
        return x.relu()

    @staticmethod
    def exp(x: Tensor) -> Tensor:
        return x.exp()

    @staticmethod
    def log(x: Tensor) -> Tensor:
        return x.log()

    @staticmethod
    def sigmoid(x: Tensor) -> Tensor:
        return x.sigmoid()

    @staticmethod
    def transpose(x: Tensor, axes: Any = None) -> Tensor:
        return x.permute(tuple(reversed(range(x.ndim))) if axes is None else tuple(axes))

    @staticmethod
    def positive(x: Tensor) -> Tensor:
        return (x > 0.0).float()

    @staticmethod
    def clip(x: Tensor, limit: float) -> Tensor:
        return apply("minimum", apply("maximum", x, -limit), limit)

    @staticmethod
    def stack(parts: Sequence[Tensor], like: Tensor, shape: Any) -> Tensor:
        return cat([p.unsqueeze(0) for p in parts]) if parts else Tensors.zeros(like, 0, *shape)

    @staticmethod
    def zeros(like: Tensor, *shape: int) -> Tensor:
        t = zeros(*shape)
        t.literal = True
        return t

    @staticmethod
    def has_step(lengths: Tensor, t: int, like: Tensor) -> Tensor:
        return (lengths.float() > float(t)).float().unsqueeze(1)


def unpack(panels: Any, units: int, rows: int) -> Any:
    """[ceil(H/16), K, G, 16], or bfloat16 [ceil(H/16), ceil(K/2), G, 32] -> [G H, K]."""
    w = from_bfloat16(panels) if panels.dtype == BFLOAT16 else panels
    blocks, depth, gates, width = w.shape
    w = w.reshape(blocks, depth, gates, UNITS, width // UNITS).transpose(2, 0, 3, 1, 4)
    return w.reshape(gates, blocks * UNITS, depth * width // UNITS)[:, :units, :rows].reshape(gates * units, rows)


def _split(a: Any, units: int) -> list[Any]:
    return [a[:, i * units : (i + 1) * units] for i in range(a.shape[1] // units)]


def forward(k: Any, kind: str, x: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None, w_hr: Any = None, w_ih2: Any = None, w_hh2: Any = None,
            b_ih2: Any = None, b_hh2: Any = None, w_hr2: Any = None, lengths: Any = None, h0: Any = None, c0: Any = None, peephole: Any = None,
            peephole2: Any = None, reverse: int = 0, batch_first: int = 0, packed: int = 0, save: int = 0, clip: float = 0.0, linear_before_reset: int = 1,
            relu: int = 0, hidden: Any = None, activations: Sequence[int] = (), input_forget: int = 0) -> Any:  # fmt: skip
    """All outputs of rnn, lstm or gru (kernels/recurrent/recurrent.h)."""
    units = w_hr.shape[1] if w_hr is not None else hidden if packed else w_hh.shape[0] // GATES[kind]
    size = w_hr.shape[0] if w_hr is not None else units
    sets = [(w_ih, w_hh, b_ih, b_hh, w_hr)] + ([(w_ih2, w_hh2, b_ih2, b_hh2, w_hr2)] if w_ih2 is not None else [])
    x = k.transpose(x, (1, 0, 2)) if batch_first else x
    steps, batch = x.shape[:2]

    def cut(v: Any) -> Any:
        return k.clip(v, clip) if clip else v

    found: list[Any] = []
    for d, (wi, wh, bi, bh, wr) in enumerate(sets):
        rounded: Any = None
        if packed:
            rounded = special.unround(wh, units, size) if wh.dtype == np.int8 else None
            wi, wh = unpack(wi, units, x.shape[2]), unpack(wh, units, size) if rounded is None else rounded[0]
        peep = (peephole, peephole2)[d]
        p_i, p_o, p_f = (None, None, None) if peep is None else (peep[n * units : (n + 1) * units] for n in range(3))
        functions = special.functions(kind, d, activations, relu)

        def call(which: int, v: Any, functions: Any = functions) -> Any:
            return special.call(k, functions[which], cut(v))

        h = k.zeros(x, batch, size) if h0 is None else h0[d]
        c = k.zeros(x, batch, units) if c0 is None else c0[d]
        ys, kept, before = ([None] * steps for _ in range(3))
        backwards = d == 1 or reverse
        wi, wh = k.transpose(wi), k.transpose(wh)
        for t in range(steps)[:: -1 if backwards else 1]:
            i, j = k.product(x[t], wi), k.product(h, wh) if rounded is None else k.byte_product(h, rounded)
            i, j = i if bi is None else i + bi, j if bh is None else j + bh
            if kind == "rnn":
                new = call(0, i + j)
                state: tuple[Any, ...] = (new,)
            elif kind == "lstm":
                gi, gf, gg, go = _split(i + j, units)
                gi, gg = call(0, gi if peep is None else gi + p_i * c), call(1, gg)
                gf = 1.0 - gi if input_forget else call(0, gf if peep is None else gf + p_f * c)
                c_new = gf * c + gi * gg
                go = call(0, go if peep is None else go + p_o * c_new)
                new = go * special.call(k, functions[2], c_new)
                state = (gi, gf, gg, go, c) + ((new,) if wr is not None else ())
                new = k.product(new, k.transpose(wr)) if wr is not None else new
            else:
                (ir, iz, im), (jr, jz, jm) = _split(i, units), _split(j, units)
                r, z = call(0, ir + jr), call(0, iz + jz)
                if not linear_before_reset:
                    jm = k.product(r * h, wh[:, 2 * units :])
                    jm = jm if bh is None else jm + bh[2 * units :]
                m = call(1, im + (r * jm if linear_before_reset else jm))
                new = (1.0 - z) * m + z * h
                state = (r, z, m, jm)
            mask = None if lengths is None else k.has_step(lengths, t, x)
            ys[t], kept[t], before[t] = new, k.transpose(k.stack(state, x, None), (1, 0, 2)).reshape(batch, len(state) * units), h
            if mask is not None:
                ys[t], kept[t], before[t] = ys[t] * mask, kept[t] * mask, before[t] * mask
                new = h + mask * (new - h)
            if kind == "lstm":
                c = c_new if mask is None else c + mask * (c_new - c)
            h = new
        saved = {"rnn": 1, "lstm": 5 + (w_hr is not None), "gru": 4}[kind] * units
        found.append((k.stack(ys, x, (batch, size)), h, c, k.stack(kept, x, (batch, saved)), k.stack(before, x, (batch, size))))
    y, h, c, gates, states = (k.stack(parts, x, None) for parts in zip(*found))
    y = k.transpose(y, (2, 1, 0, 3) if batch_first else (1, 2, 0, 3))
    y = y.reshape(*y.shape[:2], len(sets) * size)
    return (y, h, *((c,) if kind == "lstm" else ()), *((gates, states) if save else ()))


def backward(k: Any, kind: str, gates: Any, w_hh: Any, w_hr: Any = None, w_hh2: Any = None, w_hr2: Any = None, lengths: Any = None, dy: Any = None,
             dh: Any = None, dc: Any = None, before: Any = None, reverse: int = 0, batch_first: int = 0, relu: int = 0) -> Any:  # fmt: skip
    """All outputs of rnn_grad, lstm_grad or gru_grad."""
    directions, steps, batch = gates.shape[:3]
    n, size = GATES[kind], w_hh.shape[1]
    units = w_hh.shape[0] // n
    if dy is not None and batch_first:
        dy = k.transpose(dy, (1, 0, 2))
    found: list[Any] = []
    for d in range(directions):
        w, wr = ((w_hh, w_hr), (w_hh2, w_hr2))[d]
        g = k.zeros(gates, batch, size) if dh is None else dh[d]
        e = k.zeros(gates, batch, units) if dc is None else dc[d]
        ins, outs, projected = ([None] * steps for _ in range(3))
        for t in range(steps)[:: 1 if d == 1 or reverse else -1]:
            s = _split(gates[d, t], units)
            mask = None if lengths is None else k.has_step(lengths, t, gates)
            total = g if dy is None else g + dy[t][:, d * size : (d + 1) * size]
            u = total if wr is None else k.product(total, wr)
            rest: Any = None
            e_new: Any = None
            di: tuple[Any, ...]
            dj: tuple[Any, ...]
            if kind == "rnn":
                di = dj = (u * (k.positive(s[0]) if relu else 1.0 - s[0] * s[0]),)
            elif kind == "lstm":
                gi, gf, gg, go, was = s[:5]
                tc = k.tanh(gf * was + gi * gg)
                v = e + u * go * (1.0 - tc * tc)
                di = dj = (v * gg * (gi * (1.0 - gi)), v * was * (gf * (1.0 - gf)), v * gi * (1.0 - gg * gg), u * tc * (go * (1.0 - go)))
                e_new = v * gf
            else:
                r, z, m, inner = s
                dm = u * (1.0 - z) * (1.0 - m * m)
                dr, dz = dm * inner * (r * (1.0 - r)), u * (before[d, t] - m) * (z * (1.0 - z))
                di, dj, rest = (dr, dz, dm), (dr, dz, dm * r), u * z
            ins[t], outs[t] = ((k.transpose(k.stack(parts, gates, None), (1, 0, 2)).reshape(batch, n * units)) for parts in (di, dj))
            back = k.product(outs[t], w)
            back = back if rest is None else back + rest
            projected[t] = total
            if mask is not None:
                ins[t], outs[t], projected[t] = ins[t] * mask, outs[t] * mask, total * mask
                back = g + mask * (back - g)
                e_new = None if e_new is None else e + mask * (e_new - e)
            g, e = back, e if e_new is None else e_new
        found.append((k.stack(ins, gates, (batch, n * units)), g, e, k.stack(outs, gates, (batch, n * units)), k.stack(projected, gates, (batch, size))))
    di, dh0, dc0, dj, dp = (k.stack(parts, gates, None) for parts in zip(*found))
    last = {"rnn": (), "lstm": (dc0, dp) if w_hr is not None else (dc0,), "gru": (dj,)}[kind]
    return (di, dh0, *last)
