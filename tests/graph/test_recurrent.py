"""Recurrent layers in Plans: packed weights, states as results, any lengths, binaries of bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.core.tensor import no_grad

KINDS = ("RNN", "LSTM", "GRU")


def values(*shape: int, seed: int = 0) -> Any:
    return an.tensor(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("batch", [1, 5])
def test_a_plan_packs_the_weights_and_keeps_the_bits(name: str, batch: int) -> None:
    net = getattr(an.nn, name)(7, 20, 2, bidirectional=True)
    compiled = an.compile(lambda x: net(x)[0])
    x = values(6, batch, 7)
    first = compiled(x)
    assert np.array_equal(first.numpy(), net(x)[0].numpy())
    ops = [node.op for node in compiled.plan(x).graph.nodes()]
    assert "recurrent_pack" not in ops and ops.count(name.lower()) == 2 and len(compiled.plan(x).hoisted) == 8
    with no_grad():
        net.weight_hh_l1_reverse.assign(net.weight_hh_l1_reverse * 0.5)
    assert np.array_equal(compiled(x).numpy(), net(x)[0].numpy()), "a weight that was written is packed again"


@pytest.mark.parametrize("name", KINDS)
def test_lengths_are_an_input_of_the_plan(name: str) -> None:
    net = getattr(an.nn, name)(4, 9, bidirectional=True, batch_first=True)
    compiled = an.compile(lambda x, n: net(x, None, n)[0])
    x = values(3, 8, 4)
    for lengths in ([8, 3, 1], [2, 8, 5]):
        n = an.tensor(np.array(lengths))
        assert np.array_equal(compiled(x, n).numpy(), net(x, lengths=n)[0].numpy())
    with pytest.raises(an.Error, match="lengths"):
        compiled(x, an.tensor(np.array([9, 1, 1])))


@pytest.mark.parametrize("name", KINDS)
def test_bfloat16_recurrent_weights(name: str) -> None:
    """As the float32 layer with rounded w_hh, up to the order of its sums; at batch 1 and above."""
    net = getattr(an.nn, name)(5, 33)
    rounded = getattr(an.nn, name)(5, 33)
    state = net.state_dict()
    state["weight_hh_l0"] = an.tensor(state["weight_hh_l0"]).to("bfloat16").float().numpy()
    rounded.load_state_dict(state)
    net.recurrent_dtype = "bfloat16"
    net.eval()
    compiled = an.compile(lambda x: net(x)[0])
    for batch in (1, 4):
        x = values(9, batch, 5, seed=batch)
        with no_grad():
            want = rounded(x)[0].numpy()
            np.testing.assert_allclose(net(x)[0].numpy(), want, rtol=0, atol=2e-6)
            assert np.array_equal(compiled(x).numpy(), net(x)[0].numpy())
    net.train()
    net(x)[0].sum().backward()
    assert net.weight_hh_l0.grad is not None


@pytest.mark.parametrize("name", KINDS)
def test_threads_never_change_a_bit(name: str, threads: Any) -> None:
    """Large enough that threads meet in every step; both directions, forward and backward."""
    net = getattr(an.nn, name)(40, 96, bidirectional=True)
    for batch, lengths in ((1, None), (1, [30]), (20, list(range(11, 31))), (40, None)):      # the last: each part its own sequences
        x = values(30, batch, 40).requires_grad_()
        found = set()
        for n in (1, 2, 3):
            threads(n)
            net.zero_grad()
            x.grad = None
            y, last = net(x, lengths=lengths)
            (y * y).sum().backward()
            found.add(b"".join(t.numpy().tobytes() for t in (y, x.grad, *(p.grad for p in net.parameters()))))
        assert len(found) == 1


def test_padding_is_never_read() -> None:
    net = an.nn.GRU(3, 8, bidirectional=True)
    x = values(6, 2, 3).numpy().copy()
    want = net(an.tensor(x), lengths=[6, 2])[0].numpy()
    x[2:, 1] = np.nan
    assert np.array_equal(net(an.tensor(x), lengths=[6, 2])[0].numpy(), want)


@pytest.mark.parametrize("name", KINDS)
def test_nan_goes_on(name: str) -> None:
    net = getattr(an.nn, name)(3, 8)
    x = values(4, 2, 3).numpy().copy()
    x[1, 0, 0] = np.nan
    y = net(an.tensor(x))[0].numpy()
    assert np.isnan(y[1:, 0]).all() and np.isfinite(y[0]).all() and np.isfinite(y[:, 1]).all()


def test_options_of_onnx_have_gradients() -> None:
    from accelnn.ops.recurrent import recurrent

    rng = np.random.default_rng(3)
    weights = [an.tensor(rng.normal(size=s).astype(np.float32), requires_grad=True) for s in ((12, 3), (12, 4), (12,), (12,))]
    y, h = recurrent("gru", values(5, 2, 3), [weights], reverse=True, clip=0.9, linear_before_reset=False)
    (y.sum() + h.sum()).backward()
    assert all(w.grad is not None and np.isfinite(w.grad.numpy()).all() for w in weights)


@pytest.mark.parametrize("name", KINDS)
def test_int8_recurrent_weights(name: str, threads: Any) -> None:
    """Near the float32 layer; a Plan packs once and keeps the bits, so do threads; what is not finite stays visible."""
    net = getattr(an.nn, name)(40, 130, bidirectional=True)
    net.eval()
    x = values(9, 3, 40)
    with no_grad():
        want = net(x)[0].numpy()
        net.recurrent_dtype = "int8"
        compiled = an.compile(lambda x: net(x)[0])
        found = set()
        for n in (1, 2, 7):
            threads(n)
            y = net(x)[0].numpy()
            found.add(y.tobytes())
            assert np.array_equal(compiled(x).numpy(), y)
        assert len(found) == 1 and 0 < np.abs(y - want).max() < 0.01
        assert "recurrent_pack" not in [node.op for node in compiled.plan(x).graph.nodes()]
        bad = x.numpy().copy()
        bad[4, 1, 7] = np.nan
        y = net(an.tensor(bad))[0].numpy()
    assert np.isnan(y[4:, 1, :130]).all() and np.array_equal(y[:, ::2], net(x)[0].numpy()[:, ::2])


def test_what_is_refused() -> None:
    from accelnn.ops.recurrent import pack_weights, recurrent

    x, w, r = values(3, 2, 4), values(15, 4), values(15, 5)
    gru = [(pack_weights(w, 3), pack_weights(r, 3, "int8"))]
    with pytest.raises(NotImplementedError, match="linear_before_reset"):
        recurrent("gru", x, gru, hidden=5, linear_before_reset=False)
    for options, text in (({"activations": ("Sigmoid", "Sine")}, "Sine"), ({"activations": ("Tanh",)}, "2 activations"), ({"input_forget": True}, "LSTM"),
                          ({"peepholes": (values(15),)}, "peephole")):  # fmt: skip
        with pytest.raises(an.Error, match=text):
            recurrent("gru", x, [(w, r)], **options)
