"""accelnn.torch.Linear is torch.nn.Linear in everything but speed."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from accelnn import _C

from ..conftest import need_module

need_module("torch")

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.utils import parametrize, prune  # noqa: E402

import accelnn.torch as ant  # noqa: E402
from accelnn.ops.matmul import gamma  # noqa: E402
from accelnn.torch import weights  # noqa: E402

SIZES = [(1, 1, 1), (5, 20, 33), (1, 768, 48), (3, 7, 16), (64, 33, 17), (0, 4, 5), (4, 0, 3), (4, 5, 0)]  # batch, in, out


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch.manual_seed(0)
    ant.forget()
    ant.fallbacks(reset=True)
    yield


def pair(wide_in: int, wide_out: int, bias: bool = True) -> tuple[Any, Any]:
    ours, theirs = ant.Linear(wide_in, wide_out, bias=bias), nn.Linear(wide_in, wide_out, bias=bias)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    return ours, theirs


def ours_only() -> None:
    assert not ant.fallbacks(), "calls went to torch that our kernels should have taken"


def within_bound(y: Any, x: Any, weight: Any, bias: Any = None) -> None:
    """gamma_(K+2) (|x||W^T| + |b|), against float64."""
    x, w, b = x.detach().double(), weight.detach().double(), torch.zeros(weight.shape[0]).double() if bias is None else bias.detach().double()
    bound = gamma(w.shape[1] + 2) * (x.abs() @ w.T.abs() + b.abs())
    error = (y.detach().double() - (x @ w.T + b)).abs()
    assert y.shape == error.shape and bool((error <= bound).all()), f"worst {(error - bound).max()}"


# What it is


def test_is_built_and_shown_like_torchs() -> None:
    torch.manual_seed(3)
    ours = ant.Linear(6, 4)
    torch.manual_seed(3)
    theirs = nn.Linear(6, 4)
    assert torch.equal(ours.weight, theirs.weight) and torch.equal(ours.bias, theirs.bias), "the same initialisation from the same seed"
    assert repr(ours) == repr(theirs) and isinstance(ours, nn.Linear)
    assert [n for n, _ in ours.named_parameters()] == ["weight", "bias"] and ant.Linear(6, 4, bias=False).bias is None
    assert ant.Linear(6, 4, True, "meta", torch.bfloat16).weight.is_meta
    assert list(ours.__dict__) == list(theirs.__dict__), "the layer holds nothing of its own"


def test_state_dict_goes_both_ways() -> None:
    ours, theirs = pair(5, 3)
    x = torch.randn(2, 5)
    with torch.no_grad():
        for _ in range(3):
            ours(x)
    assert list(ours.state_dict()) == list(theirs.state_dict()) == ["weight", "bias"]
    other = nn.Linear(5, 3)
    ours.load_state_dict(other.state_dict(), strict=True)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), other(x))
    with pytest.raises(RuntimeError, match="Missing key"):
        ours.load_state_dict({"weight": other.weight}, strict=True)


def test_copies_and_pickles() -> None:
    ours, _ = pair(20, 8)
    x = torch.randn(4, 20)
    with torch.no_grad():
        y = [ours(x) for _ in range(3)][-1]     # packed by now
        size = len(pickle.dumps(nn.Linear(20, 8)))
        assert len(pickle.dumps(ours)) < size + 100, "packed weights do not travel"
        file = io.BytesIO()
        torch.save(ours, file)
        file.seek(0)
        for other in (copy.deepcopy(ours), copy.copy(ours), pickle.loads(pickle.dumps(ours)), torch.load(file, weights_only=False)):
            assert type(other) is ant.Linear and torch.equal(other(x), y)
        twin = copy.deepcopy(ours)
        twin.weight.zero_()
        assert torch.equal(ours(x), y) and torch.equal(twin(x), twin.bias.expand(4, 8))


# What it computes


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("m, k, n", SIZES)
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_forward(m: int, k: int, n: int, bias: bool) -> None:
    ours, _ = pair(k, n, bias)
    x = torch.randn(m, k)
    with torch.no_grad():
        first, *later = [ours(x) for _ in range(4)]
    for y in (first, *later, ours(x)):
        within_bound(y, x, ours.weight, ours.bias)
    assert all(torch.equal(later[-1], y) for y in later[1:])
    ours_only()


@pytest.mark.parametrize("shape", [(20,), (2, 3, 20), (2, 1, 3, 20), (2, 0, 20)])
def test_leading_dimensions(shape: tuple[int, ...]) -> None:
    ours, theirs = pair(20, 9)
    for x in (torch.randn(shape), torch.randn(*shape[:-1], 40)[..., ::2], torch.randn(20, *shape[:-1]).movedim(0, -1), torch.randn(20).expand(shape)):
        with torch.no_grad():
            for _ in range(3):
                assert ours(x).shape == theirs(x).shape
                within_bound(ours(x), x, ours.weight, ours.bias)
        mine, his = x.detach().clone().requires_grad_(), x.detach().clone().requires_grad_()
        dy = torch.randn(theirs(his).shape)
        ours(mine).backward(dy)
        theirs(his).backward(dy)
        torch.testing.assert_close(mine.grad, his.grad)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)
    torch.testing.assert_close(ours.bias.grad, theirs.bias.grad)
    ours_only()


@pytest.mark.parametrize("m, k, n", [(1, 20, 33), (5, 20, 33), (64, 17, 16), (2, 600, 500), (0, 4, 5)])
def test_backward_within_the_bound(m: int, k: int, n: int) -> None:
    """Both products against float64, each with its own bound."""
    ours, _ = pair(k, n)
    x, dy = torch.randn(m, k, requires_grad=True), torch.randn(m, n)
    ours(x).backward(dy)
    within_bound(x.grad, dy, ours.weight.T)
    within_bound(ours.weight.grad, dy.T, x.T)
    bound = gamma(m + 1) * dy.double().abs().sum(0)
    assert bool(((ours.bias.grad.double() - dy.double().sum(0)).abs() <= bound).all())


@pytest.mark.parametrize("frozen", ["x", "weight", "bias", "all but x"])
def test_gradients_are_made_only_where_they_are_needed(frozen: str) -> None:
    ours, theirs = pair(12, 7)
    x, his = torch.randn(3, 12, requires_grad=frozen != "x"), None
    for layer in (ours, theirs):
        layer.weight.requires_grad_(frozen not in ("weight", "all but x"))
        layer.bias.requires_grad_(frozen not in ("bias", "all but x"))
    his = x.detach().clone().requires_grad_(x.requires_grad)
    for _ in range(3):
        ours(x).square().sum().backward()
        theirs(his).square().sum().backward()
    for a, b in ((x, his), (ours.weight, theirs.weight), (ours.bias, theirs.bias)):
        assert (a.grad is None) == (b.grad is None) == (not a.requires_grad)
        if a.grad is not None:
            torch.testing.assert_close(a.grad, b.grad)
    assert (weights.HELD[id(ours.weight)].panels is not None) == (frozen in ("weight", "all but x")), "a weight that trains is not packed"


def test_gradients_of_gradients() -> None:
    ours, theirs = pair(6, 4)
    found = []
    for layer in (ours, theirs):
        x = torch.linspace(-1, 1, 12).reshape(2, 6).requires_grad_()
        (g,) = torch.autograd.grad(layer(x).tanh().sum(), x, create_graph=True)
        (g.square().sum() + x.sum()).backward()
        found.append((x.grad, layer.weight.grad, layer.bias.grad))
    for a, b in zip(*found):
        torch.testing.assert_close(a, b)


def test_against_differences() -> None:
    """Our float32 gradients against central differences of torch in float64."""
    ours, _ = pair(4, 3)
    x = torch.randn(2, 4)
    y = ours(x.requires_grad_())
    y.backward(torch.ones_like(y) * 0.5)
    for which, tensor in enumerate((x, ours.weight, ours.bias)):
        for i in range(tensor.numel()):
            at = []
            for step in (1e-4, -1e-4):
                moved = [t.detach().double().clone() for t in (x, ours.weight, ours.bias)]
                moved[which].view(-1)[i] += step
                at.append(float(nn.functional.linear(*moved).sum() * 0.5))
            assert abs(float(tensor.grad.reshape(-1)[i]) - (at[0] - at[1]) / 2e-4) <= 1e-5


def test_large_results_may_outlive_everything() -> None:
    """Results from 1 MiB on lie in memory of accelnn, which torch gives back."""
    gc.collect()  # what earlier tests left in cycles must not fall between the two readings
    before = _C.machine()["memory"]["live"]
    layer = ant.Linear(1024, 600, bias=False)
    y = layer(torch.randn(700, 1024, requires_grad=True))
    y.backward(torch.ones_like(y))
    grad, kept = layer.weight.grad, y.detach()
    assert _C.machine()["memory"]["live"] >= before + 4 * (grad.numel() + kept.numel())
    total = kept.double().sum()
    del layer, y
    gc.collect()
    assert kept.add_(0).double().sum() == total and grad.resize_as_(grad).isfinite().all()
    again = pickle.loads(pickle.dumps(kept))
    assert torch.equal(again, kept)
    del grad, kept
    gc.collect()
    assert _C.machine()["memory"]["live"] == before


# Packed weights


def held(layer: Any) -> Any:
    return weights.HELD.get(id(layer.weight))


def test_weights_are_packed_once_and_again_after_a_change() -> None:
    ours, theirs = pair(40, 24)
    x = torch.randn(8, 40)

    def check() -> Any:
        """Panels, after some calls that all gave the same bits."""
        theirs.load_state_dict(ours.state_dict())
        with torch.no_grad():
            y = ours(x)
            torch.testing.assert_close(y, theirs(x))
            assert all(torch.equal(ours(x), y) for _ in range(3))
            within_bound(y, x, ours.weight, ours.bias)
        return held(ours).panels[0] if ours.pack else None

    def assign(value: Any) -> None:
        ours.weight.data = value

    def replace() -> None:
        ours.weight = nn.Parameter(torch.randn(24, 40))

    seen = [check()]
    assert check() is seen[0]
    with torch.no_grad():
        changes: tuple[Any, ...] = (lambda: ours.weight.add_(1), lambda: ours.weight.copy_(torch.randn(24, 40)),      # the version counter
                                    lambda: assign(torch.randn(24, 40)), lambda: assign(torch.randn(40, 24).T),       # the address
                                    lambda: ours.weight.data.mul_(0.5), lambda: ours.weight.data.normal_(),           # neither: the sample
                                    lambda: (ours.weight.data[3].zero_(), ant.forget(ours)),                          # a part of it: forget()
                                    replace, lambda: ours.reset_parameters(), lambda: ours.load_state_dict(pair(40, 24)[0].state_dict()))  # fmt: skip
        for change in changes:
            change()
            assert check() is not seen[-1]
            seen.append(held(ours).panels[0])
        ours.pack = False
        check()
        square, same = ant.Linear(8, 8), torch.randn(3, 8)
        for _ in range(3):
            square(same)
        square.weight.data = square.weight.data.T     # same address, shape and version
        torch.testing.assert_close(square(same), nn.functional.linear(same, square.weight, square.bias))
    ours_only()


def test_equal_calls_give_equal_bits() -> None:
    """Also the first one, and the first one after a step of training: all without gradients read the same panels."""
    ours, theirs = pair(40, 24)
    for rows in (1, 3, 8, 40):
        x = torch.randn(rows, 40)
        with torch.no_grad():
            first = ours(x)
            torch.testing.assert_close(first, theirs(x))
            assert all(torch.equal(ours(x), first) for _ in range(3))
        for layer in (ours, theirs):
            layer(x).sum().backward()
            with torch.no_grad():
                layer.weight.sub_(layer.weight.grad, alpha=0.01)


def test_a_training_loop_with_checks_between() -> None:
    ours, theirs = pair(10, 4)
    opt, his = torch.optim.AdamW(ours.parameters(), lr=0.1), torch.optim.AdamW(theirs.parameters(), lr=0.1)
    x = torch.randn(16, 10)
    for _ in range(5):
        for layer, o in ((ours, opt), (theirs, his)):
            o.zero_grad()
            layer(x).square().mean().backward()
            o.step()
        with torch.no_grad():
            for _ in range(3):
                torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_nothing_is_kept_of_a_weight_that_is_gone() -> None:
    ours, _ = pair(64, 64)
    with torch.no_grad():
        for _ in range(3):
            ours(torch.randn(2, 64))
    assert len(weights.HELD) == 1
    del ours
    gc.collect()
    assert not weights.HELD


def test_shapes_that_never_repeat_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "MOST", 8)
    ours, theirs = pair(5, 3)
    for m in range(40):
        x = torch.randn(m, 5, requires_grad=True)
        torch.testing.assert_close(ours(x), theirs(x))
        ours(x).sum().backward()
    assert len(held(ours).calls) <= 8 and len(weights.LOOSE) <= 8


def test_inference_mode() -> None:
    x = torch.randn(3, 20)
    ours, theirs = pair(20, 6)
    with torch.inference_mode():
        for _ in range(3):
            y = ours(x)
            torch.testing.assert_close(y, theirs(x))
            assert y.is_inference()
        within = ant.Linear(20, 6)                    # its weight has no version counter: never packed
        for _ in range(3):
            torch.testing.assert_close(within(x), nn.functional.linear(x, within.weight, within.bias))
            within.weight.add_(1)
    ours_only()


def test_threads_share_a_layer() -> None:
    ours, theirs = pair(200, 100)
    inputs = [torch.randn(m, 200) for m in (1, 3, 16, 40)]
    with torch.no_grad():
        expected = [theirs(x) for x in inputs]
    wrong: list[Any] = []

    def work() -> None:
        with torch.no_grad():
            for i in range(200):
                k = i % 4
                if i % 50 == 49:
                    ant.forget()
                if not torch.allclose(ours(inputs[k]), expected[k], rtol=1e-4, atol=1e-5):
                    wrong.append(k)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


# What goes to torch


def test_other_tensors_go_to_torch_and_are_counted() -> None:
    ours, _ = pair(4, 3)
    x = torch.randn(2, 4)

    class Mine(torch.Tensor):
        pass

    def asked(reason: str, call: Any) -> Any:
        result = call()
        counted = ant.fallbacks(reset=True)
        assert counted and all(reason in r for r in counted), counted
        return result

    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        y = asked(str(dtype).removeprefix("torch."), lambda dtype=dtype: copy.deepcopy(ours).to(dtype)(x.to(dtype)))
        assert y.dtype is dtype
    assert asked("on meta", lambda: copy.deepcopy(ours).to("meta")(x.to("meta"))).shape == (2, 3)
    assert type(asked("Mine", lambda: ours(x.as_subclass(Mine)))) is Mine
    torch.testing.assert_close(asked("sparse", lambda: ours(x.to_sparse())), ours(x))
    torch.testing.assert_close(asked("negation", lambda: ours(torch._neg_view(x))), ours(-x))
    torch.testing.assert_close(asked("torch.func", lambda: torch.func.vmap(ours)(x)), ours(x))
    torch.testing.assert_close(asked("torch.func", lambda: torch.func.jacrev(ours)(x[0])), ours.weight)
    torch.testing.assert_close(asked("torch.func", lambda: torch.func.jvp(ours, (x,), (torch.ones(2, 4),))[1]), ours.weight.sum(1).expand(2, 3))
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, torch.ones(2, 4))
        tangent = torch.autograd.forward_ad.unpack_dual(asked("forward-mode", lambda: ours(dual))).tangent
        torch.testing.assert_close(tangent, ours.weight.sum(1).expand(2, 3))
    with torch.device("cpu"):
        asked("TorchFunctionMode", lambda: ours(x))
    traced = asked("tracing", lambda: torch.jit.trace(ours, x))
    assert "aten::linear" in str(traced.inlined_graph)
    assert ant.why_not(x, ours.weight, ours.bias) is None and "float64" in str(ant.why_not(x.double(), ours.weight))


def test_errors_are_torchs() -> None:
    ours, theirs = pair(4, 3)
    for x in (torch.randn(2, 5), torch.tensor(1.0), torch.randn(2, 4).int()):
        with pytest.raises(RuntimeError) as his:
            theirs(x)
        with pytest.raises(RuntimeError) as mine:
            ours(x)
        assert str(mine.value) == str(his.value)


def test_a_default_dtype_changes_nothing() -> None:
    ours, _ = pair(4, 3)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        assert ours(torch.randn(2, 4, dtype=torch.float32)).dtype is torch.float32
        ours_only()
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype: torch.dtype) -> None:
    ours, theirs = pair(8, 4)
    x = torch.randn(3, 8)
    with torch.autocast("cpu", dtype=dtype):
        mine, his, op = ours(x), theirs(x), torch.ops.accelnn.linear(x, ours.weight, ours.bias)
        mm = torch.ops.accelnn.mm(x, ours.weight.T)
    assert mine.dtype is his.dtype is op.dtype is mm.dtype is dtype
    assert torch.equal(mine, his) and torch.equal(op, his)
    op.sum().backward()
    assert ours.weight.grad.dtype is torch.float32


def test_functional_call_and_tied_weights() -> None:
    ours, theirs = pair(6, 6)
    x, other = torch.randn(2, 6), {"weight": torch.randn(6, 6), "bias": torch.randn(6)}
    torch.testing.assert_close(torch.func.functional_call(ours, other, (x,)), torch.func.functional_call(theirs, other, (x,)))
    twin = ant.Linear(6, 6)
    twin.weight = ours.weight
    with torch.no_grad():
        for _ in range(3):
            torch.testing.assert_close(twin(ours(x)), nn.functional.linear(theirs(x), theirs.weight, twin.bias))
    parametrize.register_parametrization(ours, "weight", nn.Tanh())
    torch.testing.assert_close(ours(x), nn.functional.linear(x, theirs.weight.tanh(), theirs.bias))
    pruned = prune.l1_unstructured(ant.Linear(6, 6), "weight", 0.5)
    torch.testing.assert_close(pruned(x), nn.functional.linear(x, pruned.weight_orig * pruned.weight_mask, pruned.bias))


def test_numbers_that_are_none() -> None:
    ours, theirs = pair(20, 18)
    x = torch.randn(4, 20)
    x[1, 3], x[2, 4] = float("nan"), float("inf")
    with torch.no_grad():
        for _ in range(3):
            np.testing.assert_array_equal(ours(x).isnan(), theirs(x).isnan())
            np.testing.assert_array_equal(ours(x).isinf(), theirs(x).isinf())
