"""an.from_torch against the module itself: a table of small functions that covers the handlers, then networks, weights and refusals."""

from __future__ import annotations

import numpy as np
import pytest

import accelnn as an

torch = pytest.importorskip("torch")
F, nn = torch.nn.functional, torch.nn


class Of(nn.Module):
    """A function as a module."""

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, *args):
        return self.f(*args)


def close(found, wanted, name=""):
    wanted = [w for w in torch.utils._pytree.tree_leaves(wanted) if isinstance(w, torch.Tensor)]
    found = [f for f in torch.utils._pytree.tree_leaves(found) if isinstance(f, an.Tensor)]
    assert len(found) == len(wanted)
    for i, (f, w) in enumerate(zip(found, wanted)):
        w, f = w.detach(), f.numpy()
        assert f.shape == tuple(w.shape), (name, i)
        assert str(f.dtype) == str(w.dtype).removeprefix("torch."), (name, i)
        w = w.numpy().astype(np.float64)
        most = float(np.abs(w[np.isfinite(w)]).max(initial=0.0))
        np.testing.assert_allclose(f, w, rtol=0, atol=1e-4 * max(1.0, most), err_msg=f"{name} output {i}")


def check(module, inputs, dims=None, others=()):
    """The import and the module agree at the example's sizes, and at others."""
    module.eval()
    model = an.from_torch(module, inputs, dims)
    with torch.no_grad():
        for x in (inputs, *others):
            close(model(*x), module(*x))
    return model


