"""From a network to a program of its own: python examples/quantize_and_build.py [folder]

The network has its first, random weights here; load yours with net.load("weights.safetensors"). What counts is the way: freeze, compress on real
inputs, save, build, and `verify`, which runs the program on random inputs beside its model and refuses a difference."""

import subprocess
import sys
from pathlib import Path

import numpy as np

import accelnn as an

nn = an.nn
out = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
out.mkdir(parents=True, exist_ok=True)
an.seed(0)
net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                    nn.Linear(16 * 6 * 6, 10))  # fmt: skip
inputs = np.random.default_rng(0).random((256, 1, 28, 28), dtype=np.float32)

model = an.freeze(net, inputs[:1])              # the batch stays open: one model for any number of images
small = an.compress(model, inputs, bits=8)      # prints bytes and latency before and after; with labels also accuracy
small.save(out / "net.accel")
print(an.build(small, out / "net", verify=True))
print(subprocess.run([out / "net", "--info"], capture_output=True, text=True, check=True).stdout)

np.save(out / "x.npy", inputs[:3])
subprocess.run([out / "net", "--input", out / "x.npy", "--output", out / "y.npy"], check=True)
print("the program equals Python bit for bit:", np.array_equal(np.load(out / "y.npy"), small(inputs[:3]).numpy()))
