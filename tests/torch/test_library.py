"""accelnn::linear and accelnn::mm as operators: registration, compiled graphs, derivatives."""

from __future__ import annotations

from typing import Any

import pytest

from ..conftest import need_module, need_program

need_module("torch")

import torch  # noqa: E402
from torch import nn  # noqa: E402

import accelnn.torch as ant  # noqa: E402

OPS = torch.ops.accelnn


@pytest.fixture(autouse=True)
def _fresh() -> Any:
    torch.manual_seed(0)
    torch._dynamo.reset()
    ant.fallbacks(reset=True)


def samples() -> list[Any]:
    def draw(*shape: int, grad: bool = True) -> Any:
        return torch.randn(shape, requires_grad=grad)

    return [(draw(3, 4), draw(5, 4), draw(5)), (draw(4), draw(5, 4), None), (draw(2, 3, 4), draw(5, 4, grad=False), draw(5, grad=False)),
            (draw(4, 2).T.detach(), draw(4, 5).T, None), (draw(0, 4), draw(5, 4), draw(5)),
            (draw(3, 4, grad=False).bfloat16(), draw(5, 4, grad=False).bfloat16(), None)]  # fmt: skip


@pytest.mark.parametrize("at", range(6))
def test_opcheck_linear(at: int) -> None:
    torch.library.opcheck(OPS.linear.default, samples()[at])


@pytest.mark.parametrize("shapes", [((3, 4), (4, 5)), ((1, 1), (1, 1)), ((0, 3), (3, 2))])
def test_opcheck_mm(shapes: Any) -> None:
    torch.library.opcheck(OPS.mm.default, tuple(torch.randn(s, requires_grad=True) for s in shapes))
    torch.library.opcheck(OPS.mm.default, tuple(torch.randn(s[::-1]).T for s in shapes))


def test_operators_and_the_eager_way_give_equal_bits() -> None:
    ours = ant.Linear(20, 12)
    found = []
    for call in (ours, lambda x: OPS.linear(x, ours.weight, ours.bias)):
        x = torch.linspace(-1, 1, 100).reshape(5, 20).requires_grad_()
        ours.zero_grad()
        y = call(x)
        y.square().sum().backward()
        found.append((y.detach(), x.grad, ours.weight.grad.clone(), ours.bias.grad.clone()))
    for a, b in zip(*found):
        assert torch.equal(a, b)


def test_double_gradients_of_the_operators() -> None:
    """Against torch's own, to the third order."""
    w, b = torch.randn(4, 6), torch.randn(4)

    def third(f: Any) -> Any:
        x = torch.linspace(-1, 1, 18).reshape(3, 6).requires_grad_()
        v = w.clone().requires_grad_()
        first = torch.autograd.grad(f(x, v, b).tanh().sum(), (x, v), create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), (x, v), create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in second), (x, v))

    for ours, theirs in zip(third(OPS.linear), third(nn.functional.linear)):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)
    for ours, theirs in zip(third(lambda x, v, b: OPS.mm(x, v.T) + b), third(nn.functional.linear)):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


def test_other_dtypes_and_devices() -> None:
    for dtype in (torch.float64, torch.bfloat16):
        x, w = torch.randn(2, 4, dtype=dtype), torch.randn(3, 4, dtype=dtype)
        assert torch.equal(OPS.linear(x, w, None), nn.functional.linear(x, w))
        assert torch.equal(OPS.mm(x, w.T), x @ w.T)
    assert OPS.linear(torch.empty(2, 4, device="meta"), torch.empty(3, 4, device="meta"), None).shape == (2, 3)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        OPS.linear(torch.randn(2, 4), torch.randn(3, 5), None)


class Net(nn.Module):
    def __init__(self, linear: Any) -> None:
        super().__init__()
        self.first, self.second = linear(12, 8), linear(8, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))  # type: ignore[no-any-return]


def nets() -> tuple[Any, Any]:
    ours, theirs = Net(ant.Linear), Net(nn.Linear)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def test_a_traced_graph_holds_our_operator() -> None:
    """fullgraph with a backend that shows the graph; static and dynamic shapes; what is not ours stays torch's."""
    graphs: list[str] = []

    def backend(module: Any, inputs: Any) -> Any:
        graphs.append(module.code)
        return module.forward

    ours, theirs = nets()
    compiled = torch.compile(ours, fullgraph=True, backend=backend, dynamic=True)
    for m in (3, 5, 6):
        x = torch.randn(m, 12)
        torch.testing.assert_close(compiled(x), theirs(x))
    assert len(graphs) == 1 and graphs[0].count("accelnn.linear") == 2
    torch._dynamo.reset()
    graphs.clear()
    half = torch.compile(nets()[0].bfloat16(), fullgraph=True, backend=backend)
    assert half(torch.randn(3, 12).bfloat16()).dtype is torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.compile(ours, fullgraph=True, backend=backend)(torch.randn(3, 12)).dtype is torch.bfloat16
    assert graphs and not any("accelnn" in g for g in graphs)


def test_compiled_by_inductor_equals_eager() -> None:
    """Forward and backward, bit for bit where only our kernels compute."""
    need_program("g++")
    ours, theirs = nets()
    compiled = torch.compile(ours, fullgraph=True)
    found = []
    for call in (ours, compiled):
        x = torch.linspace(-1, 1, 60).reshape(5, 12).requires_grad_()
        ours.zero_grad()
        y = call(x)
        y.square().mean().backward()
        found.append((y.detach(), x.grad, *(p.grad.clone() for p in ours.parameters())))
    for eager, graph in zip(*found):
        torch.testing.assert_close(graph, eager)
    x = torch.linspace(-1, 1, 60).reshape(5, 12)
    torch.testing.assert_close(found[1][0], theirs(x).detach())
    with torch.no_grad():
        for _ in range(3):
            torch.testing.assert_close(compiled(x), theirs(x))
        ours.first.weight.mul_(2)                     # the compiled graph sees the change too
        theirs.load_state_dict(ours.state_dict())
        torch.testing.assert_close(compiled(x), theirs(x))


def test_exported_programs_run_without_us() -> None:
    ours, theirs = nets()
    x = torch.randn(3, 12)
    program = torch.export.export(ours, (x,))
    assert "accelnn" not in program.graph_module.code
    torch.testing.assert_close(program.module()(x), theirs(x))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_and_symbolically_traced() -> None:
    ours, theirs = nets()
    x = torch.randn(3, 12)
    torch.testing.assert_close(torch.jit.script(ours)(x), theirs(x))
    torch.testing.assert_close(torch.fx.symbolic_trace(ours)(x), theirs(x))
