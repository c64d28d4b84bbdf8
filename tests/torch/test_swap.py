"""accelerate() and restore()."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import pytest

from ..conftest import need_module

need_module("torch")

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.utils import parametrizations  # noqa: E402

import accelnn.torch as ant  # noqa: E402
from accelnn.torch.layers import AcceleratedLinear  # noqa: E402


@pytest.fixture(autouse=True)
def _fresh() -> None:
    torch.manual_seed(0)
    ant.fallbacks(reset=True)


def mlp() -> Any:
    return nn.Sequential(nn.Linear(20, 64), nn.GELU(), nn.Sequential(nn.Linear(64, 64), nn.ReLU()), nn.ModuleDict({"head": nn.Linear(64, 5)})["head"])


def snapshot(model: Any) -> Any:
    return {name: (id(m), type(m), {k: id(p) for k, p in m._parameters.items()}, sorted(m.__dict__)) for name, m in model.named_modules()}


def test_an_mlp_there_and_back() -> None:
    model, x = mlp(), torch.randn(7, 20)
    before, state, expected = snapshot(model), copy.deepcopy(model.state_dict()), model(x).detach()
    parameters = [id(p) for p in model.parameters()]
    calls: list[str] = []
    model[0].register_forward_hook(lambda *_: calls.append("hook"))
    before[""], before["0"] = snapshot(model)[""], snapshot(model)["0"]
    report = ant.accelerate(model)
    assert report.replaced == ("0", "2.0", "3") and not report.left and "3 of 3" in str(report)
    assert [id(p) for p in model.parameters()] == parameters and list(model.state_dict()) == list(state)
    torch.testing.assert_close(model(x), expected)
    model(x).sum().backward()
    with torch.no_grad():
        for _ in range(3):
            torch.testing.assert_close(model(x), expected)
    assert calls == ["hook"] * 5 and not ant.fallbacks()
    assert set(ant.accelerate(model).left.values()) == {"is accelnn's already"}
    assert ant.restore(model) == ("0", "2.0", "3")
    assert snapshot(model) == before and ant.restore(model) == ()
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), state.values()))
    assert torch.equal(model(x), expected), "torch's own bits again"


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_a_transformer(norm_first: bool, training: bool) -> None:
    layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, norm_first=norm_first)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).train(training)
    x = torch.randn(3, 9, 32)
    expected = model(x).detach()
    report = ant.accelerate(model)
    assert report.replaced == ("layers.0.linear1", "layers.0.linear2", "layers.1.linear1", "layers.1.linear2")
    assert report.left == {f"layers.{i}.self_attn.out_proj": "attention reads its weight and never calls it" for i in (0, 1)}
    torch.testing.assert_close(model(x), expected)
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected)
    model(x).square().mean().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert not ant.fallbacks()


def test_what_is_left_and_why() -> None:
    class Own(nn.Linear):
        pass

    patched = nn.Linear(3, 3)
    patched.forward = lambda x: x  # type: ignore[method-assign]
    model = nn.ModuleDict({
        "own": Own(3, 3), "half16": nn.Linear(3, 3).half(), "on_meta": nn.Linear(3, 3, device="meta"), "lazy": nn.LazyLinear(3), "patched": patched,
        "normed": parametrizations.weight_norm(nn.Linear(3, 3)), "scripted": torch.jit.script(nn.Linear(3, 3)), "ours": ant.Linear(3, 3),
        "bilinear": nn.Bilinear(3, 3, 3), "conv": nn.Conv2d(1, 1, 1), "good": nn.Linear(3, 3)})  # fmt: skip
    types = {n: type(m) for n, m in model.items()}
    report = ant.accelerate(model)
    assert report.replaced == ("good",)
    for name, why in {"own": "Own, not nn.Linear itself", "half16": "float16 on cpu", "on_meta": "on meta", "lazy": "run the model once",
                      "patched": "replaced on the instance", "normed": "remove_parametrizations", "scripted": "scripted",
                      "ours": "already"}.items():  # fmt: skip
        assert why in report.left[name], (name, report.left[name])
    assert "conv" not in report.left and "bilinear" not in report.left and "good" in str(report)
    assert ant.restore(model) == ("good",) and {n: type(m) for n, m in model.items()} == types
    model["lazy"](torch.randn(1, 4))
    assert "lazy" in ant.accelerate(model).replaced


def test_shared_layers_and_tied_weights() -> None:
    shared = nn.Linear(4, 4)
    model = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared), "tied": nn.Linear(4, 4), "embedding": nn.Embedding(4, 4)})
    model["tied"].weight = model["embedding"].weight
    report = ant.accelerate(model)
    assert report.replaced == ("a", "tied") and model["b"][0] is model["a"] is shared and type(shared) is AcceleratedLinear
    assert "the same layer as b.0" in str(report)
    assert model["tied"].weight is model["embedding"].weight
    ant.restore(model)
    assert type(shared) is nn.Linear and model["tied"].weight is model["embedding"].weight


def test_a_single_layer_and_no_layer() -> None:
    """The instance stays and its class changes: so the root is no special case."""
    layer = nn.Linear(4, 3)
    assert ant.accelerate(layer).replaced == ("",) and type(layer) is AcceleratedLinear
    assert ant.restore(layer) == ("",) and type(layer) is nn.Linear
    assert "0 of 0" in str(ant.accelerate(nn.ReLU()))
    with pytest.raises(TypeError, match="a torch.nn.Module expected, not dict"):
        ant.accelerate({})  # type: ignore[arg-type]


def test_copies_of_an_accelerated_model_can_be_restored() -> None:
    model, x = mlp(), torch.randn(2, 20)
    ant.accelerate(model, pack=False)
    expected = model(x)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(x), expected) and not other[0].pack
        assert len(ant.restore(other)) == 3 and "pack" not in other[0].__dict__
        torch.testing.assert_close(other(x), expected)


def test_compiled_after_the_swap_and_before() -> None:
    model, x = mlp(), torch.randn(2, 20)
    graphs: list[str] = []

    def backend(module: Any, inputs: Any) -> Any:
        graphs.append(module.code)
        return module.forward

    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    expected = compiled(x)
    ant.accelerate(model)
    torch.testing.assert_close(compiled(x), expected)
    ant.restore(model)
    torch.testing.assert_close(compiled(x), expected)
    assert ["accelnn.linear" in g for g in graphs[:2]] == [False, True]


def test_import_is_explicit(tmp_path: Any) -> None:
    code = "import sys, accelnn; assert 'torch' not in sys.modules; import accelnn.torch; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    (tmp_path / "torch.py").write_text("raise ImportError('broken')")
    code = "import accelnn\nfrom accelnn.core.errors import MissingExtra\ntry:\n import accelnn.torch\nexcept MissingExtra as e: print(e)"
    said = subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)}).stdout
    assert 'pip install "accelnn[torch]"' in said
