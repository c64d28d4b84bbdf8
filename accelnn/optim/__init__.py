"""Optimizers with torch's names and defaults. Learning rate and step count are tensors (states of a compiled step): a scheduler needs no retrace."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..core.errors import AttributeValueError
from ..core.tensor import Tensor, apply_all, no_grad, tensor, zeros
from ..ops import maximum


class Optimizer:
    """Holds the parameters; `step()` changes them in place from their `.grad`."""

    def __init__(self, params: Iterable[Tensor], lr: float, maximize: bool = False) -> None:
        self.params, self.maximize = list(params), maximize
        if any(not isinstance(p, Tensor) for p in self.params):
            raise AttributeValueError(f"{type(self).__name__}: parameters are tensors (one optimizer for each group), not "
                                      f"{type(next(p for p in self.params if not isinstance(p, Tensor))).__name__}")  # fmt: skip
        if not self.params:
            raise AttributeValueError(f"{type(self).__name__}: no parameters (a generator that was used up?)")
        if not lr >= 0.0:
            raise AttributeValueError(f"{type(self).__name__}: lr = {lr}")
        self._lr = tensor(np.float32(lr), device=self.params[0].device)

    @property
    def lr(self) -> float:
        return float(self._lr.item())

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr.assign(tensor(np.float32(value)))

    def zero_grad(self) -> None:
        for p in self.params:
            p.grad = None

    def step(self) -> None:
        with no_grad():
            self.update([(i, p, -p.grad if self.maximize else p.grad) for i, p in enumerate(self.params) if p.grad is not None])

    def update(self, grads: list[tuple[int, Tensor, Any]]) -> None:
        raise AttributeValueError(f"{type(self).__name__} defines no update()")

    def state(self) -> dict[str, Tensor]:
        """Every tensor that step() changes besides the parameters, by name."""
        return {"lr": self._lr}

    def state_dict(self) -> dict[str, np.ndarray]:
        return {k: np.array(t.to("cpu").numpy()) for k, t in self.state().items()}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        own = self.state()
        if own.keys() != state.keys():
            raise AttributeValueError(f"load_state_dict: expected {sorted(own)}, got {sorted(state)}")
        for k, t in own.items():
            t.assign(tensor(state[k]))


class SGD(Optimizer):
    """w -= lr * d, where d = g + weight_decay * w, or, with momentum, the velocity v = momentum * v + (1 - dampening) * d, which begins as the first d
    (Nesterov: d + momentum * v)."""

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-3, momentum: float = 0.0, dampening: float = 0.0, weight_decay: float = 0.0,
                 nesterov: bool = False, *, maximize: bool = False) -> None:  # fmt: skip
        super().__init__(params, lr, maximize)
        if momentum < 0 or weight_decay < 0:
            raise AttributeValueError(f"SGD: momentum {momentum}, weight_decay {weight_decay}: neither may be negative")
        if nesterov and (momentum <= 0 or dampening):
            raise AttributeValueError("SGD: Nesterov needs a momentum above 0 and no dampening")
        self.momentum, self.dampening, self.weight_decay, self.nesterov = momentum, dampening, weight_decay, nesterov
        self.velocity = [zeros(*p.shape, device=p.device) for p in self.params] if momentum else []
        self.share = [tensor(np.float32(1.0), device=p.device) for p in self.params] if momentum and dampening else []  # of d: 1 in a parameter's first step

    def update(self, grads: list[tuple[int, Tensor, Any]]) -> None:
        for i, p, g in grads:
            d = g + p * self.weight_decay if self.weight_decay else g
            if self.momentum:
                v = self.velocity[i] * self.momentum + (d * self.share[i] if self.share else d)
                self.velocity[i].assign(v)
                d = d + v * self.momentum if self.nesterov else v
                if self.share:
                    self.share[i].assign(tensor(np.float32(1.0 - self.dampening)))
            p.assign(p - self._lr * d)

    def state(self) -> dict[str, Tensor]:
        moments = {f"velocity.{i}": v for i, v in enumerate(self.velocity)}
        return super().state() | moments | {f"share.{i}": t for i, t in enumerate(self.share)}


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101); one fused pass a parameter."""

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False) -> None:  # fmt: skip
        super().__init__(params, lr, maximize)
        if not (0 <= betas[0] < 1 and 0 <= betas[1] < 1 and eps > 0 and weight_decay >= 0):
            raise AttributeValueError(f"AdamW: betas {betas}, eps {eps}, weight_decay {weight_decay}")
        self.betas, self.eps, self.weight_decay, self.amsgrad = betas, eps, weight_decay, amsgrad
        self.m = [zeros(*p.shape, device=p.device) for p in self.params]
        self.v = [zeros(*p.shape, device=p.device) for p in self.params]
        self.most = [zeros(*p.shape, device=p.device) for p in self.params] if amsgrad else []  # the largest v so far (Reddi et al., 2018)
        self.powers = [tensor(np.float32(1.0), device=self.params[0].device) for _ in betas]  # beta ** step

    def update(self, grads: list[tuple[int, Tensor, Any]]) -> None:
        corrections = []
        for power, beta in zip(self.powers, self.betas):
            following = power * beta
            power.assign(following)
            corrections.append(1.0 / (1.0 - following))
        for i, p, g in grads:
            if self.amsgrad:
                self._amsgrad(i, p, self.gradient(p, g), corrections)
                continue
            w, m, v = apply_all("adamw_step", p, self.gradient(p, g), self.m[i], self.v[i], self._lr, *corrections, beta1=self.betas[0], beta2=self.betas[1],
                                eps=self.eps, weight_decay=self.decay())  # fmt: skip
            p.assign(w)
            self.m[i].assign(m)
            self.v[i].assign(v)

    def _amsgrad(self, i: int, p: Tensor, g: Tensor, corrections: list[Any]) -> None:
        m = self.m[i] * self.betas[0] + g * (1 - self.betas[0])
        v = self.v[i] * self.betas[1] + g * g * (1 - self.betas[1])
        most = maximum(self.most[i], v)
        step = m * corrections[0] / ((most * corrections[1]).sqrt() + self.eps)
        p.assign(p - self._lr * (step + p * self.decay() if self.decay() else step))
        for old, new in ((self.m[i], m), (self.v[i], v), (self.most[i], most)):
            old.assign(new)

    def gradient(self, p: Tensor, g: Tensor) -> Tensor:
        return g

    def decay(self) -> float:
        return self.weight_decay

    def state(self) -> dict[str, Tensor]:
        moments = {f"{name}.{i}": t for name, many in (("m", self.m), ("v", self.v), ("most", self.most)) for i, t in enumerate(many)}
        return super().state() | moments | {f"power.{i}": t for i, t in enumerate(self.powers)}


class Adam(AdamW):
    """Kingma and Ba (arXiv 1412.6980); weight_decay is added to the gradient, as in torch."""

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.0, amsgrad: bool = False, *, maximize: bool = False) -> None:  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)

    def gradient(self, p: Tensor, g: Tensor) -> Tensor:
        return g + p * self.weight_decay if self.weight_decay else g

    def decay(self) -> float:
        return 0.0


__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]
