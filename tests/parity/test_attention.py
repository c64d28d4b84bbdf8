"""Attention and transformer layers beside torch: the same function, the same state_dict, the same gradients."""

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


def drawn(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


# query, key, value; mask; arguments
CALLS: dict[str, Any] = {
    "plain": ((2, 3, 9, 16), (2, 3, 12, 16), (2, 3, 12, 16), None, {}),
    "causal": ((2, 3, 9, 16), (2, 3, 12, 16), (2, 3, 12, 8), None, {"is_causal": True}),
    "scale": ((1, 2, 9, 32), (1, 2, 9, 32), (1, 2, 9, 32), None, {"scale": 0.4}),
    "no heads": ((3, 9, 16), (3, 12, 16), (3, 12, 16), None, {}),
    "one matrix": ((9, 16), (12, 16), (12, 16), None, {"is_causal": True}),
    "five dims": ((2, 2, 3, 9, 16), (2, 2, 3, 12, 16), (2, 2, 3, 12, 16), ((2, 1, 1, 9, 12), float), {}),
    "bool mask": ((2, 3, 9, 16), (2, 3, 12, 16), (2, 3, 12, 16), ((9, 12), bool), {}),
    "bool mask of a batch": ((2, 3, 9, 16), (2, 3, 12, 16), (2, 3, 12, 16), ((2, 1, 1, 12), bool), {}),
    "float mask": ((2, 3, 9, 16), (2, 3, 12, 16), (2, 3, 12, 16), ((2, 3, 9, 12), float), {}),
    "mask without heads": ((3, 9, 16), (3, 12, 16), (3, 12, 16), ((3, 9, 12), bool), {}),
    "grouped heads": ((2, 6, 9, 16), (2, 2, 12, 16), (2, 2, 12, 16), None, {"enable_gqa": True}),
    "long": ((1, 2, 300, 64), (1, 2, 700, 64), (1, 2, 700, 64), None, {"is_causal": True}),
}


@pytest.mark.parametrize("name", CALLS)
def test_scaled_dot_product_attention(torch: Any, name: str) -> None:
    q, k, v, mask, arguments = CALLS[name]
    rng = np.random.default_rng(0)
    arrays = [drawn(rng, *s) for s in (q, k, v)]
    m = None if mask is None else rng.random(mask[0]) < 0.8 if mask[1] is bool else drawn(rng, *mask[0])
    ours, theirs = [an.tensor(a, requires_grad=True) for a in arrays], [torch.tensor(a, requires_grad=True) for a in arrays]
    y = an.scaled_dot_product_attention(*ours, attn_mask=None if m is None else an.tensor(m), **arguments)
    want = torch.nn.functional.scaled_dot_product_attention(*theirs, attn_mask=None if m is None else torch.tensor(m), **arguments)
    np.testing.assert_allclose(y.numpy(), want.detach().numpy(), rtol=1e-5, atol=2e-6)
    dy = drawn(rng, *want.shape)
    y.backward(an.tensor(dy))
    want.backward(torch.tensor(dy))
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_a_query_that_sees_nothing_gives_zero_as_in_torch(torch: Any) -> None:
    rng = np.random.default_rng(0)
    q, k, v = (drawn(rng, 1, 1, 3, 8) for _ in range(3))
    mask = np.array([[True, True, False], [False, False, False], [True, False, False]])
    ours = [an.tensor(x, requires_grad=True) for x in (q, k, v)]
    y = an.scaled_dot_product_attention(*ours, attn_mask=an.tensor(mask))
    want = torch.nn.functional.scaled_dot_product_attention(*(torch.tensor(x) for x in (q, k, v)), attn_mask=torch.tensor(mask)).numpy()
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-5, atol=1e-6)
    assert (y.numpy()[0, 0, 1] == 0).all() and (want[0, 0, 1] == 0).all()
    y.sum().backward()
    assert all(np.isfinite(x.grad.numpy()).all() for x in ours)
    assert (ours[0].grad.numpy()[0, 0, 1] == 0).all()


def test_the_smallest_float_in_a_mask_hides_like_torchs(torch: Any) -> None:
    """-3.4e38 is what many models write for -inf; a row full of it still averages all values."""
    rng = np.random.default_rng(0)
    q, k, v = (drawn(rng, 1, 1, 4, 8) for _ in range(3))
    mask = np.where(np.tri(4, dtype=bool), 0, np.finfo(np.float32).min).astype(np.float32)
    mask[2] = np.finfo(np.float32).min
    y = an.scaled_dot_product_attention(*(an.tensor(x) for x in (q, k, v)), attn_mask=an.tensor(mask))
    want = torch.nn.functional.scaled_dot_product_attention(*(torch.tensor(x) for x in (q, k, v)), attn_mask=torch.tensor(mask))
    np.testing.assert_allclose(y.numpy(), want.numpy(), rtol=1e-5, atol=1e-6)


