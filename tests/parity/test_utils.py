"""torch.nn.utils, tensors from a shape, and what a Module offers besides being called."""

from __future__ import annotations

import traceback
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.nn import utils

from ..conftest import need_module

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def torch() -> Any:
    need_module("torch")
    import torch

    return torch


@pytest.mark.parametrize(("most", "p"), [(0.5, 2.0), (100.0, 2.0), (1.0, 1.0), (0.3, float("inf"))])
def test_gradients_kept_short(torch: Any, most: float, p: float) -> None:
    data, grads = ([RNG.normal(size=s).astype(np.float32) for s in ((3, 4), (5,), (2,))] for _ in range(2))
    ours, theirs = [an.tensor(d, requires_grad=True) for d in data], [torch.tensor(d, requires_grad=True) for d in data]
    for a, b, g in zip(ours[:2], theirs, grads):
        a.grad, b.grad = an.tensor(g), torch.tensor(g)
    total = utils.clip_grad_norm_(ours, most, p)
    assert total.item() == pytest.approx(torch.nn.utils.clip_grad_norm_(theirs, most, p).item(), rel=1e-5) and ours[2].grad is None
    for a, b in zip(ours[:2], theirs):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-5)
    utils.clip_grad_value_(ours, 0.05)
    assert max(np.abs(a.grad.numpy()).max() for a in ours[:2]) <= np.float32(0.05)


def test_clipping_inside_a_plan() -> None:
    start = RNG.normal(size=(4, 3)).astype(np.float32)
    found = []
    for compiled in (False, True):
        w = an.tensor(start, requires_grad=True)
        opt = an.optim.SGD([w], lr=0.1)

        def step(x: Any, w: Any = w, opt: Any = opt) -> Any:
            opt.zero_grad()
            ((w * x) * (w * x)).sum().backward()
            norm = utils.clip_grad_norm_([w], 0.5)
            opt.step()
            return norm

        run = an.compile(step) if compiled else step
        found.append(([run(an.tensor(start + i)).item() for i in range(3)], w.numpy().copy()))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-5)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-5)


def test_one_vector(torch: Any) -> None:
    net, other = an.nn.Linear(3, 2), an.nn.Linear(3, 2)
    vector = utils.parameters_to_vector(net.parameters())
    utils.vector_to_parameters(vector, other.parameters())
    np.testing.assert_array_equal(other.weight.numpy(), net.weight.numpy())
    with pytest.raises(an.Error, match="8 elements"):
        utils.vector_to_parameters(vector[:3], net.parameters())


@pytest.mark.parametrize("options", [{}, {"batch_first": True, "padding_value": -2.0}, {"padding_side": "left"}])
def test_sequences_side_by_side(torch: Any, options: dict[str, Any]) -> None:
    parts = [RNG.normal(size=(n, 3)).astype(np.float32) for n in (4, 2, 1)]
    got = utils.rnn.pad_sequence([an.tensor(p) for p in parts], **options)
    np.testing.assert_array_equal(got.numpy(), torch.nn.utils.rnn.pad_sequence([torch.tensor(p) for p in parts], **options).numpy())
    packed = utils.rnn.pack_sequence([an.tensor(p) for p in parts])
    for a, b in zip(utils.rnn.unpack_sequence(packed), parts):
        np.testing.assert_array_equal(a.numpy(), b)
    lstm = an.nn.LSTM(3, 4)
    _, (last, _) = lstm(packed)
    np.testing.assert_allclose(last.numpy()[0, 1], lstm(an.tensor(parts[1]))[1][0].numpy()[0], rtol=1e-5)


def test_tensors_from_a_shape() -> None:
    x = an.tensor([[1, 2, 3]])
    assert an.zeros_like(x).tolist() == [[0, 0, 0]] and an.zeros_like(x).dtype == an.int64 and an.ones_like(x, an.float32).dtype == an.float32
    assert an.full((2,), 3).dtype == an.int64 and an.full(2, 0.5).tolist() == [0.5, 0.5] and an.full((), True).dtype == an.bool_
    np.testing.assert_array_equal(an.eye(2, 3).numpy(), np.eye(2, 3))
    np.testing.assert_allclose(an.linspace(0, 1, 5).numpy(), np.linspace(0, 1, 5))
    an.seed(0)
    z, k = an.randn(3, 10_000).numpy(), an.randint(-2, 3, (5000,)).numpy()
    assert abs(z.mean()) < 0.02 and abs(z.std() - 1) < 0.02 and np.isfinite(z).all()
    assert sorted(set(k.tolist())) == [-2, -1, 0, 1, 2] and sorted(an.randperm(9).tolist()) == list(range(9))
    plan = an.compile(lambda t: an.zeros_like(t) + an.ones_like(t) * 2.0)
    assert plan(an.tensor(np.float32([np.inf, 1]))).tolist() == [2, 2]


