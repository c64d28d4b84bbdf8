"""Losses against torch: values and gradients of every argument."""

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


RNG = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32) * 2


def uniform(*shape: int) -> Any:
    return RNG.uniform(0.02, 0.98, shape).astype(np.float32)


def logs(*shape: int) -> Any:
    x = np.exp(normal(*shape))
    return np.log(x / x.sum(1, keepdims=True)).astype(np.float32)


def labels(c: int, *shape: int, ignore: int | None = None) -> Any:
    found = RNG.integers(0, c, shape)
    if ignore is not None:
        found[RNG.random(shape) < 0.3] = ignore
    return found


def signs(*shape: int) -> Any:
    return RNG.choice([-1.0, 1.0], shape).astype(np.float32)


W = uniform(7)
CE = {
    "plain": ((normal(9, 7), labels(7, 9)), {}),
    "one place": ((normal(7), np.array(3)), {}),
    "weight": ((normal(9, 7), labels(7, 9)), {"weight": W}),
    "ignored": ((normal(9, 7), labels(7, 9, ignore=-100)), {}),
    "ignore 2, weight, smooth": ((normal(29, 7), labels(7, 29, ignore=2)), {"weight": W, "ignore_index": 2, "label_smoothing": 0.2}),
    "smooth": ((normal(9, 70), labels(70, 9)), {"label_smoothing": 0.1}),
    "places": ((normal(3, 7, 5, 6), labels(7, 3, 5, 6)), {}),
    "places, everything": ((normal(3, 7, 50), labels(7, 3, 50, ignore=-1)), {"weight": W, "ignore_index": -1, "label_smoothing": 0.3}),
    "probabilities": ((normal(9, 7), np.exp(logs(9, 7))), {}),
    "probabilities, everything": ((normal(2, 7, 5), np.exp(logs(2, 7, 5))), {"weight": W, "label_smoothing": 0.3}),
    "one place's probabilities": ((normal(7), np.exp(logs(1, 7))[0]), {"weight": W}),
}
NLL = {
    "plain": ((logs(9, 7), labels(7, 9)), {}),
    "everything": ((logs(9, 7, 3), labels(7, 9, 3, ignore=1)), {"weight": W, "ignore_index": 1}),
    "one place": ((logs(1, 7)[0], np.array(2)), {"weight": W}),
}
OTHERS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("MSELoss", (normal(4, 5), normal(4, 5)), {}),
    ("L1Loss", (normal(4, 5), normal(4, 5)), {}),
    ("SmoothL1Loss", (normal(4, 5), normal(4, 5)), {}),
    ("SmoothL1Loss", (normal(4, 5), normal(4, 5)), {"beta": 0.3}),
    ("SmoothL1Loss", (normal(4, 5), normal(4, 5)), {"beta": 0.0}),
    ("HuberLoss", (normal(4, 5), normal(4, 5)), {}),
    ("HuberLoss", (normal(4, 5), normal(4, 5)), {"delta": 2.5}),
    ("BCELoss", (uniform(4, 5), uniform(4, 5)), {}),
    ("BCELoss", (uniform(4, 5), uniform(4, 5)), {"weight": uniform(4, 5)}),
    ("BCEWithLogitsLoss", (normal(4, 5) * 20, uniform(4, 5)), {}),
    ("BCEWithLogitsLoss", (normal(4, 5), uniform(4, 5)), {"weight": uniform(5), "pos_weight": uniform(5) * 3}),
    ("KLDivLoss", (logs(4, 5), np.exp(logs(4, 5))), {}),
    ("KLDivLoss", (logs(4, 5), logs(4, 5)), {"log_target": True}),
    ("CosineEmbeddingLoss", (normal(6, 5), normal(6, 5), signs(6)), {"margin": 0.1}),
    ("TripletMarginLoss", (normal(6, 5), normal(6, 5), normal(6, 5)), {}),
    ("TripletMarginLoss", (normal(6, 5), normal(6, 5), normal(6, 5)), {"margin": 2.0, "p": 1.0, "swap": True}),
    ("TripletMarginLoss", (normal(6, 5), normal(6, 5), normal(6, 5)), {"p": 3.0}),
    ("HingeEmbeddingLoss", (normal(6, 5), signs(6, 5)), {"margin": 0.7}),
    ("MarginRankingLoss", (normal(9), normal(9), signs(9)), {"margin": 0.2}),
    ("SoftMarginLoss", (normal(9), signs(9)), {}),
    ("TripletMarginWithDistanceLoss", (normal(6, 5), normal(6, 5), normal(6, 5)), {"margin": 0.5, "swap": True}),
    ("MultiMarginLoss", (normal(6, 5), labels(5, 6)), {}),
    ("MultiMarginLoss", (normal(6, 5), labels(5, 6)), {"p": 2, "margin": 0.7, "weight": uniform(5)}),
    ("MultiMarginLoss", (normal(5), labels(5)), {}),
    ("MultiLabelMarginLoss", (normal(3, 4), np.array([[3, 0, -1, 1], [-1, 0, 1, 2], [2, 1, 3, 0]])), {}),
    ("MultiLabelMarginLoss", (normal(4), np.array([1, 1, -1, 0])), {}),
    ("MultiLabelSoftMarginLoss", (normal(6, 5), (signs(6, 5) > 0).astype(np.float32)), {"weight": uniform(5)}),
    ("GaussianNLLLoss", (normal(4, 5), normal(4, 5), uniform(4, 5)), {}),
    ("GaussianNLLLoss", (normal(4, 5), normal(4, 5), uniform(4, 1) * 0.05), {"full": True, "eps": 0.01}),
    ("GaussianNLLLoss", (normal(4, 5), normal(4, 5), uniform(4)), {}),
    ("PoissonNLLLoss", (normal(4, 5), uniform(4, 5) * 4), {"full": True}),
    ("PoissonNLLLoss", (uniform(4, 5), uniform(4, 5) * 4), {"log_input": False}),
]
CASES = [pytest.param("CrossEntropyLoss", *case, id=f"cross_entropy {name}") for name, case in CE.items()]
CASES += [pytest.param("NLLLoss", *case, id=f"nll {name}") for name, case in NLL.items()]
CASES += [pytest.param(name, args, settings, id=f"{name}-{i}") for i, (name, args, settings) in enumerate(OTHERS)]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none", "batchmean"])
@pytest.mark.parametrize(("name", "args", "settings"), CASES)
def test_value_and_gradients(torch: Any, name: str, args: tuple[Any, ...], settings: dict[str, Any], reduction: str) -> None:
    if reduction == "batchmean" and name != "KLDivLoss":
        with pytest.raises(an.Error, match="reduction"):
            getattr(an.nn, name)(reduction=reduction)
        return
    ours = getattr(an.nn, name)(**{k: an.tensor(v) if isinstance(v, np.ndarray) else v for k, v in settings.items()}, reduction=reduction)
    theirs = getattr(torch.nn, name)(**{k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in settings.items()}, reduction=reduction)
    moves = [a.dtype.kind == "f" and not (i == len(args) - 1 and "Embedding" in name or i == len(args) - 1 and "Margin" in name and "Triplet" not in name)
             for i, a in enumerate(args)]  # fmt: skip
    xs = [an.tensor(a, requires_grad=m) for a, m in zip(args, moves)]
    others = [torch.tensor(a, requires_grad=m) for a, m in zip(args, moves)]
    y, want = ours(*xs), theirs(*others)
    assert y.shape == tuple(want.shape)
    np.testing.assert_allclose(y.numpy(), want.detach().numpy(), rtol=2e-5, atol=2e-6)
    g = np.random.default_rng(1).normal(size=tuple(want.shape)).astype(np.float32)
    y.backward(an.tensor(g))
    want.backward(torch.tensor(g))
    for i, (x, other) in enumerate(zip(xs, others)):
        if moves[i]:
            np.testing.assert_allclose(x.grad.numpy(), other.grad.numpy(), rtol=1e-4, atol=1e-5, err_msg=f"gradient of argument {i}")
    fixed = [an.tensor(a) for a in args]
    np.testing.assert_allclose(an.compile(ours)(*fixed).numpy(), want.detach().numpy(), rtol=2e-5, atol=2e-6)


