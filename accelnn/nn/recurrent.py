"""RNN, LSTM, GRU and their cells, with torch's arguments, parameter names, defaults and initial distributions. Sequences of different lengths as packed
sequences (torch's way), or by `lengths`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core.errors import AttributeValueError, ShapeError
from ..core.tensor import Tensor, as_tensor, tensor, zeros
from ..ops import dropout
from ..ops.arrange import cat
from ..ops.recurrent import pack_weights, recurrent
from . import init
from .module import Module, Parameter


class PackedSequence(NamedTuple):
    """Padded sequences with their lengths; what pack_padded_sequence makes and the layers take and return. The data stay padded: kernels take lengths."""

    data: Tensor  # [T, B, ...], or [B, T, ...] with batch_first
    lengths: Tensor  # int64[B]
    batch_first: bool = False


def pack_padded_sequence(input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True) -> PackedSequence:  # noqa: A002 (torch's name)
    """Sequences [T, B, ...] (batch_first: [B, T, ...]) of `lengths` (1..T each) for a recurrent layer. With enforce_sorted (torch's default) they have to
    come longest first; the kernels need no order."""
    n = lengths if isinstance(lengths, Tensor) else tensor(np.asarray(lengths, np.int64))
    if input.ndim < 2 or n.shape != (input.shape[0 if batch_first else 1],):
        raise ShapeError(f"pack_padded_sequence: {input.spec} with lengths {n.spec}: one length a sequence expected")
    if not n.is_traced:
        known, steps = n.numpy(), input.shape[1 if batch_first else 0]
        if known.size and (known.min() < 1 or known.max() > steps):
            raise ShapeError(f"pack_padded_sequence: lengths {known.min()}..{known.max()}; 1..{steps} expected")
        if enforce_sorted and (np.diff(known) > 0).any():
            raise ShapeError("pack_padded_sequence: the lengths do not fall; sort the batch, or pass enforce_sorted=False")
    return PackedSequence(input, n, batch_first)


def pad_packed_sequence(sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0,
                        total_length: int | None = None) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The sequences with `padding_value` behind their ends, cut to the longest (or to total_length), and their lengths."""
    data = sequence.data.transpose(0, 1) if sequence.batch_first != batch_first else sequence.data
    axis = 1 if batch_first else 0
    steps, longest = data.shape[axis], data.shape[axis] if sequence.lengths.is_traced else int(sequence.lengths.numpy().max(initial=0))
    if total_length is not None and total_length < longest:
        raise ShapeError(f"pad_packed_sequence: total_length {total_length} is less than the longest sequence, {longest}")
    wanted: Any = longest if total_length is None else total_length
    if wanted < steps:
        data = data[:, :wanted] if batch_first else data[:wanted]
    elif wanted > steps:
        rows = data.transpose(0, axis)
        data = cat([rows, zeros(wanted - steps, *rows.shape[1:])]).transpose(0, axis)
    there = as_tensor(np.arange(wanted, dtype=np.float32)).unsqueeze(0) < sequence.lengths.float().unsqueeze(1)
    there = there.float() if batch_first else there.float().transpose(0, 1)
    while there.ndim < data.ndim:
        there = there.unsqueeze(-1)
    data = data * there
    return (data if padding_value == 0 else data + (1.0 - there) * padding_value), sequence.lengths


class RNNBase(Module):
    """What RNN, LSTM and GRU share. Input [T, B, I] (batch_first: [B, T, I]; one sequence: [T, I]), or a PackedSequence. Output [T, B, D * H] and the last
    states [num_layers * D, B, H]. `lengths`: int64[B]; outputs beyond a sequence's length are 0.

    `recurrent_dtype = "bfloat16"`: outside of training the recurrent weights are rounded to bfloat16, half the memory to read in each step; what they
    multiply stays float32. `"int8"`: a quarter, one scale a row; h is rounded to int8 in each step too, what w_ih multiplies stays float32 (dynamic
    quantization). Made for small batches in a Plan (an.compile, an.freeze), where weights are packed once."""

    kind, gates = "rnn", 1

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False, dropout: float = 0.0,
                 bidirectional: bool = False, proj_size: int = 0) -> None:  # fmt: skip
        super().__init__()
        if min(input_size, hidden_size, num_layers) < 1 and not (input_size == 0 and hidden_size > 0 and num_layers > 0):
            raise AttributeValueError(f"{type(self).__name__}: hidden_size {hidden_size} and num_layers {num_layers} have to be at least 1")
        if not 0 <= dropout <= 1:
            raise AttributeValueError(f"{type(self).__name__}: dropout {dropout} is no probability")
        if proj_size < 0 or (proj_size and (self.kind != "lstm" or proj_size >= hidden_size)):
            raise AttributeValueError(f"{type(self).__name__}: proj_size {proj_size}: LSTMs have one, less than hidden_size {hidden_size}")
        self.input_size, self.hidden_size, self.num_layers, self.bias, self.batch_first = input_size, hidden_size, num_layers, bias, batch_first
        self.dropout, self.bidirectional, self.proj_size = dropout, bidirectional, proj_size
        self.recurrent_dtype = "float32"
        bound, rows, out = 1 / math.sqrt(hidden_size), self.gates * hidden_size, proj_size or hidden_size
        for layer in range(num_layers):
            width = input_size if layer == 0 else out * (1 + bidirectional)
            for end in ("", "_reverse")[: 1 + bidirectional]:
                shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, width), "weight_hh": (rows, out)}
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                for name, shape in shapes.items():
                    setattr(self, f"{name}_l{layer}{end}", Parameter(init.uniform_array(shape, bound)))

    def _weights(self, layer: int) -> list[tuple[Any, ...]]:
        """For each direction w_ih, w_hh, b_ih, b_hh, w_hr."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        return [tuple(getattr(self, f"{n}_l{layer}{end}", None) for n in names) for end in ("", "_reverse")[: 1 + self.bidirectional]]

    def _states(self, given: Any, batch: Any, single: bool) -> tuple[Tensor | None, Tensor | None]:
        """h0 (and c0) of all layers, [num_layers * D, B, size]."""
        many = self.num_layers * (1 + self.bidirectional)
        parts = [None] if given is None else list(given) if self.kind == "lstm" else [given]
        if self.kind == "lstm" and given is None:
            parts = [None, None]
        sizes = (self.proj_size or self.hidden_size, self.hidden_size)
        found: list[Tensor | None] = []
        for what, size, state in zip(("h_0", "c_0"), sizes, parts):
            if state is not None:
                state = state.unsqueeze(1) if single else state
                if state.shape != (many, batch, size):
                    raise ShapeError(f"{type(self).__name__}: {what} of shape {(many, batch, size)} expected, not {state.spec}")
            found.append(state)
        return found[0], found[1] if self.kind == "lstm" else None

    def _options(self) -> dict[str, Any]:
        return {}

    def forward(self, input: Any, hx: Any = None, lengths: Any = None) -> Any:  # noqa: A002 (torch's name)
        packed = input if isinstance(input, PackedSequence) else None
        x: Tensor = packed.data if packed else input
        first = packed.batch_first if packed else self.batch_first
        n = packed.lengths if packed else lengths
        if n is not None and not isinstance(n, Tensor):
            n = tensor(np.asarray(n, np.int64))
        single = x.ndim == 2 and packed is None
        if single:
            x, first = x.unsqueeze(1), False
        if x.ndim != 3 or x.shape[2] != self.input_size:
            raise ShapeError(f"{type(self).__name__}: input [..., {self.input_size}] of two or three dimensions expected, not {x.spec}")
        h0, c0 = self._states(hx, x.shape[0 if first else 1], single)
        d = 1 + self.bidirectional
        last: list[list[Tensor]] = []
        for layer in range(self.num_layers):
            h, c = (None if s is None else s if self.num_layers == 1 else s[layer * d : (layer + 1) * d] for s in (h0, c0))
            weights = self._weights(layer)
            options = self._options()
            if self.recurrent_dtype != "float32" and not self.training:
                weights = [(pack_weights(one[0], self.gates), pack_weights(one[1], self.gates, self.recurrent_dtype), *one[2:]) for one in weights]
                options["hidden"] = self.hidden_size
            x, *found = recurrent(self.kind, x, weights, h, c, n, first, **options)
            last.append(found)
            if self.dropout and layer + 1 < self.num_layers:
                x = dropout(x, self.dropout, self.training)
        ends = [cat(parts) for parts in zip(*last)]
        if single:
            x, ends = x.squeeze(1), [e.squeeze(1) for e in ends]
        y = PackedSequence(x, packed.lengths, first) if packed else x
        return y, (tuple(ends) if self.kind == "lstm" else ends[0])

    def __call__(self, *args: Any, **named: Any) -> Any:
        """As every Module; `hx` and `lengths` may also be named."""
        return super().__call__(*args, *(named.get(k) for k in ("input", "hx", "lengths")[len(args) :])) if named else super().__call__(*args)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        for name, default in (("num_layers", 1), ("bias", True), ("batch_first", False), ("dropout", 0.0), ("bidirectional", False), ("proj_size", 0)):
            text += f", {name}={getattr(self, name)}" if getattr(self, name) != default else ""
        return text


class RNN(RNNBase):
    """h' = f(w_ih x + b_ih + w_hh h + b_hh), f = tanh or relu (Elman 1990)."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True, batch_first: bool = False,
                 dropout: float = 0.0, bidirectional: bool = False) -> None:  # fmt: skip
        _check_nonlinearity("RNN", nonlinearity)
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        self.nonlinearity = nonlinearity

    def _options(self) -> dict[str, Any]:
        return {"relu": self.nonlinearity == "relu"}


