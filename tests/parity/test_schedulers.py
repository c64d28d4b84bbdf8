"""Schedulers beside torch's: eagerly, and inside a compiled step with everything else that a step has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.optim import lr_scheduler as ours

torch = pytest.importorskip("torch")
theirs = torch.optim.lr_scheduler

SCHEDULERS: dict[str, Any] = {
    "lambda": lambda s, o: s.LambdaLR(o, lambda t: 0.9**t),
    "steps": lambda s, o: s.StepLR(o, 3, 0.5),
    "milestones": lambda s, o: s.MultiStepLR(o, [2, 5, 5, 20], 0.3),
    "constant": lambda s, o: s.ConstantLR(o, 0.25, 4),
    "linear": lambda s, o: s.LinearLR(o, 0.1, 0.8, 6),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.95),
    "polynomial": lambda s, o: s.PolynomialLR(o, 10, 2.0),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 7, 0.01),
    "restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 4),
    "longer restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, 2, 0.02),
    "one cycle": lambda s, o: s.OneCycleLR(o, 0.7, 31, **({} if s is ours else {"cycle_momentum": False})),
    "one cycle of lines": lambda s, o: s.OneCycleLR(o, 0.7, 40, pct_start=0.5, anneal_strategy="linear", **({} if s is ours else {"cycle_momentum": False})),
    "warmup": lambda s, o: s.SequentialLR(o, [s.LinearLR(o, 0.1, 1.0, 5), s.CosineAnnealingLR(o, 20), s.ExponentialLR(o, 0.5)], [5, 25]),
}


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.filterwarnings("ignore")
def test_rates(name: str) -> None:
    """Thirty steps; after ten, a scheduler that has loaded the state goes on alike. The compiled one is traced once."""
    a = torch.optim.SGD([torch.zeros(2, requires_grad=True)], lr=0.3)
    b, c, d = (an.optim.SGD([an.tensor(np.zeros(2, np.float32), requires_grad=True)], lr=0.3) for _ in range(3))
    want, eager, inside, later = SCHEDULERS[name](theirs, a), SCHEDULERS[name](ours, b), SCHEDULERS[name](ours, c), SCHEDULERS[name](ours, d)

    def step(x: Any) -> Any:
        inside.step()
        return x + 1.0

    compiled, x = an.compile(step), an.tensor(np.zeros(1, np.float32))
    for i in range(30):
        assert eager.get_last_lr() == pytest.approx(want.get_last_lr(), rel=2e-5, abs=1e-7), i
        assert inside.get_last_lr() == pytest.approx(eager.get_last_lr(), rel=1e-6, abs=1e-7), i  # two units of the largest rate's last place
        a.step()
        want.step()
        eager.step()
        compiled(x)
        if i == 10:
            later.load_state_dict(eager.state_dict())
        elif i > 10:
            later.step()
            assert later.get_last_lr() == eager.get_last_lr()
    assert len(compiled.traced) == 1


@pytest.mark.parametrize("arguments", [{}, {"mode": "max", "threshold_mode": "abs", "threshold": 0.1, "cooldown": 2}, {"patience": 0, "min_lr": 0.05}])
def test_plateau(arguments: dict[str, Any]) -> None:
    a, b = torch.optim.SGD([torch.zeros(2, requires_grad=True)], lr=0.3), an.optim.SGD([an.tensor(np.zeros(2, np.float32))], lr=0.3)
    want, got = (s.ReduceLROnPlateau(o, **{"patience": 2, "factor": 0.5, **arguments}) for s, o in ((theirs, a), (ours, b)))
    for value in np.abs(np.random.default_rng(0).normal(size=40)).cumsum()[::-1] / 10:
        want.step(float(value))
        got.step(float(value))
        assert got.get_last_lr() == pytest.approx(want.get_last_lr(), rel=1e-6)


def test_a_whole_step_is_one_plan() -> None:
    """Forward, backward, clipping, optimizer and scheduler, dropout and batch norm: twenty compiled steps without passes are the eager ones, bit for bit."""
    rng = np.random.default_rng(0)
    x, y = an.tensor(rng.normal(size=(16, 3, 8, 8)).astype(np.float32)), an.tensor(rng.integers(0, 4, 16))
    results = []
    for wrap in (lambda f: f, lambda f: an.compile(f, passes=())):
        an.seed(0)
        net = an.nn.Sequential(an.nn.Conv2d(3, 8, 3), an.nn.BatchNorm2d(8), an.nn.ReLU(), an.nn.Dropout(0.2), an.nn.Flatten(), an.nn.Linear(288, 4))
        optimizer, loss = an.optim.AdamW(net.parameters(), lr=1e-2), an.nn.CrossEntropyLoss()
        warm = ours.SequentialLR(optimizer, [ours.LinearLR(optimizer, 0.1, 1.0, 4), ours.CosineAnnealingLR(optimizer, 16)], [4])

        def step(images: Any, labels: Any, net: Any = net, optimizer: Any = optimizer, warm: Any = warm, loss: Any = loss) -> Any:
            optimizer.zero_grad()
            value = loss(net(images), labels)
            value.backward()
            an.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            optimizer.step()
            warm.step()
            return value

        run = wrap(step)
        losses = [run(x, y).item() for _ in range(20)]
        results.append((losses, optimizer.lr, {k: v.tobytes() for k, v in net.state_dict().items()}))
    assert results[0] == results[1]
    assert results[0][0][-1] < results[0][0][0]


def test_refusals() -> None:
    o = an.optim.SGD([an.tensor(np.zeros(2, np.float32))], lr=0.3)
    for make in (lambda: ours.StepLR(o, 0), lambda: ours.LinearLR(o, 0.0), lambda: ours.ConstantLR(o, 2.0), lambda: ours.CosineAnnealingWarmRestarts(o, 0),
                 lambda: ours.OneCycleLR(o, 0.1, 1), lambda: ours.SequentialLR(o, [ours.ExponentialLR(o, 0.9)], [3]),
                 lambda: ours.ReduceLROnPlateau(o, mode="least"), lambda: ours.ExponentialLR(o, 0.9).load_state_dict({})):  # fmt: skip
        with pytest.raises(an.Error):
            make()