def load(ours: Any, theirs: Any) -> None:
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})


def same(ours: Any, theirs: Any, inputs: Any, torch: Any, **named: Any) -> None:
    """Output and every gradient."""
    rng = np.random.default_rng(1)
    xs, ts = [an.tensor(a, requires_grad=True) for a in inputs], [torch.tensor(a, requires_grad=True) for a in inputs]
    y = ours(*xs, **{k: an.tensor(v) if isinstance(v, np.ndarray) else v for k, v in named.items()})
    want = theirs(*ts, **{k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in named.items()})
    if isinstance(want, tuple):
        assert (y[1] is None) == (want[1] is None)
        if want[1] is not None:
            np.testing.assert_allclose(y[1].numpy(), want[1].detach().numpy(), rtol=1e-4, atol=1e-6)
        y, want = y[0], want[0]
    np.testing.assert_allclose(y.numpy(), want.detach().numpy(), rtol=1e-4, atol=5e-6)
    dy = drawn(rng, *want.shape)
    y.backward(an.tensor(dy))
    want.backward(torch.tensor(dy))
    for a, b in zip(xs, ts):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-3, atol=2e-5)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters()):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-3, atol=5e-5, err_msg=name)
    ours.zero_grad()
    theirs.zero_grad()


MASKS: dict[str, dict[str, Any]] = {
    "none": {},
    "no weights": {"need_weights": False},
    "weights of heads": {"average_attn_weights": False},
    "bool": {"attn_mask": np.triu(np.ones((5, 7), bool), 2)},
    "float": {"attn_mask": np.linspace(-1, 1, 35, dtype=np.float32).reshape(5, 7)},
    "padding": {"key_padding_mask": np.arange(7) >= np.array([[7], [4]])},
    "both": {"attn_mask": np.triu(np.ones((5, 7), bool), 2), "key_padding_mask": np.arange(7) >= np.array([[7], [4]])},
    "a mask a head": {"attn_mask": np.random.default_rng(5).random((8, 5, 7)) < 0.2},
}


@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("batch_first", [False, True])
def test_multihead_attention(torch: Any, masks: str, batch_first: bool) -> None:
    torch.manual_seed(0)
    theirs = torch.nn.MultiheadAttention(24, 4, batch_first=batch_first)
    ours = an.nn.MultiheadAttention(24, 4, batch_first=batch_first)
    load(ours, theirs)
    rng = np.random.default_rng(0)
    shape = [(2, 5, 24), (2, 7, 24), (2, 7, 24)] if batch_first else [(5, 2, 24), (7, 2, 24), (7, 2, 24)]
    same(ours, theirs, [drawn(rng, *s) for s in shape], torch, **MASKS[masks])


def test_multihead_attention_of_one_sequence_with_other_widths(torch: Any) -> None:
    torch.manual_seed(0)
    arguments = {"kdim": 10, "vdim": 6, "bias": False}
    theirs, ours = torch.nn.MultiheadAttention(24, 3, **arguments), an.nn.MultiheadAttention(24, 3, **arguments)
    load(ours, theirs)
    rng = np.random.default_rng(0)
    same(ours, theirs, [drawn(rng, 5, 24), drawn(rng, 7, 10), drawn(rng, 7, 6)], torch)
    same(ours, theirs, [drawn(rng, 5, 2, 24), drawn(rng, 7, 2, 10), drawn(rng, 7, 2, 6)], torch, need_weights=False)


@pytest.mark.parametrize("masks", ["none", "no weights", "bool", "float", "both"])
@pytest.mark.parametrize("rows", [{"add_bias_kv": True}, {"add_zero_attn": True}, {"add_bias_kv": True, "add_zero_attn": True}])
def test_multihead_attention_with_more_rows(torch: Any, masks: str, rows: dict[str, bool]) -> None:
    torch.manual_seed(0)
    theirs, ours = torch.nn.MultiheadAttention(24, 4, **rows), an.nn.MultiheadAttention(24, 4, **rows)
    load(ours, theirs)
    rng = np.random.default_rng(0)
    same(ours, theirs, [drawn(rng, *s) for s in ((5, 2, 24), (7, 2, 24), (7, 2, 24))], torch, **MASKS[masks])


