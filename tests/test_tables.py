"""The tables that everything is drawn from: complete, ordered, selectable for any machine, and the ledger of what is not done."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accelnn as an
import accelnn.passes  # noqa: F401  (registers the fused op)
from accelnn import _C
from accelnn.cli.kernels import instructions
from accelnn.core.dispatch import explain
from accelnn.core.dtypes import as_dtype
from accelnn.core.graph import Spec
from accelnn.core.registry import KERNELS, OPS

LEDGER = tomllib.loads((Path(__file__).parent / "ledger.toml").read_text())
LEVELS = {name: bits for name, bits in _C.machine()["levels"].items() if name != "native"}
SAMPLED = sorted(name for name, op in OPS.items() if op.view is None and list(op.samples()))
ROWS = [pytest.param(op, row, id=row["name"]) for op in KERNELS for row in KERNELS[op]["rows"]]


def sample(name: str) -> tuple[list[Spec | None], dict[str, Any]]:
    arrays, attrs = next(iter(OPS[name].samples()))
    return [None if a is None else Spec(np.shape(a), as_dtype(np.asarray(a).dtype)) for a in arrays], attrs


def reaches(row: str, level: str) -> bool:
    """Whether a row may run on a machine of this level."""
    bits = next(r["isa"] for o in KERNELS.values() for r in o["rows"] if r["name"] == row)
    return bits & LEVELS[level] == bits


@pytest.mark.parametrize("name", sorted(KERNELS))
def test_a_table_is_complete_and_ordered(name: str) -> None:
    """For every dtype: wider ISAs first, then base, then the reference; nothing behind a row that shadows it."""
    rows = KERNELS[name]["rows"]
    for dtype in {r["dtype"] for r in rows}:
        mine = [r for r in rows if r["dtype"] == dtype and r["device"] == "cpu"]
        assert mine[-1]["name"].endswith("_ref") and mine[-1]["exactness"] == "reference"
        assert [r["exactness"] for r in mine].count("reference") == 1
        assert mine[-2]["name"].endswith("_base") and mine[-2]["isa"] == 0
        for processor in ("_x86_", "_arm_"):
            widths = [bin(r["isa"]).count("1") for r in mine[:-1] if processor in r["name"]]
            assert widths == sorted(widths, reverse=True), "best first"
    assert KERNELS[name]["number"] == [op["name"] for op in _C.ops()].index(name)
    assert KERNELS[name]["min_in"] <= KERNELS[name]["max_in"] and KERNELS[name]["max_out"] >= 1
    assert len({a["name"] for a in KERNELS[name]["attrs"]}) == len(KERNELS[name]["attrs"])


@pytest.mark.parametrize("family", sorted({p.parent.name for p in (Path(__file__).parents[1] / "kernels").glob("*/ref.cpp")}))
def test_every_family_has_every_width(family: str) -> None:
    folder = Path(__file__).parents[1] / "kernels" / family
    for file in ("base.cpp", "x86_avx2.cpp", "x86_avx512.cpp"):
        assert (folder / file).is_file()


def test_every_kernel_has_an_op_and_every_op_a_way_to_run() -> None:
    assert set(KERNELS) == {op.kernel or "pointwise" for op in OPS.values() if op.view is None}
    for op in OPS.values():
        assert sum(x is not None for x in (op.kernel, op.program, op.view)) == 1, op.name
        assert op.view is not None or list(op.samples()) or op.name == "pointwise", f"{op.name} has no samples: nothing would test it"


@pytest.mark.parametrize("name", SAMPLED)
def test_each_machine_gets_its_best_row(name: str) -> None:
    """The choice is a pure function of call and capabilities, so that any machine's can be asked for here."""
    specs, attrs = sample(name)
    for level in LEVELS:
        if LEVELS[level] & ~_C.machine()["isa"]:
            continue                                            # capabilities are only ever cut here, never added
        rows = explain(name, specs, attrs, LEVELS[level])
        chosen = [row for row, why in rows if why is None]
        assert chosen, f"no row on {level}"
        assert not any(row.endswith("_ref") for row in chosen)
        assert all(reaches(row, level) for row in chosen)
        for row, why in rows:
            assert why is None or len(why) > 8, f"{row} is refused without a reason"


