"""`accelnn explain`: what became of a graph, and what its calls cost, as text, JSON and a page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import accelnn as an
from accelnn.cli import main
from accelnn.core.dims import Dim, Size
from accelnn.model.explain import explain
from accelnn.passes import DEPLOY
from accelnn.passes.provenance import explained

nn = an.nn
LIMITS = {"fma": {"name": "AVX2 FMA", "rate": 1e11}, "read": {"L1": 1e11, "L2": 5e10, "L3": 3e10, "DRAM": 1e10}}


class Residual(nn.Module):
    """Convolutions with batch norm, a branch that comes back, and a product at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1), nn.Linear(8 * 36, 5)

    def forward(self, x: Any) -> Any:
        y = self.norm(self.first(x)).relu()
        return self.last((y + self.second(y)).relu().reshape(-1, 8 * 36))


@pytest.fixture(scope="module")
def model() -> Any:
    return an.freeze(Residual(), np.zeros((2, 3, 6, 6), np.float32))


@pytest.fixture(scope="module")
def document(model: Any) -> dict[str, Any]:
    return explain(model, {"input": np.ones((2, 3, 6, 6), np.float32)}, lambda only: LIMITS, repeat=2, graphs=True)


def test_what_fused(document: dict[str, Any]) -> None:
    fused = [{n["label"] for n in c["from"]} for step in document["passes"] for c in step["fused"]]
    assert {"first", "norm"} in fused, "batch norm went into the convolution before it"
    first = next(c for c in document["calls"] if c["label"] == "first" and not c["serves"])
    assert [n["op"] for n in first["sources"]] == ["conv2d", "batch_norm_infer", "relu"]
    second = next(c for c in document["calls"] if c["label"] == "second" and not c["serves"])
    assert [n["op"] for n in second["sources"]] == ["conv2d", "add", "relu"]


def test_every_node_of_the_source_is_somewhere(model: Any) -> None:
    graph, steps, origins = explained(model.graph, DEPLOY)
    stands = {id(n) for node in graph.nodes() for n in origins.get(id(node), {})}
    gone = {id(n) for step in steps for n in [*step.folded, *step.dropped]}
    missing = [n.op for n in model.graph.nodes() if not n.is_source and id(n) not in stands | gone]
    assert not missing
    assert [s.before.total() for s in steps[1:]] == [s.after.total() for s in steps[:-1]]


def test_costs(document: dict[str, Any]) -> None:
    first = next(c for c in document["calls"] if c["label"] == "first" and not c["serves"])
    assert first["flops"] == 2 * 2 * 8 * 36 * 27, "two operations a tap of each output"
    last = next(c for c in document["calls"] if c["label"] == "last" and not c["serves"])
    assert last["flops"] == 2 * 2 * 5 * 288 and last["weight_bytes"] >= 4 * 5 * 288
    for c in document["calls"]:
        assert c["bytes"] > 0 and c["share"] > 0 and c["bound_by"] in ("FMA", "L1", "L2", "L3", "DRAM")
        assert all(source < c["number"] for source in c["reads"])
    memory = document["memory"]
    assert memory["arena"] > 0 and memory["inputs"] == 4 * 2 * 3 * 36 and memory["peak"] == sum(memory[k] for k in ("weights", "arena", "inputs", "outputs"))


def test_report_with_ceilings_is_a_table(model: Any) -> None:
    x = np.zeros((1, 3, 6, 6), np.float32)
    rows = model.report(x, profile=True, repeat=2, ceilings=LIMITS)
    assert all({"ns", "flops", "bytes", "weight_bytes", "share", "bound_by"} <= set(row) for row in rows)
    text = str(rows)
    assert len(text.splitlines()) == 1 + len(rows) and "GFLOP/s" in text.splitlines()[0] and "of limit" in text
    assert "us" not in str(model.report(x)).splitlines()[0].split()


