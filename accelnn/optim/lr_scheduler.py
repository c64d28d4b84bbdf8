"""Learning rates over time, with torch's names, arguments and defaults. A rate is a formula of the number of steps, in tensor operations, and that number
is a tensor: `scheduler.step()` inside a compiled step is part of its Plan. From the optimizer's first rate on, whatever it was set to by hand since."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core.errors import AttributeValueError
from ..core.tensor import Tensor, no_grad, tensor
from ..ops import minimum, where
from . import Optimizer


def _number(value: float) -> Tensor:
    return tensor(np.float32(value))


class LRScheduler:
    """`step()` after the optimizer's: counts, and sets its rate. Constructed, it sets the rate of step 0."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer, self.count = optimizer, _number(0.0).to(optimizer._lr.device)
        self.base: float = optimizer.__dict__.setdefault("initial_lr", optimizer.lr)      # of the first scheduler: they can be built one after the other
        self._set(self.count)

    def rate(self, t: Tensor) -> Tensor:
        """The rate after t steps, float32 []."""
        raise AttributeValueError(f"{type(self).__name__} defines no rate()")

    def step(self) -> None:
        with no_grad():
            following = self.count + 1.0
            self.count.assign(following)
            self._set(following)

    def _set(self, t: Tensor) -> None:
        with no_grad():
            self.optimizer._lr.assign(self.rate(t) + 0.0)

    def get_last_lr(self) -> list[float]:
        return [self.optimizer.lr]

    def state_dict(self) -> dict[str, float]:
        return {"count": self.count.item()}

    def load_state_dict(self, state: dict[str, float]) -> None:
        if state.keys() != {"count"}:
            raise AttributeValueError(f"load_state_dict: expected ['count'], got {sorted(state)}")
        self.count.assign(_number(state["count"]))
        self._set(self.count)


class _Factor(LRScheduler):
    """The first rate times a factor."""

    def factor(self, t: Tensor) -> Any:
        raise AttributeValueError(f"{type(self).__name__} defines no factor()")

    def rate(self, t: Tensor) -> Tensor:
        found: Tensor = self.base * self.factor(t)
        return found


class LambdaLR(_Factor):
    """lr_lambda(t) -> factor; t is a Tensor, so that the formula can be compiled: write `where(t < 10, ...)`, not `if t < 10`."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable[[Any], Any]) -> None:
        self.lr_lambda = lr_lambda
        super().__init__(optimizer)

    def factor(self, t: Tensor) -> Any:
        return self.lr_lambda(t)


class StepLR(_Factor):
    """gamma for every step_size steps."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        if step_size < 1:
            raise AttributeValueError(f"StepLR: step_size = {step_size}")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def factor(self, t: Tensor) -> Any:
        return self.gamma ** ((t + 0.5) / float(self.step_size)).floor()      # half a step: t / size may round down at a whole number


class MultiStepLR(_Factor):
    """gamma at every milestone."""

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def factor(self, t: Tensor) -> Any:
        found: Any = _number(1.0)
        for m in self.milestones:
            found = found * where(t >= float(m), self.gamma, 1.0)
        return found


class ConstantLR(_Factor):
    """`factor` for the first total_iters steps, then 1."""

    def __init__(self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5) -> None:
        if not 0.0 <= factor <= 1.0:
            raise AttributeValueError(f"ConstantLR: factor = {factor}, between 0 and 1 expected")
        self.first, self.total_iters = factor, total_iters
        super().__init__(optimizer)

    def factor(self, t: Tensor) -> Any:
        return where(t >= float(self.total_iters), 1.0, self.first)


class LinearLR(_Factor):
    """From start_factor to end_factor in total_iters steps: a warmup."""

    def __init__(self, optimizer: Optimizer, start_factor: float = 1.0 / 3, end_factor: float = 1.0, total_iters: int = 5) -> None:
        if not (0.0 < start_factor <= 1.0 and 0.0 <= end_factor <= 1.0 and total_iters >= 1):
            raise AttributeValueError(f"LinearLR: start_factor {start_factor}, end_factor {end_factor}, total_iters {total_iters}")
        self.start, self.end, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer)

    def factor(self, t: Tensor) -> Any:
        return self.start + (self.end - self.start) / self.total_iters * minimum(t, float(self.total_iters))


class ExponentialLR(_Factor):
    """gamma at every step."""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def factor(self, t: Tensor) -> Any:
        return self.gamma**t


