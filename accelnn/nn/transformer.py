"""Transformer layers with torch's arguments and parameter names (Vaswani et al. 2017, arXiv 1706.03762)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.errors import AttributeValueError
from ..core.tensor import Tensor, tensor
from ..ops import gelu
from . import init
from .attention import MultiheadAttention
from .dropout import Dropout
from .layers import Linear, Sequential
from .module import Module
from .norm import LayerNorm

Activation = str | Callable[[Tensor], Tensor]


def _activation(given: Activation) -> Callable[[Tensor], Tensor]:
    if callable(given):
        return given
    named: dict[str, Callable[[Tensor], Tensor]] = {"relu": lambda x: x.relu(), "gelu": gelu}
    if given not in named:
        raise AttributeValueError(f"activation {given!r}: 'relu', 'gelu' or a function expected")
    return named[given]


class _Layer(Module):
    """What encoder and decoder layers share: the two products with an activation between them."""

    def __init__(self, d_model: int, dim_feedforward: int, dropout: float, activation: Activation, norm_first: bool, bias: bool) -> None:
        super().__init__()
        self.activation, self.norm_first = _activation(activation), norm_first
        self._sizes = d_model, dim_feedforward, dropout, bias

    def _feed_forward_parts(self) -> None:
        d_model, dim_feedforward, dropout, bias = self._sizes
        self.linear1 = Linear(d_model, dim_feedforward, bias)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias)

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))  # type: ignore[no-any-return]


class TransformerEncoderLayer(_Layer):
    """Self-attention and a feed-forward block, each with dropout, residual and LayerNorm (before it with norm_first).

    forward(src, src_mask=None, src_key_padding_mask=None, is_causal=False): src[L, N, d_model], [N, L, d_model] with batch_first; masks as in
    MultiheadAttention."""

    def __init__(self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1, activation: Activation = "relu",
                 layer_norm_eps: float = 1e-5, batch_first: bool = False, norm_first: bool = False, bias: bool = True) -> None:  # fmt: skip
        super().__init__(d_model, dim_feedforward, dropout, activation, norm_first, bias)
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first)
        self._feed_forward_parts()
        self.norm1, self.norm2 = (LayerNorm(d_model, layer_norm_eps, bias=bias) for _ in range(2))
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)

    def forward(self, src: Tensor, src_mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        def attend(x: Tensor) -> Tensor:
            y = self.self_attn(x, x, x, src_key_padding_mask, need_weights=False, attn_mask=src_mask, is_causal=is_causal)[0]
            return self.dropout1(y)  # type: ignore[no-any-return]

        if self.norm_first:
            src = src + attend(self.norm1(src))
            return src + self.dropout2(self._feed_forward(self.norm2(src)))  # type: ignore[no-any-return]
        src = self.norm1(src + attend(src))
        return self.norm2(src + self.dropout2(self._feed_forward(src)))  # type: ignore[no-any-return]


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention over an encoder's output (`memory`) and a feed-forward block.

    forward(tgt, memory, tgt_mask=None, memory_mask=None, tgt_key_padding_mask=None, memory_key_padding_mask=None, tgt_is_causal=False,
    memory_is_causal=False): tgt[T, N, d_model], memory[S, N, d_model], batch first with batch_first; masks as in MultiheadAttention."""

    def __init__(self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1, activation: Activation = "relu",
                 layer_norm_eps: float = 1e-5, batch_first: bool = False, norm_first: bool = False, bias: bool = True) -> None:  # fmt: skip
        super().__init__(d_model, dim_feedforward, dropout, activation, norm_first, bias)
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first)
        self.multihead_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first)
        self._feed_forward_parts()
        self.norm1, self.norm2, self.norm3 = (LayerNorm(d_model, layer_norm_eps, bias=bias) for _ in range(3))
        self.dropout1, self.dropout2, self.dropout3 = (Dropout(dropout) for _ in range(3))

    def forward(self, tgt: Tensor, memory: Tensor, tgt_mask: Tensor | None = None, memory_mask: Tensor | None = None,
                tgt_key_padding_mask: Tensor | None = None, memory_key_padding_mask: Tensor | None = None, tgt_is_causal: bool = False,
                memory_is_causal: bool = False) -> Tensor:  # fmt: skip
        def attend(x: Tensor) -> Tensor:
            y = self.self_attn(x, x, x, tgt_key_padding_mask, need_weights=False, attn_mask=tgt_mask, is_causal=tgt_is_causal)[0]
            return self.dropout1(y)  # type: ignore[no-any-return]

        def look_back(x: Tensor) -> Tensor:
            y = self.multihead_attn(x, memory, memory, memory_key_padding_mask, need_weights=False, attn_mask=memory_mask, is_causal=memory_is_causal)[0]
            return self.dropout2(y)  # type: ignore[no-any-return]

        x = tgt
        if self.norm_first:
            x = x + attend(self.norm1(x))
            x = x + look_back(self.norm2(x))
            return x + self.dropout3(self._feed_forward(self.norm3(x)))  # type: ignore[no-any-return]
        x = self.norm1(x + attend(x))
        x = self.norm2(x + look_back(x))
        return self.norm3(x + self.dropout3(self._feed_forward(x)))  # type: ignore[no-any-return]