def test_command(model: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "net.accel"
    model.save(file)
    html, svg = tmp_path / "net.html", tmp_path / "net.svg"
    assert main(["explain", str(file), "--dims", "N=3", "--threads", "1", "--repeat", "2", "--html", str(html), "--svg", str(svg), "--graph"]) == 0
    text = capsys.readouterr().out
    assert all(len(line) <= 80 for line in text.split("graph after")[0].splitlines()[1:] if "written" not in line and "%" not in line[:4]), text
    assert "\x1b" not in text and "3x3x6x6" in text
    for section in ("graph ", "calls", "total ", "time by op", "time by kernel row", "memory", "graph before"):
        assert f"\n{section}" in text
    ElementTree.fromstring(svg.read_text())
    assert main(["explain", str(file), "--input", "5x3x6x6", "--threads", "1", "--repeat", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"model", "inputs", "outputs", "graph", "passes", "calls", "total_ns", "ops", "rows", "memory", "ceilings", "threads"} <= set(found)
    assert found["inputs"][0]["shape"] == [5, 3, 6, 6] and found["total_ns"] == sum(c["ns"] for c in found["calls"])
    np.save(tmp_path / "x.npy", np.zeros((4, 3, 6, 6), np.float32))
    assert main(["explain", str(file), "--input", str(tmp_path / "x.npy"), "--repeat", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["inputs"][0]["shape"] == [4, 3, 6, 6]


class Page(HTMLParser):
    """Counts rows, and holds every tag against its end."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: dict[str, int] = {}
        self.references: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        given = dict(attrs)
        self.references += [v for k, v in given.items() if k in ("src", "href")]
        if tag == "tr":
            kind = (given.get("class") or "").split(" ")[0]
            self.rows[kind] = self.rows.get(kind, 0) + 1
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_page(document: dict[str, Any]) -> None:
    from accelnn.cli.explain_page import page, picture

    shown = {"model": "a<b>.onnx", "bytes": 10, "example_sizes": [], **document}
    read = Page()
    read.feed(page(shown))
    assert not read.open and not read.references, "one page, nothing from elsewhere"
    assert read.rows["call"] == len(document["calls"]) and read.rows["pass"] == len(DEPLOY)
    assert all(step.__name__ in read.words for step in DEPLOY) and "a<b>.onnx" in read.words
    tree = ElementTree.fromstring(picture(shown))
    rows = [g for g in tree.iter("{http://www.w3.org/2000/svg}g") if g.get("class") == "row"]
    assert len(rows) == len(document["calls"]) + len(document["inputs"])


def test_refusals(model: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "net.accel"
    model.save(file)
    for arguments, says in (([tmp_path / "none.onnx"], "none.onnx"), ([file, "--input", "3x6"], "expected"), ([file, "--dims", "M=3"], "'M'"),
                            ([file, "--dims", "N"], "NAME=NUMBER"), ([file, "--input", "y=1"], "no input 'y'"),
                            ([file, "--input", tmp_path / "x.npy"], "x.npy")):  # fmt: skip
        assert main(["explain", *map(str, arguments)]) == 1
        assert says in capsys.readouterr().err


def test_onnx_says_which_sizes_are_examples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    w = onnx.numpy_helper.from_array(np.ones((4, 2), np.float32), "w")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["m"], "product"), helper.make_node("Relu", ["m"], ["y"], "bend")], "g",
                              [helper.make_tensor_value_info("x", kind, ["batch", 4])], [helper.make_tensor_value_info("y", kind, ["batch", 2])], [w])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "net.onnx")
    assert main(["explain", str(tmp_path / "net.onnx"), "--repeat", "1"]) == 0
    text = capsys.readouterr().out
    assert "sizes are examples" in " ".join(text.split()) and "matmul + relu -> matmul" in text and "from matmul product + relu bend" in text
    assert main(["explain", str(tmp_path / "net.onnx"), "--repeat", "1", "--dims", "batch=7", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["example_sizes"] == [] and found["inputs"][0]["shape"] == [7, 4]


def test_sizes_print_as_they_are_computed() -> None:
    n, m = Size.of(Dim("N")), Size.of(Dim("M"))
    assert str((n + 1) // 2) == "((N + 1)//2)" and str(n // 2) == "(N//2)" and str((2 * n) // 3) == "(2*N//3)"
    assert str(Size.of((n + 1) // 2) * m) in ("((N + 1)//2)*M", "M*((N + 1)//2)")
