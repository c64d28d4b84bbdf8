"""The node tests that ONNX publishes: no wrong answer, how many are computed, and for each one that is refused a line of the ledger that says why."""

from __future__ import annotations

import json
import re
import tomllib
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accelnn.core.errors import Error
from accelnn.model.imported import ImportedModel

from ..conftest import need_module

WITHIN = 1e-3, 1e-7        # relative and absolute, where a case does not say more
BFLOAT16 = 2.0**-6         # the relative difference that onnx.backend.test.runner allows where results are bfloat16
ALL, CORE = 1551, 581      # computed: of all, of those in onnx_core_cases.json; may only grow
LEDGER = tomllib.loads((Path(__file__).parents[1] / "ledger.toml").read_text())
INEXACT = {name: line["within"] for line in LEDGER["onnx_inexact"] for name in line["cases"]}


def array(x: Any) -> Any:
    """A case's value: an array, a number, a TensorProto, or a list for a sequence."""
    if hasattr(x, "raw_data"):
        import onnx

        return onnx.numpy_helper.to_array(x)
    return x if isinstance(x, list) else np.asarray(x)


def answer(case: Any) -> str:
    """passed, wrong, or the sentence that refuses it."""
    try:
        model = ImportedModel(case.model)
        for inputs, wanted in case.data_sets:
            found = model(*map(array, inputs))
            found = found if isinstance(found, tuple) else (found,)
            if len(found) != len(wanted):
                return "wrong"
            for a, b in zip((y.numpy() for y in found), map(array, wanted)):
                half = b.dtype.name == "bfloat16"
                b = b.astype(np.float32) if half else b      # numpy() widens them
                if a.shape != b.shape or a.dtype != b.dtype:
                    return "wrong"
                if b.dtype.kind == "f":
                    relative = max(case.rtol, WITHIN[0], BFLOAT16 if half else 0.0)
                    absolute = INEXACT[case.name] * np.abs(b).max() if case.name in INEXACT else max(case.atol, WITHIN[1])
                    same = np.allclose(a.astype(np.float64), b.astype(np.float64), relative, absolute, equal_nan=True)
                else:
                    same = np.array_equal(a, b)
                if not same:
                    return "wrong"
    except Error as why:
        return str(why)
    return "passed"


@pytest.fixture(scope="module")
def answers() -> dict[str, str]:
    need_module("onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")      # of numpy, where ONNX makes its expectations
        from onnx.backend.test.case.node import collect_testcases

        return {c.name: answer(c) for c in collect_testcases(None)}


def test_none_is_wrong(answers: dict[str, str]) -> None:
    assert not [name for name, what in answers.items() if what == "wrong"]


def test_how_many_are_computed(answers: dict[str, str]) -> None:
    core = json.loads((Path(__file__).parent / "onnx_core_cases.json").read_text())["onnx 1.23.2"]
    assert sum(what == "passed" for what in answers.values()) >= ALL
    assert sum(answers.get(name) == "passed" for name in core) >= CORE


def test_the_ledger_says_why_the_others_are_not(answers: dict[str, str]) -> None:
    """Every refusal fits one line, every line is needed, and its number is right."""
    found: Counter[str] = Counter()
    for name, what in answers.items():
        if what not in ("passed", "wrong"):
            lines = [line["error"] for line in LEDGER["onnx_refused"] if re.search(line["error"], what)]
            assert len(lines) == 1, f"{name}: {what}: lines {lines}"
            found[lines[0]] += 1
    assert found == {line["error"]: line["cases"] for line in LEDGER["onnx_refused"]}