def test_all_ignored_is_nan_as_in_torch(torch: Any) -> None:
    x, t = normal(3, 4), np.full(3, -100)
    assert np.isnan(an.nn.CrossEntropyLoss()(an.tensor(x), an.tensor(t)).item())
    assert np.isnan(torch.nn.CrossEntropyLoss()(torch.tensor(x), torch.tensor(t)).item())


def test_an_infinite_logit_at_another_class_changes_nothing() -> None:
    x = np.float32([[0.0, -np.inf, 1.0]])
    leaf = an.tensor(x, requires_grad=True)
    loss = an.ops.cross_entropy(leaf, an.tensor([0]))
    loss.backward()
    assert loss.item() == pytest.approx(np.log(1 + np.e)) and leaf.grad is not None and leaf.grad.numpy()[0, 1] == 0.0
    assert an.ops.cross_entropy(an.tensor(x), an.tensor([1])).item() == np.inf


def test_wrong_arguments_are_told() -> None:
    x = an.tensor(normal(3, 4))
    with pytest.raises(an.Error, match="label 4 of place 1"):
        an.nn.CrossEntropyLoss()(x, an.tensor([0, 4, 1]))
    with pytest.raises(an.Error, match="weight"):
        an.nn.CrossEntropyLoss(weight=an.tensor(normal(3)))(x, an.tensor([0, 1, 2]))
    with pytest.raises(an.Error, match="label_smoothing"):
        an.nn.CrossEntropyLoss(label_smoothing=1.5)(x, an.tensor([0, 1, 2]))
    with pytest.raises(an.Error, match="differ in shape"):
        an.nn.L1Loss()(x, an.tensor(normal(4)))
    with pytest.raises(an.Error, match="integer labels"):
        an.nn.NLLLoss()(x, x)


