"""Graphs written as ONNX files: every op by its own samples, whole networks, sizes that are known only when it runs; onnxruntime and our own reader answer."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn import nn
from accelnn.core.dims import Dim, Size
from accelnn.core.dtypes import BFLOAT16, as_dtype
from accelnn.core.errors import Error, UnsupportedError
from accelnn.core.graph import Graph, Node, Spec, Value, rewrite
from accelnn.core.registry import OPS
from accelnn.core.tensor import apply
from accelnn.core.trace import trace
from accelnn.ops.dynamic import exact

from ..conftest import need_module
from ..contracts.contract import float64
from ..graph import test_flow as flows

need_module("onnx")
need_module("onnxruntime")
import onnx  # noqa: E402
import onnxruntime  # noqa: E402

from accelnn.formats.onnx.writer import to_onnx, write  # noqa: E402

LEDGER = [op for line in tomllib.loads((Path(__file__).parents[1] / "ledger.toml").read_text())["no_onnx"] for op in line["ops"]]
TRUTH: dict[str, Any] = {"dynamic_qmatmul": exact}  # its reference does not round the rows to bytes
SAMPLES = 2  # an op
MOST = 20_000  # elements
STATES = {"layer_norm": 1, "rms_norm": 1, "attention": 1, "rnn": 2, "gru": 2, "lstm": 3}  # results that are not kept for a gradient only


def session(proto: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")  # left alone it rounds activations to int8 beside weights of four bits
    return onnxruntime.InferenceSession(proto if isinstance(proto, str) else proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def alone(op: Any, arrays: Any, attrs: dict[str, Any]) -> Graph:
    """A graph of one node, all of whose operands are inputs."""
    sources = [None if a is None else Node("input", (), {}, (Spec(a.shape, as_dtype(a.dtype)),)) for a in arrays]
    outputs = op.specs([None if n is None else n.outputs[0] for n in sources], attrs)
    node = Node(op.name, [None if n is None else Value(n) for n in sources], attrs, outputs, f"layer.{op.name}")
    return Graph([n for n in sources if n is not None], [Value(node, i) for i in range(STATES.get(op.name, len(outputs)))])


def candidates(op: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Samples that onnxruntime can be asked about: no bfloat16, which numpy lacks, and nothing without elements, at which some of its kernels fall over (GRU)
    or read what nobody wrote (MatMulInteger)."""
    for arrays, attrs in op.samples():
        found = tuple(a if a is None else np.asarray(a) for a in arrays)
        given = [a for a in found if a is not None]
        if all(a.dtype != BFLOAT16 and a.size for a in given) and sum(a.size for a in given) <= MOST:
            yield found, attrs


def close(got: np.ndarray, want: Any) -> None:
    """Integers exactly; floats within 1e-4, or 1e-5 of the largest."""
    want = np.asarray(want)
    assert got.shape == want.shape
    if got.dtype.kind in "iub":
        assert (got == want.astype(got.dtype)).all()
        return
    wide = want.astype(np.float64)
    np.testing.assert_allclose(got.astype(np.float64), wide, rtol=1e-4, atol=1e-5 * max(1.0, float(np.abs(wide[np.isfinite(wide)]).max(initial=0.0))))


@pytest.mark.parametrize("name", [n for n, op in OPS.items() if n not in LEDGER and n != "cast" and op.samples is not tuple])
def test_every_op(name: str, tmp_path: Path) -> None:
    op, tried = OPS[name], 0
    for arrays, attrs in candidates(op):
        graph = alone(op, arrays, attrs)
        try:
            write(graph, tmp_path / "net.onnx")
        except UnsupportedError as refusal:
            assert name in str(refusal) or f"{name}_grad" in name
            continue
        found = TRUTH[name](*arrays, **attrs) if name in TRUTH else op.reference(*[float64(a) for a in arrays], **attrs)
        truth = (found if isinstance(found, tuple) else (found,))[: len(graph.outputs)]
        feed = dict(zip(graph.input_names(), (a for a in arrays if a is not None)))
        results = session(str(tmp_path / "net.onnx")).run(None, feed)
        again = an.load(tmp_path / "net.onnx").run(feed)
        for value, port, got, want in zip(graph.outputs, graph.output_names(), results, truth, strict=True):
            assert got.dtype == value.spec.dtype.storage
            close(got, want)
            close(again[port].numpy(), want)
        tried += 1
        if tried == SAMPLES:
            break
    assert tried, "no sample could be written: a line in ledger.toml's no_onnx?"