class PolynomialLR(_Factor):
    """(1 - t / total_iters) ** power, 0 from there on."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer)

    def factor(self, t: Tensor) -> Any:
        return (1.0 - minimum(t, float(self.total_iters)) / float(self.total_iters)) ** self.power


def _cosine(start: float, end: float, part: Tensor) -> Tensor:
    """From start to end along half a cosine; part in [0, 1]."""
    return end + (start - end) * 0.5 * (1.0 + (part * math.pi).cos())


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the first rate to eta_min in T_max steps, and back (Loshchilov and Hutter, arXiv 1608.03983)."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:  # noqa: N803 (torch's name)
        self.half, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def rate(self, t: Tensor) -> Tensor:
        # Of whole turns and half a turn's rest: the cosine of a large angle has lost the digits that it needs.
        rest = t - ((t + 0.5) / (2.0 * self.half)).floor() * (2.0 * self.half)
        return _cosine(self.base, self.eta_min, rest / float(self.half))


class CosineAnnealingWarmRestarts(LRScheduler):
    """The same, begun again after T_0 steps, after T_0 T_mult more, and so on."""

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> None:  # noqa: N803
        if T_0 < 1 or T_mult < 1:
            raise AttributeValueError(f"CosineAnnealingWarmRestarts: T_0 = {T_0}, T_mult = {T_mult}; whole numbers from 1 expected")
        self.first, self.mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer)

    def rate(self, t: Tensor) -> Tensor:
        start, length = ((t + 0.5) / float(self.first)).floor() * float(self.first), _number(float(self.first))
        if self.mult > 1:
            start, at, size = _number(0.0), self.first, self.first * self.mult
            while at < 1 << 24:      # what a count in float32 can reach
                later = t >= float(at)
                start, length = where(later, float(at), start), where(later, float(size), length)
                at, size = at + size, size * self.mult
        return _cosine(self.base, self.eta_min, (t - start) / length)


class OneCycleLR(LRScheduler):
    """Up to max_lr in pct_start of all steps, down to almost nothing in the rest (Smith and Topin, arXiv 1708.07120); after the last step it stays. The
    momentum is not cycled (torch: cycle_momentum=False)."""

    def __init__(self, optimizer: Optimizer, max_lr: float, total_steps: int, pct_start: float = 0.3, anneal_strategy: str = "cos",
                 div_factor: float = 25.0, final_div_factor: float = 1e4) -> None:  # fmt: skip
        if total_steps < 2 or not 0.0 <= pct_start <= 1.0 or anneal_strategy not in ("cos", "linear"):
            raise AttributeValueError(f"OneCycleLR: total_steps {total_steps}, pct_start {pct_start}, anneal_strategy {anneal_strategy!r}")
        self.top, self.up, self.last, self.strategy = max_lr, pct_start * total_steps - 1.0, total_steps - 1.0, anneal_strategy
        self.low = max_lr / div_factor
        self.least = self.low / final_div_factor
        super().__init__(optimizer)

    def rate(self, t: Tensor) -> Tensor:
        def between(start: float, end: float, a: float, b: float) -> Tensor:
            part = (minimum(t, self.last) - a) / max(b - a, 1e-6)
            return _cosine(start, end, part) if self.strategy == "cos" else start + (end - start) * part

        return where(t <= self.up, between(self.low, self.top, 0.0, self.up), between(self.top, self.least, self.up, self.last))


class SequentialLR(LRScheduler):
    """One scheduler until its milestone, then the next, counted from there."""

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]) -> None:
        if len(schedulers) != len(milestones) + 1 or any(s.optimizer is not optimizer for s in schedulers):
            raise AttributeValueError(f"SequentialLR: {len(schedulers)} schedulers of this optimizer need {len(schedulers) - 1} milestones, "
                                      f"not {len(milestones)}")  # fmt: skip
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        super().__init__(optimizer)

    def rate(self, t: Tensor) -> Tensor:
        found = self.schedulers[0].rate(t)
        for scheduler, m in zip(self.schedulers[1:], self.milestones):
            found = where(t >= float(m), scheduler.rate(t - float(m)), found)
        return found


class ReduceLROnPlateau:
    """The rate times `factor` when a metric has not become better for more than `patience` steps: `step(metric)` between compiled steps, not in them."""

    def __init__(self, optimizer: Optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10, threshold: float = 1e-4,
                 threshold_mode: str = "rel", cooldown: int = 0, min_lr: float = 0.0, eps: float = 1e-8) -> None:  # fmt: skip
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs") or not factor < 1.0:
            raise AttributeValueError(f"ReduceLROnPlateau: mode {mode!r}, threshold_mode {threshold_mode!r}, factor {factor} (below 1)")
        self.optimizer, self.mode, self.factor, self.patience, self.threshold = optimizer, mode, factor, patience, threshold
        self.threshold_mode, self.cooldown, self.min_lr, self.eps = threshold_mode, cooldown, min_lr, eps
        self.best, self.bad, self.resting = math.inf if mode == "min" else -math.inf, 0, 0

    def step(self, metrics: Any) -> None:
        value, sign = float(metrics), 1.0 if self.mode == "min" else -1.0
        margin = abs(self.best) * self.threshold if self.threshold_mode == "rel" and math.isfinite(self.best) else self.threshold
        if sign * value < sign * self.best - (margin if math.isfinite(self.best) else 0.0):
            self.best, self.bad = value, 0
        else:
            self.bad += 1
        if self.resting:
            self.resting, self.bad = self.resting - 1, 0
        if self.bad > self.patience:
            old, new = self.optimizer.lr, max(self.optimizer.lr * self.factor, self.min_lr)
            if old - new > self.eps:
                self.optimizer.lr = new
            self.resting, self.bad = self.cooldown, 0

    def get_last_lr(self) -> list[float]:
        return [self.optimizer.lr]

    def state_dict(self) -> dict[str, float]:
        return {"best": self.best, "bad": self.bad, "resting": self.resting}

    def load_state_dict(self, state: dict[str, float]) -> None:
        if state.keys() != self.state_dict().keys():
            raise AttributeValueError(f"load_state_dict: expected {sorted(self.state_dict())}, got {sorted(state)}")
        self.best, self.bad, self.resting = state["best"], int(state["bad"]), int(state["resting"])


__all__ = ["ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "ExponentialLR", "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR",
           "OneCycleLR", "PolynomialLR", "ReduceLROnPlateau", "SequentialLR", "StepLR"]  # fmt: skip
