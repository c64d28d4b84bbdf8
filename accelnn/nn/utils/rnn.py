"""torch.nn.utils.rnn: sequences of different lengths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.errors import AttributeValueError, ShapeError
from ...core.tensor import Tensor, tensor
from ...ops import pad, stack
from ..recurrent import PackedSequence, pack_padded_sequence, pad_packed_sequence


def pad_sequence(sequences: Sequence[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right") -> Tensor:
    """Sequences [length, ...] as one tensor [longest, B, ...] (batch_first: [B, longest, ...]), with padding_value behind or (left) before the shorter ones."""
    if padding_side not in ("left", "right"):
        raise AttributeValueError(f"pad_sequence: padding_side {padding_side!r}; left or right expected")
    if not sequences or any(s.ndim < 1 or s.shape[1:] != sequences[0].shape[1:] for s in sequences):
        raise ShapeError("pad_sequence: sequences [length, ...] expected, at least one, that differ in their length only")
    lengths = [int(s.shape[0]) for s in sequences]  # type: ignore[arg-type]
    rows = []
    for s, n in zip(sequences, lengths):
        room = max(lengths) - n
        rows.append(pad(s, [0] * (2 * s.ndim - 2) + ([room, 0] if padding_side == "left" else [0, room]), value=padding_value))
    return stack(rows, 0 if batch_first else 1)


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences [length, ...] for a recurrent layer; with enforce_sorted (torch's default) the longest comes first."""
    lengths = np.array([s.shape[0] for s in sequences], np.int64)
    return pack_padded_sequence(pad_sequence(sequences), tensor(lengths), enforce_sorted=enforce_sorted)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The way back from pad_sequence."""
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [rows[i, : int(n)] for i, n in enumerate(lengths.tolist())]


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The way back from pack_sequence."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


__all__ = ["PackedSequence", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence", "pad_sequence", "unpack_sequence", "unpad_sequence"]