def r(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


I4 = torch.tensor([1, 0, 3, 2])
# name: (function, inputs). Each function returns several results, so that one export covers many ops.
FUNCTIONS = {
    "unary": (lambda x: (x.exp(), x.sigmoid().log(), (x * x).sqrt(), x.tanh(), x.erf(), (x.abs() + 1).reciprocal(), (x * x + 1).rsqrt(), x.sin(), x.cos(),
                         x.atan(), x.sinh(), x.cosh(), x.asinh(), (x.abs() + 1).acosh(), (x.tanh() * 0.9).atanh(), x.abs().log1p(), x.expm1(), x.floor(),
                         x.ceil(), x.round(), x.trunc(), x.sign(), x.neg(), x.abs(), x.relu(), x.isnan(), x.isinf(), x.exp2()), (r(3, 5),)),
    "activations": (lambda x: (F.gelu(x), F.gelu(x, approximate="tanh"), F.silu(x), F.mish(x), F.elu(x, 0.7), F.celu(x, 0.5), F.selu(x), F.glu(x, 1),
                               F.leaky_relu(x, 0.2), F.hardtanh(x, -0.5, 0.7), F.relu6(3 * x), F.hardswish(x), F.hardsigmoid(x), F.softplus(x),
                               F.logsigmoid(x), F.softsign(x), F.tanhshrink(x), F.hardshrink(x), F.softshrink(x), F.threshold(x, 0.1, 2.0)), (r(3, 6),)),
    "arithmetic": (lambda x, y: (x + y, x - 2 * y, 1 - x, x * y, x / (y.abs() + 1), torch.add(x, y, alpha=3), x**2, x**3, x.abs() ** 0.5, x.abs() ** y,
                                 x.maximum(y), x.minimum(y), x > y, x <= 0.0, x == x, x != y, torch.remainder(x, 0.7), torch.fmod(x, 0.7), x // 0.5,
                                 x.clamp(-0.5, 0.5), x.clamp(min=0.1), torch.where(x > 0, x, y), x.masked_fill(y > 0, -1.0), torch.lerp(x, y, 0.3),
                                 torch.atan2(x, y), torch.addcmul(x, y, y, value=0.5), (x > 0) & (y > 0), ~(x > 0), (x > 0) | (y > 0)),
                   (r(3, 5), r(3, 5, seed=1))),
    "integers": (lambda i, x: (i + 1, i * 2 - i, i // 2, i % 3, -i, i.abs(), i * x, i / 2, i == 2, (i > 1).float(), i.to(torch.int32), i.clamp(1, 2), i.sum(),
                               i.max(), (i > 0).sum(), (i > 0).any(), (i > 9).all(), i.float().long(), x.to(torch.int64), torch.where(i > 1, i, -i),
                               i & 1, (i > 1) * x), (I4, r(4))),
    "shapes": (lambda x: (x.view(2, -1), x.reshape(4, 6), x.permute(2, 0, 1), x.transpose(1, 2), x.unsqueeze(-1), x.unsqueeze(1).squeeze(1), x.flatten(1),
                          x.unflatten(2, (2, -1)), x[:, 1:], x[..., ::2], x[:, -1], x[0], x[:, None, :2], x.narrow(2, 1, 2), *x.split(2, 1), *x.chunk(2, 2),
                          *x.unbind(0), torch.cat([x, x], 1), torch.stack([x, -x], 1), x.repeat(2, 1, 3), x.repeat_interleave(2, 1), x.flip(1),
                          x.roll(1, 2), x.expand(2, 2, 3, 4), x.movedim(0, 2), x[0].tril(), x[0].triu(1), x[0].t(), x.unfold(2, 2, 1)), (r(2, 3, 4),)),
    "pads": (lambda x: (F.pad(x, (1, 2)), F.pad(x, (1, 1, 2, 0), value=3.0), F.pad(x, (1, 1, 1, 1), mode="reflect"), F.pad(x, (2, 0, 0, 1), mode="replicate"),
                        F.pad(x, (0, -1)), F.pixel_shuffle(x, 2), F.pixel_unshuffle(x, 2)), (r(1, 4, 4, 6),)),
    "indexing": (lambda x, i: (x[i], x[:, i % 3], x[i, i % 3], x[:, i % 3, i % 2], x.index_select(0, i), x.gather(0, i[:, None, None].expand(4, 3, 2)),
                               torch.zeros(4, 4).scatter(1, i[:, None], 1.0), x.scatter_add(0, i[:, None, None].expand(4, 3, 2), x),
                               F.one_hot(i, 4), x.index_add(0, i, x), x.index_put((i,), x), torch.take_along_dim(x, i[:, None, None] % 3, 1)),
                 (r(4, 3, 2), I4)),
    "reductions": (lambda x: (x.sum(), x.sum(1), x.mean((1, 2), keepdim=True), x.amax(2), x.amin(0), x.max(), x.min(1).values, *x.max(2), x.argmax(1),
                              x.argmin(), x.prod(2), x.var(1), x.std((1, 2)), x.var(2, unbiased=False), *torch.var_mean(x, 2), x.logsumexp(1), x.norm(dim=1),
                              x.norm(p=1, dim=2), F.normalize(x), x.cumsum(1), x.cumprod(2), *x.topk(2, 2), *x.sort(1), x.argsort(2, descending=True),
                              (x > 0).any(1), (x > 0).all(2), F.cosine_similarity(x, x + 1)), (r(2, 3, 4),)),
    "products": (lambda x, y, v: (x @ y, torch.bmm(x, y), x[0] @ y[0], x @ v, v @ y[0], v.dot(v), torch.addmm(x[0], x[0], y[0], beta=0.5, alpha=2.0),
                                  torch.baddbmm(x, x, y), torch.einsum("bij,bkj->bik", x, y), F.linear(x, y[0], v), torch.mv(x[0], v)),
                 (r(2, 4, 4), r(2, 4, 4, seed=1), r(4, seed=2))),
    "normalize": (lambda x, w: (F.softmax(x, 1), F.log_softmax(x, -1), F.layer_norm(x, (4,), w, w), F.rms_norm(x, (4,), w), F.group_norm(x, 3),
                                F.instance_norm(x), F.batch_norm(x, w[:3], w[1:].abs()), F.layer_norm(x, (3, 4))), (r(2, 3, 4), r(4, seed=1))),
    "pools": (lambda x: (F.max_pool2d(x, 2), F.max_pool2d(x, 3, 2, 1), *F.max_pool2d(x, 2, return_indices=True), F.avg_pool2d(x, 3, 2, 1),
                         F.avg_pool2d(x, 2, count_include_pad=False), F.adaptive_avg_pool2d(x, 1), F.adaptive_avg_pool2d(x, (3, 2)),
                         F.adaptive_max_pool2d(x, 2), F.max_pool1d(x[0], 2), F.avg_pool1d(x[0], 2), F.lp_pool2d(x, 2, 2),
                         F.max_pool3d(x, 2), F.max_pool2d(x, 3, 2, ceil_mode=True)), (r(2, 4, 7, 8),)),
    "resampling": (lambda x: (F.interpolate(x, scale_factor=2), F.interpolate(x, size=(5, 9)), F.interpolate(x, scale_factor=1.5, mode="bilinear"),
                              F.interpolate(x, size=(9, 7), mode="bilinear", align_corners=True), F.interpolate(x, size=(9, 7), mode="bicubic"),
                              F.interpolate(x[0], size=9, mode="linear")), (r(2, 3, 4, 6),)),
    "attention": (lambda q, k, m: (F.scaled_dot_product_attention(q, q, q), F.scaled_dot_product_attention(q, q, q, is_causal=True),
                                   F.scaled_dot_product_attention(q, k, k, attn_mask=m), F.scaled_dot_product_attention(q, k, k, attn_mask=m > 0, scale=0.3)),
                  (r(2, 4, 5, 8), r(2, 4, 6, 8, seed=1), r(5, 6, seed=2))),
    "creation": (lambda x: (torch.arange(3), torch.arange(1, 9, 2), torch.full((2, 2), 1.5), torch.zeros(2), torch.ones_like(x), x.new_zeros(3), torch.eye(3),
                            torch.linspace(0, 1, 5), torch.full_like(x, 2.0), x + torch.tensor([1.0, 2.0]),
                            torch.zeros_like(x, dtype=torch.int64)), (r(3, 2),)),
    "in place": (lambda x: _in_place(x), (r(3, 4),)),
}  # fmt: skip


def _in_place(x):
    y = x * 2
    y += 1
    y[:, 1:3] = 0.5
    y[0].mul_(3)
    y[:, 0] = x[:, 0]
    return y.relu_(), F.dropout(y, 0.5, False)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    f, inputs = FUNCTIONS[name]
    check(Of(f), inputs)


class Beside(nn.Module):
    """Layers beside each other: one export for all of them."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, *inputs):
        return [layer(x) for layer, x in zip(self.layers, inputs if len(inputs) > 1 else inputs * len(self.layers))]


LAYERS = (
    (nn.Conv1d(4, 6, 3, 2, 1), r(2, 4, 9)), (nn.Conv1d(4, 4, 3, padding="same", groups=4), r(2, 4, 9)),
    (nn.Conv2d(4, 6, 3, (1, 2), 1, groups=2, dilation=2), r(2, 4, 9, 8)), (nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), r(2, 4, 6, 5)),
    (nn.Conv3d(2, 3, 2), r(1, 2, 4, 5, 4)), (nn.ConvTranspose1d(4, 3, 3, 2), r(2, 4, 5)), (nn.ConvTranspose2d(4, 4, 3, 2, 1, 1, groups=2), r(2, 4, 5, 4)),
    (nn.Conv2d(3, 2, 3), r(3, 6, 6)), (nn.PReLU(4), r(2, 4, 3)), (nn.Embedding(9, 4, padding_idx=0), torch.tensor([[1, 0, 8]])),
    (nn.Upsample(scale_factor=2, mode="bilinear"), r(1, 2, 3, 3)), (nn.Linear(3, 2), r(3)),
)  # fmt: skip


def test_layers():
    check(Beside(*[layer for layer, _ in LAYERS]), tuple(x for _, x in LAYERS))


def test_recurrent():
    """Any number of steps: a layer is one node, not a loop that torch.export has run through."""
    lstm = {"batch_first": True}
    net = Beside(nn.LSTM(5, 6, 2, bidirectional=True, **lstm), nn.LSTM(5, 6, proj_size=3, **lstm), nn.GRU(5, 6, bias=False, **lstm),
                 nn.RNN(5, 6, nonlinearity="relu", **lstm), nn.RNN(5, 6, bidirectional=True))  # fmt: skip
    model = check(net, (r(2, 7, 5),), [{0: "batch", 1: "time"}], [(r(1, 4, 5),), (r(3, 11, 5),)])
    assert model.general is not None
    kinds = [n.op for n in model.graph.nodes() if n.op in ("lstm", "gru", "rnn")]
    assert sorted(kinds) == ["gru", "lstm", "lstm", "lstm", "rnn", "rnn"]
    with torch.no_grad():
        net(r(1, 3, 5))  # torch's own layers still run


class Residual(nn.Module):
    def __init__(self, n, stride=1):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(n, 2 * n, 3, stride, 1, bias=False), nn.BatchNorm2d(2 * n)
        self.conv2, self.bn2 = nn.Conv2d(2 * n, 2 * n, 3, 1, 1, bias=False), nn.BatchNorm2d(2 * n)
        self.down = nn.Sequential(nn.Conv2d(n, 2 * n, 1, stride, bias=False), nn.BatchNorm2d(2 * n))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        y += self.down(x)
        return F.relu(y, inplace=True)


class Crnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
        self.rnn, self.head = nn.LSTM(32, 6, bidirectional=True, batch_first=True), nn.Linear(12, 10)

    def forward(self, x):
        y = self.features(x)
        y = y.permute(0, 3, 1, 2).flatten(2)
        return self.head(self.rnn(y)[0]).log_softmax(-1)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.lstm, self.head = nn.Embedding(20, 8), nn.LSTM(8, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, ids):
        y, (h, c) = self.lstm(self.words(ids))
        return {"logits": self.head(h[-1]), "places": torch.arange(ids.shape[1]), "last": (y[:, -1], c)}


def _settle(module):
    """Running statistics that are not 0 and 1."""
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.uniform_(-0.5, 0.5)
            m.running_var.uniform_(0.5, 2.0)
    return module


def test_residual_network():
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)
    net = _settle(nn.Sequential(nn.Conv2d(3, 4, 7, 2, 3), nn.MaxPool2d(3, 2, 1), Residual(4), Residual(8, 2), *head))
    model = check(net, (r(1, 3, 32, 32),), {0: "batch"}, [(r(3, 3, 32, 32),)])
    assert model.general is not None
    assert not any(n.op == "batch_norm_infer" for n in model.general.lowered.nodes())  # the passes put them into the convolutions


def test_transformer_encoder():
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu")
    net = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(16), enable_nested_tensor=False)
    model = check(net, (r(2, 7, 16),), {0: "batch", 1: an.Dim("time", upper=64)}, [(r(1, 5, 16),), (r(3, 20, 16),)])
    assert model.general is not None
    assert torch.backends.mha.get_fastpath_enabled()


def test_crnn():
    model = check(_settle(Crnn()), (r(1, 1, 8, 12),), {0: "batch"}, [(r(2, 1, 8, 12),)])
    assert model.general is not None


def test_lstm_classifier_returns_what_the_module_returns():
    ids = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    model = check(Classifier(), (ids,), {0: "batch", 1: "time"}, [(torch.tensor([[3, 1, 19]]),)])
    found = model(ids)
    assert list(found) == ["logits", "places", "last"] and isinstance(found["last"], tuple)
    assert model.run({"ids": ids})["output_0"].shape == (2, 3)
    assert model.report(ids)


def test_shapes_that_torch_will_not_leave_open():
    """A pool that rounds up looks at its input's size: there is a program, and a Plan, for each."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2, 2, ceil_mode=True))
    model = check(net, (r(2, 1, 8, 9),), {0: "batch", 2: "height"}, [(r(1, 1, 11, 9),), (r(2, 1, 8, 9),)])
    assert model.general is None and "height" in model.why and len(model.plans) == 2


def test_a_cache_that_grows_is_one_plan():
    """torch's export gives up on the layout of keys that several heads share, of any length; that its doubt is groundless is proven."""
    grown = Of(lambda x, past: torch.stack([torch.cat((p, x.view(1, 1, 3, 4).transpose(1, 2)), 2).repeat_interleave(2, 1) for p in past]))
    model = check(grown, (r(1, 1, 12), r(2, 1, 3, 5, 4)), [{}, {3: "past"}], [(r(1, 1, 12, seed=n), r(2, 1, 3, n, 4)) for n in (1, 2, 6, 31)])
    assert model.general is not None


def test_a_branch_on_a_size_is_taken_for_each():
    branch = Of(lambda x: x * 2 if x.shape[0] % 4 else x.reshape(-1, 4).sum(1))
    assert check(branch, (r(16, 3),), {0: "n"}, [(r(7, 3),), (r(8, 3),), (r(5, 3),)]).general is None


def test_several_inputs_and_named_ones():
    class Masked(nn.Module):
        def forward(self, x, mask, scale=1.0):
            return (x * scale).masked_fill(mask[:, :, None] == 0, 0.0).sum(1)

    x, mask = r(2, 5, 3), torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    net = Masked()
    both = {0: "batch", 1: "time"}
    check(net, (x, mask), [both, both], [(r(4, 2, 3), torch.ones(4, 2, dtype=torch.int64))])
    model = an.from_torch(net, {"x": x, "mask": mask}, {"x": both, "mask": both})
    close(model(mask=mask, x=x), net(x, mask))
    model = an.from_torch(net, (x, mask, 2.0))
    close(model(x, mask, 2.0), net(x, mask, 2.0))
    with pytest.raises(an.core.errors.AttributeValueError, match="3.0"):
        model(x, mask, 3.0)
    with pytest.raises(an.core.errors.ShapeError, match="'maks'"):
        model(x, maks=mask)


def test_exported_program():
    net = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
    program = torch.export.export(net, (r(2, 4),), dynamic_shapes=({0: torch.export.Dim("batch", max=8)},))
    model = an.from_torch(program, None)
    close(model(r(5, 4)), net(r(5, 4)))
    with pytest.raises(an.Error, match="8"):
        model(r(9, 4))


def test_half_precision():
    net = nn.Sequential(nn.Linear(8, 6), nn.ReLU()).bfloat16()
    found = an.from_torch(net, r(2, 8).bfloat16())(an.tensor(r(2, 8).numpy(), "bfloat16"))
    wanted = net(r(2, 8).bfloat16()).float().detach().numpy()
    assert found.dtype == an.bfloat16
    np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=2**-8 * np.abs(wanted).max())