CTC = {
    "plain": ((20, 3, 6, 5), {}, [20, 17, 11], [5, 3, 0]),
    "blank in the middle": ((15, 2, 5, 4), {"blank": 2}, [15, 12], [4, 4]),
    "does not fit": ((4, 2, 5, 4), {"zero_infinity": True}, [4, 2], [2, 4]),
    "long": ((150, 2, 30, 40), {}, [150, 120], [40, 33]),
}


@pytest.mark.parametrize("concatenated", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", CTC)
def test_ctc(torch: Any, name: str, reduction: str, concatenated: bool) -> None:
    """Gradients of the logits: what log_softmax makes of the two libraries' gradients is the same. Torch in float64: in float32 its sums over 150 steps, of
    logarithms around -300, are off by more than ours."""
    (t, n, c, s), settings, steps, lengths = CTC[name]
    x = normal(t, n, c)
    targets = labels(c - 1, n, s)
    targets += targets >= settings.get("blank", 0)
    if concatenated:
        targets = np.concatenate([row[:k] for row, k in zip(targets, lengths)])
    ours, theirs = an.nn.CTCLoss(**settings, reduction=reduction), torch.nn.CTCLoss(**settings, reduction=reduction)
    leaf, other = an.tensor(x, requires_grad=True), torch.tensor(x, dtype=torch.float64, requires_grad=True)
    y = ours(an.ops.log_softmax(leaf, 2), an.tensor(targets), steps, an.tensor(lengths))
    want = theirs(torch.log_softmax(other, 2), torch.tensor(targets), torch.tensor(steps), torch.tensor(lengths))
    np.testing.assert_allclose(y.numpy(), want.detach().numpy(), rtol=1e-5)
    g = np.random.default_rng(1).uniform(0.5, 1.5, tuple(want.shape)).astype(np.float32)
    y.backward(an.tensor(g))
    want.backward(torch.tensor(g))
    assert leaf.grad is not None
    np.testing.assert_allclose(leaf.grad.numpy(), other.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_ctc_of_one_sequence_and_of_what_does_not_fit(torch: Any) -> None:
    x = logs(10, 5)
    want = torch.nn.CTCLoss()(torch.tensor(x), torch.tensor([1, 1, 3]), torch.tensor(10), torch.tensor(3))
    assert an.nn.CTCLoss()(an.tensor(x), an.tensor([1, 1, 3]), 10, 3).item() == pytest.approx(want.item(), rel=1e-5)
    assert an.nn.CTCLoss()(an.tensor(x), an.tensor([1, 1, 3]), 3, 3).item() == np.inf
    with pytest.raises(an.Error, match="target 5 of sequence 0"):
        an.nn.CTCLoss()(an.tensor(x), an.tensor([5]), 3, 1)
    with pytest.raises(an.Error, match="input length 11"):
        an.nn.CTCLoss()(an.tensor(x), an.tensor([1]), 11, 1)