def test_what_a_module_offers(torch: Any) -> None:
    """Children, buffers, apply: as torch's."""
    found = []
    for nn in (an.nn, torch.nn):
        net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Sequential(nn.ReLU()))
        seen: list[str] = []
        assert net.apply(lambda m, seen=seen: seen.append(type(m).__name__)) is net
        found.append((seen, [type(m).__name__ for m in net.children()], [n for n, _ in net.named_children()], [n for n, _ in net.named_modules()],
                      [n for n, _ in net.named_buffers()], [n for n, _ in net.named_parameters()], [tuple(b.shape) for b in net.buffers()]))  # fmt: skip
    assert found[0] == found[1]


def test_truths_are_combined_and_counted() -> None:
    a, b = np.array([[True, False, True], [True, True, False]]), np.array([[True, True, False], [True, False, False]])
    x, y = an.tensor(a), an.tensor(b)
    for ours, want in ((x & y, a & b), (x | y, a | b), (x ^ y, a ^ b), (~x, ~a), (x & True, a)):
        assert ours.dtype == an.bool_
        np.testing.assert_array_equal(ours.numpy(), want)
    assert x.sum().item() == 4 and x.sum().dtype == an.int64 and x.sum(0, keepdim=True).tolist() == [[2, 1, 1]] and x.sum((0, 1)).item() == 4
    big = an.tensor(np.array([[2**40, 1], [-3, 5]]))
    assert big.sum().item() == 2**40 + 3 and big.sum(1).tolist() == [2**40 + 1, 2] and an.zeros(0, 3, dtype=an.int32).sum(0).tolist() == [0, 0, 0]
    assert an.compile(lambda t: t.sum(0))(big).tolist() == [2**40 - 3, 6]
    for wrong in (lambda: x & an.tensor([1.0]), lambda: ~an.tensor([1])):
        with pytest.raises(an.Error, match="bool"):
            wrong()


def test_places_and_types() -> None:
    net = an.nn.Linear(2, 3)
    assert net.to("cpu").to(an.float32).float().cpu() is net and an.tensor([1.0]).to("cpu").cpu().tolist() == [1.0]
    with pytest.raises(an.Error, match="parameters are float32"):
        net.to(an.float16)
    with pytest.raises(an.Error, match="device 'gpu'.*expected"):
        net.to("gpu")


def test_masks_as_arrays() -> None:
    attention, x = an.nn.MultiheadAttention(4, 2, batch_first=True), an.tensor(np.ones((1, 3, 4), np.float32))
    hidden = np.array([[False, False, True]])
    np.testing.assert_array_equal(attention(x, x, x, hidden)[0].numpy(), attention(x, x, x, an.tensor(hidden))[0].numpy())


def test_an_error_names_the_layer() -> None:
    net = an.nn.Sequential(an.nn.Linear(3, 4), an.nn.ReLU())
    with pytest.raises(an.Error, match="5 columns against 3 rows") as caught:
        net(an.tensor(np.ones((2, 5), np.float32)))
    text = "".join(traceback.format_exception(caught.value))
    assert "in Linear(in_features=3, out_features=4, bias=True)\nin Sequential()" in text
    with pytest.raises(TypeError, match=r"x.reshape\(2, -1\)"):
        an.tensor([1.0, 2.0]).view(2, -1)


def test_gradients_beside_infinities() -> None:
    """Scores that a mask has made -inf: what is picked elsewhere has its gradient, and they have none."""
    x = an.tensor(np.float32([[-np.inf, 1, 2], [3, -np.inf, 4]]), requires_grad=True)
    (an.gather(x, 1, an.tensor([[1], [2]])).sum() + an.gather_nd(x, [[0, 2]]).sum()).backward()
    assert x.grad is not None and x.grad.tolist() == [[0, 1, 1], [0, 0, 1]]
