"""Everyday layers beside torch's: the same arguments, state, results and gradients; and the same from a Plan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import accelnn as an

from ..conftest import need_module

PICTURE, LINE, VOLUME = (2, 4, 9, 8), (2, 4, 11), (2, 3, 5, 7, 6)
LAYERS: dict[str, tuple[str, tuple[int, ...]]] = {
    **{f"{name}": (f"nn.{name}", (3, 40)) for name in (
        "ReLU()", "ReLU6()", "LeakyReLU()", "LeakyReLU(0.2)", "ELU()", "ELU(0.7)", "SELU()", "CELU(1.7)", "GELU()", "GELU('tanh')", "SiLU()", "Mish()",
        "Hardswish()", "Hardsigmoid()", "Hardtanh()", "Hardtanh(-0.5, 2.0)", "Softplus()", "Softplus(2.0, 3.0)", "Softsign()", "LogSigmoid()", "Tanhshrink()",
        "Hardshrink()", "Softshrink(0.3)", "Threshold(0.1, 20.0)", "GLU()", "Identity(3, x=4)", "Sigmoid()", "Tanh()", "Softmax(dim=1)", "LogSoftmax(dim=0)",
        "Softmin(dim=1)", "Softmin()", "PReLU()", "RReLU(0.1, 0.3).eval()", "Unflatten(1, (5, 8))", "AlphaDropout(0.0)", "Dropout(0.0, True)")},
    **{f"{name}": (f"nn.{name}", PICTURE) for name in (
        "PReLU(4)", "GLU(1)", "MaxPool2d(3, 2, 1)", "MaxPool2d((3, 2), ceil_mode=True)", "MaxPool2d(2, 1, 0, 2)", "MaxPool2d(3, 2, 1, dilation=(1, 2))",
        "AvgPool2d(3, 2, 1)", "AvgPool2d(3, 2, 1, True)", "AvgPool2d(3, 2, 1, True, False)", "AvgPool2d((2, 3), ceil_mode=True)",
        "AvgPool2d(2, divisor_override=3)", "LPPool2d(2.0, 3, 2)", "AdaptiveAvgPool2d(1)", "AdaptiveAvgPool2d((3, 4))", "AdaptiveAvgPool2d((4, None))",
        "AdaptiveAvgPool2d((5, 3))", "AdaptiveMaxPool2d((3, 2))", "AdaptiveMaxPool2d((4, 3))", "ZeroPad2d(2)", "ZeroPad2d((1, -2, 0, 3))",
        "ConstantPad2d((1, 2, 3, 0), 3.5)", "ReflectionPad2d((1, 2, 3, 4))", "ReplicationPad2d((5, 0, 1, 2))", "CircularPad2d((1, 2, 3, 4))",
        "Upsample(scale_factor=2)", "Upsample((5, 13))", "Upsample(scale_factor=2, mode='bilinear')", "Upsample((4, 3), mode='bilinear', align_corners=True)",
        "Upsample(scale_factor=(1.5, 0.7), mode='bilinear')", "Upsample(scale_factor=1.7, mode='bicubic')",
        "Upsample((20, 5), mode='bicubic', align_corners=True)",
        "Upsample(scale_factor=1.3, mode='nearest-exact')", "Upsample((4, 3), mode='area')", "UpsamplingNearest2d(scale_factor=3)",
        "UpsamplingBilinear2d(scale_factor=2)", "PixelShuffle(2)", "PixelUnshuffle(1)", "ChannelShuffle(2)", "Unfold(3)", "Unfold((2, 3), 2, 1, (1, 2))",
        "Flatten()", "Dropout2d(0.0)", "Softmax2d()")},
    **{f"{name}": (f"nn.{name}", LINE) for name in (
        "MaxPool1d(3)", "MaxPool1d(3, 2, 1, ceil_mode=True)", "AvgPool1d(4, 2, 1)", "AvgPool1d(4, 3, 1, True)", "LPPool1d(3.0, 2)", "AdaptiveAvgPool1d(4)",
        "AdaptiveMaxPool1d(3)", "ReflectionPad1d((3, 1))", "ReplicationPad1d(2)", "ConstantPad1d((1, 2), -1.0)", "ZeroPad1d(1)", "CircularPad1d((2, 3))",
        "Upsample(scale_factor=3)", "Upsample(7, mode='linear')", "Upsample(29, mode='linear', align_corners=True)")},
    **{f"{name}": (f"nn.{name}", VOLUME) for name in (
        "MaxPool3d(2)", "MaxPool3d((2, 3, 2), (1, 2, 1), (1, 1, 0))", "AvgPool3d(2, 1)", "AvgPool3d((2, 3, 2), 2, (1, 1, 0), False, False)",
        "AdaptiveAvgPool3d(2)",
        "AdaptiveMaxPool3d((2, 3, 2))", "ReplicationPad3d(1)", "ReflectionPad3d(2)", "ConstantPad3d(1, 2.0)", "ZeroPad3d(1)", "CircularPad3d(1)",
        "Upsample(scale_factor=2, mode='trilinear')", "Upsample((3, 4, 9))", "LPPool3d(2.0, 2)")},
    "MaxPool2d(2) unbatched": ("nn.MaxPool2d(2)", (3, 8, 8)),
    "Fold((9, 8), 3)": ("nn.Fold((9, 8), 3)", (2, 18, 42)),
    "Fold((9, 8), (2, 3), 2, 1, (1, 2))": ("nn.Fold((9, 8), (2, 3), 2, 1, (1, 2))", (2, 12, 27)),
    "PixelUnshuffle(2)": ("nn.PixelUnshuffle(2)", (2, 3, 8, 6)),
    "Sequential of ModuleList": ("nn.Sequential(*nn.ModuleList([nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)]))", (2, 5)),
}  # fmt: skip


@pytest.fixture(scope="module")
def torch() -> Any:
    need_module("torch")
    import torch

    return torch


@pytest.mark.parametrize("name", LAYERS)
def test_as_torchs(torch: Any, name: str) -> None:
    text, shape = LAYERS[name]
    rng = np.random.default_rng(0)
    ours, theirs = eval(text, {"nn": an.nn}), eval(text, {"nn": torch.nn})
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    data = rng.normal(size=shape).astype(np.float32)
    if "LPPool" in name:
        data = np.abs(data) + np.float32(0.1)
    x, other = an.tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    y, want = ours(x), theirs(other)
    g = rng.normal(size=tuple(want.shape)).astype(np.float32)
    y.backward(an.tensor(g))
    want.backward(torch.tensor(g))
    np.testing.assert_allclose(y.numpy(), want.detach().numpy(), rtol=2e-5, atol=4e-6)
    np.testing.assert_allclose(x.grad.numpy(), other.grad.numpy(), rtol=2e-5, atol=4e-6)
    for (key, p), q in zip(ours.named_parameters(), theirs.parameters()):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-4, atol=1e-5, err_msg=key)
    planned = an.compile(ours)(an.tensor(data))
    np.testing.assert_allclose(planned.numpy(), y.numpy(), rtol=2e-6, atol=1e-6)


def test_a_step_in_a_plan_is_the_eager_one() -> None:
    """Gradients of moving ops, traced."""
    nn = an.nn
    net = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(2, 4, 3), nn.LeakyReLU(0.1), nn.Upsample(scale_factor=2, mode="bilinear"), nn.MaxPool2d(3, 2, 1),
                        nn.PixelShuffle(2), nn.AdaptiveAvgPool2d((3, 2)), nn.Flatten())  # fmt: skip

    def gradient(x: Any) -> Any:
        y = net(x)
        y = an.cat([y, an.flip(y, 1), an.roll(y, 1, 1)], 1)
        value, _ = an.topk(y, 3)
        return an.grad_of(value.sum() + an.cumsum(y, 1).mean(), [x])[0]

    data = an.tensor(np.random.default_rng(0).normal(size=(2, 2, 6, 5)).astype(np.float32))
    again = an.tensor(data.numpy(), requires_grad=True)
    np.testing.assert_allclose(an.compile(gradient)(data).numpy(), gradient(again).numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"padding_idx": 2}, {"padding_idx": -1}, {"max_norm": 1.0}, {"max_norm": 0.8, "norm_type": 1.0}])
def test_embedding(torch: Any, options: dict[str, Any]) -> None:
    theirs, ours = torch.nn.Embedding(7, 5, **options), an.nn.Embedding(7, 5, **options)
    if "padding_idx" in options:
        assert not ours.weight.numpy()[options["padding_idx"]].any()
    ours.load_state_dict({"weight": theirs.weight.detach().numpy()})
    at = np.array([[1, 2, 6], [2, 2, 0]])
    y, want = ours(an.tensor(at)), theirs(torch.tensor(at))
    np.testing.assert_allclose(y.numpy(), want.detach().numpy(), rtol=1e-5)
    g = np.random.default_rng(0).normal(size=y.shape).astype(np.float32)
    y.backward(an.tensor(g))
    want.backward(torch.tensor(g))
    np.testing.assert_allclose(ours.weight.grad.numpy(), theirs.weight.grad.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.weight.numpy(), theirs.weight.detach().numpy(), rtol=1e-5)
    for wrong in (7, -8):
        with pytest.raises(IndexError, match=rf"index {wrong} at \[1\]"):
            ours(an.tensor([0, wrong]))
    frozen = an.nn.Embedding.from_pretrained(np.eye(3, dtype=np.float32))
    assert frozen(an.tensor([2])).tolist() == [[0, 0, 1]] and not frozen.weight.requires_grad


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("how", ["2d", "offsets", "last", "padding", "weights"])
def test_embedding_bag(torch: Any, mode: str, how: str) -> None:
    if how == "weights" and mode != "sum":
        with pytest.raises(an.Error):
            an.nn.EmbeddingBag(7, 5, mode=mode)(an.tensor([[1]]), per_sample_weights=an.tensor([[1.0]]))
        return
    options: dict[str, Any] = {"mode": mode, "include_last_offset": how == "last", "padding_idx": 2 if how == "padding" else None}
    theirs, ours = torch.nn.EmbeddingBag(7, 5, **options), an.nn.EmbeddingBag(7, 5, **options)
    ours.load_state_dict({"weight": theirs.weight.detach().numpy()})
    at, starts = np.array([1, 2, 6, 2, 5, 0, 3, 3]), {"last": [0, 3, 3, 8]}.get(how, [0, 3, 3, 7, 8])
    rng = np.random.default_rng(0)
    given = [at.reshape(2, 4)] if how in ("2d", "padding", "weights") else [at, np.array(starts)]
    named = {"per_sample_weights": rng.normal(size=(2, 4)).astype(np.float32)} if how == "weights" else {}
    y = ours(*map(an.tensor, given), **{k: an.tensor(v) for k, v in named.items()})
    want = theirs(*map(torch.tensor, given), **{k: torch.tensor(v) for k, v in named.items()})
    np.testing.assert_allclose(y.numpy(), want.detach().numpy(), rtol=1e-5, atol=1e-6)
    g = rng.normal(size=y.shape).astype(np.float32)
    y.backward(an.tensor(g))
    want.backward(torch.tensor(g))
    np.testing.assert_allclose(ours.weight.grad.numpy(), theirs.weight.grad.numpy(), rtol=1e-5, atol=1e-6)
    if how in ("2d", "offsets"):
        planned = an.compile(ours)(*map(an.tensor, given))
        np.testing.assert_array_equal(planned.numpy(), y.numpy())


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, None, 0), (3, 2, 1), ((2, 3), (2, 3), 0)])
def test_unpool(torch: Any, kernel: Any, stride: Any, padding: Any) -> None:
    data = np.random.default_rng(0).normal(size=(2, 3, 8, 9)).astype(np.float32)
    for nn, tensor in ((an.nn, an.tensor), (torch.nn, torch.tensor)):
        pool, back = nn.MaxPool2d(kernel, stride, padding, return_indices=True), nn.MaxUnpool2d(kernel, stride, padding)
        y, at = pool(tensor(data))
        whole = (back(y, at).numpy(),) if (kernel, stride) == ((2, 3), (2, 3)) else ()
        found = (y.numpy(), at.numpy(), back(y, at, output_size=data.shape[2:]).numpy(), *whole)
        if nn is an.nn:
            mine = found
    for a, b in zip(mine, found):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("padding", [0, 1])
def test_first_of_equal_maxima(torch: Any, padding: int) -> None:
    data = np.random.default_rng(0).integers(0, 3, (1, 2, 9, 83)).astype(np.float32)
    ours, theirs = (nn.MaxPool2d(3, 2, padding, return_indices=True)(x) for nn, x in ((an.nn, an.tensor(data)), (torch.nn, torch.tensor(data))))
    for a, b in zip(ours, theirs):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize(("shape", "kernel", "stride", "padding", "dilation"),
                         [((2, 30, 31), (5, 7), (3, 2), (2, 3), (3, 2)), ((2, 11, 12, 13), (2, 3, 4), (1, 2, 1), (1, 1, 2), (2, 1, 3))])  # fmt: skip
def test_dilated_maxima(torch: Any, shape: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> None:
    """Whole numbers, many of them equal: the gradient goes to the first, as in torch."""
    rng, name = np.random.default_rng(0), f"max_pool{len(kernel)}d"
    data = rng.integers(0, 4, (1, *shape)).astype(np.float32)
    x, other = an.tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    y = getattr(an.ops, name)(x, kernel, stride, padding, dilation, True)
    want = getattr(torch.nn.functional, name)(other, kernel, stride, padding, dilation, True)
    np.testing.assert_array_equal(y.numpy(), want.detach().numpy())
    dy = rng.integers(-9, 9, want.shape).astype(np.float32)
    y.backward(an.tensor(dy))
    want.backward(torch.tensor(dy))
    np.testing.assert_array_equal(x.grad.numpy(), other.grad.numpy())


def test_dilated_maxima_of_large_windows_are_few_nodes(torch: Any) -> None:
    data = np.random.default_rng(0).normal(size=(1, 1, 100, 260)).astype(np.float32)
    pool = an.nn.MaxPool2d((46, 128), 1, dilation=2)
    want = torch.nn.functional.max_pool2d(torch.tensor(data), (46, 128), 1, dilation=2)
    np.testing.assert_array_equal(pool(an.tensor(data)).numpy(), want.numpy())
    traced = an.compile(pool)
    np.testing.assert_array_equal(traced(an.tensor(data)).numpy(), want.numpy())
    x = an.tensor(data, requires_grad=True)
    nodes, left = set(), [pool(x).node]
    while left:
        node = left.pop()
        if node is not None and node not in nodes:
            nodes.add(node)
            left += [v.node for v in node.inputs if v is not None]
    assert len(nodes) < 50                                     # a slice a tap were 5888


def test_dropouts_of_channels() -> None:
    an.seed(3)
    x = an.tensor(np.ones((50, 40, 6), np.float32))
    for layer, shape in ((an.nn.Dropout1d(0.25), None), (an.nn.AlphaDropout(0.25), None), (an.nn.FeatureAlphaDropout(0.25), None)):
        y = layer(x).numpy()
        dropped = (y != y.max()).reshape(50, 40, 6)
        if not isinstance(layer, an.nn.AlphaDropout) or isinstance(layer, an.nn.FeatureAlphaDropout):
            assert (dropped.all(2) | ~dropped.any(2)).all(), "whole channels"
        assert 0.2 < dropped.mean() < 0.3 and shape is None
        assert (layer.eval()(x).numpy() == 1).all()
    drawn = an.nn.AlphaDropout(0.3)(an.tensor(np.random.default_rng(0).normal(size=200_000).astype(np.float32))).numpy()
    assert abs(drawn.mean()) < 0.02 and abs(drawn.std() - 1) < 0.02


def test_initializers(torch: Any) -> None:
    an.seed(1)
    init = an.nn.init
    w = an.nn.Parameter(np.zeros((60, 30, 3, 3), np.float32))
    for name, args in (("xavier_uniform_", {}), ("xavier_normal_", {"gain": 1.5}), ("kaiming_uniform_", {"a": 0.3}), ("kaiming_normal_", {"mode": "fan_out"}),
                       ("uniform_", {"a": -1, "b": 3}), ("normal_", {"mean": 1.0, "std": 2.0}), ("trunc_normal_", {"std": 0.7}), ("trunc_normal_", {"a": 0.5}),
                       ("constant_", {"val": 2.0}), ("ones_", {}), ("zeros_", {}), ("dirac_", {"groups": 2}), ("orthogonal_", {"gain": 2.0})):  # fmt: skip
        torch.manual_seed(0)
        theirs = getattr(torch.nn.init, name)(torch.empty(60, 30, 3, 3), **args).numpy()
        ours = getattr(init, name)(w, **args).numpy()
        assert getattr(init, name)(w, **args) is w
        assert abs(ours.mean() - theirs.mean()) < 0.02 and abs(ours.std() - theirs.std()) < 0.02, name
        assert abs(ours.min() - theirs.min()) < 0.1 + 0.35 * abs(theirs.min()) and abs(ours.max() - theirs.max()) < 0.1 + 0.35 * abs(theirs.max()), name
    flat = init.orthogonal_(an.nn.Parameter(np.zeros((5, 9), np.float32))).numpy()
    np.testing.assert_allclose(flat @ flat.T, np.eye(5), atol=1e-6)
    np.testing.assert_array_equal(init.dirac_(w, 2).numpy(), torch.nn.init.dirac_(torch.empty(60, 30, 3, 3), 2).numpy())
    s = init.sparse_(an.nn.Parameter(np.zeros((20, 8), np.float32)), 0.3).numpy()
    assert ((s == 0).sum(0) == 6).all()
    assert init.calculate_gain("leaky_relu", 0.2) == pytest.approx(torch.nn.init.calculate_gain("leaky_relu", 0.2))


def everything(nn: Any, of: Any) -> Any:
    class Net(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList([nn.Linear(2, 3)])
            self.blocks.append(nn.Linear(3, 4))
            self.named = nn.ModuleDict({"a": nn.Linear(1, 1), "b": nn.ReLU()})
            self.loose = nn.ParameterList([of(np.ones(2, np.float32))])
            self.loose.append(of(np.ones(3, np.float32)))
            self.table = nn.ParameterDict({"w": of(np.ones((1, 2), np.float32))})

    net = Net()
    return net, (sorted(net.state_dict()), len(net.blocks), [type(m).__name__ for m in net.blocks], "a" in net.named, list(net.named.keys()), len(net.loose),
                 tuple(net.loose[-1].shape), tuple(net.table["w"].shape), sum(p.numel() for p in net.parameters()))  # fmt: skip


def test_containers(torch: Any) -> None:
    net, mine = everything(an.nn, an.nn.Parameter)
    assert mine == everything(torch.nn, lambda a: torch.nn.Parameter(torch.tensor(a)))[1]
    net.eval()
    assert not net.blocks[1].training and not net.named["a"].training
