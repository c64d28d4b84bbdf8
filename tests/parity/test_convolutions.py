"""Convolutions and transposed convolutions over 1, 2 and 3 dimensions beside torch's: the same state_dict in, the same values and gradients out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an

from ..conftest import need_module

LAYERS = [
    (lambda nn: nn.Conv1d(4, 6, 5, stride=2, padding=2, dilation=2, groups=2), (2, 4, 21)),
    (lambda nn: nn.Conv1d(3, 5, 4, padding="same"), (2, 3, 9)),
    (lambda nn: nn.Conv1d(3, 5, 3, padding=2, padding_mode="circular"), (3, 7)),
    (lambda nn: nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 9, 8)),
    (lambda nn: nn.Conv2d(3, 5, (2, 4), padding="same", dilation=(2, 1)), (2, 3, 9, 8)),
    (lambda nn: nn.Conv2d(3, 5, 3, padding="valid", bias=False), (3, 9, 8)),
    (lambda nn: nn.Conv2d(3, 5, 3, padding=(1, 2), padding_mode="reflect"), (2, 3, 6, 7)),
    (lambda nn: nn.Conv2d(3, 5, (5, 3), padding=(2, 3), stride=2, padding_mode="replicate"), (2, 3, 6, 7)),
    (lambda nn: nn.Conv2d(3, 4, 4, padding="same", padding_mode="circular"), (2, 3, 6, 7)),
    (lambda nn: nn.Conv2d(20, 40, 3, padding=1, groups=20), (2, 20, 11, 9)),
    (lambda nn: nn.Conv2d(4, 6, (5, 1), padding=(2, 0), stride=(2, 1), groups=2), (2, 4, 33, 1)),              # one pixel wide
    (lambda nn: nn.Sequential(nn.Conv2d(3, 16, (4, 1), dilation=(3, 1)), nn.MaxPool2d((3, 1), (2, 1), (1, 0))), (2, 3, 40, 1)),
    (lambda nn: nn.Sequential(nn.Conv2d(16, 16, (3, 1), padding=(1, 0)), nn.AvgPool2d((2, 1), (3, 1), ceil_mode=True)), (1, 16, 30, 1)),
    (lambda nn: nn.Conv3d(4, 6, 3, stride=(1, 2, 1), padding=1, groups=2), (2, 4, 5, 7, 6)),
    (lambda nn: nn.Conv3d(3, 4, (2, 3, 1), dilation=(2, 1, 1), padding="same"), (1, 3, 5, 4, 6)),
    (lambda nn: nn.Conv3d(2, 3, 3, padding=1, padding_mode="replicate", bias=False), (2, 3, 4, 5)),
    (lambda nn: nn.ConvTranspose1d(4, 6, 5, stride=3, padding=2, output_padding=1, groups=2), (2, 4, 9)),
    (lambda nn: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), (2, 4, 5, 6)),
    (lambda nn: nn.ConvTranspose2d(3, 20, (2, 3), stride=(1, 3), dilation=(3, 2), output_padding=(0, 2), bias=False), (3, 5, 6)),
    (lambda nn: nn.ConvTranspose2d(3, 5, 3, padding=2, output_padding=1, dilation=2), (2, 3, 6, 5)),
    (lambda nn: nn.ConvTranspose3d(4, 6, 3, stride=2, padding=1, output_padding=(1, 0, 1), groups=2), (2, 4, 3, 4, 5)),
    (lambda nn: nn.ConvTranspose3d(2, 3, (1, 2, 3), dilation=(1, 2, 1), bias=False), (2, 3, 4, 5)),
]


@pytest.fixture(scope="module")
def torch() -> Any:
    need_module("torch")
    import torch

    return torch


@pytest.mark.parametrize(("make", "shape"), LAYERS)
def test_values_and_gradients(torch: Any, make: Any, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    ours, theirs = make(an.nn), make(torch.nn)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: tuple(v.shape) for k, v in theirs.state_dict().items()}
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    data = rng.normal(size=shape).astype(np.float32)
    x, other = an.tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    y, want = ours(x), theirs(other)
    assert y.shape == tuple(want.shape)
    g = rng.normal(size=want.shape).astype(np.float32)
    y.backward(an.tensor(g))
    want.backward(torch.tensor(g))
    np.testing.assert_allclose(y.numpy(), want.detach().numpy(), rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(x.grad.numpy(), other.grad.numpy(), rtol=2e-5, atol=2e-6)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(("name", "arguments"), [("Conv2d", (6, 9, (3, 5), 1, 0, 1, 3)), ("Conv1d", (8, 5, 7)), ("ConvTranspose2d", (4, 10, 3, 2, 1, 0, 2))])
def test_initial_distribution(torch: Any, name: str, arguments: tuple[Any, ...]) -> None:
    """Uniform within torch's bounds, and as wide as torch's."""
    for field in ("weight", "bias"):
        ours = np.concatenate([getattr(getattr(an.nn, name)(*arguments), field).numpy().ravel() for _ in range(20)])
        theirs = np.concatenate([getattr(getattr(torch.nn, name)(*arguments), field).detach().numpy().ravel() for _ in range(20)])
        assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=0.05)
        assert ours.std() == pytest.approx(theirs.std(), rel=0.15) and abs(ours.mean()) < 0.2 * np.abs(ours).max()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_output_size(torch: Any, n: int) -> None:
    arguments = {"kernel_size": 3, "stride": 3, "padding": 1}
    ours, theirs = (getattr(m, f"ConvTranspose{n}d")(2, 3, **arguments) for m in (an.nn, torch.nn))
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    x = np.random.default_rng(0).normal(size=(1, 2, *(4, 5, 3)[:n])).astype(np.float32)
    size = tuple((s - 1) * 3 - 2 + 3 + i for i, s in enumerate(x.shape[2:]))
    y, want = ours(an.tensor(x), size), theirs(torch.tensor(x), output_size=size)
    assert y.shape[2:] == size
    np.testing.assert_allclose(y.numpy(), want.detach().numpy(), rtol=2e-5, atol=2e-6)
    with pytest.raises(an.Error, match="output_size"):
        ours(an.tensor(x), tuple(s + 4 for s in size))


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize(("size", "kernel", "stride"), [(9, 3, 2), (8, 4, 1), (7, 2, 3), (5, 1, 4)])
def test_onnx_padding_modes(torch: Any, mode: str, size: int, kernel: int, stride: int) -> None:
    """Against the definition: ceil(size / stride) outputs, the odd zero at the end or at the beginning."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(1, 2, size, size + 1)).astype(np.float32), rng.normal(size=(3, 2, kernel, kernel)).astype(np.float32)
    y = an.conv2d(an.tensor(x), an.tensor(w), stride=stride, padding=mode.lower()).numpy()
    pads = []
    for s in x.shape[:1:-1]:
        total = 0 if mode == "VALID" else max((-(-s // stride) - 1) * stride + kernel - s, 0)
        pads += [total // 2, total - total // 2] if mode == "SAME_UPPER" else [total - total // 2, total // 2]
    want = torch.conv2d(torch.nn.functional.pad(torch.tensor(x), pads), torch.tensor(w), stride=stride).numpy()
    np.testing.assert_allclose(y, want, rtol=2e-5, atol=2e-6)
    top, left, bottom, right = pads[2], pads[0], pads[3], pads[1]
    np.testing.assert_array_equal(an.conv2d(an.tensor(x), an.tensor(w), stride=stride, padding=(top, left, bottom, right)).numpy(), y)


def test_bad_arguments() -> None:
    nn, x = an.nn, an.tensor(np.zeros((1, 2, 5, 5), np.float32))
    for make in (lambda: nn.Conv2d(3, 4, 3, groups=2), lambda: nn.Conv2d(2, 4, 3, padding_mode="mirror"), lambda: nn.Conv2d(2, 4, 3, padding="full"),
                 lambda: nn.Conv2d(2, 4, 3, stride=2, padding="same"), lambda: nn.Conv2d(2, 4, (3, 3, 3)), lambda: nn.Conv2d(2, 4, 3, stride=0),
                 lambda: nn.ConvTranspose2d(2, 4, 3, padding="same"), lambda: nn.ConvTranspose2d(2, 4, 3, padding_mode="reflect"),
                 lambda: nn.ConvTranspose2d(2, 4, 3, stride=2, output_padding=2)(x), lambda: nn.Conv2d(2, 4, 3, padding=5, padding_mode="reflect")(x),
                 lambda: nn.Conv2d(2, 4, 7)(x), lambda: nn.Conv3d(2, 4, 3)(x.reshape(1, 2, 1, 1, 5, 5)), lambda: nn.Conv1d(2, 4, 3)(x)):  # fmt: skip
        with pytest.raises(an.Error):
            make()


def test_borders_keep_infinity_where_it_is() -> None:
    x = np.zeros((1, 1, 3, 4), np.float32)
    x[0, 0, 1, 1] = np.inf
    for mode in ("reflect", "replicate", "circular"):
        got = an.pad(an.tensor(x), (2, 1, 1, 2), mode).numpy()
        want = np.pad(x, ((0, 0), (0, 0), (1, 2), (2, 1)), mode={"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode])
        np.testing.assert_array_equal(got, want)


def test_compiled_for_any_size() -> None:
    """Batch and length as named dimensions: one Plan for all."""
    rng = np.random.default_rng(0)
    net = an.nn.Sequential(an.nn.Conv1d(2, 3, 3, padding=1), an.nn.ReLU(), an.nn.ConvTranspose1d(3, 2, 4, stride=2, padding=1)).eval()
    plan = an.compile(net)
    for shape in ((1, 2, 8), (3, 2, 8), (2, 2, 13)):
        x = an.tensor(rng.normal(size=shape).astype(np.float32))
        np.testing.assert_array_equal(plan(x).numpy(), net(x).numpy())
