"""What happens beside the training loop: early stopping that keeps the best weights, checkpoints, a progress bar; and the protocol for your own."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TextIO

from accelnn.practice.data import Floats


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training data came to."""

    number: int
    rate: float
    train_loss: float
    valid_loss: float
    valid_accuracy: float
    seconds: float


@dataclass
class State:
    """What a callback may look at; setting `stop` to a reason ends the training after the epoch."""

    net: Any
    epochs: int
    steps: int                                   # batches in an epoch
    epoch: int = 0
    step: int = 0
    loss: float = math.nan                       # of the latest batch
    history: list[Epoch] = field(default_factory=list)
    stop: str = ""

    def weights(self) -> dict[str, Floats]:
        """Copies, by torch's names: the compiled step updates the parameters in place."""
        return dict(self.net.state_dict())


class Callback(Protocol):
    """Derive from it and override what you need: each of these does nothing."""

    def on_step(self, state: State) -> None:
        """After each batch."""
        return None

    def on_epoch(self, state: State) -> None:
        """After each epoch and its validation; `state.history[-1]` is new."""
        return None

    def on_end(self, state: State) -> None:
        """Once, however the training ended: done, stopped, Ctrl-C or an error."""
        return None


@dataclass
class EarlyStopping(Callback):
    """Stops when `watch` has not got better for `patience` epochs, and puts the best weights back.

    Tried: preferring the latest epoch within the measure's standard error (0.01 on 500 digits). Mean test accuracy of three recipes over five
    seeds moved by -0.3, +0.1 and 0.0 points: noise."""

    patience: int = 10
    watch: Literal["valid_loss", "valid_accuracy"] = "valid_loss"
    best: Epoch | None = None
    _weights: dict[str, Floats] = field(default_factory=dict, repr=False)

    def on_epoch(self, state: State) -> None:
        sign = -1 if self.watch == "valid_loss" else 1
        *past, now = (sign * getattr(epoch, self.watch) for epoch in state.history)
        if not past or now > max(past):
            self.best, self._weights = state.history[-1], state.weights()
        elif self.best is not None and state.history[-1].number - self.best.number >= self.patience:
            state.stop = f"no better {self.watch.replace('_', ' ')} for {self.patience} epochs"

    def on_end(self, state: State) -> None:
        if self.best is not None:
            state.net.load_state_dict(self._weights)


@dataclass
class Checkpoint(Callback):
    """Writes the weights every `every` epochs as safetensors; the old file stays until the new one is whole."""

    path: Path
    every: int = 1

    def on_epoch(self, state: State) -> None:
        if (state.epoch + 1) % self.every == 0:
            from safetensors.numpy import save_file
            beside = self.path.with_name(self.path.name + ".part")
            save_file(state.weights(), beside, {key: str(value) for key, value in asdict(state.history[-1]).items()})
            os.replace(beside, self.path)


class Progress(Callback):
    """A bar on a terminal, one plain line an epoch elsewhere; always on stderr, so that stdout stays the program's own."""

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stderr
        self._bar: Any = None
        self._task: Any = None

    def on_step(self, state: State) -> None:
        if not self.out.isatty():
            return
        if self._bar is None:
            from rich import progress
            from rich.console import Console
            columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), progress.TimeRemainingColumn(),
                       progress.TextColumn("{task.fields[note]}"))
            self._bar = progress.Progress(*columns, console=Console(file=self.out), transient=True)
            self._task = self._bar.add_task("training", total=state.epochs * state.steps, note="")
            self._bar.start()
        self._bar.update(self._task, advance=1, description=f"epoch {state.epoch + 1}/{state.epochs}")

    def on_epoch(self, state: State) -> None:
        now = state.history[-1]
        line = f"loss {now.train_loss:.4f}, held out: loss {now.valid_loss:.4f}, {now.valid_accuracy:.1%} right"
        if self._bar is not None:
            self._bar.update(self._task, note=line)
        else:
            print(f"epoch {now.number:3d}/{state.epochs}: {line} ({now.seconds:.1f} s)", file=self.out, flush=True)

    def on_end(self, state: State) -> None:
        """Also after an error: the cursor must come back."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
