"""The layers that few networks have, beside torch's: results, gradients, state, and the same from a Plan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an
import accelnn.nn.functional as functional

from ..conftest import need_module

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def torch() -> Any:
    need_module("torch")
    import torch

    return torch


def normal(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


def both(torch: Any, ours: Any, theirs: Any, *data: Any, planned: bool = True) -> None:
    """Results and gradients, of the inputs and of the parameters, from the same state."""
    if isinstance(ours, an.nn.Module):
        ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    xs = [an.tensor(d, requires_grad=d.dtype == np.float32) for d in data]
    others = [torch.tensor(d, requires_grad=d.dtype == np.float32) for d in data]
    got, want = ours(*xs), theirs(*others)
    got, want = (t if isinstance(t, tuple) else (t,) for t in (got, want))
    assert len(got) == len(want)
    for y, other in zip(got, want):
        assert y.shape == tuple(other.shape)
        np.testing.assert_allclose(y.numpy(), other.detach().numpy(), rtol=2e-5, atol=4e-6)
    g = RNG.normal(size=tuple(want[0].shape)).astype(np.float32)
    got[0].backward(an.tensor(g))
    want[0].backward(torch.tensor(g))
    for x, other in zip(xs, others):
        if x.requires_grad:
            np.testing.assert_allclose(x.grad.numpy(), other.grad.numpy(), rtol=5e-5, atol=5e-6)
    if isinstance(ours, an.nn.Module):
        assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
        for (key, p), q in zip(ours.named_parameters(), theirs.parameters()):
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-4, atol=1e-5, err_msg=key)
    if planned:
        again = an.compile(ours)(*map(an.tensor, data))
        for y, z in zip(got, again if isinstance(again, tuple) else (again,)):
            np.testing.assert_allclose(z.numpy(), y.numpy(), rtol=2e-6, atol=1e-6)


INDEXED = {
    "MaxPool1d(3, 2, 1, 2, return_indices=True)": (2, 3, 11),
    "MaxPool2d(2, 1, 0, (2, 1), return_indices=True)": (2, 3, 7, 6),
    "MaxPool2d(3, 2, 1, 2, True, True)": (2, 3, 8, 9),
    "MaxPool3d(2, return_indices=True)": (2, 3, 5, 6, 4),
    "MaxPool3d((2, 3, 2), (1, 2, 1), (1, 1, 0), return_indices=True)": (3, 5, 7, 4),
    "AdaptiveMaxPool1d(4, True)": (2, 3, 11),
    "AdaptiveMaxPool2d((3, 4), True)": (2, 3, 7, 9),
    "AdaptiveMaxPool2d(2, True)": (2, 3, 8, 4),
    "AdaptiveMaxPool3d((2, None, 3), True)": (2, 3, 5, 2, 7),
}


@pytest.mark.parametrize("name", INDEXED)
def test_maxima_and_their_places(torch: Any, name: str) -> None:
    """Few numbers, so that several are equally large: the first one's place."""
    ours, theirs = eval(f"nn.{name}", {"nn": an.nn}), eval(f"nn.{name}", {"nn": torch.nn})
    both(torch, ours, theirs, RNG.integers(-4, 5, INDEXED[name]).astype(np.float32))


def test_a_nan_is_the_largest(torch: Any) -> None:
    x = normal(1, 1, 4, 4, 4)
    x[0, 0, 1, 2, 3] = np.nan
    y, at = an.nn.MaxPool3d(2, return_indices=True)(an.tensor(x))
    want, places = torch.nn.MaxPool3d(2, return_indices=True)(torch.tensor(x))
    np.testing.assert_array_equal(y.numpy(), want.numpy())
    np.testing.assert_array_equal(at.numpy(), places.numpy())


@pytest.mark.parametrize("n", [1, 2, 3])
def test_unpools(torch: Any, n: int) -> None:
    x = normal(2, 3, *(6, 4, 8)[:n])
    x[0, 0] = -np.inf
    found = []
    for nn, tensor in ((an.nn, an.tensor), (torch.nn, torch.tensor)):
        pool, back = (getattr(nn, f"{kind}{n}d") for kind in ("MaxPool", "MaxUnpool"))
        y, at = pool(2, return_indices=True)(tensor(x))
        found.append(back(2)(y, at).numpy())
    np.testing.assert_array_equal(*found)


FRACTIONAL = [("2d", (2, 3, 9, 11), 2, (4, 5), None), ("2d", (3, 9, 11), (2, 3), None, (0.5, 0.6)), ("3d", (2, 3, 5, 6, 7), 2, (2, 1, 4), None)]


