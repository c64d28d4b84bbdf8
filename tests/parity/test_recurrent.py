"""Recurrent layers and cells against torch's: values, gradients, states, names, variable lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an

from ..conftest import need_module


@pytest.fixture(scope="module")
def torch() -> Any:
    need_module("torch")
    import torch

    return torch


LAYERS: list[tuple[str, dict[str, Any]]] = [
    ("RNN", {}), ("RNN", {"nonlinearity": "relu", "num_layers": 2, "batch_first": True}), ("RNN", {"bidirectional": True, "bias": False}),
    ("LSTM", {}), ("LSTM", {"num_layers": 2, "bidirectional": True}), ("LSTM", {"batch_first": True, "bias": False}),
    ("LSTM", {"proj_size": 5}), ("LSTM", {"proj_size": 3, "num_layers": 2, "bidirectional": True, "batch_first": True}),
    ("GRU", {}), ("GRU", {"num_layers": 3, "bidirectional": True, "batch_first": True}), ("GRU", {"bias": False}),
]  # fmt: skip
SIZES = [(1, 1, 3, 8), (7, 5, 6, 19), (4, 33, 9, 16), (40, 1, 5, 32)]


def twins(torch: Any, name: str, inputs: int, units: int, options: dict[str, Any]) -> tuple[Any, Any]:
    """The same layer here and there."""
    theirs = getattr(torch.nn, name)(inputs, units, **options)
    ours = getattr(an.nn, name)(inputs, units, **options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return ours, theirs


def close(got: Any, want: Any, what: str, rtol: float = 1e-4, atol: float = 1e-5) -> None:
    np.testing.assert_allclose(got.numpy(), want.detach().numpy(), rtol=rtol, atol=atol, err_msg=what)


def compare(ours: Any, theirs: Any, pairs: list[tuple[Any, Any]], leaves: list[tuple[Any, Any]], rng: np.random.Generator, torch: Any) -> None:
    """Values, then the gradients of a random combination of all of them."""
    total: Any = None
    other: Any = None
    for i, (y, want) in enumerate(pairs):
        assert y.shape == tuple(want.shape)
        close(y, want, f"output {i}", 2e-5, 2e-6)
        weight = rng.normal(size=y.shape).astype(np.float32)
        term, same = (y * an.tensor(weight)).sum(), (want * torch.tensor(weight)).sum()
        total, other = (term, same) if total is None else (total + term, other + same)
    total.backward()
    other.backward()
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters()):
        close(p.grad, q.grad, name)
    for i, (p, q) in enumerate(leaves):
        close(p.grad, q.grad, f"input {i}")


def leaf(torch: Any, rng: np.random.Generator, *shape: int) -> tuple[Any, Any]:
    data = rng.normal(size=shape).astype(np.float32)
    return an.tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("name", "options"), LAYERS)
def test_layer(torch: Any, name: str, options: dict[str, Any], sizes: tuple[int, ...]) -> None:
    steps, batch, inputs, units = sizes
    rng = np.random.default_rng(0)
    ours, theirs = twins(torch, name, inputs, units, options)
    shape = (batch, steps) if options.get("batch_first") else (steps, batch)
    many, out = options.get("num_layers", 1) * (1 + options.get("bidirectional", False)), options.get("proj_size") or units
    x = leaf(torch, rng, *shape, inputs)
    h = leaf(torch, rng, many, batch, out)
    for given in (False, True):
        leaves = [x]
        state: Any = (None, None)
        if given and name == "LSTM":
            c = leaf(torch, rng, many, batch, units)
            state, leaves = ((h[0], c[0]), (h[1], c[1])), [x, h, c]
        elif given:
            state, leaves = h, [x, h]
        for p, q in leaves:
            p.grad = q.grad = None
        ours.zero_grad(), theirs.zero_grad()
        y, last = ours(x[0], state[0])
        want, ends = theirs(x[1], state[1])
        compare(ours, theirs, [(y, want), *(zip(last, ends) if name == "LSTM" else [(last, ends)])], leaves, rng, torch)
        with an.no_grad():
            again, _ = ours(x[0], state[0])
        assert np.array_equal(again.numpy(), y.numpy()), "keeping gates for a gradient changes no bit"


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_sequences_of_different_lengths(torch: Any, name: str, batch_first: bool) -> None:
    rng = np.random.default_rng(1)
    options = {"bidirectional": True, "num_layers": 2, "batch_first": batch_first}
    ours, theirs = twins(torch, name, 6, 11, options)
    lengths = [3, 9, 1, 9, 4]
    x = leaf(torch, rng, *((5, 9, 6) if batch_first else (9, 5, 6)))
    rnn = torch.nn.utils.rnn
    packed, last = ours(an.nn.pack_padded_sequence(x[0], lengths, batch_first, enforce_sorted=False))
    y, n = an.nn.pad_packed_sequence(packed, batch_first)
    want, ends = theirs(rnn.pack_padded_sequence(x[1], torch.tensor(lengths), batch_first, enforce_sorted=False))
    want, m = rnn.pad_packed_sequence(want, batch_first)
    assert n.tolist() == m.tolist() == lengths
    compare(ours, theirs, [(y, want), *(zip(last, ends) if name == "LSTM" else [(last, ends)])], [x], rng, torch)
    direct, _ = ours(x[0], lengths=lengths)
    assert np.array_equal(direct.numpy(), y.numpy())


def test_padding(torch: Any) -> None:
    rng = np.random.default_rng(2)
    x, other = leaf(torch, rng, 6, 3, 2)
    rnn = torch.nn.utils.rnn
    for total in (None, 4, 9):
        ours = an.nn.pad_packed_sequence(an.nn.pack_padded_sequence(x, [4, 3, 1]), True, -2.0, total)
        theirs = rnn.pad_packed_sequence(rnn.pack_padded_sequence(other, torch.tensor([4, 3, 1])), True, -2.0, total)
        close(ours[0], theirs[0], "padded", 0, 0)
    for wrong in ([1, 2, 3], [7, 1, 1], [3, 2, 0], [3, 2]):
        with pytest.raises(an.Error):
            an.nn.pack_padded_sequence(x, wrong)
    with pytest.raises(an.Error, match="total_length"):
        an.nn.pad_packed_sequence(an.nn.pack_padded_sequence(x, [4, 3, 1]), total_length=3)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_one_sequence_without_a_batch(torch: Any, name: str) -> None:
    rng = np.random.default_rng(3)
    ours, theirs = twins(torch, name, 4, 7, {"batch_first": True})
    x = leaf(torch, rng, 5, 4)
    y, last = ours(x[0])
    want, ends = theirs(x[1])
    compare(ours, theirs, [(y, want), *(zip(last, ends) if name == "LSTM" else [(last, ends)])], [x], rng, torch)


CELLS: list[tuple[str, dict[str, Any]]] = [("RNNCell", {}), ("RNNCell", {"nonlinearity": "relu"}), ("LSTMCell", {}), ("LSTMCell", {"bias": False}),
                                           ("GRUCell", {})]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), CELLS)
def test_cell(torch: Any, name: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(4)
    ours, theirs = twins(torch, name, 5, 9, options)
    for shape in ((3,), ()):
        x, h, c = leaf(torch, rng, *shape, 5), leaf(torch, rng, *shape, 9), leaf(torch, rng, *shape, 9)
        ours.zero_grad(), theirs.zero_grad()
        two = name == "LSTMCell"
        y, want = ours(x[0], (h[0], c[0]) if two else h[0]), theirs(x[1], (h[1], c[1]) if two else h[1])
        compare(ours, theirs, list(zip(y, want)) if two else [(y, want)], [x, h, c][: 2 + two], rng, torch)
        first = ours(x[0])
        close(first[0] if two else first, (theirs(x[1])[0] if two else theirs(x[1])), "from nothing", 2e-5, 2e-6)


def test_initial_weights_and_dropout(torch: Any) -> None:
    an.seed(0)
    net = an.nn.LSTM(30, 100, 2, dropout=0.5)
    for name, p in net.named_parameters():
        a = p.numpy()
        assert np.abs(a).max() < 0.1 and np.abs(a).max() > 0.09 and abs(a.std() - 0.1 / np.sqrt(3)) < 0.005, name
    x = an.tensor(np.random.default_rng(5).normal(size=(4, 3, 30)).astype(np.float32))
    assert not np.array_equal(net(x)[0].numpy(), net(x)[0].numpy())
    net.eval()
    assert np.array_equal(net(x)[0].numpy(), net(x)[0].numpy())


def test_errors() -> None:
    net = an.nn.LSTM(4, 6)
    x = an.zeros(3, 2, 4)
    with pytest.raises(an.Error, match="input"):
        net(an.zeros(3, 2, 5))
    with pytest.raises(an.Error, match="h_0"):
        net(x, (an.zeros(1, 3, 6), an.zeros(1, 2, 6)))
    with pytest.raises(an.Error, match="lengths"):
        net(x, lengths=[1, 4])
    with pytest.raises(an.Error, match="lengths"):
        net(x, lengths=[1, 2, 3])
    for bad in ({"proj_size": 6}, {"dropout": 2.0}, {"num_layers": 0}):
        with pytest.raises(an.Error):
            an.nn.LSTM(4, 6, **bad)
    with pytest.raises(an.Error, match="nonlinearity"):
        an.nn.RNN(4, 6, nonlinearity="sin")


def test_training_follows_torchs(torch: Any) -> None:
    """50 steps of SGD from the same weights, eager and as a Plan: losses within 1e-3."""
    rng = np.random.default_rng(6)
    ours, theirs = twins(torch, "LSTM", 8, 32, {"batch_first": True})
    head, other = an.nn.Linear(32, 4), torch.nn.Linear(32, 4)
    head.load_state_dict({k: v.numpy() for k, v in other.state_dict().items()})
    opt = an.optim.SGD([*ours.parameters(), *head.parameters()], lr=0.5)
    their_opt = torch.optim.SGD([*theirs.parameters(), *other.parameters()], lr=0.5)
    loss = an.nn.CrossEntropyLoss()

    def step(x: Any, t: Any) -> Any:
        opt.zero_grad()
        value = loss(head(ours(x)[1][0][0]), t)
        value.backward()
        opt.step()
        return value

    compiled = an.compile(step)
    for i in range(50):
        x, t = rng.normal(size=(16, 12, 8)).astype(np.float32), rng.integers(0, 4, 16)
        their_opt.zero_grad()
        want = torch.nn.functional.cross_entropy(other(theirs(torch.tensor(x))[1][0][0]), torch.tensor(t))
        want.backward()
        their_opt.step()
        assert (compiled if i % 2 else step)(an.tensor(x), an.tensor(t)).item() == pytest.approx(want.item(), rel=1e-3), f"step {i}"
