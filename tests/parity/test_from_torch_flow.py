"""torch.cond, while_loop and scan through an.from_torch: one Plan, whichever way a run takes."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from .test_from_torch import check, r  # noqa: E402


class Chosen(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        return torch.cond(x.sum() > 0, lambda x: self.a(x).relu(), lambda x: self.b(x) - 1.0, (x,))


class Repeated(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3)

    def forward(self, x):
        from torch._higher_order_ops.while_loop import while_loop

        return while_loop(lambda i, y: (i < 5) & (y.abs().sum() < 100), lambda i, y: (i + 1, self.a(y) * 3.0), (torch.tensor(0), x))


class Scanned(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3)

    def forward(self, x):
        from torch._higher_order_ops.scan import scan

        def step(h, part):
            h = (self.a(h) + part).tanh()
            return h, h * 2.0

        return scan(step, torch.zeros(2, 3), x)


@pytest.mark.parametrize("module, x, others", [
    (Chosen, r(2, 3).abs(), [-r(2, 3).abs()]), (Repeated, r(2, 3), [30 * r(2, 3), 300 * r(2, 3)]), (Scanned, r(6, 2, 3), [r(6, 2, 3, seed=1)]),
], ids=["cond", "while_loop", "scan"])  # fmt: skip
def test_one_plan_for_every_way(module, x, others):
    model = check(module(), (x,), None, [(o,) for o in others])
    assert any(n.is_flow for n in model.general.lowered.nodes())