@pytest.mark.parametrize(("dims", "shape", "kernel", "size", "ratio"), FRACTIONAL)
def test_fractional_pools(torch: Any, dims: str, shape: Any, kernel: Any, size: Any, ratio: Any) -> None:
    n = int(dims[0])
    u = RNG.random((shape[0] if len(shape) == n + 2 else 1, shape[-n - 1], n)).astype(np.float32)
    name = f"FractionalMaxPool{dims}"
    ours = getattr(an.nn, name)(kernel, size, ratio, True, an.tensor(u))
    theirs = getattr(torch.nn, name)(kernel, size, ratio, True, torch.tensor(u))
    both(torch, ours, theirs, normal(*shape))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    an.seed(1)
    drawn = getattr(an.nn, name)(kernel, size, ratio)
    x = an.tensor(normal(*shape))
    assert drawn(x).shape == ours(x)[0].shape and (drawn(x).numpy() != drawn(x).numpy()).any()


def test_pairs(torch: Any) -> None:
    a, b = normal(4, 5), normal(4, 5)
    nn, other = an.nn, torch.nn
    both(torch, nn.Bilinear(5, 3, 4), other.Bilinear(5, 3, 4), normal(2, 6, 5), normal(2, 6, 3))
    both(torch, nn.Bilinear(5, 3, 4, bias=False), other.Bilinear(5, 3, 4, bias=False), normal(6, 5), normal(6, 3))
    for options in ({}, {"dim": -1, "eps": 1e-3}, {"dim": 0}):
        both(torch, nn.CosineSimilarity(**options), other.CosineSimilarity(**options), a, b)
    for options in ({}, {"p": 1.0, "keepdim": True}, {"p": float("inf")}, {"p": 3.0, "eps": 1e-2}):
        both(torch, nn.PairwiseDistance(**options), other.PairwiseDistance(**options), a, b)
    zero = an.tensor(np.zeros((2, 3), np.float32), requires_grad=True)
    (an.norm(zero, dim=1).sum() + functional.normalize(zero).sum() + functional.cosine_similarity(zero, zero).sum()).backward()
    assert np.isfinite(zero.grad.numpy()).all(), "nothing, or 1 / eps, but never NaN"
    for p, dim in ((2.0, 1), (1.0, 0)):
        np.testing.assert_allclose(functional.normalize(an.tensor(a), p, dim).numpy(), other.functional.normalize(torch.tensor(a), p, dim).numpy(), rtol=1e-5)


