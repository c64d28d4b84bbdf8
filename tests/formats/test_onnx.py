"""ONNX files: values against onnxruntime, shapes that are computed while reading, sizes that are known only when it runs, and files that mean harm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.core.errors import Error, FormatError, UnsupportedError

from ..conftest import need_module

need_module("onnx")
import onnx  # noqa: E402
from onnx import TensorProto, helper as h  # noqa: E402

from accelnn.formats.onnx import Importer, ValueNeeded, register  # noqa: E402
from accelnn.model import Model  # noqa: E402

F32, I64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def model(nodes: list[Any], inputs: dict[str, Any], outputs: list[str], weights: dict[str, Any] | None = None, opset: int = 17, **domains: int) -> Any:
    """Inputs: name -> shape, or (shape, type)."""
    ports = [h.make_tensor_value_info(n, *((s[1], s[0]) if isinstance(s, tuple) else (F32, s))) for n, s in inputs.items()]
    graph = h.make_graph(nodes, "g", ports, [h.make_empty_tensor_value_info(o) for o in outputs],
                         [onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in (weights or {}).items()])  # fmt: skip
    return h.make_model(graph, opset_imports=[h.make_opsetid("", opset), *(h.make_opsetid(d.replace("_", "."), v) for d, v in domains.items())], ir_version=9)


def graph_of(m: Any, **how: Any) -> Any:
    return Importer(m, **how).graph()


def loaded(m: Any, folder: Path, **how: Any) -> Any:
    (folder / "m.onnx").write_bytes(m.SerializeToString())
    return an.load(folder / "m.onnx", **how)


def reshape_dance() -> Any:
    """x[batch, seq, 12] -> [batch, seq, 4, 3], as exporters write it."""
    nodes = [h.make_node("Shape", ["x"], ["s"]), h.make_node("Gather", ["s", "zero"], ["b"]), h.make_node("Gather", ["s", "one"], ["n"]),
             h.make_node("Unsqueeze", ["b", "axis"], ["b1"]), h.make_node("Unsqueeze", ["n", "axis"], ["n1"]),
             h.make_node("Concat", ["b1", "n1", "tail"], ["to"], axis=0), h.make_node("Reshape", ["x", "to"], ["r"]),
             h.make_node("Tanh", ["r"], ["y"])]  # fmt: skip
    return model(nodes, {"x": ["batch", "seq", 12]}, ["y"],
                 {"zero": np.int64(0), "one": np.int64(1), "axis": np.array([0]), "tail": np.array([4, 3])})  # fmt: skip


def test_what_shapes_are_computed_from_leaves_no_trace(tmp_path: Path) -> None:
    assert [n.op for n in graph_of(reshape_dance()).nodes() if not n.is_source] == ["reshape", "tanh"]
    m = loaded(reshape_dance(), tmp_path)
    assert m.general is not None and not m.plans
    for b, n in ((1, 2), (3, 5), (2, 0)):
        x = np.random.default_rng(b).normal(size=(b, n, 12)).astype(np.float32)
        assert np.allclose(m(x).numpy(), np.tanh(x.reshape(b, n, 4, 3)), atol=1e-6)
    assert m.run({"x": x})["y"].shape == (2, 0, 4, 3)
    with pytest.raises(Error, match="inputs"):
        m.run({"z": x})


def test_a_saved_import_is_a_model(tmp_path: Path) -> None:
    m = loaded(reshape_dance(), tmp_path)
    m.save(tmp_path / "m.accel")
    x = np.ones((2, 3, 12), np.float32)
    assert an.load(tmp_path / "m.accel")(x).numpy().tobytes() == m(x).numpy().tobytes()


def test_positions_of_a_size_that_is_not_known(tmp_path: Path) -> None:
    nodes = [h.make_node("Shape", ["x"], ["s"], start=1, end=2), h.make_node("Squeeze", ["s"], ["n"]), h.make_node("Range", ["zero", "n", "two"], ["r"]),
             h.make_node("Cast", ["r"], ["f"], to=F32), h.make_node("ReduceSum", ["f"], ["t"], keepdims=0), h.make_node("Add", ["x", "t"], ["y"])]  # fmt: skip
    m = loaded(model(nodes, {"x": ["b", "n"]}, ["y", "r"], {"zero": np.int64(0), "two": np.int64(2)}), tmp_path)
    assert m.general is not None
    for n in (1, 4, 7):
        y, r = m(np.zeros((2, n), np.float32))
        assert r.numpy().tolist() == list(range(0, n, 2)) and y.numpy().tolist() == [[float(sum(range(0, n, 2)))] * n] * 2


def branches(other: str) -> Any:
    then = h.make_graph([h.make_node("Relu", ["x"], ["a"])], "t", [], [h.make_empty_tensor_value_info("a")])
    second = h.make_graph([h.make_node(other, ["x"], ["a2"])], "e", [], [h.make_empty_tensor_value_info("a2")])
    return model([h.make_node("If", ["c"], ["y"], then_branch=then, else_branch=second)], {"x": ["n"], "c": ([], BOOL)}, ["y"])


def test_a_branch_is_chosen_by_the_engine(tmp_path: Path) -> None:
    m = loaded(branches("Neg"), tmp_path)
    m.save(tmp_path / "x.accel")
    x = np.array([-1, 0, 2], np.float32)
    for each in (m, an.load(tmp_path / "x.accel")):
        assert each(x, np.array(True)).numpy().tolist() == [0, 0, 2] and each(x, np.array(False)).numpy().tolist() == [1, 0, -2]


def test_a_value_that_chooses_the_shapes_chooses_a_plan(tmp_path: Path) -> None:
    m = loaded(branches("ReduceSum"), tmp_path)
    x = np.array([-1, 0, 2], np.float32)
    for _ in range(2):
        assert m(x, np.array(True)).numpy().tolist() == [0, 0, 2] and m(x, np.array(False)).numpy().tolist() == [1]
    assert len(m.plans) == 2 and "condition" in m.why and "results of the two bodies" in m.why
    with pytest.raises(Error, match="one for all|none for all"):
        m.save(tmp_path / "x.accel")


def looping(nodes: list[Any], states: list[str], sizes: Any, inputs: dict[str, Any], constants: dict[str, Any] | None = None, limit: str = "n") -> Any:
    """Loop over `nodes`, from states x to y; "each", if a node makes it, is stacked."""
    each = ["each"] if any("each" in n.output for n in nodes) else []
    ports = [h.make_tensor_value_info("i", I64, []), h.make_tensor_value_info("c", BOOL, []), *(h.make_tensor_value_info(s, F32, sizes) for s in states)]
    body = h.make_graph(nodes, "body", ports, [h.make_empty_tensor_value_info(n) for n in ("c2", *(s + "2" for s in states), *each)])
    outputs = [*(f"y{s}" for s in states), *each]
    loop = h.make_node("Loop", [limit, "", *(f"x{s}" for s in states)], outputs, body=body)
    return model([loop], inputs, outputs, constants)


def test_a_loop_whose_steps_data_counts() -> None:
    nodes = [h.make_node("Identity", ["c"], ["c2"]), h.make_node("Cast", ["i"], ["f"], to=F32), h.make_node("Add", ["a", "f"], ["b2"]),
             h.make_node("Add", ["b", "b"], ["a2"])]  # fmt: skip
    m = Model(graph_of(looping(nodes, ["a", "b"], [2], {"xa": [2], "xb": [2], "n": ([], I64)})))
    for n in range(5):
        a, b = np.array([1.0, 2.0]), np.array([0.5, 3.0])
        wanted = a, b
        for i in range(n):
            wanted = 2 * wanted[1], wanted[0] + i
        found = m(a.astype(np.float32), b.astype(np.float32), np.array(n))
        assert all((f.numpy() == w).all() for f, w in zip(found, wanted))


def test_a_loop_over_a_dimension_of_any_size() -> None:
    nodes = [h.make_node("Identity", ["c"], ["c2"]), h.make_node("Gather", ["x", "i"], ["row"]), h.make_node("Add", ["s", "row"], ["s2"]),
             h.make_node("Identity", ["s2"], ["each"])]  # fmt: skip
    m = looping(nodes, ["s"], [2], {"x": ["length", 2], "xs": [2]})
    for node in (h.make_node("Squeeze", ["size"], ["n"]), h.make_node("Shape", ["x"], ["size"], end=1)):
        m.graph.node.insert(0, node)
    net = Model(graph_of(m))
    for n in (1, 3, 20):
        x = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
        y, each = net(x, np.zeros(2, np.float32))
        assert (y.numpy() == x.sum(0)).all() and (each.numpy() == x.cumsum(0)).all()


def test_a_loop_that_grows_its_state_is_unrolled_or_refused() -> None:
    nodes = [h.make_node("Identity", ["c"], ["c2"]), h.make_node("Concat", ["a", "a"], ["a2"], axis=0)]
    m = looping(nodes, ["a"], None, {"xa": [1]}, {"n": np.int64(3)})
    assert Model(graph_of(m))(np.ones(1, np.float32)).shape == (8,)
    with pytest.raises(ValueNeeded, match="trip count"):
        graph_of(looping(nodes, ["a"], None, {"xa": [1], "n": ([], I64)}))
    with pytest.raises(Error, match="before and after a step"):
        graph_of(looping(nodes, ["a"], None, {"xa": [1]}, {"n": np.int64(200_000)}))


def test_a_loop_of_known_length_is_unrolled() -> None:
    body = h.make_graph([h.make_node("Add", ["v", "v"], ["v2"]), h.make_node("Identity", ["c"], ["c2"]), h.make_node("Identity", ["v2"], ["each"])], "b",
                        [h.make_tensor_value_info("i", I64, []), h.make_tensor_value_info("c", BOOL, []), h.make_tensor_value_info("v", F32, [2])],
                        [h.make_empty_tensor_value_info(n) for n in ("c2", "v2", "each")])  # fmt: skip
    m = model([h.make_node("Loop", ["n", "", "x"], ["y", "all"], body=body)], {"x": [2]}, ["y", "all"], {"n": np.int64(3)})
    y, every = Model(graph_of(m))(np.array([1, 2], np.float32))
    assert y.numpy().tolist() == [8, 16] and every.numpy().tolist() == [[2, 4], [4, 8], [8, 16]]


def test_unknown_ops_are_named_and_can_be_taught() -> None:
    m = model([h.make_node("Triple", ["x"], ["y"], name="stage/triple", domain="my.ops")], {"x": [2]}, ["y"], my_ops=1)
    with pytest.raises(UnsupportedError, match=r"my.ops::Triple 'stage/triple'.*register\('Triple', 'my.ops'\)"):
        graph_of(m)

    @register("Triple", "my.ops")
    def _(call: Any, x: Any) -> Any:
        return call.tensor(x) * 3.0

    assert Model(graph_of(m))(np.ones(2, np.float32)).numpy().tolist() == [3, 3]


def test_attributes_that_nobody_reads_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="attribute spin"):
        graph_of(model([h.make_node("Relu", ["x"], ["y"], spin=1)], {"x": [2]}, ["y"]))


HOSTILE: dict[str, Any] = {
    "circle": lambda: model([h.make_node("Add", ["x", "b"], ["a"]), h.make_node("Relu", ["a"], ["b"])], {"x": [2]}, ["b"]),
    "nowhere": lambda: model([h.make_node("Relu", ["z"], ["y"])], {"x": [2]}, ["y"]),
    "no outputs": lambda: model([h.make_node("Relu", ["x"], ["y"])], {"x": [2]}, []),
    "divided by zero": lambda: model([h.make_node("Div", ["a", "b"], ["y"])], {"x": [2]}, ["y"], {"a": np.array([1]), "b": np.array([0])}),
    "shapes": lambda: model([h.make_node("Add", ["x", "w"], ["y"])], {"x": [2]}, ["y"], {"w": np.zeros(3, np.float32)}),
    "too few inputs": lambda: model([h.make_node("Conv", ["x"], ["y"])], {"x": [1, 2, 3, 3]}, ["y"]),
    "axis": lambda: model([h.make_node("Softmax", ["x"], ["y"], axis=7)], {"x": [2]}, ["y"]),
    "strides": lambda: model([h.make_node("Conv", ["x", "w"], ["y"], strides=[0, 1])], {"x": [1, 1, 3, 3]}, ["y"], {"w": np.zeros((1, 1, 1, 1), np.float32)}),
}


@pytest.mark.parametrize("kind", list(HOSTILE))
def test_models_that_cannot_be(kind: str, tmp_path: Path) -> None:
    with pytest.raises(Error):
        m = loaded(HOSTILE[kind](), tmp_path)
        assert m.general is None
        m(*[np.ones([1 if not isinstance(d, int) else d for d in (2,)], np.float32)] if kind not in ("too few inputs", "strides")
          else [np.ones((1, 2 if kind == "too few inputs" else 1, 3, 3), np.float32)])  # fmt: skip


def test_bytes_that_are_no_model(tmp_path: Path) -> None:
    whole = reshape_dance().SerializeToString()
    for n, raw in enumerate((b"", b"\0" * 100, whole[: len(whole) // 2], b"\xff" * 64)):
        (tmp_path / f"{n}.onnx").write_bytes(raw)
        with pytest.raises(Error):
            an.load(tmp_path / f"{n}.onnx")(np.ones((1, 2, 12), np.float32))


def test_constants_that_claim_too_much(tmp_path: Path) -> None:
    m = model([h.make_node("Add", ["x", "w"], ["y"])], {"x": [2]}, ["y"], {"w": np.ones(2, np.float32)})
    w = m.graph.initializer[0]
    for dims in ([1 << 40, 1 << 20], [-3], [5]):
        del w.dims[:]
        w.dims.extend(dims)
        with pytest.raises(FormatError, match="'w'"):
            graph_of(m)


def test_external_data_stays_beside_the_model(tmp_path: Path) -> None:
    m = model([h.make_node("Add", ["x", "w"], ["y"])], {"x": [2]}, ["y"], {"w": np.ones(2, np.float32)})
    w = m.graph.initializer[0]
    folder = tmp_path / "inside"
    folder.mkdir()
    for place in (folder, tmp_path):
        (place / "w.bin").write_bytes(b"\0" * 4 + np.float32([3, 4]).tobytes())
    w.ClearField("raw_data")
    w.data_location = TensorProto.EXTERNAL

    def at(location: str, offset: int, length: int) -> Any:
        del w.external_data[:]
        for key, value in (("location", location), ("offset", offset), ("length", length)):
            w.external_data.add(key=key, value=str(value))
        return loaded(m, folder)

    assert at("w.bin", 4, 8)(np.zeros(2, np.float32)).numpy().tolist() == [3, 4]
    outside, short = ("../w.bin", str(tmp_path / "w.bin"), "none.bin"), ((8, 8), (4, 4), (-4, 8))
    for location, offset, length in (*((name, 4, 8) for name in outside), *(("w.bin", *part) for part in short)):
        with pytest.raises(FormatError, match="'w'"):
            at(location, offset, length)(np.zeros(2, np.float32))


def small_cnn() -> Any:
    rng = np.random.default_rng(0)

    def w(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32) / 3

    nodes = [h.make_node("Conv", ["x", "w1", "b1"], ["a"], pads=[0, 1, 1, 0], strides=[2, 2], kernel_shape=[3, 3]),
             h.make_node("BatchNormalization", ["a", "g", "e", "m", "v"], ["b"]), h.make_node("HardSwish", ["b"], ["c"]),
             h.make_node("MaxPool", ["c"], ["d"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1), h.make_node("Conv", ["d", "w2"], ["e1"], group=8),
             h.make_node("GlobalAveragePool", ["e1"], ["f"]), h.make_node("Flatten", ["f"], ["f2"]),
             h.make_node("Gemm", ["f2", "w3", "b3"], ["y"], transB=1)]  # fmt: skip
    weights = {"w1": w(8, 3, 3, 3), "b1": w(8), "g": w(8), "e": w(8), "m": w(8), "v": np.abs(w(8)) + 1, "w2": w(8, 1, 1, 1), "w3": w(5, 8), "b3": w(5)}
    return model(nodes, {"x": ["N", 3, 17, 19]}, ["y"], weights)


def gated() -> Any:
    """An LSTM in both directions with ONNX's order of gates, and a GRU behind it."""
    rng = np.random.default_rng(1)

    def w(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32) / 2

    nodes = [h.make_node("LSTM", ["x", "w", "r", "b", "", "h0", "c0"], ["y", "h", "c"], hidden_size=5, direction="bidirectional"),
             h.make_node("Transpose", ["y"], ["t"], perm=[0, 2, 1, 3]), h.make_node("Reshape", ["t", "to"], ["z"]),
             h.make_node("GRU", ["z", "w2", "r2", "b2"], ["u"], hidden_size=4, linear_before_reset=1)]  # fmt: skip
    weights = {"w": w(2, 20, 6), "r": w(2, 20, 5), "b": w(2, 40), "h0": w(2, 3, 5), "c0": w(2, 3, 5), "to": np.array([0, 0, -1]), "w2": w(1, 12, 10),
               "r2": w(1, 12, 4), "b2": w(1, 24)}  # fmt: skip
    return model(nodes, {"x": [7, 3, 6]}, ["u", "h", "c"], weights)


@pytest.mark.parametrize(("make", "shape"), [(small_cnn, (2, 3, 17, 19)), (gated, (7, 3, 6))])
def test_as_onnxruntime(make: Any, shape: tuple[int, ...], tmp_path: Path) -> None:
    need_module("onnxruntime")
    import onnxruntime as ort

    m = make()
    for o in m.graph.output:
        o.type.CopyFrom(h.make_tensor_type_proto(F32, None))
    x = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    wanted = ort.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})
    found = loaded(m, tmp_path).run({"x": x})
    for name, want in zip(found, wanted):
        assert found[name].shape == want.shape and np.abs(found[name].numpy() - want).max() <= 1e-5 * max(1, np.abs(want).max())
