"""Training on a compiled step, with a learning-rate schedule and callbacks. One Plan does forward, backward and update."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import accelnn as an
from accelnn.practice import metrics
from accelnn.practice.callbacks import Callback, Checkpoint, EarlyStopping, Epoch, Progress, State
from accelnn.practice.data import Batches, Floats, Split

__all__ = ["Batches", "Callback", "Checkpoint", "EarlyStopping", "Epoch", "Progress", "Split", "State", "TrainingError", "evaluate", "fit"]

Schedule = Callable[[float], float]   # share of the training done, 0..1 -> factor on the learning rate


class TrainingError(an.Error):
    """Training cannot go on; says at which step and what to try."""


def cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * done))


def one_cycle(done: float, warm: float = 0.1) -> float:
    """A short climb from 4 % (the first steps of Adam know no scale yet), then half a cosine down to 0."""
    return 0.04 + 0.96 * done / warm if done < warm else cosine((done - warm) / (1 - warm))


def evaluate(forward: Callable[..., Any], split: Split, loss: Callable[..., Any], size: int = 250) -> tuple[float, float, Floats]:
    """Loss, accuracy and scores f32 [N, classes] of a split, in order."""
    with an.no_grad():
        parts = [np.array(forward(an.tensor(split.images[i : i + size])).numpy()) for i in range(0, len(split), size)]
        scores = np.concatenate(parts)
        return float(loss(an.tensor(scores), an.tensor(split.labels)).item()), metrics.accuracy(scores, split.labels), scores


def fit(net: Any, optimizer: Any, train: Batches, valid: Split, *, loss: Callable[..., Any] | None = None, epochs: int = 30,
        schedule: Schedule = one_cycle, callbacks: Sequence[Callback] = ()) -> list[Epoch]:
    """Trains `net` in place and returns its history. The rate that `optimizer` came with is the schedule's peak."""
    criterion, peak = loss or an.nn.CrossEntropyLoss(), float(optimizer.lr)

    def train_step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        value = criterion(net(x), y)
        value.backward()
        optimizer.step()
        return value

    state = State(net, epochs, len(train))
    step, forward = an.compile(train_step), an.compile(net)
    try:
        for state.epoch in range(epochs):
            began, total = time.perf_counter(), 0.0
            net.train()
            for number, (x, y) in enumerate(train.epoch(state.epoch)):
                state.step = number
                rate = peak * schedule((state.epoch + state.step / state.steps) / epochs)
                optimizer.lr = rate              # state of the Plan: no retrace
                state.loss = float(step(an.tensor(x), an.tensor(y)).item())
                if not math.isfinite(state.loss):
                    raise TrainingError(f"the loss became {state.loss} in epoch {state.epoch + 1}, step {number + 1}, at a learning rate of "
                                        f"{rate:.3g}: try a tenth of the peak rate ({peak / 10:.3g}) and check the inputs for extreme values")
                total += state.loss
                for callback in callbacks:
                    callback.on_step(state)
            net.eval()
            valid_loss, valid_accuracy, _ = evaluate(forward, valid, criterion)
            state.history.append(Epoch(state.epoch + 1, rate, total / state.steps, valid_loss, valid_accuracy, time.perf_counter() - began))
            for callback in callbacks:
                callback.on_epoch(state)
            if state.stop:
                break
    finally:                                     # after an error or Ctrl-C too: best weights back, bar gone, rate as it came
        optimizer.lr = peak
        net.eval()
        for callback in callbacks:
            callback.on_end(state)
    return state.history
