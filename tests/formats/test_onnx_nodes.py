"""The node tests that ONNX publishes: no wrong answer, and how many are computed."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import numpy as np

from accelnn.core.errors import Error
from accelnn.model.imported import ImportedModel

from ..conftest import need_module

WITHIN = 1e-3, 1e-7        # relative and absolute, where a case does not say more
BFLOAT16 = 2.0**-6         # the relative difference that onnx.backend.test.runner allows where results are bfloat16
RANDOM = ("bernoulli", "training_dropout")      # their numbers are of another generator


def array(x: Any) -> Any:
    """A case's value: an array, a number, a TensorProto, or a list for a sequence."""
    if hasattr(x, "raw_data"):
        import onnx

        return onnx.numpy_helper.to_array(x)
    return x if isinstance(x, list) else np.asarray(x)


def answer(case: Any) -> str:
    """passed, refused or wrong."""
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
                    same = np.allclose(a.astype(np.float64), b.astype(np.float64), relative, max(case.atol, WITHIN[1]), equal_nan=True)
                else:
                    same = np.array_equal(a, b)
                if not same:
                    return "wrong"
    except Error:
        return "refused"
    return "passed"


def test_node_cases() -> None:
    need_module("onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")      # of numpy, where ONNX makes its expectations
        from onnx.backend.test.case.node import collect_testcases

        cases = [c for c in collect_testcases(None) if not any(name in c.name for name in RANDOM)]
        found = {c.name: answer(c) for c in cases}
    counts = Counter(found.values())
    assert not [name for name, what in found.items() if what == "wrong"], counts
    assert counts["passed"] >= 1200, counts
