"""A transformer reads digits of 8 x 8 pixels as sixteen patches: python examples/patches_transformer.py [SEED]

Real data: the 1,797 digits of scikit-learn (pip install scikit-learn). The whole training step is one Plan."""

import sys

import numpy as np

import accelnn as an
from accelnn.practice.data import Batches, load_small_digits
from accelnn.practice.train import evaluate, fit


class PatchTransformer(an.nn.Module):
    """Patches of 2 x 2 pixels as words, two encoder layers, the mean over the words."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.embed = an.nn.Linear(4, width)
        self.position = an.nn.Parameter(np.random.default_rng(0).normal(size=(1, 16, width)).astype(np.float32) * 0.1)
        self.encoder = an.nn.TransformerEncoder(an.nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.1, batch_first=True, norm_first=True), 2)
        self.norm = an.nn.LayerNorm(width)
        self.head = an.nn.Linear(width, 10)

    def forward(self, images: an.Tensor) -> an.Tensor:
        """images[N, 1, 8, 8] -> scores[N, 10]."""
        patches = images.reshape(-1, 4, 2, 4, 2).permute(0, 1, 3, 2, 4).reshape(-1, 16, 4)
        return self.head(self.norm(self.encoder(self.embed(patches) + self.position)).mean(1))


seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
an.seed(seed)
digits = load_small_digits(seed)
net = PatchTransformer()
history = fit(net, an.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05), Batches(digits.train, 50, seed), digits.valid, epochs=60)
_, accuracy, _ = evaluate(an.compile(net), digits.test, an.nn.CrossEntropyLoss(), size=120)
print(f"{accuracy:.2%} of {len(digits.test)} unseen digits are right, after {sum(e.seconds for e in history):.0f} s")
