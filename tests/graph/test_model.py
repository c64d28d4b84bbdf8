"""Models: frozen networks, quantization, concurrency, reports."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import accelnn as an
from accelnn.core.errors import Error
from accelnn.passes.quantize import observe, quantize

from ..conftest import batch, lenet


def test_one_plan_serves_every_batch() -> None:
    net = lenet()
    model = an.freeze(net, batch(2)[0])
    for n in (0, 1, 2, 17, 200):
        x, _ = batch(n, seed=n)
        with an.no_grad():
            want = net(x).numpy()
        got = model(x).numpy()
        assert got.shape == (n, 10)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    assert str(model.inputs[0][1].shape) == "('N', 1, 28, 28)"


def test_upper_bound_of_a_dim_is_enforced() -> None:
    model = an.freeze(lenet(), batch(2)[0], upper=4)
    model(batch(4)[0])
    with pytest.raises(Error, match="N"):
        model(batch(5)[0])


def test_wrong_inputs_get_clear_errors() -> None:
    model = an.freeze(lenet(), batch(2)[0])
    for wrong in (np.zeros((1, 28, 28), np.float32), np.zeros((1, 1, 27, 28), np.float32), np.zeros((1, 1, 28, 28), np.int64)):
        with pytest.raises(Error) as found:
            model(wrong)
        assert "input" in str(found.value)
    with pytest.raises(Error, match="1 inputs expected"):
        model()
    with pytest.raises(Error, match="inputs"):
        model.run({"no such": batch(1)[0]})


def test_concurrent_runs_agree() -> None:
    model = an.freeze(lenet(), batch(2)[0])
    cases = [batch(n, seed=n)[0] for n in (1, 3, 8, 16)]
    want = [model(x).numpy().tobytes() for x in cases]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(50):
            if model(cases[i]).numpy().tobytes() != want[i]:
                wrong.append(i)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(cases))]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert not wrong


def test_report_names_the_kernels() -> None:
    rows = an.freeze(lenet(), batch(2)[0]).report(batch(1)[0], profile=True, repeat=3)
    assert [r["op"] for r in rows] == ["conv2d", "max_pool2d", "conv2d", "max_pool2d", "matmul", "matmul", "matmul"]
    assert [r["label"] for r in rows] == ["0", "2", "3", "5", "7", "9", "11"] and all(r["ns"] > 0 and r["row"].startswith(r["op"]) for r in rows)


def test_int8_model_is_close_and_whole_numbers_inside() -> None:
    net = lenet()
    x, _ = batch(128)
    model = an.freeze(net, x)
    small = an.compress(model, x.numpy(), quiet=True)
    assert set(small.plan.ops) == {"quantize_linear", "qconv2d", "max_pool2d", "qmatmul"}
    a, b = model(x).numpy(), small(x).numpy()
    assert np.abs(a - b).max() <= 0.05 * np.abs(a).max()
    assert len(small.file) < 0.35 * len(model.file)


def test_int8_arithmetic_is_what_the_contract_says() -> None:
    """The whole quantized graph by numpy references equals the plan bit for bit."""
    net = lenet()
    x, _ = batch(8)
    small = an.compress(net, x.numpy(), quiet=True)
    from accelnn.core.graph import Value
    from accelnn.core.registry import OPS

    values: dict[Any, Any] = {Value(small.graph.inputs[0]): x.numpy()}
    for node in small.graph.nodes():
        if node.op == "constant":
            values[Value(node)] = node.data.numpy()
        elif not node.is_source:
            attrs = {**node.attrs, **({"shape": (8, 400)} if node.op == "reshape" else {})}
            result = OPS[node.op].reference(*(values[v] for v in node.inputs), **attrs)
            for i, y in enumerate(result if isinstance(result, tuple) else (result,)):
                values[Value(node, i)] = np.asarray(y).astype(node.outputs[i].dtype.storage)
    assert values[small.graph.outputs[0]].tobytes() == small(x).numpy().tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_calibration_refuses_what_is_not_finite(bad: float) -> None:
    x = batch(4)[0].numpy().copy()
    x[2, 0, 3, 4] = bad
    with pytest.raises(Error, match="not finite"):
        an.compress(lenet(), x, quiet=True)


def test_calibration_refuses_nothing_and_wrong_shapes() -> None:
    graph = an.freeze(lenet(), batch(2)[0]).graph
    with pytest.raises(Error, match="no data"):
        quantize(graph, [])
    with pytest.raises(Error):
        observe(graph, [(np.zeros((2, 1, 9, 9), np.float32),)])
    for wrong in ({"bits": 3}, {"sparsity": 0.5}, {"coverage": 0.1}):
        with pytest.raises(Error):
            an.compress(lenet(), batch(2)[0].numpy(), quiet=True, **wrong)