def test_a_causal_limit_hides_no_learned_row(torch: Any) -> None:
    """What torch does with weights asked for; without them it hides the row from all queries but the last ones."""
    theirs, ours = torch.nn.MultiheadAttention(16, 2, add_bias_kv=True), an.nn.MultiheadAttention(16, 2, add_bias_kv=True)
    load(ours, theirs)
    x, hidden = drawn(np.random.default_rng(0), 6, 2, 16), np.triu(np.ones((6, 6), bool), 1)
    want, weights = theirs(*[torch.tensor(x)] * 3, attn_mask=torch.tensor(hidden))
    y, own = ours(*[an.tensor(x)] * 3, is_causal=True)
    np.testing.assert_allclose(y.numpy(), want.detach().numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(own.numpy(), weights.detach().numpy(), rtol=1e-4, atol=1e-6)


def test_a_causal_layer_needs_no_mask(torch: Any) -> None:
    theirs, ours = torch.nn.MultiheadAttention(16, 2, batch_first=True), an.nn.MultiheadAttention(16, 2, batch_first=True)
    load(ours, theirs)
    x = drawn(np.random.default_rng(0), 2, 6, 16)
    mask = torch.nn.Transformer.generate_square_subsequent_mask(6)
    want, weights = theirs(*[torch.tensor(x)] * 3, attn_mask=mask)
    y, ours_weights = ours(*[an.tensor(x)] * 3, is_causal=True)
    np.testing.assert_allclose(y.numpy(), want.detach().numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(ours_weights.numpy(), weights.detach().numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(an.nn.Transformer.generate_square_subsequent_mask(6).numpy(), mask.numpy())


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_encoder(torch: Any, norm_first: bool, activation: str) -> None:
    torch.manual_seed(0)

    def make(nn: Any) -> Any:
        layer = nn.TransformerEncoderLayer(16, 2, 32, 0.0, activation, batch_first=True, norm_first=norm_first)
        return nn.TransformerEncoder(layer, 2, nn.LayerNorm(16))

    theirs, ours = make(torch.nn), make(an.nn)
    load(ours, theirs)
    x = drawn(np.random.default_rng(0), 3, 6, 16)
    same(ours, theirs, [x], torch)
    same(ours, theirs, [x], torch, src_key_padding_mask=np.arange(6) >= np.array([[6], [3], [5]]))
    same(ours, theirs, [x], torch, mask=np.triu(np.ones((6, 6), bool), 1))


@pytest.mark.parametrize("norm_first", [False, True])
def test_transformer(torch: Any, norm_first: bool) -> None:
    torch.manual_seed(0)
    sizes = {"d_model": 16, "nhead": 2, "num_encoder_layers": 1, "num_decoder_layers": 2, "dim_feedforward": 24, "dropout": 0.0, "norm_first": norm_first}
    theirs, ours = torch.nn.Transformer(**sizes), an.nn.Transformer(**sizes)
    load(ours, theirs)
    rng = np.random.default_rng(0)
    mask = np.triu(np.full((4, 4), -np.inf, np.float32), 1)
    same(ours, theirs, [drawn(rng, 6, 3, 16), drawn(rng, 4, 3, 16)], torch, tgt_mask=mask,
         memory_key_padding_mask=np.arange(6) >= np.array([[6], [3], [5]]))


def test_a_transformer_follows_torchs_losses(torch: Any) -> None:
    """SGD from the same weights: losses within 1e-3 over 50 steps, eager here, one Plan there."""
    torch.manual_seed(0)

    def make(nn: Any) -> Any:
        return nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, 0.0, "gelu", batch_first=True, norm_first=True), 2, nn.LayerNorm(32))

    theirs, ours = make(torch.nn), make(an.nn)
    load(ours, theirs)
    head = torch.nn.Linear(32, 5)
    own_head = an.nn.Linear(32, 5)
    load(own_head, head)
    opt = torch.optim.SGD([*theirs.parameters(), *head.parameters()], lr=0.1)
    own = an.optim.SGD([*ours.parameters(), *own_head.parameters()], lr=0.1)
    loss = an.nn.CrossEntropyLoss()

    def step(x: Any, y: Any) -> Any:
        own.zero_grad()
        value = loss(own_head(ours(x).mean(1)), y)
        value.backward()
        own.step()
        return value

    compiled = an.compile(step)
    rng = np.random.default_rng(0)
    for i in range(50):
        x, y = drawn(rng, 8, 12, 32), rng.integers(0, 5, 8)
        opt.zero_grad()
        want = torch.nn.functional.cross_entropy(head(theirs(torch.tensor(x)).mean(1)), torch.tensor(y))
        want.backward()
        opt.step()
        assert compiled(an.tensor(x), an.tensor(y)).item() == pytest.approx(want.item(), rel=1e-3), f"step {i}"