@pytest.mark.parametrize("bias", [False, True])
def test_adaptive_softmax(torch: Any, bias: bool) -> None:
    ours = an.nn.AdaptiveLogSoftmaxWithLoss(12, 30, [5, 11, 20], 2.0, bias)
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(12, 30, [5, 11, 20], 2.0, bias)
    x, t = normal(40, 12), RNG.integers(0, 30, 40)
    both(torch, ours, theirs, x, t)
    both(torch, ours, theirs, x[0], t[0])
    np.testing.assert_allclose(ours.log_prob(an.tensor(x)).numpy(), theirs.log_prob(torch.tensor(x)).detach().numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(ours.predict(an.tensor(x)).numpy(), theirs.predict(torch.tensor(x)).numpy())
    for wrong in (30, -1):
        with pytest.raises(an.Error, match="0..29 expected"):
            ours(an.tensor(x[:1]), an.tensor([wrong]))
    with pytest.raises(an.Error, match="rising"):
        an.nn.AdaptiveLogSoftmaxWithLoss(12, 30, [5, 5])


def test_rrelu_draws_slopes() -> None:
    an.seed(0)
    layer = an.nn.RReLU(0.1, 0.4)
    slopes = -layer(an.tensor(-np.ones(4000, np.float32))).numpy()
    assert 0.1 <= slopes.min() < 0.11 and 0.39 < slopes.max() < 0.4 and abs(slopes.mean() - 0.25) < 0.01
    assert (layer(an.tensor(np.ones(3, np.float32))).numpy() == 1).all()


LAZY = {"LazyLinear(3)": (4, 5), "LazyConv1d(4, 3)": (2, 3, 8), "LazyConv2d(4, 3, padding=1, groups=2)": (2, 2, 5, 6), "LazyConv3d(2, 2)": (3, 3, 4, 5),
        "LazyConvTranspose1d(4, 3)": (2, 3, 8), "LazyConvTranspose2d(4, 3, 2, bias=False)": (3, 5, 6), "LazyConvTranspose3d(2, 2)": (1, 3, 3, 4, 2),
        "LazyBatchNorm1d()": (4, 3), "LazyBatchNorm2d(momentum=None)": (2, 3, 4, 5), "LazyBatchNorm3d(affine=False)": (2, 3, 2, 2, 3),
        "LazyInstanceNorm1d()": (2, 3, 8), "LazyInstanceNorm2d(bias=False)": (2, 3, 4, 5), "LazyInstanceNorm3d()": (2, 3, 2, 2, 3)}  # fmt: skip


@pytest.mark.parametrize("name", LAZY)
def test_lazy_layers(torch: Any, name: str) -> None:
    ours, theirs = eval(f"nn.{name}", {"nn": an.nn}), eval(f"nn.{name}", {"nn": torch.nn})
    ours.eval()
    theirs.eval()
    x = normal(*LAZY[name])
    for early in (lambda: list(ours.parameters()), ours.state_dict, lambda: an.compile(ours)(an.tensor(x))):
        with pytest.raises(an.Error, match="call the network once"):
            early()
    ours(an.tensor(x))
    theirs(torch.tensor(x))
    assert type(ours).__name__ == type(theirs).__name__ == name.partition("(")[0].removeprefix("Lazy") and not ours.training
    assert [(k, v.shape) for k, v in ours.state_dict().items()] == [(k, tuple(v.shape)) for k, v in theirs.state_dict().items()]
    both(torch, ours, theirs, x)


def test_gradients_scaled_by_frequency(torch: Any) -> None:
    """Of bags, by the definition: torch 2.13's EmbeddingBag divides some rows by the count of another."""
    at = np.array([[1, 2, 6], [2, 2, 0]])
    both(torch, *(nn.Embedding(7, 5, 2, scale_grad_by_freq=True) for nn in (an.nn, torch.nn)), at)
    for mode in ("sum", "mean"):
        plain, scaled = (an.nn.EmbeddingBag(7, 5, mode=mode, scale_grad_by_freq=scale) for scale in (False, True))
        for layer in (plain, scaled):
            (layer(an.tensor(at)) * an.tensor(np.float32([[1], [3]]))).sum().backward()
        often = np.maximum(np.bincount(at.ravel(), minlength=7), 1)[:, None]
        np.testing.assert_allclose(scaled.weight.grad.numpy(), plain.weight.grad.numpy() / often, rtol=1e-6)
    with pytest.raises(an.Error, match="max"):
        an.nn.EmbeddingBag(7, 5, mode="max", scale_grad_by_freq=True)


def test_embedding_functions(torch: Any) -> None:
    w, at = normal(7, 5), np.array([1, 2, 6, 2, 2, 0])
    other = torch.nn.functional
    np.testing.assert_array_equal(functional.embedding(an.tensor(at), an.tensor(w)).numpy(), other.embedding(torch.tensor(at), torch.tensor(w)).numpy())
    for mode in ("sum", "mean", "max"):
        got = functional.embedding_bag(an.tensor(at), an.tensor(w), an.tensor([0, 2, 2]), mode=mode)
        want = other.embedding_bag(torch.tensor(at), torch.tensor(w), torch.tensor([0, 2, 2]), mode=mode)
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-6)
    for layer in (an.nn.Embedding, an.nn.EmbeddingBag):
        with pytest.raises(NotImplementedError, match="dense"):
            layer(3, 2, sparse=True)


@pytest.mark.parametrize("mask", [None, "causal", "padding", "float"])
@pytest.mark.parametrize("options", [{"add_bias_kv": True}, {"add_zero_attn": True}, {"add_bias_kv": True, "add_zero_attn": True}])
def test_attention_with_keys_of_its_own(torch: Any, options: dict[str, bool], mask: str | None) -> None:
    ours, theirs = (nn.MultiheadAttention(8, 2, batch_first=True, **options) for nn in (an.nn, torch.nn))
    assert [(n, tuple(t.shape)) for n, t in ours.named_tensors()] == [(n, tuple(t.shape)) for n, t in theirs.named_parameters()]
    hidden = np.triu(np.ones((4, 4), bool), 1)
    padding = np.array([[False] * 3 + [True], [False] * 4])
    named: dict[str, Any] = {"causal": {"attn_mask": hidden}, "padding": {"key_padding_mask": padding},
                             "float": {"attn_mask": np.where(hidden, -2.0, 0.5).astype(np.float32)}}.get(mask or "", {})  # fmt: skip

    def run(layer: Any, tensor: Any) -> Any:
        return lambda x: layer(x, x, x, **{k: tensor(v) for k, v in named.items()})

    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    x = normal(2, 4, 8)
    both(torch, run(ours, an.tensor), run(theirs, torch.tensor), x, planned=False)
    for (key, p), q in zip(ours.named_parameters(), theirs.parameters()):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-4, atol=1e-5, err_msg=key)
    if mask == "causal":
        y = ours(*[an.tensor(x)] * 3, is_causal=True)[0].numpy()
        np.testing.assert_allclose(y, ours(*[an.tensor(x)] * 3, attn_mask=an.tensor(hidden))[0].numpy(), rtol=1e-5, atol=1e-6)


OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}), ("SGD", {"lr": 0.1, "maximize": True}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.1}), ("AdamW", {"lr": 0.1, "amsgrad": True, "maximize": True}), ("AdamW", {"lr": 0.1}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_optimizers(torch: Any, name: str, options: dict[str, Any]) -> None:
    start, c = normal(4, 3), normal(6, 4, 3)
    w, other, planned = an.tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True), an.tensor(start, requires_grad=True)
    mine, theirs, third = getattr(an.optim, name)([w], **options), getattr(torch.optim, name)([other], **options), getattr(an.optim, name)([planned], **options)

    def step(c: Any) -> Any:
        third.zero_grad()
        value = ((planned * c).sum() - (planned * planned * planned).sum() * 0.1).sum()
        value.backward()
        third.step()
        return value

    compiled = an.compile(step)
    for i in range(6):
        for p, opt, scale in ((w, mine, an.tensor(c[i])), (other, theirs, torch.tensor(c[i]))):
            opt.zero_grad()
            ((p * scale).sum() - (p * p * p).sum() * 0.1).backward()
            opt.step()
        compiled(an.tensor(c[i]))
        np.testing.assert_allclose(w.numpy(), other.detach().numpy(), rtol=2e-5, atol=2e-5)
        np.testing.assert_allclose(planned.numpy(), w.numpy(), rtol=1e-5, atol=1e-5)


FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "mse_loss": (normal(3, 4), normal(3, 4)), "huber_loss": (normal(3, 4), normal(3, 4), "sum", 0.7),
    "cosine_embedding_loss": (normal(3, 4), normal(3, 4), np.float32([1, -1, 1]), 0.2), "fold": (normal(2, 18, 42), (9, 8), 3),
    "unfold": (normal(2, 2, 5, 6), (2, 3)), "pixel_shuffle": (normal(1, 8, 2, 3), 2), "softmin": (normal(3, 4), -1),
    "feature_alpha_dropout": (normal(2, 3, 4),), "dropout2d": (normal(2, 3, 4, 4), 0.4, False),
    "gaussian_nll_loss": (normal(3), normal(3), np.float32([1, 2, 3])),
    "lp_pool3d": (np.abs(normal(2, 3, 4, 4, 4)), 2.0, 2), "bilinear": (normal(3, 4), normal(3, 5), normal(2, 4, 5), normal(2)),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(torch: Any, name: str) -> None:
    given = FUNCTIONS[name]
    got = getattr(functional, name)(*(an.tensor(a) if isinstance(a, np.ndarray) else a for a in given))
    want = getattr(torch.nn.functional, name)(*(torch.tensor(a) if isinstance(a, np.ndarray) else a for a in given))
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=2e-5, atol=2e-6)


def test_gumbel_softmax() -> None:
    an.seed(0)
    logits = an.tensor(np.log(np.float32([[0.1, 0.6, 0.3]])).repeat(4000, 0), requires_grad=True)
    hard = functional.gumbel_softmax(logits, 0.5, hard=True)
    np.testing.assert_allclose(hard.numpy().mean(0), [0.1, 0.6, 0.3], atol=0.03)
    assert set(np.unique(hard.numpy().round(6))) == {0.0, 1.0}
    hard.sum().backward()
    soft = functional.gumbel_softmax(logits, 5.0).numpy()
    assert logits.grad is not None and np.isfinite(soft).all() and abs(soft.sum(1) - 1).max() < 1e-5


REPRS = ("Linear(3, 4)", "Flatten()", "Flatten(0, 2)", "GLU()", "Hardshrink(0.3)", "Softmax(dim=1)", "LogSoftmax(dim=1)", "LayerNorm(4)", "GroupNorm(2, 4)",
         "BatchNorm2d(4, bias=False)", "InstanceNorm1d(3)", "Dropout(0.3)", "Dropout2d()", "MaxPool2d(2)", "LPPool2d(2, 3)", "AdaptiveAvgPool2d((1, 2))",
         "ZeroPad2d(1)", "ConstantPad1d(2, 0.5)", "Conv2d(3, 4, 3)", "Conv2d(3, 4, 3, 2, 1)", "Upsample(scale_factor=2.0)", "PixelShuffle(2)",
         "Bilinear(2, 3, 4)",
         "Sequential(nn.Linear(2, 3), nn.ReLU())", "RReLU()", "Unfold(2)", "Fold((3, 3), 2)", "LSTM(2, 3)", "Embedding(3, 4, 0)")  # fmt: skip


@pytest.mark.parametrize("text", REPRS)
def test_reprs(torch: Any, text: str) -> None:
    assert repr(eval(f"nn.{text}", {"nn": an.nn})) == repr(eval(f"nn.{text}", {"nn": torch.nn}))