def test_the_ledger_says_what_is_refused() -> None:
    """And names nothing that could be written."""
    for name in LEDGER:
        for arrays, attrs in list(candidates(OPS[name]))[:3]:
            with pytest.raises(UnsupportedError, match=rf"layer\.{name}"):
                to_onnx(alone(OPS[name], arrays, attrs))


@pytest.mark.parametrize("dtype", ["float16", "int8", "uint8", "int32", "int64", "bool"])
def test_cast(dtype: str, tmp_path: Path) -> None:
    x = np.array([-2.5, -1.0, 0.0, 1.5, 100.0], np.float32)[1 if dtype == "uint8" else 0 :] * (0 if dtype == "uint8" else 1)
    write(alone(OPS["cast"], (x,), {"dtype": dtype}), tmp_path / "net.onnx")
    (got,) = session(str(tmp_path / "net.onnx")).run(None, {"input": x})
    assert got.dtype == np.dtype(dtype) and (got == x.astype(dtype)).all()


class Block(nn.Module):
    """Two convolutions with BatchNorm around a shortcut."""

    def __init__(self, c: int, out: int, stride: int) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(c, out, 3, stride, 1, bias=False), nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.na, self.nb = nn.BatchNorm2d(out), nn.BatchNorm2d(out)
        self.way = nn.Conv2d(c, out, 1, stride) if stride > 1 or c != out else None

    def forward(self, x: Any) -> Any:
        y = self.nb(self.b(self.na(self.a(x)).relu()))
        return (y + (x if self.way is None else self.way(x))).relu()


