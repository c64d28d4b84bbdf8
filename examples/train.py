"""Trains a small network, one compiled step at a time: python examples/train.py

The step is an ordinary function. `compile` traces it once (forward, backward, AdamW) and runs it as one Plan; parameters are updated in place."""

import numpy as np

import accelnn as an

rng = np.random.default_rng(0)
x = rng.uniform(-1, 1, (2048, 2)).astype(np.float32)
labels = (x[:, 0] * x[:, 1] > 0).astype(np.int64)           # the four quadrants, as a chessboard

an.seed(0)
net = an.nn.Sequential(an.nn.Linear(2, 32), an.nn.Tanh(), an.nn.Linear(32, 2))
optimizer = an.optim.AdamW(net.parameters(), lr=0.01)
loss = an.nn.CrossEntropyLoss()


def train_step(x: an.Tensor, y: an.Tensor) -> an.Tensor:
    optimizer.zero_grad()
    value = loss(net(x), y)
    value.backward()
    optimizer.step()
    return value


step = an.compile(train_step)
for epoch in range(20):
    order = rng.permutation(len(x))
    losses = [step(x[order[i : i + 64]], labels[order[i : i + 64]]).item() for i in range(0, len(x), 64)]
    if epoch % 5 == 4:
        print(f"epoch {epoch + 1:2}: loss {np.mean(losses):.3f}")

answers = net(an.tensor(x)).numpy().argmax(1)
print(f"{(answers == labels).mean():.1%} of the points are right")
net.save("chessboard.safetensors")