@pytest.mark.parametrize("name", SAMPLED)
def test_forcing_a_row_leaves_that_one_alone(name: str) -> None:
    specs, attrs = sample(name)
    kernel = OPS[name].kernel or "pointwise"
    for force in ("ref", "base"):
        rows = explain(name, specs, attrs, force=f"{kernel}:{force}")
        assert [row.rpartition("_")[2] for row, why in rows if why is None] == [force]


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment})


REPORT = """
import numpy as np, accelnn as an
model = an.freeze(an.nn.Sequential(an.nn.Linear(8, 4), an.nn.Softmax()), np.zeros((2, 8), np.float32))
print([row["row"] for row in model.report(np.zeros((2, 8), np.float32))])
"""


def test_environment_forces_rows_and_caps_the_isa() -> None:
    forced = run(REPORT, ACCELNN_KERNEL="matmul:ref,softmax:base")
    assert forced.stdout.strip() == "['matmul_f32_ref', 'softmax_f32_base']", forced.stdout + forced.stderr
    capped = run(REPORT, ACCELNN_ISA="base", ACCELNN_KERNEL="")
    assert capped.stdout.strip() == "['matmul_f32_base', 'softmax_f32_base']", capped.stdout + capped.stderr


def test_a_forced_row_that_cannot_run_raises() -> None:
    done = run(REPORT, ACCELNN_KERNEL="matmul:no_such_row")
    assert done.returncode and "no row 'no_such_row'" in done.stderr and "matmul_f32_base" in done.stderr
    done = run(REPORT, ACCELNN_KERNEL="matmul:x86_avx2", ACCELNN_ISA="base")
    assert done.returncode and "KernelError" in done.stderr


@pytest.mark.parametrize(("op", "row"), ROWS)
def test_a_row_runs_here_or_stands_in_the_ledger(op: str, row: dict[str, Any]) -> None:
    lines = [line for line in LEDGER["not_run"] if fnmatch(row["name"], line["row"])]
    assert len(lines) <= 1
    if not row["runs_here"] and row["isa"] & ~_C.machine()["detected"]:
        assert lines and lines[0]["unless"] == instructions(row["isa"]), f"{row['name']} runs nowhere in the tests, and no line of the ledger says why"


def test_the_ledger_is_needed() -> None:
    """A line about what works, or does not exist, has to go."""
    names = [r["name"] for o in KERNELS.values() for r in o["rows"]]
    for line in LEDGER["not_run"]:
        assert line["reason"] and line["unless"] in LEVELS
        assert any(fnmatch(name, line["row"]) for name in names), line
    listed = [op for line in LEDGER["no_gradient"] for op in line["ops"]]
    without = {name for name, op in OPS.items() if op.gradient is None and op.composition is None}
    assert len(listed) == len(set(listed))
    assert set(listed) == without, "ops without a gradient are those of the ledger"
    for line in LEDGER["unsupported"]:
        assert line["what"] and line["reason"]


def test_what_the_ledger_calls_unsupported_is_refused() -> None:
    net, data = an.nn.Linear(2, 2), np.zeros((4, 2), np.float32)
    for option in ({"bits": 4}, {"sparsity": 0.5}):
        with pytest.raises(NotImplementedError):
            an.compress(net, data, quiet=True, **option)
    with pytest.raises(an.Error, match="cuda"):
        an.tensor([1.0], device="cuda")


def test_matrix_has_every_op_and_dtype(capsys: pytest.CaptureFixture[str]) -> None:
    from accelnn.cli.kernels import main

    assert main(["--matrix"]) == 0
    text = capsys.readouterr().out
    for op in KERNELS.values():
        for dtype in {r["dtype"] for r in op["rows"]}:
            assert f"| {op['name']} | {dtype} | yes |" in text