class LSTM(RNNBase):
    """Long short-term memory (Hochreiter and Schmidhuber 1997, with forget gates); proj_size: h is projected (Sak et al. 2014). States are (h, c)."""

    kind, gates = "lstm", 4


class GRU(RNNBase):
    """Gated recurrent units (Cho et al. 2014), the reset gate after the product, as torch and cuDNN have it."""

    kind, gates = "gru", 3

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False, dropout: float = 0.0,
                 bidirectional: bool = False) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)


def _check_nonlinearity(name: str, nonlinearity: str) -> None:
    if nonlinearity not in ("tanh", "relu"):
        raise AttributeValueError(f"{name}: nonlinearity {nonlinearity!r}; tanh or relu expected")


class RNNCellBase(Module):
    """One step: input [B, I] or [I], states [B, H] or [H]."""

    kind, gates = "rnn", 1

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        bound, rows = 1 / math.sqrt(hidden_size) if hidden_size > 0 else 0.0, self.gates * hidden_size
        self.weight_ih = Parameter(init.uniform_array((rows, input_size), bound))
        self.weight_hh = Parameter(init.uniform_array((rows, hidden_size), bound))
        self.bias_ih = Parameter(init.uniform_array((rows,), bound)) if bias else None
        self.bias_hh = Parameter(init.uniform_array((rows,), bound)) if bias else None

    def _options(self) -> dict[str, Any]:
        return {}

    def _step(self, x: Tensor, states: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise ShapeError(f"{type(self).__name__}: input [B, {self.input_size}] or [{self.input_size}] expected, not {x.spec}")
        single = x.ndim == 1
        rows = x.unsqueeze(0) if single else x
        before = [None if s is None else (s.unsqueeze(0) if single else s).unsqueeze(0) for s in states]
        for s in before:
            if s is not None and s.shape != (1, rows.shape[0], self.hidden_size):
                raise ShapeError(f"{type(self).__name__}: a state [{rows.shape[0]}, {self.hidden_size}] expected, not {s.spec}")
        weights = [(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)]
        found = recurrent(self.kind, rows.unsqueeze(0), weights, before[0], before[1] if len(before) > 1 else None, **self._options())[1:]
        return tuple(s.reshape(*x.shape[:-1], self.hidden_size) for s in found)

    def forward(self, input: Tensor, hx: Any = None) -> Any:  # noqa: A002 (torch's name)
        return self._step(input, (hx,))[0]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(RNNCellBase):
    """One step of RNN."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh") -> None:
        _check_nonlinearity("RNNCell", nonlinearity)
        super().__init__(input_size, hidden_size, bias)
        self.nonlinearity = nonlinearity

    def _options(self) -> dict[str, Any]:
        return {"relu": self.nonlinearity == "relu"}


class LSTMCell(RNNCellBase):
    """One step of LSTM: (h, c) from input and (h, c)."""

    kind, gates = "lstm", 4

    def forward(self, input: Tensor, hx: Any = None) -> Any:  # noqa: A002 (torch's name)
        return self._step(input, (None, None) if hx is None else hx)


class GRUCell(RNNCellBase):
    """One step of GRU."""

    kind, gates = "gru", 3


__all__ = ["GRU", "GRUCell", "LSTM", "LSTMCell", "PackedSequence", "RNN", "RNNBase", "RNNCell", "RNNCellBase", "pack_padded_sequence", "pad_packed_sequence"]
