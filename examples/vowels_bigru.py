"""A bidirectional GRU tells nine speakers apart by two vowels: python examples/vowels_bigru.py [SEED]

Real data of different lengths: JapaneseVowels, as aeon ships it (pip install --no-deps aeon)."""

import sys

import numpy as np

import accelnn as an
from accelnn.practice.series import load_japanese_vowels


class Speaker(an.nn.Module):
    """The mean over each series' own steps of what both directions say."""

    def __init__(self, features: int = 12, hidden: int = 48, classes: int = 9) -> None:
        super().__init__()
        self.gru = an.nn.GRU(features, hidden, batch_first=True, bidirectional=True)
        self.dropout = an.nn.Dropout(0.4)
        self.head = an.nn.Linear(2 * hidden, classes)

    def forward(self, x: an.Tensor, lengths: an.Tensor) -> an.Tensor:
        """x[N, T, features], lengths[N] -> scores[N, classes]; what the GRU gives beyond a series' end is 0."""
        y, _ = self.gru(x, lengths=lengths)
        return self.head(self.dropout(y.sum(1) / lengths.float().unsqueeze(1)))


seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
an.seed(seed)
rng = np.random.default_rng(seed)
train, test = load_japanese_vowels()
there = np.arange(train.values.shape[1]) < train.lengths[:, None]
mean, std = train.values[there].mean(0), train.values[there].std(0)
net, loss = Speaker(), an.nn.CrossEntropyLoss()
optimizer = an.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=0.02)


def train_step(x: an.Tensor, lengths: an.Tensor, labels: an.Tensor) -> an.Tensor:
    optimizer.zero_grad()
    value = loss(net(x, lengths), labels)
    value.backward()
    optimizer.step()
    return value


step, epochs = an.compile(train_step), 60
for epoch in range(epochs):
    optimizer.lr = 4e-3 * 0.5 * (1 + np.cos(np.pi * epoch / epochs))
    losses = [step((x - mean) / std, lengths, labels).item() for x, lengths, labels in train.batches(30, rng)]
    if epoch % 15 == 14:
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}")
net.eval()
scores = an.compile(net)((test.values - mean) / std, test.lengths).numpy()
print(f"{(scores.argmax(1) == test.labels).mean():.2%} of {len(test)} unseen series are right")
