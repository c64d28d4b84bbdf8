"""Which row runs: the dispatcher's choice, caps and force, and that what was forced really ran."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from accelnn import _C
from accelnn.core.dispatch import explain
from accelnn.core.registry import KERNELS, OPS

PROGRAM = """
import json, numpy as np, accelnn as an
x, w = an.tensor(np.ones((3, 5))), np.ones((5, 7), np.float32)
model = an.freeze(lambda t: (t @ w).relu(), x)
print(json.dumps({"rows": [r["row"] for r in model.report(x)], "sum": float((x @ an.tensor(w)).sum().item())}))
"""


def run(**environment: str) -> Any:
    return subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env={**os.environ, **environment}, check=False)


def rows(**environment: str) -> list[str]:
    done = run(**environment)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["sum"] == 3 * 7 * 5
    found: list[str] = answer["rows"]
    return found


@pytest.mark.parametrize(("level", "suffix"), [("base", "base"), ("avx2", "x86_avx2"), ("avx512", "x86_avx512")])
def test_isa_cap(level: str, suffix: str) -> None:
    if _C.machine()["levels"][level] & ~_C.machine()["detected"]:
        pytest.skip(f"this CPU has no {level}")
    assert rows(ACCELNN_ISA=level) == [f"matmul_f32_{suffix}"]


@pytest.mark.parametrize("row", [r["name"] for r in KERNELS["matmul"]["rows"] if r["dtype"] == "f32"])
def test_the_forced_row_is_the_running_row(row: str) -> None:
    needs = next(r["isa"] for r in KERNELS["matmul"]["rows"] if r["name"] == row)
    if needs & ~_C.machine()["detected"]:
        pytest.skip(f"this CPU cannot run {row}")
    assert rows(ACCELNN_KERNEL=f"matmul:{row.removeprefix('matmul_f32_')}") == [row]


def test_a_forced_row_that_cannot_run_is_an_error() -> None:
    done = run(ACCELNN_KERNEL="matmul:x86_avx512", ACCELNN_ISA="base")
    assert done.returncode != 0 and "forces row" in done.stderr


@pytest.mark.parametrize("environment", [{"ACCELNN_ISA": "avx1024"}, {"ACCELNN_KERNEL": "matmull:ref"}, {"ACCELNN_KERNEL": "matmul:fastest"}])
def test_typing_errors_are_named(environment: dict[str, str]) -> None:
    done = run(**environment)
    assert done.returncode != 0 and next(iter(environment.values())) in done.stderr


@pytest.mark.parametrize("name", sorted(n for n, op in OPS.items() if op.view is None and list(op.samples())))
def test_selection_is_pure_and_best_first(name: str) -> None:
    """For machines of every level: the pick is the first row that such a machine can run, and a reference never."""
    op = OPS[name]
    arrays, attrs = list(op.samples())[0]
    from accelnn.core.tensor import tensor

    specs = [None if a is None else tensor(a, getattr(a, "dtype", None)).spec for a in arrays]
    for bits in _C.machine()["levels"].values():
        listed = explain(name, specs, attrs, isa=bits)
        able = [row for row, why in listed if why is None]
        table = {r["name"]: r for r in KERNELS[op.kernel or "pointwise"]["rows"]}
        assert able and all(table[r]["isa"] & ~(bits & _C.machine()["detected"]) == 0 and table[r]["exactness"] != "reference" for r in able)
        assert listed == explain(name, specs, attrs, isa=bits)