class Directions(nn.Module):
    """A GRU over tokens, both ways, and what it thinks of the last one."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.rnn, self.out = nn.Embedding(50, 8), nn.GRU(8, 12, batch_first=True, bidirectional=True), nn.Linear(24, 3)

    def forward(self, x: Any) -> Any:
        y, _ = self.rnn(self.words(x))
        return self.out(y[:, -1])


def lenet() -> Any:
    return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))  # fmt: skip


def resnet() -> Any:
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), Block(8, 8, 1), Block(8, 16, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


NETS: dict[str, Any] = {
    "lenet": (lenet, (1, 28, 28)), "resnet": (resnet, (3, 16, 16)),
    "encoder": (lambda: nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu"), (6, 16)), "bigru": (Directions, (7,)),
}  # fmt: skip


def draw(shape: tuple[int, ...], batch: int) -> np.ndarray:
    rng = np.random.default_rng(batch)
    return rng.integers(0, 50, (batch, *shape)) if shape == (7,) else rng.normal(size=(batch, *shape)).astype(np.float32)


@pytest.mark.parametrize("name", NETS)
def test_networks_with_any_batch(name: str, tmp_path: Path) -> None:
    make, shape = NETS[name]
    net = make()
    net.eval()
    an.save_onnx(net, tmp_path / "net.onnx", draw(shape, 2))
    theirs, ours = session(str(tmp_path / "net.onnx")), an.load(tmp_path / "net.onnx")
    assert theirs.get_inputs()[0].shape[0] == "N" and ours.general is not None
    for batch in (1, 2, 5):
        x = draw(shape, batch)
        want = an.freeze(net, x)(x).numpy()
        close(theirs.run(None, {"input": x})[0], want)
        close(ours(x).numpy(), want)


def test_a_model_is_saved_by_its_suffix_and_twice_through_onnx(tmp_path: Path) -> None:
    x = draw((1, 28, 28), 3)
    model = an.freeze(lenet(), x)
    model.save(tmp_path / "a.onnx")
    an.load(tmp_path / "a.onnx").save(tmp_path / "b.onnx")
    close(an.load(tmp_path / "b.onnx")(x).numpy(), model(x).numpy())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.onnx", "b.onnx"]


def test_what_passes_joined_is_written(tmp_path: Path) -> None:
    """A `.accel` file has the graph that runs: its chains of elements are one op, its weights packed."""
    x = draw((6, 16), 3)
    net = NETS["encoder"][0]()
    net.eval()
    model = an.freeze(net, x)
    model.save(tmp_path / "net.accel")
    stored = an.load(tmp_path / "net.accel")
    chain = an.freeze(lambda t: ((t * 2.0 + 1.0).exp() > t.sigmoid()).float() - t, x)
    assert any(n.op == "pointwise" for n in chain.lowered.nodes()) and any(n.attrs.get("packed") for n in stored.graph.nodes())
    for graph, want in ((stored.graph, model(x)), (chain.lowered, chain(x))):
        write(graph, tmp_path / "net.onnx")
        names = {t.name for t in onnx.load(tmp_path / "net.onnx").graph.initializer}
        assert names <= {i for n in onnx.load(tmp_path / "net.onnx").graph.node for i in n.input}
        close(session(str(tmp_path / "net.onnx")).run(None, {"input": x})[0], want.numpy())


def test_weights_beside_the_file(tmp_path: Path) -> None:
    x = draw((1, 28, 28), 2)
    model = an.freeze(lenet(), x)
    an.save_onnx(model, tmp_path / "net.onnx", external_over=1000)
    assert (tmp_path / "net.onnx.data").stat().st_size > 200_000 > (tmp_path / "net.onnx").stat().st_size
    for y in (session(str(tmp_path / "net.onnx")).run(None, {"input": x})[0], an.load(tmp_path / "net.onnx")(x).numpy()):
        close(y, model(x).numpy())


def test_a_quantized_network_gives_the_same_numbers(tmp_path: Path) -> None:
    """Integers and the same float32 operations: the same bits."""
    x = draw((1, 28, 28), 8)
    model = an.compress(lenet(), x, quiet=True)
    model.save(tmp_path / "net.onnx")
    for y in (session(str(tmp_path / "net.onnx")).run(None, {"input": x})[0], an.load(tmp_path / "net.onnx")(x).numpy()):
        assert (y == model(x).numpy()).all()


@pytest.mark.parametrize("packed", ["float32", "int8"])
def test_packed_weights_are_written_as_they_were(packed: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    w, x = an.tensor(rng.normal(size=(20, 9)).astype(np.float32)), rng.normal(size=(3, 20)).astype(np.float32)
    if packed == "float32":
        panels = an.pack(w)
        model = an.freeze(lambda a: a @ panels, x)
    else:
        q, step = an.quantize_weight(w)
        laid = OPS["matmul_pack"].call(q)
        model = an.freeze(lambda a: OPS["dynamic_qmatmul"].call(a, laid, step, packed=1), x)
    model.save(tmp_path / "net.onnx")
    close(session(str(tmp_path / "net.onnx")).run(None, {"input": x})[0], model(x).numpy())


@pytest.mark.parametrize("zero_points", [0, 1])
def test_weights_of_four_bits_stay_it(zero_points: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    q, scales, zeros = rng.integers(0, 16, (9, 70)).astype(np.uint8), rng.uniform(0.01, 0.1, (9, 3)).astype(np.float32), rng.integers(0, 16, (9, 3))
    laid = OPS["matmul_int4_pack"].call(q, scales, *([zeros.astype(np.uint8)] if zero_points else []), group=32)
    x = rng.normal(size=(5, 70)).astype(np.float32)
    model = an.freeze(lambda a: OPS["matmul_int4"].call(a, laid, columns=9, group=32, zero_points=zero_points), x)
    model.save(tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").stat().st_size < 2500 < 9 * 70 * 4 + 1000
    close(session(str(tmp_path / "net.onnx")).run(None, {"input": x})[0], model(x).numpy())


@pytest.mark.parametrize("opset", [22, 23])
def test_newer_opsets(opset: int, tmp_path: Path) -> None:
    x = draw((6, 16), 2)
    net = NETS["encoder"][0]()
    net.eval()
    an.save_onnx(net, tmp_path / "net.onnx", x, opset=opset)
    close(session(str(tmp_path / "net.onnx")).run(None, {"input": x})[0], net(an.tensor(x)).numpy())


def test_sizes_are_computed_from_the_inputs(tmp_path: Path) -> None:
    """[N, 4, 6] -> [2 N, 12] -> the mean of N rows at a time."""
    model = an.freeze(lambda x: x.reshape(2, x.shape[0], 12).mean(1).expand(x.shape[0], 2, 12) + 1.0, np.ones((3, 4, 6), np.float32))
    model.save(tmp_path / "net.onnx")
    for n in (1, 3, 4):
        x = draw((4, 6), n)
        close(session(str(tmp_path / "net.onnx")).run(None, {"input": x})[0], model(x).numpy())


def picture(x: Any) -> Any:
    """Of any size: halved, pooled, doubled again, and what stands in each place against the whole."""
    y = nn.functional.conv2d(x, an.ones(4, 3, 3, 3), stride=2, padding=1)
    y = nn.functional.interpolate(nn.functional.avg_pool2d(y, 2), scale_factor=2.0, mode="bilinear")
    return y - y.mean((2, 3), keepdim=True), y.reshape(y.shape[0], 4, -1).max(2)


def sentence(x: Any) -> Any:
    """Of any length: four heads of queries that share two of keys, none sees what comes behind it."""
    b, n, _ = x.shape
    q, k = x.reshape(b, n, 4, 4).transpose(1, 2), x.reshape(b, n, 4, 4).transpose(1, 2)[:, :2]
    y = nn.functional.scaled_dot_product_attention(q, k, k, is_causal=True, enable_gqa=True)
    both = an.cat([y.transpose(1, 2).reshape(b, n, 16), x], 1)
    return apply("slice", both, axis=1, start=1, length=2 * n - 2, step=1), x, x


OPEN: Any = [(picture, ("N", 3, "H", "W"), ((1, 3, 16, 24), (2, 3, 9, 31))), (sentence, ("N", "T", 16), ((1, 5, 16), (3, 11, 16)))]


@pytest.mark.parametrize("f, shape, sizes", OPEN)
def test_every_size_that_is_not_known(f: Any, shape: Any, sizes: Any, tmp_path: Path) -> None:
    spec = Spec(tuple(s if isinstance(s, int) else Size.of(Dim(s, hint=14)) for s in shape), as_dtype("float32"))
    with an.no_grad():
        graph, _, _ = trace(f, [spec])
    graph = rewrite(graph, lambda n, _: [Value(Node("constant", (), {}, n.outputs, data=n.data))] if n.op == "state" else None)
    write(graph, tmp_path / "net.onnx")
    theirs, ours = session(str(tmp_path / "net.onnx")), an.load(tmp_path / "net.onnx")
    for size in sizes:
        x = np.random.default_rng(0).normal(size=size).astype(np.float32)
        for got, again, want in zip(theirs.run(None, {"input": x}), ours(x), f(an.tensor(x)), strict=True):
            close(got, want.numpy())
            close(again.numpy(), want.numpy())


def test_what_cannot_be_written_says_so(tmp_path: Path) -> None:
    x = draw((1, 28, 28), 1)
    with pytest.raises(UnsupportedError, match="cumprod"):
        an.freeze(lambda t: an.cumprod(t, 1), x).save(tmp_path / "net.onnx")
    with pytest.raises(Error, match="21 to 23"):
        an.save_onnx(an.freeze(lenet(), x), tmp_path / "net.onnx", opset=9)
    with pytest.raises(Error, match="example"):
        an.save_onnx(lenet(), tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()


def test_branches_and_loops(tmp_path: Path) -> None:
    """Out, by onnxruntime, and in again."""
    for case in flows.CASES:
        m = flows.one(case.f, *case.specs)
        write(m.graph, tmp_path / "net.onnx")
        runtime, again = session(str(tmp_path / "net.onnx")), an.load(tmp_path / "net.onnx")
        feed = {name: array for (name, _), array in zip(m.inputs, case.feed)}
        for got, want, (port, _) in zip(runtime.run(None, feed), case.wanted, m.outputs, strict=True):
            close(got, want)
            close(again.run(feed)[port].numpy(), want)
        assert any(n.is_flow for n in again.general.lowered.nodes())