def _copies(layer: Module, n: int) -> Sequential:
    """Layers of their own with the same initial weights, as torch makes them."""

    def memo() -> dict[int, Any]:
        return {id(t): tensor(t, requires_grad=t.requires_grad) for _, t in layer.named_tensors()}

    return Sequential(*(copy.deepcopy(layer, memo()) for _ in range(n)))


class TransformerEncoder(Module):
    """`num_layers` copies of an encoder layer, one after another, and a norm at the end. enable_nested_tensor and mask_check are hints of torch's that change
    no result; here they do nothing. So does is_causal=None: a mask is read, not guessed at."""

    def __init__(self, encoder_layer: Module, num_layers: int, norm: Module | None = None, enable_nested_tensor: bool = True,
                 mask_check: bool = True) -> None:  # fmt: skip
        super().__init__()
        self.layers, self.num_layers, self.norm = _copies(encoder_layer, num_layers), num_layers, norm

    def forward(self, src: Tensor, mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None,
                is_causal: bool | None = None) -> Tensor:  # fmt: skip
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, bool(is_causal))
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """`num_layers` copies of a decoder layer, one after another, and a norm at the end."""

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers, self.num_layers, self.norm = _copies(decoder_layer, num_layers), num_layers, norm

    def forward(self, tgt: Tensor, memory: Tensor, tgt_mask: Tensor | None = None, memory_mask: Tensor | None = None,
                tgt_key_padding_mask: Tensor | None = None, memory_key_padding_mask: Tensor | None = None, tgt_is_causal: bool | None = None,
                memory_is_causal: bool = False) -> Tensor:  # fmt: skip
        for layer in self.layers:
            tgt = layer(tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask, bool(tgt_is_causal), memory_is_causal)
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """Encoder and decoder; forward(src, tgt, src_mask=None, tgt_mask=None, memory_mask=None, src_key_padding_mask=None, tgt_key_padding_mask=None,
    memory_key_padding_mask=None, src_is_causal=None, tgt_is_causal=None, memory_is_causal=False)."""

    def __init__(self, d_model: int = 512, nhead: int = 8, num_encoder_layers: int = 6, num_decoder_layers: int = 6, dim_feedforward: int = 2048,
                 dropout: float = 0.1, activation: Activation = "relu", custom_encoder: Module | None = None, custom_decoder: Module | None = None,
                 layer_norm_eps: float = 1e-5, batch_first: bool = False, norm_first: bool = False, bias: bool = True) -> None:  # fmt: skip
        super().__init__()
        same = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias)
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        self.encoder = custom_encoder or TransformerEncoder(TransformerEncoderLayer(*same), num_encoder_layers, LayerNorm(d_model, layer_norm_eps, bias=bias))
        self.decoder = custom_decoder or TransformerDecoder(TransformerDecoderLayer(*same), num_decoder_layers, LayerNorm(d_model, layer_norm_eps, bias=bias))
        for p in self.parameters():
            if p.ndim > 1:
                p.assign(tensor(init.xavier_uniform_array(p.shape, p.shape[1], p.shape[0])))  # type: ignore[arg-type]

    def forward(self, src: Tensor, tgt: Tensor, src_mask: Tensor | None = None, tgt_mask: Tensor | None = None, memory_mask: Tensor | None = None,
                src_key_padding_mask: Tensor | None = None, tgt_key_padding_mask: Tensor | None = None, memory_key_padding_mask: Tensor | None = None,
                src_is_causal: bool | None = None, tgt_is_causal: bool | None = None, memory_is_causal: bool = False) -> Tensor:  # fmt: skip
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        return self.decoder(tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask,  # type: ignore[no-any-return]
                            tgt_is_causal, memory_is_causal)  # fmt: skip

    @staticmethod
    def generate_square_subsequent_mask(sz: int) -> Tensor:
        """float32[sz, sz]: -inf above the diagonal, 0 elsewhere."""
        return tensor(np.triu(np.full((sz, sz), -np.inf, np.float32), 1))


__all__ = ["Transformer", "TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder", "TransformerEncoderLayer"]