def test_state_from_torch_and_safetensors(tmp_path):
    from safetensors.torch import save_file

    theirs, ours = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), an.nn.Sequential(an.nn.Linear(4, 3), an.nn.BatchNorm1d(3))
    ours.load_state_dict(dict(theirs.named_parameters()), strict=False)  # Parameters, which require gradients
    np.testing.assert_array_equal(ours.state_dict()["0.weight"], theirs[0].weight.detach().numpy())
    nn.init.normal_(theirs[0].weight)
    state = {k: v.bfloat16() if k == "0.weight" else v for k, v in theirs.state_dict().items()}
    ours.load_state_dict(state)
    np.testing.assert_array_equal(ours.state_dict()["0.weight"], theirs[0].weight.detach().bfloat16().float().numpy())
    save_file(state | {"unused": torch.zeros(2)}, tmp_path / "a.safetensors")
    ours.load_state_dict(an.nn.Sequential(an.nn.Linear(4, 3), an.nn.BatchNorm1d(3)).state_dict())
    ours.load_state_dict(tmp_path / "a.safetensors", strict=False)
    np.testing.assert_array_equal(ours.state_dict()["0.weight"], theirs[0].weight.detach().bfloat16().float().numpy())
    with pytest.raises(an.Error, match="unused"):
        ours.load_state_dict(str(tmp_path / "a.safetensors"))
    ours.save(tmp_path / "b.safetensors")
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in ours.state_dict().items()})
    from safetensors.torch import load_file

    assert theirs.state_dict().keys() == load_file(tmp_path / "b.safetensors").keys()
    (tmp_path / "c.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(an.Error, match="not a sound safetensors file"):
        ours.load_state_dict(tmp_path / "c.safetensors")


def test_save_and_load(tmp_path):
    net = nn.Sequential(nn.Linear(6, 4), nn.ReLU())
    model = an.from_torch(net, r(2, 6), {0: "batch"})
    model.save(tmp_path / "net.accel")
    close(an.load(tmp_path / "net.accel")(r(5, 6).numpy()), net(r(5, 6)))


def test_weights_are_shared_and_the_module_is_left_alone():
    net = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    net[1].eval()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    model = an.from_torch(net, r(2, 6))
    assert [m.training for m in net] == [True, False, True] and net.training
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    places = {n.data.numpy().__array_interface__["data"][0] for n in model.graph.nodes() if n.op == "constant"}
    assert {net[0].weight.data_ptr(), net[0].bias.data_ptr(), net[1].running_mean.data_ptr()} <= places


def test_refusals():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Of(lambda x: torch.fft.rfft(x).real)

        def forward(self, x):
            return self.inner(x)

    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, x):
            self.calls += 1
            return x * self.calls

    with pytest.raises(an.core.errors.UnsupportedError, match=r"aten.\w+.default in 'inner'.*formats.torch.register\('aten.\w+'?"):
        an.from_torch(Odd(), r(2, 8), {0: "batch"})
    with pytest.raises(an.core.errors.UnsupportedError, match="writes 'calls'"):
        an.from_torch(Counts(), r(2))
    with pytest.raises(an.core.errors.DTypeError, match="float64"):
        an.from_torch(nn.Linear(2, 2).double(), r(1, 2).double())
    with pytest.raises(an.core.errors.UnsupportedError, match="mask"):
        an.from_torch(Of(lambda x: x.index_put((x > 0,), x[:2].repeat(2)[:1].expand(3), accumulate=True)), r(3))
    with pytest.raises(an.core.errors.UnsupportedError, match="torch.export refuses"):
        an.from_torch(Of(lambda x: x if x.sum() > 0 else -x), r(3))
    with pytest.raises(an.Error, match="torch.nn.Module"):
        an.from_torch(lambda x: x, r(3))


def test_operations_without_a_handler_come_in_torchs_definitions():
    class Cells(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.conv = nn.LSTMCell(3, 4), nn.utils.parametrizations.weight_norm(nn.Conv1d(2, 2, 3))

        def forward(self, x, y):
            return self.lstm(x), self.conv(y), torch.outer(x[0], x[0])

    check(Cells(), (r(2, 3), r(2, 2, 5)))


def test_a_handler_can_be_taught():
    from accelnn.formats.torch.call import HANDLERS

    net = Of(lambda x: torch.special.i0(x))
    with pytest.raises(an.core.errors.UnsupportedError, match="register"):
        an.from_torch(net, r(3))
    from accelnn.formats.torch import register

    @register("aten.special_i0", "aten.i0")
    def _(c, self):
        return self * 2.0

    try:
        close(an.from_torch(net, r(3))(r(3)), r(3) * 2)
    finally:
        for name in ("aten.special_i0.default", "aten.i0.default"):
            HANDLERS.pop(name)
