"""`accelnn demo`: from 5,000 real handwritten digits to a compressed executable that reads them, through every room of the house."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, TextIO

import numpy as np

import accelnn as an
from accelnn import _C
from accelnn.practice import metrics, peers, report
from accelnn.practice.augment import Affine
from accelnn.practice.data import Batches, Digits, Floats, load_digits
from accelnn.practice.train import EarlyStopping, Epoch, Progress, fit

# Of nine recipes the one with the lowest validation loss after its last epoch, mean of seeds 0-4: 0.043; 20 epochs 0.049; milder augmentation with
# decay 0.01: 15 epochs 0.050, 30 epochs at a rate of 0.003 0.054, 0.005 0.050, 0.006 0.044, 60 epochs at 0.003 0.051. Their test accuracies
# (98.1 to 98.4 %, 97.8 at 15 epochs and 0.003) lie within noise of each other.
EPOCHS, BATCH, RATE, DECAY, PATIENCE = 30, 64, 5e-3, 0.05, 10
CALIBRATION = 512   # training digits that the activations' ranges are taken from


def lenet(nn: Any) -> Any:
    """LeNet-5: x f32 [N, 1, 28, 28] -> scores f32 [N, 10], 61,706 weights. `nn` is accelnn.nn, or torch.nn for the peer beside it."""
    return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))


def train(digits: Digits, seed: int = 0, epochs: int = EPOCHS, quiet: bool = False) -> tuple[Any, list[Epoch], Epoch]:
    """A trained LeNet-5, the history, and the epoch whose weights it keeps. The seed decides the first weights, the order and the augmentation."""
    an.seed(seed)
    net = lenet(an.nn)
    optimizer = an.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    stopping = EarlyStopping(PATIENCE)
    history = fit(net, optimizer, Batches(digits.train, BATCH, seed, Affine()), digits.valid, epochs=epochs,
                  callbacks=[stopping, *([] if quiet else [Progress()])])
    return net, history, stopping.best or history[-1]


# The seam to the rest of the house: what the demo asks of model, passes and deploy.
def to_model(net: Any, example: Floats) -> Any:
    """A float32 Model of any batch size."""
    return an.freeze(net, example)


def quantize(model: Any, images: Floats) -> Any:
    """Static int8: weights a scale per channel, activations calibrated on images f32 [N, 1, 28, 28]."""
    return an.compress(model, images, bits=8, quiet=True)


def scores_of(model: Any, images: Floats) -> Floats:
    return np.array(model(images).numpy())


@dataclass(frozen=True)
class Binary:
    """A built executable and the folder in which its inputs and answers lie."""

    path: Path
    folder: Path

    def answer(self, images: Floats) -> Floats:
        """x.npy -> y.npy through the executable."""
        x, y = self.folder / "x.npy", self.folder / "y.npy"
        np.save(x, images)
        y.unlink(missing_ok=True)
        done = subprocess.run([self.path, "--input", x, "--output", y], capture_output=True, text=True)
        if done.returncode:
            raise an.Error(f"{self.path} ended with {done.returncode}: {done.stderr.strip()}")
        return np.asarray(np.load(y))

    def bench_us(self) -> float:
        """The median of its own --bench, batch 1."""
        text = subprocess.run([self.path, "--bench", "--repeat", "5000"], capture_output=True, text=True, check=True).stdout
        found = re.search(r"microseconds: median ([\d.]+)", text)
        if not found:
            raise an.Error(f"{self.path} --bench printed no median: {text[:200]!r}")
        return float(found[1])

    def exec_ms(self, image: Floats, times: int = 21) -> float:
        """Median milliseconds from starting the program on one digit f32 [1, 1, 28, 28] to its end, the answer written."""
        x, y = self.folder / "one.npy", self.folder / "one_answer.npy"
        np.save(x, image)
        command, taken = [os.fspath(self.path), "--input", os.fspath(x), "--output", os.fspath(y)], []
        with open(os.devnull, "w") as quiet:
            for _ in range(times):
                began = time.perf_counter()   # posix_spawn: subprocess would add a millisecond of Python to what is measured
                child = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, quiet.fileno(), 1)])
                status = os.waitpid(child, 0)[1]
                taken.append((time.perf_counter() - began) * 1e3)
                if status:
                    raise an.Error(f"{' '.join(command)} failed with status {status}")
        return statistics.median(taken)


def same_bits(a: Floats, b: Floats) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("accelnn demo", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="decides the split, the first weights, the order and the augmentation (default 0)")
    parser.add_argument("--epochs", type=int, help=f"most passes over the training digits (default {EPOCHS}; with --quick 4)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the executable, the models, demo.json and report.png (default out)")
    parser.add_argument("--quick", action="store_true", help="little training, short timing, no peers: a test that everything works")
    parser.add_argument("--json", action="store_true", help="print demo.json on stdout; everything else goes to stderr")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: done; 1: the executable's answers differ from the Python int8 plan's."""
    args = arguments(argv)
    out, started = args.out, time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    text: TextIO = sys.stderr if args.json else sys.stdout

    def say(line: str) -> None:
        print(line, file=text, flush=True)

    digits = load_digits(args.seed)
    test, labels = digits.test.images, digits.test.labels
    say(f"1. Learning to read {len(digits.train):,} handwritten digits; {len(digits.valid)} others say when to stop, "
        f"{len(digits.test)} are kept for the exam.")
    began = time.perf_counter()
    net, history, kept = train(digits, args.seed, args.epochs or (4 if args.quick else EPOCHS))
    seconds = time.perf_counter() - began
    say(f"   {len(history)} passes in {seconds:.0f} s; the weights of pass {kept.number} are kept: "
        f"{kept.valid_accuracy:.1%} of the held-out digits right.")

    say("2. Compressing: every weight from 32 bits to 8.")
    f32 = to_model(net, test[:1])
    int8 = quantize(f32, digits.train.images[:: len(digits.train) // CALIBRATION])
    files = {"f32": out / "digits-f32.accel", "int8": out / "digits-int8.accel", "binary": out / "digits"}
    f32.save(files["f32"])
    int8.save(files["int8"])

    say("3. Building a program of its own.")
    an.build(int8, files["binary"], target="native")
    binary = Binary(files["binary"].resolve(), out.resolve())
    scores = {"f32": scores_of(f32, test), "int8": scores_of(int8, test), "binary": binary.answer(test)}
    exact = same_bits(scores["int8"], scores["binary"])

    say("4. Measuring, everybody in turn.")
    size = {name: path.stat().st_size for name, path in files.items()}
    right = {name: metrics.accuracy(value, labels) for name, value in scores.items()}
    others = [] if args.quick else peers.find(lenet, net.state_dict(), digits.train.images[:: len(digits.train) // CALIBRATION])
    latency = measure(f32, int8, binary, others, test, rounds=1 if args.quick else 5)
    exec_ms = binary.exec_ms(test[:1])
    needs = peers.installed("accelnn", "numpy") if peers.is_installed("accelnn") else "Python and accelnn"
    ours = {"f32": ("accelnn, float32", "the network as it was trained", needs), "int8": ("accelnn, int8", "the same, computed in 8 bits", needs),
            "binary": (os.fspath(files["binary"]), "the 8 bits as a program of its own", "nothing but the system's libc")}
    rows = [report.Row(name, words, right[key], size[key], latency[key], must) for key, (name, words, must) in ours.items()]
    rows += [report.Row(p.name, p.detail, metrics.accuracy(p.run(test), labels), p.bytes, latency[p.name], p.needs, ours=False) for p in others]

    machine = _C.machine()
    result = {"accuracy": right, "bytes": size, "binary": {"exec_ms": exec_ms, "bit_exact": exact}, "latency_us": {k: latency[k] for k in files},
              "train": {"seconds": seconds, "epochs": len(history), "kept": kept.number, "seed": args.seed, "history": [asdict(e) for e in history]},
              "peers": {r.name: {"detail": r.what, "bytes": r.bytes, "latency_us": r.us, "accuracy": r.accuracy} for r in rows if not r.ours},
              "machine": {"cpu": machine["cpu"], "threads": machine["threads"], "python": platform.python_version()},
              "date": date.today().isoformat()}
    write(out / "demo.json", lambda path: path.write_text(json.dumps(result, indent=1) + "\n"))
    say("")
    report.table(rows, len(labels), text)
    verdict = f"All {len(labels)} answers of the program equal Python's int8 answers bit for bit." if exact else "ITS ANSWERS DIFFER from Python's."
    say(f"From starting {files['binary']} to its answer: {exec_ms:.1f} ms. {verdict}")
    try:
        from accelnn.practice import picture
        foot = f"{machine['cpu']}, accelnn with {machine['threads']} thread(s). " + " ".join(f"{p.name}: {p.detail}." for p in others)
        title = (f"A {size['binary'] / 1e3:.0f} KB program that reads handwriting: {right['binary']:.1%} of {len(labels)} unseen digits right, "
                 f"{report.time_in_words(latency['binary'])} a digit")
        write(out / "report.png", lambda path: picture.picture(path, title, history, kept, digits.test, scores["binary"], rows, foot))
        say(f"Picture: {out / 'report.png'}   numbers: {out / 'demo.json'}   try it: {files['binary']} --help   "
            f"({time.perf_counter() - started:.0f} s in all)")
    except an.MissingExtra as missing:
        say(f"No picture: {missing}")
    if args.json:
        print(json.dumps(result))
    return 0 if exact else 1


def measure(f32: Any, int8: Any, binary: Binary, others: Sequence[peers.Peer], images: Floats, rounds: int) -> dict[str, float]:
    """Median microseconds for one digit, all in alternating blocks; images f32 [N, 1, 28, 28] are taken one after the other."""
    ones = [np.ascontiguousarray(image) for image in images[:64, None]]
    blocks: dict[str, Callable[[], float]] = {"binary": binary.bench_us}
    for name, model in (("f32", f32), ("int8", int8)):
        blocks[name] = report.timed(lambda x, model=model: model(x).numpy(), ones)   # type: ignore[misc]
    for peer in others:
        blocks[peer.name] = report.timed(peer.run, ones)
    return report.alternate(blocks, rounds)


def write(path: Path, make: Callable[[Path], object]) -> None:
    """Makes the file beside its place, then moves it there whole."""
    beside = path.with_name(f".{path.stem}.part{path.suffix}")
    make(beside)
    os.replace(beside, path)


if __name__ == "__main__":
    raise SystemExit(main())
