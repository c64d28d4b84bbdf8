"""A report is about the run that it was asked for."""

from __future__ import annotations

import numpy as np

import accelnn as an


def test_report_follows_the_binding() -> None:
    model = an.freeze(an.nn.Linear(4, 2), np.zeros((1, 4), np.float32))
    for n in (1, 5, 1):             # the third finds the first one's binding kept
        rows = model.report(np.zeros((n, 4), np.float32))
        assert rows[0]["outputs"] == [f"f32[{n}, 2]"] and "ns" not in rows[0]
    profiled = model.report(np.zeros((3, 4), np.float32), profile=True, repeat=3)
    assert profiled[0]["ns"] > 0 and profiled[0]["op"] == "matmul"
